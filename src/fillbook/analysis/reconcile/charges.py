"""Money that a venue tells twice, in a row of its own and with a fill: both must be the same.

A row without its fill, or a fill without its row, shows what one of the two histories has lost.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec
import numpy as np

from fillbook.analysis.reconcile.answer import Check, CheckName, NearFill
from fillbook.analysis.reconcile.nearby import (
    SETTLE_NS,
    covered,
    fill_rows,
    fills_around,
    near_fills,
)
from fillbook.analysis.reconcile.stated import Account, Stated
from fillbook.facts.model import Charge
from fillbook.ground.clock import iso
from fillbook.ground.exact import money_text, to_money
from fillbook.ledger.amounts import to_ints
from fillbook.ledger.columns import VENUE_PNL
from fillbook.ledger.group import GroupLedger
from fillbook.ledger.ledger import Ledger
from fillbook.resolve.event import GroupKey
from fillbook.resolve.statements import Interval

COMMISSION = "commission"
RESULT = "realized pnl"
_CHECKS: tuple[tuple[CheckName, str, str], ...] = (
    ("commission", COMMISSION, "fees of fills against the venue's COMMISSION rows"),
    ("income result", RESULT, "results of fills against the venue's REALIZED_PNL rows"),
)
_MOST_IDS = 20
_END_NS = (1 << 63) - 1
Asset = str


class _Side:
    """What one side tells of each fill: its money, and when."""

    def __init__(self) -> None:
        self.money: dict[str, int] = defaultdict(int)
        self.at_ns: dict[str, int] = {}

    def add(self, fill_id: str, money: int, at_ns: int) -> None:
        self.money[fill_id] += money
        self.at_ns[fill_id] = at_ns


def check_rows(
    ledger: Ledger,
    groups: Mapping[GroupKey, GroupLedger],
    accounts: Iterable[Account],
    stated: Stated,
    instruments: Collection[str],
    since_ns: int,
    until_ns: int,
) -> list[Check]:
    """Compare the venue's rows with the fills they repeat, per instrument and asset.

    `groups` are those of `instruments`; without any, of all.
    """
    checks = []
    for account in accounts:
        for name, what, told in _CHECKS:
            charges = stated.charges(account, what)
            mine = {k: g for k, g in groups.items() if (k.venue, k.account) == account}
            if not any(since_ns <= charge.ts_ns < until_ns for charge in charges):
                missing = f"the venue tells no {what} in rows of its own, or none was pulled"
                checks.append(
                    Check(
                        check=name,
                        state="not checked",
                        venue=account[0],
                        account=account[1],
                        missing=missing,
                    )
                )
                continue
            found = _compared(ledger, mine, stated, name, charges, (since_ns, until_ns))
            checks += [
                msgspec.structs.replace(each, what=told)
                for each in found
                if not instruments or each.instrument in instruments
            ]
    return checks


def _compared(
    ledger: Ledger,
    groups: Mapping[GroupKey, GroupLedger],
    stated: Stated,
    name: CheckName,
    charges: Sequence[Charge],
    window: Interval,
) -> list[Check]:
    theirs: dict[tuple[str, Asset], _Side] = defaultdict(_Side)
    for charge in charges:
        if charge.instrument is not None and charge.fill_id is not None:
            place = (stated.names.name_of(charge.venue, charge.instrument), charge.asset)
            money = to_money(charge.amount) * (-1 if name == "income result" else 1)
            theirs[place].add(charge.fill_id, money, charge.ts_ns)
    ours: dict[tuple[str, Asset], _Side] = defaultdict(_Side)
    for key, group in groups.items():
        for asset, fill_id, money, at_ns in _told_by_fills(group, name):
            ours[key.instrument, asset].add(fill_id, money, at_ns)
    account = GroupKey(charges[0].venue, charges[0].account, "")
    checks = []
    for place in sorted({*ours, *theirs}):
        key = msgspec.structs.replace(account, instrument=place[0])
        both = [g for k, g in groups.items() if k.instrument == place[0]]
        sides = _inside(window, ours[place], theirs[place])
        if any(side.money for side in sides):
            checks.append(_check(key, place[1], name, *sides, both, _proven(ledger, key)))
    return checks


def _inside(window: Interval, ours: _Side, theirs: _Side) -> tuple[_Side, _Side]:
    """Return what both sides tell of the fills in a window: a row may be of a later moment than
    its fill, and one without the other proves nothing at the edges."""
    since_ns, until_ns = window
    at_ns = {**theirs.at_ns, **ours.at_ns}
    sides = _Side(), _Side()
    for side, whole in zip(sides, (ours, theirs), strict=True):
        for fill_id, money in whole.money.items():
            if since_ns <= at_ns[fill_id] < until_ns:
                side.add(fill_id, money, whole.at_ns[fill_id])
    return sides


def _told_by_fills(group: GroupLedger, name: CheckName) -> Iterable[tuple[Asset, str, int, int]]:
    columns = group.columns
    rows = fill_rows(group, 0, _END_NS)
    settle = columns.contract.settle
    if name == "income result":
        rows = rows[(columns.traits[rows] & VENUE_PNL) != 0]
        money = to_ints(np.ascontiguousarray(columns.venue_pnl[rows]))
    else:
        money = to_ints(np.ascontiguousarray(columns.events.fee[rows]))
    for row, amount in zip(rows.tolist(), money, strict=True):
        fill_id, at_ns, foreign = columns.fill_id[row], int(columns.ts_ns[row]), settle
        if name == "commission" and columns.foreign[row] >= 0:
            foreign = columns.assets[int(columns.foreign[row])]
            (amount,) = to_ints(columns.foreign_amount[row : row + 1])
        if fill_id is not None and amount:
            yield foreign, fill_id, amount, at_ns


def _proven(ledger: Ledger, key: GroupKey) -> list[Interval]:
    """Return where both histories are complete, less the last minutes: rows may appear late."""
    fills = covered(ledger.coverage, key, "fills")
    rows = covered(ledger.coverage, key, "charges")
    found = []
    for start_ns, stop_ns in fills:
        for since_ns, until_ns in rows:
            one = (max(start_ns, since_ns), min(stop_ns, until_ns) - SETTLE_NS)
            if one[0] < one[1]:
                found.append(one)
    return found


def _check(
    key: GroupKey,
    asset: Asset,
    name: CheckName,
    ours: _Side,
    theirs: _Side,
    groups: Sequence[GroupLedger],
    proven: Sequence[Interval],
) -> Check:
    compared, off = [], []
    for fill_id in {**ours.money, **theirs.money}:
        at_ns = theirs.at_ns.get(fill_id, ours.at_ns.get(fill_id, 0))
        is_both = fill_id in ours.money and fill_id in theirs.money
        if is_both or any(start <= at_ns < stop for start, stop in proven):
            compared.append(fill_id)
            if ours.money.get(fill_id, 0) != theirs.money.get(fill_id, 0):
                off.append(fill_id)
    mine = sum(ours.money.get(each, 0) for each in compared)
    venue = sum(theirs.money.get(each, 0) for each in compared)
    at_ns = max((side.at_ns[each] for side in (ours, theirs) for each in side.at_ns), default=0)
    base = Check(
        check=name,
        state="not checked",
        venue=key.venue,
        account=key.account,
        instrument=key.instrument,
        missing="no stretch of time is complete in both histories yet",
    )
    if not compared:
        return base
    fills = [near for fill_id in off[:4] for near in _near(groups, fill_id, ours, theirs)]
    return msgspec.structs.replace(
        base,
        state="differs" if off else "agrees",
        missing="",
        ours=money_text(mine),
        theirs=money_text(venue),
        difference=money_text(mine - venue),
        unit=asset,
        tolerance="0",
        why_tolerance="the venue prints the same money twice",
        at=iso(at_ns),
        n=len(compared),
        next_step=_next_step(off, ours, theirs),
        ids=tuple(off[:_MOST_IDS]),
        fills=tuple({each.seq: each for each in fills}.values()),
    )


def _near(
    groups: Sequence[GroupLedger], fill_id: str, ours: _Side, theirs: _Side
) -> Iterable[NearFill]:
    """Return the fill itself, or the fills around the instant of a row without one."""
    for group in groups:
        rows = [row for row, each in enumerate(group.columns.fill_id) if each == fill_id]
        if rows:
            yield from near_fills(group, rows)
        elif fill_id not in ours.money:
            yield from fills_around(group, theirs.at_ns[fill_id], theirs.at_ns[fill_id])


def _next_step(off: Sequence[str], ours: _Side, theirs: _Side) -> str:
    if not off:
        return ""
    lost = sum(each not in ours.money for each in off)
    bare = sum(each not in theirs.money for each in off)
    told = []
    if lost:
        told.append(f"{lost} fills that the venue charged are missing here: import an export")
    if bare:
        told.append(f"{bare} fills have no row of the venue: export its income history")
    if len(off) > lost + bare:
        told.append(
            f"{len(off) - lost - bare} fills and their rows name different money: compare them "
            "with the venue's page"
        )
    return "; ".join(told)
