"""The way into the book for one-shot pulls and tests: straight, on the calling thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fillbook.ground.clock import now_ns
from fillbook.journal.store import Journal
from fillbook.journal.values import Appended, BatchOpen, Page, Resume
from fillbook.marks.series import Mark, MarkStore


class DirectWriter:
    """A `JournalWriter` that writes where it is called; it blocks the event loop meanwhile."""

    def __init__(
        self, journal: Journal, marks: MarkStore | None = None, clock: Callable[[], int] = now_ns
    ) -> None:
        self._journal = journal
        self._marks = marks
        self._clock = clock

    async def begin(self, batch: BatchOpen) -> Resume:
        """Open a batch, or find where it stopped."""
        return self._journal.begin(batch, self._clock())

    async def append(self, page: Page) -> Appended:
        """Remember one page with its cursor; it is on disk when this returns."""
        return self._journal.append(page, self._clock())

    async def put_marks(self, marks: Sequence[Mark]) -> None:
        """Keep prices beside the book, when a store for them was given."""
        if self._marks is not None and marks:
            self._marks.put(marks)
