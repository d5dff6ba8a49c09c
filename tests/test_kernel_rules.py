"""The rules of folding, one small story each, and what the way into the kernel promises."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest

from fillbook.ledger import layout
from fillbook.ledger.fold import EventColumns, FoldError, FoldResult, Outputs, State, fold_group
from kernel_cases import METHODS, columns, costs_of, lots_of, rows_of, trades_of
from oracle import Event


def fill(qty: int, px: int, fee: int = 0, book: int = 0, **more: bool) -> Event:
    return Event("fill", book=book, qty=qty, px=(px, px, px, px), fee=fee, **more)


def fold(
    events: list[Event], n_books: int = 1, dust: int = 1, method: str = "average"
) -> FoldResult:
    result = fold_group(
        columns(events), method=METHODS[method], factor=1, dust=dust, n_books=n_books
    )
    assert result.error is None
    return result


def test_average_close_removes_the_floor_and_the_last_close_the_rest() -> None:
    result = fold(
        [fill(3, 0), replace(fill(0, 0), qty=4, px=(25, 25, 25, 25)), fill(-2, 0), fill(-5, 0)]
    )
    # cost 100 of 7: two take floor(200 / 7) = 28, the last five all of the remaining 72
    assert [row.realised[3] for row in rows_of(result)] == [0, 0, -28, -72]


def test_average_close_of_a_short_rounds_towards_zero_too() -> None:
    result = fold([fill(-7, 1), fill(2, 0), fill(5, 0)])
    assert [row.realised[3] for row in rows_of(result)] == [0, 2, 5]
    result = fold([replace(fill(-7, 0), px=(-3, -3, -3, -3)), fill(2, 0)])
    assert rows_of(result)[1].realised[3] == -6  # cost +21 of a short at a negative price


def test_fifo_takes_the_oldest_and_lifo_the_newest_lot() -> None:
    events = [fill(2, 10), fill(3, 20), fill(-4, 30)]
    fifo, lifo = fold(events, method="fifo"), fold(events, method="lifo")
    assert rows_of(fifo)[2].realised[3] == 120 - (2 * 10 + 2 * 20)
    assert rows_of(lifo)[2].realised[3] == 120 - (3 * 20 + 1 * 10)
    assert lots_of(fifo.state) == [[(1, [20] * 4)]]
    assert lots_of(lifo.state) == [[(1, [10] * 4)]]


def test_unpriced_quantity_is_consumed_first_and_its_result_is_unknown() -> None:
    events = [Event("adjust", qty=5, opening=True), fill(5, 10), fill(-7, 12), fill(-3, 12)]
    result = fold(events)
    first, second = rows_of(result)[2:]
    assert (first.closed_qty, first.unpriced_closed, first.realised_unknown) == (7, 5, True)
    assert first.realised[3] == 2 * 12 - 2 * 10
    assert (second.unpriced_closed, second.realised_unknown) == (0, False)
    (trade,) = trades_of(result)
    assert (trade.unpriced, trade.approximate) == (True, False)
    assert (trade.opened_unpriced_qty, trade.opened_qty, trade.closed_qty) == (5, 5, 10)
    assert trade.exit_value == 10 * 12


def test_an_adjustment_down_reports_the_cost_it_took() -> None:
    result = fold([fill(10, 7), Event("adjust", qty=-4), fill(-6, 9)])
    row = rows_of(result)[1]
    assert (row.removed, row.realised, row.realised_unknown) == ([28] * 4, [0] * 4, True)
    (trade,) = trades_of(result)
    assert (trade.approximate, trade.unpriced, trade.realised[3]) == (True, True, 6 * 2)


def test_an_adjustment_across_zero_closes_one_trade_and_opens_an_unpriced_one() -> None:
    result = fold([fill(4, 7), Event("adjust", qty=-6), fill(2, 9)])
    rows, trades = rows_of(result), trades_of(result)
    assert (rows[1].trade_close, rows[1].trade_open, rows[1].position_after) == (0, 1, -2)
    assert [trade.side for trade in trades] == [1, -1]
    assert trades[1].approximate
    assert rows[2].unpriced_closed == 2


def test_a_flip_closes_one_trade_opens_the_next_and_splits_its_fee() -> None:
    result = fold([fill(1, 100, fee=1), fill(-3, 120, fee=10), fill(2, 110)])
    rows, (long, short) = rows_of(result), trades_of(result)
    assert (rows[1].trade_close, rows[1].trade_open, rows[1].fee_open) == (0, 1, 7)
    assert (long.fees, short.fees) == (4, 7)  # 10 / 3 rounds to 3, the opening part gets the rest
    assert (long.realised[3], short.realised[3]) == (20, 20)
    assert (long.n_fills, short.n_fills) == (2, 2)
    assert (long.close_event, short.open_event) == (1, 1)


def test_a_flip_fee_rounds_half_to_even() -> None:
    fees = [
        trades_of(fold([fill(1, 1), fill(-2, 1, fee=fee)]))[0].fees for fee in (1, 3, 5, -1, -3)
    ]
    assert fees == [0, 2, 2, 0, -2]


def test_dust_closes_the_trade_keeps_its_cost_and_passes_to_the_next() -> None:
    result = fold([fill(100, 10), fill(-98, 11), fill(50, 12), fill(-52, 13)], dust=5)
    rows, (first, second) = rows_of(result), trades_of(result)
    assert (first.close_event, rows[1].position_after) == (1, 2)
    assert first.realised[3] == 98 * 11 - 980
    assert (second.opened_qty, second.entry_value, second.max_qty) == (52, 20 + 600, 52)
    assert second.realised[3] == 52 * 13 - 620


def test_a_fill_against_dust_realises_it_into_the_trade_it_opens() -> None:
    result = fold([fill(100, 10), fill(-98, 11), fill(-50, 12, fee=3)], dust=5)
    row, (_, short) = rows_of(result)[2], trades_of(result)
    assert (row.trade_close, row.trade_open, row.closed_qty) == (1, 1, 2)
    assert short.realised[3] == 2 * (12 - 10)
    assert (short.opened_qty, short.closed_qty, short.fees, short.side) == (48, 0, 3, -1)


def test_dust_alone_opens_no_trade() -> None:
    result = fold([fill(3, 10, fee=1), fill(-3, 11), fill(4, 10)], dust=5)
    assert len(result.trades) == 0
    rows = rows_of(result)
    assert [row.outside_trade for row in rows] == [True, True, True]
    assert [row.realised[3] for row in rows] == [0, 3, 0]
    assert rows[2].position_after == 4


def test_signal_is_unpriced_from_the_first_fill_without_a_decision_on() -> None:
    events = [
        fill(4, 10),
        fill(-1, 12),
        fill(-1, 13, decision_known=False),
        fill(-2, 11),
        fill(1, 5),
    ]
    result = fold(events)
    trade, after = trades_of(result)
    assert [row.signal_unpriced for row in rows_of(result)] == [False, False, True, True, False]
    assert (trade.realised[0], trade.signal_unpriced) == (2 + 3 + 2, 3 + 2)
    assert not after.decision_unknown


def test_money_without_quantity_goes_to_the_open_trade_or_to_none() -> None:
    events = [Event("fee", fee=5), fill(2, 10), Event("fee", fee=7), Event("funding", amount=-3)]
    result = fold([*events, fill(-2, 10), Event("funding", amount=9)])
    rows, (trade,) = rows_of(result), trades_of(result)
    assert [row.outside_trade for row in rows] == [True, False, False, False, False, True]
    assert (trade.fees, trade.funding) == (7, -3)
    assert [row.funding for row in rows] == [0, 0, 0, -3, 0, 9]
    assert [row.fee_open for row in rows][:3] == [0, 0, 7]


def shares(amount: int, n_books: int) -> list[Event]:
    return [Event("share", book=book, amount=amount) for book in range(n_books)]


def test_shares_follow_signed_quantity_and_sum_to_the_amount() -> None:
    events = [fill(1, 9), fill(1, 9, book=1), fill(1, 9, book=2), *shares(100, 3), *shares(-50, 3)]
    rows = rows_of(fold(events, n_books=3))
    assert [row.funding for row in rows[3:6]] == [33, 34, 33]
    assert [row.funding for row in rows[6:]] == [-17, -16, -17]
    events = [fill(3, 9), fill(-2, 9, book=1), *shares(10, 2)]
    assert [row.funding for row in rows_of(fold(events, n_books=2))[2:]] == [30, -20]


def test_shares_without_an_open_book_stay_with_the_group() -> None:
    events = [
        fill(1, 9),
        fill(-1, 9),
        *shares(70, 2),
        fill(3, 9),
        fill(-3, 9, book=1),
        *shares(8, 2),
    ]
    rows = rows_of(fold(events, n_books=2))
    assert [(row.funding, row.trade_open) for row in rows[2:4]] == [(70, -1), (0, -1)]
    assert [row.funding for row in rows[6:]] == [8, 0]


@pytest.mark.parametrize(
    "events",
    [
        [Event("share", book=1, amount=5)],
        [Event("share", book=0, amount=5), fill(1, 1)],
        [Event("share", book=0, amount=5), Event("share", book=0, amount=5)],
    ],
)
def test_a_broken_block_of_shares_stops_the_fold(events: list[Event]) -> None:
    result = fold_group(columns(events), method=layout.AVERAGE, factor=1, n_books=2)
    assert result.error == FoldError(layout.SHARE_BROKEN, len(events) - 1)


BIG = 2**62
HUGE = 2**127 - 1


@pytest.mark.parametrize(
    ("events", "factor", "code"),
    [
        ([fill(1, 1), fill(BIG, BIG)], 8, layout.VALUE_OVERFLOW),
        ([fill(BIG, 1), fill(BIG, 1)], 1, layout.QTY_OVERFLOW),
        ([fill(-BIG, BIG)], 8, layout.MONEY_OVERFLOW),  # -2**127 fits, its entry value does not
        ([fill(BIG, BIG), fill(BIG - 1, BIG)], 6, layout.MONEY_OVERFLOW),
        ([fill(1, 1), Event("fee", fee=HUGE), Event("fee", fee=1)], 1, layout.MONEY_OVERFLOW),
        ([fill(BIG, BIG), fill(-1, 1), fill(1 - BIG, -BIG)], 6, layout.MONEY_OVERFLOW),
        ([fill(2, 1, fee=HUGE), fill(2, 1, fee=1)], 1, layout.MONEY_OVERFLOW),
        ([fill(2, 1, fee=HUGE), fill(-1, 1, fee=1)], 1, layout.MONEY_OVERFLOW),
        ([fill(2, 1, fee=HUGE), fill(-2, 1, fee=1)], 1, layout.MONEY_OVERFLOW),
        ([fill(2, 1, fee=HUGE), fill(-9, 1, fee=9)], 1, layout.MONEY_OVERFLOW),
        ([fill(1, 1), *[Event("funding", amount=-HUGE)] * 2], 1, layout.MONEY_OVERFLOW),
        ([fill(1, 1), Event("adjust", qty=BIG), Event("adjust", qty=BIG)], 1, layout.QTY_OVERFLOW),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_what_does_not_fit_stops_the_fold_before_it(
    events: list[Event], factor: int, code: int, method: str
) -> None:
    last = len(events) - 1
    padded = [fill(1, 1), fill(-1, 1)] * 5 + events
    result = fold_group(columns(padded), method=METHODS[method], factor=factor, checkpoint_every=4)
    assert result.error == FoldError(code, 10 + last)
    assert result.n_folded == 10 + last
    clean = fold_group(columns(padded[:-1]), method=METHODS[method], factor=factor)
    assert result.state == clean.state
    assert result.trades.tobytes() == clean.trades.tobytes()
    assert rows_of(result) == rows_of(clean)


def test_a_sum_of_lots_that_does_not_fit_stops_the_fold() -> None:
    # -3, +3, +3 in units of 2**125: together they fit, the last two do not
    lots = [fill(BIG // 2, -BIG), fill(BIG // 2, BIG), fill(BIG // 2, BIG), fill(-BIG, 1)]
    errors = {
        name: fold_group(columns(lots), method=method, factor=12).error
        for name, method in METHODS.items()
    }
    stopped = FoldError(layout.MONEY_OVERFLOW, 3)
    assert errors == {"average": None, "fifo": None, "lifo": stopped}


def test_the_largest_money_that_fits_is_exact() -> None:
    result = fold([Event("fill", qty=1, fee=HUGE), Event("fee", fee=-(2**127) + 1)])
    assert trades_of(result)[0].fees == 0
    result = fold_group(columns([fill(-(2**63) + 1, -(2**63) + 1)]), method=0, factor=2)
    assert costs_of(result.state, 0) == [2 * (2**63 - 1) ** 2] * 4


def test_reused_and_longer_memory_gives_the_same_rows() -> None:
    first = [fill(5, 10, fee=3), Event("funding", amount=4), Event("adjust", qty=-9), fill(4, 2)]
    second = [fill(2, 10), fill(-1, 12), fill(-1, 9)]
    outputs = Outputs.allocate(7)
    fold_group(columns(first), method=0, factor=1, outputs=outputs)
    again = fold_group(columns(second), method=0, factor=1, outputs=outputs)
    assert rows_of(again) == rows_of(fold(second))
    assert trades_of(again) == trades_of(fold(second))


def test_read_only_columns_are_taken_as_they_are() -> None:
    events = columns([fill(2, 10), fill(-2, 12)])
    for field in fields(events):
        getattr(events, field.name).flags.writeable = False
    result = fold_group(events, method=0, factor=1)
    assert [row.realised[3] for row in rows_of(result)] == [0, 4]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"qty": np.zeros(2, np.int32)}, "column qty"),
        ({"px": np.zeros((2, 3), np.int64)}, "column px"),
        ({"fee": np.zeros((2, 4), np.int64)[:, ::2]}, "column fee"),
        ({"book": np.array([0, 1], np.int32)}, "books must lie"),
        ({"book": np.array([-1, 0], np.int32)}, "books must lie"),
        ({"kind": np.array([0, 9], np.uint8)}, "no kind of event 9"),
    ],
)
def test_columns_the_kernel_cannot_read_are_refused(
    change: dict[str, np.ndarray], said: str
) -> None:
    events = replace(EventColumns.allocate(2), **change)
    with pytest.raises(ValueError, match=said):
        fold_group(events, method=layout.AVERAGE, factor=1)


@pytest.mark.parametrize(
    "rules",
    [{"method": 3}, {"divisor": 0}, {"divisor": 2**63}, {"factor": 2**63}, {"dust": -1}],
)
def test_rules_the_kernel_cannot_follow_are_refused(rules: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"lot method|int64"):
        fold_group(EventColumns.allocate(1), **{"method": 0, "factor": 1, **rules})


def test_a_state_knows_when_two_folds_go_on_alike() -> None:
    one = fold([fill(2, 10), fill(-2, 12), fill(5, 7)]).state
    two = fold([fill(5, 7)]).state
    assert one != two
    assert one.same_money(two)
    assert not one.same_money(fold([fill(5, 8)]).state)
    assert State.from_bytes(one.to_bytes()) == one
    with pytest.raises(ValueError, match="not a fold state"):
        State.from_bytes(one.to_bytes()[:-1])


def test_nothing_folds_to_nothing() -> None:
    result = fold_group(EventColumns.allocate(0), method=layout.FIFO, factor=1, n_books=2)
    assert (result.n_folded, len(result.trades), result.error) == (0, 0, None)
    assert result.state == State.empty(2)


def test_reading_a_ledger_does_not_load_the_compiler() -> None:
    check = (
        "import sys, fillbook.ledger.fold, fillbook.ledger.blocks, fillbook.ledger.amounts; "
        "sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
