"""Events for the kernel's tests: from plain events to columns, and random sequences of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

import oracle
from fillbook.ledger import layout
from fillbook.ledger.amounts import from_ints, to_int, to_ints
from fillbook.ledger.fold import EventColumns, FoldResult, State
from oracle import Event

KINDS = {
    "fill": layout.FILL,
    "funding": layout.FUNDING,
    "adjust": layout.ADJUST,
    "fee": layout.FEE,
    "share": layout.FUNDING_SHARE,
}
METHODS = {"average": layout.AVERAGE, "fifo": layout.FIFO, "lifo": layout.LIFO}


def columns(events: Sequence[Event]) -> EventColumns:
    """Plain events as the kernel's columns."""
    built = EventColumns.allocate(len(events))
    for i, event in enumerate(events):
        built.kind[i] = KINDS[event.kind]
        built.book[i] = event.book
        built.qty[i] = event.qty
        built.px[i] = event.px
        built.flags[i] = (
            (layout.DECISION_KNOWN if event.decision_known else 0)
            | (layout.FEE_UNKNOWN if event.fee_unknown else 0)
            | (layout.OPENING if event.opening else 0)
        )
    built.fee[:] = from_ints(event.fee for event in events)
    built.amount[:] = from_ints(event.amount for event in events)
    return built


def rows_of(result: FoldResult) -> list[oracle.Row]:
    """The kernel's outputs in the oracle's words."""
    out, rows = result.outputs, []
    realised = [to_ints(out.realised[:, rung]) for rung in range(4)]
    fees, funding = to_ints(out.fee_open), to_ints(out.funding)
    removed = {
        int(row["event"]): [to_int(row["cost"][rung]) for rung in range(4)]
        for row in result.removed
    }
    first = result.state.n_events - result.n_folded
    for i in range(result.n_folded):
        flags = int(out.flags[i])
        rows.append(
            oracle.Row(
                realised=[realised[rung][i] for rung in range(4)],
                closed_qty=int(out.closed_qty[i]),
                unpriced_closed=int(out.unpriced_closed[i]),
                position_after=int(out.position_after[i]),
                trade_close=int(out.trade_close[i]),
                trade_open=int(out.trade_open[i]),
                fee_open=fees[i],
                funding=funding[i],
                realised_unknown=bool(flags & layout.REALISED_UNKNOWN),
                signal_unpriced=bool(flags & layout.SIGNAL_UNPRICED),
                outside_trade=bool(flags & layout.OUTSIDE_TRADE),
                removed=removed.get(first + i),
            )
        )
    return rows


def trades_of(result: FoldResult) -> list[oracle.Trade]:
    """The kernel's trades in the oracle's words."""
    return [_trade(row) for row in result.trades]


def _trade(row: Any) -> oracle.Trade:
    flags = int(row["flags"])
    return oracle.Trade(
        number=int(row["number"]),
        book=int(row["book"]),
        open_event=int(row["open_event"]),
        side=int(row["side"]),
        close_event=int(row["close_event"]),
        n_fills=int(row["n_fills"]),
        opened_qty=int(row["opened_qty"]),
        closed_qty=int(row["closed_qty"]),
        max_qty=int(row["max_qty"]),
        opened_unpriced_qty=int(row["opened_unpriced_qty"]),
        entry_value=to_int(row["entry_value"]),
        exit_value=to_int(row["exit_value"]),
        realised=[to_int(row["realised"][rung]) for rung in range(4)],
        signal_unpriced=to_int(row["signal_unpriced"]),
        fees=to_int(row["fees"]),
        funding=to_int(row["funding"]),
        unpriced=bool(flags & layout.TRADE_UNPRICED),
        approximate=bool(flags & layout.TRADE_APPROXIMATE),
        fee_unknown=bool(flags & layout.TRADE_FEE_UNKNOWN),
        decision_unknown=bool(flags & layout.TRADE_SIGNAL_UNPRICED),
    )


