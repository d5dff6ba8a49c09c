"""The order of events inside one group.

Event time first; inside an instant funding and charges precede fills, then the venue's own
numeric sequence, then the chain of start positions, then the row in the file, then the key.
Order never depends on arrival.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Sequence
from decimal import Decimal
from itertools import groupby, islice
from operator import lt

from fillbook.facts.model import Claimed, Fill
from fillbook.ground.exact import decimals_of, to_scaled
from fillbook.resolve.coverage import closes_the_rest
from fillbook.resolve.event import Event

_NO_ROW = 1 << 62
# A spreadsheet keeps ten significant digits; a number printed with that many may be rounded.
_ROUNDED_DIGITS = 10


def in_order(events: Sequence[Event]) -> list[Event]:
    """Sort events by everything but the start-position chain, which `chained` adds."""
    times = [event.ts_ns for event in events]
    if all(map(lt, times, islice(times, 1, None))):
        return list(events)
    return sorted(events, key=_place)


def _place(event: Event) -> tuple[int, int, int, int, str]:
    fact = event.fact
    sequence = fact.venue_seq if isinstance(fact, Fill) and fact.venue_seq is not None else 0
    row = _NO_ROW if event.row is None else event.row
    return (event.ts_ns, event.kind, sequence, row, event.key)


def settle_rows(claims: Sequence[Claimed]) -> dict[int, int]:
    """Return seq -> row inside its instant, where batches may disagree.

    In an instant the batch that prints more rows of it holds, then the smaller batch id.
    """
    rows: dict[int, int] = {}
    contested: list[Claimed] = []
    for claim in claims:
        if len(claim.assertions) == 1:
            if claim.assertions[0].row is not None:
                rows[claim.seq] = claim.assertions[0].row
        else:
            contested.append(claim)
    if not contested:
        return rows
    instants = {claim.fact.ts_ns for claim in contested}
    printed: Counter[tuple[int, str]] = Counter()
    for claim in claims:
        if claim.fact.ts_ns in instants:
            for each in claim.assertions:
                if each.row is not None:
                    printed[claim.fact.ts_ns, each.batch_id] += 1
    for claim in contested:
        named = [each for each in claim.assertions if each.row is not None]
        if named:
            best = min(named, key=lambda a: (-printed[claim.fact.ts_ns, a.batch_id], a.batch_id))
            assert best.row is not None
            rows[claim.seq] = best.row
    return rows


def tolerance(stated: Decimal, lot_decimals: int) -> Decimal:
    """Return how far a stated position may be off before it contradicts: half its last digit.

    A print is exact to the lot step as far as ten significant digits reach; the zeros that a
    shorter one has lost at its end count.

    >>> tolerance(Decimal("986.5245955"), 2), tolerance(Decimal("5"), 2)
    (Decimal('5E-8'), Decimal('0.005'))
    >>> tolerance(Decimal("7777.77778"), 8)
    Decimal('5E-7')
    """
    reach = lot_decimals
    if stated:
        reach = min(lot_decimals, _ROUNDED_DIGITS - 1 - stated.adjusted())
    return Decimal(5).scaleb(-max(decimals_of(stated), reach) - 1)


def contradicts(stated: Decimal, gap: int, lot_decimals: int, qty_scale: int) -> bool:
    """Say whether a stated position is off by more than its own print allows.

    `gap` is the difference at `qty_scale`, which must hold `stated` exactly.

    >>> [contradicts(Decimal("1.25"), gap, 2, 3) for gap in (5, 6)]
    [False, True]
    """
    return abs(gap) * 10 > to_scaled(tolerance(stated, lot_decimals), qty_scale + 1)


def chained(events: list[Event], lot_decimals: int, qty_scale: int) -> list[Event]:
    """Reorder the fills of each instant so that start positions follow one another.

    Expects `in_order` events. Numeric venue sequences outrank the chain.
    """
    if not any(_start(event) is not None for event in events):
        return events
    chain = _Chain(lot_decimals, qty_scale)
    ordered: list[Event] = []
    for _, instant in groupby(events, key=lambda event: event.ts_ns):
        ordered.extend(chain.follow(list(instant)))
    return ordered


def _start(event: Event) -> Decimal | None:
    return event.fact.start_position if isinstance(event.fact, Fill) else None


class _Chain:
    """Walks through instants with the position that the last fill left."""

    def __init__(self, lot_decimals: int, qty_scale: int) -> None:
        self._lot_decimals = lot_decimals
        self._qty_scale = qty_scale
        self._position: int | None = None

    def follow(self, instant: list[Event]) -> list[Event]:
        fills = [event for event in instant if isinstance(event.fact, Fill)]
        if len(fills) == 1 or any(
            isinstance(event.fact, Fill)
            and (event.fact.venue_seq is not None or event.fact.start_position is None)
            for event in fills
        ):
            self._land(fills)
            return instant
        others = [event for event in instant if not isinstance(event.fact, Fill)]
        return others + self._linked(fills)

    def _land(self, fills: list[Event]) -> None:
        for event in fills:
            start = _start(event)
            if closes_the_rest(event.fact):
                self._position = to_scaled(start or Decimal(0), self._qty_scale)
            elif start is not None:
                self._position = to_scaled(start, self._qty_scale) + event.qty
            elif self._position is not None:
                self._position += event.qty

    def _linked(self, fills: list[Event]) -> list[Event]:
        waiting = _Waiting(fills, self._lot_decimals, self._qty_scale)
        linked: list[Event] = []
        while len(linked) < len(fills):
            start = self._next_start(waiting)
            pair = waiting.take_self_trade(start)
            if pair:
                # The venue states the position before both: together they moved nothing.
                linked += pair
                self._position = start
            else:
                moved = waiting.take(start)
                linked.append(moved)
                self._position = start + moved.qty
        return linked

    def _next_start(self, waiting: _Waiting) -> int:
        following = None if self._position is None else waiting.following(self._position)
        return waiting.head() if following is None else following


class _Waiting:
    """The fills of one instant that have no place yet, by the position they start from."""

    def __init__(self, fills: list[Event], lot_decimals: int, qty_scale: int) -> None:
        self._lot_decimals = lot_decimals
        self._qty_scale = qty_scale
        self._by_start: dict[int, list[Event]] = {}
        ends: list[int] = []
        for event in fills:
            stated = _start(event)
            assert stated is not None
            start = to_scaled(stated, qty_scale)
            self._by_start.setdefault(start, []).append(event)
            ends.append(start + event.qty)
        self._starts = sorted(self._by_start)
        # A chain begins where no other fill of the instant leads to, else flat, else anywhere.
        led = {self.following(end) for end in ends}
        self._heads = deque(
            sorted(
                self._by_start,
                key=lambda start: (start in led, start in led and start != 0, self._closes(start)),
            )
        )

    def _closes(self, start: int) -> bool:
        return all(start * event.qty < 0 for event in self._by_start[start])

    def following(self, position: int) -> int | None:
        """Return the start that a position leads to, the nearest its print allows; or None."""
        place = bisect_left(self._starts, position)
        beside = self._starts[max(0, place - 1) : place + 1]
        for start in sorted(beside, key=lambda start: abs(start - position)):
            stated = _start(self._by_start[start][0])
            assert stated is not None
            gap = start - position
            if not contradicts(stated, gap, self._lot_decimals, self._qty_scale):
                return start
        return None

    def head(self) -> int:
        """Return where to begin when nothing follows on."""
        while self._heads[0] not in self._by_start:
            self._heads.popleft()
        return self._heads[0]

    def take(self, start: int) -> Event:
        """Take the fill that starts here; of several the first that opens."""
        events = self._by_start[start]
        chosen = next((event for event in events if start * event.qty >= 0), events[0])
        self._remove(start, chosen)
        return chosen

    def take_self_trade(self, start: int) -> list[Event]:
        """Take two legs of one trade with oneself, the one that opens first; [] without any."""
        events = self._by_start[start]
        for opening in events if len(events) > 1 else ():
            if start * opening.qty < 0:
                continue
            closing = next((event for event in events if _are_legs(opening, event)), None)
            # Without ids a fill that others go on from is an ordinary link.
            if closing is not None and (
                _identified(opening, closing) or start + opening.qty not in self._by_start
            ):
                self._remove(start, opening)
                self._remove(start, closing)
                return [opening, closing]
        return []

    def _remove(self, start: int, event: Event) -> None:
        events = self._by_start[start]
        events[:] = [each for each in events if each is not event]
        if not events:
            del self._by_start[start]
            del self._starts[bisect_left(self._starts, start)]


def _are_legs(one: Event, other: Event) -> bool:
    left, right = one.fact, other.fact
    assert isinstance(left, Fill) and isinstance(right, Fill)
    return one.qty == -other.qty and left.px == right.px and left.fill_id == right.fill_id


def _identified(one: Event, other: Event) -> bool:
    left, right = one.fact, other.fact
    assert isinstance(left, Fill) and isinstance(right, Fill)
    return left.fill_id is not None and left.fill_id == right.fill_id
