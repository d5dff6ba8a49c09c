"""Cuts a reading into pages and counts what became of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import msgspec

from fillbook.facts.model import Claim, Instrument
from fillbook.ground.clock import iso
from fillbook.journal.values import BatchOpen
from fillbook.marks.series import Mark
from fillbook.sources.files.report import FileReport
from fillbook.sources.reading import Reading
from fillbook.sources.source import Rejected

PAGE_CLAIMS = 1000
_PAGE_MARKS = 10_000
# Beyond this a list would hide its own message; the count stays exact.
_MOST_LISTED = 1000


class Chunk(msgspec.Struct, frozen=True):
    """A page of claims, the instruments they brought with them, and the marks in between.

    `behind` counts what came before it. Descriptions are kept apart: they are no events.
    """

    described: list[Claim]
    claims: list[Claim]
    marks: list[Mark]
    behind: int
    last: bool

    @property
    def end(self) -> int:
        """Return how much of the reading lies behind this chunk's end."""
        return self.behind + len(self.described) + len(self.claims)


def _is_full(chunk: Chunk) -> bool:
    claims = len(chunk.described) + len(chunk.claims)
    return claims == PAGE_CLAIMS or len(chunk.marks) == _PAGE_MARKS


class Counts(Protocol):
    """What a journal, or a rehearsal of one, says about claims it was given."""

    @property
    def new(self) -> int:
        """Return how many were new, conflicts included."""
        ...

    @property
    def known(self) -> int:
        """Return how many were known already."""
        ...

    @property
    def conflicts(self) -> int:
        """Return how many contradict a known claim."""
        ...


class Tally:
    """Counts one reading on its way into the book."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._rejections: list[Rejected] = []
        self.claims = self.new = self.known = self.conflicts = self.marks = self.described = 0
        self.resumed = self.already = False

    def chunks(self) -> Iterator[Chunk]:
        """Yield the reading page by page; exactly the final chunk is `last`."""
        chunk = Chunk([], [], [], 0, last=True)
        for entry in self._reading.entries():
            if isinstance(entry, Rejected):
                if len(self._rejections) < _MOST_LISTED:
                    self._rejections.append(entry)
                continue
            # A full page waits for one entry more, so that the last chunk is never empty-handed.
            if _is_full(chunk):
                yield self._counted(msgspec.structs.replace(chunk, last=False))
                chunk = Chunk([], [], [], chunk.end, last=True)
            if isinstance(entry, Mark):
                chunk.marks.append(entry)
            elif isinstance(entry.fact, Instrument):
                chunk.described.append(entry)
            else:
                chunk.claims.append(entry)
        yield self._counted(chunk)

    def _counted(self, chunk: Chunk) -> Chunk:
        self.claims += len(chunk.claims)
        self.marks += len(chunk.marks)
        self.described += len(chunk.described)
        return chunk

    def add(self, counts: Counts) -> None:
        """Count what the journal did with a page."""
        self.new += counts.new
        self.known += counts.known
        self.conflicts += counts.conflicts

    def report(self, path: str, opening: BatchOpen) -> FileReport:
        """Tell the whole story of one reading."""
        reading = self._reading
        told = self.claims or self.described
        nothing = reading.rows > 0 and not (told or self.marks)
        first, last = reading.first_ns, reading.last_ns
        return FileReport(
            path=path,
            format=opening.source,
            venue=opening.venue,
            account=None if self.marks and not told else opening.account,
            batch_id=opening.batch_id if told else None,
            rows=reading.rows,
            claims=self.claims,
            new=self.new,
            known=self.known,
            conflicts=self.conflicts,
            marks=self.marks,
            rejected=reading.rejected,
            rejections=tuple(self._rejections),
            labels=reading.labels,
            first=None if first is None else iso(first),
            last=None if last is None else iso(last),
            resumed=self.resumed,
            already_imported=self.already,
            skipped=None if reading.rows else "it holds no rows",
            error="none of its rows could be read" if nothing else None,
            where=path if nothing else None,
            next_step="see the rejected rows for the reasons" if nothing else None,
        )
