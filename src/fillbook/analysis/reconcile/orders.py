"""What orders say was executed of them, against their fills: sizes, and counts where told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from fillbook.analysis.reconcile.answer import Check, CheckName, NearFill
from fillbook.analysis.reconcile.nearby import (
    covered,
    fill_rows,
    fills_around,
    holds,
    near_fills,
    unit_of,
)
from fillbook.analysis.reconcile.stated import Account, Stated
from fillbook.facts.model import OrderUpdate
from fillbook.ground.clock import iso
from fillbook.ground.exact import decimals_of, from_scaled, plain_text
from fillbook.ledger.group import GroupLedger
from fillbook.ledger.ledger import Ledger
from fillbook.resolve.event import GroupKey
from fillbook.resolve.statements import Interval

_MOST_IDS = 20
_END_NS = (1 << 63) - 1
# The order a conditional one became has its fills, under an id of its own.
_CONDITIONAL = "algo-"
_NEXT = {
    "filled size": "fills of the orders named here are missing or wrong: import an export",
    "fill count": "look the orders up on the venue's page; where their size agrees, it miscounts",
}
_FINAL = ("filled", "cancelled", "expired", "rejected")
# There an order's size may be money: its fills' sizes are then quotients, and rounded.
_ROUNDED = frozenset({"coinbase"})


class _Order(msgspec.Struct):
    """The furthest state of one order, and when it was first heard of."""

    order_id: str
    since_ns: int
    last: OrderUpdate

    def take(self, update: OrderUpdate) -> None:
        self.since_ns = min(self.since_ns, update.ts_ns)
        if self._rank(update) >= self._rank(self.last):
            self.last = update

    def _rank(self, update: OrderUpdate) -> tuple[bool, Decimal, int]:
        return update.status in _FINAL, _size(update), update.ts_ns


class _Compared(msgspec.Struct):
    """One order, by its fills and by its own word; `until_ns` is what its word speaks of."""

    order: _Order
    ours: Decimal
    theirs: Decimal
    rows: list[int]
    group: GroupLedger | None
    allowed: Decimal = Decimal(0)

    @property
    def is_off(self) -> bool:
        return abs(self.ours - self.theirs) > self.allowed


def check_orders(
    ledger: Ledger,
    groups: Mapping[GroupKey, GroupLedger],
    accounts: Iterable[Account],
    stated: Stated,
    instruments: Collection[str],
    since_ns: int,
    until_ns: int,
) -> list[Check]:
    """Compare the orders of the chosen accounts, placed in [since, until), with their fills.

    `groups` are those of `instruments`; without any, of all.
    An order that is still open is compared when it has ended. One whose fills the venue corrected
    is left out: it goes on telling what it told before.
    """
    told = _orders(ledger.orders, stated)
    rows = _rows_by_order(groups, told)
    checks = []
    for account in accounts:
        mine = {
            (name, order.order_id): order
            for (venue, owner, name), orders in told.items()
            if (venue, owner) == account and (not instruments or name in instruments)
            for order in orders.values()
            if since_ns <= order.since_ns < until_ns
            and (*account, order.order_id) not in stated.corrected
        }
        has_orders = any(place[:2] == account for place in told)
        checks += _checks(ledger, account, mine, rows, has_orders)
    return checks


def _orders(
    updates: Iterable[OrderUpdate], stated: Stated
) -> dict[tuple[str, str, str], dict[str, _Order]]:
    found: dict[tuple[str, str, str], dict[str, _Order]] = defaultdict(dict)
    for update in updates:
        if update.order_id is None or update.order_id.startswith(_CONDITIONAL):
            continue
        name = stated.names.name_of(update.venue, update.instrument)
        place = found[update.venue, update.account, name]
        known = place.get(update.order_id)
        if known is None:
            place[update.order_id] = _Order(update.order_id, update.ts_ns, update)
        else:
            known.take(update)
    return found


def _size(update: OrderUpdate) -> Decimal:
    if update.filled_qty is None and update.status == "filled":
        return update.qty or Decimal(-1)
    return Decimal(-1) if update.filled_qty is None else update.filled_qty


def _rows_by_order(
    groups: Mapping[GroupKey, GroupLedger],
    told: Mapping[tuple[str, str, str], Mapping[str, _Order]],
) -> dict[tuple[str, str, str, str], list[tuple[GroupLedger, int]]]:
    """Return the fills of every order that says something, by its place."""
    found: dict[tuple[str, str, str, str], list[tuple[GroupLedger, int]]] = defaultdict(list)
    for key, group in groups.items():
        orders = told.get((key.venue, key.account, key.instrument))
        if orders:
            named = group.columns.order_id
            for row in fill_rows(group, 0, _END_NS).tolist():
                order_id = named[row]
                if order_id in orders:
                    found[key.venue, key.account, key.instrument, order_id].append((group, row))
    return found


def _checks(
    ledger: Ledger,
    account: Account,
    orders: Mapping[tuple[str, str], _Order],
    rows: Mapping[tuple[str, str, str, str], list[tuple[GroupLedger, int]]],
    has_orders: bool,
) -> list[Check]:
    sizes: dict[str, list[_Compared]] = defaultdict(list)
    counts: dict[str, list[_Compared]] = defaultdict(list)
    proven: dict[str, list[Interval]] = {}
    for (name, order_id), order in orders.items():
        if name not in proven:
            proven[name] = covered(ledger.coverage, GroupKey(*account, name), "fills")
        last = order.last
        if last.status not in _FINAL or not holds(proven[name], order.since_ns, last.ts_ns + 1):
            continue
        placed = rows.get((*account, name, order_id), [])
        if _size(last) >= 0:
            sizes[name].append(_sized(order, placed))
        if last.n_fills is not None:
            counts[name].append(_counted(order, placed))
    named: tuple[tuple[CheckName, dict[str, list[_Compared]], str], ...] = (
        ("filled size", sizes, "quantity of an order's fills against the order's own"),
        ("fill count", counts, "number of an order's fills against the order's own"),
    )
    checks = []
    for check, by_name, what in named:
        for name, compared in sorted(by_name.items()):
            checks.append(_check(check, what, GroupKey(*account, name), compared))
        if not by_name:
            checks.append(_unchecked(check, account, has_orders))
    return checks


def _sized(order: _Order, placed: Sequence[tuple[GroupLedger, int]]) -> _Compared:
    theirs, at_ns = _size(order.last), order.last.ts_ns + order.last.printed_ns
    whole = _sum(placed)
    so_far = _sum([(group, row) for group, row in placed if group.columns.ts_ns[row] < at_ns])
    # A fill after the order's last word does not count, unless that word knew of it already.
    ours = so_far if abs(so_far - theirs) <= abs(whole - theirs) else whole
    allowed = Decimal(0)
    if order.last.venue in _ROUNDED:
        allowed = Decimal(len(placed)).scaleb(-decimals_of(theirs))
    group = placed[0][0] if placed else None
    return _Compared(order, ours, theirs, [row for _, row in placed], group, allowed)


def _counted(order: _Order, placed: Sequence[tuple[GroupLedger, int]]) -> _Compared:
    at_ns = order.last.ts_ns + order.last.printed_ns
    seqs = {int(group.columns.seq[row]): int(group.columns.ts_ns[row]) for group, row in placed}
    theirs = order.last.n_fills or 0
    so_far = sum(ts_ns < at_ns for ts_ns in seqs.values())
    ours = so_far if abs(so_far - theirs) <= abs(len(seqs) - theirs) else len(seqs)
    group = placed[0][0] if placed else None
    return _Compared(order, Decimal(ours), Decimal(theirs), [row for _, row in placed], group)


def _sum(placed: Iterable[tuple[GroupLedger, int]]) -> Decimal:
    return sum(
        (
            from_scaled(int(group.columns.traded_qty[row]), group.columns.terms.qty_scale)
            for group, row in placed
        ),
        Decimal(0),
    )


def _check(check: CheckName, what: str, key: GroupKey, compared: Sequence[_Compared]) -> Check:
    off = [each for each in compared if each.is_off]
    shown = off or compared
    ours = sum((each.ours for each in compared), Decimal(0))
    theirs = sum((each.theirs for each in compared), Decimal(0))
    groups = [each.group for each in compared if each.group is not None]
    unit = "fills" if check == "fill count" else unit_of(groups[0]) if groups else key.instrument
    is_rounded = key.venue in _ROUNDED and check == "filled size"
    why = "one unit of the last digit a fill" if is_rounded else "orders and fills are exact"
    allowed = sum((each.allowed for each in compared), Decimal(0))
    return Check(
        check=check,
        state="differs" if off else "agrees",
        venue=key.venue,
        account=key.account,
        instrument=key.instrument,
        ours=plain_text(ours),
        theirs=plain_text(theirs),
        difference=plain_text(ours - theirs),
        unit=unit,
        tolerance=plain_text(allowed),
        why_tolerance=why,
        at=iso(max(each.order.last.ts_ns for each in shown)),
        n=len(compared),
        what=f"{what}, {len(compared)} orders",
        next_step=_NEXT[check] if off else "",
        ids=tuple(each.order.order_id for each in off[:_MOST_IDS]),
        fills=tuple(near for each in off[:4] for near in _near(each, groups)),
    )


def _near(each: _Compared, groups: Sequence[GroupLedger]) -> Iterable[NearFill]:
    """Return the order's fills; without any, the fills around its last word."""
    if each.group is not None:
        return near_fills(each.group, each.rows)
    at_ns = each.order.last.ts_ns
    return fills_around(groups[0], each.order.since_ns, at_ns) if groups else ()


def _unchecked(check: CheckName, account: Account, has_orders: bool) -> Check:
    missing = "no orders of this account are in the book"
    if has_orders:
        missing = "no order says how many fills it had"
        if check == "filled size":
            missing = "no order ended, saying how much was filled, while fills are complete"
    return Check(
        check=check, state="not checked", venue=account[0], account=account[1], missing=missing
    )
