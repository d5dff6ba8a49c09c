"""Folding again after a late fact: the same as from the beginning, and only where it matters."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernel_cases
from fillbook.facts.model import Claim, Instrument
from fillbook.ground.settings import FoldMethod
from fillbook.ledger import layout
from fillbook.ledger.bundles import Outputs
from fillbook.ledger.columns import GroupColumns
from fillbook.ledger.fold import FoldResult
from fillbook.ledger.group import GroupLedger, fold_columns
from fillbook.ledger.ledger import fold_claims
from fillbook.ledger.refold import refold
from fillbook.ledger.terms import Terms
from fillbook.resolve.event import GroupKey
from oracle import Event
from strategies import SECOND, Import, books, fill, market, remember

METHODS: tuple[FoldMethod, ...] = ("average", "fifo", "lifo")
BTC = Instrument(
    venue="v",
    account="a",
    ts_ns=0,
    symbol="BTC",
    contract="linear",
    base="B",
    quote="Q",
    settle="Q",
)
Block = tuple[Event, ...]


def group_of(blocks: Sequence[Block], n_books: int = 1, dust: int = 1) -> GroupColumns:
    """Columns of a group whose events have keys of their own, whatever stands around them."""
    events = [event for block in blocks for event in block]
    n = len(events)
    none: list[str | None] = [None] * n
    zeros = np.zeros(n, np.int64)
    return GroupColumns(
        key=GroupKey("v", "a", "BTC"),
        contract=BTC,
        terms=Terms(0, 0, 0, 10**12, 1, dust, inverse=False),
        books=["-", "s", "t"][:n_books],
        events=kernel_cases.columns(events),
        ts_ns=np.arange(n),
        seq=np.arange(n),
        traded_qty=zeros,
        price=zeros,
        traits=np.zeros(n, np.uint8),
        foreign=np.full(n, -1, np.int32),
        foreign_amount=np.zeros((n, 2), np.int64),
        venue_pnl=np.zeros((n, 2), np.int64),
        assets=[],
        event_key=[str(event) for event in events],
        fill_id=none,
        order_id=none,
        decision_id=none,
        exit_reason=none,
        cause=none,
    )


def blocks_of(events: Sequence[Event]) -> list[Block]:
    """Cut events where something may be put between them: not inside a shared payment."""
    blocks: list[Block] = []
    for event in events:
        if event.kind == "share" and event.book:
            blocks[-1] += (event,)
        else:
            blocks.append((event,))
    return blocks


def assert_same(ours: GroupLedger, whole: GroupLedger, every_row: bool = True) -> None:
    """Both say the same of every row, every trade and every moment."""
    assert ours.digest() == whole.digest()
    for mine, theirs in ((ours.books, whole.books), (ours.venue, whole.venue)):
        assert_same_fold(mine, theirs)
    rows = range(len(ours) + 1) if every_row else range(0, len(ours), 977)
    for row in rows:
        assert ours.states_before(row).tobytes() == whole.states_before(row).tobytes(), row
        assert ours.venue_state_before(row) == whole.venue_state_before(row), row


def assert_same_fold(mine: FoldResult, theirs: FoldResult) -> None:
    assert (mine.n_folded, mine.error) == (theirs.n_folded, theirs.error)
    assert mine.trades.tobytes() == theirs.trades.tobytes()
    assert mine.removed.tobytes() == theirs.removed.tobytes()
    assert mine.state == theirs.state
    n = mine.n_folded
    for each in fields(Outputs):
        if each.name != "trade_rows":
            told, wanted = getattr(mine.outputs, each.name), getattr(theirs.outputs, each.name)
            assert told[:n].tobytes() == wanted[:n].tobytes(), each.name


@st.composite
def round_trips(draw: st.DrawFn, n_books: int) -> Block:
    """Two fills that leave a book as they found it."""
    book, qty = draw(st.integers(0, n_books - 1)), draw(st.integers(1, 9))
    qty *= draw(st.sampled_from((1, -1)))
    px = st.tuples(*[st.integers(1, 40)] * 4)
    return (
        Event("fill", book=book, qty=qty, px=draw(px), fee=1),
        Event("fill", book=book, qty=-qty, px=draw(px), decision_known=False),
    )


@st.composite
def changes(draw: st.DrawFn) -> tuple[list[Block], list[Block], int]:
    """A life of a group, the same after some rows came, went or changed, and its book count."""
    events, n_books = draw(kernel_cases.lives(max_size=15))
    trips = st.lists(round_trips(n_books), min_size=1, max_size=12)
    before = draw(st.permutations(blocks_of(events) + draw(trips)))
    others, _ = draw(kernel_cases.lives(max_size=6))
    spare = [block for block in blocks_of(others) if len(block) == 1 and block[0].book < n_books]
    spare = [block for block in spare if block[0].kind != "share"] + draw(trips)
    after = list(before)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(after)))
        what = draw(st.sampled_from(("insert", "remove", "change")))
        if what == "insert":
            after.insert(place, draw(st.sampled_from(spare)))
        elif place < len(after):
            after[place : place + 1] = [] if what == "remove" else [draw(st.sampled_from(spare))]
    return before, after, n_books


@settings(max_examples=150, deadline=None)
@given(changes(), st.sampled_from(METHODS), st.integers(1, 7), st.sampled_from((1, 3)))
def test_a_refold_is_a_fold_from_the_beginning(
    change: tuple[list[Block], list[Block], int], method: FoldMethod, every: int, dust: int
) -> None:
    before, after, n_books = change
    earlier = fold_columns(group_of(before, n_books, dust), method, every)
    ours = refold(earlier, group_of(after, n_books, dust), every)
    assert_same(ours, fold_columns(group_of(after, n_books, dust), method, every))
    # and back again, on what the first one left behind
    assert_same(refold(ours, group_of(before, n_books, dust), every), earlier)


def long_life(count: int, n_books: int, seed: int) -> list[Block]:
    return blocks_of(kernel_cases.random_events(random.Random(seed), count, n_books))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n_books", [1, 3])
def test_a_year_of_late_facts(method: FoldMethod, n_books: int) -> None:
    dice = random.Random(n_books)
    blocks, spare = long_life(13_000, n_books, 1), long_life(300, 1, 2)
    ledger = fold_columns(group_of(blocks, n_books), method)
    for number in range(6):
        place = dice.randrange(len(blocks))
        if number % 3 == 0:
            blocks.insert(place, spare.pop())
        elif number % 3 == 1:
            del blocks[place : place + dice.randrange(1, 5)]
        else:
            blocks[place] = spare.pop()
        ledger = refold(ledger, group_of(blocks, n_books))
        assert_same(ledger, fold_columns(group_of(blocks, n_books), method), every_row=False)


@pytest.mark.parametrize("where", ["front", "anywhere"])
def test_checkpoints_neither_pile_up_nor_thin_out(where: str) -> None:
    dice = random.Random(8)
    blocks = [(Event("fill", qty=qty, px=(1, 1, 1, 1)),) for qty in (2, -2) * 100]
    ledger = fold_columns(group_of(blocks), "average", 20)
    for _ in range(80):
        place = 0 if where == "front" else dice.randrange(len(blocks))
        blocks.insert(place, (Event("funding", amount=3),))
        ledger = refold(ledger, group_of(blocks), 20)
        gaps = np.diff([state.n_events for state in ledger.books.checkpoints])
        assert min(gaps) >= 10
        assert max(gaps) <= 60
    assert_same(ledger, fold_columns(group_of(blocks), "average", 20))


def test_only_the_rows_around_a_late_fact_are_folded_again() -> None:
    blocks = long_life(40_000, 1, 3)
    earlier = fold_columns(group_of(blocks), "average")
    # What is taken over shows by a mark that no fold would make.
    for row in (100, 39_000):
        earlier.books.outputs.funding[row] = 7, 7
    # flat before and after: everything behind the late round trip is as it was
    flat = next(
        row
        for row in range(20_000, 30_000)
        if earlier.states_before(row)["priced_qty"][0] == 0
        and earlier.states_before(row)["unpriced_qty"][0] == 0
    )
    late = [(Event("fill", qty=5, px=(9, 9, 9, 9)),), (Event("fill", qty=-5, px=(8, 8, 8, 8)),)]
    ours = refold(earlier, group_of([*blocks[:flat], *late, *blocks[flat:]]))
    assert ours.books.outputs.funding[100].tolist() == [7, 7]
    assert ours.books.outputs.funding[39_002].tolist() == [7, 7]
    assert len(ours.books.trades) == len(earlier.books.trades) + 1
    for row in (100, 39_002):
        ours.books.outputs.funding[row] = 0, 0
    assert_same(ours, fold_columns(ours.columns, "average"), every_row=False)


def test_a_late_price_is_felt_until_the_book_is_flat() -> None:
    def lives(px: int) -> GroupColumns:
        sizes = [2, *(1, -1) * 50, -2, *(1, -1) * 100]
        first, *others = [Event("fill", qty=qty, px=(10, 10, 10, 10)) for qty in sizes]
        return group_of([(replace(first, px=(px,) * 4),), *((event,) for event in others)])

    earlier = fold_columns(lives(10), "average", 20)
    earlier.books.outputs.funding[300] = 7, 7
    ours = refold(earlier, lives(11), 20)
    assert ours.books.outputs.funding[300].tolist() == [7, 7]
    ours.books.outputs.funding[300] = 0, 0
    assert_same(ours, fold_columns(lives(11), "average", 20))


def test_what_comes_behind_the_end_goes_on_from_the_end() -> None:
    blocks = long_life(9_000, 2, 4)
    earlier = fold_columns(group_of(blocks[:-3], 2), "fifo")
    earlier.books.outputs.funding[8_900] = 7, 7
    ours = refold(earlier, group_of(blocks, 2))
    assert ours.books.outputs.funding[8_900].tolist() == [7, 7]
    ours.books.outputs.funding[8_900] = 0, 0
    whole = fold_columns(group_of(blocks, 2), "fifo")
    whole.books.outputs.funding[8_900] = 0, 0
    assert_same(ours, whole, every_row=False)


def test_nothing_changed_is_the_same_ledger() -> None:
    blocks = long_life(50, 2, 5)
    earlier = fold_columns(group_of(blocks, 2), "lifo")
    assert refold(earlier, group_of(blocks, 2)) is earlier
    renamed = replace(group_of(blocks, 2), order_id=["o"] * len(earlier))
    ours = refold(earlier, renamed)
    assert ours.books is earlier.books
    assert list(ours.columns.order_id) == ["o"] * len(earlier)


def test_other_terms_or_books_fold_from_the_beginning() -> None:
    blocks = long_life(60, 1, 6)
    earlier = fold_columns(group_of(blocks), "average")
    coarser = replace(group_of(blocks), terms=replace(earlier.columns.terms, dust=10**5))
    assert_same(refold(earlier, coarser), fold_columns(coarser, "average"))
    wider = replace(group_of(blocks), books=["-", "new"])
    assert_same(refold(earlier, wider), fold_columns(wider, "average"))


def test_a_number_that_does_not_fit_comes_and_goes() -> None:
    blocks = long_life(400, 1, 7)
    huge = Event("fill", qty=2**62, px=(2**62,) * 4)
    broken = [*blocks[:200], (huge,), *blocks[200:]]
    earlier = fold_columns(group_of(blocks), "average", 50)
    ours = refold(earlier, group_of(broken), 50)
    assert [finding.code for finding in ours.findings] == ["number-does-not-fit"]
    assert ours.books.n_folded == 200
    assert ours.books.error is not None and ours.books.error.code == layout.VALUE_OVERFLOW
    renamed = refold(ours, replace(ours.columns, order_id=["o"] * len(ours)), 50)
    assert renamed.findings == ours.findings
    mended = refold(ours, group_of(blocks), 50)
    assert_same(mended, earlier)
    assert mended.findings == []


@settings(max_examples=60, deadline=None)
@given(books(), st.data(), st.sampled_from(METHODS))
def test_a_ledger_that_knows_an_earlier_one_is_the_same(
    claims: list[Claim], draw: st.DataObject, method: FoldMethod
) -> None:
    everything = remember(Import(claims))
    seqs = [claim.seq for claim in everything]
    missing = draw.draw(st.sets(st.sampled_from(seqs), max_size=3))
    some = [claim for claim in everything if claim.seq not in missing]
    for sooner, later in ((some, everything), (everything, some)):
        whole = fold_claims(later, method)
        ours = fold_claims(later, method, earlier=fold_claims(sooner, method))
        assert ours.digest() == whole.digest()
        assert ours.findings == whole.findings
        for mine, theirs in zip(ours.groups, whole.groups, strict=True):
            assert_same(mine, theirs)
            assert mine.columns.seq.tolist() == theirs.columns.seq.tolist()


def test_groups_without_news_are_taken_over() -> None:
    old = [market("BTC"), market("ETH"), fill(0, "buy", 1), fill(1, "buy", 1, instrument="ETH")]
    new = fill(2 * SECOND, "sell", 1)
    earlier = fold_claims(remember(Import(old)))
    later = remember(Import([*old, new]))
    ours = fold_claims(later, earlier=earlier)
    assert [group.columns.key.instrument for group in ours.groups] == ["BTC", "ETH"]
    assert ours.groups[1] is earlier.groups[1]
    assert len(ours.groups[0].books.trades) == 1 and ours.groups[0].books.state.n_events == 2
    assert ours.digest() == fold_claims(later).digest() != earlier.digest()
    other = fold_claims(later, "fifo", earlier=earlier)
    assert other.groups[1] is not earlier.groups[1]
    assert {group.method for group in other.groups} == {"fifo"}
