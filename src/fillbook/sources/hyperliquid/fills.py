"""Hyperliquid's API rows: userFills, userFillsByTime and userFunding, one row at a time.

The venue writes numbers as text, times in milliseconds, B and A for buy and sell. `fee` already
holds `builderFee`; a spot purchase pays it in the coin bought. `closedPnl` is gross of the fee.
`tid` is no key by itself: both legs of a self-trade share it, and dust conversions have 0.

A live source adds a field `market` to the text of a row whose own fields do not tell what its
market is made of: `{"base": …, "quote": …, "names": […]}`.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache

import msgspec

from fillbook.facts.identity import key_of
from fillbook.facts.model import Fill, Funding, Instrument, Liquidity, Side
from fillbook.sources.rows import Row, TimeForm
from fillbook.sources.source import Draft, RowError

VENUE = "hyperliquid"
USDC = "USDC"
MILLISECOND_NS = 1_000_000
# The API names spot pairs by index, the web page by coin; both are one instrument.
SPOT_NAMES = {"@107": "HYPE/USDC"}
DUST = "Spot Dust Conversion"

_SIDES: dict[str, Side] = {"b": "buy", "a": "sell"}
# None: the words do not say the direction.
_DIRECTIONS: dict[str, Side | None] = {
    "Buy": "buy",
    "Sell": "sell",
    "Open Long": "buy",
    "Close Short": "buy",
    "Short > Long": "buy",
    "Open Short": "sell",
    "Close Long": "sell",
    "Long > Short": "sell",
    "Liquidated Cross Long": "sell",
    "Liquidated Isolated Long": "sell",
    "Liquidated Cross Short": "buy",
    "Liquidated Isolated Short": "buy",
    DUST: None,
    "Auto-Deleveraging": None,
    "Settlement": None,
    "Net Child Vaults": None,
    "Partial Borrow Liquidation": None,
    "Backstop Borrow Liquidation": None,
}
_LIQUIDATION = re.compile(r"(?:Partial )?(?:Market Order |Backstop )?Liquidation: (.+)")
# Fills that nobody ordered, by the venue's word for them.
_CAUSES = {
    DUST: "dust",
    "Auto-Deleveraging": "adl",
    "Settlement": "settlement",
    "Net Child Vaults": "net child vaults",
    "Partial Borrow Liquidation": "liquidation",
    "Backstop Borrow Liquidation": "liquidation",
}
_MILLISECONDS = TimeForm("unix_ms")


def direction_side(direction: str) -> Side | None:
    """Return the side that a `dir` implies, None where it implies none.

    An unknown word is a RowError: its sign cannot be guessed.

    >>> direction_side("Open Long (Price Improved)"), direction_side("Long > Short")
    ('buy', 'sell')
    """
    plain = direction.removesuffix(" (Price Improved)")
    liquidated = _LIQUIDATION.fullmatch(plain)
    if liquidated:
        plain = liquidated[1]
    if plain not in _DIRECTIONS:
        raise RowError("dir", f"{direction!r} is not a direction this reader knows")
    return _DIRECTIONS[plain]


def agreed_side(side: Side, direction: str) -> Side:
    """Return the side after checking it against `dir`; RowError where they contradict."""
    implied = direction_side(direction)
    if implied not in (None, side):
        raise RowError("dir", f"{direction!r} contradicts the side {side}")
    return side


def is_spot(coin: str) -> bool:
    """Say whether a coin names a spot pair or an outcome token rather than a perpetual."""
    return coin[:1] in ("@", "#") or "/" in coin


@lru_cache(maxsize=4096)
def instrument_of(
    account: str, coin: str, quote: str | None = None, base: str | None = None
) -> Instrument:
    """Describe a market by the name the API or the web page gives it.

    `quote` is the currency a spot sale pays its fee in, or a perpetual's collateral; USDC unless
    said. `base` is the coin that a spot index stands for; one that nobody named is its own base.
    """
    quote = quote or USDC
    symbol = SPOT_NAMES.get(coin, coin)
    if "/" in symbol:
        base, _, quote = symbol.partition("/")
    return Instrument(
        venue=VENUE,
        account=account,
        ts_ns=0,
        symbol=symbol,
        contract="spot" if is_spot(coin) else "linear",
        base=base or symbol,
        quote=quote,
        settle=quote,
        aliases=tuple(alias for alias, name in SPOT_NAMES.items() if name == symbol),
    )


def fee_asset_of(described: Instrument, side: Side) -> str:
    """Return what a fee is paid in: the coin bought on spot, else the settlement currency."""
    spot_purchase = described.contract == "spot" and side == "buy"
    return described.base if spot_purchase else described.settle


class Currencies(msgspec.Struct, frozen=True, kw_only=True):
    """What other rows of a source told about its markets, by coin.

    `quotes` is what a market is quoted or settled in, `bases` the coin behind a spot index.
    """

    quotes: dict[str, str] = {}
    bases: dict[str, str] = {}


def told_currency(row: Row) -> tuple[str, str, bool] | None:
    """Return (coin, currency, whether it is the base) where a row tells it by its fee."""
    try:
        coin, token = row.text("coin"), row.text("feeToken")
    except RowError:
        return None  # the row itself will be told as rejected
    if coin is None or token is None:
        return None
    return coin, token, is_spot(coin) and (row.text("side") or "").lower() != "a"


def _market_of(row: Row, account: str, currencies: Currencies) -> Instrument:
    """Describe the market of a fill: by what was added to the row, by other rows, by its fee."""
    coin = row.need("coin")
    added = row.cells.get("market")
    if isinstance(added, dict):
        return named_market(account, coin, added)
    told = told_currency(row)
    quote, base = currencies.quotes.get(coin), currencies.bases.get(coin)
    if told is not None:
        quote, base = (quote, base or told[1]) if told[2] else (quote or told[1], base)
    return instrument_of(account, coin, quote, base if is_spot(coin) else None)


def named_market(account: str, coin: str, added: dict[str, object]) -> Instrument:
    """Describe a market by what a live source added to a row: its currencies and other names."""
    row = Row(added)
    described = instrument_of(account, coin, row.need("quote"), row.text("base"))
    names = added.get("names")
    if coin in SPOT_NAMES or not isinstance(names, list) or not names:
        return described
    first, *others = (str(name) for name in names)
    aliases = (coin, *others)
    return msgspec.structs.replace(described, symbol=first, aliases=aliases)


def draft_fill(row: Row, account: str, currencies: Currencies | None = None) -> Draft:
    """Turn one API fill into a fact; RowError when it cannot be.

    What the fact says depends on the row alone, so that every source says the same.
    """
    coin = row.need("coin")
    side = row.choice("side", _SIDES)
    direction = row.text("dir")
    if direction is not None:
        agreed_side(side, direction)
    ts_ns = row.when("time", _MILLISECONDS)
    described = _market_of(row, account, currencies or Currencies())
    crossed: dict[bool, Liquidity] = {True: "taker", False: "maker"}
    fill = Fill(
        venue=VENUE,
        account=account,
        ts_ns=ts_ns,
        printed_ns=MILLISECOND_NS,
        instrument=SPOT_NAMES.get(coin, coin),
        side=side,
        px=row.positive("px"),
        qty=row.positive("sz"),
        fee=row.number("fee"),
        fee_asset=row.text("feeToken") or fee_asset_of(described, side),
        fill_id=row.text("tid"),
        order_id=row.text("oid"),
        client_order_id=row.text("cloid"),
        liquidity=crossed[row.flag("crossed")] if row.text("crossed") else None,
        start_position=row.number("startPosition"),
        venue_pnl=row.number("closedPnl"),
        cause=_cause_of(row, account),
        dust=direction == DUST,
    )
    oid, tid = row.text("oid"), row.text("tid")
    if tid is not None:
        key = key_of(ts_ns, row.need("time"), coin, tid, oid, side)
        return Draft(fill, key, instrument=described)
    key = key_of(ts_ns, row.need("time"), coin, oid, side, fill.px, fill.qty)
    return Draft(fill, key, idless=True, ranked=True, instrument=described)


def _cause_of(row: Row, account: str) -> str | None:
    """Return why the venue itself traded; None for a fill that somebody ordered."""
    direction = (row.text("dir") or "").removesuffix(" (Price Improved)")
    if direction in _CAUSES:
        return _CAUSES[direction]
    # The counterparty's fills carry the object too: only the named user was liquidated.
    liquidation = row.cells.get("liquidation")
    if isinstance(liquidation, dict):
        named = str(liquidation.get("liquidatedUser", "")).lower()
        return "liquidation" if named == account else None
    told = direction.startswith("Liquidated ") or _LIQUIDATION.fullmatch(direction)
    return "liquidation" if told else None


def draft_funding(row: Row, account: str, currencies: Currencies | None = None) -> Draft:
    """Turn one userFunding row into a fact; its `hash` is often all zeros and identifies nothing.

    RowError for ledger updates of other types.
    """
    delta = row.cells.get("delta")
    if not isinstance(delta, dict):
        raise RowError("delta", "is missing")
    payment = Row(delta)
    kind = payment.text("type") or "funding"
    if kind != "funding":
        raise RowError("delta.type", f"{kind!r} is not a funding payment")
    ts_ns = row.when("time", _MILLISECONDS)
    coin = payment.need("coin")
    told = (currencies or Currencies()).quotes.get(coin)
    added = row.cells.get("market")
    if isinstance(added, dict):
        told = Row(added).need("quote")
    described = instrument_of(account, coin, told)
    funding = Funding(
        venue=VENUE,
        account=account,
        ts_ns=ts_ns,
        printed_ns=MILLISECOND_NS,
        instrument=described.symbol,
        amount=payment.amount("usdc"),
        asset=described.settle,
        rate=payment.number("fundingRate"),
        position_qty=payment.number("szi"),
    )
    key = key_of(ts_ns, row.need("time"), coin)
    # A builder's dex settles in a currency of its own, which this row does not tell.
    is_guess = told is None and ":" in coin
    return Draft(funding, key, instrument=None if is_guess else described)


def check_notional(row: Row, px: Decimal, qty: Decimal, name: str) -> None:
    """Reject a row whose printed notional is not px x qty within its own last digit.

    A notional written from a binary float may also be off in its sixteenth digit.
    """
    printed = row.number(name)
    if printed is None:
        return
    off = abs(px * qty - printed)
    exponent = printed.as_tuple().exponent
    assert isinstance(exponent, int)
    half_digit = Decimal(5).scaleb(exponent - 1)
    if off > max(half_digit, printed.copy_abs().scaleb(-12)):
        raise RowError(name, f"{printed} is not price {px} x size {qty}")
