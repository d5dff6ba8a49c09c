"""What a position was where a stretch of complete fills begins, by what its venue stated in it.

A statement made in the midst of fills leaves several possible positions; further statements of
the same stretch rule them out. One behind a close that was only observed says nothing here,
because how much that closed depends on what stood before.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate, groupby

import msgspec

from fillbook.facts.model import Fill
from fillbook.ground.clock import MINUTE_NS, SECOND_NS
from fillbook.ground.exact import INT64_MAX, to_scaled
from fillbook.resolve.coverage import closes_the_rest
from fillbook.resolve.event import Event
from fillbook.resolve.snapshots import Anchor

# Sources print fills to the minute or finer.
_COARSEST_NS = MINUTE_NS
# A venue may answer from a copy that is so much behind.
_LAG_NS = 10 * SECOND_NS


class Start(msgspec.Struct, frozen=True):
    """What may have stood before the event at `row`, the first of its stretch.

    Positions at the group's scale; the earliest statement of the stretch is its `anchor`.
    """

    row: int
    possible: frozenset[int]
    anchor: Anchor

    def gap(self, position: int) -> int:
        """Return what a position lacks; 0 where it is possible, or nobody can tell."""
        if position in self.possible or len(self.possible) > 1:
            return 0
        (stood,) = self.possible
        lacking = stood - position
        return lacking if abs(lacking) <= INT64_MAX else 0


def starts(events: Sequence[Event], anchors: Sequence[Anchor], qty_scale: int) -> list[Start]:
    """Return where each stretch starts that a statement speaks of; events are in final order."""
    found = []
    for since_ns, stated in groupby(anchors, key=lambda anchor: anchor.since_ns):
        row = _first_at(events, since_ns)
        start = _narrowed(events, row, stated, qty_scale)
        if start is not None:
            found.append(start)
    return found


def agree(events: Sequence[Event], wanted: Sequence[Start]) -> bool:
    """Say whether the fills alone lead to every start. Expects no observed closes."""
    row = position = 0
    for start in wanted:
        position += sum(map(moves, events[row : start.row]))
        row = start.row
        if start.gap(position):
            return False
    return True


def moves(event: Event) -> int:
    """Return what an event adds to the position; recorded round trips stand outside it."""
    return 0 if is_recorded(event) else event.qty


def is_recorded(event: Event) -> bool:
    """Say whether an event belongs to a round trip that a file recorded as such."""
    return isinstance(event.fact, Fill) and event.fact.leg is not None


def _narrowed(
    events: Sequence[Event], row: int, anchors: Iterable[Anchor], qty_scale: int
) -> Start | None:
    """Return a start by its statements, up to the first that leaves one position possible."""
    start: Start | None = None
    for anchor in anchors:
        possible = _possible(events, row, anchor, qty_scale)
        if start is not None:
            possible &= start.possible
        if not possible:
            # No statement, or one that a missing fill makes contradict the earlier ones.
            break
        start = Start(row, possible, anchor if start is None else start.anchor)
        if len(possible) == 1:
            break
    return start


def _possible(events: Sequence[Event], row: int, anchor: Anchor, qty_scale: int) -> frozenset[int]:
    """Return what may have stood before `row`, by where in its stretch a statement was made."""
    first = max(row, _first_at(events, anchor.at_ns - _LAG_NS - _COARSEST_NS))
    last = _first_at(events, anchor.until_ns)
    while first < last and not _may_follow(events[first], anchor):
        first += 1
    moved = events[row:last]
    if any(closes_the_rest(event.fact) for event in moved):
        return frozenset()
    before = sum(map(moves, events[row:first]))
    stated = to_scaled(anchor.qty, qty_scale) - before
    steps = accumulate(map(moves, events[first:last]), initial=0)
    return frozenset(stated - step for step in steps)


def _may_follow(event: Event, anchor: Anchor) -> bool:
    """Say whether a statement may have been made before an event was seen."""
    fill = event.fact
    printed_ns = fill.printed_ns if isinstance(fill, Fill) else 1
    return event.ts_ns + printed_ns > anchor.at_ns - _LAG_NS


def _first_at(events: Sequence[Event], ts_ns: int) -> int:
    return bisect_left(events, ts_ns, key=lambda event: event.ts_ns)
