"""The commands that read: why, fills, trades, positions, performance, costs, findings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from fillbook.cli.options import Asked, help_of, reading

if TYPE_CHECKING:
    from fillbook.cli.opening import Place
    from fillbook.cli.page import Page

_LIMIT = 50
LimitOption = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        min=0,
        help=f"Only the last N rows (on screen {_LIMIT} unless said; 0 = all).",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the reading commands to the command line."""
    for command in (why, trades, fills, positions, performance, costs, daily, findings):
        app.command(help=help_of(command), rich_help_panel="Answers")(command)


@reading()
def why(asked: Asked) -> None:
    """Answer: are we actually making money, and why?

    Both halves of the verdict, the ladder that adds up to net, the three largest reasons, how
    sure it is, and what is missing.

    Examples:
      fillbook why
      fillbook why --since 30d --by strategy
      fillbook why --account main --json
    """
    show_answer(asked)


def show_answer(asked: Asked) -> None:
    """Print the answer to the question, as text, JSON or CSV."""
    from fillbook.analysis import summary
    from fillbook.cli.opening import folded
    from fillbook.cli.page import Page, print_csv, print_json
    from fillbook.cli.why import LadderRow, ladder_rows, show_why

    with folded(asked) as (view, query, place):
        answer = summary.why(view, query)
    if asked.json:
        print_json(answer)
    elif asked.csv:
        print_csv(LadderRow, ladder_rows(answer))
    else:
        page = Page()
        show_why(page, answer, place.settings.label)
        page.print()


@reading(without=("by",))
def fills(asked: Asked, limit: LimitOption = None) -> None:
    """List fills as the book folds them, with position and realised PnL after each.

    Examples:
      fillbook fills --instrument BTC --since 7d
      fillbook fills --csv > fills.csv
    """
    from fillbook.analysis import summary
    from fillbook.analysis.answers import FillRow

    _list(asked, limit, FillRow, summary.fills, "fill", "realized is gross of fees")


@reading(without=("by",))
def trades(asked: Asked, limit: LimitOption = None) -> None:
    """List round trips, flat to flat, newest last.

    Examples:
      fillbook trades --strategy maker --since 30d
      fillbook trades --limit 0 --json
    """
    from fillbook.analysis import summary
    from fillbook.analysis.answers import TradeRow

    _list(asked, limit, TradeRow, summary.trades, "trade", "net = gross - fees + funding")


@reading(without=("since",))
def positions(asked: Asked) -> None:
    """List open positions, valued at the last mark not older than [marks] max_age.

    Examples:
      fillbook positions
      fillbook positions --by strategy --until 2026-01-31
    """
    from fillbook.analysis import summary
    from fillbook.analysis.answers import PositionRow

    note = "rows without strategy are whole venue positions; mark n/a = no price is known"
    _list(asked, 0, PositionRow, summary.positions, "open position", note)


@reading()
def costs(asked: Asked) -> None:
    """Say what trading cost, per asset: fees by maker and taker, funding, other charges.

    Examples:
      fillbook costs --since 30d
      fillbook costs --by instrument --csv
    """
    from fillbook.analysis import summary
    from fillbook.analysis.answers import CostRow

    note = "fees and total costs: positive = paid; net funding: positive = received"
    _list(asked, 0, CostRow, per_part(summary.costs), "row", note)


@reading()
def performance(asked: Asked) -> None:
    """Say how the closed trades did: win rate, expectancy, profit factor, drawdown, ratios.

    Examples:
      fillbook performance --since 90d
      fillbook performance --by strategy
    """
    from fillbook.analysis import summary
    from fillbook.analysis.answers import Performance
    from fillbook.cli.performance import show_performance

    def show(page: Page, rows: Sequence[Any], place: Place) -> None:
        show_performance(page, rows)

    _answer(asked, 0, Performance, per_part(summary.performance), show)


@reading(without=("by", "since", "until", "csv", "instrument", "strategy"))
def daily(
    asked: Asked,
    day: Annotated[str, typer.Argument(metavar="DATE", help="A day such as 2026-01-31.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the day's JSON and CSV file there."),
    ] = None,
) -> None:
    """Summarise one day: its log line, and with --out the two daily files.

    A book of several accounts or currencies gets DIR/account/currency/ folders. Written again
    after late facts, a file carries the next revision; where no figure changed it is left alone.

    Examples:
      fillbook daily 2026-01-31
      fillbook daily 2026-01-31 --out reports
    """
    from fillbook.cli.daily import tell_day

    tell_day(asked, day, out)


@reading(without=("by",))
def findings(asked: Asked) -> None:
    """List what is wrong, missing or contradictory, and what to do about each.

    Examples:
      fillbook findings
      fillbook findings --account main --json
    """
    from fillbook.analysis import summary
    from fillbook.analysis.answers import FindingRow
    from fillbook.cli.findings import show_rows

    def show(page: Page, rows: Sequence[Any], place: Place) -> None:
        show_rows(page, rows, place.settings.label)

    _answer(asked, 0, FindingRow, summary.findings, show)


def per_part(read: Callable[[Any, Any], Sequence[Any]]) -> Callable[[Any, Any], Sequence[Any]]:
    """Let a reading answer once for each value of --by, naming the value in `part`."""

    def parts(view: Any, query: Any) -> Sequence[Any]:
        from fillbook.analysis.view import sliced

        if query.by is None:
            return read(view, query)
        return [
            msgspec.structs.replace(row, part=value)
            for value, narrower in sliced(view, query, query.by)
            for row in read(view, narrower)
        ]

    return parts


def labelled(
    rows: Sequence[Any], dimension: str | None, label: Callable[[str], str]
) -> Sequence[Any]:
    """Give the parts of `--by account` their readable names."""
    if dimension != "account":
        return rows
    return [
        msgspec.structs.replace(row, part=label(row.part)) if getattr(row, "part", None) else row
        for row in rows
    ]


def _list(
    asked: Asked,
    limit: int | None,
    kind: type[msgspec.Struct],
    read: Callable[[Any, Any], Sequence[Any]],
    noun: str,
    note: str,
) -> None:
    from fillbook.cli.lists import show_list

    def show(page: Page, rows: Sequence[Any], place: Place) -> None:
        show_list(page, kind, rows, place.settings.label, noun, note)

    _answer(asked, limit, kind, read, show)


def _answer(
    asked: Asked,
    limit: int | None,
    kind: type[msgspec.Struct],
    read: Callable[[Any, Any], Sequence[Any]],
    show: Callable[[Page, Sequence[Any], Place], None],
) -> None:
    """Read rows and print them as JSON, CSV or text; text ends with the seq it is true at."""
    from fillbook.cli.opening import folded
    from fillbook.cli.page import Page, print_csv, print_json
    from fillbook.cli.shapes import Listing

    with folded(asked) as (view, query, place):
        rows = read(view, query)
        seq, head = view.seq, view.head
    on_screen = not (asked.json or asked.csv)
    most = _LIMIT if limit is None and on_screen else limit
    last = rows[-most:] if most else rows
    if asked.json:
        print_json(Listing(seq=seq, rows=tuple(last)))
    elif asked.csv:
        print_csv(kind, last)
    else:
        page = Page()
        show(page, labelled(last, asked.by, place.settings.label), place)
        if len(last) < len(rows):
            page.line(f"The last {len(last):,} of {len(rows):,}; --limit 0 shows all.", "quiet")
        page.line(f"True at seq {seq:,} (head {head[:12]}).", "quiet")
        page.print()
