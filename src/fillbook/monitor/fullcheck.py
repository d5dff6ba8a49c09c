"""The whole book against everything its venues state, while the monitor runs.

It reads the journal and the marks through connections of its own, in a thread of its own: nothing
here may hold up the folding, and nothing of it runs on the event loop.
"""

from __future__ import annotations

from pathlib import Path

from fillbook.analysis.reconcile.answer import Reconciliation
from fillbook.analysis.reconcile.book import reconcile
from fillbook.analysis.reconcile.stated import KINDS, Stated
from fillbook.analysis.valuation import Valuer
from fillbook.analysis.view import BookView, Query
from fillbook.ground.settings import Settings
from fillbook.journal.store import Journal
from fillbook.marks.series import MarkStore

# Breaks in the chain of positions are findings of the fold, so no fill is read for them.
_KINDS = tuple(kind for kind in KINDS if kind != "fill")


class FullCheck:
    """Reconciles one book again and again; reads only what is new since the last time."""

    def __init__(self, book: Path, marks: Path, settings: Settings) -> None:
        self._book = book
        self._marks = marks
        self._settings = settings
        self._stated = Stated()
        self._seq = 0

    def run(self, view: BookView) -> Reconciliation:
        """Make every check on a view; one thread at a time."""
        with (
            Journal.open(self._book, readonly=True) as journal,
            MarkStore(self._marks, readonly=True) as marks,
        ):
            if journal.touched(self._seq, as_of=view.seq):
                self._stated, self._seq = Stated(), 0
            self._stated.take(journal.claims(view.seq, self._seq, _KINDS))
            self._seq = view.seq
            valuer = Valuer(marks, self._settings.marks.max_age_ns)
            own = BookView(
                lambda: view.ledger, valuer, self._settings, seq=view.seq, head=view.head
            )
            return reconcile(own, self._stated, Query())
