"""The gaps that running sources admit and that no source has covered since."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from fillbook.facts.finding import Finding
from fillbook.facts.model import Span
from fillbook.ground.clock import iso
from fillbook.resolve.coverage import Interval, united
from fillbook.resolve.event import SourceCoverage

# Orders, decisions and transfers are no PnL: missing ones make no figure of money incomplete.
_TOUCHED: dict[str, tuple[str, ...]] = {
    "fills": ("realized", "net", "made_money"),
    "funding": ("funding", "net", "made_money"),
    "charges": ("net", "made_money"),
}


def uncovered(stretch: Interval, covered: Sequence[Interval]) -> list[Interval]:
    """Return what of a stretch lies outside `covered` (united intervals).

    >>> uncovered((0, 10), [(2, 4), (8, 20)])
    [(0, 2), (4, 8)]
    """
    start, end = stretch
    open_parts = []
    for since, until in covered:
        if until <= start or since >= end:
            continue
        if since > start:
            open_parts.append((start, since))
        start = max(start, until)
    if start < end:
        open_parts.append((start, end))
    return open_parts


def gap_findings(spans: Sequence[Span], coverage: Sequence[SourceCoverage]) -> list[Finding]:
    """Return a finding per stretch that a source called a gap and no source covers since."""
    covered: dict[tuple[str, str, str, str | None], list[Interval]] = defaultdict(list)
    for each in coverage:
        part = each.coverage
        place = (each.venue, each.account, part.component, part.instrument)
        covered[place].append((part.from_ns, part.until_ns))
    findings = []
    for span in spans:
        if span.state != "gap":
            continue
        own = (span.venue, span.account, span.component)
        known = covered.get((*own, None), []) + covered.get((*own, span.instrument), [])
        for since, until in uncovered((span.ts_ns, span.until_ns), united(known)):
            findings.append(_gap(span, since, until))
    return list(dict.fromkeys(findings))


def _gap(span: Span, since: int, until: int) -> Finding:
    touches = _TOUCHED.get(span.component, ())
    return Finding(
        code="gap",
        severity="error" if touches else "warning",
        message=f"{span.component} from {iso(since)} to {iso(until)} could not be had: "
        f"{span.cause or 'the source did not say why'}",
        next_step="import an export of that period",
        venue=span.venue,
        account=span.account,
        instrument=span.instrument,
        ts_ns=since,
        touches=touches,
    )
