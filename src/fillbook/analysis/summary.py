"""The face of analysis: load a book, then ask it.

    view = load(journal, marks, settings)
    why(view, Query())

Every answer is a struct of `analysis/answers.py`, true at `view.seq`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fillbook.analysis.answers import CostRow, FindingRow, Performance, PositionRow, Why
from fillbook.analysis.costing import costs as cost_rows
from fillbook.analysis.dayrecord import daily
from fillbook.analysis.disagreeing import KINDS, Disagreeing
from fillbook.analysis.keys import book_findings
from fillbook.analysis.names import Names, names_of_claims, names_of_ledger
from fillbook.analysis.recall import Recall
from fillbook.analysis.rows import fills
from fillbook.analysis.rows import positions as open_positions
from fillbook.analysis.scorecard import performance as scorecards
from fillbook.analysis.traderows import trades
from fillbook.analysis.valuation import Valuer
from fillbook.analysis.view import BookView, Query, parts_of
from fillbook.analysis.why import findings_of
from fillbook.analysis.why import why as answer_why
from fillbook.ground.clock import iso
from fillbook.ground.errors import UsageError
from fillbook.ground.settings import Settings
from fillbook.journal.store import Journal
from fillbook.ledger.cache import LedgerCache, cache_key, telling_key
from fillbook.ledger.ledger import Ledger, fold_claims
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
    "names",
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
    cache: Path | None = None,
) -> BookView:
    """Open a book as it was known at `as_of` (None: now), with its marks beside it.

    Nothing is folded until an answer needs it; `cache` is a folder that keeps the newest
    fold and finished answers. UsageError where the book has no such sequence.
    """
    as_of = _past(journal, as_of)
    head = journal.head(as_of)
    rules = ResolveRules(strategies=settings.strategies.rules)
    method = settings.fold.method
    key = cache_key(head.hash, method, rules)
    answers = None if cache is None else cache / "answers"
    disagreeing = Disagreeing(lambda: journal.claims(as_of, kinds=KINDS), Recall(answers, key))

    def fold() -> Ledger:
        kept = LedgerCache(cache) if cache is not None and as_of is None else None
        known = None if kept is None else kept.load(key)
        if known is not None:
            return known
        ledger = fold_claims(
            disagreeing.passing(journal.claims(as_of=as_of)),
            method,
            rules,
            book_id=head.book_id,
            seq=head.seq,
            head=head.hash,
            progress=progress,
        )
        if kept is not None:
            disagreeing.findings(ledger)  # while the statements are at hand
            kept.tell(telling_key(method, rules), ledger)
            kept.store(key, ledger)
        return ledger

    found = book_findings(journal, as_of)
    state = (key, marks.version() if marks is not None else "", settings, found)
    return BookView(
        fold,
        Valuer(marks, settings.marks.max_age_ns),
        settings,
        found,
        seq=head.seq,
        head=head.hash,
        recall=Recall(answers, *state),
        compared=disagreeing.findings,
        all_names=lambda: _all_names(journal, rules, answers),
    )


def _all_names(journal: Journal, rules: ResolveRules, answers: Path | None) -> Names:
    """Return every name as known now, whatever the view knows: one told later is no slip."""
    return Recall(answers, journal.head().hash, rules).answer(
        "all names", "", Names, lambda: names_of_claims(journal.claims(), rules.strategies)
    )


def _past(journal: Journal, as_of: int | None) -> int | None:
    """Return the sequence to stop at, None for the newest."""
    newest = journal.head().seq
    if as_of is not None and not 0 <= as_of <= newest:
        raise UsageError(
            f"the book has no sequence {as_of}", f"--as-of {as_of}", f"it has 0 to {newest}"
        )
    return None if as_of == newest else as_of


def names(view: BookView, query: Query) -> Names:
    """Return the names that the query may use: those of the ledger where they are enough for it,
    because reading all that was ever claimed passes every page of the book."""
    rules = view.settings.strategies.rules
    known = view.recall.answer("names", "", Names, lambda: names_of_ledger(view.ledger, rules))
    is_enough = known.instruments.keys() >= {*query.instruments} and known.strategies >= {
        *query.strategies
    }
    return known if is_enough else view.all_names()


def why(view: BookView, query: Query) -> Why:
    """Answer the question: both halves of the verdict, the ladder, how sure, coverage."""
    return view.recall.answer("why", query, Why, lambda: answer_why(view, query))


def performance(view: BookView, query: Query) -> list[Performance]:
    """Return one scorecard per settlement currency."""
    return view.recall.answer(
        "performance", query, list[Performance], lambda: scorecards(view, query)
    )


def costs(view: BookView, query: Query) -> list[CostRow]:
    """Return what trading cost, one row per asset."""
    return view.recall.answer("costs", query, list[CostRow], lambda: cost_rows(view, query))


def positions(view: BookView, query: Query) -> list[PositionRow]:
    """Return what is open at the window's end."""
    return view.recall.answer(
        "positions", query, list[PositionRow], lambda: open_positions(view, query)
    )


def findings(view: BookView, query: Query) -> list[FindingRow]:
    """List the findings about the selected accounts and instruments, worst first."""
    return view.recall.answer(
        "findings", query, list[FindingRow], lambda: _finding_rows(view, query)
    )


def _finding_rows(view: BookView, query: Query) -> list[FindingRow]:
    selected = findings_of(view, parts_of(view, query), query)
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
