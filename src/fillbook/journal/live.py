"""The live claims at a point of the sequence: those that a standing batch asserts."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator
from typing import Any

from fillbook.facts.codec import decode_rows
from fillbook.facts.model import Assertion, Claimed
from fillbook.journal.batches import opened
from fillbook.journal.sheets import Read, checked_pages
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
        self._streams = {
            number for number, (kind, _, _) in file.streams().items() if kinds and kind in kinds
        }
        self._every_kind = kinds is None

    def of(self, read: Read) -> Iterator[Claimed]:
        """Yield the live claims of a stretch of pages."""
        others = self._others(read) if self._shared else {}
        for page in read.pages:
            first = max(page.first_seq, self._after_seq + 1)
            last = min(page.last_seq, self._as_of)
            rows = read.claims[
                bisect_left(read.claims, (first,)) : bisect_left(read.claims, (last + 1,))
            ]
            if not self._every_kind:
                rows = [row for row in rows if row[1] in self._streams]
            if rows:
                yield from self._claimed(page, rows, others)

    def _claimed(
        self, page: PageRow, rows: list[Any], others: dict[int, Asserted]
    ) -> Iterator[Claimed]:
        asserted: list[Asserted]
        if page.batch is None:
            asserted = [BOOK_ITSELF] * len(rows)
        else:
            by_row = self._standing.get(page.batch)
            asserted = [by_row[row[5]] for row in rows] if by_row is not None else [()] * len(rows)
            if others:
                asserted = [
                    own + others.get(row[0], ()) for own, row in zip(asserted, rows, strict=True)
                ]
            if others or by_row is None:
                rows = [row for row, own in zip(rows, asserted, strict=True) if own]
                asserted = [own for own in asserted if own]
                if not rows:
                    return iter(())
        seqs, _, keys, contents, _, _, payloads = zip(*rows, strict=True)
        facts = decode_rows(payloads, page.schema)
        return map(Claimed, seqs, keys, contents, facts, asserted)

    def _others(self, read: Read) -> dict[int, Asserted]:
        found: dict[int, Asserted] = {}
        if read.claims:
            first, last = read.claims[0][0], read.claims[-1][0]
            for claim, batch, row in self._file.references_to(first, last, self._as_of):
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
    for read in checked_pages(file, first.page - 1, last.page):
        yield from live.of(read)
