"""Realised PnL fill by fill against what the venue prints with each fill.

The sum of a group is judged as `analysis.reconcile` does; besides, every instant is judged by
itself, so that one wrong row cannot hide behind a large sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
import numpy as np

from fillbook.analysis.reconcile.answer import Check
from fillbook.analysis.reconcile.findings import PER_ROW, SHARE, VenueRows, compare_rows
from fillbook.analysis.reconcile.nearby import Rows, near_fills
from fillbook.ground.clock import iso
from fillbook.ground.exact import money_text
from fillbook.ledger.group import GroupLedger
from fillbook.resolve.event import GroupKey

_WHY = "venues round: 0.1 % and 0.0105 a fill, and a millionth of what was closed"
_NOTIONAL_SHARE = 10**6
_MOST_IDS = 20


def check_realised(
    groups: Mapping[GroupKey, GroupLedger],
    keys: Iterable[GroupKey],
    since_ns: int,
    until_ns: int,
) -> list[Check]:
    """Compare the fills of the chosen groups in [since, until) with the venue's own figures."""
    return [_check(groups[key], since_ns, until_ns) for key in keys if key in groups]


def _check(group: GroupLedger, since_ns: int, until_ns: int) -> Check:
    key, columns = group.columns.key, group.columns
    check = Check(
        check="realised",
        state="not checked",
        venue=key.venue,
        account=key.account,
        instrument=key.instrument,
        position_side=key.position_side,
        missing="its fills carry no realised PnL of the venue",
    )
    first, last = group.rows_in(since_ns, until_ns)
    told = compare_rows(group, first, last)
    if told is None:
        return check
    rows, ours, theirs = told.rows, sum(told.ours) - told.base_fees, sum(told.theirs)
    off = _off(group, told)
    gap = ours - theirs
    allowed = abs(theirs) // SHARE + PER_ROW * len(rows)
    differs = abs(gap) > allowed or bool(len(off))
    shown = off if len(off) else rows
    fill_ids = (columns.fill_id[row] for row in shown[:_MOST_IDS].tolist())
    return msgspec.structs.replace(
        check,
        state="differs" if differs else "agrees",
        missing="",
        ours=money_text(ours),
        theirs=money_text(theirs),
        difference=money_text(gap),
        unit=columns.contract.settle,
        tolerance=money_text(allowed),
        why_tolerance=_WHY,
        at=iso(int(columns.ts_ns[rows[-1]])),
        n=len(rows),
        what=f"realised PnL of {len(rows)} fills, each against the venue's own figure"
        + (f"; {len(off)} of them are off by more than rounding" if len(off) else ""),
        next_step="a fill before them is missing or wrong: import an export of that time"
        if differs
        else "",
        ids=tuple(each for each in fill_ids if each) if differs else (),
        fills=near_fills(group, shown) if differs else (),
    )


def _off(group: GroupLedger, told: VenueRows) -> Rows:
    """Return the rows of instants whose figures differ by more than rounding explains.

    Inside an instant a venue may have another order of its fills than the book. Spot is judged by
    its sum alone: the fee in coins is spread over what they are sold for.
    """
    if group.columns.contract.contract == "spot":
        return np.zeros(0, dtype=np.int64)
    rows, ours, theirs = told.rows, told.ours, told.theirs
    columns, closed = group.columns, group.venue.outputs.closed_qty
    terms = columns.terms
    instants: dict[int, list[int]] = {}
    for place, row in enumerate(rows.tolist()):
        instants.setdefault(int(columns.ts_ns[row]), []).append(place)
    found: list[int] = []
    for places in instants.values():
        gap = sum(ours[place] - theirs[place] for place in places)
        allowed = sum(abs(theirs[place]) for place in places) // SHARE + PER_ROW * len(places)
        if abs(gap) <= allowed:
            continue
        for place in places:
            row = int(rows[place])
            worth = abs(int(closed[row]) * int(columns.events.px[row, 3]) * terms.factor)
            allowed += worth // terms.divisor // _NOTIONAL_SHARE
        if abs(gap) > allowed:
            found += [int(rows[place]) for place in places]
    return np.array(found, dtype=np.int64)
