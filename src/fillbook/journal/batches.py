"""Batches: what they said of themselves, and which of them stand at a point of the sequence."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import msgspec

from fillbook.facts.codec import content_hash, decode
from fillbook.facts.model import AnyFact, Batch, Retraction
from fillbook.journal.sqlite import damaged
from fillbook.journal.tables import BatchRow, BookFile
from fillbook.journal.values import BatchOpen, BatchState, Labelled

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
    for row in file.facts_of_kind("retraction", as_of):
        fact = _fact(file, row.content, row.fact, row.schema)
        if isinstance(fact, Retraction):
            found.append(Retracted(row.seq, fact.batch_id))
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
            raise damaged(file, f"the description of batch {row.batch_id!r} was changed")
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


def labelled(file: BookFile, label: str, as_of: int) -> list[Labelled]:
    """Return every generation that was opened with a label by `as_of`, retracted or not."""
    found = []
    for row in file.batches(saying=label):
        if row.opened_seq <= as_of:
            said = said_in(row)
            if not digest_fits(row):
                raise damaged(file, f"the description of batch {row.batch_id!r} was changed")
            if label in said.labels:
                found.append(Labelled(said=said, opened_ns=row.opened_ns))
    return found


def states(file: BookFile, as_of: int) -> list[BatchState]:
    """Return every batch as it stood at `as_of`."""
    spans = file.spans(as_of)
    own = spans.get(None)
    if (own.rows if own else 0) != sum(
        len(file.facts_of_kind(kind, as_of)) for kind in ("retraction", "epoch")
    ):
        raise damaged(file, "an index does not find every retraction")
    found = []
    for batch in opened(file, as_of):
        span = spans.get(batch.number)
        final_seq = span.final_seq if span else None
        found.append(
            BatchState(
                **msgspec.structs.asdict(batch.said),
                generation=batch.generation,
                opened_seq=batch.opened_seq,
                opened_ns=batch.opened_ns,
                complete=final_seq is not None,
                retracted=batch.retracted,
                rows=(span.rows if span else 0) - (final_seq is not None),
                first_seq=span.first_seq if span else None,
                last_seq=span.last_seq if span else None,
                fact=_final_fact(file, final_seq) if final_seq is not None else None,
            )
        )
    return found


def _final_fact(file: BookFile, final_seq: int) -> Batch:
    seq = final_seq
    for _, claim, _, _ in file.references(seq, seq):
        seq = claim
    row, page = file.claim(seq), file.page_of_seq(seq)
    fact = _fact(file, row.content, row.fact, page.schema) if row and page else None
    if not isinstance(fact, Batch):
        raise damaged(file, f"row {seq} should complete a batch")
    return fact


def _fact(file: BookFile, content: bytes, stored: str, schema: int) -> AnyFact:
    if content_hash(stored.encode()) != content:
        raise damaged(file, "a fact about batches does not match its hash")
    return decode(stored, schema)
