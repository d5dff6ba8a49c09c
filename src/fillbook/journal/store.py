"""The journal's face: claims remembered once, durably, in order, and never changed.

    with Journal.create("fillbook.db") as journal:
        resume = journal.begin(BatchOpen(...), now_ns)
        journal.append(Page(batch_id=..., claims=[...], cursor="row 1000"), now_ns)
        for claimed in journal.claims():
            ...

docs/journal.md describes the file and what each guarantee rests on.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType

from fillbook.facts.finding import Finding
from fillbook.facts.model import Claimed
from fillbook.ground.errors import BookError, BookMissingError, BookReadOnlyError
from fillbook.journal.anchor import Anchor, HeadLine
from fillbook.journal.batches import labelled, opened, retractions, states
from fillbook.journal.chain import genesis
from fillbook.journal.growth import Growth, measured
from fillbook.journal.live import live_claims
from fillbook.journal.meeting import meet
from fillbook.journal.page import unpack_raw
from fillbook.journal.tables import BookFile
from fillbook.journal.values import (
    Appended,
    BatchOpen,
    BatchState,
    Head,
    Labelled,
    Page,
    Progress,
    RawRecord,
    Reparse,
    Resume,
)
from fillbook.journal.verify import verify, verify_book
from fillbook.journal.writer import Writer

__all__ = [
    "Appended",
    "BatchOpen",
    "BatchState",
    "Head",
    "Journal",
    "Page",
    "RawRecord",
    "Resume",
    "verify_book",
]

WAIT_MS = 30_000


class Journal:
    """One book file, open. Use it as a context manager, from one thread at a time.

    Many processes may read and write one book; each opens a Journal of its own.
    """

    def __init__(
        self, file: BookFile, anchor: Anchor, findings: list[Finding], *, readonly: bool
    ) -> None:
        self.path = file.path
        self.book_id = file.book_id()
        self.findings = findings
        """What opening the book brought to light, such as a book behind its head file."""
        self._file = file
        self._anchor = anchor
        self._writer = None if readonly else Writer(file, anchor, self.book_id)

    @classmethod
    def create(cls, path: str | Path) -> Journal:
        """Make a new, empty book and its head file, and open it for writing.

        InputError when something lies there already. BookError when only a head file does: then
        a book was here and is gone, which must not pass silently.
        """
        place = Path(path).resolve()
        anchor = Anchor(place)
        if anchor.newest() is not None and not place.exists():
            raise BookError(
                "a book was here and is gone: its head file still stands",
                str(anchor.path),
                "restore the book from a backup, or move the head file away to begin anew",
            )
        book_id = secrets.token_hex(8)
        BookFile.create(place, book_id)
        anchor.append(HeadLine(book_id, 0, 0, genesis(book_id).hex()))
        anchor.close()
        return cls.open(place)

    @classmethod
    def open(cls, path: str | Path, *, readonly: bool = False, wait_ms: int = WAIT_MS) -> Journal:
        """Open an existing book; `wait_ms` is how long to wait for another writer's lock.

        The last page is checked, and compared with the head file: BookDamagedError when they
        contradict each other. A book that merely lost its newest pages opens with a finding.
        """
        place = Path(path).resolve()
        anchor = Anchor(place)
        # First the head file, then the book: a writer in between only makes the book newer.
        line = anchor.newest()
        try:
            file = BookFile.open(place, readonly=readonly, wait_ms=wait_ms)
        except BookMissingError:
            if line is None:
                raise
            raise BookMissingError(
                f"the book is gone; its head file knows it up to row {line.seq}",
                str(place),
                "restore it from a backup",
            ) from None
        try:
            return cls(file, anchor, meet(file, anchor, line), readonly=readonly)
        except BaseException:  # whatever it is, no open file may be left behind
            file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; closing twice is harmless."""
        if self._writer is not None:
            self._writer.close()
        self._anchor.close()
        self._file.close()

    def head(self, as_of: int | None = None) -> Head:
        """Return the newest head, or the one whose hash seals everything up to `as_of`."""
        last = self._file.newest_page()
        if as_of is not None and last is not None and as_of < last.last_seq:
            page = self._file.page_of_seq(as_of) if as_of > 0 else None
            if page is not None and page.first_seq > as_of:  # as_of lies in a lost range
                page = self._file.page_before(page.page)
                as_of = page.last_seq if page else 0
            hash_ = page.hash if page else genesis(self.book_id)
            return Head(book_id=self.book_id, seq=max(as_of, 0), hash=hash_.hex())
        if last is None:
            return Head(book_id=self.book_id, seq=0, hash=genesis(self.book_id).hex())
        return Head(book_id=self.book_id, seq=last.last_seq, hash=last.hash.hex())

    def begin(self, batch: BatchOpen, now_ns: int) -> Resume:
        """Open a batch, or find where it stopped; a retracted one starts over.

        InputError when the same file stands in the book under another account or time zone.
        """
        return self._write().begin(batch, now_ns)

    def append(self, page: Page, now_ns: int) -> Appended:
        """Remember one page: rows, references, cursor and raw text, in one transaction.

        When it returns, the page is on disk and anchored. When it raises, nothing of the page
        is in the book, unless the message says so.
        """
        return self._write().append(page, now_ns)

    def retract(self, batch_id: str, reason: str | None, now_ns: int) -> Appended:
        """Undo a batch: what no other batch asserts stops counting; nothing is deleted."""
        return self._write().retract(batch_id, reason, now_ns)

    def claims(
        self,
        as_of: int | None = None,
        after_seq: int = 0,
        kinds: Collection[str] | None = None,
    ) -> Iterator[Claimed]:
        """Yield the live claims in (after_seq, as_of], in seq order, as known at `as_of`.

        `as_of` is fixed at the newest head when not given. BookDamagedError where a page is not
        what was written.
        """
        head = self.head().seq
        until = head if as_of is None else min(as_of, head)
        return live_claims(self._file, after_seq, until, kinds)

    def touched(self, after_seq: int, as_of: int | None = None) -> bool:
        """Tell whether claims up to `after_seq` gained or lost an assertion since."""
        until = self.head().seq if as_of is None else as_of
        retracted = any(gone.seq > after_seq for gone in retractions(self._file, until))
        return retracted or self._file.refers_back(after_seq, until)

    def batches(self, as_of: int | None = None) -> list[BatchState]:
        """List the batches in the order they were opened, as known at `as_of`."""
        head = self.head().seq
        return states(self._file, head if as_of is None else min(as_of, head))

    def labelled(self, label: str, as_of: int | None = None) -> list[Labelled]:
        """List what was ever opened with a label by `as_of`, retracted or not, oldest first."""
        return labelled(self._file, label, self.head().seq if as_of is None else as_of)

    def raw(self, seq: int) -> RawRecord | None:
        """Return the source's own text behind one row; None when there is no such row."""
        page = self._file.page_of_seq(seq)
        if page is None or page.first_seq > seq:
            return None
        lines, texts = unpack_raw(self._file.raw(page.page))
        at = seq - page.first_seq
        said = next((b.said for b in opened(self._file, seq) if b.number == page.batch), None)
        return RawRecord(
            seq=seq,
            batch_id=said.batch_id if said else "",
            name=said.name if said else "",
            line=lines[at] if at < len(lines) else None,
            text=texts[at] if at < len(texts) else "",
        )

    def growth(self, now_ns: int) -> Growth:
        """Measure how fast attached accounts make the book grow, over the last week at most."""
        return measured(self._file, now_ns)

    def copy_to(self, path: str | Path) -> None:
        """Copy the book as it stands now into a new file, while others go on writing."""
        self._file.copy_to(Path(path).resolve())

    def verify(
        self, reparse: Reparse | None = None, progress: Progress | None = None
    ) -> list[Finding]:
        """Recompute everything the book says about itself; an empty list means intact."""
        return verify(self._file, self._anchor, self._anchor.newest(), reparse, progress)

    def _write(self) -> Writer:
        if self._writer is None:
            raise BookReadOnlyError(
                "the book was opened for reading only", str(self.path), "open it for writing"
            )
        return self._writer
