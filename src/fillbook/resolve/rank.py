"""Which of several claims about one event holds: the stronger source, then a fixed rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from fillbook.facts.finding import Finding
from fillbook.facts.model import Assertion, Claimed


class SourceRank(NamedTuple):
    """How strongly a source speaks; the greater tuple wins (rank first, then its name)."""

    rank: int
    source: str


def best_source(claim: Claimed) -> SourceRank:
    """Return the strongest source that asserts a claim."""
    if len(claim.assertions) == 1:
        only = claim.assertions[0]
        return SourceRank(only.rank, only.source)
    return max(SourceRank(each.rank, each.source) for each in claim.assertions)


def settle_conflicts(claims: Sequence[Claimed]) -> tuple[list[Claimed], list[Finding]]:
    """Keep one claim per key: the higher rank holds, then the smaller content hash.

    Every contradiction is a finding that names the claims; all stay in the journal. The claim
    that holds stands for the event, so it counts as asserted by whoever asserts any of them.
    """
    if len({claim.key for claim in claims}) == len(claims):
        return list(claims), []
    first: dict[tuple[str, str, str, str], Claimed] = {}
    rivals: dict[tuple[str, str, str, str], dict[bytes, Claimed]] = {}
    for claim in claims:
        fact = claim.fact
        key = (fact.venue, fact.account, type(fact).__name__, claim.key)
        known = first.setdefault(key, claim)
        if known is not claim:
            contents = rivals.setdefault(key, {known.content: known})
            twin = contents.get(claim.content)
            contents[claim.content] = claim if twin is None else _united(twin, claim)
    findings = []
    for key, contents in sorted(rivals.items()):
        holds, *beaten = sorted(contents.values(), key=lambda c: (-best_source(c).rank, c.content))
        first[key] = msgspec.structs.replace(holds, assertions=_all_assertions(holds, *beaten))
        if beaten:
            findings.append(_conflict([holds, *beaten]))
    return list(first.values()), findings


def _united(one: Claimed, other: Claimed) -> Claimed:
    seq = min(one.seq, other.seq)
    return msgspec.structs.replace(one, seq=seq, assertions=_all_assertions(one, other))


def _all_assertions(*claims: Claimed) -> tuple[Assertion, ...]:
    return tuple(dict.fromkeys(each for claim in claims for each in claim.assertions))


def _conflict(contenders: Sequence[Claimed]) -> Finding:
    holds = contenders[0]
    return Finding(
        code="claims-conflict",
        severity="warning",
        message=f"{len(contenders)} claims share one identity but differ; "
        f"the one with seq {holds.seq} holds",
        next_step="see both in `fillbook findings --json`, retract the wrong batch",
        venue=holds.fact.venue,
        account=holds.fact.account,
        instrument=getattr(holds.fact, "instrument", None),
        ts_ns=holds.fact.ts_ns,
        seqs=tuple(sorted(claim.seq for claim in contenders)),
    )
