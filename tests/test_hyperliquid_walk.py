"""Walking through a timed history: all of it, once it is there, or a gap that says what is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from fillbook.sources.hyperliquid.chain import Break, Link, Place, follow
from fillbook.sources.hyperliquid.walk import MS_NS, Kind, Seen, advance, begin, read_walk
from fillbook.sources.stream import Gap

BASE_MS = 1_000_000
OVERLAP_MS = 60
D = Decimal


@dataclass(frozen=True)
class Event:
    """A row of the venue: when it happened, when it can first be read, whose position it moves."""

    at_ms: int
    number: int
    appears_ms: int
    coin: str = "A"
    start: Decimal = Decimal(0)
    moved: Decimal = Decimal(1)

    @property
    def link(self) -> Link:
        return Link(self.at_ms, self.coin, self.start, self.moved)


@dataclass
class Venue:
    """Answers as the venue does: inclusive windows, the first page of them, a horizon."""

    events: list[Event]
    page: int
    horizon: int = 10**9
    backward: bool = False
    echo: bool = False
    asked: int = 0
    last: Event | None = None

    def answer(self, since_ms: int, until_ms: int, now_ms: int) -> list[Event]:
        self.asked += 1
        there = [each for each in self.events if each.appears_ms <= now_ms]
        newest = sorted(there, key=lambda each: (each.at_ms, each.number))[-self.horizon :]
        found = [each for each in newest if since_ms <= each.at_ms <= until_ms]
        page = found[::-1][: self.page] if self.backward else found[: self.page]
        before, self.last = self.last, page[-1] if page else self.last
        return [before, *page] if self.echo and before is not None and page else page


@dataclass
class Puller:
    """Pulls rounds as the pager would, and remembers everything that was said."""

    venue: Venue
    cursor: str | None = None
    taken: set[int] = field(default_factory=set)
    covered: list[tuple[int, int]] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)

    def pull(
        self, now_ms: int, *, overlap_ms: int = OVERLAP_MS, pages: int = 10**6, unsure_ms: int = 0
    ) -> int:
        walk = begin(self.cursor, now_ms, overlap_ms)
        kind = Kind(page_rows=self.venue.page, full_rows=self.venue.page, gone="gone")
        for nth in range(pages):
            assert nth < 500, "no progress"
            rows = self.venue.answer(walk.window.since_ms, walk.window.until_ms, now_ms)
            seen = Seen(times_ms=[row.at_ms for row in rows], links=[row.link for row in rows])
            turn = advance(walk, seen, (now_ms - unsure_ms) * MS_NS, kind)
            self.taken |= {row.number for row in rows}
            self.cursor = turn.walk.text()
            walk = read_walk(self.cursor)
            if turn.gap is not None:
                self.gaps.append(turn.gap)
            if turn.covered_from_ns is not None and turn.covered_until_ns is not None:
                self._cover(turn.covered_from_ns, turn.covered_until_ns, now_ms)
            if not turn.more:
                return nth + 1
        return pages

    def _cover(self, from_ns: int, until_ns: int, now_ms: int) -> None:
        """Whatever is called complete is in our hands, all of it that could be read by then."""
        assert until_ns <= now_ms * MS_NS
        for event in self.venue.events:
            if from_ns <= event.at_ms * MS_NS < until_ns and event.appears_ms <= now_ms:
                assert event.number in self.taken, (event, from_ns, until_ns)
        self.covered.append((from_ns // MS_NS, until_ns // MS_NS))

    def in_a_gap(self, at_ms: int) -> bool:
        return any(gap.from_ns <= at_ms * MS_NS < gap.until_ns for gap in self.gaps)


def chained(moments: Sequence[tuple[int, int, int, int]]) -> list[Event]:
    """Events in true order, each starting from where the one before it left its coin."""
    positions = {"A": D(0), "B": D(7)}
    events = []
    for number, (at, late, coin_nr, moved) in enumerate(sorted(moments)):
        coin = "AB"[coin_nr]
        events.append(
            Event(BASE_MS + at, number, BASE_MS + at + late, coin, positions[coin], D(moved))
        )
        positions[coin] += moved
    return events


MOMENTS = st.lists(
    st.tuples(
        st.integers(0, 400),
        st.sampled_from([0, 0, 0, 5, 50]),
        st.integers(0, 1),
        st.sampled_from([-3, -1, 1, 2]),
    ),
    max_size=60,
)
ROUNDS = st.lists(st.tuples(st.integers(1, 200), st.sampled_from([1, 2, 9, 10**6])), max_size=8)


@settings(max_examples=300, deadline=None)
@given(MOMENTS, ROUNDS, st.integers(2, 9), st.booleans(), st.booleans())
def test_everything_is_pulled_however_pages_fall(
    moments: list[tuple[int, int, int, int]],
    rounds: list[tuple[int, int]],
    page: int,
    backward: bool,
    echo: bool,
) -> None:
    """Late rows, pages that end inside an instant, rounds that die, rows that come twice."""
    venue = Venue(chained(moments), page, backward=backward, echo=echo)
    puller = Puller(venue)
    now_ms = BASE_MS
    for wait_ms, pages in rounds:
        now_ms += wait_ms
        puller.pull(now_ms, pages=pages)
    now_ms = max(now_ms, BASE_MS + 500)
    puller.pull(now_ms)
    lost = [event for event in venue.events if event.number not in puller.taken]
    crowded = {at for at in (e.at_ms for e in venue.events) if count_at(venue, at) >= page}
    assert all(event.at_ms in crowded and puller.in_a_gap(event.at_ms) for event in lost)
    if venue.events and not crowded:
        assert puller.covered[-1][1] == now_ms


def count_at(venue: Venue, at_ms: int) -> int:
    return sum(event.at_ms == at_ms for event in venue.events)


@settings(max_examples=200, deadline=None)
@given(MOMENTS, st.lists(st.integers(1, 300), min_size=1, max_size=6), st.integers(3, 12))
def test_what_a_horizon_takes_away_is_said_to_be_missing(
    moments: list[tuple[int, int, int, int]], waits: list[int], horizon: int
) -> None:
    events = chained([(at * 10, 0, coin, moved) for at, _, coin, moved in moments])
    venue = Venue(events, page=100, horizon=horizon)
    puller = Puller(venue)
    now_ms = BASE_MS
    first_ms: int | None = None
    for wait_ms in (*waits, 4_100):
        now_ms += wait_ms * 5
        puller.pull(now_ms)
        taken = [event.at_ms for event in events if event.number in puller.taken]
        first_ms = min(taken, default=None) if first_ms is None else first_ms
    for event in events:
        if event.number not in puller.taken:
            # What was out of reach before the first pull was never promised.
            before = first_ms is not None and event.at_ms <= first_ms
            assert before or puller.in_a_gap(event.at_ms), event


def test_a_page_that_is_not_full_costs_one_read_and_a_quiet_account_no_more() -> None:
    venue = Venue(chained([(at, 0, 0, 1) for at in range(0, 40, 2)]), page=100)
    puller = Puller(venue)
    assert puller.pull(BASE_MS + 100) == 1
    # Whether the venue still has all of the oldest instant, nobody knows.
    assert puller.covered == [(BASE_MS + 1, BASE_MS + 100)]
    assert [puller.pull(BASE_MS + 100_000 * n) for n in (1, 2, 3)] == [1, 1, 1]
    # The newest row is seen again each time: that is the proof that nothing has gone.
    assert puller.covered[-1] == (BASE_MS + 39, BASE_MS + 300_000)


def test_a_row_that_came_while_we_asked_leaves_no_hole() -> None:
    """Nothing is complete beyond the moment we surely asked at, and a row may be younger."""
    venue = Venue(chained([(at, 0, 0, 1) for at in (0, 1_000)]), page=100)
    puller = Puller(venue)
    puller.pull(BASE_MS + 500)
    puller.pull(BASE_MS + 1_010, unsure_ms=15)
    assert puller.taken == {0, 1}
    assert puller.covered[-1] == (BASE_MS + 1, BASE_MS + 995)
    puller.pull(BASE_MS + 1_600)
    assert puller.covered[-1] == (BASE_MS + 1, BASE_MS + 1_600)


@settings(max_examples=200, deadline=None)
@given(
    MOMENTS,
    st.lists(st.tuples(st.integers(1, 200), st.integers(0, 90)), min_size=1, max_size=8),
    st.integers(2, 80),
)
def test_what_was_pulled_stays_promised_whatever_the_clock_is_unsure_of(
    moments: list[tuple[int, int, int, int]], rounds: list[tuple[int, int]], page: int
) -> None:
    moments = [(at, 0, coin, moved) for at, _, coin, moved in moments]
    venue = Venue(chained(moments), page)
    puller = Puller(venue)
    now_ms = BASE_MS
    for wait_ms, unsure_ms in rounds:
        now_ms += wait_ms
        puller.pull(now_ms, unsure_ms=min(unsure_ms, wait_ms))
    puller.pull(now_ms + 500)
    first_ms = min((event.at_ms for event in venue.events), default=0)
    for event in venue.events:
        told = any(since <= event.at_ms < until for since, until in puller.covered)
        assert told or event.at_ms == first_ms or puller.in_a_gap(event.at_ms), event


def test_a_venue_that_hides_what_it_showed_proves_nothing() -> None:
    venue = Venue(chained([(at, 0, 0, 1) for at in (0, 10)]), page=100)
    puller = Puller(venue)
    puller.pull(BASE_MS + 20)
    shown, venue.events = venue.events, []
    puller.pull(BASE_MS + 500)
    assert len(puller.covered) == 1 and not puller.gaps
    venue.events = shown
    puller.pull(BASE_MS + 900)
    assert puller.covered[-1] == (BASE_MS + 1, BASE_MS + 900)


def test_a_break_is_looked_at_again_before_it_is_said() -> None:
    """A row that was hidden only for a moment leaves no gap behind."""
    events = chained([(0, 0, 0, 2), (100, 0, 0, 3), (200, 0, 0, -1)])

    class Blinking(Venue):
        def answer(self, since_ms: int, until_ms: int, now_ms: int) -> list[Event]:
            page = super().answer(since_ms, until_ms, now_ms)
            return [row for row in page if row.number != 1] if self.asked == 2 else page

    venue = Blinking(events, page=100)
    puller = Puller(venue)
    puller.pull(BASE_MS + 50)
    assert puller.pull(BASE_MS + 250) == 2, "a second look"
    assert puller.taken == {0, 1, 2} and not puller.gaps
    assert puller.covered[-1] == (BASE_MS + 1, BASE_MS + 250)


def test_fills_that_stay_away_are_a_gap_until_they_come() -> None:
    late_ms = 20 * 60_000
    moments = [(0, 0, 0, 2), (100, late_ms, 0, 3), (200, 0, 0, -1), (300, 0, 0, 1)]
    puller = Puller(Venue(chained(moments), page=100))
    puller.pull(BASE_MS + 50)
    puller.pull(BASE_MS + 250)
    assert puller.taken == {0, 2}
    (gap,) = puller.gaps
    assert (gap.from_ns, gap.until_ns) == (BASE_MS * MS_NS, (BASE_MS + 200) * MS_NS)
    assert "fills of A are missing" in gap.cause
    assert puller.covered[-1] == (BASE_MS + 200, BASE_MS + 250)
    puller.pull(BASE_MS + 10_000)
    # Said once; what comes after is complete, the gap is not.
    assert len(puller.gaps) == 1
    assert puller.covered[-1] == (BASE_MS + 200, BASE_MS + 10_000)
    puller.pull(BASE_MS + 200 + late_ms)
    assert puller.taken == {0, 1, 2, 3}
    assert puller.covered[-1] == (BASE_MS + 1, BASE_MS + 200 + late_ms)


def test_old_breaks_are_tried_again_by_the_deep_round_only() -> None:
    day_ms = 86_400_000
    moments = [(0, 0, 0, 2), (100, day_ms // 2, 0, 3), (200, 0, 0, -1)]
    venue = Venue(chained(moments), page=100)
    puller = Puller(venue)
    puller.pull(BASE_MS + 50)
    puller.pull(BASE_MS + 250)
    puller.pull(BASE_MS + day_ms // 24)
    puller.pull(BASE_MS + day_ms)
    assert puller.taken == {0, 2} and puller.covered[-1][0] > BASE_MS + 200
    puller.pull(BASE_MS + day_ms + 1000, overlap_ms=2 * day_ms)
    assert puller.taken == {0, 1, 2}
    assert puller.covered[-1] == (BASE_MS + 1, BASE_MS + day_ms + 1000)


def test_inside_an_instant_only_the_position_before_all_of_it_counts() -> None:
    """A flip in three fills and a self-trade, in the wrong order."""
    links = [
        Link(5, "A", D(-1), D(-2)),
        Link(5, "A", D(4), D(-5)),
        Link(7, "A", D(-3), D(2)),
        Link(7, "A", D(-3), D(-2)),
    ]
    behind = {"A": Place(7, "-3", "-3")}
    assert follow({"A": Place(1, "4", "2")}, links) == (behind, {})
    # Behind a break the venue's number counts; the last known instant itself may lack a fill.
    assert follow({"A": Place(3, "3.5", "2")}, links) == (behind, {"A": Break(2, "2", 5)})
    assert follow({"A": Place(3, "3.5")}, links) == (behind, {"A": Break(3, "3.5", 5)})


def test_the_other_leg_of_a_self_trade_may_come_late() -> None:
    """Both legs start from one position and move nothing together."""
    late_ms = 10 * 60_000
    buy = Event(BASE_MS + 100, 1, BASE_MS + 100, start=D(5), moved=D(1))
    sell = Event(BASE_MS + 100, 2, BASE_MS + 100 + late_ms, start=D(5), moved=D(-1))
    first = Event(BASE_MS + 50, 0, BASE_MS + 50, start=D(0), moved=D(5))
    next_one = Event(BASE_MS + 300, 3, BASE_MS + 300, start=D(5), moved=D(-5))
    puller = Puller(Venue([first, buy, sell, next_one], page=100))
    puller.pull(BASE_MS + 200)
    puller.pull(BASE_MS + 400)
    assert puller.taken == {0, 1, 3}
    assert [gap.from_ns // MS_NS for gap in puller.gaps] == [BASE_MS + 100]
    puller.pull(BASE_MS + 400 + late_ms)
    assert puller.taken == {0, 1, 2, 3}
    assert puller.covered[-1] == (BASE_MS + 51, BASE_MS + 400 + late_ms)


def test_a_crowded_millisecond_is_passed_with_a_gap_of_its_own() -> None:
    moments = [(0, 0, 0, 1), *[(50, 0, 0, 1)] * 9, (80, 0, 0, 1)]
    puller = Puller(Venue(chained(moments), page=4))
    puller.pull(BASE_MS + 100)
    assert {gap.from_ns // MS_NS - BASE_MS for gap in puller.gaps} == {50}
    assert all(gap.until_ns - gap.from_ns == MS_NS for gap in puller.gaps[:1])
    assert puller.taken >= {0, 10}, "what lies beyond it is pulled"
    assert puller.covered[-1] == (BASE_MS + 51, BASE_MS + 100)
