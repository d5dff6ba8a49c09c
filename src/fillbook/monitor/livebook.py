"""The book as it stands now, folded in a thread of its own, at most once a second.

The fold releases the interpreter's lock while it runs, and nothing folds on the event loop.
Readers take `view`, which never changes under them: a newer state is a newer view.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fillbook.analysis.keys import book_findings
from fillbook.analysis.valuation import Valuer
from fillbook.analysis.view import BookView
from fillbook.facts.finding import Finding
from fillbook.ground.errors import BookError
from fillbook.ground.settings import Settings
from fillbook.journal.store import Journal
from fillbook.ledger.following import Following
from fillbook.ledger.ledger import Ledger
from fillbook.marks.series import MarkStore
from fillbook.resolve.claims import ResolveRules

SECOND = 1.0

_log = logging.getLogger(__name__)


class LiveBook:
    """Follows the journal in a thread; `told(view, is_new)` is called there after every look.

    `nudge` says that there may be news. A look that finds none tells the same view again. `fault`
    is what stopped it: a book that cannot be read is not guessed at. `found` are findings from
    outside the book that belong to every view. `problem` is why the newest
    state cannot be folded; it is tried again.
    """

    def __init__(
        self,
        book: Path,
        marks: Path,
        settings: Settings,
        told: Callable[[BookView, bool], None],
        every_s: float = SECOND,
        found: Callable[[], Sequence[Finding]] = tuple,
    ) -> None:
        self._book = book
        self._marks = marks
        self._settings = settings
        self._told = told
        self._every_s = every_s
        self._found = found
        self._news = threading.Event()
        self._stop = threading.Event()
        self._first = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fold", daemon=True)
        self.view: BookView | None = None
        self.fault: Exception | None = None
        self.problem: Exception | None = None
        self._state: tuple[int, str, str, tuple[Finding, ...]] | None = None
        self._following = self._fresh()

    def start(self) -> None:
        """Start following; the first view comes when everything is folded once."""
        self._news.set()
        self._thread.start()

    def nudge(self) -> None:
        """Say that the journal or the marks may have grown."""
        self._news.set()

    def wait(self, timeout_s: float) -> BookView | None:
        """Wait for the first view."""
        self._first.wait(timeout_s)
        return self.view

    def stop(self, timeout_s: float = 10.0) -> bool:
        """Look once more, then stop; returns whether the thread ended in time."""
        self._stop.set()
        self._news.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            with (
                Journal.open(self._book, readonly=True) as journal,
                MarkStore(self._marks, readonly=True) as marks,
            ):
                self._follow(journal, marks)
        except Exception as fault:  # whatever stops this thread stops the monitor, with its reason
            self.fault = fault
        finally:
            self._first.set()

    def _follow(self, journal: Journal, marks: MarkStore) -> None:
        is_last = False
        while not is_last:
            self._news.wait()
            self._news.clear()
            is_last = self._stop.is_set()
            begun_s = time.monotonic()
            try:
                self._look(journal, marks)
                self.problem = None
            except BookError:
                raise
            except Exception as fault:  # recording goes on; it is told, and tried again
                self._stumble(fault)
            self._first.set()
            # A large book is looked at less often: half of the time is left to everybody else.
            self._stop.wait(max(self._every_s, time.monotonic() - begun_s))

    def _look(self, journal: Journal, marks: MarkStore) -> None:
        ledger = self._following.refresh(journal)
        known, self._state = self._state, self._state_of(ledger, marks)
        is_new = self.view is None or self._state != known
        if is_new:
            self.view = self._view_of(ledger, journal, marks)
        assert self.view is not None
        self._told(self.view, is_new)

    def _state_of(
        self, ledger: Ledger, marks: MarkStore
    ) -> tuple[int, str, str, tuple[Finding, ...]]:
        return ledger.seq, ledger.head, marks.version(), tuple(self._found())

    def _stumble(self, fault: Exception) -> None:
        """Remember why the book cannot be folded now, and begin anew at the next look."""
        if repr(fault) != repr(self.problem):
            _log.error("the book cannot be folded", exc_info=fault)
        self.problem, self._state = fault, None
        self._following = self._fresh()

    def _fresh(self) -> Following:
        rules = ResolveRules(strategies=self._settings.strategies.rules)
        return Following(self._settings.fold.method, rules)

    def _view_of(self, ledger: Ledger, journal: Journal, marks: MarkStore) -> BookView:
        return BookView(
            lambda: ledger,
            Valuer(marks, self._settings.marks.max_age_ns),
            self._settings,
            [*book_findings(journal), *(self._state[3] if self._state else ())],
            seq=ledger.seq,
            head=ledger.head,
        )
