"""Which strategy a fill belongs to, and which prices its decision saw."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from fillbook.facts.model import Assignment, Charge, Claimed, Decision, Fill, Funding, OrderUpdate
from fillbook.ground.settings import StrategyRule
from fillbook.resolve.event import NO_STRATEGY, Rungs

LEG_MARK = "\x1f"


class Assigner:
    """Joins fills to assignments, orders and decisions by the ids they share."""

    def __init__(
        self,
        assignments: Sequence[Claimed],
        orders: Sequence[Claimed],
        decisions: Sequence[Claimed],
        rules: Sequence[StrategyRule],
    ) -> None:
        self._rules = rules
        self._assigned: dict[tuple[str, str, str, str], str] = {}
        self._decided: dict[tuple[str, str, str, str], Decision] = {}
        for claim in _in_time_order(assignments):
            said = claim.fact
            assert isinstance(said, Assignment)
            for place in _places(said):
                self._assigned[place] = said.strategy
        for claim in _in_time_order(orders):
            order = claim.fact
            assert isinstance(order, OrderUpdate)
            if order.strategy:
                for place in _places(order):
                    self._assigned.setdefault(place, order.strategy)
        for claim in _in_time_order(decisions):
            decision = claim.fact
            assert isinstance(decision, Decision)
            for place in _places(decision):
                self._decided[place] = decision
        self._silent = not (self._assigned or self._decided or rules)

    def decision_of(self, fill: Fill) -> Decision | None:
        """Return the decision that a fill carries out, by fill, order, client or decision id."""
        if not self._decided:
            return None
        for place in _places(fill):
            if place in self._decided:
                return self._decided[place]
        return None

    def book_of(self, fact: Fill | Funding | Charge) -> str:
        """Name the sub-book: assignment, the fact's own word, its decision, a rule, else "-"."""
        if self._silent:
            strategy = fact.strategy or NO_STRATEGY
        else:
            strategy = self._strategy_of(fact)
        leg = fact.leg if isinstance(fact, Fill) else None
        return strategy if leg is None else f"{strategy}{LEG_MARK}{leg}"

    def _strategy_of(self, fact: Fill | Funding | Charge) -> str:
        if isinstance(fact, Fill):
            for place in _places(fact):
                if place in self._assigned:
                    return self._assigned[place]
        if fact.strategy:
            return fact.strategy
        if isinstance(fact, Fill):
            decision = self.decision_of(fact)
            if decision is not None and decision.strategy:
                return decision.strategy
        client = fact.client_order_id if isinstance(fact, Fill) else None
        for rule in self._rules:
            if rule.matches(fact.account, fact.instrument or "", client):
                return rule.strategy
        return NO_STRATEGY

    def rungs_of(self, fill: Fill) -> Rungs | None:
        """Return decision, arrival and mid price: the fill's own first, else its decision's."""
        decision = self.decision_of(fill)
        own = (fill.decision_px, fill.arrival_px, fill.mid_px)
        if decision is None:
            return None if own == (None, None, None) else Rungs(*own)
        seen = (decision.decision_px, decision.arrival_px, decision.mid_px)
        return Rungs(*(_first(mine, theirs) for mine, theirs in zip(own, seen, strict=True)))


def strategy_in(book: str) -> str:
    """Return the strategy part of a sub-book's name."""
    return book.partition(LEG_MARK)[0]


def leg_in(book: str) -> str | None:
    """Return the recorded round trip a sub-book stands for, if it is one."""
    return book.partition(LEG_MARK)[2] or None


def _first(mine: Decimal | None, theirs: Decimal | None) -> Decimal | None:
    return theirs if mine is None else mine


def _in_time_order(claims: Iterable[Claimed]) -> list[Claimed]:
    return sorted(claims, key=lambda c: (c.fact.ts_ns, c.key))


def _places(
    fact: Fill | Decision | OrderUpdate | Assignment,
) -> Iterable[tuple[str, str, str, str]]:
    # The narrowest id first: what is said of one fill beats what is said of its order.
    for name in ("fill_id", "order_id", "client_order_id", "decision_id"):
        identifier = getattr(fact, name, None)
        if identifier:
            yield fact.venue, fact.account, name, identifier
