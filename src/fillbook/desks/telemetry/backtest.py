"""What a backtest says of itself: the ledger's figures of its trades, by month and by risk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from fillbook.analysis.answers import TradeRow
from fillbook.analysis.path import r_multiple
from fillbook.analysis.summary import performance, trades
from fillbook.analysis.view import BookView, Query
from fillbook.analysis.why import NET
from fillbook.desks.telemetry.figures import Whose
from fillbook.ground.errors import InputError, UsageError
from fillbook.ground.exact import EXACT

Closed = Sequence[tuple[TradeRow, Decimal]]
"""Trades and what each made, on the basis of the whole."""

_CENT_DIGITS = 2


class BacktestSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Closed trades of one account and currency; `basis` says whether the money is net.

    `avg_loss` and `largest_loss` are positive. `monthly_returns` are percent of the initial
    equity, by the UTC month of the exit, months without a trade included. `average_r` is the mean
    of result / risk at entry over the `r_trades` whose first stop order is known. None where there
    is nothing to say.
    """

    currency: str
    basis: str
    total_trades: int
    winning_trades: int
    losing_trades: int
    net_pnl: Decimal
    avg_win: float | None
    avg_loss: float | None
    largest_win: Decimal | None
    largest_loss: Decimal | None
    max_consecutive_losses: int
    monthly_returns: dict[str, float]
    average_r: float | None
    r_trades: int

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain values, numbers rounded to two decimals."""
        return {name: _shown(value) for name, value in msgspec.structs.asdict(self).items()}


def backtest_summary(view: BookView, whose: Whose, initial_equity: Decimal) -> BacktestSummary:
    """Sum up a book of backtested trades.

    UsageError where the equity is not above zero; InputError without a closed trade.
    """
    if initial_equity <= 0:
        raise UsageError("the initial equity is not above zero", "initial_equity", "name it")
    query = Query(accounts=(whose.account,))
    cards = [card for card in performance(view, query) if card.currency == whose.currency]
    if not cards:
        raise InputError(f"no trade in {whose.currency}", "", "name the currency of the trades")
    card = cards[0]
    closed = [
        (row, Decimal(told))
        for row in trades(view, query)
        if row.currency == whose.currency and row.final_status == "completed"
        if (told := row.net if card.basis == NET else row.realized_pnl) is not None
    ]
    risks = _r_multiples(view, closed)
    best, worst = (None if told is None else Decimal(told) for told in (card.best, card.worst))
    return BacktestSummary(
        currency=whose.currency,
        basis=card.basis,
        total_trades=card.n,
        winning_trades=card.wins,
        losing_trades=card.losses,
        net_pnl=Decimal(card.net),
        avg_win=card.avg_win,
        avg_loss=card.avg_loss,
        largest_win=best if best is not None and best > 0 else None,
        largest_loss=-worst if worst is not None and worst < 0 else None,
        max_consecutive_losses=card.max_consecutive_losses,
        monthly_returns=_by_month(closed, initial_equity),
        average_r=math.fsum(risks) / len(risks) if risks else None,
        r_trades=len(risks),
    )


def _by_month(closed: Closed, initial_equity: Decimal) -> dict[str, float]:
    made: dict[str, Decimal] = {}
    for row, result in closed:
        month = (row.exit_time or "")[:7]
        made[month] = EXACT.add(made.get(month, Decimal(0)), result)
    months = _months(min(made), max(made)) if made else []
    return {month: float(100 * made.get(month, Decimal(0)) / initial_equity) for month in months}


def _months(first: str, last: str) -> list[str]:
    """List all months from one to another.

    >>> _months("2025-11", "2026-02")
    ['2025-11', '2025-12', '2026-01', '2026-02']
    """
    ends = [12 * int(year) + int(month) - 1 for year, month in (first.split("-"), last.split("-"))]
    return [f"{n // 12:04}-{n % 12 + 1:02}" for n in range(ends[0], ends[1] + 1)]


def _r_multiples(view: BookView, closed: Closed) -> list[float]:
    """Return result / risk at entry of each trade whose stop is known.

    The first stop counts: one that was moved later does not rewrite the risk taken.
    """
    stops: dict[str, Decimal] = {}
    for order in view.ledger.orders:
        kind = (order.order_type or "").upper()
        if order.trade_id and order.stop_px is not None and kind.startswith("STOP"):
            stops.setdefault(order.trade_id, order.stop_px)
    told = (
        r_multiple(
            result, Decimal(row.entry_price), stops.get(row.trade_id), Decimal(row.position_size)
        )
        for row, result in closed
        if row.entry_price is not None
    )
    return [each for each in told if each is not None]


def _shown(value: object) -> object:
    if isinstance(value, dict):
        return {name: _shown(each) for name, each in value.items()}
    if isinstance(value, Decimal):
        return float(round(value, _CENT_DIGITS))
    return round(value, _CENT_DIGITS) if isinstance(value, float) else value
