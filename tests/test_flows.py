"""Windows over blocks and running sums are the plain sums of their rows."""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fillbook.analysis.explain import totals_of
from fillbook.analysis.tradebook import trade_tables
from fillbook.analysis.valuation import Valuer
from fillbook.analysis.view import Part
from fillbook.facts.model import Claim
from fillbook.ground.settings import FoldMethod
from fillbook.ledger import layout
from fillbook.ledger.amounts import from_ints, products, to_int, to_ints
from fillbook.ledger.group import GroupLedger
from fillbook.ledger.ledger import fold_claims
from strategies import HOUR, SECOND, Import, books, fill, funding, market, remember

INT64 = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(st.tuples(INT64, INT64), min_size=1, max_size=20))
def test_products_are_exact(pairs: list[tuple[int, int]]) -> None:
    left, right = (np.array(side, np.int64) for side in zip(*pairs, strict=True))
    assert to_ints(products(left, right)) == [ours * theirs for ours, theirs in pairs]


def plain_totals(group: GroupLedger, first: int, last: int) -> dict[str, object]:
    """Add up rows one by one, in Python integers."""
    columns, out = group.columns, group.books.outputs
    events, terms = columns.events, columns.terms
    sums = {"realised": [0, 0, 0, 0], "unpriced": 0, "fees": 0, "funding": 0}
    counts = {"n_fees": 0, "n_fee_unknown": 0, "n_unpriced_closes": 0, "adjusts": 0}
    fills, payments, paid, weights = set(), set(), Fraction(0), [0, 0, 0, 0, 0]
    for row in range(first, last):
        kind, given_, told = int(events.kind[row]), int(events.flags[row]), int(out.flags[row])
        realised = [to_int(out.realised[row, rung]) for rung in range(4)]
        sums["realised"] = [a + b for a, b in zip(sums["realised"], realised, strict=True)]  # type: ignore[call-overload]
        sums["unpriced"] += realised[0] if told & layout.SIGNAL_UNPRICED else 0  # type: ignore[operator]
        fee = to_int(events.fee[row])
        sums["fees"] += fee  # type: ignore[operator]
        sums["funding"] += to_int(out.funding[row])  # type: ignore[operator]
        counts["n_fees"] += fee != 0
        counts["adjusts"] += kind == layout.ADJUST
        if kind in (layout.FUNDING, layout.FUNDING_SHARE):
            payments.add(int(columns.seq[row]))
        if kind != layout.FILL:
            continue
        fills.add(int(columns.seq[row]))
        counts["n_fee_unknown"] += bool(given_ & layout.FEE_UNKNOWN)
        counts["n_unpriced_closes"] += bool(told & layout.REALISED_UNKNOWN)
        value = int(events.qty[row]) * int(events.px[row, 3])
        paid += round(Fraction(value * terms.factor, terms.divisor))  # half to even
        traits = int(columns.traits[row])
        known = (given_ & 1, traits & 1, traits & 2, not given_ & layout.FEE_UNKNOWN)
        weights = [w + abs(value) * bool(k) for w, k in zip(weights, (True, *known), strict=True)]
    told_of = {"n_fills": len(fills), "n_fundings": len(payments), "paid": paid}
    return {**sums, **counts, **told_of, "weights": weights}


def told_totals(group: GroupLedger, first: int, last: int) -> dict[str, object]:
    flows = group.flows
    told = flows.window(first, last)
    notional, known = flows.weights(first, last)
    return {
        "realised": list(told.realised),
        "unpriced": told.signal_unpriced,
        "fees": told.fees,
        "funding": told.funding,
        "n_fees": told.n_fees,
        "n_fee_unknown": told.n_fee_unknown,
        "n_unpriced_closes": told.n_unpriced_closes,
        "adjusts": plain_totals(group, first, last)["adjusts"]
        if flows.adjusted(first, last)
        else 0,
        "n_fills": told.n_fills,
        "n_fundings": told.n_fundings,
        "paid": flows.paid(first, last),
        "weights": [notional, *known],
    }


def window_of(group: GroupLedger, dice: random.Random) -> tuple[int, int]:
    """Draw the rows of some window of time."""
    times = [*group.columns.ts_ns.tolist(), int(group.columns.ts_ns[-1]) + 1]
    return group.rows_in(*sorted(dice.choices(times, k=2)))


