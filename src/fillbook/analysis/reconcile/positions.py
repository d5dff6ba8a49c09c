"""Positions by fills against what the venue states, and the chain of positions before fills.

A statement speaks of its own instant: fills after it do not count, and fills of that very instant
may or may not be in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec
import numpy as np

from fillbook.analysis.reconcile.answer import Check
from fillbook.analysis.reconcile.nearby import SETTLE_NS, covered, fills_around, near_fills, unit_of
from fillbook.analysis.reconcile.stated import Stated
from fillbook.facts.finding import Finding
from fillbook.facts.model import Report
from fillbook.ground.clock import iso
from fillbook.ground.exact import from_scaled, plain_text
from fillbook.ledger import layout
from fillbook.ledger.group import GroupLedger
from fillbook.ledger.ledger import Ledger
from fillbook.resolve.event import GroupKey


def positions_at(group: GroupLedger, at_ns: int, printed_ns: int = 1) -> list[Decimal]:
    """Return the position by fills at an instant: one value, more where it moved inside it."""
    columns = group.columns
    first = int(np.searchsorted(columns.ts_ns, at_ns, "left"))
    last = int(np.searchsorted(columns.ts_ns, at_ns + printed_ns, "left"))
    held = group.venue.outputs.position_after
    found = [int(held[row]) for row in range(first - 1, last) if row >= 0]
    if first == 0:
        # Before the first event stood what its opening lot says, or nothing.
        is_opening = len(columns) and int(columns.events.flags[0]) & layout.OPENING
        found.insert(0, int(columns.events.qty[0]) if is_opening else 0)
    return [from_scaled(each, columns.terms.qty_scale) for each in dict.fromkeys(found)]


def gap_at(group: GroupLedger | None, report: Report, moved: Decimal = Decimal(0)) -> Decimal:
    """Return the position by fills less the venue's: 0 where they agree within a lot of spot.

    `moved` is what deposits and withdrawals brought besides.
    """
    stated = report.qty or Decimal(0)
    if group is None:
        return -stated
    ours = positions_at(group, report.ts_ns, report.printed_ns)
    gaps = [each + moved - stated for each in ours]
    least = min(gaps, key=abs)
    return Decimal(0) if abs(least) <= tolerance_of(group) else least


def tolerance_of(group: GroupLedger) -> Decimal:
    """Return what a position may be off: nothing for contracts, dust for coins."""
    if group.columns.contract.contract != "spot":
        return Decimal(0)
    return from_scaled(group.columns.terms.dust, group.columns.terms.qty_scale)


def check_positions(
    ledger: Ledger,
    groups: Mapping[GroupKey, GroupLedger],
    keys: Iterable[GroupKey],
    stated: Stated,
    until_ns: int,
) -> list[Check]:
    """Compare every position of the chosen groups with the newest statement before `until_ns`."""
    told = stated.positions(until_ns)
    checks = []
    for key in keys:
        reports = told.get(key, [])
        if reports:
            checks.append(_check_position(ledger, groups.get(key), key, reports, stated))
        else:
            checks.append(_unchecked("position", key, _unstated(groups.get(key))))
    return checks


def _unstated(group: GroupLedger | None) -> str:
    if group is not None and group.columns.contract.contract == "spot":
        return "the venue states no position of a market in coins"
    return "the venue has stated no position; attach the account live"


def _check_position(
    ledger: Ledger,
    group: GroupLedger | None,
    key: GroupKey,
    reports: Sequence[Report],
    stated: Stated,
) -> Check:
    """Judge the newest statement; while late fills may explain it, the newest that is settled."""

    def compared(report: Report, before: Sequence[Report]) -> Check:
        gap = gap_at(group, report, moved_by(report.ts_ns, group, key, stated))
        agreed_ns = _agreed_ns(group, key, before, stated) if gap else 0
        return position_check(group, key, report, gap, agreed_ns, reports[0].ts_ns)

    reached_ns = max((stop for _, stop in covered(ledger.coverage, key, "fills")), default=0)
    check = compared(reports[-1], reports[:-1])
    if check.state == "differs" and reached_ns < reports[-1].ts_ns + SETTLE_NS:
        settled = [each for each in reports if each.ts_ns + SETTLE_NS <= reached_ns]
        earlier = compared(settled[-1], settled[:-1]) if settled else check
        if settled and earlier.state == "differs":
            check = earlier
        else:
            missing = _not_yet(reached_ns, reports[-1])
            check = msgspec.structs.replace(
                check, state="not checked", missing=missing, next_step="", fills=()
            )
    return msgspec.structs.replace(check, n=len(reports))


def position_check(
    group: GroupLedger | None,
    key: GroupKey,
    report: Report,
    gap: Decimal,
    agreed_ns: int,
    first_ns: int,
) -> Check:
    """Describe how a position compares with a statement.

    `agreed_ns` is when both agreed for the last time before it, 0 for never since `first_ns`.
    """
    theirs = report.qty or Decimal(0)
    is_spot = group is not None and group.columns.contract.contract == "spot"
    return Check(
        check="position",
        state="differs" if gap else "agrees",
        venue=key.venue,
        account=key.account,
        instrument=key.instrument,
        position_side=key.position_side,
        ours=plain_text(theirs + gap),
        theirs=plain_text(theirs),
        difference=plain_text(gap),
        unit=unit_of(group) if group is not None else key.instrument,
        tolerance="0" if group is None else plain_text(tolerance_of(group)),
        why_tolerance="less than a lot of coins is dust" if is_spot else "contracts are exact",
        at=iso(report.ts_ns),
        n=1,
        what="position by fills against the venue's statement of that instant",
        next_step=_next_step(agreed_ns, first_ns) if gap else "",
        fills=fills_around(group, agreed_ns, report.ts_ns) if gap and group is not None else (),
    )


def moved_by(at_ns: int, group: GroupLedger | None, key: GroupKey, stated: Stated) -> Decimal:
    """Return the coins of a spot instrument that transfers brought up to an instant."""
    if group is None or group.columns.contract.contract != "spot":
        return Decimal(0)
    base = group.columns.contract.base
    told = stated.transfers((key.venue, key.account))
    moved = [each.amount for each in told if each.asset == base and each.ts_ns <= at_ns]
    return sum(moved, Decimal(0))


def _agreed_ns(
    group: GroupLedger | None, key: GroupKey, reports: Sequence[Report], stated: Stated
) -> int:
    """Return when one of these statements agreed for the last time, 0 for never."""
    for report in reversed(reports):
        if not gap_at(group, report, moved_by(report.ts_ns, group, key, stated)):
            return report.ts_ns
    return 0


def _next_step(agreed_ns: int, first_ns: int) -> str:
    if agreed_ns:
        when = f"fills since {iso(agreed_ns)}, when both agreed, are missing or wrong here"
    else:
        when = f"it is there since the first statement, {iso(first_ns)}: earlier fills are missing"
    return f"{when}; import an export of that time"


def _not_yet(reached_ns: int, report: Report) -> str:
    """Say why a difference proves nothing yet."""
    if not reached_ns:
        return "no source says that the fills of this position are complete"
    return (
        f"the fills are complete until {iso(reached_ns)}, the venue spoke at {iso(report.ts_ns)}, "
        "and fills may appear minutes late"
    )


def check_chains(
    ledger: Ledger,
    groups: Mapping[GroupKey, GroupLedger],
    keys: Iterable[GroupKey],
    stated: Stated,
    until_ns: int,
) -> list[Check]:
    """Say of every group whether its fills start where the ones before them ended."""
    breaks: dict[GroupKey, list[Finding]] = {}
    for found in ledger.findings:
        if found.code == "anchor-break" and (found.ts_ns or 0) < until_ns:
            for key in groups:
                if _is_about(found, key, groups[key]):
                    breaks.setdefault(key, []).append(found)
    checks = []
    for key in keys:
        group = groups.get(key)
        if group is None:
            continue
        n = stated.chained(key)
        if n:
            checks += _chain(group, n, breaks.get(key, []))
        else:
            missing = "its fills do not say what position stood before them"
            checks.append(_unchecked("start position", key, missing))
    return checks


def _is_about(found: Finding, key: GroupKey, group: GroupLedger) -> bool:
    place = (found.venue, found.account, found.instrument)
    if place != (key.venue, key.account, key.instrument):
        return False
    return bool(np.isin(found.seqs, group.columns.seq).any())


def _chain(group: GroupLedger, n: int, breaks: Sequence[Finding]) -> list[Check]:
    key = group.columns.key
    whole = Check(
        check="start position",
        state="agrees",
        venue=key.venue,
        account=key.account,
        instrument=key.instrument,
        position_side=key.position_side,
        difference="0",
        unit=unit_of(group),
        tolerance="half a digit",
        why_tolerance="the last digit the venue prints may be rounded",
        n=n,
        what="each fill starts where the one before it ended",
    )
    return [_break(group, found, whole) for found in breaks] or [whole]


def _break(group: GroupLedger, found: Finding, whole: Check) -> Check:
    rows = [int(row) for seq in found.seqs for row in np.flatnonzero(group.columns.seq == seq)]
    held, scale = group.venue.outputs.position_after, group.columns.terms.qty_scale
    ours = from_scaled(int(held[rows[0] - 1]) if rows[0] else 0, scale)
    gap = Decimal(found.amount or 0)
    near = [row for row in (_fill_before(group, rows[0]), rows[-1]) if row >= 0]
    return msgspec.structs.replace(
        whole,
        state="differs",
        ours=plain_text(ours),
        theirs=plain_text(ours + gap),
        difference=plain_text(-gap),
        at=iso(found.ts_ns or 0),
        what="position by fills against the one the venue says stood before a fill",
        next_step="fills between the two named here are missing: import an export of that time",
        ids=tuple(each for row in near[-1:] if (each := group.columns.fill_id[row])),
        fills=near_fills(group, near),
    )


def _fill_before(group: GroupLedger, row: int) -> int:
    fills = np.flatnonzero(group.columns.events.kind[:row] == layout.FILL)
    return int(fills[-1]) if len(fills) else -1


def _unchecked(check: str, key: GroupKey, missing: str) -> Check:
    return Check(
        check=check,  # type: ignore[arg-type]
        state="not checked",
        venue=key.venue,
        account=key.account,
        instrument=key.instrument,
        position_side=key.position_side,
        missing=missing,
    )
