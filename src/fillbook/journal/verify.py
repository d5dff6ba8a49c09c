"""Proving a whole book: every hash, count, number and raw text recomputed; faults are findings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fillbook.facts.codec import content_hash, decode, encode
from fillbook.facts.finding import Finding, Severity
from fillbook.facts.model import AnyFact
from fillbook.ground.errors import BookDamagedError, FillbookError
from fillbook.journal.anchor import Anchor, HeadLine
from fillbook.journal.batches import digest_fits, said_in
from fillbook.journal.chain import Sheet, StreamName, genesis
from fillbook.journal.meeting import behind, contradicts, missing
from fillbook.journal.page import kind_of, unpack_raw
from fillbook.journal.sheets import (
    epoch_of,
    follows,
    hash_of,
    read_pages,
    resealed,
    what_is_wrong,
)
from fillbook.journal.sqlite import RESTORE
from fillbook.journal.tables import BatchRow, BookFile, PageRow
from fillbook.journal.values import Progress, Reparse

_MOST_FINDINGS = 200
_PAGES_AT_ONCE = 256


def verify_book(
    path: str | Path, reparse: Reparse | None = None, progress: Progress | None = None
) -> list[Finding]:
    """Verify a book that may be too damaged to open; every fault becomes a finding.

    BookMissingError and the like still come as errors: then there is nothing to look at.
    """
    place = Path(path).resolve()
    anchor = Anchor(place)
    line = anchor.newest()
    try:
        file = BookFile.open(place, readonly=True, wait_ms=30_000)
    except BookDamagedError as fault:
        return [_finding("book-unreadable", fault.what, next_step=fault.next_step)]
    try:
        return verify(file, anchor, line, reparse, progress)
    finally:
        file.close()


def verify(
    file: BookFile,
    anchor: Anchor,
    line: HeadLine | None,
    reparse: Reparse | None,
    progress: Progress | None,
) -> list[Finding]:
    """Walk the whole book; an empty list means that everything is what was written.

    `line` is the newest of the head file, read before: a writer meanwhile makes the book newer.
    """
    walk = _Walk(file, reparse, progress)
    try:
        with file.snapshot():
            walk.storage()
            walk.batches()
            walk.pages()
            walk.counts()
            walk.head_file(anchor, line)
    except _TooManyError:
        walk.findings.append(
            _finding("verify-stopped", f"{_MOST_FINDINGS} faults were enough; there may be more")
        )
    except BookDamagedError as fault:
        walk.findings.append(_finding("storage-damaged", fault.what))
    return walk.findings


class _TooManyError(Exception):
    pass


class _Walk:
    """One verification: how far it came, and what it found."""

    def __init__(self, file: BookFile, reparse: Reparse | None, progress: Progress | None) -> None:
        self.findings: list[Finding] = []
        self._file = file
        self._reparse = reparse
        self._progress = progress
        self._batches: dict[int, BatchRow] = {}
        self._names: dict[int, StreamName] = {}
        self._page = 0
        self._seq = 0
        self._rows = 0
        self._hash = b""

    # -- the parts of a book ---------------------------------------------------------------

    def storage(self) -> None:
        """Let SQLite check its own structure."""
        with self._caught():
            for complaint in self._file.integrity(20):
                self._report("storage-damaged", f"SQLite says: {complaint}")

    def batches(self) -> None:
        """Check what batches said of themselves."""
        with self._caught():
            self._names = self._file.streams()
            self._hash = genesis(self._file.book_id())
            for row in self._file.batches():
                self._batches[row.batch] = row
                if not digest_fits(row):
                    self._report("batch-altered", f"batch {row.batch_id!r} is not what it said")

    def pages(self) -> None:
        """Check every page against the one before it, and every row against its page."""
        with self._caught():
            last = self._file.newest_page()
            while last is not None and self._page < last.page:
                before = self._page
                try:
                    for read in read_pages(self._file, self._page, last.page):
                        for page, sheet in read.sheets(self._names):
                            self._check(page, sheet, last.last_seq)
                except BookDamagedError:
                    self._one_by_one(last.last_seq)
                if self._page == before:
                    break

    def counts(self) -> None:
        """Check that no rows lie outside the pages."""
        with self._caught():
            claims, references = self._file.row_counts()
            if claims + references > self._rows:
                self._report(
                    "rows-outside-pages",
                    f"the tables hold {claims + references} rows, the pages {self._rows}",
                )

    def head_file(self, anchor: Anchor, line: HeadLine | None) -> None:
        """Check every line of the head file against the page it names."""
        with self._caught():
            if line is None:
                self.findings.append(missing(anchor))
            elif line.page > self._page and line.book_id == self._file.book_id():
                self.findings.append(behind(line, self._seq))
            for number, known in anchor.lines():
                where = f"line {number} of {anchor.path.name}"
                if known is None:
                    self._report("head-file-altered", f"{where} is damaged", severity="warning")
                elif known.book_id != self._file.book_id():
                    self._report("head-file-foreign", f"{where} belongs to another book")
                elif known.page <= self._page and contradicts(self._file, known):
                    self._report(
                        "head-mismatch", f"{where} knows another page {known.page} than the book"
                    )

    # -- one page --------------------------------------------------------------------------

    def _one_by_one(self, last_seq: int) -> None:
        """Walk pages singly where a stretch cannot be read, to name the ones that cannot."""
        for page in self._file.pages(self._page, _PAGES_AT_ONCE):
            with self._caught(f"page {page.page}, rows {page.first_seq} to {page.last_seq}: "):
                for read in read_pages(self._file, page.page - 1, page.page):
                    for _, sheet in read.sheets(self._names):
                        self._check(page, sheet, last_seq)
            self._pass(page)

    def _check(self, page: PageRow, sheet: Sheet, last_seq: int) -> None:
        self._check_place(page, sheet)
        batch = self._batches.get(page.batch) if page.batch is not None else None
        if (batch is None) != (page.batch is None):
            self._report("batch-missing", f"page {page.page} names a batch that is not there")
        raw = self._file.raw(page.page)
        intact = sheet.holds(page.rows)
        if not intact:
            self._report("page-altered", f"page {page.page}: {what_is_wrong(page, sheet)}")
        if resealed(page, self._hash, batch.digest.hex() if batch else "", raw) != page.hash:
            self._report(
                "page-altered",
                f"page {page.page}: its header or raw text, or the page before, was changed",
            )
        self._check_rows(page, sheet)
        if intact and batch is not None and self._reparse is not None:
            self._check_raw(page, sheet, batch, raw, self._reparse)
        self._pass(page)
        if self._progress is not None:
            self._progress(page.last_seq, last_seq)

    def _pass(self, page: PageRow) -> None:
        self._rows += page.last_seq - page.first_seq + 1 if page.page > self._page else 0
        self._page, self._seq, self._hash = page.page, page.last_seq, page.hash

    def _check_place(self, page: PageRow, sheet: Sheet) -> None:
        if not follows(self._page, self._seq, page, sheet):
            self._report(
                "page-missing",
                f"page {page.page} starts at row {page.first_seq}, but before it comes"
                f" page {self._page} ending at row {self._seq}",
            )
        lost = epoch_of(page, sheet)
        if lost is not None:
            self._report(
                "rows-lost",
                f"rows {lost.lost_from_seq} to {lost.lost_until_seq} were lost"
                " before the book went on",
                severity="warning",
                next_step="import the sources of that time again if you have not yet",
            )

    def _check_rows(self, page: PageRow, sheet: Sheet) -> None:
        for seq, stream, payload, content, ts_ns in zip(
            sheet.seqs, sheet.streams, sheet.facts, sheet.contents, sheet.times_ns, strict=True
        ):
            with self._caught(f"row {seq}: ", (seq,)):
                if hash_of(payload) != content:
                    self._report("row-altered", f"row {seq} does not match its hash", (seq,))
                    continue
                fact = decode(payload, page.schema)
                name = (kind_of(fact), fact.venue, fact.account)
                if self._names.get(stream) != name or fact.ts_ns != ts_ns:
                    self._report("row-altered", f"row {seq} is filed under wrong words", (seq,))
        if not sheet.seqs and not sheet.ref_seqs:
            return
        beside = [
            *self._file.claim_batches(page.first_seq, page.last_seq),
            *(batch for _, _, batch, _ in self._file.references(page.first_seq, page.last_seq)),
        ]
        if any(batch != page.batch for batch in beside):
            self._report("row-altered", f"a row of page {page.page} names another batch")

    def _check_raw(
        self, page: PageRow, sheet: Sheet, batch: BatchRow, raw: bytes, reparse: Reparse
    ) -> None:
        _, texts = unpack_raw(raw)
        said = said_in(batch)
        contents = dict(zip(sheet.seqs, sheet.contents, strict=True))
        for seq, claim in zip(sheet.ref_seqs, sheet.ref_claims, strict=True):
            row = self._file.claim(claim)
            contents[seq] = row.content if row else b""
        for seq, text in enumerate(texts, page.first_seq):
            if not text:
                continue
            found: list[AnyFact] = []
            reason = "reads differently today"
            try:
                found = list(reparse(said.source, said.context, text))
            except (FillbookError, ValueError) as fault:
                reason = f"cannot be read any more: {fault}"
            if contents.get(seq) not in {content_hash(encode(fact)) for fact in found}:
                self._report(
                    "raw-differs",
                    f"the raw text of row {seq} ({said.name}) {reason}",
                    (seq,),
                    next_step="retract the batch and import its source again",
                )

    # -- findings --------------------------------------------------------------------------

    @contextmanager
    def _caught(self, where: str = "", seqs: tuple[int, ...] = ()) -> Iterator[None]:
        try:
            yield
        except BookDamagedError as fault:
            self._report("storage-damaged", f"{where}{fault.what}", seqs)

    def _report(
        self,
        code: str,
        message: str,
        seqs: tuple[int, ...] = (),
        severity: Severity = "error",
        next_step: str = RESTORE,
    ) -> None:
        if len(self.findings) >= _MOST_FINDINGS:
            raise _TooManyError
        self.findings.append(_finding(code, message, seqs, severity, next_step))


def _finding(
    code: str,
    message: str,
    seqs: tuple[int, ...] = (),
    severity: Severity = "error",
    next_step: str = RESTORE,
) -> Finding:
    return Finding(code=code, severity=severity, message=message, next_step=next_step, seqs=seqs)
