"""Coinbase Advanced Trade's fills: one execution a row; and what all its rows share.

A row is `entry_id`. One `trade_id` may stand on several rows: what was filled, its REVERSAL, its
CORRECTION; so a trade id identifies nothing, it only says which fill a correction means. A fee
has no currency of its own: it is in the quote of the product. Times print nanoseconds, and lose
the zeros at their end.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Literal

import msgspec

from fillbook.facts.identity import key_of
from fillbook.facts.model import Charge, Correction, Fill, Instrument, Liquidity, Side
from fillbook.ground.exact import (
    EXACT,
    decimals_of,
    divide_half_even,
    from_scaled,
    plain_text,
    to_scaled,
)
from fillbook.sources.rows import Row, TimeForm
from fillbook.sources.source import Draft, RowError

VENUE = "coinbase"
TIMES = TimeForm()
SIDES: dict[str, Side] = {"buy": "buy", "sell": "sell"}

_PERPETUAL = "-INTX"
_LIQUIDITY: dict[str, Liquidity] = {"MAKER": "maker", "TAKER": "taker"}
_Kind = Literal["fill", "reversal", "correction", "synthetic"]
_KINDS: dict[str, _Kind] = {
    "fill": "fill",
    "reversal": "reversal",
    "correction": "correction",
    "synthetic": "synthetic",
}
# No product counts its base finer; a quantity told in quote is rounded to this.
_BASE_DECIMALS = 8


def is_contract(product_id: str) -> bool:
    """Say whether a product is a contract, whose size and money its product page alone tells.

    >>> is_contract("BTC-USD"), is_contract("BIT-29NOV24-CDE"), is_contract("BTC-PERP-INTX")
    (False, True, True)
    """
    return product_id.count("-") != 1


def quote_of(product_id: str) -> str:
    """Return the currency that a product is paid in, fees included.

    >>> [quote_of(name) for name in ("ADA-USDT", "BTC-PERP-INTX", "BIT-29NOV24-CDE")]
    ['USDT', 'USDC', 'USD']
    """
    if not is_contract(product_id):
        return product_id.partition("-")[2]
    return "USDC" if product_id.endswith(_PERPETUAL) else "USD"


@lru_cache(maxsize=4096)
def instrument_of(account: str, product_id: str) -> Instrument | None:
    """Describe a spot product by its name; None for contracts, whose size no name tells.

    >>> told = instrument_of("1", "ADA-USDT")
    >>> told.base, told.settle, instrument_of("1", "BTC-PERP-INTX")
    ('ADA', 'USDT', None)
    """
    base, _, quote = product_id.partition("-")
    if is_contract(product_id) or not base or not quote:
        return None
    return Instrument(
        venue=VENUE,
        account=account,
        ts_ns=0,
        symbol=product_id,
        contract="spot",
        base=base,
        quote=quote,
        settle=quote,
    )


def base_of(quote_size: Decimal, px: Decimal) -> Decimal:
    """Return the base of a size told in quote, to 1e-8; what is left of the money is the caller's.

    >>> base_of(Decimal("10.5"), Decimal("4.2")), base_of(Decimal(10), Decimal(3))
    (Decimal('2.5'), Decimal('3.33333333'))
    """
    scale = max(decimals_of(quote_size), decimals_of(px))
    paid = to_scaled(quote_size, scale + _BASE_DECIMALS)
    qty = from_scaled(divide_half_even(paid, to_scaled(px, scale)), _BASE_DECIMALS)
    return Decimal(plain_text(qty))


def whole_in(row: Row, name: str) -> int:
    """Return a cell that counts something; RowError when it is no whole number."""
    text = row.need(name)
    if not text.isascii() or not text.isdigit():
        raise RowError(name, f"{text!r} is not a whole number")
    return int(text)


def check_owner(row: Row, account: str) -> None:
    """Raise RowError when a row names another portfolio than this account."""
    told = row.text("retail_portfolio_id")
    if told is not None and told.lower() != account.lower():
        raise RowError("retail_portfolio_id", f"{told!r} is another portfolio than {account!r}")


def draft_fill(row: Row, account: str) -> list[Draft]:
    """Turn one row of fills into what it says; RowError when it cannot be.

    That is a fill, or the correction of an earlier one; and where no quantity makes up a size in
    quote exactly, the rest of the money.
    """
    check_owner(row, account)
    kind = row.choice("trade_type", _KINDS) if row.text("trade_type") else "fill"
    entry_id, symbol = row.need("entry_id"), row.need("product_id")
    described = instrument_of(account, symbol)
    if kind == "reversal":
        return _undone(row, account)
    fill, rest = _fill(row, account, kind)
    drafts = [Draft(fill, key_of(fill.ts_ns, symbol, entry_id), instrument=described)]
    if kind == "correction":
        restated = _correction(row, account, fill)
        key = key_of(restated.ts_ns, symbol, entry_id)
        drafts = [Draft(restated, key, instrument=described)]
    if rest is not None:
        drafts.append(Draft(rest, key_of(rest.ts_ns, symbol, entry_id, "rest")))
    return drafts


def _undone(row: Row, account: str) -> list[Draft]:
    symbol, entry_id = row.need("product_id"), row.need("entry_id")
    undone = _correction(row, account, None)
    key = key_of(undone.ts_ns, symbol, entry_id)
    drafts = [Draft(undone, key, instrument=instrument_of(account, symbol))]
    rest = _fill(row, account, "reversal")[1] if row.flag("size_in_quote") else None
    if rest is not None:
        back = msgspec.structs.replace(rest, amount=-rest.amount)
        drafts.append(Draft(back, key_of(rest.ts_ns, symbol, entry_id, "rest")))
    return drafts


def _fill(row: Row, account: str, kind: str) -> tuple[Fill, Charge | None]:
    symbol, side = row.need("product_id"), row.choice("side", SIDES)
    px, size = row.positive("price"), row.positive("size")
    ts_ns = row.when("trade_time", TIMES)
    qty, left = size, Decimal(0)
    if row.flag("size_in_quote"):
        qty = base_of(size, px)
        if qty <= 0:
            raise RowError("size", f"{size} in quote is less than the smallest quantity")
        left = EXACT.subtract(size, EXACT.multiply(qty, px))
    fill = Fill(
        venue=VENUE,
        account=account,
        ts_ns=ts_ns,
        instrument=symbol,
        side=side,
        px=px,
        qty=qty,
        fee=row.number("commission"),
        fee_asset=quote_of(symbol),
        fill_id=row.need("entry_id"),
        trade_id=row.text("trade_id"),
        order_id=row.text("order_id"),
        liquidity=_LIQUIDITY.get(row.text("liquidity_indicator") or ""),
        venue_seq=_posted_ns(row),
        cause="synthetic" if kind == "synthetic" else None,
    )
    return fill, _rest(fill, left) if left else None


def _rest(fill: Fill, left: Decimal) -> Charge:
    """Return what a size in quote has beyond its quantity times price: paid, or received."""
    return Charge(
        venue=VENUE,
        account=fill.account,
        ts_ns=fill.ts_ns,
        amount=left if fill.side == "buy" else -left,
        asset=quote_of(fill.instrument),
        what="rest of a size in quote",
        instrument=fill.instrument,
        charge_id=fill.fill_id,
    )


def _correction(row: Row, account: str, replacement: Fill | None) -> Correction:
    posted_ns = _posted_ns(row)
    told = None if replacement is not None else _told(row)
    return Correction(
        venue=VENUE,
        account=account,
        ts_ns=row.when("trade_time", TIMES) if posted_ns is None else posted_ns,
        target_key="",
        target_trade_id=row.need("trade_id"),
        target_order_id=row.text("order_id"),
        target_qty=None if told is None else told[0],
        target_px=None if told is None else told[1],
        action="reverse" if replacement is None else "replace",
        replacement=replacement,
        reason=row.need("trade_type").lower(),
    )


def _told(row: Row) -> tuple[Decimal | None, Decimal | None]:
    """Return the quantity and price that a reversal repeats of the fill it undoes."""
    size, px = row.number("size"), row.optional_positive("price")
    if size is None:
        return None, px
    if row.flag("size_in_quote"):
        return (None if px is None else base_of(abs(size), px)), px
    return abs(size), px


def _posted_ns(row: Row) -> int | None:
    """Return when the venue wrote the row down; inside an instant that is its order."""
    name = "sequence_timestamp"
    return row.when(name, TIMES) if row.text(name) else None
