"""A ledger that follows a growing journal: new claims fold their own groups and nothing else.

Equal, always, to folding everything from the beginning; where the quick way cannot be sure of
that, it folds everything.
"""

from __future__ import annotations

from collections.abc import Iterable

from fillbook.facts.finding import Finding
from fillbook.facts.model import Claimed
from fillbook.ground.settings import FoldMethod
from fillbook.journal.store import Journal
from fillbook.ledger.group import GroupLedger
from fillbook.ledger.ledger import Ledger, fold_group_of
from fillbook.resolve.claims import ResolveRules
from fillbook.resolve.event import GroupKey
from fillbook.resolve.standing import Standing


class Following:
    """Keeps the ledger of one journal up to date; one thread at a time.

    `full_folds` counts how often everything was folded, the first time included.
    """

    def __init__(self, method: FoldMethod = "average", rules: ResolveRules | None = None) -> None:
        self._method: FoldMethod = method
        self._rules = rules or ResolveRules()
        self._standing: Standing | None = None
        self._groups: dict[GroupKey, GroupLedger] = {}
        self._found: dict[GroupKey, list[Finding]] = {}
        self._seq = 0
        self.full_folds = 0

    def refresh(self, journal: Journal) -> Ledger:
        """Return the ledger of the journal as it stands now.

        Reads only what is new, unless older claims gained or lost an assertion.
        """
        head = journal.head()
        touched: set[GroupKey] | None = None
        if self._standing is not None and not journal.touched(self._seq, as_of=head.seq):
            fresh = list(journal.claims(as_of=head.seq, after_seq=self._seq))
            touched = self._standing.add(fresh)
        if touched is None:
            touched = self._resolve_all(journal.claims(as_of=head.seq))
        for key in sorted(touched):
            self._fold(key)
        self._seq = head.seq
        return self._ledger(head.book_id, head.seq, head.hash)

    def _resolve_all(self, claims: Iterable[Claimed]) -> set[GroupKey]:
        self._standing = Standing(claims, self._rules.strategies)
        keys = set(self._standing.keys)
        for gone in self._groups.keys() - keys:
            del self._groups[gone]
        self._found = {}
        self.full_folds += 1
        return keys

    def _fold(self, key: GroupKey) -> None:
        assert self._standing is not None
        group, found = self._standing.group(key)
        folded = fold_group_of(group, self._method, found, self._groups.get(key))
        if folded is None:
            self._groups.pop(key, None)
        else:
            self._groups[key] = folded
            found += folded.findings
        self._found[key] = found

    def _ledger(self, book_id: str, seq: int, head: str) -> Ledger:
        standing = self._standing
        assert standing is not None
        findings = list(standing.findings)
        for key in standing.keys:
            findings += self._found.get(key, [])
        return Ledger(
            book_id=book_id,
            seq=seq,
            head=head,
            method=self._method,
            groups=[self._groups[key] for key in standing.keys if key in self._groups],
            findings=findings,
            coverage=standing.promises,
            orders=standing.orders,
            n_evidence=standing.n_evidence,
        )
