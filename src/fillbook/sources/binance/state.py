"""What Binance USD-M says an account holds, and what things are worth. Evidence, never PnL.

Answers about positions and balances carry no time of their own, so the instant of the question is
put before each row's text.
"""

from __future__ import annotations

import msgspec

from fillbook.facts.identity import key_of
from fillbook.facts.model import Report
from fillbook.marks.series import Mark
from fillbook.sources.binance.fills import (
    MILLISECOND_NS,
    MILLISECONDS,
    VENUE,
    instrument_of,
    position_side_in,
)
from fillbook.sources.rows import Row
from fillbook.sources.source import Draft


def timed_text(at_ns: int, name: str, row: msgspec.Raw) -> str:
    """Return a row's text with the instant it was asked for before it.

    >>> timed_text(5_000_000, "position", msgspec.Raw(b'{"symbol":"X"}'))
    '{"time":5,"position":{"symbol":"X"}}'
    """
    return f'{{"time":{at_ns // MILLISECOND_NS},"{name}":{bytes(row).decode()}}}'


def draft_state(row: Row, account: str) -> Draft:
    """Turn the timed text of a position or an asset into a report; RowError when it is neither."""
    return draft_position(row, account) if "position" in row.cells else draft_asset(row, account)


def draft_position(row: Row, account: str) -> Draft:
    """Turn a timed row of positionRisk into a report: signed size, and the mark price as `px`.

    In hedge mode the short leg's size is below zero, as the venue prints it.
    """
    told = row.part("position")
    symbol, ts_ns = told.need("symbol"), row.when("time", MILLISECONDS)
    side = position_side_in(told)
    report = Report(
        venue=VENUE,
        account=account,
        ts_ns=ts_ns,
        printed_ns=MILLISECOND_NS,
        what="position",
        instrument=symbol,
        position_side=side,
        qty=told.amount("positionAmt"),
        px=told.number("markPrice") or None,
    )
    key = key_of(ts_ns, row.need("time"), "position", symbol, side)
    return Draft(report, key, instrument=instrument_of(account, symbol, told.text("marginAsset")))


def draft_asset(row: Row, account: str) -> Draft:
    """Turn a timed asset of the account into a report of equity: wallet plus open results."""
    told = row.part("asset")
    asset, ts_ns = told.need("asset"), row.when("time", MILLISECONDS)
    report = Report(
        venue=VENUE,
        account=account,
        ts_ns=ts_ns,
        printed_ns=MILLISECOND_NS,
        what="equity",
        amount=told.amount("walletBalance") + told.amount("unrealizedProfit"),
        asset=asset,
    )
    return Draft(report, key_of(ts_ns, row.need("time"), "equity", asset))


def mark_of(told: Row, source: str) -> Mark | None:
    """Return the mark price of a row of premiumIndex, None where it has none."""
    px = told.number("markPrice")
    if not px:
        return None
    at_ns = told.when("time", MILLISECONDS)
    return Mark(VENUE, told.need("symbol"), at_ns, px, "mark", source)


def rate_of(told: Row, asset: str, quote: str, source: str) -> Mark | None:
    """Return what an asset is worth in a currency, by the index price of its contract."""
    px = told.number("indexPrice")
    if not px:
        return None
    return Mark(VENUE, f"{asset}/{quote}", told.when("time", MILLISECONDS), px, "rate", source)
