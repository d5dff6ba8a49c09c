"""Which strategy a fill belongs to, and which prices its decision saw."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from fillbook.facts.model import Assignment, Charge, Claimed, Decision, Fill, Funding, OrderUpdate
from fillbook.ground.settings import StrategyRule
from fillbook.resolve.event import NO_STRATEGY, Rungs
from fillbook.resolve.instruments import InstrumentBook

LEG_MARK = "\x1f"
Place = tuple[str, str, str, str]
"""(venue, account, kind of id, id): where facts meet."""


class Assigner:
    """Joins fills to assignments, orders and decisions by the ids they share.

    A fill that knows its order only by the venue's number also finds what the bot says under its
    own id of that order, where an order names both. Some venues number fills and orders by
    product, so an order or a decision joins only fills of its own instrument; a name that no
    source described (a bot's own) does not stand in the way.
    """

    def __init__(
        self,
        assignments: Sequence[Claimed],
        orders: Sequence[Claimed],
        decisions: Sequence[Claimed],
        rules: Sequence[StrategyRule],
        instruments: InstrumentBook,
    ) -> None:
        self._rules = rules
        self._instruments = instruments
        self._assigned: dict[Place, str] = {}
        self._ordered: dict[Place, list[OrderUpdate]] = {}
        self._decided: dict[Place, list[Decision]] = {}
        self._own_ids: dict[Place, dict[tuple[str, str], OrderUpdate]] = {}
        for claim in _in_time_order(assignments):
            said = claim.fact
            assert isinstance(said, Assignment)
            for place in _places(said):
                self._assigned[place] = said.strategy
        for claim in _in_time_order(orders):
            order = claim.fact
            assert isinstance(order, OrderUpdate)
            if order.order_id and order.client_order_id:
                self._named(order, order.order_id, order.client_order_id)
            if order.strategy or order.decision_id or order.expected_px is not None:
                for place in _places(order):
                    self._ordered.setdefault(place, []).append(order)
        for claim in _in_time_order(decisions):
            decision = claim.fact
            assert isinstance(decision, Decision)
            for place in _places(decision):
                self._decided.setdefault(place, []).append(decision)
        self._silent = not (self._assigned or self._ordered or self._decided or rules)

    def _named(self, order: OrderUpdate, order_id: str, own_id: str) -> None:
        known = self._own_ids.setdefault((order.venue, order.account, "order_id", order_id), {})
        known.setdefault((own_id, order.instrument), order)

    def _places_of(self, fill: Fill) -> Iterator[Place]:
        """Yield every id a fill is known by, the narrowest first."""
        yield from _places(fill)
        if fill.order_id and not fill.client_order_id:
            for own_id in self._clients_of(fill):
                yield fill.venue, fill.account, "client_order_id", own_id

    def _clients_of(self, fill: Fill) -> Sequence[str]:
        known = self._own_ids.get((fill.venue, fill.account, "order_id", fill.order_id or ""), {})
        named = (own_id for (own_id, _), order in known.items() if self._same_market(fill, order))
        return list(dict.fromkeys(named))

    def decision_of(self, fill: Fill) -> Decision | None:
        """Return the decision that a fill carries out, by fill, order, client or decision id,
        else by its order's decision id.

        Of several the last one taken before the fill; a single one joins whatever its clock said.
        """
        if not self._decided:
            return None
        for place in self._places_of(fill):
            found = self._before(fill, self._decided.get(place, ()))
            if found is not None:
                return found
        for order in self._orders_of(fill):
            if order.decision_id:
                place = (fill.venue, fill.account, "decision_id", order.decision_id)
                found = self._before(fill, self._decided.get(place, ()))
                if found is not None:
                    return found
        return None

    def _before(self, fill: Fill, decisions: Sequence[Decision]) -> Decision | None:
        mine = [decision for decision in decisions if self._same_market(fill, decision)]
        if not mine:
            return None
        until_ns = fill.ts_ns + fill.printed_ns - 1
        place = bisect_right([decision.ts_ns for decision in mine], until_ns)
        return mine[max(0, place - 1)]

    def _orders_of(self, fill: Fill) -> Iterator[OrderUpdate]:
        if self._ordered:
            for place in self._places_of(fill):
                for order in self._ordered.get(place, ()):
                    if self._same_market(fill, order):
                        yield order

    def _same_market(self, fill: Fill, other: Decision | OrderUpdate) -> bool:
        if other.instrument == fill.instrument:
            return True
        named = self._instruments.find(other.venue, other.instrument)
        return named is None or named == self._instruments.find(fill.venue, fill.instrument)

    def books_of(self, facts: Sequence[Fill | Funding | Charge]) -> list[str]:
        """Name the sub-book of each fact, as `book_of` does."""
        if self._silent and not any(isinstance(f, Fill) and f.leg is not None for f in facts):
            return [fact.strategy or NO_STRATEGY for fact in facts]
        return [self.book_of(fact) for fact in facts]

    def book_of(self, fact: Fill | Funding | Charge) -> str:
        """Name the sub-book: assignment, the fact's own word, its order, its decision, a rule,
        else "-"."""
        if self._silent:
            strategy = fact.strategy or NO_STRATEGY
        else:
            strategy = self._strategy_of(fact)
        leg = fact.leg if isinstance(fact, Fill) else None
        return strategy if leg is None else f"{strategy}{LEG_MARK}{leg}"

    def _strategy_of(self, fact: Fill | Funding | Charge) -> str:
        if not isinstance(fact, Fill):
            return fact.strategy or self._by_rule(fact, None)
        for place in self._places_of(fact):
            if place in self._assigned:
                return self._assigned[place]
        if fact.strategy:
            return fact.strategy
        for order in self._orders_of(fact):
            if order.strategy:
                return order.strategy
        decision = self.decision_of(fact)
        if decision is not None and decision.strategy:
            return decision.strategy
        own_ids = [fact.client_order_id] if fact.client_order_id else self._clients_of(fact)
        ruled = (self._by_rule(fact, own_id) for own_id in (*own_ids, None))
        return next((strategy for strategy in ruled if strategy != NO_STRATEGY), NO_STRATEGY)

    def _by_rule(self, fact: Fill | Funding | Charge, client_order_id: str | None) -> str:
        printed = fact.instrument or ""
        names = dict.fromkeys((printed, self._instruments.name_of(fact.venue, printed)))
        for rule in self._rules:
            if any(rule.matches(fact.account, name, client_order_id) for name in names):
                return rule.strategy
        return NO_STRATEGY

    def all_rungs(self, fills: Sequence[Fill]) -> list[Rungs | None]:
        """Return the upper prices of each fill, as `rungs_of` does."""
        if not self._silent:
            return [self.rungs_of(fill) for fill in fills]
        own = [(fill.decision_px, fill.arrival_px, fill.mid_px) for fill in fills]
        return [_rungs(*seen) for seen in own]

    def rungs_of(self, fill: Fill) -> Rungs | None:
        """Return decision, arrival and mid price: the fill's own first, else its decision's.

        Where neither knows the arrival price, it is what the order's sender expected to get.
        """
        decision = self.decision_of(fill)
        seen = (fill.decision_px, fill.arrival_px, fill.mid_px)
        if decision is not None:
            theirs = (decision.decision_px, decision.arrival_px, decision.mid_px)
            seen = (
                _first(seen[0], theirs[0]),
                _first(seen[1], theirs[1]),
                _first(seen[2], theirs[2]),
            )
        if seen[1] is None:
            seen = (seen[0], self._expected_by(fill), seen[2])
        return _rungs(*seen)

    def _expected_by(self, fill: Fill) -> Decimal | None:
        """Return the price that the fill's order expected, as last said before the fill."""
        told = [order for order in self._orders_of(fill) if order.expected_px is not None]
        if not told:
            return None
        until_ns = fill.ts_ns + fill.printed_ns - 1
        earlier = [order for order in told if order.ts_ns <= until_ns]
        return (
            max(earlier, key=lambda order: order.ts_ns).expected_px
            if earlier
            else (told[0].expected_px)
        )


def _rungs(decision: Decimal | None, arrival: Decimal | None, mid: Decimal | None) -> Rungs | None:
    # Comparing Decimals with None takes longer than all the rest.
    if decision is None and arrival is None and mid is None:
        return None
    return Rungs(decision, arrival, mid)


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


def _places(fact: Fill | Decision | OrderUpdate | Assignment) -> Iterator[Place]:
    # The narrowest id first: what is said of one fill beats what is said of its order.
    for name in ("fill_id", "order_id", "client_order_id", "decision_id"):
        identifier = getattr(fact, name, None)
        if identifier:
            yield fact.venue, fact.account, name, identifier
