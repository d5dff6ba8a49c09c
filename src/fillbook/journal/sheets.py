"""Reading whole pages with their rows, each checked against its own digest before use.

So a row that was altered stops the reading, wherever it happens, instead of bending a number.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Any

import msgspec

from fillbook.facts.codec import content_hash, decode
from fillbook.facts.model import Epoch
from fillbook.ground.errors import BookDamagedError
from fillbook.journal.chain import Header, Sheet, StreamName, digest_of, seal
from fillbook.journal.sqlite import RESTORE
from fillbook.journal.tables import BookFile, PageRow, Reference

_SLICE_ROWS = 4096
_SLICE_PAGES = 256


class Read(msgspec.Struct):
    """A stretch of whole pages with all their rows; claims are tuples like `ClaimRow`."""

    pages: list[PageRow]
    claims: list[Any]
    references: list[Reference]

    def sheets(self, names: dict[int, StreamName]) -> Iterator[tuple[PageRow, Sheet]]:
        """Cut the stretch into pages again, as columns."""
        seqs, streams, keys, contents, times_ns, rows, facts = (
            zip(*self.claims, strict=True) if self.claims else [()] * 7
        )
        ref_seqs, ref_claims, ref_batches, ref_rows = (
            zip(*self.references, strict=True) if self.references else [()] * 4
        )
        for page in self.pages:
            at = slice(bisect_left(seqs, page.first_seq), bisect_right(seqs, page.last_seq))
            ref_at = slice(
                bisect_left(ref_seqs, page.first_seq), bisect_right(ref_seqs, page.last_seq)
            )
            yield (
                page,
                Sheet(
                    batch=page.batch,
                    names=names,
                    seqs=seqs[at],
                    streams=streams[at],
                    keys=keys[at],
                    times_ns=times_ns[at],
                    rows=rows[at],
                    contents=contents[at],
                    facts=facts[at],
                    ref_seqs=ref_seqs[ref_at],
                    ref_claims=ref_claims[ref_at],
                    ref_batches=ref_batches[ref_at],
                    ref_rows=ref_rows[ref_at],
                ),
            )


def read_pages(file: BookFile, after_page: int, until_page: int) -> Iterator[Read]:
    """Read the pages in (after, until] with their rows, a few thousand rows at a time."""
    last = after_page
    while last < until_page:
        pages = [page for page in file.pages(last, _SLICE_PAGES) if page.page <= until_page]
        if not pages:
            return
        last = pages[-1].page
        stretch: list[PageRow] = []
        count = 0
        for page in pages:
            stretch.append(page)
            count += page.last_seq - page.first_seq + 1
            if count >= _SLICE_ROWS:
                yield _with_rows(file, stretch, count)
                stretch, count = [], 0
        if stretch:
            yield _with_rows(file, stretch, count)


def checked_pages(
    file: BookFile, after_page: int, until_page: int
) -> Iterator[tuple[PageRow, Sheet]]:
    """Read the pages in (after, until]; BookDamagedError at the first altered or missing one."""
    names = file.streams()
    before: PageRow | None = None
    for read in read_pages(file, after_page, until_page):
        for page, sheet in read.sheets(names):
            wrong = ""
            if not sheet.holds(page.rows):
                wrong = f"is not what was written: {what_is_wrong(page, sheet)}"
            elif before is not None and not follows(before.page, before.last_seq, page, sheet):
                wrong = f"does not follow page {before.page}: pages between them are missing"
            if wrong:
                raise BookDamagedError(f"page {page.page} {wrong}", str(file.path), RESTORE)
            yield page, sheet
            before = page


def follows(page_before: int, seq_before: int, page: PageRow, sheet: Sheet) -> bool:
    """Tell whether a page comes right after another, or an epoch says what is lost between."""
    if page.page == page_before + 1 and page.first_seq == seq_before + 1:
        return True
    lost = epoch_of(page, sheet)
    return lost is not None and (lost.lost_from_seq, lost.lost_until_seq + 1) == (
        seq_before + 1,
        page.first_seq,
    )


def epoch_of(page: PageRow, sheet: Sheet) -> Epoch | None:
    """Return the epoch that a page starts; None for every other page."""
    for stream, payload in zip(sheet.streams, sheet.facts, strict=True):
        if sheet.names.get(stream, ("",))[0] == "epoch":
            fact = decode(payload, page.schema)
            return fact if isinstance(fact, Epoch) else None
    return None


def what_is_wrong(page: PageRow, sheet: Sheet) -> str:
    """Say which row of an altered page gives itself away, as well as can be told."""
    there = len(sheet.seqs) + len(sheet.ref_seqs)
    said = page.last_seq - page.first_seq + 1
    if there != said:
        return f"it holds {there} of its {said} rows ({page.first_seq} to {page.last_seq})"
    for seq, content, fact in zip(sheet.seqs, sheet.contents, sheet.facts, strict=True):
        if hash_of(fact) != content:
            return f"the content of row {seq} does not match its hash"
    return f"a key, time or place among the rows {page.first_seq} to {page.last_seq} was changed"


def hash_of(stored: object) -> bytes:
    """Return the content hash of a stored fact; of nothing, when damage made it something else."""
    return content_hash(stored.encode()) if isinstance(stored, str) else b""


def _with_rows(file: BookFile, pages: list[PageRow], count: int) -> Read:
    spans = [page for page in pages if page.first_seq <= page.last_seq]
    if not spans:
        return Read(pages, [], [])
    first_seq = min(page.first_seq for page in spans)
    last_seq = max(page.last_seq for page in spans)
    claims = file.claims(first_seq, last_seq)
    references = file.references(first_seq, last_seq) if len(claims) != count else []
    return Read(pages, claims, references)


def resealed(page: PageRow, previous: bytes, batch_digest: str, raw: bytes) -> bytes:
    """Return the hash a page should have, from what is stored."""
    header = Header(
        page=page.page,
        batch=batch_digest,
        first_seq=page.first_seq,
        last_seq=page.last_seq,
        final_seq=page.final_seq,
        recv_ns=page.recv_ns,
        schema=page.schema,
        cursor=page.cursor,
        rows=page.rows.hex(),
        raw=digest_of(raw),
    )
    return seal(previous, header)
