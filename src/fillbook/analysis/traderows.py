"""The list of trades: one row per round trip, with its path, its costs and its outcome."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

import msgspec
import numpy as np

from fillbook.analysis.answers import TradeRow
from fillbook.analysis.ending import STILL_OPEN, Endings, PathEnd
from fillbook.analysis.path import Leg, TradePath, trade_path
from fillbook.analysis.performance import outcomes
from fillbook.analysis.rows import average_price
from fillbook.analysis.tradebook import TradeTable, trade_tables
from fillbook.analysis.valuation import Valuer
from fillbook.analysis.view import AS_RECORDED, FLAT_TO_FLAT, BookView, Query, parts_of
from fillbook.ground.clock import HOUR_NS, SECOND_NS, iso
from fillbook.ground.exact import (
    MONEY_SCALE,
    decimals_of,
    from_scaled,
    money_text,
    scaled_text,
    to_scaled,
)
from fillbook.ledger import layout
from fillbook.ledger.amounts import to_int
from fillbook.ledger.columns import APPROXIMATE
from fillbook.ledger.group import GroupLedger, trade_ids
from fillbook.resolve.assignment import leg_in, strategy_in

MARKS = "marks"
FILLS_ONLY = "from fills only"
Outcome = Literal["win", "loss", "break-even", "unpriced", "open"]
_OUTCOME: dict[int, Outcome] = {1: "win", -1: "loss", 0: "break-even"}


def trades(view: BookView, query: Query) -> list[TradeRow]:
    """List the trades closed in the window, then those still open at its end, in time order."""
    parts, until_ns = parts_of(view, query), view.until_ns(query)
    closed, opened = trade_tables(parts, view.valuer, query.since_ns, until_ns)
    listing = _Listing(view, until_ns, _endings(view, closed.values()))
    rows: list[tuple[int, TradeRow]] = []
    for tables, is_open in ((closed, False), (opened, True)):
        for table in tables.values():
            classes = outcomes(table.gross if table.fee_unknown.any() else table.net, table.n_fills)
            for place, close_ns in enumerate(table.close_ns.tolist()):
                outcome: Outcome = "open" if is_open else _OUTCOME[int(classes[place])]
                rows.append((close_ns, listing.row(table, place, outcome)))
    rows.sort(key=lambda item: (item[0], item[1].entry_time, item[1].trade_id))
    return [row for _, row in rows]


class _Listing:
    """Makes the rows of one list; those of open trades only once in a view."""

    def __init__(self, view: BookView, until_ns: int, endings: Endings) -> None:
        self._view = view
        self._until_ns = until_ns
        self._endings = endings
        self._ids: dict[int, list[str]] = {}

    def row(self, table: TradeTable, place: int, outcome: Outcome) -> TradeRow:
        """Return the row of one trade of a table."""
        group, number = table.groups[int(table.group[place])], int(table.number[place])
        if outcome != "open":
            return self._made(table, place, group, number, outcome)
        told, known = (id(group), number, self._until_ns), self._view.open_rows
        if told not in known:
            known[told] = self._made(table, place, group, number, outcome)
        return known[told]

    def _made(
        self, table: TradeTable, place: int, group: GroupLedger, number: int, outcome: Outcome
    ) -> TradeRow:
        if id(group) not in self._ids:
            self._ids[id(group)] = trade_ids(group)
        name = self._ids[id(group)][number]
        valuer, until_ns = self._view.valuer, self._until_ns
        row = _row(table, place, group, name, outcome, valuer, until_ns, self._endings)
        revision = self._view.ledger.revised.get(name, 0)
        return msgspec.structs.replace(row, revision=revision) if revision else row


def _endings(view: BookView, closed: Iterable[TradeTable]) -> Endings:
    closing = (
        (group, int(group.books.trades[number]["close_event"]))
        for table in closed
        for group, number in zip(
            (table.groups[place] for place in table.group.tolist()),
            table.number.tolist(),
            strict=True,
        )
    )
    return Endings(view.ledger, view.settings.strategies.rules, closing)


def _row(
    table: TradeTable,
    place: int,
    group: GroupLedger,
    name: str,
    outcome: Outcome,
    valuer: Valuer,
    until_ns: int,
    endings: Endings,
) -> TradeRow:
    columns = group.columns
    trade = group.books.trades[int(table.number[place])]
    is_open, unpriced = outcome == "open", bool(table.unpriced[place])
    fee_unknown, untimed = bool(table.fee_unknown[place]), bool(table.untimed[place])
    first, last = int(trade["open_event"]), int(trade["close_event"])
    rows = trade_rows(group, int(table.number[place]))
    book = columns.books[int(trade["book"])]
    leg = leg_in(book)
    path = None if unpriced else _path(group, rows, valuer, is_open, until_ns)
    ended = STILL_OPEN if is_open else endings.of(group, last, _path_end(table, place, path))
    held_ns = None if is_open or untimed else int(table.close_ns[place] - table.open_ns[place])
    return TradeRow(
        trade_id=leg or name,
        seq=int(columns.seq[first]),
        account=columns.key.account,
        venue=columns.key.venue,
        product_id=columns.key.instrument,
        side="LONG" if trade["side"] > 0 else "SHORT",
        entry_time=iso(int(table.open_ns[place])),
        exit_time=None if is_open else iso(int(table.close_ns[place])),
        holding_duration_seconds=None if held_ns is None else held_ns / SECOND_NS,
        holding_duration_hours=None if held_ns is None else held_ns / HOUR_NS,
        entry_price=_average(group, trade, "opened_qty", "entry_value"),
        exit_price=_average(group, trade, "closed_qty", "exit_value"),
        position_size=scaled_text(int(trade["max_qty"]), columns.terms.qty_scale),
        realized_pnl=None if unpriced else money_text(to_int(table.gross[place])),
        fees=None if fee_unknown else money_text(to_int(table.fees[place])),
        funding=money_text(to_int(table.funding[place])),
        net=None if fee_unknown or unpriced else money_text(to_int(table.net[place])),
        currency=table.currency,
        outcome="unpriced" if unpriced and not is_open else outcome,
        mfe=None if path is None else money_text(path.mfe),
        mae=None if path is None else money_text(path.mae),
        peak_pnl=None if path is None else money_text(path.mfe),
        max_drawdown=None if path is None else money_text(path.max_drawdown),
        path=MARKS if path is not None and path.n_marks else FILLS_ONLY,
        exit_reason=ended.reason,
        exit_cause=ended.cause,
        exit_cause_certain=ended.certain,
        exit_price_source=ended.px_source,
        final_status="open" if is_open else "completed",
        strategy=strategy_in(book),
        decision_id=columns.decision_id[first],
        definition=FLAT_TO_FLAT if leg is None else AS_RECORDED,
        approximate=_is_approximate(group, trade, rows),
        fills=int(trade["n_fills"]),
        first_fill=columns.fill_id[first],
        last_fill=None if is_open else columns.fill_id[last],
    )


def _path_end(table: TradeTable, place: int, path: TradePath | None) -> PathEnd:
    """Return what a trade's path amounts to; its extremes only where marks were seen on the way."""
    pnl = None if table.unpriced[place] else _money(to_int(table.gross[place]))
    if path is None or not path.n_marks:
        return PathEnd(pnl, None, None)
    return PathEnd(pnl, _money(path.mfe), _money(path.mae))


