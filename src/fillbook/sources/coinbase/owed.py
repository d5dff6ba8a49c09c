"""What one history tells of and another has not shown yet: fills of orders, orders of fills.

The stream of orders counts the fills of each order; the history names them one by one, now and
then a moment later. And the list of orders leaves some out: those not placed in the advanced way,
the venue's own among them, unless each is asked for by its id. What is owed only makes a read
happen, or sooner: nothing is taken from it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fillbook.ground.clock import SECOND_NS

_FIRST_NS = 2 * SECOND_NS
# Asked again after 2, 4, 8 … s; then periodic pulls are enough.
_MOST_ASKS = 6
_MOST_ORDERS = 5_000


class _Order:
    """One order: what the stream says it filled, and the entries seen."""

    __slots__ = ("asks", "count", "due_ticks", "filled", "seen")

    def __init__(self) -> None:
        self.count = 0
        self.filled = ""
        self.seen: set[str] = set()
        self.asks = 0
        self.due_ticks = 0


class Owed:
    """Counts fills told against fills seen, order by order."""

    def __init__(self) -> None:
        self._orders: dict[str, _Order] = {}

    def told(self, row: dict[str, Any], now_ticks: int) -> bool:
        """Note what an order on the stream tells; return whether it has filled since."""
        order = self._order(str(row["order_id"]))
        filled = str(row["cumulative_quantity"])
        count = _whole(row.get("number_of_fills"))
        has_filled = filled.strip("0.") != "" and (filled, count) != (order.filled, order.count)
        order.filled, order.count = filled, max(order.count, count)
        if has_filled:
            order.asks, order.due_ticks = 0, now_ticks + _FIRST_NS
        return has_filled

    def seen(self, order_id: str, entry_id: str) -> bool:
        """Note an entry of the history and say whether it is new; any order's counts."""
        seen = self._order(order_id).seen
        is_new = entry_id not in seen
        seen.add(entry_id)
        return is_new

    def is_due(self, now_ticks: int) -> bool:
        """Say whether to ask again for fills that were told and not seen, and note the asking."""
        due = [
            order
            for order in self._orders.values()
            if order.count > len(order.seen)
            and order.asks < _MOST_ASKS
            and order.due_ticks <= now_ticks
        ]
        for order in due:
            order.asks += 1
            order.due_ticks = now_ticks + (_FIRST_NS << order.asks)
        return bool(due)

    def _order(self, order_id: str) -> _Order:
        order = self._orders.pop(order_id, None) or _Order()
        self._orders[order_id] = order
        while len(self._orders) > _MOST_ORDERS:
            del self._orders[next(iter(self._orders))]
        return order


class Unshown:
    """Orders that fills name and no row of an order has shown since."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}

    def filled(self, order_id: str) -> None:
        """Note the order of a fill that is new."""
        if order_id and len(self._ids) < _MOST_ORDERS:
            self._ids[order_id] = None

    def shown(self, order_id: str) -> None:
        """Note that an order was read, with what had become of it by then."""
        self._ids.pop(order_id, None)

    def ask_for(self, ask: Callable[[str], bool]) -> None:
        """Name the orders that are left, as many as are taken; each is named once."""
        for order_id in [*self._ids]:
            if not ask(order_id):
                return
            del self._ids[order_id]


def _whole(count: object) -> int:
    text = str(count)
    return int(text) if text.isascii() and text.isdigit() else 0
