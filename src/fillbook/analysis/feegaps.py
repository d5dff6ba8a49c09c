"""Fees nobody named and fees nobody can value: each is said, with what it leaves unknown."""

from __future__ import annotations

import numpy as np

from fillbook.analysis.valuation import Valuer
from fillbook.facts.finding import Finding
from fillbook.ledger import layout
from fillbook.ledger.group import GroupLedger

_MOST_SEQS = 20


def fee_findings(group: GroupLedger, valuer: Valuer) -> list[Finding]:
    """Return a finding for fills without a fee, and one per asset without a rate at the time."""
    return [*_unknown(group), *_unpriced(group, valuer)]


def _unknown(group: GroupLedger) -> list[Finding]:
    events = group.columns.events
    without = (events.kind == layout.FILL) & ((events.flags & layout.FEE_UNKNOWN) != 0)
    rows = np.flatnonzero(without).tolist()
    if not rows:
        return []
    return [
        _finding(
            group,
            rows,
            code="fee-unknown",
            message=f"{len(rows)} fills of {group.columns.key.instrument} name no fee: wins and "
            "losses are judged before fees, and net is unknown",
            next_step="import a source with fees for the same period",
        )
    ]


def _unpriced(group: GroupLedger, valuer: Valuer) -> list[Finding]:
    columns = group.columns
    if not columns.assets:
        return []
    by_asset: dict[str, list[int]] = {}
    for row in np.flatnonzero(~valuer.foreign_money(columns).known).tolist():
        by_asset.setdefault(columns.assets[int(columns.foreign[row])], []).append(row)
    return [
        _finding(
            group,
            rows,
            code="fee-unpriced",
            message=f"{len(rows)} payments of {columns.key.instrument} are in {asset}, and no "
            f"rate {asset}/{columns.contract.settle} is known at their time: net is unknown",
            next_step=f"import marks of {asset}/{columns.contract.settle}",
        )
        for asset, rows in sorted(by_asset.items())
    ]


def _finding(
    group: GroupLedger, rows: list[int], *, code: str, message: str, next_step: str
) -> Finding:
    key = group.columns.key
    return Finding(
        code=code,
        severity="warning",
        message=message,
        next_step=next_step,
        venue=key.venue,
        account=key.account,
        instrument=key.instrument,
        ts_ns=int(group.columns.ts_ns[rows[0]]),
        seqs=tuple(group.columns.seq[rows[:_MOST_SEQS]].tolist()),
        touches=("fees", "net"),
    )
