"""The live claims at a point of the sequence: those that a standing batch asserts."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from fillbook.facts.codec import decode_rows
from fillbook.facts.model import Assertion, Claimed
from fillbook.journal.batches import opened, retractions
from fillbook.journal.chain import Sheet
from fillbook.journal.sheets import checked_pages, epoch_of
from fillbook.journal.sqlite import damaged
from fillbook.journal.tables import BookFile, PageRow
from fillbook.journal.values import BatchOpen

Asserted = tuple[Assertion, ...]

BOOK_ITSELF: Asserted = (Assertion("", "journal", 0),)
"""Retractions and epochs belong to no batch: the book itself asserts them, for ever."""


class _ByRow(dict[int | None, Asserted]):
    """What one batch asserts at each row, made once and shared by all its claims."""

    def __init__(self, said: BatchOpen) -> None:
        self._said = said

    def __missing__(self, row: int | None) -> Asserted:
        said = self._said
        made = self[row] = (Assertion(said.batch_id, said.source, said.rank, row),)
        return made


class _Live:
    """One walk over the book: which batches stand, and which claims are wanted."""

    def __init__(
        self, file: BookFile, after_seq: int, as_of: int, kinds: Collection[str] | None
    ) -> None:
        self._file = file
        self._after_seq = after_seq
        self._as_of = as_of
        self._shared = file.has_references()
        self._batches = {batch.number: batch for batch in opened(file, as_of)}
        self._standing = {
            number: _ByRow(batch.said)
            for number, batch in self._batches.items()
            if not batch.retracted
        }
        names = file.streams().items()
        self._retraction = {number for number, (kind, _, _) in names if kind == "retraction"}
        self._wanted = (
            None if kinds is None else {number for number, (kind, _, _) in names if kind in kinds}
        )
        # What indexes answer is compared with what the checked pages hold: see `finish`.
        self._retracted_at = {gone.seq for gone in retractions(file, as_of) if gone.seq > after_seq}
        self._references_owed = 0

    def of(self, page: PageRow, sheet: Sheet) -> Iterator[Claimed]:
        """Yield the live claims of one page."""
        self._meet(page, sheet)
        asserted = self._asserted(page, sheet)
        seqs, keys, contents, payloads = sheet.seqs, sheet.keys, sheet.contents, sheet.facts
        inside = self._after_seq < page.first_seq and page.last_seq <= self._as_of
        if not (inside and self._wanted is None and all(asserted)):
            kept = [
                at
                for at, (seq, stream) in enumerate(zip(seqs, sheet.streams, strict=True))
                if asserted[at]
                and self._after_seq < seq <= self._as_of
                and (self._wanted is None or stream in self._wanted)
            ]
            seqs, keys = [seqs[at] for at in kept], [keys[at] for at in kept]
            contents = [contents[at] for at in kept]
            payloads = [payloads[at] for at in kept]
            asserted = [asserted[at] for at in kept]
        return map(Claimed, seqs, keys, contents, decode_rows(payloads, page.schema), asserted)

    def finish(self) -> None:
        """Refuse an answer that an index bent: it must have found just what the pages hold."""
        if self._retracted_at or self._references_owed:
            raise damaged(self._file, "an index does not find what the pages hold")

    def _meet(self, page: PageRow, sheet: Sheet) -> None:
        if page.batch is None:
            for seq, stream in zip(sheet.seqs, sheet.streams, strict=True):
                if stream in self._retraction and self._after_seq < seq <= self._as_of:
                    self._retracted_at ^= {seq}
        elif page.batch not in self._batches:
            raise damaged(self._file, f"page {page.page} names a batch that is not there")
        for seq, claim, batch, row in zip(
            sheet.ref_seqs, sheet.ref_claims, sheet.ref_batches, sheet.ref_rows, strict=True
        ):
            if seq <= self._as_of and claim > self._after_seq:
                self._references_owed += hash((claim, batch, row))

    def _asserted(self, page: PageRow, sheet: Sheet) -> list[Asserted]:
        if page.batch is None:
            return [BOOK_ITSELF] * len(sheet.seqs)
        by_row = self._standing.get(page.batch)
        own: list[Asserted] = (
            [()] * len(sheet.seqs) if by_row is None else [by_row[row] for row in sheet.rows]
        )
        others = self._others(page) if self._shared else {}
        if not others:
            return own
        return [mine + others.get(seq, ()) for mine, seq in zip(own, sheet.seqs, strict=True)]

    def _others(self, page: PageRow) -> dict[int, Asserted]:
        found: dict[int, Asserted] = {}
        referring = self._file.references_to(page.first_seq, page.last_seq, self._as_of)
        for claim, batch, row in referring:
            if claim > self._after_seq:
                self._references_owed -= hash((claim, batch, row))
            by_row = self._standing.get(batch)
            if by_row is not None:
                found[claim] = found.get(claim, ()) + by_row[row]
        return found


def live_claims(
    file: BookFile, after_seq: int, as_of: int, kinds: Collection[str] | None
) -> Iterator[Claimed]:
    """Yield the claims in (after_seq, as_of] that stand at `as_of`, in seq order.

    `as_of` is at most the newest seq. Everything yielded was checked; what only the whole walk
    can show raises BookDamagedError at its end.
    """
    if after_seq >= as_of:
        return
    first, last = file.page_of_seq(after_seq + 1), file.page_of_seq(as_of)
    if first is None or last is None or last.last_seq < as_of:
        raise damaged(file, f"no page leads to row {as_of}")
    live = _Live(file, after_seq, as_of, kinds)
    for page, sheet in checked_pages(file, first.page - 1, last.page):
        if page.page == first.page and page.first_seq > after_seq + 1:
            lost = epoch_of(page, sheet)
            if lost is None or lost.lost_from_seq > after_seq + 1:
                raise damaged(file, f"the pages before row {page.first_seq} are missing")
        yield from live.of(page, sheet)
    live.finish()
