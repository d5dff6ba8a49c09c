"""Hyperliquid's API rows: userFills, userFillsByTime and userFunding, one row at a time.

The venue writes numbers as text, times in milliseconds, B and A for buy and sell. `fee` already
holds `builderFee`; a spot purchase pays it in the coin bought. `closedPnl` is gross of the fee.
`tid` is no key by itself: both legs of a self-trade share it, and dust conversions have 0.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache

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
def instrument_of(account: str, coin: str, quote: str | None = None) -> Instrument:
    """Describe a market by the name the API or the web page gives it.

    `quote` is the currency a spot sale pays its fee in, or a perpetual's collateral; USDC unless
    said. An index that nobody named keeps it as its name and its base.
    """
    quote = quote or USDC
    symbol = SPOT_NAMES.get(coin, coin)
    base = symbol.partition("/")[0]
    if "/" in symbol:
        quote = symbol.partition("/")[2]
    return Instrument(
        venue=VENUE,
        account=account,
        ts_ns=0,
        symbol=symbol,
        contract="spot" if is_spot(coin) else "linear",
        base=base,
        quote=quote,
        settle=quote,
        aliases=tuple(alias for alias, name in SPOT_NAMES.items() if name == symbol),
    )


def fee_asset_of(described: Instrument, side: Side) -> str:
    """Return what a fee is paid in: the coin bought on spot, else the settlement currency."""
    spot_purchase = described.contract == "spot" and side == "buy"
    return described.base if spot_purchase else described.settle


def draft_fill(row: Row, account: str, quote: str | None = None) -> Draft:
    """Turn one API fill into a fact. `quote` as in `instrument_of`. RowError when it cannot be."""
    coin = row.need("coin")
    side = row.choice("side", _SIDES)
    direction = row.text("dir")
    if direction is not None:
        agreed_side(side, direction)
    ts_ns = row.when("time", _MILLISECONDS)
    described = instrument_of(account, coin, quote)
    crossed: dict[bool, Liquidity] = {True: "taker", False: "maker"}
    fill = Fill(
        venue=VENUE,
        account=account,
        ts_ns=ts_ns,
        printed_ns=MILLISECOND_NS,
        instrument=described.symbol,
        side=side,
        px=row.positive("px"),
        qty=row.positive("sz"),
        fee=row.number("fee"),
        fee_asset=fee_asset_of(described, side),
        fill_id=row.text("tid"),
        order_id=row.text("oid"),
        client_order_id=row.text("cloid"),
        liquidity=crossed[row.flag("crossed")] if row.text("crossed") else None,
        start_position=row.number("startPosition"),
        venue_pnl=row.number("closedPnl"),
        exit_reason="liquidation" if _was_liquidated(row, account) else None,
        dust=direction == DUST,
    )
    oid, tid = row.text("oid"), row.text("tid")
    if tid is not None:
        key = key_of(ts_ns, row.need("time"), coin, tid, oid, side)
        return Draft(fill, key, instrument=described)
    key = key_of(ts_ns, row.need("time"), coin, oid, side, fill.px, fill.qty)
    return Draft(fill, key, idless=True, ranked=True, instrument=described)


def _was_liquidated(row: Row, account: str) -> bool:
    # The counterparty's fills carry the object too: only the named user was liquidated.
    liquidation = row.cells.get("liquidation")
    if isinstance(liquidation, dict):
        return str(liquidation.get("liquidatedUser", "")).lower() == account
    return (row.text("dir") or "").startswith("Liquidated ")


def draft_funding(row: Row, account: str) -> Draft:
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
    described = instrument_of(account, payment.need("coin"))
    funding = Funding(
        venue=VENUE,
        account=account,
        ts_ns=ts_ns,
        printed_ns=MILLISECOND_NS,
        instrument=described.symbol,
        amount=payment.amount("usdc"),
        asset=USDC,
        rate=payment.number("fundingRate"),
        position_qty=payment.number("szi"),
    )
    key = key_of(ts_ns, row.need("time"), payment.need("coin"))
    return Draft(funding, key, instrument=described)


def sale_quote(row: Row) -> tuple[str, str] | None:
    """Return (coin, currency) where a row tells what its market is quoted or settled in."""
    try:
        coin, token = row.text("coin"), row.text("feeToken")
    except RowError:
        return None  # the row itself will be told as rejected
    if coin is None or token is None:
        return None
    return None if is_spot(coin) and (row.text("side") or "").lower() != "a" else (coin, token)


def draft_row(row: Row, account: str, quotes: dict[str, str] | None = None) -> Draft:
    """Turn a fill or a funding row into a fact, whichever it is."""
    if "delta" in row.cells:
        return draft_funding(row, account)
    return draft_fill(row, account, (quotes or {}).get(row.text("coin") or ""))


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
