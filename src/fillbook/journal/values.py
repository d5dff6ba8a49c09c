"""The values that cross the journal's face: what goes in, what comes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from fillbook.facts.model import AnyFact, Batch, Claim

Reparse = Callable[[str, str, str], Sequence[AnyFact]]
"""(source, context, raw) -> the facts a reader finds in one raw record."""

Progress = Callable[[int, int], None]
"""(rows done, rows in all), called now and then during a long walk."""


class BatchOpen(msgspec.Struct, frozen=True, kw_only=True):
    """What one import or pull session says about itself before its first page.

    `batch_id` names it for people and for `retract`; the same id opened again is a resumption.
    `fingerprint` identifies the bytes read ("" for a live session, which has none). `context` is
    JSON text with whatever the source needs to parse one raw record again.
    """

    batch_id: str
    source: str
    rank: int
    venue: str
    account: str
    fingerprint: str
    name: str
    tz: str | None = None
    labels: tuple[str, ...] = ()
    context: str = "{}"


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Claims and the cursor behind them, remembered together or not at all.

    `final` completes the batch: the fact is appended in the same transaction.
    """

    batch_id: str
    claims: Sequence[Claim]
    cursor: str
    final: Batch | None = None


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    """Where a batch stands: read on behind `cursor` (None: from the start) unless complete."""

    cursor: str | None
    complete: bool


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a book in one line: everything up to `seq` hashes to `hash` (hex)."""

    book_id: str
    seq: int
    hash: str


class Appended(msgspec.Struct, frozen=True, kw_only=True):
    """What one append did: rows new to the book, rows already known, and conflicts.

    A conflict is a new row whose key the book already knew with other content; it is counted in
    `new` too, because both are kept.
    """

    new: int
    known: int
    conflicts: int
    head: Head


class BatchState(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as the book knows it. Imported again after a retraction, it is a new generation.

    `rows` counts the claims it asserts, whether it brought them or found them known.
    `first_seq` and `last_seq` are None while it has none. `fact` is the Batch fact once complete.
    """

    batch_id: str
    source: str
    rank: int
    venue: str
    account: str
    fingerprint: str
    name: str
    tz: str | None
    labels: tuple[str, ...]
    context: str
    generation: int
    opened_seq: int
    opened_ns: int
    complete: bool
    retracted: bool
    rows: int
    first_seq: int | None
    last_seq: int | None
    fact: Batch | None


class Labelled(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch said of itself when it was opened, and when that was."""

    said: BatchOpen
    opened_ns: int


class RawRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The source's own text behind one row, and where it stood."""

    seq: int
    batch_id: str
    name: str
    line: int | None
    text: str
