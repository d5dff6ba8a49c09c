"""What Hyperliquid's markets are made of, where a row does not tell: spot pairs and dexes.

A spot pair is printed as `@142`, its place in a list. The dex of a builder (`flx:CRCL`) settles
in a currency of its own. Both are looked up once and added to the text of the rows that need
them, so that a row can be read again for ever without asking anybody.
"""

from __future__ import annotations

import msgspec

from fillbook.sources.hyperliquid.fills import SPOT_NAMES, USDC
from fillbook.sources.rows import Row

# Tokens of this bridge are shown without their U on the venue's page: UBTC is BTC there.
_BRIDGED = "Unit "


class _Token(msgspec.Struct, rename="camel"):
    index: int
    name: str
    full_name: str | None = None


class _Pair(msgspec.Struct):
    name: str
    tokens: tuple[int, int]


class SpotMeta(msgspec.Struct):
    """An answer to spotMeta: tokens, and pairs of them."""

    tokens: list[_Token]
    universe: list[_Pair]


class PerpMeta(msgspec.Struct, rename="camel"):
    """An answer to meta: of all it says, the currency that a dex settles in."""

    collateral_token: int = 0


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """A spot pair: its coins, and its readable names, the first being ours."""

    coin: str
    base: str
    quote: str
    names: tuple[str, ...]

    @property
    def symbol(self) -> str:
        """Return the name of the pair in the book."""
        return SPOT_NAMES.get(self.coin, self.names[0])


class Markets:
    """What is known of the markets; `wanted` collects coins that somebody has asked for in vain."""

    def __init__(self) -> None:
        self.wanted: set[str] = set()
        self._tokens: dict[int, str] = {}
        self._pairs: dict[str, Pair] = {}
        self._dexes: dict[str, str] = {"": USDC}

    def learn_spot(self, meta: SpotMeta) -> None:
        """Take in the list of spot pairs."""
        tokens = {token.index: token for token in meta.tokens}
        self._tokens = {index: token.name for index, token in tokens.items()}
        for pair in meta.universe:
            base, quote = (tokens.get(index) for index in pair.tokens)
            if base is None or quote is None:
                continue
            shown = _shown(base)
            names = dict.fromkeys((f"{base.name}/{quote.name}", f"{shown}/{quote.name}"))
            self._pairs[pair.name] = Pair(
                coin=pair.name, base=base.name, quote=quote.name, names=tuple(names)
            )

    def learn_dex(self, dex: str, meta: PerpMeta) -> None:
        """Take in what a dex settles in; the list of tokens has to be known."""
        named = self._tokens.get(meta.collateral_token)
        if named is not None:
            self._dexes[dex] = named

    def pair(self, coin: str) -> Pair | None:
        """Return a spot pair by the venue's name for it."""
        return self._pairs.get(coin)

    def pair_named(self, name: str) -> Pair | None:
        """Return a spot pair by any of its names."""
        known = self._pairs.get(name)
        if known is not None:
            return known
        return next((pair for pair in self._pairs.values() if name in pair.names), None)

    def quotes(self) -> set[str]:
        """Return the coins that others are quoted in: money rather than holdings."""
        return {USDC, *(pair.quote for pair in self._pairs.values())}

    def collateral(self, dex: str) -> str | None:
        """Return what a dex settles in; None when nobody has told yet."""
        return self._dexes.get(dex)

    def completed(self, raw: str, row: Row) -> str | None:
        """Return the text of a row with what its market is made of; None where it tells enough.

        A coin nobody has looked up yet is wanted from then on.
        """
        coin, is_funding = _coin_of(row)
        if coin.startswith("@") and coin not in SPOT_NAMES:
            pair = self._pairs.get(coin)
            if pair is None:
                self.wanted.add(coin)
                return None
            return _with(raw, {"base": pair.base, "quote": pair.quote, "names": pair.names})
        dex = dex_of(coin)
        settle = self._dexes.get(dex)
        if settle is None:
            self.wanted.add(coin)
            return None
        return _with(raw, {"quote": settle}) if dex and is_funding else None

    def is_told(self, coin: str) -> bool:
        """Say whether a coin is one that needs no looking up, or was looked up."""
        if coin.startswith("@"):
            return coin in SPOT_NAMES or coin in self._pairs
        return dex_of(coin) in self._dexes


def dex_of(coin: str) -> str:
    """Return the dex of a perpetual, "" for the venue's own.

    >>> dex_of("flx:CRCL"), dex_of("BTC")
    ('flx', '')
    """
    return coin.partition(":")[0] if ":" in coin else ""


def _coin_of(row: Row) -> tuple[str, bool]:
    delta = row.cells.get("delta")
    cells = delta if isinstance(delta, dict) else row.cells
    return str(cells.get("coin") or ""), isinstance(delta, dict)


def _shown(token: _Token) -> str:
    bridged = (token.full_name or "").startswith(_BRIDGED) and token.name.startswith("U")
    return token.name.removeprefix("U") if bridged else token.name


def _with(raw: str, market: dict[str, object]) -> str:
    told = msgspec.json.encode(market).decode()
    return f'{raw.rstrip().removesuffix("}")},"market":{told}}}'
