"""The fills around a difference, and how far the fills of a group are complete."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from fillbook.analysis.reconcile.answer import NearFill
from fillbook.facts.model import Component
from fillbook.ground.clock import MINUTE_NS, iso
from fillbook.ground.exact import scaled_text
from fillbook.ledger import layout
from fillbook.ledger.group import GroupLedger
from fillbook.resolve.event import GroupKey, SourceCoverage
from fillbook.resolve.statements import Interval, united

# Late rows are normal for so long: until then their absence proves nothing.
SETTLE_NS = 10 * MINUTE_NS
MOST_FILLS = 8
Rows = npt.NDArray[np.int64]


def fill_rows(group: GroupLedger, since_ns: int, until_ns: int) -> Rows:
    """Return the rows of fills in [since, until)."""
    first, last = group.rows_in(since_ns, until_ns)
    kinds = group.columns.events.kind[first:last]
    return np.flatnonzero(kinds == layout.FILL) + first


def fills_around(group: GroupLedger, since_ns: int, until_ns: int) -> tuple[NearFill, ...]:
    """Return the fills in [since, until], with the one before and the one after."""
    rows = np.flatnonzero(group.columns.events.kind == layout.FILL)
    ts_ns = group.columns.ts_ns[rows]
    start = max(0, int(np.searchsorted(ts_ns, since_ns, "left")) - 1)
    stop = int(np.searchsorted(ts_ns, until_ns, "right")) + 1
    return near_fills(group, rows[start:stop])


def near_fills(group: GroupLedger, rows: Rows | Sequence[int]) -> tuple[NearFill, ...]:
    """Describe fills of a group, at most so many of each end."""
    picked = list(rows)
    if len(picked) > MOST_FILLS:
        picked = picked[: MOST_FILLS // 2] + picked[-(MOST_FILLS // 2) :]
    columns, told = group.columns, {}
    for row in map(int, picked):
        seq = int(columns.seq[row])
        told[seq] = NearFill(
            seq=seq,
            fill_id=columns.fill_id[row],
            ts=iso(int(columns.ts_ns[row])),
            side="buy" if int(columns.events.qty[row]) > 0 else "sell",
            qty=scaled_text(int(columns.traded_qty[row]), columns.terms.qty_scale),
            px=scaled_text(int(columns.price[row]), columns.terms.price_scale),
        )
    return tuple(told.values())


def covered(
    coverage: Iterable[SourceCoverage], key: GroupKey, component: Component
) -> list[Interval]:
    """Return the intervals in which some source promises a component of a group, in order."""
    return united(
        (each.coverage.from_ns, each.coverage.until_ns)
        for each in coverage
        if (each.venue, each.account) == (key.venue, key.account)
        and each.coverage.component == component
        and each.coverage.instrument in (None, key.instrument)
    )


def holds(intervals: Sequence[Interval], since_ns: int, until_ns: int) -> bool:
    """Say whether one of the intervals holds all of [since, until)."""
    return any(start <= since_ns and until_ns <= stop for start, stop in intervals)


def shared(histories: Iterable[Sequence[Interval]]) -> list[Interval]:
    """Return the stretches that every history holds; each is in order and united.

    >>> shared([[(0, 10), (20, 30)], [(5, 25)]])
    [(5, 10), (20, 25)]
    """
    first, *others = histories
    both = list(first)
    for other in others:
        both = list(_shared_by(both, other))
    return both


def _shared_by(some: Sequence[Interval], others: Sequence[Interval]) -> Iterator[Interval]:
    here = there = 0
    while here < len(some) and there < len(others):
        (start, stop), (since, until) = some[here], others[there]
        if max(start, since) < min(stop, until):
            yield max(start, since), min(stop, until)
        if stop < until:
            here += 1
        else:
            there += 1


def unit_of(group: GroupLedger) -> str:
    """Name what a quantity of the group counts: coins, or contracts."""
    contract = group.columns.contract
    is_coins = contract.contract != "inverse" and contract.multiplier == 1
    return contract.base if is_coins else "contracts"
