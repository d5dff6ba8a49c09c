"""What the first pull of a Binance account takes, what it cannot bring, and what it looks for.

A symbol's history has to be asked for by name. The commissions of three months name every symbol
that was traded for a fee, and say how much there is to pull.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from fillbook.sources.binance.asks import (
    HISTORY_WEIGHT,
    INCOME_WEIGHT,
    LONGEST_WINDOW_NS,
    PAGE_ROWS,
    RETENTION_NS,
    answered,
    history_ask,
)
from fillbook.sources.binance.fills import MILLISECOND_NS, VENUE
from fillbook.sources.binance.income import COMMISSION
from fillbook.sources.budget import Budget
from fillbook.sources.stream import Answer, Ask, AttachEstimate

Read = Callable[[Ask], Awaitable[Answer]]

BEYOND = (
    "trades and income: Binance keeps three months; older ones are in the CSV exports of its web "
    "page (Orders, Futures Order, Transaction History), a year at a time, five a month",
    "orders: those cancelled without a fill are kept for three days, others for 90",
)
_MOST_PAGES = 10
_WINDOWS = -(-RETENTION_NS // LONGEST_WINDOW_NS)
# Trades, orders and conditional orders of each symbol.
_HISTORIES = 3
# Time, uid, rights, positions, account, open orders, and what BNB was worth.
_ONCE = (12, 100)


class Traded(msgspec.Struct, frozen=True):
    """The symbols that commissions name, and how many rows name them; `all` unless cut off."""

    symbols: frozenset[str] = frozenset()
    rows: int = 0
    asks: int = 0
    all: bool = True


class _Paid(msgspec.Struct):
    time: int
    symbol: str = ""


async def look_for_symbols(read: Read, now_ns: int, page_rows: int = PAGE_ROWS) -> Traded:
    """Read commissions from the oldest on, and the newest where there are too many."""
    from_ns, until_ns = now_ns - RETENTION_NS, now_ns + MILLISECOND_NS
    paid: list[_Paid] = []
    for count in range(1, _MOST_PAGES + 1):
        page = await _commissions(read, (from_ns, until_ns), page_rows)
        paid += page
        if len(page) < page_rows:
            return _traded(paid, count, complete=True)
        from_ns = max(row.time for row in page) * MILLISECOND_NS
    # What is left in between is found by the income itself, as it is pulled.
    paid += await _commissions(read, (now_ns - LONGEST_WINDOW_NS, until_ns), page_rows)
    return _traded(paid, _MOST_PAGES + 1, complete=False)


async def _commissions(read: Read, window: tuple[int, int], page_rows: int) -> list[_Paid]:
    ask = history_ask("income", INCOME_WEIGHT, page_rows, window, incomeType=COMMISSION)
    return answered(await read(ask), list[_Paid])


def _traded(paid: list[_Paid], asks: int, *, complete: bool) -> Traded:
    symbols = frozenset(row.symbol for row in paid if row.symbol)
    return Traded(symbols, len(paid), asks, complete)


def estimate(account: str, budget: Budget, traded: Traded) -> AttachEstimate:
    """Say what the first pull takes, as far as commissions tell."""
    # Each trade is a commission row and mostly a realised result as well.
    income = _WINDOWS + 2 * traded.rows // PAGE_ROWS
    histories = len(traded.symbols) * _HISTORIES * _WINDOWS + 2 * traded.rows // PAGE_ROWS
    asks = income + histories + _ONCE[0]
    weight = income * INCOME_WEIGHT + histories * HISTORY_WEIGHT + _ONCE[1]
    use = budget.use()
    return AttachEstimate(
        venue=VENUE,
        account=account,
        asks=asks,
        weight=weight,
        duration_ns=budget.duration_ns(weight),
        share_ratio=use.allowance / use.limit,
        exact=False,
        beyond=BEYOND,
    )
