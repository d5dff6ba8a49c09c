"""Which claims count: those that are folded, with everything that decides how they are.

What a stronger source overrules, what a contradiction has beaten and what only repeats a fill is
left out, so that the rest alone gives the same ledger.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from fillbook.facts.model import (
    Assignment,
    Batch,
    Charge,
    Claimed,
    Correction,
    Decision,
    Fill,
    Funding,
    Instrument,
    OrderUpdate,
    Report,
    Span,
    Transfer,
    Vote,
)
from fillbook.resolve.corrections import apply_corrections
from fillbook.resolve.coverage import CoverageMap, split_evidence, united_coverage
from fillbook.resolve.event import SourceCoverage
from fillbook.resolve.gaps import open_gaps
from fillbook.resolve.instruments import InstrumentBook
from fillbook.resolve.rank import settle_conflicts
from fillbook.resolve.repeats import Repeats
from fillbook.resolve.standing import WITHOUT_TIMES
from fillbook.resolve.statements import settled, statements

_SETTLED = (Fill, Funding, Charge, Correction, Assignment, OrderUpdate, Decision)
_KEPT = (Instrument, Transfer, Report, Vote)


class Counted(msgspec.Struct, frozen=True):
    """Claims by kind, in order of time; the stretches that are complete; and open gaps.

    `untimed` names the batches whose rows have no times of their own.
    """

    claims: dict[type, list[Claimed]]
    instruments: InstrumentBook
    complete: list[SourceCoverage]
    gaps: list[Span]
    untimed: frozenset[str]

    def has_time(self, claim: Claimed) -> bool:
        """Say whether some source printed when it happened."""
        return not all(each.batch_id in self.untimed for each in claim.assertions)


def counted(claims: Iterable[Claimed]) -> Counted:
    """Choose the claims of a set that count; a pure function of the set."""
    by_kind: dict[type, list[Claimed]] = defaultdict(list)
    for claim in claims:
        by_kind[type(claim.fact)].append(claim)
    for kind in _SETTLED:
        by_kind[kind], _ = settle_conflicts(by_kind[kind])
    instruments = InstrumentBook(by_kind[Instrument])
    batches = [claim.fact for claim in by_kind[Batch] if isinstance(claim.fact, Batch)]
    said = settled(statements(by_kind[Span]))
    promises = united_coverage(batches, said)
    coverage = CoverageMap(promises, instruments.name_of)
    fills, _ = apply_corrections(by_kind[Fill], by_kind[Correction])
    moved = [*fills, *by_kind[Funding], *by_kind[Charge]]
    folded, evidence = split_evidence(moved, coverage)
    repeats = Repeats(folded, coverage, instruments.name_of)
    left_out = {_identity(claim) for claim in (*evidence, *repeats.repeated)}
    chosen: dict[type, list[Claimed]] = {
        kind: _in_order([claim for claim in by_kind[kind] if _identity(claim) not in left_out])
        for kind in (*_SETTLED, *_KEPT)
    }
    untimed = frozenset(batch.batch_id for batch in batches if WITHOUT_TIMES in batch.labels)
    gaps = open_gaps(said, promises, batches)
    return Counted(chosen, instruments, promises, gaps, untimed)


def _in_order(claims: Sequence[Claimed]) -> list[Claimed]:
    """Sort by time, then by the place a source printed them at: files are read in that order."""
    return sorted(claims, key=lambda claim: (claim.fact.ts_ns, row_of(claim) or 0, claim.key))


def row_of(claim: Claimed) -> int | None:
    """Return the rank a claim was printed at inside its instant, by the first source that says."""
    return next((each.row for each in claim.assertions if each.row is not None), None)


def _identity(claim: Claimed) -> tuple[str, str, type, str]:
    return claim.fact.venue, claim.fact.account, type(claim.fact), claim.key
