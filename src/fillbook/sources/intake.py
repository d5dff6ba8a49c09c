"""Puts pushed lines into the book, and follows files that a bot appends lines to."""

from __future__ import annotations

import os
from collections.abc import Callable
from io import FileIO
from pathlib import Path

import msgspec

from fillbook.facts.model import Claim
from fillbook.journal.values import BatchOpen, Page
from fillbook.sources.beside import LONG_TEXT, beside
from fillbook.sources.pace import Pace
from fillbook.sources.push import FILE, RANK_PUSH, SOURCE, Accepted, Labels, accept, context_of
from fillbook.sources.source import Rejected
from fillbook.sources.stream import JournalWriter

LOOK_NS = 1_000_000_000
_MOST_CLAIMS = 1000
_MOST_BYTES = 1 << 20
_MOST_TOLD = 100
_HEAD_BYTES = 64


class Taken(msgspec.Struct, frozen=True):
    """What became of some lines: `rejected` names the first of those refused, `refused` counts."""

    accepted: int
    new: int
    refused: int
    rejected: tuple[Rejected, ...]


class Intake:
    """Journals pushed facts, one batch per account; `labels()` are the accounts' names.

    A fact is on disk when `take` returns. `pulled` is called when the book may have grown.
    """

    def __init__(
        self,
        writer: JournalWriter,
        labels: Callable[[], Labels] = dict,
        pulled: Callable[[], None] = lambda: None,
    ) -> None:
        self._writer = writer
        self._labels = labels
        self._pulled = pulled
        self._open: set[str] = set()

    async def take(self, body: bytes) -> Taken:
        """Take lines of JSON as they are posted."""
        return await self.keep(await self.read(body))

    async def keep(self, told: Accepted) -> Taken:
        """Write what was accepted; whose account it is decides the batch."""
        by_place: dict[tuple[str, str], list[Claim]] = {}
        for claim in told.claims:
            by_place.setdefault((claim.fact.venue, claim.fact.account), []).append(claim)
        new = 0
        for (venue, account), claims in sorted(by_place.items()):
            batch_id = await self._batch(venue, account)
            for start in range(0, len(claims), _MOST_CLAIMS):
                some = claims[start : start + _MOST_CLAIMS]
                done = await self._writer.append(Page(batch_id=batch_id, claims=some, cursor=""))
                new += done.new
        if new:
            self._pulled()
        return Taken(len(told.claims), new, len(told.rejected), told.rejected[:_MOST_TOLD])

    async def read(self, body: bytes, file: str = FILE) -> Accepted:
        """Read lines without writing them; many lines hold nobody else up."""
        labels = self._labels()
        return await beside(
            lambda: accept(body, labels=labels, file=file), is_long=len(body) > LONG_TEXT
        )

    async def _batch(self, venue: str, account: str) -> str:
        batch_id = f"{SOURCE}:{venue}:{account}"
        if batch_id not in self._open:
            await self._writer.begin(
                BatchOpen(
                    batch_id=batch_id,
                    source=SOURCE,
                    rank=RANK_PUSH,
                    venue=venue,
                    account=account,
                    fingerprint="",
                    name=f"pushed by bots, {venue}",
                    context=context_of(venue, account),
                )
            )
            self._open.add(batch_id)
        return batch_id


class Followed:
    """A file that grows: yields what is complete, from where the last look ended.

    A line counts once its end is written. A file that was cut is read from its start; lines it had
    before are known by then. Where another file took its place (logs are rotated), the earlier one
    is read to its end, and on until the next change: who writes may still hold it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tails: list[_Tail] = []

    def __enter__(self) -> Followed:
        return self

    def __exit__(self, *_: object) -> None:
        while self._tails:
            self._tails.pop().close()

    def news(self) -> bytes:
        """Return complete lines written since the last look, empty when there are none."""
        while True:
            for tail in self._tails:
                whole = tail.read()
                if whole:
                    return whole
            if not self._turn():
                return b""

    def _turn(self) -> bool:
        """Take in the file that now lies at the path; False where it is known, or none is."""
        try:
            file = self.path.open("rb", buffering=0)
        except FileNotFoundError:
            return False
        fresh = _Tail(file)
        if self._tails and self._tails[-1].identity == fresh.identity:
            fresh.close()
            return False
        for done in self._tails[:-1]:
            done.close()
        self._tails = [*self._tails[-1:], fresh]
        return True


class _Tail:
    """One open file, read from where the last look ended, also after it was renamed."""

    def __init__(self, file: FileIO) -> None:
        self._file = file
        status = os.fstat(file.fileno())
        self.identity = status.st_dev, status.st_ino
        self._offset = 0
        self._head = b""

    def close(self) -> None:
        self._file.close()

    def read(self) -> bytes:
        """Return complete lines behind the last ones."""
        self._file.seek(0)
        head = self._file.read(_HEAD_BYTES)
        was_cut = os.fstat(self._file.fileno()).st_size < self._offset
        if was_cut or head[: len(self._head)] != self._head:
            self._offset, self._head = 0, b""
        if len(head) > len(self._head):
            self._head = head
        self._file.seek(self._offset)
        found = self._file.read(_MOST_BYTES)
        whole = found[: found.rfind(b"\n") + 1]
        if not whole and len(found) == _MOST_BYTES:
            whole = found  # no line is that long: let it be refused, and go on behind it
        self._offset += len(whole)
        return whole


async def follow(
    path: Path,
    intake: Intake,
    pace: Pace,
    refused: Callable[[Rejected], None] = lambda rejected: None,
) -> None:
    """Follow one file for ever; `refused` hears of lines that cannot be read."""
    with Followed(path) as followed:
        while True:
            try:
                body = followed.news()
            except OSError as fault:
                refused(Rejected(path.name, None, None, f"cannot be read: {fault.strerror}", ""))
                body = b""
            if not body:
                await pace.rest(LOOK_NS)
                continue
            taken = await intake.keep(await intake.read(body, path.name))
            for rejected in taken.rejected:
                refused(rejected)
