"""A desk's own book, behind one thread: writing never waits in the bot, reading follows writing.

Everything asked of the book is done in the order it was asked, so a summary sees every event that
was handed in before it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from fillbook.analysis.valuation import Valuer
from fillbook.analysis.view import BookView
from fillbook.facts.model import Claim
from fillbook.ground.errors import InputError
from fillbook.ground.settings import Settings
from fillbook.journal.store import Journal
from fillbook.journal.values import BatchOpen, Page, Resume
from fillbook.ledger.following import Following
from fillbook.marks.series import MarkStore, marks_path
from fillbook.resolve.claims import ResolveRules

Result = TypeVar("Result")

MOST_OWED = 100_000

_log = logging.getLogger(__name__)


class OpenBook:
    """The open files, for work that runs in the book's thread."""

    def __init__(self, path: Path, settings: Settings, clock: Callable[[], int]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.journal = _opened(path)
        self._marks = MarkStore(marks_path(path))
        self._settings = settings
        self._clock = clock
        rules = ResolveRules(strategies=settings.strategies.rules)
        self._following = Following(settings.fold.method, rules)
        self._view: BookView | None = None
        self._owed: deque[tuple[BatchOpen, Sequence[Claim]]] = deque()

    def begin(self, batch: BatchOpen) -> Resume:
        """Open a batch, or find where it stopped."""
        return self.journal.begin(batch, self._clock())

    def append(self, batch: BatchOpen, claims: Sequence[Claim], cursor: str = "") -> int:
        """Write claims and their cursor, durable on return; returns how many were new."""
        page = Page(batch_id=batch.batch_id, claims=claims, cursor=cursor)
        return self.journal.append(page, self._clock()).new

    def write(self, batch: BatchOpen, claims: Sequence[Claim]) -> None:
        """Write claims that nobody will tell again.

        Those that cannot be written now wait in memory: they come before whatever is written or
        read next, so no figure is ever told without them.
        """
        if len(self._owed) == MOST_OWED:
            _log.error("telemetry: %d events wait for the book, and no more can", MOST_OWED)
            return
        self._owed.append((batch, claims))
        self._settle()

    def _settle(self) -> None:
        while self._owed:
            self.append(*self._owed[0])
            self._owed.popleft()

    def view(self) -> BookView:
        """Return the book as it stands; the same view while nothing was written."""
        self._settle()
        head = self.journal.head()
        if self._view is None or (self._view.seq, self._view.head) != (head.seq, head.hash):
            ledger = self._following.refresh(self.journal)
            self._view = BookView(
                lambda: ledger,
                Valuer(self._marks, self._settings.marks.max_age_ns),
                self._settings,
                self.journal.findings,
                seq=ledger.seq,
                head=ledger.head,
            )
        return self._view

    def close(self) -> None:
        """Write what still waits, and let go of the files."""
        try:
            self._settle()
        finally:
            self._marks.close()
            self.journal.close()


def _opened(path: Path) -> Journal:
    """Open a book, or make it; another desk may make it in the same instant."""
    try:
        return Journal.open(path) if path.exists() else Journal.create(path)
    except InputError:
        return Journal.open(path)


class DeskBook:
    """One book and its thread. What fails is logged, kept in `fault`, and raised to who waits."""

    def __init__(self, path: Path, settings: Settings, clock: Callable[[], int]) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="telemetry")
        self._open = self._thread.submit(OpenBook, path, settings, clock)
        self.fault: BaseException | None = None

    def submit(self, work: Callable[[OpenBook], Result]) -> Future[Result]:
        """Run work in the thread, after everything that was handed in before."""
        asked = self._thread.submit(lambda: work(self._open.result()))
        asked.add_done_callback(self._look)
        return asked

    def run(self, work: Callable[[OpenBook], Result]) -> Result:
        """Run work in the thread and wait for its result."""
        return self.submit(work).result()

    def close(self) -> None:
        """Write everything that waits, then close; closing twice is harmless."""
        self._thread.shutdown(wait=True)
        if self._open.exception() is not None:
            return
        try:
            self._open.result().close()
        except Exception as fault:  # a bot that ends must not stumble over its telemetry
            self.fault = fault
            _log.error("telemetry: events were not written: %s", fault)

    def _look(self, asked: Future[Result]) -> None:
        fault = None if asked.cancelled() else asked.exception()
        if fault is not None:
            self.fault = fault
            _log.error("telemetry: %s", fault)
