"""Generic rows that become fills: executions, and recorded round trips."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from fillbook.facts.identity import key_of, printed_key
from fillbook.facts.model import Basis, Fill, Instrument, Liquidity
from fillbook.marks.series import Mark
from fillbook.sources.files.generic_cells import Cells
from fillbook.sources.files.round_trips import RoundTrip, is_closed
from fillbook.sources.rows import Row
from fillbook.sources.source import Draft, Drafted, RowError

_LIQUIDITY: dict[str, Liquidity] = {"maker": "maker", "taker": "taker"}
_BASES: dict[str, Basis] = {"gross": "gross", "net": "net"}


def fill(cells: Cells) -> Iterator[Drafted]:
    """One execution; with a `fee_rate`, also the rate as a mark of that instant."""
    row, described, side = cells.row, cells.instrument(), cells.side()
    liquidity = row.text("liquidity")
    basis = row.text("venue_pnl_basis")
    sequence = row.text("venue_seq")
    fee = row.number("fee")
    made = Fill(
        venue=cells.venue,
        account=cells.account,
        ts_ns=cells.when("time"),
        printed_ns=cells.printed_ns("time"),
        instrument=described.symbol,
        side=side,
        px=row.positive("px"),
        qty=row.positive("qty"),
        fee=fee,
        fee_asset=None if fee is None else row.text("fee_asset") or described.settle,
        fill_id=row.text("fill_id"),
        order_id=row.text("order_id"),
        client_order_id=row.text("client_order_id"),
        liquidity=row.choice("liquidity", _LIQUIDITY) if liquidity else None,
        position_side=cells.position_side(),
        strategy=row.text("strategy"),
        decision_id=row.text("decision_id"),
        venue_seq=None if sequence is None else _whole(row, "venue_seq"),
        start_position=row.number("start_position"),
        venue_pnl=row.number("venue_pnl"),
        venue_pnl_basis=row.choice("venue_pnl_basis", _BASES) if basis else "gross",
        decision_px=row.optional_positive("decision_px"),
        arrival_px=row.optional_positive("arrival_px"),
        mid_px=row.optional_positive("mid_px"),
        exit_reason=row.text("exit_reason"),
        from_floats=cells.terms.from_floats,
    )
    if made.fill_id is not None:
        key = key_of(made.ts_ns, made.instrument, made.fill_id, made.order_id, side)
    else:
        key = printed_key(
            cells.printed("time"), made.instrument, side, made.px, made.qty, made.order_id
        )
    idless = made.fill_id is None
    yield Draft(made, key, idless=idless, ranked=idless, instrument=described)
    yield from _rate(cells, described, made.ts_ns, made.fee_asset)


def round_trip(cells: Cells) -> Iterator[Drafted]:
    """One recorded trade: its entry, and its exit once closed."""
    row, described = cells.row, cells.instrument()
    trade = row.text("trade_id")
    entered = cells.printed("entry_time")
    closed = is_closed(row, None if cells.start_ns is not None else "exit_time", "exit_px")
    side, px, qty = cells.side(trip=True), row.positive("entry_px"), row.positive("qty")
    whole_fee = "fee" in row.cells
    split_fee = "entry_fee" in row.cells or "exit_fee" in row.cells
    if whole_fee and split_fee:
        raise RowError("fee", "stands beside entry_fee or exit_fee; map one or the other")
    trip = RoundTrip(
        leg=trade or f"{described.symbol} {entered} #{cells.number}",
        key=printed_key(entered, described.symbol, trade)
        if trade
        else printed_key(entered, described.symbol, side, px, qty),
        described=described,
        side=side,
        qty=qty,
        entry_ns=cells.when("entry_time"),
        entry_px=px,
        exit_ns=cells.when("exit_time") if closed else None,
        exit_px=row.positive("exit_px") if closed else None,
        printed_ns=cells.printed_ns("entry_time"),
        exit_printed_ns=cells.printed_ns("exit_time"),
        entry_fee=Decimal(0) if whole_fee else row.number("entry_fee"),
        exit_fee=row.number("fee" if whole_fee else "exit_fee"),
        fee_asset=row.text("fee_asset"),
        pnl=row.number("pnl"),
        strategy=row.text("strategy"),
        exit_reason=row.text("exit_reason"),
        from_floats=cells.terms.from_floats,
        idless=trade is None,
    )
    yield from trip.drafts()
    if trip.exit_ns is not None:
        yield from _rate(cells, described, trip.exit_ns, trip.fee_asset)


def _rate(
    cells: Cells, described: Instrument, ts_ns: int, fee_asset: str | None
) -> Iterator[Drafted]:
    if cells.row.text("fee_rate") is None or fee_asset in (None, described.settle):
        return
    yield Mark(
        venue=cells.venue,
        instrument=f"{fee_asset}/{described.settle}",
        ts_ns=ts_ns,
        px=cells.row.positive("fee_rate"),
        what="rate",
        source=cells.source,
    )


def _whole(row: Row, name: str) -> int:
    text = row.need(name)
    if not text.isdecimal():
        raise RowError(name, f"{text!r} is not a whole number")
    return int(text)
