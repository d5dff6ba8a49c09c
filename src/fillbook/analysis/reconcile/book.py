"""Reconciliation: every check of the book against what its venues state, in one answer.

    stated = Stated(journal.claims(kinds=KINDS))
    reconcile(view, stated, Query())

Sub-books and strategies are ours alone: what is compared is the venue's book of each position.
"""

from __future__ import annotations

import msgspec
import numpy as np

from fillbook.analysis.reconcile.answer import NAMES, Check, CheckName, CheckState, Reconciliation
from fillbook.analysis.reconcile.charges import check_rows
from fillbook.analysis.reconcile.orders import check_orders
from fillbook.analysis.reconcile.positions import check_chains, check_positions
from fillbook.analysis.reconcile.realised import check_realised
from fillbook.analysis.reconcile.stated import Stated
from fillbook.analysis.reconcile.worth import check_equity
from fillbook.analysis.view import BookView, Query
from fillbook.facts.finding import Finding, Severity
from fillbook.ground.clock import parse_ns
from fillbook.ledger import layout
from fillbook.ledger.group import GroupLedger
from fillbook.resolve.assignment import leg_in
from fillbook.resolve.event import GroupKey

_MONEY = ("realized", "net", "made_money")


class _Kind(msgspec.Struct, frozen=True, kw_only=True):
    """What a lasting difference of one check is found as."""

    code: str
    severity: Severity = "warning"
    touches: tuple[str, ...] = ()


# The checks that are missing here are findings of the fold already. A balance touches nothing.
_FOUND: dict[CheckName, _Kind] = {
    "position": _Kind(code="position-disagrees", severity="error", touches=_MONEY),
    "commission": _Kind(code="commission-disagrees", touches=("fees", "net")),
    "income result": _Kind(code="result-disagrees", touches=("realized", "net")),
    "filled size": _Kind(code="order-size-disagrees", severity="error", touches=_MONEY),
    # A count alone moves no money: what is missing shows in the size as well.
    "fill count": _Kind(code="fill-count-disagrees"),
    "equity": _Kind(code="equity-disagrees"),
}
DIFFERENCES = frozenset({"venue-disagrees", *(kind.code for kind in _FOUND.values())})
"""The codes of everything that differs from what a venue states."""

_ORDER: dict[CheckState, int] = {"differs": 0, "not checked": 1, "agrees": 2}
_END_NS = (1 << 63) - 1


def reconcile(view: BookView, stated: Stated, query: Query) -> Reconciliation:
    """Make every check for the accounts and instruments a query selects, in its window."""
    since_ns, until_ns = query.since_ns or 0, query.until_ns or _END_NS
    groups = {
        group.columns.key: group
        for group in view.ledger.groups
        if _is_chosen(group.columns.key, query) and not _is_recorded(group)
    }
    traded = {key: group for key, group in groups.items() if _has_fills(group)}
    told = [key for key in stated.positions(until_ns) if _is_chosen(key, query)]
    keys = sorted({*traded, *told})
    accounts = sorted({(key.venue, key.account) for key in (*keys, *groups)})
    ledger, window = view.ledger, (since_ns, until_ns)
    checks = [
        *check_positions(ledger, groups, keys, stated, until_ns),
        *check_chains(ledger, traded, keys, stated, until_ns),
        *check_realised(traded, sorted(traded), since_ns, until_ns),
        *check_rows(ledger, traded, accounts, stated, query.instruments, *window),
        *check_orders(ledger, traded, accounts, stated, query.instruments, *window),
    ]
    if not query.instruments:
        checks += check_equity(view, groups, accounts, stated, *window)
    return _assembled(view, checks)


def _assembled(view: BookView, checks: list[Check]) -> Reconciliation:
    def rank(each: Check) -> tuple[object, ...]:
        place = (each.venue, each.account, each.instrument or "", each.position_side or "")
        return (_ORDER[each.state], NAMES.index(each.check), *place, each.at or "")

    rows = tuple(sorted(checks, key=rank))
    states = [each.state for each in rows]
    return Reconciliation(
        seq=view.seq,
        head=view.head,
        n_agree=states.count("agrees"),
        n_differ=states.count("differs"),
        n_unchecked=states.count("not checked"),
        rows=rows,
    )


def finding_of(check: Check) -> Finding | None:
    """Turn a difference into a finding; None where it agrees, or the fold found it already."""
    kind = _FOUND.get(check.check)
    if check.state != "differs" or kind is None:
        return None
    side = "" if check.position_side in (None, "net") else f" {check.position_side}"
    place = f"{check.instrument}{side}" if check.instrument else "the account"
    return Finding(
        code=kind.code,
        severity=kind.severity,
        message=f"{place}: {check.what}: {check.ours} against {check.theirs} {check.unit}",
        next_step=check.next_step,
        venue=check.venue,
        account=check.account,
        instrument=check.instrument,
        ts_ns=parse_ns(check.at) if check.at else None,
        amount=check.difference,
        currency=check.unit,
        seqs=tuple(each.seq for each in check.fills),
        touches=kind.touches,
    )


def _is_chosen(key: GroupKey, query: Query) -> bool:
    if query.accounts and key.account not in query.accounts:
        return False
    return not query.instruments or key.instrument in query.instruments


def _has_fills(group: GroupLedger) -> bool:
    return bool(group.columns.traded_qty.any())


def _is_recorded(group: GroupLedger) -> bool:
    """Say whether a group holds nothing but round trips that a file recorded as such."""
    columns = group.columns
    flat = [number for number, name in enumerate(columns.books) if leg_in(name) is None]
    fills = columns.events.book[columns.events.kind == layout.FILL]
    return bool(len(fills)) and not np.isin(fills, flat).any()
