"""One finished day per account and currency, as the daily files want it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fillbook.analysis.costing import split_funding
from fillbook.analysis.daily import DailyRecord
from fillbook.analysis.explain import explain
from fillbook.analysis.occupancy import time_in_market_ns
from fillbook.analysis.performance import outcomes, profit_and_loss
from fillbook.analysis.tradebook import TradeTable, trade_tables
from fillbook.analysis.view import BookView, Part, Query, parts_of
from fillbook.facts.model import OrderUpdate
from fillbook.ledger.amounts import total
from fillbook.ledger.columns import ARRIVAL_KNOWN


def daily(view: BookView, day: str) -> list[DailyRecord]:
    """Return the records of one day (YYYY-MM-DD), one per account and settlement currency.

    A day is one of `[report] day_zone`, UTC unless said otherwise; ValueError when it is none.
    Trades count on the day they close; a book without anything that day still has its records.
    """
    start_ns, until_ns = view.settings.report.days.bounds(day)
    return _spanning(view, day, start_ns, until_ns)


def lifetime(view: BookView) -> list[DailyRecord]:
    """Return the same records over the whole book, its last event or mark included.

    `day` is empty, and `window_ns` reaches from the first event to the end.
    """
    begun = [int(group.columns.ts_ns[0]) for group in view.ledger.groups if len(group)]
    start_ns, until_ns = min(begun, default=view.end_ns), view.end_ns + 1
    return _spanning(view, "", start_ns, until_ns)


def between(view: BookView, since_ns: int, until_ns: int) -> list[DailyRecord]:
    """Return the same records over [since, until), at least one nanosecond of it."""
    until_ns = max(until_ns, since_ns + 1)
    return _spanning(view, "", since_ns, until_ns)


def _spanning(view: BookView, day: str, start_ns: int, until_ns: int) -> list[DailyRecord]:
    window = Query(since_ns=start_ns, until_ns=until_ns)
    places: dict[tuple[str, str], list[Part]] = {}
    for part in parts_of(view, window):
        places.setdefault((part.group.columns.key.account, part.currency), []).append(part)
    return [
        _record(view, day, account, currency, window, parts)
        for (account, currency), parts in sorted(places.items())
    ]


def _record(
    view: BookView, day: str, account: str, currency: str, query: Query, parts: Sequence[Part]
) -> DailyRecord:
    start_ns, until_ns = query.since_ns or 0, query.until_ns or 0
    closed, opened = trade_tables(parts, view.valuer, start_ns, until_ns)
    totals = explain(list(parts), view.valuer, start_ns, until_ns)[currency]
    table = closed[currency].pick(~closed[currency].unpriced)
    gross_basis = bool(table.fee_unknown.any())
    money = table.gross if gross_basis else table.net
    classes = outcomes(money, table.n_fills)
    profit, loss = profit_and_loss(money, classes)
    received, paid = split_funding(parts)
    placed, filled = entry_orders(view.ledger.orders, account, start_ns, until_ns)
    entry_bps, exit_bps = _slippage(parts)
    untimed = bool(table.untimed.any())
    venues = {part.group.columns.key.venue for part in parts}
    return DailyRecord(
        day=day,
        session_start_ns=start_ns,
        window_ns=until_ns - start_ns,
        currency=currency,
        book=view.ledger.book_id,
        seq=view.seq,
        head=view.head,
        account=account,
        venue=venues.pop() if len(venues) == 1 else None,
        wins=int((classes > 0).sum()),
        losses=int((classes < 0).sum()),
        breakeven=int((classes == 0).sum()),
        unpriced=int(closed[currency].unpriced.sum()),
        gross_profit=profit,
        gross_loss=loss,
        net=None if gross_basis else total(money),
        orders_placed=placed,
        orders_filled=filled,
        entry_slippage_bps=entry_bps,
        exit_slippage_bps=exit_bps,
        fees=totals.fees if totals.fees_known else None,
        funding_paid=paid,
        funding_received=received,
        in_market_ns=None if untimed else _in_market(table, opened[currency], start_ns, until_ns),
        hold_ns=None if untimed else int((table.close_ns - table.open_ns).sum()),
    )


def _in_market(closed: TradeTable, opened: TradeTable, since_ns: int, until_ns: int) -> int:
    starts = np.concatenate((closed.open_ns, opened.open_ns))
    ends = np.concatenate((closed.close_ns, opened.close_ns))
    return time_in_market_ns(starts, ends, since_ns, until_ns)


def entry_orders(
    orders: Sequence[OrderUpdate], account: str, since_ns: int, until_ns: int
) -> tuple[int | None, int | None]:
    """Count entry orders placed and filled in the window, each order once, reduce-only left out.

    None, None where the book knows no orders of the account at all.
    """
    placed: set[str] = set()
    filled: set[str] = set()
    known = False
    for order in orders:
        if order.account != account:
            continue
        known = True
        if order.reduce_only or not since_ns <= order.ts_ns < until_ns:
            continue
        name = order.client_order_id or order.order_id or f"{order.instrument} {order.ts_ns}"
        if order.status == "placed":
            placed.add(name)
        elif order.status == "filled":
            filled.add(name)
    return (len(placed | filled), len(filled)) if known else (None, None)


def _slippage(parts: Sequence[Part]) -> tuple[float | None, float | None]:
    """Return mean slippage of entry and exit fills against arrival, bps, positive = cost."""
    entries: list[float] = []
    exits: list[float] = []
    for part in parts:
        columns, flows = part.group.columns, part.group.books.outputs
        if columns.terms.inverse:
            continue
        rows = part.rows
        if not (columns.traits[rows] & ARRIVAL_KNOWN).any():
            continue
        px = columns.events.px[rows]
        moved = np.sign(columns.events.qty[rows]) * (px[:, 3] - px[:, 1])
        known = (columns.traits[rows] & ARRIVAL_KNOWN).astype(bool) & (px[:, 1] != 0)
        bps = 1e4 * moved[known] / px[known, 1]
        closing = flows.closed_qty[rows][known] > 0
        entries += bps[~closing].tolist()
        exits += bps[closing].tolist()
    return (
        sum(entries) / len(entries) if entries else None,
        sum(exits) / len(exits) if exits else None,
    )
