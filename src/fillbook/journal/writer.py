"""The only writer of a book: one page, one transaction, then one line in the head file.

Any process may write. The head is read inside the write lock, so pages of several writers form
one chain. After a storage fault nothing more is written: a failed flush must not be retried,
because the system may have forgotten the lost pages (fail-stop).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from fillbook.facts.identity import key_of
from fillbook.facts.model import SCHEMA_VERSION, Claim, Epoch, Retraction
from fillbook.ground.errors import (
    BookBusyError,
    BookDamagedError,
    BookError,
    BookReadOnlyError,
    InputError,
    UsageError,
)
from fillbook.journal.anchor import Anchor, HeadLine
from fillbook.journal.batches import Opened, batch_row, opened
from fillbook.journal.chain import Sheet, StreamName, genesis
from fillbook.journal.contradictions import refuse_contradiction, refuse_other_zone
from fillbook.journal.intake import take
from fillbook.journal.page import Draft, Packer, draft
from fillbook.journal.sheets import resealed
from fillbook.journal.tables import BookFile, PageRow
from fillbook.journal.values import Appended, BatchOpen, Head, Page, Resume


class _Tail(msgspec.Struct):
    """The end of the chain while a transaction holds the lock."""

    page: int
    seq: int
    hash: bytes
    moved: bool = False


class Writer:
    """Writes pages to one open book."""

    def __init__(self, file: BookFile, anchor: Anchor, book_id: str) -> None:
        self._file = file
        self._anchor = anchor
        self._book_id = book_id
        self._fault: BookError | None = None
        self._met_anchor = False
        self._newest = -1
        self._streams: dict[StreamName, int] = {}
        self._batches: dict[str, Opened] = {}
        self._expect_known = False
        self._packer = Packer()

    def begin(self, batch: BatchOpen, now_ns: int) -> Resume:
        """Open a batch or find where it stopped; InputError when it contradicts an earlier one."""
        with self._transaction(now_ns) as tail:
            earlier = opened(self._file, tail.seq)
            for other in earlier:
                refuse_contradiction(batch, other)
            mine = [other for other in earlier if other.said.batch_id == batch.batch_id]
            if mine and not mine[-1].retracted:
                last = self._file.page_of_batch(mine[-1].number)
                if last is None:
                    return Resume(cursor=None, complete=False)
                return Resume(cursor=last.cursor, complete=last.final_seq is not None)
            row = batch_row(len(earlier) + 1, len(mine) + 1, tail.seq, now_ns, batch)
            self._file.add_batch(row)
            self._batches.pop(batch.batch_id, None)
            return Resume(cursor=None, complete=False)

    def append(self, page: Page, now_ns: int) -> Appended:
        """Remember one page of a batch that was begun."""
        claims = page.claims
        if page.final is not None:
            key = key_of(page.final.ts_ns, "batch", page.final.batch_id)
            claims = [*claims, Claim(page.final, key)]
        with _input_faults():
            rows = draft(claims, self._packer)
        with self._transaction(now_ns) as tail:
            batch = self._batch(page.batch_id, tail)
            done = self._add(tail, batch, rows, page.cursor, page.final is not None, now_ns)
        if page.final is None:
            self._batches[page.batch_id] = batch
        else:
            self._batches.pop(page.batch_id, None)
        return done

    def retract(self, batch_id: str, reason: str | None, now_ns: int) -> Appended:
        """Append the fact that undoes a batch."""
        with self._transaction(now_ns) as tail:
            batch = self._generation(batch_id, tail)
            self._batches.pop(batch_id, None)
            if batch.retracted:
                raise UsageError(
                    f"batch {batch_id!r} is retracted already",
                    str(self._file.path),
                    "import its source again to bring it back",
                )
            said = batch.said
            fact = Retraction(
                venue=said.venue,
                account=said.account,
                ts_ns=now_ns,
                batch_id=batch_id,
                reason=reason,
            )
            key = key_of(now_ns, "retraction", batch_id, batch.generation)
            return self._add(tail, None, draft([Claim(fact, key)]), "", False, now_ns)

    def close(self) -> None:
        """Let go of the helping thread."""
        self._packer.close()

    # -- the transaction -------------------------------------------------------------------

    @contextmanager
    def _transaction(self, now_ns: int) -> Iterator[_Tail]:
        if self._fault is not None:
            raise BookError(
                f"writing stopped at an earlier fault: {self._fault.what}",
                str(self._file.path),
                "open the book again; what was acknowledged is safe",
            )
        try:
            with _input_faults(), self._file.transaction():
                tail = self._tail()
                if not self._met_anchor:
                    self._meet_anchor(tail, now_ns)
                yield tail
            if tail.moved or not self._met_anchor:
                self._anchor.append(HeadLine(self._book_id, tail.page, tail.seq, tail.hash.hex()))
            self._met_anchor = True
            self._newest = tail.page
        except BaseException as fault:  # what was learned inside may have been rolled back
            self._streams, self._batches = {}, {}
            harmless = (BookBusyError, BookReadOnlyError)
            if isinstance(fault, BookError) and not isinstance(fault, harmless):
                self._fault = fault
            raise

    def _tail(self) -> _Tail:
        last = self._file.newest_page()
        tail = (
            _Tail(last.page, last.last_seq, last.hash)
            if last
            else _Tail(0, 0, genesis(self._book_id))
        )
        if tail.page < self._newest:
            raise BookDamagedError(
                f"the book lost the pages {tail.page + 1} to {self._newest} while it was open",
                str(self._file.path),
                "stop everything that touches the file, then run `fillbook verify`",
            )
        if tail.page != self._newest:
            self._batches = {}
        return tail

    def _meet_anchor(self, tail: _Tail, now_ns: int) -> None:
        """Go on behind what the head file knows, saying what was lost, if anything was."""
        line = self._anchor.newest()
        if line is None or line.page <= tail.page:
            return
        lost = Epoch(
            venue="fillbook",
            account=self._book_id,
            ts_ns=now_ns,
            lost_from_seq=tail.seq + 1,
            lost_until_seq=line.seq,
            anchored_hash=line.hash,
        )
        key = key_of(now_ns, "epoch", line.page)
        tail.page, tail.seq = line.page, line.seq
        self._add(tail, None, draft([Claim(lost, key)]), "", False, now_ns)

    # -- batches and streams ---------------------------------------------------------------

    def _generation(self, batch_id: str, tail: _Tail) -> Opened:
        batches = opened(self._file, tail.seq)
        mine = [batch for batch in batches if batch.said.batch_id == batch_id]
        if not mine:
            newest = ", ".join(batch.said.batch_id for batch in batches[-5:])
            raise UsageError(
                f"the book knows no batch {batch_id!r}",
                str(self._file.path),
                f"its newest batches are {newest}" if newest else "it has no batches yet",
            )
        return mine[-1]

    def _batch(self, batch_id: str, tail: _Tail) -> Opened:
        cached = self._batches.get(batch_id)
        if cached is not None:
            return cached
        batch = self._generation(batch_id, tail)
        last = self._file.page_of_batch(batch.number)
        if batch.retracted or (last is not None and last.final_seq is not None):
            state = "retracted" if batch.retracted else "complete"
            raise UsageError(
                f"batch {batch_id!r} is {state}, nothing can be added to it",
                str(self._file.path),
                "import its source again" if batch.retracted else "open a batch of another name",
            )
        return batch

    def _stream(self, name: StreamName) -> int:
        number = self._streams.get(name)
        if number is None:
            self._streams = {known: at for at, known in self._file.streams().items()}
            number = self._streams.get(name)
        if number is None:
            number = len(self._streams) + 1
            self._file.add_stream(number, name)
            self._streams[name] = number
        return number

    # -- one page --------------------------------------------------------------------------

    def _add(
        self, tail: _Tail, batch: Opened | None, rows: Draft, cursor: str, final: bool, now_ns: int
    ) -> Appended:
        number = batch.number if batch else None
        names = {name: self._stream(name) for name in set(rows.names)}
        streams = [names[name] for name in rows.names]
        first_seq = tail.seq + 1
        taken = take(self._file, first_seq, number, rows, streams, self._expect_known)
        self._expect_known = taken.known > 0
        conflicts = self._file.conflicts(taken.new_seqs[0]) if taken.new else []
        if conflicts and batch and batch.said.tz is not None:
            at_seq = dict(zip(taken.new_seqs, taken.new, strict=True))
            pairs = [(at_seq[new], earlier) for new, earlier in conflicts]
            refuse_other_zone(self._file, batch, opened(self._file, tail.seq), rows, pairs)
        if taken.kept or batch is None or self._cursor_of(batch.number) != cursor:
            raw = rows.pick(taken.kept).raw()
            numbers = {at: name for name, at in names.items()}
            fresh = rows.pick(taken.new)
            sheet = Sheet(
                batch=number,
                names=numbers,
                seqs=taken.new_seqs,
                streams=[streams[at] for at in taken.new],
                keys=fresh.keys,
                times_ns=fresh.times_ns,
                rows=fresh.rows,
                contents=fresh.contents,
                facts=fresh.facts,
                ref_seqs=[reference[0] for reference in taken.references],
                ref_claims=[reference[1] for reference in taken.references],
                ref_batches=[reference[2] for reference in taken.references],
                ref_rows=[reference[3] for reference in taken.references],
            )
            self._seal(tail, batch, sheet, raw, len(taken.kept), cursor, final, now_ns)
        return Appended(
            new=len(taken.new),
            known=taken.known,
            conflicts=len({new for new, _ in conflicts}),
            head=Head(book_id=self._book_id, seq=tail.seq, hash=tail.hash.hex()),
        )

    def _cursor_of(self, batch: int) -> str | None:
        last = self._file.page_of_batch(batch)
        return last.cursor if last else None

    def _seal(
        self,
        tail: _Tail,
        batch: Opened | None,
        sheet: Sheet,
        raw: bytes,
        count: int,
        cursor: str,
        final: bool,
        now_ns: int,
    ) -> None:
        last_seq = tail.seq + count
        page = PageRow(
            page=tail.page + 1,
            batch=batch.number if batch else None,
            first_seq=tail.seq + 1,
            last_seq=last_seq,
            final_seq=last_seq if final else None,
            recv_ns=now_ns,
            schema=SCHEMA_VERSION,
            rows=sheet.digest(),
            hash=b"",
            cursor=cursor,
        )
        hash_ = resealed(page, tail.hash, batch.digest if batch else "", raw)
        self._file.add_page(page._replace(hash=hash_), raw)
        tail.page, tail.seq, tail.hash, tail.moved = page.page, last_seq, hash_, True


@contextmanager
def _input_faults() -> Iterator[None]:
    try:
        yield
    except UnicodeEncodeError as fault:
        raise InputError(
            f"a claim carries text that is not valid Unicode: {fault.reason}",
            "",
            "read the source with its own encoding",
        ) from fault
    except OverflowError as fault:
        raise InputError(
            f"a claim carries a number beyond 64 bits: {fault}",
            "",
            "check the times and row numbers of the source",
        ) from fault
