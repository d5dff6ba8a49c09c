"""Positions that the fills do not give, as the venues stated them into the book.

Every reading command tells them, with or without a monitor. Only what proves something is told: a
statement behind which the fills are complete for a while, and only of contracts, because coins
also move by deposits (`fillbook reconcile` compares those, and everything else).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal

from fillbook.analysis.recall import Recall
from fillbook.analysis.reconcile.answer import Check
from fillbook.analysis.reconcile.book import finding_of
from fillbook.analysis.reconcile.positions import check_positions, gap_at
from fillbook.analysis.reconcile.stated import Stated
from fillbook.analysis.view import AS_RECORDED, Part, definition_of
from fillbook.facts.finding import Finding
from fillbook.facts.model import Claimed, Instrument, Report
from fillbook.ground.clock import SECOND_NS, parse_ns
from fillbook.ledger.group import GroupLedger
from fillbook.ledger.ledger import Ledger
from fillbook.resolve.event import GroupKey

KINDS = ("report", "instrument")
_TAKEN = (Report, Instrument)
# Only coins have the name of a pair, where the book does not know them yet.
_PAIR = "/"
# What is filled while a question is on its way is in the answer, though it is later.
_ON_ITS_WAY_NS = 10 * SECOND_NS
_END_NS = (1 << 63) - 1


class Disagreeing:
    """The statements of one state of a book, and what its fills make of them.

    They are picked up where all claims pass anyway, by `passing`; else `walk` reads them, and
    `recall` remembers what was found, because a walk passes every page of the book.
    """

    def __init__(self, walk: Callable[[], Iterable[Claimed]], recall: Recall) -> None:
        self._walk = walk
        self._recall = recall
        self._stated: Stated | None = None

    def passing(self, claims: Iterable[Claimed]) -> Iterator[Claimed]:
        """Yield claims as they are, and keep the statements among them."""
        kept = []
        for claim in claims:
            if isinstance(claim.fact, _TAKEN):
                kept.append(claim)
            yield claim
        self._stated = Stated(kept)

    def findings(self, ledger: Ledger) -> list[Finding]:
        """Return a finding per position of a contract that differs from its statement."""
        return self._recall.answer(
            "positions that differ", "", list[Finding], lambda: self._found(ledger)
        )

    def _found(self, ledger: Ledger) -> list[Finding]:
        stated = self._stated or Stated(self._walk())
        groups = {group.columns.key: group for group in ledger.groups if not _is_recorded(group)}
        newest = {key: reports[-1] for key, reports in stated.positions(_END_NS).items()}
        odd = sorted(key for key, said in newest.items() if _differs(groups, key, said))
        checks = check_positions(ledger, groups, odd, stated, _END_NS)
        lasting = [
            finding_of(check)
            for key, check in zip(odd, checks, strict=True)
            if not _was_on_its_way(groups.get(key), check)
        ]
        return [found for found in lasting if found is not None]


def _differs(groups: Mapping[GroupKey, GroupLedger], key: GroupKey, said: Report) -> bool:
    group = groups.get(key)
    is_coins = _PAIR in key.instrument if group is None else _is_spot(group)
    return not is_coins and bool(gap_at(group, said))


def _is_recorded(group: GroupLedger) -> bool:
    books = tuple(range(len(group.columns.books)))
    return definition_of([Part(group, 0, len(group), books, True)]) == AS_RECORDED


def _is_spot(group: GroupLedger) -> bool:
    return group.columns.contract.contract == "spot"


def _was_on_its_way(group: GroupLedger | None, check: Check) -> bool:
    """Say whether fills right behind the question explain what the answer said."""
    if check.state != "differs" or check.at is None:
        return False
    said = Report(
        venue=check.venue,
        account=check.account,
        ts_ns=parse_ns(check.at),
        printed_ns=_ON_ITS_WAY_NS,
        what="position",
        qty=Decimal(check.theirs or 0),
    )
    return not gap_at(group, said)
