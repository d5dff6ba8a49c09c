"""Imports that cannot both be true are refused by name, before they bend the numbers.

The same file under two accounts, or the same printed times read in two time zones, would each
count every fill twice. Retracting the wrong one first is the way out.
"""

from __future__ import annotations

from collections.abc import Sequence

from fillbook.ground.clock import iso
from fillbook.ground.errors import InputError
from fillbook.journal.batches import Opened
from fillbook.journal.page import Draft
from fillbook.journal.tables import BookFile
from fillbook.journal.values import BatchOpen

_PRINTED = "~"  # how the key of a row without ids begins, whose time is the text a file printed


def refuse_contradiction(batch: BatchOpen, earlier: Opened) -> None:
    """Raise InputError when a new batch and a standing one cannot both be right."""
    said = earlier.said
    if earlier.retracted:
        return
    if batch.fingerprint and batch.fingerprint == said.fingerprint:
        if (batch.venue, batch.account) != (said.venue, said.account):
            raise InputError(
                f"this file is in the book already, for account {said.account!r} of {said.venue}"
                f" (batch {said.batch_id!r})",
                batch.name,
                f"if that account was wrong, run `fillbook retract {said.batch_id}` first",
            )
        if batch.tz != said.tz:
            raise InputError(
                f"this file is in the book already, read with time zone {said.tz or 'unset'}"
                f" (batch {said.batch_id!r}), not {batch.tz or 'unset'}",
                batch.name,
                f"if that zone was wrong, run `fillbook retract {said.batch_id}` first",
            )
    if batch.batch_id == said.batch_id:
        mine = (batch.source, batch.venue, batch.account, batch.fingerprint, batch.tz)
        if mine != (said.source, said.venue, said.account, said.fingerprint, said.tz):
            raise InputError(
                f"batch {batch.batch_id!r} stands for something else in this book: {said.name}",
                batch.name,
                "give the new batch a name of its own",
            )


def refuse_other_zone(
    file: BookFile,
    batch: Opened,
    standing: Sequence[Opened],
    rows: Draft,
    pairs: Sequence[tuple[int, int]],
) -> None:
    """Raise InputError when rows without ids came before, at other instants, by another zone.

    `pairs` are (position in `rows`, seq of an earlier claim with the same key).
    """
    zones = {b.number: b for b in standing if not b.retracted and b.said.tz is not None}
    for at, seq in pairs:
        if not rows.keys[at].startswith(_PRINTED):
            continue
        claim = file.claim(seq)
        if claim is None or claim.ts_event_ns == rows.times_ns[at]:
            continue
        asserting = [
            *file.claim_batches(seq, seq),
            *(number for _, number, _ in file.references_to(seq, seq)),
        ]
        for other in (zones[number] for number in asserting if number in zones):
            if other.said.tz != batch.said.tz:
                raise InputError(
                    f"{other.said.name} (batch {other.said.batch_id!r}) printed the same row, and"
                    f" was read with time zone {other.said.tz}, not {batch.said.tz}:"
                    f" {iso(claim.ts_event_ns)} or {iso(rows.times_ns[at])}",
                    _where(batch.said, rows.lines[at]),
                    f"import it with --tz {other.said.tz}, or run"
                    f" `fillbook retract {other.said.batch_id}` first",
                )


def _where(said: BatchOpen, line: int | None) -> str:
    return said.name if line is None else f"{said.name}:{line}"
