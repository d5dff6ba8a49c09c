"""Who covers what: for every instant exactly one source is folded, the rest is evidence.

For each (account, instrument, interval, component) that is the highest-ranked source whose
promise of completeness covers it. Where nobody promises anything, everything counts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from fillbook.facts.model import (
    Assertion,
    Batch,
    Charge,
    Claimed,
    Component,
    Coverage,
    Fill,
    Funding,
    Span,
)
from fillbook.resolve.event import SourceCoverage
from fillbook.resolve.rank import SourceRank
from fillbook.resolve.statements import Interval, Settled, uncovered, united

Moved = Fill | Funding | Charge
Promised = tuple[str, str, str, str, str, int]
"""(venue, account, component, source, instrument or "", rank)"""
NameOf = Callable[[str, str], str]
"""(venue, name a source prints) -> the one name of the instrument."""

NOTHING = Settled([], [])
COMPONENT_OF: dict[type, Component] = {Fill: "fills", Funding: "funding", Charge: "charges"}


def closes_the_rest(fact: object) -> bool:
    """Say whether a fill only closes what reported fills leave open; it competes with no source."""
    return isinstance(fact, Fill) and fact.approximate and bool(fact.reduce_only)


class PlaceCoverage:
    """The promises about one component of one account.

    `grain_ns` is the coarsest print among the claims there: a second that one source prints as a
    whole is never shared by two, or what happened at the edge of a promise would count twice, or
    not at all.
    """

    def __init__(self, spans: dict[tuple[SourceRank, str | None], list[Interval]]) -> None:
        merged = {place: united(intervals) for place, intervals in spans.items()}
        self._spans = sorted(merged.items(), key=lambda item: item[0][0], reverse=True)
        names = {source.source for source, _ in spans}
        self.sole = names.pop() if len(names) == 1 else None
        """The only source that promises anything here, None where there are several."""
        self.grain_ns = 1

    def covering(self, instrument: str | None, start_ns: int, until_ns: int) -> list[SourceRank]:
        """List the sources that cover [start, until), strongest first, each once.

        Those that promise all of the grains it lies in; where nobody does, those that touch it.
        """
        grain_ns = self.grain_ns
        whole = start_ns - start_ns % grain_ns, until_ns + -until_ns % grain_ns
        return self._of(instrument, *whole, _holds) or self._of(
            instrument, start_ns, until_ns, _meets
        )

    def _of(
        self, instrument: str | None, start_ns: int, until_ns: int, do: Callable[..., bool]
    ) -> list[SourceRank]:
        found: dict[str, SourceRank] = {}
        for (source, named), intervals in self._spans:
            if (
                source.source not in found
                and (named is None or named == instrument)
                and do(intervals, start_ns, until_ns)
            ):
                found[source.source] = source
        return list(found.values())


class CoverageMap:
    """Answers who covers a claim, whatever name its source gives the instrument."""

    def __init__(self, promises: Iterable[SourceCoverage], name_of: NameOf) -> None:
        spans: dict[tuple[str, str, str], dict[tuple[SourceRank, str | None], list[Interval]]]
        spans = defaultdict(lambda: defaultdict(list))
        for each in promises:
            part = each.coverage
            named = part.instrument and name_of(each.venue, part.instrument)
            place = spans[each.venue, each.account, part.component]
            source = SourceRank(each.rank, each.source)
            place[source, named].append((part.from_ns, part.until_ns))
        self._places = {place: PlaceCoverage(named) for place, named in spans.items()}
        self.is_contested = any(place.sole is None for place in self._places.values())
        """Whether several sources promise the same component of some account."""
        self._name_of = name_of

    def measure(self, claims: Iterable[Claimed]) -> None:
        """Learn how coarsely the claims of contested places are printed."""
        if not self.is_contested:
            return
        for claim in claims:
            fact = claim.fact
            assert isinstance(fact, Moved)
            place = self.place_of(fact)
            if place is not None and place.sole is None and fact.printed_ns > place.grain_ns:
                place.grain_ns = fact.printed_ns

    def place_of(self, fact: Moved) -> PlaceCoverage | None:
        """Return the promises about a fact's account and component, None without any."""
        return self._places.get((fact.venue, fact.account, COMPONENT_OF[type(fact)]))

    def sole_of(self, venue: str, account: str, component: str) -> str | None:
        """Return the only source that promises anything there, None without or with several."""
        place = self._places.get((venue, account, component))
        return None if place is None else place.sole

    def promises_fills(self, charge: Charge) -> bool:
        """Say whether some source promises every fill of a charge's instrument at its instant."""
        place = self._places.get((charge.venue, charge.account, COMPONENT_OF[Fill]))
        if place is None or charge.instrument is None:
            return False
        symbol = self._name_of(charge.venue, charge.instrument)
        return bool(place.covering(symbol, charge.ts_ns, charge.ts_ns + charge.printed_ns))

    def covering(self, fact: Moved) -> list[SourceRank]:
        """List the sources that cover the printed instant of a fact, strongest first."""
        place = self.place_of(fact)
        if place is None:
            return []
        symbol = fact.instrument and self._name_of(fact.venue, fact.instrument)
        return place.covering(symbol, fact.ts_ns, fact.ts_ns + fact.printed_ns)


