"""Turns pulled rows into claims, as files are: twins told apart, ranks counted, contracts named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from fillbook.facts.model import AnyFact, Claim, Instrument
from fillbook.marks.series import Mark
from fillbook.sources.reading import instrument_key
from fillbook.sources.source import Draft
from fillbook.sources.stream import PulledRow

_MOST_REMEMBERED = 20_000


class Drafting:
    """Makes claims of one stream, and remembers which of them the book has already.

    A page of time begins at a whole instant, so counting twins inside one page is enough.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[type, str], AnyFact] = {}

    def claims(self, rows: Iterable[PulledRow]) -> tuple[list[Claim], list[Mark], int]:
        """Return claims that are news, marks, and how many claims were known already."""
        twins: Counter[str] = Counter()
        ranks: Counter[tuple[str | None, int]] = Counter()
        claims: list[Claim] = []
        marks: list[Mark] = []
        known = 0
        for row in rows:
            for draft in row.drafts:
                if isinstance(draft, Mark):
                    marks.append(draft)
                    continue
                for claim in _claims_of(draft, row.raw, twins, ranks):
                    if self._known.get(_place(claim)) == claim.fact:
                        known += not isinstance(claim.fact, Instrument)
                    else:
                        claims.append(claim)
        return claims, marks, known

    def remember(self, claims: Iterable[Claim]) -> None:
        """Note claims that the book has now."""
        for claim in claims:
            self._known.pop(_place(claim), None)
            self._known[_place(claim)] = claim.fact
        while len(self._known) > _MOST_REMEMBERED:
            del self._known[next(iter(self._known))]


def _place(claim: Claim) -> tuple[type, str]:
    return type(claim.fact), f"{claim.key}#{claim.ordinal}"


def _claims_of(
    draft: Draft, raw: str, twins: Counter[str], ranks: Counter[tuple[str | None, int]]
) -> Iterable[Claim]:
    if draft.instrument is not None:
        yield Claim(draft.instrument, instrument_key(draft.instrument), raw)
    ordinal, row = 0, None
    if draft.idless:
        ordinal = twins[draft.key]
        twins[draft.key] += 1
    if draft.ranked:
        place = (getattr(draft.fact, "instrument", None), draft.fact.ts_ns)
        row = ranks[place]
        ranks[place] += 1
    yield Claim(draft.fact, draft.key, raw, row, ordinal)
