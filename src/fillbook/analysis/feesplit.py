"""What each account paid and got back in each asset: the sums behind counters.

Fees and rebates are kept apart, so each of them only grows as fills and charges come in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from fillbook.analysis.view import BookView
from fillbook.ledger import layout
from fillbook.ledger.amounts import Wide, total
from fillbook.ledger.columns import GroupColumns

_COSTS = (layout.FILL, layout.FEE)
_FUNDINGS = (layout.FUNDING, layout.FUNDING_SHARE)


class FeeSplit(msgspec.Struct, frozen=True, kw_only=True):
    """Money of one account in one asset over the whole book, in grid units, all positive.

    `fees` are fees and other charges paid, `rebates` what the venue gave back. `n_fee_unknown`
    counts fills whose fee no source names; they add nothing to either.
    """

    account: str
    asset: str
    fees: int
    rebates: int
    funding_received: int
    funding_paid: int
    n_fee_unknown: int


@dataclass
class _Sums:
    fees: int = 0
    rebates: int = 0
    received: int = 0
    paid: int = 0
    n_fee_unknown: int = 0


def fee_splits(view: BookView) -> list[FeeSplit]:
    """Split the whole book, by account and asset in that order."""
    sums: dict[tuple[str, str], _Sums] = {}
    settled: dict[tuple[str, str], list[GroupColumns]] = {}
    funded: dict[tuple[str, str], list[Wide]] = {}
    for group in view.ledger.groups:
        columns = group.columns
        place = columns.key.account, columns.contract.settle
        settled.setdefault(place, []).append(columns)
        funded.setdefault(place, []).append(group.books.outputs.funding[: len(columns)])
    for place, many in settled.items():
        _add_settled(sums.setdefault(place, _Sums()), many, funded[place])
    for group in view.ledger.groups:
        _add_foreign(group.columns, sums)
    return [
        FeeSplit(
            account=account,
            asset=asset,
            fees=each.fees,
            rebates=each.rebates,
            funding_received=each.received,
            funding_paid=each.paid,
            n_fee_unknown=each.n_fee_unknown,
        )
        for (account, asset), each in sorted(sums.items())
    ]


def _add_settled(each: _Sums, many: Sequence[GroupColumns], funded: Sequence[Wide]) -> None:
    """Add what many groups of one account paid in their settlement currency."""
    each.fees, each.rebates = _by_sign(np.concatenate([c.events.fee for c in many]))
    each.received, each.paid = _by_sign(np.concatenate(funded))
    unknown = (np.concatenate([c.events.flags for c in many]) & layout.FEE_UNKNOWN) != 0
    is_fill = np.concatenate([c.events.kind for c in many]) == layout.FILL
    each.n_fee_unknown = int((unknown & is_fill).sum())


def _add_foreign(columns: GroupColumns, sums: dict[tuple[str, str], _Sums]) -> None:
    """Add what was paid in other assets, each in its own."""
    for number, asset in enumerate(columns.assets):
        mine = columns.foreign == number
        if not mine.any():
            continue
        each = sums.setdefault((columns.key.account, asset), _Sums())
        paid, got = _by_sign(columns.foreign_amount[mine & np.isin(columns.events.kind, _COSTS)])
        each.fees += paid
        each.rebates += got
        # Foreign funding is kept as a cost: what is paid is positive.
        is_funding = np.isin(columns.events.kind, _FUNDINGS)
        given, received = _by_sign(columns.foreign_amount[mine & is_funding])
        each.received += received
        each.paid += given


def _by_sign(column: Wide) -> tuple[int, int]:
    """Return the sum of the positive amounts and that of the negative ones, both positive."""
    negative = column[:, 0] < 0
    return (
        total(np.ascontiguousarray(column[~negative])),
        -total(np.ascontiguousarray(column[negative])),
    )