def split_evidence(
    claims: Sequence[Claimed], coverage: CoverageMap
) -> tuple[list[Claimed], list[Claimed]]:
    """Split claims into those that are folded and those that a covering source overrules.

    A claim counts where the strongest source that covers it asserts it, or where none covers it.
    An unfinished import promises nothing yet, so it does not count beside a source that does.
    """
    coverage.measure(claims)
    folded: list[Claimed] = []
    evidence: list[Claimed] = []
    settled_place: PlaceCoverage | None = None
    settled: tuple[Assertion, ...] = ()
    for claim in claims:
        fact = claim.fact
        assert isinstance(fact, Moved)
        place = None if closes_the_rest(fact) else coverage.place_of(fact)
        # Claims of one batch share what asserts them.
        if place is None or (place is settled_place and claim.assertions is settled):
            folded.append(claim)
            continue
        if place.sole is not None and any(e.source == place.sole for e in claim.assertions):
            settled_place, settled = place, claim.assertions
            folded.append(claim)
            continue
        strongest = next(iter(coverage.covering(fact)), None)
        if strongest is None or asserted_by(claim, strongest):
            folded.append(claim)
        else:
            evidence.append(claim)
    return folded, evidence


def asserted_by(claim: Claimed, source: SourceRank) -> bool:
    """Say whether a batch of this source asserts the claim."""
    return any(each.source == source.source for each in claim.assertions)


def united_coverage(batches: Iterable[Batch], said: Settled = NOTHING) -> list[SourceCoverage]:
    """List what every source promises to have in full: finished batches, and the complete
    stretches of running sources less the gaps in them; united, in a fixed order."""
    found: dict[Promised, list[Interval]] = defaultdict(list)
    for _, span in said.complete:
        found[_promised(span)].append((span.ts_ns, span.until_ns))
    missing: dict[Promised, list[Interval]] = defaultdict(list)
    for _, span in said.gaps:
        missing[_promised(span)].append((span.ts_ns, span.until_ns))
        if span.instrument is None:
            for place in found:
                if place[:4] == _promised(span)[:4] and place[4]:
                    missing[place].append((span.ts_ns, span.until_ns))
    for place in found.keys() & missing.keys():
        gaps = united(missing[place])
        whole = united(found[place])
        found[place] = [part for each in whole for part in uncovered(each, gaps)]
    for batch in batches:
        for part in batch.coverage:
            of = (batch.venue, batch.account, part.component, batch.source)
            found[(*of, part.instrument or "", batch.rank)].append((part.from_ns, part.until_ns))
    listed = [
        SourceCoverage(
            venue,
            account,
            source,
            rank,
            Coverage(
                component=component,  # type: ignore[arg-type]
                from_ns=start_ns,
                until_ns=until_ns,
                instrument=instrument or None,
            ),
        )
        for (venue, account, component, source, instrument, rank), intervals in found.items()
        for start_ns, until_ns in united(intervals)
    ]
    return sorted(listed, key=_listing_order)


def _promised(span: Span) -> Promised:
    instrument = span.instrument or ""
    return span.venue, span.account, span.component, span.source, instrument, span.rank


def _listing_order(listed: SourceCoverage) -> tuple[str, str, str, int, str, str, int, int]:
    part = listed.coverage
    place = (listed.venue, listed.account, part.component, part.from_ns)
    return (*place, listed.source, part.instrument or "", part.until_ns, listed.rank)


def _holds(intervals: list[Interval], start: int, end: int) -> bool:
    place = bisect_right(intervals, (start, 1 << 80)) - 1
    return place >= 0 and intervals[place][1] >= end


def _meets(intervals: list[Interval], start: int, end: int) -> bool:
    place = bisect_right(intervals, (end - 1, 1 << 80)) - 1
    return place >= 0 and intervals[place][1] > start
