"""Opening lots and adjustments, derived from what the venue says the position was.

Nothing here is stored: an opening lot is the earliest anchor minus the fills before it, so an
earlier import simply makes it smaller. Its cost is unknown, and stays marked so. Anchors are what
fills say stood before them, or what the venue stated of all positions at once (`snapshots.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from decimal import Decimal

from fillbook.facts.finding import Finding
from fillbook.facts.model import ContractKind, Fill
from fillbook.ground.clock import iso
from fillbook.ground.exact import plain_text, scaled_text, to_scaled
from fillbook.resolve.coverage import closes_the_rest
from fillbook.resolve.event import NO_STRATEGY, Event, GroupKey, Kind
from fillbook.resolve.order import contradicts
from fillbook.resolve.snapshots import Anchor
from fillbook.resolve.stretches import Start, is_recorded, moves
from fillbook.resolve.vanished import closed_down, vanished_finding

STATED = "the venue states it"
OVERSOLD = "more was sold than was ever bought"


def with_anchors(
    key: GroupKey,
    contract: ContractKind,
    events: list[Event],
    qty_scale: int,
    lot_decimals: int,
    stated: Sequence[Start] = (),
) -> tuple[list[Event], list[Finding]]:
    """Insert the opening lot and an unpriced adjustment wherever an anchor disagrees.

    Positions before fills are compared once per instant; inside an instant they only sort. Expects
    events in their final order. Recorded round trips stand outside: anchors speak of the other
    fills. `stated` are the starts of stretches by statements of the venue, in order; a stretch
    whose fills themselves tell what stood before them needs none.
    """
    counted = [e for e in events if not is_recorded(e) and not closes_the_rest(e.fact)]
    walk = _Walk(key, events, _only_book(counted), qty_scale, lot_decimals)
    untold = [start for start, end in _stretched(events, stated) if not any(map(_tells, end))]
    opening, anchored = _opening(counted, contract, qty_scale, lot_decimals)
    if opening and not (anchored and untold and untold[0].row <= _first_telling(events)):
        seen = [start for start in stated[:1] if start.possible == {opening}]
        walk.open(opening, STATED if anchored else OVERSOLD, seen)
    waiting = deque(untold)
    for row, event in enumerate(events):
        while waiting and waiting[0].row <= row:
            walk.meet(waiting.popleft())
        walk.take(event)
    for start in waiting:
        walk.meet(start)
    return walk.placed, walk.findings


class _Walk:
    """The events of one group so far, with what anchors add to them."""

    def __init__(
        self,
        key: GroupKey,
        events: Sequence[Event],
        book: str,
        qty_scale: int,
        lot_decimals: int,
    ) -> None:
        self.placed: list[Event] = []
        self.findings: list[Finding] = []
        self._key = key
        self._events = events
        self._qty_scale = qty_scale
        self._lot_decimals = lot_decimals
        self._book = book
        self._position = 0
        self._begun = False
        self._last_instant: int | None = None

    def open(self, qty: int, why: str, stated: Sequence[Start]) -> None:
        """Place the opening lot before everything, or where it was seen before that."""
        first = self._events[0] if self._events else None
        if first is None or (stated and stated[0].anchor.at_ns < first.ts_ns):
            first = _place_of(stated[0].anchor)
        self.placed.insert(0, _unpriced(Kind.OPENING, first, qty, self._book))
        self._position += qty
        self._begun = True
        amount = scaled_text(qty, self._qty_scale)
        self.findings.append(_opening_finding(self._key, first, amount, why))

    def meet(self, start: Start) -> None:
        """Let a stretch of complete fills begin with what its venue says stood then.

        What the first stretch begins with opened before all fills that are known.
        """
        gap = start.gap(self._position)
        is_first, self._begun = not self._begun, True
        if gap and is_first:
            said = start.anchor
            why = f"the venue stated {plain_text(said.qty)} at {iso(said.at_ns)}"
            self.open(gap, why, [start])
        elif gap:
            seen = _place_of(start.anchor)
            following = self._events[start.row] if start.row < len(self._events) else seen
            place = min(seen, following, key=lambda event: event.ts_ns)
            scale = self._qty_scale
            found = _hole_finding(self._key, start, place, gap, self._position, scale)
            self.findings.append(found)
            self._adjust(place, gap)

    def take(self, event: Event) -> None:
        """Place the next event, and before it what its own anchor demands."""
        fill = event.fact
        if isinstance(fill, Fill) and closes_the_rest(fill):
            self._close(event, fill)
            return
        if isinstance(fill, Fill) and not is_recorded(event):
            self._begun = True
            if fill.start_position is not None:
                self._compare(event, fill.start_position)
        self.placed.append(event)
        self._position += moves(event)

    def _close(self, event: Event, fill: Fill) -> None:
        closing = closed_down(event, fill, self._position, self._qty_scale)
        if closing is not None:
            self.findings.append(vanished_finding(self._key, fill, closing, self._qty_scale))
            self.placed.append(closing)
            self._position += closing.qty

    def _compare(self, event: Event, stood: Decimal) -> None:
        if event.ts_ns != self._last_instant:
            gap = to_scaled(stood, self._qty_scale) - self._position
            if contradicts(stood, gap, self._lot_decimals, self._qty_scale):
                self.findings.append(
                    _break_finding(self._key, event, gap, self._position, self._qty_scale)
                )
                self._adjust(event, gap)
        self._last_instant = event.ts_ns

    def _adjust(self, before: Event, qty: int) -> None:
        self.placed.append(_unpriced(Kind.ADJUST, before, qty, self._book))
        self._position += qty


def _opening(
    events: Sequence[Event], contract: ContractKind, qty_scale: int, lot_decimals: int
) -> tuple[int, bool]:
    """Return the opening quantity and whether a venue's anchor says so.

    Coins that were never there cannot be sold, so spot opens with its largest shortfall at least,
    anchor or not; a shortfall below the lot step is dust.
    """
    moved = lowest = 0
    for event in events:
        fill = event.fact
        if isinstance(fill, Fill) and fill.start_position is not None:
            gap = to_scaled(fill.start_position, qty_scale) - moved
            if moved and not contradicts(fill.start_position, gap, lot_decimals, qty_scale):
                return 0, True
            if contract != "spot" or gap >= -lowest:
                return gap, True
            break
        moved += event.qty
        lowest = min(lowest, moved)
    if contract != "spot" or -lowest < 10 ** (qty_scale - lot_decimals):
        return 0, False
    return -lowest, False


def _unpriced(kind: Kind, before: Event, qty: int, book: str) -> Event:
    key = f"{kind.name.lower()}|{before.key}"
    return Event(kind=kind, ts_ns=before.ts_ns, seq=before.seq, key=key, book=book, qty=qty)


def _only_book(events: Sequence[Event]) -> str:
    books = {event.book for event in events if event.kind == Kind.FILL}
    return books.pop() if len(books) == 1 else NO_STRATEGY


def _stretched(
    events: Sequence[Event], stated: Sequence[Start]
) -> Iterator[tuple[Start, Sequence[Event]]]:
    """Yield each start with the events up to the next."""
    ends = [*(start.row for start in stated[1:]), len(events)]
    for start, end in zip(stated, ends, strict=True) if stated else ():
        yield start, events[start.row : end]


def _tells(event: Event) -> bool:
    """Say whether a reported fill tells what stood before it."""
    fill = event.fact
    if not isinstance(fill, Fill) or fill.start_position is None:
        return False
    return not is_recorded(event) and not closes_the_rest(fill)


def _first_telling(events: Sequence[Event]) -> int:
    return next(row for row, event in enumerate(events) if _tells(event))


def _place_of(seen: Anchor) -> Event:
    """Return a place among the events for what was seen, not traded."""
    key = f"stated|{seen.at_ns}"
    return Event(kind=Kind.ADJUST, ts_ns=seen.at_ns, seq=seen.seq, key=key, book=NO_STRATEGY)


def _opening_finding(key: GroupKey, first: Event, qty: str, why: str) -> Finding:
    return Finding(
        code="opening-unpriced",
        severity="warning",
        message=f"{qty} {key.instrument} stood open before the first known fill ({why}); "
        "its cost is unknown, so what closes it is unpriced",
        next_step="import the earlier fills of this account",
        venue=key.venue,
        account=key.account,
        instrument=key.instrument,
        ts_ns=first.ts_ns,
        amount=qty,
        seqs=(first.seq,),
        touches=("realized", "net", "made_money"),
    )


def _break_finding(key: GroupKey, event: Event, gap: int, position: int, qty_scale: int) -> Finding:
    fill = event.fact
    assert isinstance(fill, Fill)
    return Finding(
        code="anchor-break",
        severity="error",
        message=f"the venue says {fill.start_position} {key.instrument} stood before this fill, "
        f"the fills say {scaled_text(position, qty_scale)}: fills are missing; the book "
        "continues from the venue's number with an unpriced adjustment",
        next_step="import the missing period",
        venue=key.venue,
        account=key.account,
        instrument=key.instrument,
        ts_ns=event.ts_ns,
        amount=scaled_text(gap, qty_scale),
        seqs=(event.seq,),
        touches=("realized", "net", "made_money"),
    )


def _hole_finding(
    key: GroupKey, start: Start, place: Event, gap: int, position: int, qty_scale: int
) -> Finding:
    seen = start.anchor
    stood, left = (scaled_text(each, qty_scale) for each in (position + gap, position))
    return Finding(
        code="anchor-break",
        severity="error",
        message=f"the venue stated {plain_text(seen.qty)} {key.instrument} at {iso(seen.at_ns)}, "
        f"so {stood} stood at {iso(seen.since_ns)}, where complete fills begin; the fills before "
        f"that leave {left}: some are missing; the book continues from the venue's number with an "
        "unpriced adjustment",
        next_step=f"import the period before {iso(seen.since_ns)}",
        venue=key.venue,
        account=key.account,
        instrument=key.instrument,
        ts_ns=place.ts_ns,
        amount=scaled_text(gap, qty_scale),
        seqs=(place.seq,),
        touches=("realized", "net", "made_money"),
    )
