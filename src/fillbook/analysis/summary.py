"""The face of analysis: load a book, then ask it.

    view = load(journal, marks, settings)
    why(view, Query())

Every answer is a struct of `analysis/answers.py`, true at `view.seq`.
"""

from __future__ import annotations

from collections.abc import Callable

from fillbook.analysis.answers import FindingRow
from fillbook.analysis.costing import costs
from fillbook.analysis.dayrecord import daily
from fillbook.analysis.reconcile import funding_findings, recorded_findings, venue_findings
from fillbook.analysis.rows import fills, positions
from fillbook.analysis.scorecard import performance
from fillbook.analysis.traderows import trades
from fillbook.analysis.valuation import Valuer
from fillbook.analysis.view import BookView, Query, parts_of
from fillbook.analysis.why import findings_of, why
from fillbook.ground.clock import iso
from fillbook.ground.settings import Settings
from fillbook.journal.store import Journal
from fillbook.ledger.ledger import fold_claims
from fillbook.marks.series import MarkStore
from fillbook.resolve.claims import ResolveRules

__all__ = [
    "BookView",
    "Query",
    "costs",
    "daily",
    "fills",
    "findings",
    "load",
    "performance",
    "positions",
    "trades",
    "why",
]

Progress = Callable[[int, int], None]


def load(
    journal: Journal,
    marks: MarkStore | None,
    settings: Settings,
    *,
    as_of: int | None = None,
    progress: Progress | None = None,
) -> BookView:
    """Fold a book as it was known at `as_of` (None: now) and put its marks beside it."""
    head = journal.head(as_of)
    ledger = fold_claims(
        journal.claims(as_of=as_of),
        settings.fold.method,
        ResolveRules(strategies=settings.strategies.rules),
        book_id=head.book_id,
        seq=head.seq,
        head=head.hash,
        progress=progress,
    )
    ledger.findings += journal.findings
    valuer = Valuer(marks, settings.marks.max_age_ns)
    view = BookView(ledger, valuer, settings, _end_of(ledger.last_event_ns, marks))
    found, view.venue_gaps = venue_findings(ledger)
    view.extra_findings += found + funding_findings(ledger)
    for group in ledger.groups:
        view.extra_findings += recorded_findings(group)
    return view


def _end_of(last_event_ns: int | None, marks: MarkStore | None) -> int:
    newest = last_event_ns or 0
    if marks is not None:
        for venue, instrument in marks.instruments():
            series = marks.series(venue, instrument)
            if len(series.ts_ns):
                newest = max(newest, int(series.ts_ns[-1]))
    return newest


def findings(view: BookView, query: Query) -> list[FindingRow]:
    """List the findings about the selected accounts and instruments, worst first."""
    selected = findings_of(view, parts_of(view, query))
    if query.since_ns is not None or query.until_ns is not None:
        until_ns = view.until_ns(query)
        selected = [
            each
            for each in selected
            if each.ts_ns is None or (query.since_ns or 0) <= each.ts_ns < until_ns
        ]
    return [
        FindingRow(
            code=each.code,
            severity=each.severity,
            message=each.message,
            next_step=each.next_step,
            account=each.account,
            instrument=each.instrument,
            ts=None if each.ts_ns is None else iso(each.ts_ns),
            amount=each.amount,
            currency=each.currency,
            seqs=each.seqs,
            touches=each.touches,
        )
        for each in selected
    ]
