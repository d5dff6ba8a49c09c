"""Opening lots and adjustments, derived from what the venue says the position was.

Nothing here is stored: an opening lot is the earliest anchor minus the fills before it, so an
earlier import simply makes it smaller. Its cost is unknown, and stays marked so.
"""

from __future__ import annotations

from collections.abc import Sequence

from fillbook.facts.finding import Finding
from fillbook.facts.model import ContractKind, Fill
from fillbook.ground.exact import scaled_text, to_scaled
from fillbook.resolve.coverage import closes_the_rest
from fillbook.resolve.event import NO_STRATEGY, Event, GroupKey, Kind
from fillbook.resolve.order import contradicts
from fillbook.resolve.vanished import closed_down, vanished_finding


def with_anchors(
    key: GroupKey,
    contract: ContractKind,
    events: list[Event],
    qty_scale: int,
    lot_decimals: int,
) -> tuple[list[Event], list[Finding]]:
    """Insert the opening lot and an unpriced adjustment wherever an anchor disagrees.

    Anchors are compared once per instant; inside an instant they only sort. Expects events in
    their final order. Recorded round trips stand outside: anchors speak of the other fills.
    """
    counted = [e for e in events if not _recorded(e) and not closes_the_rest(e.fact)]
    opening, anchored = _opening(counted, contract, qty_scale, lot_decimals)
    book = _only_book(counted)
    findings: list[Finding] = []
    placed: list[Event] = []
    if opening:
        placed.append(_unpriced(Kind.OPENING, events[0], opening, book))
        findings.append(_opening_finding(key, events[0], opening, qty_scale, anchored))
    position, last_instant = opening, None
    for event in events:
        fill = event.fact
        if isinstance(fill, Fill) and closes_the_rest(fill):
            closing = closed_down(event, fill, position, qty_scale)
            if closing is not None:
                findings.append(vanished_finding(key, fill, closing, qty_scale))
                placed.append(closing)
                position += closing.qty
            continue
        if isinstance(fill, Fill) and fill.start_position is not None and not _recorded(event):
            if event.ts_ns != last_instant:
                gap = to_scaled(fill.start_position, qty_scale) - position
                if contradicts(fill.start_position, gap, lot_decimals, qty_scale):
                    placed.append(_unpriced(Kind.ADJUST, event, gap, book))
                    findings.append(_break_finding(key, event, gap, position, qty_scale))
                    position += gap
            last_instant = event.ts_ns
        placed.append(event)
        position += 0 if _recorded(event) else event.qty
    return placed, findings


def _recorded(event: Event) -> bool:
    return isinstance(event.fact, Fill) and event.fact.leg is not None


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


def _opening_finding(
    key: GroupKey, first: Event, opening: int, qty_scale: int, anchored: bool
) -> Finding:
    qty = scaled_text(opening, qty_scale)
    why = "the venue states it" if anchored else "more was sold than was ever bought"
    return Finding(
        code="opening-unpriced",
        severity="warning",
        message=f"{qty} {key.instrument} stood open before the first fill ({why}); "
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
