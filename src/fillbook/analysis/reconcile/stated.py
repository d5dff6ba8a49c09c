"""What venues state about accounts, gathered from claims: positions, worth, charges, transfers.

Evidence to compare with, never a source of money. It grows with the journal: `take` may be called
again and again with further claims.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from fillbook.facts.model import (
    Charge,
    Claimed,
    Correction,
    Fill,
    Instrument,
    PositionSide,
    Report,
    Transfer,
)
from fillbook.resolve.event import GroupKey
from fillbook.resolve.instruments import InstrumentBook
from fillbook.resolve.rank import settle_conflicts

Account = tuple[str, str]
Worth = tuple[str, str, str]
"""(venue, account, asset)."""

KINDS = ("report", "charge", "transfer", "instrument", "fill", "correction")


class Stated:
    """The statements of a set of claims, by place; the newest last."""

    def __init__(self, claims: Iterable[Claimed] = ()) -> None:
        self._described: list[Claimed] = []
        self._names: InstrumentBook | None = None
        self._positions: dict[Account, list[Report]] = defaultdict(list)
        self._charges: list[Claimed] = []
        self._chained: Counter[tuple[str, str, str, PositionSide]] = Counter()
        self.worths: dict[Worth, list[Report]] = defaultdict(list)
        self._moved: dict[Account, list[Claimed]] = defaultdict(list)
        self._transfers: dict[Account, list[Transfer]] = {}
        self.corrected: set[tuple[str, str, str | None]] = set()
        """(venue, account, order) of fills that the venue undid or replaced."""
        self.take(claims)

    def take(self, claims: Iterable[Claimed]) -> None:
        """Add what further claims state."""
        for claim in claims:
            fact = claim.fact
            if isinstance(fact, Fill):
                if fact.start_position is not None:
                    place = (fact.venue, fact.account, fact.instrument, fact.position_side)
                    self._chained[place] += 1
            elif isinstance(fact, Report):
                self._take_report(fact)
            elif isinstance(fact, Charge):
                if fact.repeats_fills:
                    self._charges.append(claim)
            elif isinstance(fact, Transfer):
                self._moved[fact.venue, fact.account].append(claim)
                self._transfers.pop((fact.venue, fact.account), None)
            elif isinstance(fact, Correction):
                self.corrected.add((fact.venue, fact.account, fact.target_order_id))
            elif isinstance(fact, Instrument):
                self._described.append(claim)
                self._names = None

    def _take_report(self, report: Report) -> None:
        if report.what == "position" and report.instrument and report.qty is not None:
            self._positions[report.venue, report.account].append(report)
        elif report.what == "equity" and report.asset and report.amount is not None:
            self.worths[report.venue, report.account, report.asset].append(report)

    @property
    def names(self) -> InstrumentBook:
        """Return the instruments by every name that sources print."""
        if self._names is None:
            self._names = InstrumentBook(self._described)
        return self._names

    def positions(self, until_ns: int) -> dict[GroupKey, list[Report]]:
        """Return the statements of each position up to an instant, oldest first."""
        found: dict[GroupKey, list[Report]] = defaultdict(list)
        for (venue, account), reports in self._positions.items():
            for report in reports:
                if report.ts_ns < until_ns:
                    name = self.names.name_of(venue, report.instrument or "")
                    found[GroupKey(venue, account, name, report.position_side)].append(report)
        # Of two statements of one instant the smaller first: whichever was written first.
        return {
            key: sorted(told, key=lambda r: (r.ts_ns, r.qty or 0)) for key, told in found.items()
        }

    def transfers(self, account: Account) -> Sequence[Transfer]:
        """Return an account's deposits and withdrawals; one that was told twice counts once."""
        if account not in self._transfers:
            kept, _ = settle_conflicts(self._moved.get(account, []))
            self._transfers[account] = [c.fact for c in kept if isinstance(c.fact, Transfer)]
        return self._transfers[account]

    def chained(self, key: GroupKey) -> int:
        """Return how many fills of a group say what position stood before them."""
        return sum(
            count
            for (venue, account, name, side), count in self._chained.items()
            if (venue, account, side) == (key.venue, key.account, key.position_side)
            and self.names.name_of(venue, name) == key.instrument
        )

    def charges(self, account: Account, what: str) -> Sequence[Charge]:
        """Return an account's rows of one kind that repeat what its fills tell."""
        mine = [c for c in self._charges if (c.fact.venue, c.fact.account) == account]
        settled, _ = settle_conflicts(mine)
        facts = [claim.fact for claim in settled]
        return [fact for fact in facts if isinstance(fact, Charge) and fact.what == what]

    def accounts(self) -> set[Account]:
        """Return the accounts of which anything is stated."""
        return {*self._positions, *((venue, account) for venue, account, _ in self.worths)}
