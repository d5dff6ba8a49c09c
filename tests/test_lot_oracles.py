"""Lots against two other accounting programs: what each sale takes, gains, and leaves.

Each purchase is given a decision price of its own, a mark that names it: the cost a lot carries
at the decision rung then tells which purchase it came from, even where prices are alike.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path

from fillbook.ground.exact import to_money, to_scaled
from fillbook.ledger import layout
from fillbook.ledger.amounts import to_int
from fillbook.ledger.fold import EventColumns, FoldResult, fold_group
from lot_cases import Lot, LotCase, Move, beancount_cases, hledger_cases

BEANCOUNT = "beancount/booking_full_cases.json"
HLEDGER = "hledger/lots-methods.test"
METHODS = {"AVERAGE": layout.AVERAGE, "FIFO": layout.FIFO, "LIFO": layout.LIFO}
CENTS = 2
FACTOR = 10**16  # whole units x cents -> the 1e-18 grid


def test_beancount_fifo_and_lifo_book_the_same_lots(corpus: Path) -> None:
    cases, disabled = beancount_cases(corpus / BEANCOUNT)
    assert Counter(case.method for case in cases) == {"FIFO": 7, "LIFO": 5}
    assert disabled == 11
    for case in cases:
        _check(case)


def test_beancount_sales_consume_the_lots_it_lists(corpus: Path) -> None:
    cases, _ = beancount_cases(corpus / BEANCOUNT)
    listed = 0
    for case in cases:
        if case.costless or not case.gains:
            continue
        before = _held(_fold(case, case.moves[:-1]), case)
        after = _held(_fold(case, case.moves), case)
        taken = Counter({lot.day: int(lot.qty) for lot in before})
        taken.subtract({lot.day: int(lot.qty) for lot in after})
        assert +taken == Counter({lot.day: int(lot.qty) for lot in case.taken or ()}), case.name
        listed += 1
    assert listed == 9


def test_hledger_fifo_lifo_and_average_agree(corpus: Path) -> None:
    cases, tally = hledger_cases(corpus / HLEDGER)
    assert tally == {
        "run": 12,
        "an error message": 6,
        "one pool over accounts": 6,
        "a transfer of lots": 5,
        "HIFO": 3,
    }
    assert Counter(case.method for case in cases) == {"LIFO": 5, "FIFO": 4, "AVERAGE": 6}
    assert sum(len(case.gains) for case in cases) == 14
    for case in cases:
        _check(case)


def test_an_average_pool_reduced_between_purchases_costs_what_hledger_says(corpus: Path) -> None:
    cases, _ = hledger_cases(corpus / HLEDGER)
    (case,) = [case for case in cases if case.name.startswith("22.")]
    book = _fold(case, case.moves).state.books[0]
    # (5 x 40 + 10 x 70) / 15 = 60 a piece; 10 of the 15 are left.
    assert int(book["priced_qty"]) == 10
    assert to_int(book["cost"][3]) == to_money(Decimal(600))


def _check(case: LotCase) -> None:
    result = _fold(case, case.moves)
    sales = [place for place, move in enumerate(case.moves) if move.qty < 0]
    assert len(sales) == len(case.gains), case.name
    for place, gain in zip(sales, case.gains, strict=True):
        unknown = bool(result.outputs.flags[place] & layout.REALISED_UNKNOWN)
        realised = to_int(result.outputs.realised[place, 3])
        assert (None if unknown else realised) == (gain and to_money(gain)), case.name
    if case.costless:
        # No lot matches, so nothing priced is consumed and no gain is made up.
        assert int(result.outputs.unpriced_closed[sales[0]]) == -case.moves[-1].qty
        assert int(result.state.books[0]["unpriced_qty"]) == 10
        return
    if case.remaining is None:
        return
    if case.method == "AVERAGE":
        assert int(result.state.books[0]["priced_qty"]) == sum(lot.qty for lot in case.remaining)
    else:
        assert _sorted(_held(result, case)) == _sorted(case.remaining), case.name


def _sorted(lots: list[Lot]) -> list[tuple[str, Decimal, Decimal | None]]:
    return sorted((lot.day, lot.qty, lot.cost) for lot in lots)


def _fold(case: LotCase, moves: list[Move]) -> FoldResult:
    events = EventColumns.allocate(len(moves))
    for place, move in enumerate(moves):
        bought_without_cost = case.costless and move.qty > 0
        events.kind[place] = layout.ADJUST if bought_without_cost else layout.FILL
        events.qty[place] = int(move.qty)
        px = to_scaled(move.px, CENTS)
        events.px[place] = (place + 1, px, px, px)
        events.flags[place] = layout.DECISION_KNOWN
    result = fold_group(events, method=METHODS[case.method], factor=FACTOR)
    assert result.error is None
    return result


def _held(result: FoldResult, case: LotCase) -> list[Lot]:
    """Return the open lots, each with the day of the purchase that its decision rung names."""
    held: list[Lot] = []
    for lot in result.state.lots:
        qty = int(lot["qty"])
        mark, remainder = divmod(to_int(lot["cost"][0]), qty * FACTOR)
        cost, cost_remainder = divmod(to_int(lot["cost"][3]), qty * FACTOR)
        assert (remainder, cost_remainder) == (0, 0)
        held.append(Lot(case.moves[mark - 1].day, Decimal(qty), Decimal(cost).scaleb(-CENTS)))
    return held
