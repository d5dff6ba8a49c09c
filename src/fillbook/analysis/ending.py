"""How trades ended: their closing fills joined to the orders behind them, by the ids they share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

from fillbook.analysis.exits import (
    ExitEvidence,
    exit_cause,
    exit_reason,
    is_telling,
    is_venues_own,
)
from fillbook.facts.model import OrderUpdate
from fillbook.ground.exact import from_scaled
from fillbook.ground.settings import StrategyRule
from fillbook.ledger import layout
from fillbook.ledger.columns import APPROXIMATE, SHARED
from fillbook.ledger.group import GroupLedger
from fillbook.ledger.ledger import Ledger
from fillbook.resolve.assignment import strategy_in
from fillbook.resolve.event import NO_STRATEGY

FILLS = "fills"
LAST_OBSERVED = "last observed"
UNKNOWN = "unknown"
_BRACKET = "BRACKET"

_Id = tuple[str, str, str]
"""(venue, account, id)"""


class Ending(NamedTuple):
    """The rule of thumb, the cause and whether somebody said so, and where the price is from."""

    reason: str | None
    cause: str | None
    certain: bool | None
    px_source: str | None


STILL_OPEN = Ending(None, None, None, None)


class PathEnd(NamedTuple):
    """A trade's gross result and the best and worst it stood at; None where nobody watched."""

    pnl: Decimal | None
    mfe: Decimal | None
    mae: Decimal | None


class Endings:
    """Knows the orders behind the closing rows it is made for; one look at every order.

    `rules` are the configured ones: a strategy that stands for a whole account or instrument says
    nothing about who closed a trade, a client id prefix does.
    """

    def __init__(
        self,
        ledger: Ledger,
        rules: Sequence[StrategyRule],
        closing: Iterable[tuple[GroupLedger, int]],
    ) -> None:
        self._rules = rules
        self._prefixes = tuple(r.client_id_prefix for r in rules if r.client_id_prefix)
        self._symbols = {name for group in ledger.groups for name in _names(group)}
        wanted = {of for group, row in closing if (of := _order_of(group, row)) is not None}
        self._orders: dict[_Id, list[OrderUpdate]] = {of: [] for of in wanted}
        self._by_client: dict[_Id, list[OrderUpdate]] = {}
        if wanted:
            self._find(ledger.orders)

    def _find(self, orders: Sequence[OrderUpdate]) -> None:
        """Collect the updates of the wanted orders, and what bots say under the same client id."""
        # Of all orders of a book few closed one of these trades: most are passed by at one look.
        wanted = {order_id for _, _, order_id in self._orders}
        for order in orders:
            if order.order_id not in wanted:
                continue
            known = self._orders.get((order.venue, order.account, order.order_id or ""))
            if known is not None:
                known.append(order)
                if order.client_order_id:
                    self._by_client[order.venue, order.account, order.client_order_id] = []
        if not self._by_client:
            return
        for order in orders:
            if not order.order_id:
                named = (order.venue, order.account, order.client_order_id or "")
                if named in self._by_client:
                    self._by_client[named].append(order)

    def of(self, group: GroupLedger, row: int, path: PathEnd) -> Ending:
        """Say how the trade ended that one row of a group closed."""
        columns = group.columns
        orders = self._orders_of(group, row)
        found = exit_cause(
            ExitEvidence(
                order_type=_type_of(
                    orders, from_scaled(int(columns.price[row]), columns.terms.price_scale)
                ),
                client_order_id=self._client_id(orders),
                cause=_venues_word(columns.cause[row], orders),
                strategy=self._strategy_of(group, row, orders),
                bot_prefixes=self._prefixes,
                pnl=path.pnl,
                mfe=path.mfe,
                mae=path.mae,
            )
        )
        is_known = found.label != UNKNOWN
        return Ending(
            reason=columns.exit_reason[row] or exit_reason(path.pnl, path.mfe),
            cause=found.label if is_known else None,
            certain=found.certain if is_known else None,
            px_source=_px_source(group, row),
        )

    def _orders_of(self, group: GroupLedger, row: int) -> list[OrderUpdate]:
        of = _order_of(group, row)
        if of is None:
            return []
        found = [order for order in self._orders[of] if self._same_market(group, order)]
        clients = dict.fromkeys(o.client_order_id for o in found if o.client_order_id)
        for client in clients:
            told = self._by_client.get((of[0], of[1], client), ())
            found += [order for order in told if self._same_market(group, order)]
        return found

    def _same_market(self, group: GroupLedger, order: OrderUpdate) -> bool:
        # Some venues number orders by product; a bot's own name for one stands in nobody's way.
        return order.instrument in _names(group) or order.instrument not in self._symbols

    def _client_id(self, orders: Sequence[OrderUpdate]) -> str | None:
        ids = [order.client_order_id for order in orders if order.client_order_id]
        own = (each for each in ids if is_venues_own(each) or each.startswith(self._prefixes))
        return next(own, ids[-1] if ids else None)

    def _strategy_of(
        self, group: GroupLedger, row: int, orders: Sequence[OrderUpdate]
    ) -> str | None:
        """Return who asked for the closing fill, as far as somebody said so of this very fill."""
        columns = group.columns
        for order in orders:
            if order.strategy or order.decision_id:
                return order.strategy or order.decision_id
        if columns.decision_id[row] is not None:
            return columns.decision_id[row]
        strategy = strategy_in(columns.books[int(columns.events.book[row])])
        if strategy == NO_STRATEGY or columns.traits[row] & SHARED:
            return None
        key = columns.key
        wide = (rule for rule in self._rules if rule.client_id_prefix is None)
        ruled = {r.strategy for r in wide if r.matches(key.account, key.instrument, None)}
        return None if strategy in ruled else strategy


def _names(group: GroupLedger) -> tuple[str, ...]:
    contract = group.columns.contract
    return (contract.symbol, *contract.aliases)


def _order_of(group: GroupLedger, row: int) -> _Id | None:
    columns = group.columns
    order_id = columns.order_id[row]
    return None if order_id is None else (columns.key.venue, columns.key.account, order_id)


def _type_of(orders: Sequence[OrderUpdate], px: Decimal) -> str | None:
    """Return the type an order was sent with: of several prints the one that tells most.

    A bracket is a target and a stop in one: which of them was hit, its price says.
    """
    types = [order.order_type for order in orders if order.order_type]
    told = next((kind for kind in types if is_telling(kind)), types[-1] if types else None)
    if told is None or _BRACKET not in told.upper():
        return told
    for order in orders:
        if order.px is not None and order.side is not None:
            reached = px >= order.px if order.side == "sell" else px <= order.px
            return "TAKE_PROFIT" if reached else "STOP"
    return told


def _venues_word(cause: str | None, orders: Sequence[OrderUpdate]) -> str | None:
    words = (cause, *(order.reason for order in orders))
    return next((word for word in words if word and is_venues_own(word)), None)


def _px_source(group: GroupLedger, row: int) -> str | None:
    """Say where the price of a closing row is from; None where nobody knows one."""
    columns = group.columns
    if columns.events.kind[row] != layout.FILL:
        return None
    if not columns.traits[row] & APPROXIMATE:
        return FILLS
    provider = (columns.fill_id[row] or "").split("/", 2)[2:]
    return f"provider:{provider[0]}" if provider else LAST_OBSERVED
