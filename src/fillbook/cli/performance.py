"""`fillbook performance` on screen: one column per currency, never a sum across them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fillbook.analysis.answers import Performance
from fillbook.cli.figures import UNKNOWN, clean, decimals_for, duration, money, number, percent
from fillbook.cli.page import Page
from fillbook.cli.tables import Cell, Column, tone_of

Told = Callable[[Performance], Cell]
# Annualised figures of a short history mislead; they are computed, but shown from here on.
_ANNUAL_FROM_DAYS = 180


def _amount(name: str, *, cost: bool = False) -> Told:
    def tell(of: Performance) -> Cell:
        value = getattr(of, name)
        text = None if value is None else str(value)
        scale = decimals_for(of.currency, [of.gross_profit, of.gross_loss, of.net])
        tone = "" if cost else tone_of(text)
        return Cell(money(_plain(value), scale, plus=not cost), tone)

    return tell


def _plain(value: str | float | None) -> str | None:
    return f"{value:.12f}" if isinstance(value, float) else value


def _stat(name: str, places: int = 2) -> Told:
    return lambda of: Cell(number(getattr(of, name), places))


def _share(name: str) -> Told:
    return lambda of: Cell(percent(getattr(of, name)))


def _count(name: str) -> Told:
    def tell(of: Performance) -> Cell:
        value = getattr(of, name)
        return Cell(UNKNOWN if value is None else f"{value:,}")

    return tell


def _annual(name: str) -> Told:
    def tell(of: Performance) -> Cell:
        value = getattr(of, name) if of.days >= _ANNUAL_FROM_DAYS else None
        return Cell(percent(value) if name == "cagr" else number(value))

    return tell


def _profit_factor(of: Performance) -> Cell:
    if of.profit_factor is None and of.wins and not of.losses:
        return Cell("no losses yet")
    return Cell(number(of.profit_factor))


def _recovered(of: Performance) -> Cell:
    if of.max_drawdown_days is None:
        return Cell(UNKNOWN)
    state = "recovered" if of.drawdown_recovered else "still open"
    return Cell(f"{of.max_drawdown_days:,} days, {state}")


SECTIONS: tuple[tuple[str, tuple[tuple[str, Told], ...]], ...] = (
    (
        "Closed trades",
        (
            ("closed trades", _count("n")),
            ("wins", _count("wins")),
            ("losses", _count("losses")),
            ("break-even", _count("breakeven")),
            ("unpriced, outside these", _count("n_unpriced")),
            ("still open", _count("n_open")),
            ("win rate", _share("win_rate_ratio")),
            ("win rate, decisive only", _share("win_rate_decisive_ratio")),
            ("longest winning streak", _count("max_consecutive_wins")),
            ("longest losing streak", _count("max_consecutive_losses")),
            ("average holding", lambda of: Cell(duration(of.avg_hold_hours))),
            ("median holding", lambda of: Cell(duration(of.median_hold_hours))),
            ("time in market", _share("time_in_market_ratio")),
        ),
    ),
    (
        "Money",
        (
            ("net", _amount("net")),
            ("gross profit", _amount("gross_profit")),
            ("gross loss", _amount("gross_loss", cost=True)),
            ("expectancy a trade", _amount("expectancy")),
            ("average win", _amount("avg_win")),
            ("average loss", _amount("avg_loss", cost=True)),
            ("best trade", _amount("best")),
            ("worst trade", _amount("worst")),
            ("profit factor", _profit_factor),
            ("profit factor, before costs", _stat("profit_factor_gross")),
            ("payoff ratio", _stat("payoff_ratio")),
        ),
    ),
    (
        "Risk",
        (
            ("largest drawdown, closed trades", _amount("max_drawdown", cost=True)),
            ("largest drawdown, daily", _share("max_drawdown_ratio")),
            ("that one lasted", _recovered),
            ("Sharpe", _stat("sharpe")),
            ("Sortino", _stat("sortino")),
            ("Omega", _stat("omega")),
            ("SQN", _stat("sqn")),
            ("Kelly, a ceiling", _share("kelly_binary")),
            ("ulcer index", _share("ulcer")),
            ("CAGR, from 180 days", _annual("cagr")),
            ("Calmar, from 180 days", _annual("calmar")),
            ("days", _count("days")),
        ),
    ),
)


def show_performance(page: Page, rows: Sequence[Performance]) -> None:
    """Write every statistic, then on what basis it stands.

    Currencies stand side by side where they fit, else one after the other.
    """
    if not rows:
        page.line("No closed trade in this window.")
    if page.width is not None and _width(rows) > page.width:
        for of in rows:
            _sections(page, [of])
    else:
        _sections(page, rows)
    _basis(page, rows)


def _basis(page: Page, rows: Sequence[Performance]) -> None:
    """Write on what the figures stand, once for all columns that share it."""
    told: dict[str, list[str]] = {}
    for of in rows:
        stands = f"basis {of.basis}; trade: {of.trade_definition}; ratios from {of.ratios_basis}."
        for text in (stands, *of.notes):
            told.setdefault(text, []).append(_title(of))
    for text, titles in told.items():
        whose = "" if len(titles) == len(rows) else f"{', '.join(titles)}: "
        page.line(f"{whose}{text}", "quiet", rest="  ")


def _widest(of: Performance) -> int:
    told = (len(tell(of).text) for _, lines in SECTIONS for _, tell in lines)
    return max(len(_title(of)), *told)


def _title(of: Performance) -> str:
    return of.currency if of.part is None else f"{clean(of.part)} {of.currency}"


def _width(rows: Sequence[Performance]) -> int:
    return _LABEL + sum(2 + _widest(of) for of in rows)


def _sections(page: Page, rows: Sequence[Performance]) -> None:
    """Write the three tables with one width, so that their columns stand below each other."""
    for title, lines in SECTIONS:
        names = [Cell(name.ljust(_LABEL), "quiet") for name, _ in lines]
        columns = [Column(title=title, cells=names)]
        for of in rows:
            cells = [tell(of) for _, tell in lines]
            header = _title(of).rjust(_widest(of))
            columns.append(Column(title=header, cells=cells, right=True))
        page.table(columns)
        page.gap()


_LABEL = max(len(name) for _, lines in SECTIONS for name, _ in lines)
