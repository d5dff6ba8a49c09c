"""The gaps that running sources admit and that nothing has filled since."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from fillbook.facts.finding import Finding
from fillbook.facts.model import Batch, Span
from fillbook.ground.clock import iso
from fillbook.resolve.event import SourceCoverage
from fillbook.resolve.statements import Interval, Settled, uncovered, united

Place = tuple[str, str, str, str | None]

# Imports stand apart from the streams whose reader they share.
_IMPORTED = "\x1fimported"

# Orders, decisions and transfers are no PnL: missing ones make no figure of money incomplete.
_TOUCHED: dict[str, tuple[str, ...]] = {
    "fills": ("realized", "net", "made_money"),
    "funding": ("funding", "net", "made_money"),
    "charges": ("net", "made_money"),
}


def gap_findings(
    said: Settled, coverage: Sequence[SourceCoverage], files: Iterable[Batch] = ()
) -> list[Finding]:
    """Return a finding per stretch that a stream called a gap, and that nothing fills."""
    return list(dict.fromkeys(map(_gap, open_gaps(said, coverage, files))))


def open_gaps(
    said: Settled, coverage: Sequence[SourceCoverage], files: Iterable[Batch] = ()
) -> list[Span]:
    """Return the stretches that a stream called a gap, each cut to what nothing fills.

    What fills it: a later word of the same stream (`said` is settled), a finished import, or what
    another source has in full (`coverage`).
    """
    covered: dict[Place, list[tuple[str, Interval]]] = defaultdict(list)
    for each in coverage:
        part = each.coverage
        place = (each.venue, each.account, part.component, part.instrument)
        covered[place].append((each.source, (part.from_ns, part.until_ns)))
    for batch in files:
        for part in batch.coverage:
            place = (batch.venue, batch.account, part.component, part.instrument)
            covered[place].append((_IMPORTED, (part.from_ns, part.until_ns)))
    left = []
    for _, span in said.gaps:
        own = (span.venue, span.account, span.component)
        known = covered.get((*own, None), []) + covered.get((*own, span.instrument), [])
        filled = united(stretch for source, stretch in known if source != span.source)
        for since, until in uncovered((span.ts_ns, span.until_ns), filled):
            left.append(msgspec.structs.replace(span, ts_ns=since, until_ns=until))
    return left


def _gap(span: Span) -> Finding:
    touches = _TOUCHED.get(span.component, ())
    return Finding(
        code="gap",
        severity="error" if touches else "warning",
        message=f"{span.component} from {iso(span.ts_ns)} to {iso(span.until_ns)} could not be "
        f"had: {span.cause or 'the source did not say why'}",
        next_step="import an export of that period",
        venue=span.venue,
        account=span.account,
        instrument=span.instrument,
        ts_ns=span.ts_ns,
        touches=touches,
    )
