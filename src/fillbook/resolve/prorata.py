"""A reducing fill that no strategy ordered closes what the strategies hold, in proportion.

A manual close, a liquidation or an auto-deleveraging nets the account's position, whoever opened
it. Its quantity is shared over the sub-books that stand against it, by their size; what is left
over belongs to no strategy. So does a fill that adds to the account's position, even where some
sub-book stands against it. An adjustment that takes quantity away is a fill nobody told us of.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from fillbook.ground.exact import divide_half_even
from fillbook.resolve.assignment import LEG_MARK
from fillbook.resolve.event import NO_STRATEGY, Event, Kind, PartOf


def shared_out(events: Sequence[Event]) -> list[Event]:
    """Split every reducing fill or adjustment without strategy over the opposite sub-books.

    Expects events in their final order; a fill that needs no split stays the same object. Recorded
    round trips (legs) are closed by their own fills only.
    """
    if {event.book for event in events} <= {NO_STRATEGY}:
        return list(events)
    held: dict[str, int] = defaultdict(int)
    shared: list[Event] = []
    for event in events:
        parts = _parts(event, held) if _unassigned(event) else [event]
        for part in parts:
            if LEG_MARK not in part.book:
                held[part.book] += part.qty
        shared += parts
    return shared


def _unassigned(event: Event) -> bool:
    return event.book == NO_STRATEGY and event.kind in (Kind.FILL, Kind.ADJUST)


def _parts(event: Event, held: dict[str, int]) -> list[Event]:
    sign = 1 if event.qty > 0 else -1
    if event.qty == 0 or sum(held.values()) * sign >= 0:
        return [event]
    against = {book: abs(qty) for book, qty in sorted(held.items()) if qty * sign < 0}
    if list(against) == [NO_STRATEGY]:
        return [event]
    whole, open_qty = abs(event.qty), sum(against.values())
    closing = min(whole, open_qty)
    shares: dict[str, int] = {}
    reached = done = 0
    for book, qty in against.items():
        reached += qty
        share = divide_half_even(closing * reached, open_qty) - done
        done += share
        shares[book] = share
    shares[NO_STRATEGY] = shares.get(NO_STRATEGY, 0) + whole - closing
    parts, start = [], 0
    for book, share in shares.items():
        if share:
            part = PartOf(start, start + share, whole)
            parts.append(msgspec.structs.replace(event, book=book, qty=sign * share, part=part))
            start += share
    return parts
