"""Corrections and reversals act at the original's place, so history keeps its order."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fillbook.facts.finding import Finding
from fillbook.facts.model import Claimed, Correction, Fill


def apply_corrections(
    fills: Sequence[Claimed], corrections: Sequence[Claimed]
) -> tuple[list[Claimed], list[Finding]]:
    """Drop reversed fills and replace corrected ones; a correction without target is a finding.

    Where several corrections name one fill, the latest by event time, then key, holds.
    """
    if not corrections:
        return list(fills), []
    latest: dict[tuple[str, str, str], Claimed] = {}
    for claim in sorted(corrections, key=lambda c: (c.fact.ts_ns, c.key)):
        assert isinstance(claim.fact, Correction)
        latest[claim.fact.venue, claim.fact.account, claim.fact.target_key] = claim
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
        for claim in latest.values()
    ]
    return kept, findings


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
