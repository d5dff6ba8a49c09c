"""Generic rows that are no fills: funding, decisions, marks, orders, transfers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from fillbook.facts.identity import key_of, printed_key
from fillbook.facts.model import Decision, Funding, OrderUpdate, Transfer
from fillbook.marks.series import Mark, What
from fillbook.sources.files.bot_orders import status_in
from fillbook.sources.files.generic_cells import Cells
from fillbook.sources.source import Draft, Drafted, RowError

_WHATS: dict[str, What] = {"mark": "mark", "mid": "mid", "last": "last", "rate": "rate"}
_ACTIONS: dict[str, Literal["buy", "sell", "hold"]] = {
    "buy": "buy",
    "sell": "sell",
    "hold": "hold",
}


def funding(cells: Cells) -> Iterator[Drafted]:
    """One funding payment; positive = received."""
    row, described = cells.row, cells.instrument()
    paid = Funding(
        venue=cells.venue,
        account=cells.account,
        ts_ns=cells.when("time"),
        printed_ns=cells.printed_ns("time"),
        instrument=described.symbol,
        amount=row.amount("amount"),
        asset=row.text("asset") or described.settle,
        funding_id=row.text("funding_id"),
        rate=row.number("rate"),
        position_qty=row.number("position_qty"),
        position_side=cells.position_side(),
        strategy=row.text("strategy"),
    )
    if paid.funding_id is not None:
        key = key_of(paid.ts_ns, paid.instrument, paid.funding_id)
        yield Draft(paid, key, instrument=described)
        return
    key = printed_key(cells.printed("time"), paid.instrument, paid.position_side, paid.strategy)
    yield Draft(paid, key, idless=True, ranked=True, instrument=described)


def decision(cells: Cells) -> Iterator[Drafted]:
    """What a strategy wanted; linked to fills by whichever ids it names."""
    row = cells.row
    links = [row.text(name) for name in ("fill_id", "order_id", "client_order_id")]
    named = row.text("decision_id") or next((link for link in links if link), None)
    if named is None:
        raise RowError("decision_id", "is blank, and so are fill_id, order_id, client_order_id")
    ts_ns = cells.when("time")
    wanted = Decision(
        venue=cells.venue,
        account=cells.account,
        ts_ns=ts_ns,
        printed_ns=cells.printed_ns("time"),
        decision_id=named,
        instrument=row.need("instrument"),
        action=row.choice("action", _ACTIONS),
        decision_px=row.optional_positive("decision_px"),
        arrival_px=row.optional_positive("arrival_px"),
        mid_px=row.optional_positive("mid_px"),
        qty=row.optional_positive("qty"),
        confidence=row.number("confidence"),
        strategy=row.text("strategy"),
        fill_id=links[0],
        order_id=links[1],
        client_order_id=links[2],
        reason=row.text("reason"),
    )
    yield Draft(wanted, key_of(ts_ns, wanted.instrument, named))


def mark(cells: Cells) -> Iterator[Drafted]:
    """What one unit of an instrument was worth."""
    row = cells.row
    what = row.choice("what", _WHATS) if row.text("what") else "mark"
    yield Mark(
        venue=cells.venue,
        instrument=row.need("instrument"),
        ts_ns=cells.when("time"),
        px=row.positive("px"),
        what=what,
        source=cells.source,
    )


def order(cells: Cells) -> Iterator[Drafted]:
    """A change in the life of an order."""
    row = cells.row
    changed = OrderUpdate(
        venue=cells.venue,
        account=cells.account,
        ts_ns=cells.when("time"),
        printed_ns=cells.printed_ns("time"),
        instrument=row.need("instrument"),
        status=status_in(row, "status"),
        side=cells.side(trip=True) if row.text("side") else None,
        order_id=row.text("order_id"),
        client_order_id=row.text("client_order_id"),
        order_type=row.text("order_type"),
        qty=row.number("qty"),
        px=row.optional_positive("px"),
        stop_px=row.optional_positive("stop_px"),
        filled_qty=row.number("filled_qty"),
        average_px=row.optional_positive("average_px"),
        expected_px=row.optional_positive("expected_px"),
        reduce_only=row.flag("reduce_only"),
        strategy=row.text("strategy"),
        decision_id=row.text("decision_id"),
        trade_id=row.text("trade_id"),
        reason=row.text("reason"),
    )
    ids = (changed.order_id, changed.client_order_id, changed.trade_id)
    key = printed_key(
        cells.printed("time"), changed.instrument, changed.status, *ids, changed.filled_qty
    )
    yield Draft(changed, key, idless=True, ranked=True)


def transfer(cells: Cells) -> Iterator[Drafted]:
    """Money or coins moved into (+) or out of (-) the account."""
    row, ts_ns = cells.row, cells.when("time")
    moved = Transfer(
        venue=cells.venue,
        account=cells.account,
        ts_ns=ts_ns,
        printed_ns=cells.printed_ns("time"),
        amount=row.amount("amount"),
        asset=row.need("asset"),
        transfer_id=row.text("transfer_id"),
        what=row.text("what"),
    )
    if moved.transfer_id is not None:
        yield Draft(moved, key_of(ts_ns, moved.asset, moved.transfer_id))
    else:
        key = printed_key(cells.printed("time"), moved.asset, moved.amount)
        yield Draft(moved, key, idless=True, ranked=True)
