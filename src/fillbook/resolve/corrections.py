"""Corrections and reversals act at the original's place, so history keeps its order."""

from __future__ import annotations

from collections.abc import Sequence

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
    matched = _Matched(fills) if any(map(match_of, corrections)) else None
    for claim in sorted(corrections, key=_place):
        said = claim.fact
        assert isinstance(said, Correction)
        target = said.target_key if matched is None else matched.key_of(claim)
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


class _Matched:
    """The first fill of each match, by event time, then key."""

    def __init__(self, fills: Sequence[Claimed]) -> None:
        self._first: dict[Match, Claimed] = {}
        for claim in fills:
            match = match_of(claim)
            if match is None:
                continue
            known = self._first.get(match)
            if known is None or (claim.fact.ts_ns, claim.key) < (known.fact.ts_ns, known.key):
                self._first[match] = claim

    def key_of(self, correction: Claimed) -> str | None:
        """Return the key of the fill that a correction means; None when it is not here."""
        said = correction.fact
        assert isinstance(said, Correction)
        match = match_of(correction)
        if match is None:
            return said.target_key
        found = self._first.get(match)
        return None if found is None else found.key


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
