"""How a stream is doing, for people and for figures; and what of it survives a restart."""

from __future__ import annotations

from typing import Literal

import msgspec

from fillbook.sources.faults import SourceError
from fillbook.sources.stream import Gap

State = Literal["new", "catching up", "running", "faulted", "halted"]
"""Never pulled; more pages wait; up to date; failed and tried again soon; stands still, loudly."""


class Kept(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the journal keeps as a stream's cursor: the stream's own, and the pager's memory.

    `cursor` is None while nothing was ever pulled, and only a gap is known. `newest_ns` is the
    event time of the newest claim.
    """

    cursor: str | None = None
    until_ns: int | None = None
    gap: Gap | None = None
    newest_ns: int | None = None

    def text(self) -> str:
        """Return it as the journal keeps it."""
        return msgspec.json.encode(self).decode()


def read_kept(text: str | None) -> Kept | None:
    """Read back what the journal kept; ValueError when it is nothing of the kind."""
    return None if text is None else msgspec.json.decode(text, type=Kept)


class Pulled(msgspec.Struct, frozen=True, kw_only=True):
    """What one round brought: claims by what the book made of them, and the fault that ended it."""

    new: int = 0
    known: int = 0
    conflicts: int = 0
    pages: int = 0
    fault: SourceError | None = None


class StreamHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A stream at one moment.

    `covered_until_ns` is how far its history is complete in the book; `last_fact_ns` the event
    time of the newest claim; `last_answer_ns` when the venue last answered (our clock). `gap` is
    what is missing while it is halted. Counts are since the start of this program.
    """

    stream: str
    state: State
    since_ns: int
    fault: str | None = None
    next_step: str = ""
    covered_until_ns: int | None = None
    last_answer_ns: int | None = None
    last_fact_ns: int | None = None
    gap: Gap | None = None
    new: int = 0
    known: int = 0
    conflicts: int = 0
    pages: int = 0
    rounds: int = 0
