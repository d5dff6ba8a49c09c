"""What overruled sources are good for: their sums must agree with the source that is folded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from fillbook.facts.finding import Finding
from fillbook.facts.model import Claimed, Fill
from fillbook.ground.exact import plain_text
from fillbook.resolve.coverage import COMPONENT_OF, CoverageMap, Moved, NameOf, asserted_by
from fillbook.resolve.rank import SourceRank


class _Place(NamedTuple):
    """What is compared: one instrument of one account, between two sources."""

    venue: str
    account: str
    component: str
    instrument: str
    source: str
    against: str


class _Sum(NamedTuple):
    bought: Decimal
    sold: Decimal
    money: Decimal


def compare_evidence(
    claims: Iterable[Claimed], coverage: CoverageMap, name_of: NameOf
) -> list[Finding]:
    """Compare every overruled source with the folded one wherever both promise completeness.

    `claims` are all of them, folded or not. Fills are compared by the quantities bought and
    sold, funding and charges by their money; a difference is a finding. A source without a single
    row of a component is not compared: it has nothing to say yet.
    """
    if not coverage.is_contested:
        return []
    ours: dict[_Place, list[Moved]] = defaultdict(list)
    theirs: dict[_Place, list[Moved]] = defaultdict(list)
    for claim in claims:
        fact = claim.fact
        assert isinstance(fact, Moved)
        promised = coverage.place_of(fact)
        if promised is None or promised.sole is not None:
            continue
        strongest, *overruled = coverage.covering(fact) or [SourceRank(0, "")]
        for weaker in overruled:
            place = _Place(
                fact.venue,
                fact.account,
                COMPONENT_OF[type(fact)],
                name_of(fact.venue, fact.instrument) if fact.instrument else "-",
                weaker.source,
                strongest.source,
            )
            if asserted_by(claim, strongest):
                ours[place].append(fact)
            if asserted_by(claim, weaker):
                theirs[place].append(fact)
    spoke = {(*place[:3], place.source) for place in theirs}
    findings = []
    for place in sorted({*ours, *theirs}):
        if (*place[:3], place.source) not in spoke:
            continue
        here, there = _summed(ours[place]), _summed(theirs[place])
        if _differ(place.component, here, there):
            since_ns = min(fact.ts_ns for fact in (*ours[place], *theirs[place]))
            findings.append(_disagreement(place, here, there, since_ns))
    return findings


def _differ(component: str, here: _Sum, there: _Sum) -> bool:
    if component == "fills":
        return (here.bought, here.sold) != (there.bought, there.sold)
    return here.money != there.money


def _summed(facts: Iterable[Moved]) -> _Sum:
    bought = sold = money = Decimal(0)
    for fact in facts:
        if isinstance(fact, Fill):
            if fact.side == "buy":
                bought += fact.qty
            else:
                sold += fact.qty
            money += fact.fee or 0
        else:
            money += fact.amount
    return _Sum(bought, sold, money)


def _disagreement(place: _Place, here: _Sum, there: _Sum, since_ns: int) -> Finding:
    return Finding(
        code="sources-disagree",
        severity="warning",
        message=f"{place.source} and {place.against}, which is folded, disagree on "
        f"{place.component} of {place.instrument}: {_told(place, there)} against "
        f"{_told(place, here)}",
        next_step="export the period again, or retract the batch that is incomplete",
        venue=place.venue,
        account=place.account,
        instrument=None if place.instrument == "-" else place.instrument,
        ts_ns=since_ns,
    )


def _told(place: _Place, total: _Sum) -> str:
    if place.component != "fills":
        return plain_text(total.money)
    return f"bought {plain_text(total.bought)}, sold {plain_text(total.sold)}"
