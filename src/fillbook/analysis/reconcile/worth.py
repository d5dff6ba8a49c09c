"""The change of an account's worth between two statements of the venue against our own count.

A check only: no figure of the book ever comes from a balance. What came in by our count is
realised and unrealised PnL, funding, fees, charges and transfers in the same currency.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import msgspec

from fillbook.analysis.explain import totals_of
from fillbook.analysis.reconcile.answer import Check, NearFill
from fillbook.analysis.reconcile.nearby import (
    MOST_FILLS,
    SETTLE_NS,
    covered,
    fill_rows,
    near_fills,
    shared,
)
from fillbook.analysis.reconcile.stated import Account, Stated
from fillbook.analysis.valuation import position_value
from fillbook.analysis.view import BookView, Part
from fillbook.facts.model import Component, Report
from fillbook.ground.clock import iso
from fillbook.ground.exact import MONEY_ONE, divide_half_even, money_text, to_money
from fillbook.ledger.amounts import to_ints
from fillbook.ledger.group import GroupLedger
from fillbook.resolve.event import GroupKey

_WHY = "the venue's marks and ours are seconds apart: 0.1 % of what is open at both ends, and 0.05"
_OPEN_SHARE = 1000
_LEAST: int = MONEY_ONE // 20
_MOST_PAIRS = 500
_COMPONENTS: tuple[Component, ...] = ("fills", "funding", "charges", "transfers")


class _Count(msgspec.Struct):
    """What we count between two instants, and why it cannot be counted.

    `open` is what each instrument was worth at either end, long less short: a mark that is off
    moves both legs of a hedge.
    """

    change: int = 0
    missing: str = ""
    open: dict[tuple[str, int], int] = {}

    @property
    def allowed(self) -> int:
        """Return what the change may be off, because marks are seconds apart."""
        allowed = _LEAST
        for worth in self.open.values():
            allowed += divide_half_even(abs(worth), _OPEN_SHARE)
        return allowed


def check_equity(
    view: BookView,
    groups: Mapping[GroupKey, GroupLedger],
    accounts: Iterable[Account],
    stated: Stated,
    since_ns: int,
    until_ns: int,
) -> list[Check]:
    """Compare the first and the last statement of worth in [since, until), per currency."""
    checks = []
    for account in accounts:
        told = {
            asset: sorted(
                (each for each in reports if since_ns <= each.ts_ns < until_ns),
                key=lambda each: (each.ts_ns, each.amount or 0),
            )
            for (venue, owner, asset), reports in sorted(stated.worths.items())
            if (venue, owner) == account
        }
        compared = [
            _check(view, groups, account, asset, reports, stated)
            for asset, reports in told.items()
            if len(reports) > 1
        ]
        missing = "the venue stated the account's worth less than twice"
        checks += compared or [_unchecked(account, missing)]
    return checks


def _check(
    view: BookView,
    groups: Mapping[GroupKey, GroupLedger],
    account: Account,
    asset: str,
    reports: Sequence[Report],
    stated: Stated,
) -> Check:
    mine = [group for key, group in groups.items() if (key.venue, key.account) == account]
    first, last = _complete(view, account, reports)
    check = msgspec.structs.replace(_unchecked(account, ""), unit=asset, n=len(reports))
    if first is None or last is None:
        missing = "fills, funding, charges and transfers are not all complete between two of them"
        return msgspec.structs.replace(check, missing=missing)
    count = _count(view, mine, account, asset, first.ts_ns, last.ts_ns, stated)
    if count.missing:
        return msgspec.structs.replace(check, missing=count.missing)
    theirs = _money(last) - _money(first)
    gap = count.change - theirs
    differs = abs(gap) > count.allowed
    start, end = first, last
    if differs:
        known = [each for each in reports if first.ts_ns <= each.ts_ns <= last.ts_ns]
        start, end = _first_break(view, mine, account, asset, known, stated)
    return msgspec.structs.replace(
        check,
        state="differs" if differs else "agrees",
        ours=money_text(count.change),
        theirs=money_text(theirs),
        difference=money_text(gap),
        tolerance=money_text(count.allowed),
        why_tolerance=_WHY,
        at=iso(last.ts_ns),
        what=f"net and transfers since {iso(first.ts_ns)} against the change of the worth the "
        "venue states; no figure follows from it",
        next_step=f"it begins between {iso(start.ts_ns)} and {iso(end.ts_ns)}: look there on the "
        "venue's page for money that is not in the book, or for a statement that was wrong"
        if differs
        else "",
        fills=_fills(mine, start.ts_ns, end.ts_ns) if differs else (),
    )


def _complete(
    view: BookView, account: Account, reports: Sequence[Report]
) -> tuple[Report | None, Report | None]:
    """Return the first and the last statement between which everything is complete."""
    key = GroupKey(*account, "")
    others = [covered(view.ledger.coverage, key, each) for each in _COMPONENTS[1:]]
    told_ns = [each.ts_ns for each in reports]
    for start_ns, stop_ns in reversed(shared([*others, *_fills_covered(view, account)])):
        first = bisect_left(told_ns, start_ns)
        last = bisect_right(told_ns, stop_ns - SETTLE_NS) - 1
        if first < last:
            return reports[first], reports[last]
    return None, None


def _fills_covered(view: BookView, account: Account) -> list[list[tuple[int, int]]]:
    """Return the intervals of complete fills, one list per instrument with a source of its own."""
    named = {
        each.coverage.instrument
        for each in view.ledger.coverage
        if (each.venue, each.account) == account and each.coverage.component == "fills"
    }
    keys = [GroupKey(*account, name or "") for name in named] or [GroupKey(*account, "")]
    return [covered(view.ledger.coverage, key, "fills") for key in keys]


def _count(
    view: BookView,
    groups: Sequence[GroupLedger],
    account: Account,
    asset: str,
    from_ns: int,
    to_ns: int,
    stated: Stated,
) -> _Count:
    """Count what came into a currency of an account in (from, to]."""
    count = _Count()
    for each in stated.transfers(account):
        if each.asset == asset and from_ns < each.ts_ns <= to_ns:
            count.change += to_money(each.amount)
    for group in groups:
        first, last = group.rows_in(from_ns + 1, to_ns + 1)
        _add_foreign(count, group, asset, first, last)
        contract = group.columns.contract
        if contract.contract == "spot" and asset in (contract.base, contract.settle):
            if last > first or _is_held(group, first) or _is_held(group, last):
                count.missing = "spot was traded, whose coins the venue's figure does not count"
        elif contract.settle == asset:
            _add_settled(view, count, group, first, last, from_ns, to_ns)
        if count.missing:
            break
    return count


def _add_foreign(count: _Count, group: GroupLedger, asset: str, first: int, last: int) -> None:
    """Take off fees and charges of one group that were paid in this asset though it settles in
    another."""
    columns = group.columns
    if asset in columns.assets:
        place = columns.assets.index(asset)
        rows = columns.foreign[first:last] == place
        count.change -= sum(to_ints(columns.foreign_amount[first:last][rows]))


def _add_settled(
    view: BookView,
    count: _Count,
    group: GroupLedger,
    first: int,
    last: int,
    from_ns: int,
    to_ns: int,
) -> None:
    part = Part(group, first, last, tuple(range(len(group.columns.books))), True)
    totals = totals_of(part, view.valuer, from_ns + 1, to_ns + 1)
    flows = group.flows.window(first, last)
    count.change += totals.gross - flows.fees + flows.funding
    name = group.columns.key.instrument
    if totals.unmarked or (first < last and totals.n_unpriced_closes):
        count.missing = f"{name} was open without a known cost or mark at one end"
    for row, at_ns in ((first, from_ns), (last, to_ns)):
        held = int(group.venue.outputs.position_after[row - 1]) if row else 0
        mark = view.valuer.mark(group.columns.key.venue, name, at_ns) if held else None
        if mark is not None:
            scale = group.columns.terms.qty_scale
            worth = position_value(group.columns.contract, held, scale, mark.px)
            count.open[name, at_ns] = count.open.get((name, at_ns), 0) + worth


def _is_held(group: GroupLedger, row: int) -> bool:
    return bool(row) and int(group.venue.outputs.position_after[row - 1]) != 0


def _first_break(
    view: BookView,
    groups: Sequence[GroupLedger],
    account: Account,
    asset: str,
    reports: Sequence[Report],
    stated: Stated,
) -> tuple[Report, Report]:
    """Return the first two neighbouring statements whose change we do not count."""
    for start, end in list(pairwise(reports))[:_MOST_PAIRS]:
        count = _count(view, groups, account, asset, start.ts_ns, end.ts_ns, stated)
        gap = count.change - (_money(end) - _money(start))
        if not count.missing and abs(gap) > count.allowed:
            return start, end
    return reports[0], reports[-1]


def _fills(groups: Sequence[GroupLedger], from_ns: int, to_ns: int) -> tuple[NearFill, ...]:
    near = [
        each
        for group in groups
        for each in near_fills(group, fill_rows(group, from_ns + 1, to_ns + 1))
    ]
    return tuple(sorted(near, key=lambda each: (each.ts, each.seq))[:MOST_FILLS])


def _money(report: Report) -> int:
    assert report.amount is not None
    return to_money(report.amount)


def _unchecked(account: Account, missing: str) -> Check:
    return Check(
        check="equity", state="not checked", venue=account[0], account=account[1], missing=missing
    )
