"""Each fill says what position stood before it: whatever breaks that chain was not told to us.

Perpetuals only: a spot balance also moves by transfers, and by fees in the coin.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from fillbook.facts.model import Fill
from fillbook.ground.exact import plain_text

MILLISECOND_NS = 1_000_000


class Link(msgspec.Struct, frozen=True):
    """What one fill says: when, which coin, the position before it and by how much it moved."""

    at_ms: int
    coin: str
    start: Decimal
    moved: Decimal


class Place(msgspec.Struct, frozen=True, array_like=True):
    """The position of a coin behind all its fills up to an instant, that one included.

    `start` is the position before that instant; None where nothing is known of the instant.
    """

    at_ms: int
    position: str
    start: str | None = None


class Break(msgspec.Struct, frozen=True, array_like=True):
    """Fills of a coin are missing: behind `since_ms` it stood at `position`, yet what is known
    does not lead from there to where the fill at `until_ms` started."""

    since_ms: int
    position: str
    until_ms: int


def link_of(fill: Fill, coin: str) -> Link | None:
    """Return what a fill says about its chain; None where it says nothing."""
    if fill.start_position is None:
        return None
    moved = fill.qty if fill.side == "buy" else -fill.qty
    return Link(fill.ts_ns // MILLISECOND_NS, coin, fill.start_position, moved)


def follow(
    places: Mapping[str, Place], links: Iterable[Link]
) -> tuple[dict[str, Place], dict[str, Break]]:
    """Follow the chains from known places; return the places behind them, and the first break
    of each coin.

    Links up to a coin's place are known already. Behind a break the venue's number counts. Inside
    an instant, fills have no order: only the position before the whole instant is compared.
    """
    reached = dict(places)
    broken: dict[str, Break] = {}
    instants: dict[tuple[int, str], list[Link]] = defaultdict(list)
    for link in links:
        instants[link.at_ms, link.coin].append(link)
    for (at_ms, coin), together in sorted(instants.items()):
        place = reached.get(coin)
        if place is not None and at_ms <= place.at_ms:
            continue
        start = _start_of(together, place)
        if place is not None and start != Decimal(place.position):
            broken.setdefault(coin, _break_behind(place, at_ms))
        if start is None:
            reached.pop(coin, None)
            continue
        after = start + sum((link.moved for link in together), Decimal(0))
        reached[coin] = Place(at_ms, plain_text(after), plain_text(start))
    return reached, broken


def _break_behind(place: Place, until_ms: int) -> Break:
    # A fill may be missing from the last known instant itself.
    if place.start is None:
        return Break(place.at_ms, place.position, until_ms)
    return Break(place.at_ms - 1, place.start, until_ms)


def _start_of(together: Sequence[Link], place: Place | None) -> Decimal | None:
    """Return the position before an instant; None when its fills do not form one chain."""
    starts = {link.start for link in together}
    if place is not None and Decimal(place.position) in starts:
        return Decimal(place.position)
    first = starts - {link.start + link.moved for link in together}
    return first.pop() if len(first) == 1 else None


def newest(places: Mapping[str, Place], most: int) -> dict[str, Place]:
    """Keep the places of the coins traded last; a cursor has no room for all for ever."""
    latest = sorted(places.items(), key=lambda item: (-item[1].at_ms, item[0]))
    return dict(sorted(latest[:most]))
