"""Which claim holds where several speak of the same thing: source rank, coverage, conflicts.

For each (account, instrument, interval, component) exactly one source is folded: the
highest-ranked that covers it. The rest is evidence, compared by sums; a difference is a finding.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

from fillbook.facts.finding import Finding
from fillbook.facts.model import Batch, Charge, Claimed, Component, Fill, Funding
from fillbook.ground.exact import plain_text
from fillbook.resolve.event import SourceCoverage

Moved = Fill | Funding | Charge
COMPONENT_OF: dict[type, Component] = {Fill: "fills", Funding: "funding", Charge: "charges"}


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

    Every contradiction is a finding that names both claims; both stay in the journal.
    """
    first: dict[tuple[str, str, type, str], Claimed] = {}
    rivals: dict[tuple[str, str, type, str], list[Claimed]] = {}
    for claim in claims:
        fact = claim.fact
        key = (fact.venue, fact.account, type(fact), claim.key)
        if key in first:
            rivals.setdefault(key, [first[key]]).append(claim)
        else:
            first[key] = claim
    findings = []
    for key, contenders in rivals.items():
        first[key] = min(contenders, key=lambda c: (-best_source(c).rank, c.content))
        findings.append(
            Finding(
                code="claims-conflict",
                severity="warning",
                message=f"{len(contenders)} claims share one identity but differ; "
                f"the one with seq {first[key].seq} holds",
                next_step="see both in `fillbook findings --json`, retract the wrong batch",
                venue=key[0],
                account=key[1],
                instrument=getattr(first[key].fact, "instrument", None),
                ts_ns=first[key].fact.ts_ns,
                seqs=tuple(sorted(c.seq for c in contenders)),
            )
        )
    return list(first.values()), findings


class CoverageMap:
    """Answers: does a stronger source cover this claim?"""

    def __init__(self, batches: Iterable[Batch]) -> None:
        spans: dict[tuple[str, str, str, str | None], dict[SourceRank, list[tuple[int, int]]]]
        spans = defaultdict(lambda: defaultdict(list))
        self.listed: list[SourceCoverage] = []
        for batch in batches:
            for part in batch.coverage:
                place = (batch.venue, batch.account, part.component, part.instrument)
                source = SourceRank(batch.rank, batch.source)
                spans[place][source].append((part.from_ns, part.until_ns))
        self._spans = {
            place: {source: _united(intervals) for source, intervals in sources.items()}
            for place, sources in spans.items()
        }
        self._rivals = self._count_sources()

    def _count_sources(self) -> dict[tuple[str, str, str], int]:
        sources: dict[tuple[str, str, str], set[str]] = defaultdict(set)
        for (venue, account, component, _), named in self._spans.items():
            sources[venue, account, component].update(source.source for source in named)
        return {place: len(named) for place, named in sources.items()}

    def stronger(self, fact: Moved, own: SourceRank) -> SourceRank | None:
        """Return the strongest source above `own` that covers the fact's printed instant."""
        component = COMPONENT_OF[type(fact)]
        if self._rivals.get((fact.venue, fact.account, component), 0) < 2:
            return None
        found: SourceRank | None = None
        for instrument in (None, fact.instrument):
            sources = self._spans.get((fact.venue, fact.account, component, instrument), {})
            for source, intervals in sources.items():
                above = source.source != own.source and source > (found or own)
                if above and _meets(intervals, fact.ts_ns, fact.ts_ns + fact.printed_ns):
                    found = source
        return found


def _united(intervals: list[tuple[int, int]]) -> list[tuple[int, int]]:
    united: list[tuple[int, int]] = []
    for start, end in sorted(intervals):
        if united and start <= united[-1][1]:
            united[-1] = (united[-1][0], max(end, united[-1][1]))
        else:
            united.append((start, end))
    return united


def _meets(intervals: list[tuple[int, int]], start: int, end: int) -> bool:
    place = bisect_right(intervals, (end - 1, 1 << 80)) - 1
    return place >= 0 and intervals[place][1] > start


def split_evidence(
    claims: Sequence[Claimed], batches: Iterable[Batch]
) -> tuple[list[Claimed], list[tuple[Claimed, SourceRank]]]:
    """Split claims into those that are folded and evidence with the source that overrules it."""
    coverage = CoverageMap(batches)
    folded: list[Claimed] = []
    evidence: list[tuple[Claimed, SourceRank]] = []
    for claim in claims:
        assert isinstance(claim.fact, Moved)
        winner = coverage.stronger(claim.fact, best_source(claim))
        if winner is None:
            folded.append(claim)
        else:
            evidence.append((claim, winner))
    return folded, evidence


class _Sum(NamedTuple):
    bought: Decimal
    sold: Decimal
    money: Decimal


def compare_evidence(
    folded: Sequence[Claimed], evidence: Sequence[tuple[Claimed, SourceRank]]
) -> list[Finding]:
    """Compare overruled sources with the folded one by sums per instrument; report differences."""
    if not evidence:
        return []
    theirs: dict[tuple[str, str, str, str, str], list[Moved]] = defaultdict(list)
    for claim, _ in evidence:
        fact = claim.fact
        assert isinstance(fact, Moved)
        place = (fact.venue, fact.account, COMPONENT_OF[type(fact)], fact.instrument or "-")
        theirs[(*place, best_source(claim).source)].append(fact)
    ours: dict[tuple[str, str, str, str], list[Moved]] = defaultdict(list)
    for claim in folded:
        fact = claim.fact
        assert isinstance(fact, Moved)
        place = (fact.venue, fact.account, COMPONENT_OF[type(fact)], fact.instrument or "-")
        ours[place].append(fact)
    findings = []
    for (venue, account, component, instrument, source), facts in sorted(
        theirs.items(), key=lambda item: item[0]
    ):
        since = min(fact.ts_ns for fact in facts)
        until = max(fact.ts_ns + fact.printed_ns for fact in facts)
        window = [
            fact
            for fact in ours[venue, account, component, instrument]
            if since <= fact.ts_ns < until
        ]
        here, there = _summed(window), _summed(facts)
        if (here.bought, here.sold) != (there.bought, there.sold) or (
            component != "fills" and here.money != there.money
        ):
            findings.append(
                Finding(
                    code="sources-disagree",
                    severity="warning",
                    message=f"{source} and the folded source disagree on {component} of "
                    f"{instrument}: {_told(there)} against {_told(here)}",
                    next_step="export the period again, or retract the batch that is incomplete",
                    venue=venue,
                    account=account,
                    instrument=instrument,
                    ts_ns=since,
                )
            )
    return findings


def _summed(facts: Iterable[Moved]) -> _Sum:
    bought = sold = money = Decimal(0)
    for fact in facts:
        if isinstance(fact, Fill):
            if fact.side == "buy":
                bought += fact.qty
            else:
                sold += fact.qty
            money += fact.fee or 0
        else:
            money += fact.amount
    return _Sum(bought, sold, money)


def _told(total: _Sum) -> str:
    return (
        f"bought {plain_text(total.bought)}, sold {plain_text(total.sold)}, "
        f"money {plain_text(total.money)}"
    )
