"""What venues stated of all open positions at once: the anchors of every stretch of fills.

A statement anchors the fills around it only where they are complete: from the beginning of such a
stretch to the statement they say by how much a position moved, so the statement says what it was
when the stretch began. Nothing later is judged by it: what is lost after the first statement of a
stretch stays a difference, which reconciling tells.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice

import msgspec

from fillbook.facts.model import Claimed, PositionSide, Report
from fillbook.resolve.event import GroupKey, SourceCoverage
from fillbook.resolve.statements import Interval, united

Account = tuple[str, str]
NameOf = Callable[[str, str], str]
Position = tuple[str, PositionSide]
"""(instrument, position side)."""
Place = tuple[str, str, str | None]
"""(venue, account, instrument where its fills are complete by itself)."""

# A statement in the midst of fills is passed over for the next one; so many are looked at.
_MOST_SNAPSHOTS = 8


class Anchor(msgspec.Struct, frozen=True):
    """A venue's statement of one position, made somewhere in [at_ns, until_ns).

    The fills of the position are complete from `since_ns` to there.
    """

    since_ns: int
    at_ns: int
    until_ns: int
    qty: Decimal
    seq: int


class Snapshot(msgspec.Struct, frozen=True):
    """What was open somewhere in [at_ns, until_ns); what is `listed` and not in it was flat."""

    at_ns: int
    until_ns: int
    seq: int
    content: bytes
    open: Mapping[Position, Decimal]
    listed: frozenset[str]

    def qty(self, place: Position) -> Decimal | None:
        """Return what was stated of a position, None where the venue was not asked for it."""
        flat = Decimal(0) if place[0] in self.listed else None
        return self.open.get(place, flat)


Stretch = tuple[int, tuple[Snapshot, ...]]
"""Since when fills are complete, and the first snapshots until they no longer are."""


class Snapshots:
    """The snapshots of every account, and what they anchor. `name_of` settles instruments."""

    def __init__(self, claims: Iterable[Claimed], name_of: NameOf) -> None:
        self._name_of = name_of
        self._told: dict[Account, list[Snapshot]] = defaultdict(list)
        self._complete: dict[Account, dict[str | None, list[Interval]]] = {}
        self._stretches: dict[Place, tuple[Stretch, ...]] = {}
        self._now: set[Place] = set()
        self.add(claims)

    def add(self, claims: Iterable[Claimed]) -> set[Account]:
        """Take in the snapshots among further claims, and return whose they are."""
        touched = set()
        for claim in claims:
            told = claim.fact
            if isinstance(told, Report) and told.what == "snapshot":
                account = (told.venue, told.account)
                insort(self._told[account], self._made(told, claim), key=_place)
                touched.add(account)
        if touched:
            self._now.clear()
        return touched

    def promise(self, promises: Iterable[SourceCoverage]) -> None:
        """Learn where fills are complete, whoever has them."""
        self._complete.clear()
        self._now.clear()
        for each in promises:
            part = each.coverage
            if part.component == "fills":
                named = part.instrument and self._name_of(each.venue, part.instrument)
                of = self._complete.setdefault((each.venue, each.account), {})
                of.setdefault(named, []).append((part.from_ns, part.until_ns))

    def accounts(self) -> set[Account]:
        """Return the accounts with snapshots."""
        return set(self._told)

    def stated(self, account: Account) -> set[GroupKey]:
        """Return every position that some snapshot of an account shows open."""
        return {
            GroupKey(*account, instrument, side)
            for each in self._told.get(account, ())
            for instrument, side in each.open
        }

    def stretches(self, key: GroupKey) -> tuple[Stretch, ...]:
        """Return the complete stretches of a group's fills that snapshots speak of, in order.

        Groups whose fills are complete together share them, and get the very same object until
        something in them changes.
        """
        account = (key.venue, key.account)
        complete = self._complete.get(account, {})
        place = (*account, key.instrument if key.instrument in complete else None)
        if place not in self._now:
            named = () if place[2] is None else complete[place[2]]
            made = self._made_of(account, [*complete.get(None, ()), *named])
            if made != self._stretches.get(place):
                self._stretches[place] = made
            self._now.add(place)
        return self._stretches[place]

    def anchors(self, key: GroupKey) -> list[Anchor]:
        """Return the anchors of a group in order of time."""
        place = (key.instrument, key.position_side)
        return [
            Anchor(since_ns, each.at_ns, each.until_ns, qty, each.seq)
            for since_ns, snapshots in self.stretches(key)
            for each in snapshots
            if (qty := each.qty(place)) is not None
        ]

    def _made_of(self, account: Account, complete: Sequence[Interval]) -> tuple[Stretch, ...]:
        told = self._told.get(account, [])
        spoken = (
            (since_ns, tuple(islice(_within(told, since_ns, until_ns), _MOST_SNAPSHOTS)))
            for since_ns, until_ns in (united(complete) if told else ())
        )
        return tuple(stretch for stretch in spoken if stretch[1])

    def _made(self, told: Report, claim: Claimed) -> Snapshot:
        held = {
            (self._name_of(told.venue, each.instrument), each.position_side): each.qty
            for each in told.held
        }
        until_ns = told.ts_ns + told.printed_ns
        listed = frozenset(self._name_of(told.venue, name) for name in told.listed)
        return Snapshot(told.ts_ns, until_ns, claim.seq, claim.content, held, listed)


def _place(snapshot: Snapshot) -> tuple[int, int, bytes]:
    return snapshot.at_ns, snapshot.until_ns, snapshot.content


def _within(snapshots: Sequence[Snapshot], since_ns: int, until_ns: int) -> Iterator[Snapshot]:
    """Yield the snapshots that lie in a stretch as a whole."""
    first = bisect_left(snapshots, since_ns, key=lambda each: each.at_ns)
    for each in islice(snapshots, first, None):
        if each.at_ns >= until_ns:
            return
        if each.until_ns <= until_ns:
            yield each
