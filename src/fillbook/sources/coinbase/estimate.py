"""What the first pull of a Coinbase portfolio takes, and what it cannot bring."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from fillbook.sources.budget import Budget
from fillbook.sources.coinbase.asks import PAGE_ROWS, answered, ask_of
from fillbook.sources.coinbase.fills import VENUE
from fillbook.sources.coinbase.order_streams import OrdersStream
from fillbook.sources.coinbase.streams import LONGEST_NS, OLDEST_NS, FillsStream
from fillbook.sources.stream import Answer, Ask, AttachEstimate

Read = Callable[[Ask], Awaitable[Answer]]

BEYOND = (
    "fills and orders: Coinbase names no limit of age; what Coinbase Pro filled before its end is "
    "in the fills export of Pro, which `fillbook import` reads",
    "funding and daily settlement: no read tells them; an account statement of the web page does",
    "deposits, withdrawals, conversions: no read that is on the list tells them",
)
# Time, rights, this look, positions, prices, products.
_ONCE = 9
_MOST_ROWS = 100_000


class _Page(msgspec.Struct):
    cursor: str | None = None


async def estimate(account: str, read: Read, budget: Budget, now_ns: int) -> AttachEstimate:
    """Say what the first pull takes; asks whether a page holds all.

    Where it does not, the venue tells no number: a hundred thousand rows are taken for the most.
    """
    stretches = 1 + (now_ns - OLDEST_NS) // LONGEST_NS
    asks, is_all = _ONCE, True
    for path in (FillsStream.path, OrdersStream.path):
        page = answered(await read(ask_of(path, [("limit", str(PAGE_ROWS))])), _Page)
        is_all = is_all and not page.cursor
        asks += stretches + (_MOST_ROWS // PAGE_ROWS if page.cursor else 0)
    use = budget.use()
    return AttachEstimate(
        venue=VENUE,
        account=account,
        asks=asks,
        weight=asks,
        duration_ns=budget.duration_ns(asks),
        share_ratio=use.allowance / use.limit,
        exact=is_all,
        beyond=BEYOND,
    )
