"""Performance per currency: statistics of closed trades and ratios of daily money."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from fillbook.analysis.answers import Performance
from fillbook.analysis.dailymoney import DailyMoney, daily_money
from fillbook.analysis.occupancy import time_in_market_ns
from fillbook.analysis.performance import (
    TradeStatistics,
    outcomes,
    profit_and_loss,
    profit_factor,
    trade_statistics,
)
from fillbook.analysis.ratios import DailyRatios, daily_ratios, presentable
from fillbook.analysis.tradebook import TradeTable, trade_tables
from fillbook.analysis.view import BookView, Part, Query, definition_of, parts_of
from fillbook.analysis.why import GROSS, NET
from fillbook.ground.exact import money_text

NO_TIMES = "the file names no times: holding, time in market and daily ratios are undefined"
NO_CAPITAL = "no capital is declared, so ratios rest on daily money, and none needs a base"


def performance(view: BookView, query: Query) -> list[Performance]:
    """Return one scorecard per settlement currency; trades count by close time."""
    parts, until_ns = parts_of(view, query), view.until_ns(query)
    closed, opened = trade_tables(parts, view.valuer, query.since_ns, until_ns)
    return [
        _scorecard(
            view, query, [p for p in parts if p.currency == name], closed[name], opened[name]
        )
        for name in closed
    ]


def _scorecard(
    view: BookView, query: Query, parts: list[Part], closed: TradeTable, opened: TradeTable
) -> Performance:
    priced = closed.pick(~closed.unpriced)
    gross_basis = bool(priced.fee_unknown.any())
    untimed = bool(priced.untimed.any())
    times = (None, None) if untimed else (priced.open_ns, priced.close_ns)
    money = priced.gross if gross_basis else priced.net
    figures = trade_statistics(money, priced.n_fills, *times)
    since_ns, until_ns = window_of(view, query, parts)
    ratios: DailyRatios | None = None
    notes: tuple[str, ...] = (NO_TIMES,)
    basis = "none"
    if not untimed and parts:
        daily = daily_money(parts, view.valuer, since_ns, until_ns)
        ratios, notes, basis = _ratios(daily, _capital(view, parts, closed.currency))
    return _assembled(
        figures,
        ratios,
        notes=notes,
        currency=closed.currency,
        basis=GROSS if gross_basis else NET,
        definition=definition_of(parts),
        n_unpriced=int(closed.unpriced.sum()),
        n_open=len(opened),
        gross_factor=_gross_factor(priced),
        in_market=None if untimed else _in_market(priced, opened, since_ns, until_ns),
        ratios_basis=basis,
        days=0 if ratios is None else ratios.days,
    )


def _assembled(
    figures: TradeStatistics,
    ratios: DailyRatios | None,
    *,
    notes: tuple[str, ...],
    currency: str,
    basis: str,
    definition: str,
    n_unpriced: int,
    n_open: int,
    gross_factor: float | None,
    in_market: float | None,
    ratios_basis: str,
    days: int,
) -> Performance:
    return Performance(
        currency=currency,
        basis=basis,
        trade_definition=definition,
        n=figures.n,
        wins=figures.wins,
        losses=figures.losses,
        breakeven=figures.breakeven,
        n_unpriced=n_unpriced,
        n_open=n_open,
        win_rate_ratio=figures.win_rate_ratio,
        win_rate_decisive_ratio=figures.win_rate_decisive_ratio,
        gross_profit=money_text(figures.gross_profit),
        gross_loss=money_text(figures.gross_loss),
        net=money_text(figures.net),
        expectancy=figures.expectancy,
        avg_win=figures.avg_win,
        avg_loss=figures.avg_loss,
        profit_factor=figures.profit_factor,
        profit_factor_gross=gross_factor,
        payoff_ratio=figures.payoff_ratio,
        kelly_binary=figures.kelly_binary,
        sqn=figures.sqn,
        best=None if figures.best is None else money_text(figures.best),
        worst=None if figures.worst is None else money_text(figures.worst),
        avg_hold_hours=figures.avg_hold_hours,
        median_hold_hours=figures.median_hold_hours,
        max_consecutive_wins=figures.max_consecutive_wins,
        max_consecutive_losses=figures.max_consecutive_losses,
        time_in_market_ratio=in_market,
        max_drawdown=money_text(figures.max_drawdown) if figures.n else None,
        max_drawdown_ratio=ratios.max_drawdown_ratio if ratios else None,
        max_drawdown_days=ratios.max_drawdown_days if ratios else None,
        drawdown_recovered=ratios.drawdown_recovered if ratios else None,
        ratios_basis=ratios_basis,
        sharpe=ratios.sharpe if ratios else None,
        sortino=ratios.sortino if ratios else None,
        omega=ratios.omega if ratios else None,
        calmar=ratios.calmar if ratios else None,
        ulcer=ratios.ulcer if ratios else None,
        cagr=ratios.cagr if ratios else None,
        days=days,
        notes=notes,
    )


def window_of(view: BookView, query: Query, parts: Sequence[Part]) -> tuple[int, int]:
    """Return the window's start and end; an open start is the first selected event."""
    firsts = [int(p.group.columns.ts_ns[p.first]) for p in parts if p.last > p.first]
    until_ns = view.until_ns(query)
    since_ns = min(firsts, default=until_ns - 1) if query.since_ns is None else query.since_ns
    return since_ns, max(until_ns, since_ns + 1)


def _ratios(daily: DailyMoney, capital: Decimal | None) -> tuple[DailyRatios, tuple[str, ...], str]:
    if capital is None or not capital:
        shown, notes = presentable(daily_ratios(daily.net, "money"))
        return shown, (*notes, NO_CAPITAL), daily.basis
    equity = float(capital) + np.concatenate(([0.0], np.cumsum(daily.net)))
    if (equity[:-1] <= 0).any():
        shown, notes = presentable(daily_ratios(daily.net, "money"))
        return shown, (*notes, "the declared capital was used up: no returns"), daily.basis
    shown, notes = presentable(daily_ratios(daily.net / equity[:-1], "returns"))
    return shown, notes, f"daily returns on declared capital, {daily.basis}"


def _capital(view: BookView, parts: Sequence[Part], currency: str) -> Decimal | None:
    """Return the capital declared for all selected accounts, None unless each declares some."""
    accounts = {part.group.columns.key.account for part in parts}
    declared = [
        told.capital[currency]
        for account in accounts
        if (told := view.settings.accounts.get(account)) and currency in told.capital
    ]
    return sum(declared, Decimal(0)) if accounts and len(declared) == len(accounts) else None


def _gross_factor(priced: TradeTable) -> float | None:
    classes = outcomes(priced.gross, priced.n_fills)
    return profit_factor(*profit_and_loss(priced.gross, classes))[0]


def _in_market(closed: TradeTable, opened: TradeTable, since_ns: int, until_ns: int) -> float:
    starts = np.concatenate((closed.open_ns, opened.open_ns))
    ends = np.concatenate((closed.close_ns, opened.close_ns))
    return time_in_market_ns(starts, ends, since_ns, until_ns) / (until_ns - since_ns)
