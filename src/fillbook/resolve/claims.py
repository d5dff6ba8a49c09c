"""From the set of claims to ordered money events: a pure function of the set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from fillbook.facts.finding import Finding
from fillbook.facts.model import (
    Assignment,
    Batch,
    Charge,
    Claimed,
    Correction,
    Decision,
    Epoch,
    Fill,
    Funding,
    Instrument,
    OrderUpdate,
    Span,
)
from fillbook.ground.settings import StrategyRule
from fillbook.resolve.assignment import Assigner
from fillbook.resolve.corrections import apply_corrections
from fillbook.resolve.coverage import CoverageMap, split_evidence, united_coverage
from fillbook.resolve.event import Group, Resolved
from fillbook.resolve.evidence import compare_evidence
from fillbook.resolve.gaps import gap_findings
from fillbook.resolve.grouping import build_group, contract_of, group_claims
from fillbook.resolve.instruments import InstrumentBook
from fillbook.resolve.rank import settle_conflicts

WITHOUT_TIMES = "no times"


class ResolveRules(msgspec.Struct, frozen=True, kw_only=True):
    """What the configuration says about resolving; part of a ledger's identity."""

    strategies: tuple[StrategyRule, ...] = ()


def resolve(claims: Iterable[Claimed], rules: ResolveRules | None = None) -> Resolved:
    """Decide what is true: conflicts, corrections, rank, strategies, order, anchors.

    Depends only on the set of live claims, never on the order they arrived in.
    """
    by_kind: dict[type, list[Claimed]] = defaultdict(list)
    for claim in claims:
        by_kind[type(claim.fact)].append(claim)
    findings: list[Finding] = []

    batches = [claim.fact for claim in by_kind[Batch] if isinstance(claim.fact, Batch)]
    spans = [claim.fact for claim in by_kind[Span] if isinstance(claim.fact, Span)]
    instruments = InstrumentBook(by_kind[Instrument])
    findings += instruments.findings
    for kind in (Fill, Funding, Charge, Correction, Assignment, OrderUpdate, Decision):
        by_kind[kind], more = settle_conflicts(by_kind[kind])
        findings += more
    fills, more = apply_corrections(by_kind[Fill], by_kind[Correction])
    findings += more
    moved = [*fills, *by_kind[Funding], *by_kind[Charge]]
    promises = united_coverage(batches, spans)
    findings += gap_findings(spans, promises)
    coverage = CoverageMap(promises, instruments.name_of)
    folded, evidence = split_evidence(moved, coverage)
    findings += compare_evidence(moved, coverage, instruments.name_of)

    assigner = Assigner(
        by_kind[Assignment],
        by_kind[OrderUpdate],
        by_kind[Decision],
        (rules or ResolveRules()).strategies,
        instruments,
    )
    grouped, more = group_claims(folded, instruments)
    findings += more
    untimed = frozenset(batch.batch_id for batch in batches if WITHOUT_TIMES in batch.labels)
    groups: list[Group] = []
    for key in sorted(grouped):
        contract = contract_of(key, instruments)
        without_times = bool(untimed) and _has_no_times(grouped[key], untimed)
        group, more = build_group(
            key, contract, grouped[key], assigner, without_times=without_times
        )
        groups.append(group)
        findings += more
    findings += _epochs(by_kind[Epoch])
    return Resolved(
        groups=groups,
        findings=findings,
        coverage=promises,
        orders=_orders(by_kind[OrderUpdate]),
        n_evidence=len(evidence),
    )


def _has_no_times(claims: Iterable[Claimed], untimed: frozenset[str]) -> bool:
    """Say whether some claim is known only from batches whose rows have no time."""
    return any(all(each.batch_id in untimed for each in claim.assertions) for claim in claims)


def _orders(claims: Sequence[Claimed]) -> list[OrderUpdate]:
    in_order = sorted(claims, key=lambda c: (c.fact.ts_ns, c.key, c.content))
    return [claim.fact for claim in in_order if isinstance(claim.fact, OrderUpdate)]


def _epochs(claims: Sequence[Claimed]) -> list[Finding]:
    findings = []
    for claim in claims:
        lost = claim.fact
        assert isinstance(lost, Epoch)
        findings.append(
            Finding(
                code="claims-lost",
                severity="error",
                message=f"the book once held claims {lost.lost_from_seq} to "
                f"{lost.lost_until_seq - 1} and lost them",
                next_step="restore a backup, or import the period again",
                ts_ns=lost.ts_ns,
                seqs=(claim.seq,),
                touches=("realized", "net", "made_money"),
            )
        )
    return findings
