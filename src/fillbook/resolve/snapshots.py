"""What venues stated of all open positions at once: the anchors of every stretch of fills.

A statement anchors the fills around it only where they are complete: from the beginning of such a
stretch to the statement they say by how much a position moved, so the statement says what it was
when the stretch began. Nothing later is judged by it: what is lost after the first statement of a
stretch stays a difference, which reconciling tells.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from fillbook.facts.model import Claimed, PositionSide, Report
from fillbook.resolve.event import GroupKey, SourceCoverage
from fillbook.resolve.statements import Interval, united

Account = tuple[str, str]
NameOf = Callable[[str, str], str]
Position = tuple[str, PositionSide]
"""(instrument, position side)."""

# A statement in the midst of fills is passed over for the next one; so many are looked at.
_MOST_ANCHORS = 8


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
    """Everything that was open somewhere in [at_ns, until_ns); what is not in it was flat."""

    at_ns: int
    until_ns: int
    seq: int
    content: bytes
    open: Mapping[Position, Decimal]


class Snapshots:
    """The snapshots of every account, and what they anchor. `name_of` settles instruments."""

    def __init__(self, claims: Iterable[Claimed], name_of: NameOf) -> None:
        self._name_of = name_of
        self._told: dict[Account, list[Snapshot]] = defaultdict(list)
        self._complete: dict[Account, dict[str | None, list[Interval]]] = {}
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
        return touched

    def promise(self, promises: Iterable[SourceCoverage]) -> None:
        """Learn where fills are complete, whoever has them."""
        self._complete.clear()
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

    def anchors(self, key: GroupKey) -> tuple[Anchor, ...]:
        """Return the anchors of a group in order of time, at most so many in each stretch."""
        account = (key.venue, key.account)
        complete = self._complete.get(account, {})
        wide, named = complete.get(None, []), complete.get(key.instrument, [])
        snapshots = self._told.get(account, []) if wide or named else []
        place = (key.instrument, key.position_side)
        return tuple(
            Anchor(since_ns, each.at_ns, each.until_ns, each.open.get(place, Decimal(0)), each.seq)
            for since_ns, until_ns in (united([*wide, *named]) if snapshots else ())
            for each in _within(snapshots, since_ns, until_ns)[:_MOST_ANCHORS]
        )

    def _made(self, told: Report, claim: Claimed) -> Snapshot:
        held = {
            (self._name_of(told.venue, each.instrument), each.position_side): each.qty
            for each in told.held
        }
        until_ns = told.ts_ns + told.printed_ns
        return Snapshot(told.ts_ns, until_ns, claim.seq, claim.content, held)


def _place(snapshot: Snapshot) -> tuple[int, int, bytes]:
    return snapshot.at_ns, snapshot.until_ns, snapshot.content


def _within(snapshots: Sequence[Snapshot], since_ns: int, until_ns: int) -> Sequence[Snapshot]:
    """Return the snapshots that lie in a stretch as a whole."""
    first = bisect_left(snapshots, since_ns, key=lambda each: each.at_ns)
    last = bisect_right(snapshots, until_ns, key=lambda each: each.at_ns)
    return [each for each in snapshots[first:last] if each.until_ns <= until_ns]
