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
)
from fillbook.ground.settings import StrategyRule
from fillbook.resolve.assignment import Assigner
from fillbook.resolve.corrections import apply_corrections
from fillbook.resolve.event import Group, Resolved, SourceCoverage
from fillbook.resolve.grouping import build_group, contract_of, group_claims
from fillbook.resolve.instruments import InstrumentBook
from fillbook.resolve.rank import compare_evidence, settle_conflicts, split_evidence

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
    instruments = InstrumentBook(by_kind[Instrument])
    findings += instruments.findings
    moved, more = _what_holds(by_kind)
    findings += more
    folded, evidence = split_evidence(moved, batches)
    findings += compare_evidence(folded, evidence)

    assigner = Assigner(
        by_kind[Assignment],
        by_kind[OrderUpdate],
        by_kind[Decision],
        (rules or ResolveRules()).strategies,
    )
    grouped, more = group_claims(folded, instruments)
    findings += more
    untimed = {batch.account for batch in batches if WITHOUT_TIMES in batch.labels}
    groups: list[Group] = []
    for key in sorted(grouped):
        contract = contract_of(key, instruments)
        group, more = build_group(
            key, contract, grouped[key], assigner, without_times=key.account in untimed
        )
        groups.append(group)
        findings += more
    findings += _epochs(by_kind[Epoch])
    return Resolved(
        groups=groups,
        findings=findings,
        coverage=_coverage(batches),
        orders=_orders(by_kind[OrderUpdate]),
        n_evidence=len(evidence),
    )


def _what_holds(by_kind: dict[type, list[Claimed]]) -> tuple[list[Claimed], list[Finding]]:
    fills, findings = settle_conflicts(by_kind[Fill])
    fills, more = apply_corrections(fills, by_kind[Correction])
    findings += more
    moved: list[Claimed] = fills
    for kind in (Funding, Charge):
        settled, more = settle_conflicts(by_kind[kind])
        moved += settled
        findings += more
    return moved, findings


def _orders(claims: Sequence[Claimed]) -> list[OrderUpdate]:
    in_order = sorted(claims, key=lambda c: (c.fact.ts_ns, c.key, c.content))
    return [claim.fact for claim in in_order if isinstance(claim.fact, OrderUpdate)]


def _coverage(batches: Sequence[Batch]) -> list[SourceCoverage]:
    listed = {
        SourceCoverage(batch.venue, batch.account, batch.source, batch.rank, part)
        for batch in batches
        for part in batch.coverage
    }
    return sorted(
        listed,
        key=lambda c: (
            c.venue,
            c.account,
            c.coverage.component,
            c.coverage.from_ns,
            c.source,
            c.coverage.instrument or "",
        ),
    )


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