def costs_of(state: State, book: int) -> list[int]:
    """The cost of a book's priced quantity, per rung."""
    return [to_int(state.books["cost"][book, rung]) for rung in range(4)]


def lots_of(state: State) -> list[list[tuple[int, list[int]]]]:
    """Open lots per book, in order of consumption: (signed quantity, cost per rung)."""
    rows = [
        (int(lot["qty"]), [to_int(lot["cost"][rung]) for rung in range(4)]) for lot in state.lots
    ]
    counts = state.books["n_lots"].tolist()
    return [[rows.pop(0) for _ in range(count)] for count in counts]


def random_events(
    rng: random.Random,
    count: int,
    n_books: int = 1,
    qty_max: int = 10**6,
    px_max: int = 10**7,
    kinds: Sequence[str] = ("fill",) * 12 + ("funding", "adjust", "fee", "share"),
) -> list[Event]:
    """A life of a group: opens, scale-ins, partial exits, exits, flips, and what disturbs them."""
    positions = [0] * n_books
    events: list[Event] = []
    while len(events) < count:
        kind, book = rng.choice(kinds), rng.randrange(n_books)
        amount = rng.choice((1, -1)) * rng.randrange(10**18)
        if kind == "share":
            events += [Event("share", book=each, amount=amount) for each in range(n_books)]
            continue
        if kind in ("funding", "fee"):
            fee = amount if kind == "fee" else 0
            events.append(Event(kind, book=book, amount=amount - fee, fee=fee))
            continue
        held, size = positions[book], rng.randrange(1, qty_max)
        qty = rng.choice(
            (
                size if held >= 0 else -size,
                -(held // rng.randint(1, 3)) or size,
                -held or -size,
                -held * 2 + rng.randint(-2, 2),
                rng.randint(-3, 3) - held,
                rng.choice((size, -size, 0)),
            )
        )
        positions[book] += qty
        if kind == "adjust":
            events.append(Event("adjust", book=book, qty=qty, opening=rng.random() < 0.3))
            continue
        px = rng.randint(-px_max // 50, px_max)
        events.append(
            Event(
                "fill",
                book=book,
                qty=qty,
                px=tuple(px + rng.randint(-999, 999) for _ in range(4)),  # type: ignore[arg-type]
                fee=rng.randint(-(10**15), 10**16),
                decision_known=rng.random() < 0.9,
                fee_unknown=rng.random() < 0.05,
            )
        )
    return events


@st.composite
def lives(draw: st.DrawFn, max_size: int = 60, only_fills: bool = False) -> tuple[list[Event], int]:
    """A sequence of events, small enough for a counterexample to be read, and its book count."""
    n_books = draw(st.integers(1, 3))
    small = st.integers(-12, 12)
    px = st.integers(-3, 40)
    money = st.integers(-50, 50)
    fill = st.builds(
        Event,
        st.just("fill"),
        book=st.integers(0, n_books - 1),
        qty=small,
        px=st.tuples(px, px, px, px),
        fee=money,
        decision_known=st.booleans(),
        fee_unknown=st.booleans(),
    )
    kinds = [fill.map(lambda event: [event])] * (1 if only_fills else 3)
    if not only_fills:
        book = st.integers(0, n_books - 1)
        kinds += [
            st.builds(Event, st.just("adjust"), book=book, qty=small, opening=st.booleans()).map(
                lambda event: [event]
            ),
            st.builds(Event, st.just("funding"), book=book, amount=money).map(lambda e: [e]),
            st.builds(Event, st.just("fee"), book=book, fee=money).map(lambda e: [e]),
            money.map(
                lambda amount: [Event("share", book=each, amount=amount) for each in range(n_books)]
            ),
        ]
    blocks = draw(st.lists(st.one_of(*kinds), max_size=max_size))
    return [event for block in blocks for event in block], n_books
