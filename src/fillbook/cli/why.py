"""`fillbook why` on screen: the answer in words first, then the ladder that proves it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fillbook.analysis.answers import (
    Answer,
    CurrencyTotals,
    Expectancy,
    MadeMoney,
    SourceSpan,
    Why,
    WhySlice,
)
from fillbook.cli.figures import UNKNOWN, day, decimals_for, money, number, percent, plural
from fillbook.cli.findings import show_findings
from fillbook.cli.page import Page
from fillbook.cli.tables import Cell, Column, tone_of
from fillbook.cli.waterfall import effects, ladder_columns
from fillbook.ground.exact import plain_text

Label = Callable[[str], str]
_WORDS = {"yes": "YES", "no": "NO", "incomplete": "INCOMPLETE"}


class LadderRow(Answer, frozen=True, kw_only=True):
    """One line of the ladder as a CSV row: its signed effect on net."""

    currency: str
    line: str
    effect: str | None


def ladder_rows(why: Why) -> list[LadderRow]:
    """Flatten the ladders of all currencies; the line `net` is their sum."""
    rows = []
    for totals in why.currencies.values():
        told = [
            (name.replace(" ", "_"), None if effect is None else plain_text(effect))
            for name, effect, _ in effects(totals)
        ]
        for name, effect in (*told, ("net", totals.net)):
            rows.append(LadderRow(currency=totals.currency, line=name, effect=effect))
    return rows


_MOST_DOUBTS = 4


def show_why(page: Page, why: Why, label: Label) -> None:
    """Write the whole answer; `label` gives an account its readable name."""
    page.line(headline(why), "strong", rest="  ")
    for doubt in why.incomplete_because[:_MOST_DOUBTS]:
        page.line(f"  because {doubt}", rest="    ")
    if len(why.incomplete_because) > _MOST_DOUBTS:
        page.line(f"  and {len(why.incomplete_because) - _MOST_DOUBTS} more (--json has all)")
    for line in edge_lines(why):
        page.line(line, rest="  ")
    page.line(_scope(why), "quiet")
    for totals in why.currencies.values():
        page.gap()
        page.table(ladder_columns(totals, blocks=page.unicode), total=True)
        page.line(_split(totals), "quiet", rest="  ")
    if why.reasons:
        _reasons(page, why)
    if why.by:
        _slices(page, why.by, label)
    _coverage(page, why, label)
    show_findings(page, why.findings, label)
    page.gap()
    page.line(_footer(why), "quiet")


def headline(why: Why) -> str:
    """Answer the question in one sentence, money first."""
    if not why.n_fills:
        return "NO FILLS in this window: nothing was made and nothing was lost."
    parts = [_phrase(totals, why.made_money) for totals in why.currencies.values()]
    return f"{_WORDS[why.made_money]}, {'; '.join(parts)}."


def _phrase(totals: CurrencyTotals, made: MadeMoney) -> str:
    known = totals.net if totals.net is not None else totals.gross
    kind = "net" if totals.net is not None else "gross (fees unknown)"
    decimals = decimals_for(totals.currency, [known])
    if totals.bound == "incomplete":
        return f"known so far {money(known, decimals, plus=True)} {totals.currency} {kind}"
    if made == "incomplete" and totals.bound == "exact":
        return f"by its own fills {money(known, decimals, plus=True)} {totals.currency} {kind}"
    if totals.bound != "exact":
        return f"{totals.bound} {money(known, decimals, plus=True)} {totals.currency} {kind}"
    verb = "lost" if known.startswith("-") else "made"
    return f"{verb} {money(known.removeprefix('-'), decimals)} {totals.currency} {kind}"


def edge_lines(why: Why) -> list[str]:
    """Say the second half of the verdict and what it rests on, per currency."""
    if len(why.currencies) == 1:
        return [f"Edge: {why.edge} ({expectancy_words(why.expectancy)})."]
    told = [f"Edge: {why.edge}."]
    told += [
        f"  {currency}: {expectancy_words(totals.expectancy)}"
        for currency, totals in why.currencies.items()
    ]
    return told


def expectancy_words(of: Expectancy) -> str:
    """Put an expectancy with its interval into words."""
    counted = f"n = {of.n:,}"
    if of.mean is None:
        return f"{counted}, nothing to average yet"
    decimals = decimals_for(of.unit.split(" ")[0], [f"{of.mean:.12f}"])
    mean = f"mean {number(of.mean, decimals)} {of.unit}"
    if of.low is None or of.high is None:
        return f"{counted}, {mean}; too early for an interval"
    low, high = number(of.low, decimals), number(of.high, decimals)
    return f"{counted}, {mean}; 95% interval {low} to {high}, valid at any look"


def _scope(why: Why) -> str:
    since = day(why.window.since or why.coverage.first_event)
    until = day(why.window.until or why.coverage.last_event)
    counts = [plural(why.n_fills, "fill"), plural(why.n_trades, "closed trade")]
    if why.n_unpriced:
        counts.append(f"{why.n_unpriced:,} of them unpriced")
    return f"{since} to {until}, {', '.join(counts)}."


def _split(totals: CurrencyTotals) -> str:
    figures = {
        "gross": totals.gross,
        "realized": totals.realized,
        "unrealized": totals.unrealized,
    }
    decimals = decimals_for(totals.currency, figures.values())
    told = [f"{name} {money(amount, decimals, plus=True)}" for name, amount in figures.items()]
    return f"{totals.currency}: {', '.join(told)}"


def _reasons(page: Page, why: Why) -> None:
    page.gap()
    page.line("The three largest reasons" if len(why.reasons) == 3 else "Reasons", "strong")
    amounts = [
        money(r.amount, decimals_for(r.currency, [r.amount]), plus=True) for r in why.reasons
    ]
    page.table(
        [
            Column(title="", cells=[Cell(r.line.replace("_", " ")) for r in why.reasons]),
            Column(
                title="effect on net",
                cells=[
                    Cell(text, tone_of(r.amount))
                    for text, r in zip(amounts, why.reasons, strict=True)
                ],
                point=True,
            ),
            Column(title="", cells=[Cell(r.currency) for r in why.reasons]),
            Column(
                title="of all effects",
                cells=[Cell(percent(r.share, 0)) for r in why.reasons],
                right=True,
            ),
            Column(
                title="rows",
                cells=[Cell(f"{r.fills:,}") for r in why.reasons],
                right=True,
                rank=1,
            ),
        ]
    )


def _slices(page: Page, slices: Sequence[WhySlice], label: Label) -> None:
    """Write one row per value of --by and currency: where net came from."""
    page.gap()
    page.line(f"By {slices[0].dimension}", "strong")
    flat = [(part, totals) for part in slices for totals in part.currencies.values()]
    decimals = {
        currency: decimals_for(
            currency, [t.net or t.gross for _, t in flat if t.currency == currency]
        )
        for currency in {t.currency for _, t in flat}
    }

    def figures(name: str, *, cost: bool = False) -> list[Cell]:
        cells = []
        for _, totals in flat:
            amount = getattr(totals, name)
            text = money(amount, decimals[totals.currency], plus=not cost)
            cells.append(Cell(text, "" if cost else tone_of(amount)))
        return cells

    names = [label(p.value) if p.dimension == "account" else p.value for p, _ in flat]
    page.table(
        [
            Column(title=slices[0].dimension, cells=[Cell(name) for name in names], wraps=True),
            Column(title="gross", cells=figures("gross"), point=True, rank=1),
            Column(title="fees", cells=figures("fees", cost=True), point=True, rank=2),
            Column(title="funding", cells=figures("funding"), point=True, rank=3),
            Column(title="net", cells=figures("net"), point=True),
            Column(title="", cells=[Cell(t.currency) for _, t in flat]),
            Column(
                title="fills", cells=[Cell(f"{p.n_fills:,}") for p, _ in flat], right=True, rank=5
            ),
            Column(
                title="trades", cells=[Cell(f"{p.n_trades:,}") for p, _ in flat], right=True, rank=4
            ),
        ]
    )


def _coverage(page: Page, why: Why, label: Label) -> None:
    page.gap()
    page.line("How sure", "strong")
    known = why.coverage
    prices = {
        "decision": known.decision_px_ratio,
        "arrival": known.arrival_px_ratio,
        "mid": known.mid_px_ratio,
    }
    told = ", ".join(f"{name} {percent(ratio, 0)}" for name, ratio in prices.items())
    page.line(f"Prices known, by notional: {told}; fees known: {percent(known.fee_ratio, 0)}.")
    accounts: dict[str, list[SourceSpan]] = {}
    for span in known.sources:
        accounts.setdefault(span.account, []).append(span)
    for account, spans in accounts.items():
        page.line(f"{label(account)}: {_covered(spans)}", "quiet", indent="  ", rest="    ")


def _covered(spans: Sequence[SourceSpan]) -> str:
    """Say what is covered and by which reader: `fills, funding (hyperliquid-api)`, and when."""
    components: dict[str, dict[str, None]] = {}
    for span in spans:
        components.setdefault(span.source, {})[span.component] = None
    told = [f"{', '.join(names)} ({source})" for source, names in components.items()]
    since, until = min(span.since for span in spans), max(span.until for span in spans)
    return f"{'; '.join(told)}; {day(since)} to {day(until)}"


def _footer(why: Why) -> str:
    head = why.head[:12] or UNKNOWN
    return (
        f"True at seq {why.seq:,} (head {head}). Basis: {why.basis}. Trade: {why.trade_definition}."
        " Positive = gain; figures rounded for reading, --json is exact."
    )
