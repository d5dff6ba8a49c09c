"""What Coinbase Advanced Trade says an account holds, what its contracts are, and what they cost.

Answers about positions carry no time of their own, so the instant of the question is put before
each row's text. A contract's size stands on its product page alone.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from fillbook.facts.identity import key_of
from fillbook.facts.model import Instrument, Report
from fillbook.ground.exact import EXACT
from fillbook.marks.series import Mark
from fillbook.sources.coinbase.fills import TIMES, VENUE, instrument_of, is_contract, quote_of
from fillbook.sources.reading import instrument_key
from fillbook.sources.rows import Row, TimeForm
from fillbook.sources.source import Draft

MILLISECOND_NS = 1_000_000
_MILLISECONDS = TimeForm("unix_ms")
_HALF = Decimal("0.5")
# One signed size, or a number of contracts with a side.
_SIGNS = {
    "long": 1,
    "short": -1,
    "futures_position_side_long": 1,
    "futures_position_side_short": -1,
}
_PERPETUAL_SIGNS = {"position_side_long": 1, "position_side_short": -1}


def timed_text(at_ns: int, name: str, row: msgspec.Raw) -> str:
    """Return a row's text with the instant it was asked for before it.

    >>> timed_text(5_000_000, "cfm", msgspec.Raw(b'{"product_id":"X"}'))
    '{"time":5,"cfm":{"product_id":"X"}}'
    """
    return f'{{"time":{at_ns // MILLISECOND_NS},"{name}":{bytes(row).decode()}}}'


def draft_position(row: Row, account: str) -> list[Draft]:
    """Turn the timed text of a position into a report: signed size, and the price as `px`."""
    is_cfm = "cfm" in row.cells
    told = row.part("cfm" if is_cfm else "intx")
    symbol, ts_ns = told.need("product_id"), row.when("time", _MILLISECONDS)
    qty = _contracts(told) if is_cfm else _net_size(told)
    px = told.number("current_price") if is_cfm else _money(told, "mark_price")
    report = Report(
        venue=VENUE,
        account=account,
        ts_ns=ts_ns,
        printed_ns=MILLISECOND_NS,
        what="position",
        instrument=symbol,
        qty=qty,
        px=px or None,
    )
    return [Draft(report, key_of(ts_ns, row.need("time"), "position", symbol))]


def _contracts(told: Row) -> Decimal:
    count = told.amount("number_of_contracts")
    return count * told.choice("side", _SIGNS) if count else count


def _net_size(told: Row) -> Decimal:
    """Return the signed size; where a side is told as well, the side decides."""
    size = told.amount("net_size")
    sign = _PERPETUAL_SIGNS.get((told.text("position_side") or "").lower())
    return size if sign is None else abs(size) * sign


def _money(told: Row, name: str) -> Decimal | None:
    """Return an amount that is written with its currency, or plainly."""
    value = told.cells.get(name)
    return Row(value).number("value") if isinstance(value, dict) else told.number(name)


def draft_product(row: Row, account: str) -> list[Draft]:
    """Turn a product into the contract it is; RowError when its size is not told."""
    symbol = row.need("product_id")
    described = instrument_of(account, symbol)
    if described is None:
        described = _contract(row, account, symbol)
    return [Draft(described, instrument_key(described))]


def _contract(row: Row, account: str, symbol: str) -> Instrument:
    told = row.part("future_product_details")
    base = told.text("contract_root_unit") or told.text("contract_code") or symbol.partition("-")[0]
    quote = row.text("quote_currency_id") or quote_of(symbol)
    return Instrument(
        venue=VENUE,
        account=account,
        ts_ns=0,
        symbol=symbol,
        contract="linear",
        base=base,
        quote=quote,
        settle=quote,
        multiplier=told.positive("contract_size"),
    )


def last_of(row: Row, at_ns: int, source: str) -> Mark | None:
    """Return the last price of a product that is a contract, None where it has none."""
    symbol, px = row.need("product_id"), row.number("price")
    if not px or not is_contract(symbol):
        return None
    return Mark(VENUE, symbol, at_ns, px, "last", source)


def mid_of(book: Row, source: str) -> Mark | None:
    """Return the middle of a product's best bid and ask, None where one side is empty."""
    bid, ask = _best(book, "bids"), _best(book, "asks")
    if bid is None or ask is None:
        return None
    mid = EXACT.multiply(EXACT.add(bid, ask), _HALF)
    return Mark(VENUE, book.need("product_id"), book.when("time", TIMES), mid, "mid", source)


def _best(book: Row, side: str) -> Decimal | None:
    levels = book.cells.get(side)
    first = levels[0] if isinstance(levels, list) and levels else None
    return Row(first).optional_positive("price") if isinstance(first, dict) else None
