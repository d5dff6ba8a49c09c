"""Compares one account with its venue as it goes, and pulls again before it says anything.

A position may be told before its fill, and a fill minutes late. So a difference is first looked
for in the streams that could explain it, at once, and days back once nothing should be late any
more. Only what is still there then is a finding; when it goes, that is said too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Literal, Protocol

import msgspec

from fillbook.analysis.reconcile.answer import Check
from fillbook.analysis.reconcile.book import finding_of
from fillbook.analysis.reconcile.nearby import SETTLE_NS
from fillbook.analysis.reconcile.positions import gap_at, position_check
from fillbook.analysis.view import BookView
from fillbook.facts.finding import Finding
from fillbook.facts.model import Component, Report
from fillbook.ground.clock import HOUR_NS, MINUTE_NS, parse_ns
from fillbook.ledger.group import GroupLedger
from fillbook.resolve.event import GroupKey

Say = Callable[[str], None]
Fresh = Callable[[], Awaitable[BookView]]
Stage = Literal["seen", "pulled", "lasting"]
Place = tuple[str, str | None, str | None, str | None]
"""(check, instrument, position side, unit): what a difference is known by."""

_DEEP_EVERY_NS = HOUR_NS
_RETRY_NS = 5 * MINUTE_NS
# Only coins have the name of a pair, where the book does not know them yet.
_PAIR = "/"
_COMPONENTS: Mapping[str, tuple[Component, ...]] = {
    "position": ("fills",),
    "commission": ("fills", "charges"),
    "income result": ("fills", "charges"),
    "filled size": ("fills", "orders"),
    "fill count": ("fills", "orders"),
    "equity": ("fills", "funding", "charges", "transfers"),
}


class Backfill(Protocol):
    """Pulls the streams that tell some components of an instrument, deep or not."""

    async def __call__(
        self, components: Collection[Component], instrument: str | None, *, deep: bool
    ) -> bool:
        """Return when they are pulled, and whether the venue answered for all of them."""
        ...


class Statement(msgspec.Struct, frozen=True):
    """What a venue said is open, all of it; what is not in it was flat at `asked_ns`."""

    asked_ns: int
    reports: tuple[Report, ...]


class _Suspect(msgspec.Struct):
    """A position that disagreed with one statement, and what was done about it.

    `proof` is the comparison with an older statement that it was dated back to.
    """

    report: Report
    gap: Decimal
    stage: Stage = "seen"
    deep_ns: int = 0
    proof: Check | None = None


class Reconciler:
    """One account. `fresh` returns a view that has everything written so far.

    `now_ns` is the venue's clock.
    """

    def __init__(
        self, label: str, fresh: Fresh, backfill: Backfill, now_ns: Callable[[], int], say: Say
    ) -> None:
        self._label = label
        self._fresh = fresh
        self._backfill = backfill
        self._now_ns = now_ns
        self._say = say
        self._suspects: dict[GroupKey, _Suspect] = {}
        self._agreed_ns: dict[GroupKey, int] = {}
        self._first_ns: dict[GroupKey, int] = {}
        self._lasting: dict[Place, Check] = {}
        # What statements in the book prove: known at once, also after a restart.
        self._proven: dict[tuple[str, str | None, str | None], Check] = {}
        self._is_whole = True
        self.findings: tuple[Finding, ...] = ()
        """The differences that pulling again did not mend; may be read from any thread."""

    # -- positions, after every poll -------------------------------------------------------

    async def compare(self, view: BookView, venue: str, account: str, said: Statement) -> None:
        """Compare all positions with what the venue just said; pulls where they differ."""
        groups = view.groups_of.get((venue, account), {})
        told = _told(groups, venue, account, said)
        for key, report in told.items():
            self._first_ns.setdefault(key, report.ts_ns)
            gap = gap_at(groups.get(key), report)
            if not gap:
                self._agreed_ns[key] = report.ts_ns
                self._drop(key)
            elif key not in self._suspects:
                self._suspects[key] = _Suspect(report, gap)
                self._date_back(key, self._suspects[key])
        if self._suspects:
            await self._look_again(venue, account)

    async def _look_again(self, venue: str, account: str) -> None:
        groups = (await self._fresh()).groups_of.get((venue, account), {})
        for key in [key for key in list(self._suspects) if self._still(groups, key)]:
            suspect = self._suspects[key]
            if suspect.stage == "seen":
                await self._backfill(_COMPONENTS["position"], key.instrument, deep=False)
                suspect.stage = "pulled"
                groups = (await self._fresh()).groups_of.get((venue, account), {})
                self._still(groups, key)
            elif self._is_time_for_deep(suspect):
                is_whole = await self._backfill(_COMPONENTS["position"], key.instrument, deep=True)
                # What the venue did not answer proves nothing, and is asked again soon.
                again_ns = 0 if is_whole else _DEEP_EVERY_NS - _RETRY_NS
                suspect.deep_ns = self._now_ns() - again_ns
                groups = (await self._fresh()).groups_of.get((venue, account), {})
                if self._still(groups, key) and is_whole:
                    self._last(key, groups.get(key), suspect)

    def _still(self, groups: Mapping[GroupKey, GroupLedger], key: GroupKey) -> bool:
        """Compare with the suspected statement again; one that agrees by now is forgotten."""
        suspect = self._suspects[key]
        suspect.gap = gap_at(groups.get(key), suspect.report)
        if not suspect.gap:
            if suspect.deep_ns and suspect.stage != "lasting":
                self._say(f"✓ {self._label}: {_name(key)}: fills came late and were found")
            self._drop(key)
        return bool(suspect.gap)

    def _is_time_for_deep(self, suspect: _Suspect) -> bool:
        now_ns = self._now_ns()
        is_old = now_ns - suspect.report.ts_ns >= SETTLE_NS
        return is_old and now_ns - suspect.deep_ns >= _DEEP_EVERY_NS

    def _last(self, key: GroupKey, group: GroupLedger | None, suspect: _Suspect) -> None:
        suspect.stage = "lasting"
        agreed_ns, first_ns = self._agreed_ns.get(key, 0), self._first_ns[key]
        check = position_check(group, key, suspect.report, suspect.gap, agreed_ns, first_ns)
        if (proof := suspect.proof) is not None:
            # The statements in the book know better since when they differ.
            check = msgspec.structs.replace(check, next_step=proof.next_step, fills=proof.fills)
        self._found(check)

    def _drop(self, key: GroupKey) -> None:
        self._suspects.pop(key, None)
        self._proven.pop(_place_of(key), None)
        for place in [place for place in self._lasting if place[:3] == _place_of(key)]:
            self._resolved(place)

    # -- everything else, now and then -----------------------------------------------------

    async def look_back(self, checks: Iterable[Check]) -> bool:
        """Pull days back for differences that were not seen before; says whether there were any."""
        checks = list(checks)
        self._prove(checks)
        fresh = [
            check
            for check in checks
            if check.state == "differs" and check.check in _COMPONENTS and check.check != "position"
        ]
        fresh = [check for check in fresh if _place(check) not in self._lasting]
        asked = {(_COMPONENTS[check.check], check.instrument) for check in fresh}
        self._is_whole = True
        for components, instrument in sorted(asked, key=str):
            is_whole = await self._backfill(components, instrument, deep=True)
            self._is_whole = self._is_whole and is_whole
        return bool(fresh)

    def settle(self, checks: Sequence[Check]) -> None:
        """Take what still differs after that for lasting, and what agrees by now for resolved.

        Where the venue did not answer, nothing is taken for lasting that was not before.
        """
        self._prove(checks)
        told = {_place(check): check for check in checks if check.check in _COMPONENTS}
        for check in told.values():
            is_told = self._is_whole or _place(check) in self._lasting
            if is_told and check.check != "position" and check.state == "differs":
                self._found(check)
        for place in list(self._lasting):
            known = told.get(place)
            if place[0] != "position" and known is not None and known.state == "agrees":
                self._resolved(place)

    def _prove(self, checks: Iterable[Check]) -> None:
        """Note which positions differ from a statement behind which the fills are complete.

        Where the newest statement differs as well, that older one is looked into, without waiting.
        """
        self._proven = {
            _place(check)[:3]: check
            for check in checks
            if check.check == "position" and check.state == "differs"
        }
        for key, suspect in self._suspects.items():
            self._date_back(key, suspect)

    def _date_back(self, key: GroupKey, suspect: _Suspect) -> None:
        proof = self._proven.get(_place_of(key))
        if proof is None or proof.at is None or suspect.stage == "lasting":
            return
        at_ns, qty = parse_ns(proof.at), Decimal(proof.theirs or 0)
        if at_ns < suspect.report.ts_ns:
            suspect.report = msgspec.structs.replace(suspect.report, ts_ns=at_ns, qty=qty)
            suspect.proof = proof

    def _found(self, check: Check) -> None:
        place = _place(check)
        known = self._lasting.get(place)
        self._lasting[place] = check
        self._tell()
        if known is None or known.difference != check.difference:
            self._say(
                f"! {self._label}: {check.check} of {check.instrument or 'the account'} differs "
                f"from the venue's by {check.difference} {check.unit}; fillbook reconcile shows it"
            )

    def _tell(self) -> None:
        found = (finding_of(check) for check in self._lasting.values())
        self.findings = tuple(each for each in found if each is not None)

    def _resolved(self, place: Place) -> None:
        check = self._lasting.pop(place)
        self._tell()
        self._say(
            f"✓ {self._label}: {check.check} of {check.instrument or 'the account'} agrees with "
            f"the venue's again ({check.difference} {check.unit} is explained)"
        )


def _told(
    groups: Mapping[GroupKey, GroupLedger], venue: str, account: str, said: Statement
) -> dict[GroupKey, Report]:
    """Return the statement of every contract; one that is not in it was flat.

    Coins also move by deposits: they are compared by hand, with all transfers at hand.
    """
    told = {
        GroupKey(venue, account, report.instrument, report.position_side): report
        for report in said.reports
        if report.instrument and _PAIR not in report.instrument
    }
    told = {k: each for k, each in told.items() if k not in groups or _is_contract(groups[k])}
    for key, group in groups.items():
        if key not in told and key.instrument and _is_contract(group):
            told[key] = Report(
                venue=venue,
                account=account,
                ts_ns=said.asked_ns,
                what="position",
                instrument=key.instrument,
                position_side=key.position_side,
                qty=Decimal(0),
            )
    return told


def _is_contract(group: GroupLedger) -> bool:
    return group.columns.contract.contract != "spot"


def _place(check: Check) -> Place:
    return check.check, check.instrument, check.position_side, check.unit


def _place_of(key: GroupKey) -> tuple[str, str, str]:
    return "position", key.instrument, key.position_side


def _name(key: GroupKey) -> str:
    side = "" if key.position_side == "net" else f" {key.position_side}"
    return f"{key.instrument}{side}"
