"""Corrections and reversals act at the original's place, so history keeps its order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from fillbook.facts.finding import Finding
from fillbook.facts.model import Claimed, Correction, Fill

Match = tuple[str, str, str]
"""(venue, account, match and order): what a correction names where it tells no row."""


def apply_corrections(
    fills: Sequence[Claimed], corrections: Sequence[Claimed]
) -> tuple[list[Claimed], list[Finding]]:
    """Drop reversed fills and replace corrected ones; a correction without target is a finding.

    Where several corrections name one fill, the latest by event time holds; at one instant a
    replacement outlasts the reversal it came with, then the key decides.
    """
    if not corrections:
        return list(fills), []
    latest: dict[tuple[str, str, str], Claimed] = {}
    lost: list[Claimed] = []
    named = {match for match in map(match_of, corrections) if match is not None}
    matched = _Matched(fills, named)
    for claim in sorted(corrections, key=_place):
        said = claim.fact
        assert isinstance(said, Correction)
        target = matched.key_of(claim)
        if target is None:
            lost.append(claim)
        else:
            latest[said.venue, said.account, target] = claim
    kept: list[Claimed] = []
    for claim in fills:
        correction = latest.pop((claim.fact.venue, claim.fact.account, claim.key), None)
        if correction is None:
            kept.append(claim)
            continue
        said = correction.fact
        assert isinstance(said, Correction) and isinstance(claim.fact, Fill)
        if said.action == "replace" and said.replacement is not None:
            placed = _at_place_of(claim.fact, said.replacement)
            kept.append(msgspec.structs.replace(claim, fact=placed))
    findings = [
        Finding(
            code="correction-without-target",
            severity="warning",
            message="a correction names a fill that is not in the book",
            next_step="import the period that holds the original fill",
            venue=claim.fact.venue,
            account=claim.fact.account,
            ts_ns=claim.fact.ts_ns,
            seqs=(claim.seq,),
        )
        for claim in (*lost, *latest.values())
    ]
    return kept, findings


def match_of(claim: Claimed) -> Match | None:
    """Return the match that a fill was, or that a correction names; None where it tells none."""
    fact = claim.fact
    if isinstance(fact, Fill) and fact.trade_id is not None:
        return fact.venue, fact.account, _match(fact.trade_id, fact.order_id)
    if isinstance(fact, Correction) and fact.target_trade_id is not None:
        return fact.venue, fact.account, _match(fact.target_trade_id, fact.target_order_id)
    return None


class _Standing:
    """A fill of a match as it stands: what it says by now, and whether it is undone."""

    __slots__ = ("is_undone", "key", "now")

    def __init__(self, claim: Claimed) -> None:
        assert isinstance(claim.fact, Fill)
        self.key = claim.key
        self.now = claim.fact
        self.is_undone = False


class _Matched:
    """The fills of each match, corrected one after the other.

    A match may have several rows. What is undone is the one that says the same, or the first; what
    is restated is the one that was undone last, or else the one of that quantity, or the first.
    """

    def __init__(self, fills: Sequence[Claimed], named: set[Match]) -> None:
        self._of: dict[Match, list[_Standing]] = defaultdict(list)
        mine = [claim for claim in fills if match_of(claim) in named]
        for claim in sorted(mine, key=lambda c: (c.fact.ts_ns, c.key)):
            match = match_of(claim)
            assert match is not None
            self._of[match].append(_Standing(claim))

    def key_of(self, correction: Claimed) -> str | None:
        """Apply a correction and return the key of the fill that it means, None without any."""
        said = correction.fact
        assert isinstance(said, Correction)
        match = match_of(correction)
        if match is None:
            return said.target_key
        rows = self._of.get(match, [])
        meant = _undone_by(said, rows) if said.action == "reverse" else _restated_by(said, rows)
        if meant is None:
            return None
        # The undone one goes to the end, so that the last of them is restated first.
        rows.remove(meant)
        rows.append(meant)
        meant.is_undone = said.action == "reverse"
        meant.now = said.replacement or meant.now
        return meant.key


def _undone_by(said: Correction, rows: Sequence[_Standing]) -> _Standing | None:
    standing = [row for row in rows if not row.is_undone]
    return _likest(standing, said.target_qty, said.target_px)


def _restated_by(said: Correction, rows: Sequence[_Standing]) -> _Standing | None:
    undone = [row for row in rows if row.is_undone]
    if undone:
        return undone[-1]
    told = said.replacement
    return _likest(rows, None if told is None else told.qty, None)


def _likest(rows: Sequence[_Standing], qty: Decimal | None, px: Decimal | None) -> _Standing | None:
    alike = [row for row in rows if qty is None or row.now.qty == qty] or list(rows)
    exact = [row for row in alike if px is None or row.now.px == px] or alike
    return min(exact, key=lambda row: (row.now.ts_ns, row.key), default=None)


def _match(trade_id: str, order_id: str | None) -> str:
    return f"{trade_id}|{order_id or ''}"


def _place(claim: Claimed) -> tuple[int, bool, str]:
    said = claim.fact
    assert isinstance(said, Correction)
    return said.ts_ns, said.action == "replace", claim.key


def _at_place_of(original: Fill, replacement: Fill) -> Fill:
    """Return the replacement at the original's time and place inside its instant."""
    start = replacement.start_position
    return msgspec.structs.replace(
        replacement,
        ts_ns=original.ts_ns,
        printed_ns=original.printed_ns,
        venue_seq=original.venue_seq,
        start_position=original.start_position if start is None else start,
    )
