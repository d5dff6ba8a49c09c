"""Which groups are anchored by what venues stated, kept so that more claims look only at theirs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import get_args

import msgspec

from fillbook.facts.model import Batch, Claimed, Fill, PositionSide, Span
from fillbook.resolve.event import GroupKey, SourceCoverage
from fillbook.resolve.instruments import InstrumentBook
from fillbook.resolve.snapshots import Account, Anchor, Snapshots, Stretch

Grouped = Mapping[GroupKey, Sequence[Claimed]]


class Anchored:
    """The anchors of all groups. What is only stated is a group too, once it is anchored.

    Coins have none: deposits move them. Neither has an instrument that was traded both by legs
    and as a whole: which fill belongs to which leg is not known of all.
    """

    def __init__(self, claims: Iterable[Claimed], instruments: InstrumentBook) -> None:
        self._instruments = instruments
        self._snapshots = Snapshots(claims, instruments.name_of)
        self._traded: set[GroupKey] = set()
        self._by: dict[GroupKey, tuple[Stretch, ...]] = {}

    def promise(self, promises: Iterable[SourceCoverage]) -> None:
        """Learn where fills are complete."""
        self._snapshots.promise(promises)

    def begin(self, grouped: Grouped) -> set[GroupKey]:
        """Look at all groups for the first time, and return those that are anchored."""
        self._trade(grouped)
        return self._look(self._of(self._snapshots.accounts(), grouped))

    def more(self, claims: Sequence[Claimed], fresh: Grouped, known: Grouped) -> set[GroupKey]:
        """Take in further claims, and return the groups whose anchors change with them.

        `fresh` are the claims of groups among them; `known` are all groups by now.
        """
        told = self._snapshots.add(claims)
        told |= {
            (claim.fact.venue, claim.fact.account)
            for claim in claims
            if isinstance(claim.fact, Span | Batch)
        }
        sides = {side for key in self._trade(fresh) for side in _sides(key) if side in known}
        return self._look(sides | self._of(told, known))

    def anchors(self, key: GroupKey) -> Sequence[Anchor]:
        """Return the anchors of a group in order of time."""
        return self._snapshots.anchors(key) if self._by.get(key) else ()

    def _of(self, accounts: Collection[Account], grouped: Grouped) -> set[GroupKey]:
        """Return the groups of some accounts, with those that are only stated."""
        stated = {key for account in accounts for key in self._snapshots.stated(account)}
        return stated | {key for key in grouped if (key.venue, key.account) in accounts}

    def _look(self, keys: Iterable[GroupKey]) -> set[GroupKey]:
        changed = set()
        for key in keys:
            contract = self._instruments.find(key.venue, key.instrument)
            is_held = contract is not None and contract.contract != "spot"
            speaks = is_held and not self._is_mixed(key)
            stretches = self._snapshots.stretches(key) if speaks else ()
            # What has not changed is the very same object.
            if stretches is not self._by.get(key, ()):
                self._by[key] = stretches
                changed.add(key)
        return changed

    def _trade(self, grouped: Grouped) -> set[GroupKey]:
        """Note which groups have fills, and return those that had none before."""
        fresh = {
            key
            for key in grouped.keys() - self._traded
            if any(isinstance(claim.fact, Fill) for claim in grouped[key])
        }
        self._traded |= fresh
        return fresh

    def _is_mixed(self, key: GroupKey) -> bool:
        sides = {each.position_side for each in _sides(key) if each in self._traded}
        return "net" in sides and len(sides) > 1


def _sides(key: GroupKey) -> list[GroupKey]:
    return [msgspec.structs.replace(key, position_side=side) for side in get_args(PositionSide)]
