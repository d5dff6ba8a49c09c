"""What a desk knows of its bot's open positions and unnamed orders, rebuilt from the book."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from decimal import Decimal

from fillbook.desks.telemetry import events as ev
from fillbook.desks.telemetry.events import BotEvent
from fillbook.facts.model import AnyFact, Fill, OrderStatus, OrderUpdate, Side

# Order names that this desk had to invent begin with it.
_UNNAMED = "~"


@dataclass
class Trip:
    """One position: how much of it is still open, and who told of its opening.

    `by_order`: an order's fill opened it, and no position event has named it yet. `executed`: it
    is told execution by execution, so that more of it may come.
    """

    leg: str
    symbol: str
    side: Side
    open_qty: Decimal
    by_order: bool = False
    executed: bool = False
    entries: int = 1
    exits: int = 0
    orders: set[str] = field(default_factory=set)

    @property
    def next_exit(self) -> str:
        """Name the next closing fill; the first one as a bot's trades.csv names it."""
        return f"{self.leg}:exit" if not self.exits else f"{self.leg}:exit:{self.exits + 1}"

    @property
    def next_entry(self) -> str:
        """Name the next opening fill after the first one."""
        return f"{self.leg}:entry:{self.entries + 1}"


class KnownTrips:
    """Open and closed positions by trade id, and orders that wait for their filling."""

    def __init__(self) -> None:
        self._trips: dict[str, Trip] = {}
        # Those with something left to close, so that long runs do not slow down.
        self._open: dict[str, Trip] = {}
        # Venues number orders by symbol.
        self._orders: dict[tuple[str, str], Trip] = {}
        self._executed: set[tuple[str, int]] = set()
        self._waiting: dict[tuple[str, Side | None], deque[str]] = defaultdict(deque)
        self._unnamed: Counter[str] = Counter()

    def learn(self, fact: AnyFact) -> None:
        """Take up what was written."""
        if isinstance(fact, Fill) and fact.leg:
            self._learn_fill(fact)
        elif isinstance(fact, OrderUpdate):
            self._learn_order(fact)

    def get(self, trade_id: str | None) -> Trip | None:
        """Return a position by its id."""
        return self._trips.get(trade_id or "")

    def of_order(self, symbol: str, names: set[str]) -> Trip | None:
        """Return the position that a symbol's order of one of these names opened."""
        found = (self._orders.get((symbol, name)) for name in names)
        return next((trip for trip in found if trip is not None), None)

    def is_executed(self, symbol: str, number: int) -> bool:
        """Say whether an execution of the venue counts already."""
        return (symbol, number) in self._executed

    def opened_by(self, trip: Trip, names: set[str]) -> None:
        """Note which order opened a position that told of itself first."""
        trip.orders |= names
        self._claim(trip, names)

    def opened_unnamed(self, names: set[str], what: tuple[str, Side, Decimal]) -> Trip | None:
        """Return a position that its order opened and that waits for the name its bot uses."""
        for trip in self._open.values():
            alike = (trip.symbol, trip.side, trip.open_qty) == what
            if trip.by_order and (names & trip.orders or (alike and not names)):
                return trip
        return None

    def unclaimed(self, order: OrderUpdate, qty: Decimal | None) -> Trip | None:
        """Return an open position that no order told of, which this order must have opened."""
        if order.trade_id:
            return None
        for trip in self._open.values():
            alike = (trip.symbol, trip.side, trip.open_qty) == (order.instrument, order.side, qty)
            if alike and not trip.by_order and not trip.orders:
                return trip
        return None

    def opposite(self, symbol: str, side: Side | None) -> Trip | None:
        """Return the oldest open position of a symbol that an order on `side` reduces."""
        return next(iter(self.opposites(symbol, side)), None)

    def opposites(self, symbol: str, side: Side | None) -> list[Trip]:
        """Return all open positions of a symbol that an order on `side` reduces, oldest first."""
        return [t for t in self._open.values() if t.symbol == symbol and t.side != side]

    def held(self) -> dict[tuple[str, Side], Decimal]:
        """Return how much is open by symbol and opening side."""
        open_qty: dict[tuple[str, Side], Decimal] = defaultdict(Decimal)
        for trip in self._open.values():
            open_qty[trip.symbol, trip.side] += trip.open_qty
        return dict(open_qty)

    def name_of(self, event: BotEvent, symbol: str, status: OrderStatus) -> str | None:
        """Return the order's own name, or one that keeps an order without ids one order."""
        client_id = event.text(ev.CLIENT_ID)
        if client_id or event.text(ev.ORDER_ID):
            return client_id
        waiting = self._waiting[symbol, event.side()]
        if status != "placed" and waiting:
            return waiting[0]
        number = event.sequence or str(self._unnamed[symbol] + 1)
        return f"{_UNNAMED}{symbol}-{number}"

    def _learn_fill(self, fill: Fill) -> None:
        leg = fill.leg or ""
        trip = self._trips.get(leg)
        if fill.venue_seq is not None:
            self._executed.add((fill.instrument, fill.venue_seq))
        if trip is not None and fill.side != trip.side:
            trip.open_qty -= fill.qty
            trip.exits += 1
            if not trip.open_qty:
                self._open.pop(leg, None)
            return
        if trip is not None:
            trip.open_qty += fill.qty
            trip.entries += 1
            self._open[leg] = trip
            return
        names = {name for name in (fill.client_order_id, fill.order_id) if name}
        by_order = leg in names or leg.startswith(_UNNAMED)
        trip = Trip(leg, fill.instrument, fill.side, fill.qty, by_order=by_order, orders=names)
        trip.executed = fill.venue_seq is not None
        self._trips[leg] = self._open[leg] = trip
        self._claim(trip, names)

    def _claim(self, trip: Trip, names: set[str]) -> None:
        for name in names:
            self._orders[trip.symbol, name] = trip

    def _learn_order(self, order: OrderUpdate) -> None:
        name = order.client_order_id or ""
        trip = self.of_order(order.instrument, {name}) if order.trade_id else None
        if trip is not None:
            trip.by_order = False
            self._trips.setdefault(order.trade_id or "", trip)
        if not name.startswith(_UNNAMED):
            return
        waiting = self._waiting[order.instrument, order.side]
        if order.status == "placed":
            self._unnamed[order.instrument] += 1
            waiting.append(name)
        elif order.status != "partially_filled":
            self._unnamed[order.instrument] += name not in waiting
            if name in waiting:
                waiting.remove(name)
