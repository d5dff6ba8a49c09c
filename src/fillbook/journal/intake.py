"""Which rows of a page the book does not know yet.

Most pages are all new, so rows are written at once and the unique index speaks up if one is not;
then the page is sorted row by row: new, a reference to what another batch brought, or a repeat
of what this very batch has said before, which is no news.
"""

from __future__ import annotations

from itertools import repeat

import msgspec

from fillbook.ground.errors import BookDamagedError
from fillbook.journal.page import Draft
from fillbook.journal.sqlite import RESTORE
from fillbook.journal.tables import BookFile, Reference


class Taken(msgspec.Struct):
    """What became of the rows of a draft, by position; `kept` are new ones and references."""

    new: list[int]
    new_seqs: list[int]
    references: list[Reference]
    kept: list[int]
    known: int


def take(
    file: BookFile,
    first_seq: int,
    batch: int | None,
    rows: Draft,
    streams: list[int],
    expect_known: bool,
) -> Taken:
    """Write the rows of a page from `first_seq` on, each new one once."""
    count = len(rows.keys)
    if not expect_known:
        everything = list(range(count))
        taken = Taken(everything, list(range(first_seq, first_seq + count)), [], everything, 0)
        if _write(file, batch, rows, streams, taken):
            return taken
    taken = _sort(file, first_seq, batch, rows, streams)
    if taken.new:
        fresh, their_streams = rows.pick(taken.new), [streams[at] for at in taken.new]
        if not _write(file, batch, fresh, their_streams, taken):
            raise BookDamagedError(
                "the index of identities contradicts its rows", str(file.path), RESTORE
            )
    if taken.references:
        file.add_references(taken.references)
    return taken


def _write(
    file: BookFile, batch: int | None, rows: Draft, streams: list[int], taken: Taken
) -> bool:
    return file.add_claims(
        zip(
            taken.new_seqs,
            streams,
            rows.keys,
            rows.contents,
            rows.times_ns,
            repeat(batch),
            rows.rows,
            rows.facts,
            strict=False,
        )
    )


def _sort(
    file: BookFile, first_seq: int, batch: int | None, rows: Draft, streams: list[int]
) -> Taken:
    wanted: dict[int, list[str]] = {}
    for stream, key in zip(streams, rows.keys, strict=True):
        wanted.setdefault(stream, []).append(key)
    variants: dict[tuple[int, str], dict[bytes, int]] = {}
    mine: set[int] = set()
    for stream, keys in wanted.items():
        earlier = file.known(stream, keys)
        for claim in earlier:
            variants.setdefault((stream, claim.key), {})[claim.content] = claim.seq
        mine.update(claim.seq for claim in earlier if claim.batch == batch)
        if batch is not None:
            mine |= file.referenced(batch, [claim.seq for claim in earlier])

    taken = Taken([], [], [], [], 0)
    for at, (stream, key, content) in enumerate(
        zip(streams, rows.keys, rows.contents, strict=True)
    ):
        seq = first_seq + len(taken.kept)
        same_key = variants.setdefault((stream, key), {})
        known = same_key.get(content)
        if known is None:
            same_key[content] = seq
            mine.add(seq)
            taken.new.append(at)
            taken.new_seqs.append(seq)
            taken.kept.append(at)
            continue
        taken.known += 1
        if known not in mine and batch is not None:
            mine.add(known)
            taken.references.append((seq, known, batch, rows.rows[at]))
            taken.kept.append(at)
    return taken
