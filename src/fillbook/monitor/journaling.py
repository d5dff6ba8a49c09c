"""The one thread that writes the book: a bounded queue in front, durable on return.

The event loop only moves bytes; a commit with its fsync happens here. A fault of the book stops
the thread and every later call: fail-stop, never fail-wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from fillbook.ground.errors import BookError
from fillbook.ground.exact import from_scaled
from fillbook.journal.store import Journal
from fillbook.journal.values import Appended, BatchOpen, Page, Resume
from fillbook.marks.series import Mark, MarkStore
from fillbook.monitor.oddmarks import OddMarks

Result = TypeVar("Result")
Task = Callable[[Journal, MarkStore], None]

CAPACITY = 64


class JournalThread:
    """A `JournalWriter` for coroutines, owning the only writing connection of this process.

    `start` opens the files in the thread and returns when they are open (or raises what opening
    raised). `stop` writes everything that waits, then closes. `drained` counts what was still
    waiting when the stop was asked for.
    """

    def __init__(
        self, book: Path, marks: Path, clock: Callable[[], int], capacity: int = CAPACITY
    ) -> None:
        self._book = book
        self._marks = marks
        self._clock = clock
        self._waiting: queue.Queue[Task | None] = queue.Queue(capacity)
        self._opened: Future[None] = Future()
        self._fault: BookError | None = None
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self.drained = 0
        self.odd_marks = OddMarks()

    @property
    def fault(self) -> BookError | None:
        """Return what stopped the thread, None while it is well."""
        return self._fault

    @property
    def waiting(self) -> int:
        """Return how many writes stand in the queue."""
        return self._waiting.qsize()

    def start(self) -> None:
        """Open the book for writing; raises BookError when that cannot be."""
        self._thread.start()
        self._opened.result()

    def stop(self, timeout_s: float = 10.0) -> bool:
        """Write what waits and close; returns whether everything was written in time."""
        self.drained = self._waiting.qsize()
        if self._thread.is_alive():
            begun_s = time.monotonic()
            try:
                self._waiting.put(None, timeout=timeout_s)
            except queue.Full:
                return False
            self._thread.join(max(0.0, timeout_s - (time.monotonic() - begun_s)))
        return not self._thread.is_alive()

    async def begin(self, batch: BatchOpen) -> Resume:
        """Open a batch, or find where it stopped."""
        return await self._do(lambda journal, _: journal.begin(batch, self._clock()))

    async def append(self, page: Page) -> Appended:
        """Remember one page with its cursor; it is on disk when this returns."""
        return await self._do(lambda journal, _: journal.append(page, self._clock()))

    async def put_marks(self, marks: Sequence[Mark]) -> None:
        """Keep prices beside the book; `odd_marks` tells those that no store can hold."""
        if marks:
            await self._do(lambda _, store: self.odd_marks.put(store, marks))

    async def seq(self) -> int:
        """Return the newest row of the book, everything asked for before this included."""
        return await self._do(lambda journal, _: journal.head().seq)

    async def retract(self, batch_id: str, reason: str) -> None:
        """Undo a batch."""
        await self._do(lambda journal, _: journal.retract(batch_id, reason, self._clock()))

    async def last_price(
        self, venue: str, instrument: str, since_ns: int, until_ns: int
    ) -> Decimal | None:
        """Return the last price in [since, until), None where nobody saw one."""
        seen = await self._do(lambda _, store: store.series(venue, instrument, since_ns, until_ns))
        return from_scaled(int(seen.px[-1]), seen.scale) if len(seen.px) else None

    async def _do(self, work: Callable[[Journal, MarkStore], Result]) -> Result:
        """Run `work` in the thread; waits for room in the queue without blocking the loop."""
        done: Future[Result] = Future()

        def task(journal: Journal, store: MarkStore) -> None:
            try:
                result = work(journal, store)
            except BaseException as fault:  # handed to whoever asked, whatever it is
                # Whoever asked may have gone; the thread must see the fault all the same.
                with contextlib.suppress(InvalidStateError):
                    done.set_exception(fault)
                raise
            with contextlib.suppress(InvalidStateError):
                done.set_result(result)

        while True:
            if self._fault is not None:
                raise self._fault
            try:
                self._waiting.put_nowait(task)
                break
            except queue.Full:
                await asyncio.sleep(0.005)
        return await asyncio.wrap_future(done)

    def _run(self) -> None:
        try:
            with Journal.open(self._book) as journal, MarkStore(self._marks) as store:
                self._opened.set_result(None)
                self._serve(journal, store)
        except BookError as fault:
            self._fault = fault
            if not self._opened.done():
                self._opened.set_exception(fault)
            self._refuse_the_rest()

    def _serve(self, journal: Journal, store: MarkStore) -> None:
        while (task := self._waiting.get()) is not None:
            try:
                task(journal, store)
            except BookError:
                raise
            except Exception:  # whoever asked has it; the book itself is unharmed
                continue

    def _refuse_the_rest(self) -> None:
        """Answer everybody who still waits with the fault: their tasks see a closed book."""
        while True:
            try:
                task = self._waiting.get_nowait()
            except queue.Empty:
                return
            if task is not None:
                _fail(task)


def _fail(task: Task) -> None:
    """Run a task against a journal that refuses everything, so that its asker is answered."""
    try:
        task(_CLOSED, _CLOSED)  # type: ignore[arg-type]
    except BookError:
        return


class _Closed:
    """Stands in for a book that stopped: every use of it is the same BookError."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        raise BookError(
            "the journal has stopped", "", "see the log for the fault, then restart the monitor"
        )


_CLOSED = _Closed()
