"""Marks that no store can hold: left out, told once, and forgotten when a sane one follows.

One absurd price from a venue must cost neither the other marks of the same answer nor the polling
of the account that it came with.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from fillbook.facts.finding import Finding
from fillbook.ground.errors import InputError
from fillbook.marks.mark import row_of
from fillbook.marks.series import Mark, MarkStore

Place = tuple[str, str, str]
"""(venue, instrument, kind of price)."""

_log = logging.getLogger(__name__)


class OddMarks:
    """Which prices are left out now. `findings` may be read from any thread."""

    def __init__(self) -> None:
        self._told: dict[Place, Finding] = {}
        self.findings: tuple[Finding, ...] = ()

    def put(self, store: MarkStore, marks: Sequence[Mark]) -> None:
        """Keep every mark that can be kept; one at a time, in the thread that owns the store."""
        try:
            store.put(marks)
        except InputError:
            marks = [mark for mark in marks if self._is_sane(mark)]
            store.put(marks)
        if self._told:
            self._forget({_place_of(mark) for mark in marks})

    def _is_sane(self, mark: Mark) -> bool:
        try:
            row_of(0, mark)
        except InputError as odd:
            self._tell(mark, odd)
            return False
        return True

    def _tell(self, mark: Mark, odd: InputError) -> None:
        if _place_of(mark) not in self._told:
            _log.warning("left out: %s (%s)", odd.what, odd.where)
        self._told[_place_of(mark)] = Finding(
            code="mark-left-out",
            severity="warning",
            message=f"{odd.what} and is left out; the last one before it holds while it is fresh",
            next_step="look at the price on the venue's page; the next sane one is taken",
            venue=mark.venue,
            instrument=mark.instrument,
            ts_ns=mark.ts_ns,
        )
        self.findings = tuple(self._told.values())

    def _forget(self, sane: set[Place]) -> None:
        """Forget what was told of prices that are sane again."""
        if self._told.keys() & sane:
            self._told = {at: told for at, told in self._told.items() if at not in sane}
            self.findings = tuple(self._told.values())


def _place_of(mark: Mark) -> Place:
    return mark.venue, mark.instrument, mark.what
