"""The book as it stands now, folded in a thread of its own, at most once a second.

The fold releases the interpreter's lock while it runs, and nothing folds on the event loop.
Readers take `view`, which never changes under them: a newer state is a newer view.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from fillbook.analysis.valuation import Valuer
from fillbook.analysis.view import BookView
from fillbook.ground.errors import FillbookError
from fillbook.ground.settings import Settings
from fillbook.journal.store import Journal
from fillbook.ledger.following import Following
from fillbook.marks.series import MarkStore
from fillbook.resolve.claims import ResolveRules

SECOND = 1.0


class LiveBook:
    """Follows the journal in a thread; `told` is called there after every new view.

    `nudge` says that there may be news. `fault` is what stopped it: a book that cannot be read is
    not guessed at.
    """

    def __init__(
        self,
        book: Path,
        marks: Path,
        settings: Settings,
        told: Callable[[BookView], None],
        every_s: float = SECOND,
    ) -> None:
        self._book = book
        self._marks = marks
        self._settings = settings
        self._told = told
        self._every_s = every_s
        self._news = threading.Event()
        self._stop = threading.Event()
        self._first = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fold", daemon=True)
        self.view: BookView | None = None
        self.fault: FillbookError | None = None

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
        """Stop following; returns whether the thread ended in time."""
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
        except FillbookError as fault:
            self.fault = fault
        finally:
            self._first.set()

    def _follow(self, journal: Journal, marks: MarkStore) -> None:
        rules = ResolveRules(strategies=self._settings.strategies.rules)
        following = Following(self._settings.fold.method, rules)
        while not self._stop.is_set():
            self._news.wait()
            self._news.clear()
            if self._stop.is_set():
                return
            ledger = following.refresh(journal)
            view = BookView(
                lambda ledger=ledger: ledger,  # type: ignore[misc]
                Valuer(marks, self._settings.marks.max_age_ns),
                self._settings,
                journal.findings,
                seq=ledger.seq,
                head=ledger.head,
            )
            self._told(view)
            self.view = view
            self._first.set()
            self._stop.wait(self._every_s)
