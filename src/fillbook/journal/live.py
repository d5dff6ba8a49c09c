"""The live claims at a point of the sequence: those that a standing batch asserts."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from fillbook.facts.codec import decode_rows
from fillbook.facts.model import Assertion, Claimed
from fillbook.journal.batches import opened
from fillbook.journal.chain import Sheet
from fillbook.journal.sheets import checked_pages
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
    """One walk over the book: which batches stand, and what is wanted."""

    def __init__(
        self, file: BookFile, after_seq: int, as_of: int, kinds: Collection[str] | None
    ) -> None:
        self._file = file
        self._after_seq = after_seq
        self._as_of = as_of
        self._shared = file.has_references()
        self._standing = {
            batch.number: _ByRow(batch.said) for batch in opened(file, as_of) if not batch.retracted
        }
        self._streams: set[int] | None = None
        if kinds is not None:
            names = file.streams().items()
            self._streams = {number for number, (kind, _, _) in names if kind in kinds}

    def of(self, page: PageRow, sheet: Sheet) -> Iterator[Claimed]:
        """Yield the live claims of one page."""
        asserted = self._asserted(page, sheet)
        seqs, keys, contents, payloads = sheet.seqs, sheet.keys, sheet.contents, sheet.facts
        inside = self._after_seq < page.first_seq and page.last_seq <= self._as_of
        if not (inside and self._streams is None and all(asserted)):
            wanted = [
                at
                for at, (seq, stream) in enumerate(zip(seqs, sheet.streams, strict=True))
                if asserted[at]
                and self._after_seq < seq <= self._as_of
                and (self._streams is None or stream in self._streams)
            ]
            seqs, keys = [seqs[at] for at in wanted], [keys[at] for at in wanted]
            contents = [contents[at] for at in wanted]
            payloads = [payloads[at] for at in wanted]
            asserted = [asserted[at] for at in wanted]
        return map(Claimed, seqs, keys, contents, decode_rows(payloads, page.schema), asserted)

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
            by_row = self._standing.get(batch)
            if by_row is not None:
                found[claim] = found.get(claim, ()) + by_row[row]
        return found


def live_claims(
    file: BookFile, after_seq: int, as_of: int, kinds: Collection[str] | None
) -> Iterator[Claimed]:
    """Yield the claims in (after_seq, as_of] that stand at `as_of`, in seq order."""
    first, last = file.page_of_seq(after_seq + 1), file.page_of_seq(as_of)
    if first is None or last is None or after_seq >= as_of:
        return
    live = _Live(file, after_seq, as_of, kinds)
    for page, sheet in checked_pages(file, first.page - 1, last.page):
        yield from live.of(page, sheet)
