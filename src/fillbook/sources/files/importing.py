"""Imports files into a book: pages with their cursor, resumable, each file on its own.

A fault in one file is told in its report and does not stop the others. Rejected rows are listed,
the rest is imported. A dry run writes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from fillbook.facts.model import Batch, Claim
from fillbook.ground.clock import now_ns
from fillbook.ground.errors import BookError, FillbookError, UsageError
from fillbook.journal.store import Journal
from fillbook.journal.values import BatchOpen, BatchState, Page
from fillbook.marks.series import MarkStore
from fillbook.sources.files.opened import SourceFile
from fillbook.sources.files.pages import PAGE_CLAIMS, Chunk, Tally
from fillbook.sources.files.registry import AUTO, detect, reader_named, recognised
from fillbook.sources.files.rehearsal import Outcome, Rehearsal, refuse_other_settings
from fillbook.sources.files.report import FileReport, ImportReport
from fillbook.sources.reading import Reading
from fillbook.sources.source import Reader, ReadOptions

__all__ = ["FileReport", "ImportReport", "batch_id_of", "import_paths"]

Progress = Callable[[str, int, int], None]
"""(file, bytes done, bytes in all), called after every page."""


def import_paths(
    journal: Journal | None,
    marks: MarkStore | None,
    paths: Iterable[str | Path],
    options: ReadOptions | None = None,
    format: str = AUTO,
    progress: Progress | None = None,
    dry_run: bool = False,
    clock: Callable[[], int] = now_ns,
) -> ImportReport:
    """Import files, and the files inside folders that a reader recognises.

    Without `journal` or `marks` only a dry run is possible. A fault of the book itself
    (BookError) or of the request (UsageError) stops the import; a fault of a file is told in
    its report.
    """
    if not dry_run and (journal is None or marks is None):
        raise UsageError("an import needs a book", "", "make one with `fillbook init`")
    options = options or ReadOptions()
    if format != AUTO:
        reader_named(format, options.column_maps)
    importer = _Importer(journal, marks, options, format, progress, dry_run, clock)
    files: list[FileReport] = []
    for path in paths:
        for file, asked_for in _files_in(Path(path)):
            files += importer.run(file, asked_for)
    seq = None if journal is None else journal.head().seq
    return ImportReport(files=tuple(files), dry_run=dry_run, seq=seq)


def batch_id_of(source: str, account: str, fingerprint: str) -> str:
    """Name a batch by what it is, so that the same import always has the same name.

    >>> batch_id_of("coinbase-pro", "default", "ab" * 32)
    'b-0611f5c5e1dd'
    """
    digest = hashlib.sha256("\x1f".join((source, account, fingerprint)).encode()).hexdigest()
    return f"b-{digest[:12]}"


def _files_in(path: Path) -> Iterator[tuple[SourceFile, bool]]:
    """Yield the files under a path, and whether each was asked for by name."""
    if not path.is_dir():
        yield SourceFile(path), True
        return
    for inside in sorted(path.rglob("*")):
        hidden = any(part.startswith(".") for part in inside.relative_to(path).parts)
        if inside.is_file() and not hidden:
            yield SourceFile(inside), False


class _Importer:
    """One import: where it writes to and how it reads."""

    def __init__(
        self,
        journal: Journal | None,
        marks: MarkStore | None,
        options: ReadOptions,
        format: str,
        progress: Progress | None,
        dry_run: bool,
        clock: Callable[[], int],
    ) -> None:
        self._journal = journal
        self._marks = marks
        self._options = options
        self._format = format
        self._progress = progress
        self._dry_run = dry_run
        self._clock = clock

    def run(self, file: SourceFile, asked_for: bool) -> list[FileReport]:
        """Import one file; every fault of its own becomes a report."""
        reports: list[FileReport] = []
        name: str | None = None
        try:
            reader = self._reader(file, asked_for)
            if reader is None:
                return [FileReport(path=str(file.path), skipped="no reader recognises it")]
            name = reader.name
            for reading in reader.read(file, self._options):
                reports.append(self._read(file, reading))
        except (BookError, UsageError):
            raise
        except FillbookError as fault:
            reports.append(
                FileReport(
                    path=str(file.path),
                    format=name,
                    error=fault.what,
                    where=fault.where,
                    next_step=fault.next_step,
                )
            )
        return reports

    def _reader(self, file: SourceFile, asked_for: bool) -> Reader | None:
        maps = self._options.column_maps
        if self._format != AUTO:
            return reader_named(self._format, maps)
        if not asked_for and not recognised(file, maps):
            return None
        return detect(file, maps)

    def _read(self, file: SourceFile, reading: Reading) -> FileReport:
        opening = _opening(reading)
        tally = Tally(reading)
        if self._journal is not None:
            refuse_other_settings(self._journal, opening, reading)
        if self._dry_run:
            rehearsal = Rehearsal(self._journal)
            for chunk in tally.chunks():
                rehearsal.see(chunk.claims)
                self._tell(file, reading)
            tally.add(rehearsal.outcome())
        else:
            self._write(file, opening, reading, tally)
        return tally.report(str(file.path), opening)

    def _write(self, file: SourceFile, opening: BatchOpen, reading: Reading, tally: Tally) -> None:
        assert self._journal is not None and self._marks is not None
        journaled: int | None = None
        for chunk in tally.chunks():
            if chunk.end and journaled is None:
                resume = self._journal.begin(opening, self._clock())
                journaled = _claims_in(resume.cursor)
                tally.already = resume.complete
                tally.resumed = journaled > 0 and not resume.complete
            if chunk.marks:
                self._marks.put(chunk.marks)
            if tally.already:
                tally.add(Outcome(known=len(chunk.claims)))
            elif journaled is not None:
                self._append(opening, reading, tally, chunk, journaled)
            self._tell(file, reading)

    def _append(
        self, opening: BatchOpen, reading: Reading, tally: Tally, chunk: Chunk, journaled: int
    ) -> None:
        """Append what an earlier, interrupted import of this file did not bring.

        Descriptions go in a page of their own before the events, so that counts speak of events.
        """
        assert self._journal is not None
        events_from = chunk.behind + len(chunk.described)
        described = chunk.described[max(0, journaled - chunk.behind) :]
        fresh = chunk.claims[max(0, journaled - events_from) :]
        tally.add(Outcome(known=len(chunk.claims) - len(fresh)))
        if described:
            self._journal.append(_page(opening, described, events_from), self._clock())
        if not (fresh or chunk.last):
            return
        final = _final(opening, reading) if chunk.last else None
        earlier = self._journal.batches() if final is not None else []
        page = _page(opening, fresh, chunk.end, final)
        tally.add(self._journal.append(page, self._clock()))
        if final is not None:
            tally.add(_own_row(final, earlier))

    def _tell(self, file: SourceFile, reading: Reading) -> None:
        if self._progress is not None:
            self._progress(str(file.path), reading.done_bytes, reading.terms.total_bytes)


def _opening(reading: Reading) -> BatchOpen:
    terms, whose = reading.terms, reading.whose
    return BatchOpen(
        batch_id=batch_id_of(terms.source, whose.account, terms.fingerprint),
        source=terms.source,
        rank=terms.rank,
        venue=whose.venue,
        account=whose.account,
        fingerprint=terms.fingerprint,
        name=terms.name,
        tz=terms.tz,
        labels=terms.labels,
        context=terms.context,
    )


def _page(
    opening: BatchOpen, claims: Sequence[Claim], done: int, final: Batch | None = None
) -> Page:
    # Which claims are behind a cursor depends on how pages are cut, so it says so.
    cursor = f"{done}/{PAGE_CLAIMS}"
    return Page(batch_id=opening.batch_id, claims=claims, cursor=cursor, final=final)


def _claims_in(cursor: str | None) -> int:
    """Return how many claims lie behind a cursor; 0, to start over, if pages were cut otherwise.

    >>> _claims_in("3000/1000"), _claims_in("3000/500"), _claims_in(None)
    (3000, 0, 0)
    """
    done, _, cut = (cursor or "").partition("/")
    return int(done) if cut == str(PAGE_CLAIMS) else 0


def _own_row(final: Batch, earlier: Sequence[BatchState]) -> Outcome:
    """Take the batch's own fact out of the counts, which speak of the file's claims only."""
    facts = [batch.fact for batch in earlier if batch.batch_id == final.batch_id and batch.fact]
    if final in facts:
        return Outcome(known=-1)
    return Outcome(new=-1, conflicts=-any(fact.ts_ns == final.ts_ns for fact in facts))


def _final(opening: BatchOpen, reading: Reading) -> Batch:
    """Say a batch complete: what it read and which spans it covers."""
    return Batch(
        venue=opening.venue,
        account=opening.account,
        ts_ns=reading.last_ns or 0,
        batch_id=opening.batch_id,
        source=opening.source,
        rank=opening.rank,
        fingerprint=opening.fingerprint,
        name=opening.name,
        rows=reading.rows - reading.rejected,
        coverage=reading.coverage(),
        labels=reading.labels,
        tz=opening.tz,
    )
