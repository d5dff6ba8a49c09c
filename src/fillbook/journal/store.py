"""The journal's face: claims remembered once, durably, in order, and never changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from fillbook.facts.finding import Finding
from fillbook.facts.model import Claimed
from fillbook.journal.values import (
    Appended,
    BatchOpen,
    BatchState,
    Head,
    Page,
    Progress,
    RawRecord,
    Reparse,
    Resume,
)

__all__ = [
    "Appended",
    "BatchOpen",
    "BatchState",
    "Head",
    "Journal",
    "Page",
    "RawRecord",
    "Resume",
]


class Journal:
    """One book file, open. Use as a context manager; one thread at a time."""

    @classmethod
    def create(cls, path: str | Path) -> Journal:
        """Make a new, empty book and open it for writing."""
        raise NotImplementedError

    @classmethod
    def open(cls, path: str | Path, *, readonly: bool = False) -> Journal:
        """Open an existing book."""
        raise NotImplementedError

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; closing twice is harmless."""
        raise NotImplementedError

    @property
    def findings(self) -> list[Finding]:
        """What opening the book brought to light, such as a book behind its anchor."""
        raise NotImplementedError

    def head(self, as_of: int | None = None) -> Head:
        """Return the newest head, or the one that proves everything up to `as_of`."""
        raise NotImplementedError

    def begin(self, batch: BatchOpen, now_ns: int) -> Resume:
        """Open a batch, or find where it stopped."""
        raise NotImplementedError

    def append(self, page: Page, now_ns: int) -> Appended:
        """Remember one page: its rows, references, cursor and raw text, in one transaction."""
        raise NotImplementedError

    def retract(self, batch_id: str, reason: str | None, now_ns: int) -> Appended:
        """Undo a batch: what no other batch asserts stops counting; nothing is deleted."""
        raise NotImplementedError

    def claims(
        self, as_of: int | None = None, after_seq: int = 0, kinds: Sequence[str] | None = None
    ) -> Iterator[Claimed]:
        """Yield the live claims in seq order, as known at `as_of`."""
        raise NotImplementedError

    def touched(self, after_seq: int, as_of: int | None = None) -> bool:
        """Tell whether claims up to `after_seq` gained or lost an assertion since."""
        raise NotImplementedError

    def batches(self, as_of: int | None = None) -> list[BatchState]:
        """List the batches in the order they were opened."""
        raise NotImplementedError

    def raw(self, seq: int) -> RawRecord | None:
        """Return the source's own text behind one row."""
        raise NotImplementedError

    def verify(
        self, reparse: Reparse | None = None, progress: Progress | None = None
    ) -> list[Finding]:
        """Recompute everything the book says about itself; an empty list means intact."""
        raise NotImplementedError
