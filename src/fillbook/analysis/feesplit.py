"""What each account paid and got back in each asset: the sums behind counters.

Fees and rebates are kept apart, so each of them only grows as fills and charges come in.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from fillbook.analysis.view import BookView, Part, Query, parts_of
from fillbook.ledger import layout
from fillbook.ledger.amounts import Wide, total

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
    for part in parts_of(view, Query()):
        _add_settled(part, sums)
        _add_foreign(part, sums)
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


def _add_settled(part: Part, sums: dict[tuple[str, str], _Sums]) -> None:
    """Add what was paid in the settlement currency."""
    columns = part.group.columns
    each = sums.setdefault((columns.key.account, columns.contract.settle), _Sums())
    paid, got = _by_sign(columns.events.fee)
    each.fees += paid
    each.rebates += got
    received, given = _by_sign(part.group.books.outputs.funding[: len(columns)])
    each.received += received
    each.paid += given
    unknown = (columns.events.flags & layout.FEE_UNKNOWN) != 0
    each.n_fee_unknown += int((unknown & (columns.events.kind == layout.FILL)).sum())


def _add_foreign(part: Part, sums: dict[tuple[str, str], _Sums]) -> None:
    """Add what was paid in other assets, each in its own."""
    columns = part.group.columns
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
