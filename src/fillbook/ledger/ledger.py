"""The ledger of a book: every group folded, with everything that was found on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from fillbook.facts.finding import Finding
from fillbook.facts.model import Claimed, OrderUpdate
from fillbook.ground.settings import FoldMethod
from fillbook.ledger.blanks import share_columns, share_outputs
from fillbook.ledger.building import columns_of
from fillbook.ledger.group import GroupLedger, digest_of, fold_columns
from fillbook.ledger.refold import refold
from fillbook.ledger.terms import DoesNotFitError
from fillbook.resolve.claims import ResolveRules, resolve
from fillbook.resolve.event import Group, GroupKey, Resolved, SourceCoverage

Progress = Callable[[int, int], None]


@dataclass
class Ledger:
    """All groups of a book at one sequence.

    `seq` and `head` name the journal's state; neither enters `digest`. `revised` holds the
    revision of every trade that changed after it was first told (ledger/revisions.py).
    """

    book_id: str
    seq: int
    head: str
    method: FoldMethod
    groups: list[GroupLedger]
    findings: list[Finding]
    coverage: list[SourceCoverage]
    orders: list[OrderUpdate]
    n_evidence: int
    revised: dict[str, int] = field(default_factory=dict)

    def digest(self) -> str:
        """Return the hash of everything that follows from the set of claims."""
        return digest_of(self.groups)

    @property
    def last_event_ns(self) -> int | None:
        """Return the time of the newest event, None in an empty book."""
        return max(
            (int(group.columns.ts_ns[-1]) for group in self.groups if len(group)), default=None
        )


def fold_claims(
    claims: Iterable[Claimed],
    method: FoldMethod = "average",
    rules: ResolveRules | None = None,
    *,
    book_id: str = "",
    seq: int = 0,
    head: str = "",
    progress: Progress | None = None,
    earlier: Ledger | None = None,
) -> Ledger:
    """Fold a set of claims into a ledger: a pure function of the set, the method and the rules.

    `earlier`, any ledger of the same book, saves work and changes nothing: groups whose columns
    are the same are taken over, others are folded again from where they differ.
    """
    resolved = resolve(claims, rules)
    known: dict[GroupKey, GroupLedger] = {}
    if earlier is not None and earlier.method == method:
        known = {group.columns.key: group for group in earlier.groups}
    groups: list[GroupLedger] = []
    findings = list(resolved.findings)
    for place, group in enumerate(resolved.groups):
        folded = fold_group_of(group, method, findings, known.get(group.key))
        if folded is not None:
            groups.append(folded)
            findings += folded.findings
        if progress is not None:
            progress(place + 1, len(resolved.groups))
    return _assembled(resolved, groups, findings, method, book_id, seq, head)


def fold_group_of(
    group: Group, method: FoldMethod, findings: list[Finding], earlier: GroupLedger | None
) -> GroupLedger | None:
    """Fold one resolved group; None where it has no events or a number of it does not fit.

    What was found is added to `findings`; `earlier` is the group's last fold, taken over where
    nothing changed.
    """
    if not group.events:
        return None
    try:
        columns = columns_of(group)
        folded = fold_columns(columns, method) if earlier is None else refold(earlier, columns)
        if folded is not earlier:
            _share_blanks(folded)
    except DoesNotFitError as fault:
        findings.append(_left_out(group, fault.seq))
        return None
    error = folded.books.error or folded.venue.error
    if error is not None:
        # Half a group would be wrong in every figure that reads a position.
        findings.append(_left_out(group, int(folded.columns.seq[error.event])))
        return None
    return folded


def _share_blanks(folded: GroupLedger) -> None:
    share_columns(folded.columns)
    share_outputs(folded.books.outputs)
    if folded.venue is not folded.books:
        share_outputs(folded.venue.outputs)


def _assembled(
    resolved: Resolved,
    groups: list[GroupLedger],
    findings: list[Finding],
    method: FoldMethod,
    book_id: str,
    seq: int,
    head: str,
) -> Ledger:
    return Ledger(
        book_id=book_id,
        seq=seq,
        head=head,
        method=method,
        groups=groups,
        findings=findings,
        coverage=resolved.coverage,
        orders=resolved.orders,
        n_evidence=resolved.n_evidence,
    )


def _left_out(group: Group, seq: int) -> Finding:
    key = group.key
    return Finding(
        code="number-does-not-fit",
        severity="error",
        message=f"a number of {key.instrument}, or a sum of them, does not fit the ledger; the "
        "instrument is left out",
        next_step="check the row behind the claim named here",
        venue=key.venue,
        account=key.account,
        instrument=key.instrument,
        seqs=(seq,),
        touches=("realized", "net", "made_money"),
    )