def _money(amount: int) -> Decimal:
    return from_scaled(amount, MONEY_SCALE)


def trade_rows(group: GroupLedger, number: int) -> list[int]:
    """Return the rows of the group that touched one trade, in order."""
    trade, flows = group.books.trades[number], group.books.outputs
    first = int(trade["open_event"])
    last = len(group) if trade["close_event"] < 0 else int(trade["close_event"]) + 1
    span = slice(first, last)
    touched = (flows.trade_open[span] == number) | (flows.trade_close[span] == number)
    return (np.flatnonzero(touched) + first).tolist()


def _is_approximate(group: GroupLedger, trade: np.void, rows: list[int]) -> bool:
    """Say whether an adjustment touched the trade, or a fill that was inferred, not reported."""
    adjusted = bool(trade["flags"] & layout.TRADE_APPROXIMATE)
    return adjusted or bool((group.columns.traits[rows] & APPROXIMATE).any())


def _average(group: GroupLedger, trade: np.void, qty: str, value: str) -> str | None:
    columns = group.columns
    amount = to_int(np.ascontiguousarray(trade[value]))
    return average_price(columns.contract, int(trade[qty]), columns.terms.qty_scale, amount)


def _path(
    group: GroupLedger, rows: list[int], valuer: Valuer, is_open: bool, until_ns: int
) -> TradePath | None:
    """Follow a trade over marks on one common price scale; None where it has no fills."""
    columns, terms = group.columns, group.columns.terms
    series = valuer.series(columns.key.venue, columns.key.instrument)
    fills = [row for row in rows if columns.events.kind[row] == layout.FILL]
    if not fills or columns.contract.contract == "inverse":
        return None
    scale = terms.price_scale if series is None else max(terms.price_scale, series.scale)
    lift = 10 ** (scale - terms.price_scale)
    number = int(group.books.outputs.trade_open[fills[0]])
    legs = [
        Leg(int(columns.ts_ns[row]), _moved(group, row, number), int(columns.price[row]) * lift)
        for row in fills
    ]
    marks = np.zeros(0, np.int64), np.zeros(0, np.int64)
    if series is not None:
        last_ns = until_ns if is_open else legs[-1].ts_ns
        inside = slice(
            int(series.ts_ns.searchsorted(legs[0].ts_ns)),
            int(series.ts_ns.searchsorted(last_ns, side="right")),
        )
        marks = series.ts_ns[inside], series.px[inside] * 10 ** (scale - series.scale)
    multiplier_scale = decimals_of(columns.contract.multiplier)
    multiplier = to_scaled(columns.contract.multiplier, multiplier_scale)
    excess = scale + terms.qty_scale + multiplier_scale - MONEY_SCALE
    return trade_path(
        legs,
        *marks,
        factor=multiplier * 10 ** max(0, -excess),
        divisor=10 ** max(0, excess),
    )


def _moved(group: GroupLedger, row: int, number: int) -> int:
    """Return the signed part of a fill's quantity that belongs to one trade (flips have two)."""
    columns, flows = group.columns, group.books.outputs
    qty, closed = int(columns.events.qty[row]), int(flows.closed_qty[row])
    sign = 1 if qty > 0 else -1
    closing = sign * closed if int(flows.trade_close[row]) == number else 0
    opening = qty - sign * closed if int(flows.trade_open[row]) == number else 0
    return closing + opening
