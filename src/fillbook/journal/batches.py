"""Batches: what they said of themselves, and which of them stand at a point of the sequence."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import msgspec

from fillbook.facts.codec import decode
from fillbook.facts.model import Batch, Retraction
from fillbook.ground.errors import BookDamagedError
from fillbook.journal.tables import BatchRow, BookFile, PageRow
from fillbook.journal.values import BatchOpen, BatchState

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(BatchOpen).decode


class Opened(NamedTuple):
    """One generation of a batch, read back and checked against its digest."""

    number: int
    generation: int
    opened_seq: int
    opened_ns: int
    retracted: bool
    digest: str
    said: BatchOpen


def batch_row(
    number: int, generation: int, opened_seq: int, opened_ns: int, said: BatchOpen
) -> BatchRow:
    """Make the row that remembers a new generation."""
    values = (number, said.batch_id, generation, opened_seq, opened_ns, _encode(said).decode())
    return BatchRow(*values, hashlib.sha256(_encode(values)).digest())


def digest_fits(row: BatchRow) -> bool:
    """Tell whether a stored batch is what was written."""
    return hashlib.sha256(_encode(row[:6])).digest() == row.digest


def said_in(row: BatchRow) -> BatchOpen:
    """Return what a stored batch said of itself."""
    return _decode(row.description)


class Retracted(NamedTuple):
    """A retraction: the generations of `batch_id` opened before `seq` do not stand."""

    seq: int
    batch_id: str


def retractions(file: BookFile, as_of: int) -> list[Retracted]:
    """Return every retraction known at `as_of`, oldest first."""
    found = []
    for seq, version, payload in file.facts_of_kind("retraction", as_of):
        fact = decode(payload, version)
        if isinstance(fact, Retraction):
            found.append(Retracted(seq, fact.batch_id))
    return found


def opened(file: BookFile, as_of: int) -> list[Opened]:
    """Return every generation opened by `as_of`, oldest first, and whether it was retracted.

    A retraction undoes the generations of its batch id that were opened before it; a batch
    imported again afterwards is a new generation, which it does not touch.
    """
    retracted_at = {gone.batch_id: gone.seq for gone in retractions(file, as_of)}
    found = []
    for row in file.batches():
        if row.opened_seq > as_of:
            continue
        if not digest_fits(row):
            raise BookDamagedError(
                f"the description of batch {row.batch_id!r} was changed",
                str(file.path),
                "run `fillbook verify`; then restore a backup",
            )
        gone = row.opened_seq < retracted_at.get(row.batch_id, -1)
        found.append(
            Opened(
                row.batch,
                row.generation,
                row.opened_seq,
                row.opened_ns,
                gone,
                row.digest.hex(),
                said_in(row),
            )
        )
    return found


def states(file: BookFile, as_of: int) -> list[BatchState]:
    """Return every batch as it stood at `as_of`."""
    spans = file.batch_spans(as_of)
    found = []
    for batch in opened(file, as_of):
        rows, first_seq, last_seq = spans.get(batch.number, (0, None, None))
        fact = _final_fact(file, file.page_of_batch(batch.number), as_of)
        found.append(
            BatchState(
                **msgspec.structs.asdict(batch.said),
                generation=batch.generation,
                opened_seq=batch.opened_seq,
                opened_ns=batch.opened_ns,
                complete=fact is not None,
                retracted=batch.retracted,
                rows=rows - (fact is not None),
                first_seq=first_seq,
                last_seq=last_seq,
                fact=fact,
            )
        )
    return found


def _final_fact(file: BookFile, last: PageRow | None, as_of: int) -> Batch | None:
    if last is None or last.final_seq is None or last.final_seq > as_of:
        return None
    seq = last.final_seq
    for _, claim, _, _ in file.references(seq, seq):
        seq = claim
    row = file.claim(seq)
    fact = decode(row.fact, last.schema) if row else None
    return fact if isinstance(fact, Batch) else None
