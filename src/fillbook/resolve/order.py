"""The order of events inside one group.

Event time first; inside an instant funding and charges precede fills, then the venue's own
numeric sequence, then the chain of start positions, then the row in the file, then the key.
Order never depends on arrival.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from itertools import groupby

from fillbook.facts.model import Claimed, Fill
from fillbook.ground.exact import decimals_of
from fillbook.resolve.event import Event

_NO_ROW = 1 << 62
# A spreadsheet keeps ten significant digits; a number printed with that many may be rounded.
_ROUNDED_DIGITS = 10


def in_order(events: Sequence[Event]) -> list[Event]:
    """Sort events by everything but the start-position chain, which `chained` adds."""
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

    A number printed with ten significant digits may be rounded there; a shorter one is exact to
    the lot step.

    >>> tolerance(Decimal("986.5245955"), 2), tolerance(Decimal("5"), 2)
    (Decimal('5E-8'), Decimal('0.005'))
    """
    decimals = decimals_of(stated)
    if len(stated.as_tuple().digits) < _ROUNDED_DIGITS:
        decimals = max(decimals, lot_decimals)
    return Decimal(5).scaleb(-decimals - 1)


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
        self._position: Decimal | None = None

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
            if start is not None:
                self._position = start + self._moved(event)
            elif self._position is not None:
                self._position += self._moved(event)

    def _moved(self, event: Event) -> Decimal:
        return Decimal(event.qty).scaleb(-self._qty_scale)

    def _linked(self, fills: list[Event]) -> list[Event]:
        waiting = list(fills)
        linked: list[Event] = []
        while waiting:
            chosen = self._next(waiting)
            waiting.remove(chosen)
            linked.append(chosen)
            start = _start(chosen)
            assert start is not None
            self._position = start + self._moved(chosen)
        return linked

    def _next(self, waiting: list[Event]) -> Event:
        if self._position is not None:
            for exact in (True, False):
                following = [event for event in waiting if self._follows(event, exact)]
                if following:
                    return self._opening_first(following)
        ends = {self._end(event) for event in waiting}
        heads = [event for event in waiting if _start(event) not in ends]
        return self._opening_first(heads or waiting)

    def _follows(self, event: Event, exact: bool) -> bool:
        start = _start(event)
        assert start is not None and self._position is not None
        if exact:
            return start == self._position
        return abs(start - self._position) <= tolerance(start, self._lot_decimals)

    def _end(self, event: Event) -> Decimal:
        start = _start(event)
        assert start is not None
        return start + self._moved(event)

    def _opening_first(self, candidates: list[Event]) -> Event:
        # Both legs of a self-trade stand at one start position: the one that opens goes first.
        for event in candidates:
            start = _start(event)
            assert start is not None
            if start * event.qty >= 0:
                return event
        return candidates[0]