@settings(max_examples=60, deadline=None)
@given(books(max_events=30), st.sampled_from(("average", "fifo", "lifo")), st.randoms())
def test_any_window_is_the_sum_of_its_rows(
    claims: Sequence[Claim], method: FoldMethod, dice: random.Random
) -> None:
    for group in fold_claims(remember(Import(claims)), method).groups:
        for _ in range(6):
            first, last = window_of(group, dice)
            assert told_totals(group, first, last) == plain_totals(group, first, last)


def long_book(count: int) -> GroupLedger:
    """Many fills, some of them without fee or decision price, some scales too fine for the grid."""
    dice = random.Random(5)
    claims = [market()]
    for n in range(count):
        px = f"{dice.randrange(90, 110)}.{dice.randrange(10**10):010}"
        claims.append(
            fill(
                n * SECOND,
                dice.choice(("buy", "sell")),
                f"0.{dice.randrange(1, 10**9):09}",
                px,
                fee=dice.choice((None, "0.001", "-0.0005")),
                decision_px=dice.choice((None, px)),
            )
        )
        if n % 50 == 0:
            claims.append(funding(n * SECOND, f"0.{dice.randrange(99)}", key=f"f{n}"))
    (group,) = fold_claims(remember(Import(claims))).groups
    return group


def test_windows_over_several_blocks() -> None:
    group = long_book(9000)
    assert group.columns.terms.divisor > 1
    dice = random.Random(6)
    for _ in range(3):
        first, last = sorted(dice.choices(range(len(group) + 1), k=2))
        assert told_totals(group, first, last) == plain_totals(group, first, last)


@settings(max_examples=60, deadline=None)
@given(books(max_events=30), st.randoms())
def test_a_part_of_all_sub_books_is_the_group(claims: Sequence[Claim], dice: random.Random) -> None:
    """The quick way over a whole group and the way over picked rows agree in every total."""
    for group in fold_claims(remember(Import(claims))).groups:
        first, last = window_of(group, dice)
        books_ = tuple(range(len(group.columns.books)))
        whole, picked = (Part(group, first, last, books_, quick) for quick in (True, False))
        at_ns = int(group.columns.ts_ns[0])
        ours, theirs = (totals_of(part, Valuer(None, 0), at_ns, at_ns) for part in (whole, picked))
        for name in ("realised", "signal_unpriced", "fees", "funding", "cash_gap", "n_fills"):
            assert getattr(ours, name) == getattr(theirs, name), name
        for name in ("n_fees", "n_fundings", "n_fee_unknown", "n_unvalued", "n_unpriced_closes"):
            assert getattr(ours, name) == getattr(theirs, name), name
        assert np.isclose(ours.notional, theirs.notional)
        assert np.allclose(ours.notional_known, theirs.notional_known)


@settings(max_examples=60, deadline=None)
@given(books(max_events=30), st.integers(0, 40), st.integers(0, 40))
def test_trades_of_a_window_are_those_that_close_in_it(
    claims: Sequence[Claim], since: int, until: int
) -> None:
    since_h, until_h = sorted((since, until))
    for group in fold_claims(remember(Import(claims))).groups:
        begin = int(group.columns.ts_ns[0])
        since_ns, until_ns = begin + since_h * HOUR, begin + until_h * HOUR
        first, last = group.rows_in(since_ns, until_ns)
        part = Part(group, first, last, tuple(range(len(group.columns.books))), True)
        closed, opened = trade_tables([part], Valuer(None, 0), since_ns, until_ns)
        ((_, inside),), ((_, still),) = closed.items(), opened.items()
        trades, ts_ns = group.books.trades, group.columns.ts_ns
        ends = [
            int(ts_ns[event]) if event >= 0 else None for event in trades["close_event"].tolist()
        ]
        assert sorted(inside.number.tolist()) == [
            n for n, end in enumerate(ends) if end is not None and since_ns <= end < until_ns
        ]
        assert sorted(still.number.tolist()) == [
            n
            for n, (end, row) in enumerate(zip(ends, trades["open_event"].tolist(), strict=True))
            if (end is None or end >= until_ns) and int(ts_ns[row]) < until_ns
        ]
        assert (still.close_ns == until_ns).all()
        assert inside.close_ns.tolist() == sorted(inside.close_ns.tolist())


def test_an_empty_window_is_nothing() -> None:
    (group,) = fold_claims(remember(Import([market(), fill(0, "buy", 1)]))).groups
    told = group.flows.window(1, 1)
    assert (told.realised, told.fees, told.n_fills) == ((0, 0, 0, 0), 0, 0)
    assert group.flows.paid(0, 0) == 0 and not group.flows.adjusted(0, 1)
    assert from_ints([]).shape == (0, 2) and group.flows.closed(0, 1).tolist() == []
