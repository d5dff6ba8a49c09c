"""What an import would do, and what it must not do: checks that write nothing."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from fillbook.facts.codec import content_hash, encode
from fillbook.facts.identity import with_ordinal
from fillbook.facts.model import AnyFact, Claim
from fillbook.ground.errors import InputError
from fillbook.journal.store import Journal
from fillbook.journal.values import BatchOpen, BatchState
from fillbook.sources.reading import Reading

_Place = tuple[str, str, str, str]


class Outcome(msgspec.Struct, frozen=True):
    """How many claims a book would find new, known, or in conflict with what it has.

    Conflicts are counted among the new, as the journal does.
    """

    new: int = 0
    known: int = 0
    conflicts: int = 0


class Rehearsal:
    """Compares the claims of a dry run with a book, if there is one."""

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal
        self._contents: dict[_Place, list[bytes]] = {}
        self._repeated = 0

    def see(self, claims: Iterable[Claim]) -> None:
        """Take note of a page of claims."""
        for claim in claims:
            contents = self._contents.setdefault(_place(claim.fact, _stored_key(claim)), [])
            content = content_hash(encode(claim.fact))
            if content in contents:
                self._repeated += 1
            else:
                contents.append(content)

    def outcome(self) -> Outcome:
        """Say what the book would have done with the pages seen."""
        known = conflicts = 0
        seen = sum(len(contents) for contents in self._contents.values())
        inside = sum(len(contents) - 1 for contents in self._contents.values())
        if self._journal is not None:
            for claimed in self._journal.claims():
                contents = self._contents.get(_place(claimed.fact, claimed.key), [])
                if claimed.content in contents:
                    known += 1
                elif contents:
                    conflicts += 1
        return Outcome(seen - known, known + self._repeated, conflicts + inside)


def refuse_other_settings(journal: Journal, opening: BatchOpen, reading: Reading) -> None:
    """Refuse what would count twice: the same file or rows, read under other settings.

    Other settings are another account, zone, start or column map than the first time.
    """
    live = [batch for batch in journal.batches() if not batch.retracted]
    for batch in live:
        if batch.fingerprint != opening.fingerprint:
            continue
        if (batch.venue, batch.account) != (opening.venue, opening.account):
            told = f"this file is already in the book, for {batch.account} of {batch.venue}"
            raise _refusal(told, batch, reading)
        other = batch.source == opening.source and batch.context != opening.context
        if other and _changes_something(journal, reading):
            raise _refusal("this file was imported with other settings", batch, reading)
    if opening.tz is None:
        return
    suspects = {
        batch.batch_id: batch
        for batch in live
        if batch.source == opening.source
        and batch.account == opening.account
        and batch.tz not in (None, opening.tz)
    }
    if suspects:
        _refuse_moved_rows(journal, suspects, reading)


def _changes_something(journal: Journal, reading: Reading) -> bool:
    """Say whether the reading holds anything that the book does not already have as it is."""
    rehearsal = Rehearsal(journal)
    rehearsal.see(entry for entry in reading.entries() if isinstance(entry, Claim))
    return rehearsal.outcome().new > 0


def _refuse_moved_rows(journal: Journal, suspects: dict[str, BatchState], reading: Reading) -> None:
    """Refuse rows the book has at another instant: the same print read in another zone."""
    printed = {
        _place(entry.fact, _stored_key(entry)): entry.fact.ts_ns
        for entry in reading.entries()
        if isinstance(entry, Claim)
    }
    for claimed in journal.claims():
        told = printed.get(_place(claimed.fact, claimed.key))
        if told is None or told == claimed.fact.ts_ns:
            continue
        for assertion in claimed.assertions:
            if assertion.batch_id in suspects:
                batch = suspects[assertion.batch_id]
                raise _refusal(f"its rows were imported with --tz {batch.tz}", batch, reading)


def _refusal(what: str, batch: BatchState, reading: Reading) -> InputError:
    return InputError(
        f"{what} (batch {batch.batch_id}, {batch.name})",
        reading.terms.name,
        f"use the same settings, or run `fillbook retract {batch.batch_id}` first",
    )


def _place(fact: AnyFact, key: str) -> _Place:
    return fact.venue, fact.account, type(fact).__name__, key


def _stored_key(claim: Claim) -> str:
    return with_ordinal(claim.key, claim.ordinal)
