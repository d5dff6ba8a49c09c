"""A reconciliation on screen: one table, then each difference with its fills and next step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fillbook.analysis.answers import Answer
from fillbook.analysis.reconcile.answer import Check, Reconciliation
from fillbook.cli.figures import UNKNOWN, clean, grouped, moment, money, plural, shortened
from fillbook.cli.page import Page
from fillbook.cli.tables import Cell, Column, Tone

Label = Callable[[str], str]
# Agreement is good to see and quickly too much of it.
_MOST_AGREEING = 24
_MOST_IDS = 6
_MOST_DECIMALS = 8
_TONES: dict[str, Tone] = {"agrees": "gain", "differs": "loss", "not checked": "quiet"}


class CheckLine(Answer, frozen=True, kw_only=True):
    """A check as one line of CSV; `fills` are the ids of the fills around a difference."""

    check: str
    state: str
    venue: str
    account: str
    instrument: str | None
    position_side: str | None
    ours: str | None
    theirs: str | None
    difference: str | None
    unit: str | None
    tolerance: str | None
    at: str | None
    n: int
    missing: str
    next_step: str
    ids: tuple[str, ...]
    fills: tuple[str, ...]


def lines_of(answer: Reconciliation) -> list[CheckLine]:
    """Turn the checks into lines of CSV."""
    lines = []
    for row in answer.rows:
        told = {name: getattr(row, name) for name in CheckLine.__struct_fields__}
        fills = tuple(each.fill_id or str(each.seq) for each in row.fills)
        lines.append(CheckLine(**{**told, "fills": fills}))
    return lines


def show_reconciled(page: Page, answer: Reconciliation, label: Label = str) -> None:
    """Write the table of what was compared, the differences, and what could not be checked."""
    rows = answer.rows
    compared = [row for row in rows if row.state == "differs"]
    agreeing = [row for row in rows if row.state == "agrees"]
    shown = [*compared, *agreeing[:_MOST_AGREEING]]
    if shown:
        hidden = page.table(_columns(shown, label))
        if hidden:
            page.line(f"Not shown at this width: {', '.join(hidden)} (--csv has all).", "quiet")
        page.gap()
    if len(agreeing) > _MOST_AGREEING:
        more = len(agreeing) - _MOST_AGREEING
        page.line(f"And {more:,} more that agree (--json has all).", "quiet")
    for row in compared:
        _explain(page, row, label)
    _unchecked(page, [row for row in rows if row.state == "not checked"], label)
    page.line(_verdict(answer), "strong")
    page.line(
        f"Difference = ours - the venue's. True at seq {answer.seq:,} (head {answer.head[:12]}).",
        "quiet",
    )


def _verdict(answer: Reconciliation) -> str:
    if not answer.rows:
        return "There is nothing to compare: the book holds no account of a venue."
    told = f"{plural(answer.n_agree + answer.n_differ, 'check')}: {answer.n_agree:,} agree"
    differ = f", {answer.n_differ:,} differ" if answer.n_differ else ""
    missing = f"; {answer.n_unchecked:,} could not be made" if answer.n_unchecked else ""
    return f"{told}{differ}{missing}."


def _columns(rows: Sequence[Check], label: Label) -> list[Column]:
    accounts = {row.account for row in rows}
    columns = [
        Column(title="check", cells=[Cell(row.check) for row in rows]),
        Column(title="instrument", cells=[Cell(_instrument(row)) for row in rows]),
        Column(title="ours", cells=_figures([row.ours for row in rows]), point=True, rank=3),
        Column(title="venue", cells=_figures([row.theirs for row in rows]), point=True, rank=3),
        Column(title="difference", cells=_figures([row.difference for row in rows]), point=True),
        Column(title="in", cells=[Cell(clean(row.unit or "")) for row in rows], rank=2),
        Column(title="of", cells=[Cell(f"{row.n:,}") for row in rows], right=True, rank=5),
        Column(title="at (UTC)", cells=[Cell(moment(row.at)) for row in rows], rank=4),
        Column(title="result", cells=[Cell(row.state, _TONES[row.state]) for row in rows]),
    ]
    if len(accounts) > 1:
        cells = [Cell(shortened(label(row.account))) for row in rows]
        columns.insert(1, Column(title="account", cells=cells, rank=4))
    return columns


def _instrument(row: Check) -> str:
    side = "" if row.position_side in (None, "net") else f" {row.position_side}"
    return clean(f"{row.instrument or '-'}{side}")


def _figures(texts: Sequence[str | None]) -> list[Cell]:
    return [Cell(_text(text)) for text in texts]


def _explain(page: Page, row: Check, label: Label) -> None:
    place = f"{shortened(label(row.account))} {_instrument(row)}"
    page.line(f"{row.check} [{place}]: {row.what}", "loss", rest="    ")
    page.line(
        f"ours {_text(row.ours)}, the venue's {_text(row.theirs)}, difference "
        f"{_text(row.difference)} {row.unit or ''}; allowed {_text(row.tolerance)} "
        f"({row.why_tolerance})",
        indent="  ",
        rest="    ",
    )
    if row.ids:
        more = f" and {len(row.ids) - _MOST_IDS} more" if len(row.ids) > _MOST_IDS else ""
        page.line(f"named: {', '.join(row.ids[:_MOST_IDS])}{more}", indent="  ", rest="    ")
    for fill in row.fills:
        page.line(
            f"fill {fill.fill_id or '-'} {moment(fill.ts)} {fill.side} {grouped(fill.qty)} at "
            f"{grouped(fill.px)} (seq {fill.seq:,})",
            "quiet",
            indent="    ",
        )
    if row.next_step:
        page.line(f"next: {row.next_step}", indent="  ", rest="    ")
    page.gap()


def _text(amount: str | None) -> str:
    """Write an amount to eight decimals; --json has all of them, and words stay as they are."""
    if amount is None:
        return UNKNOWN
    if not amount.strip("-").replace(".", "").isdigit():
        return clean(amount)
    _, _, fraction = amount.partition(".")
    if len(fraction) <= _MOST_DECIMALS:
        return grouped(amount)
    text = money(amount, _MOST_DECIMALS)
    return text.rstrip("0").rstrip(".") if "." in text else text


def _unchecked(page: Page, rows: Sequence[Check], label: Label) -> None:
    """Say once what is missing for checks of one kind, and where."""
    told: dict[tuple[str, str], list[Check]] = {}
    for row in rows:
        told.setdefault((row.check, row.missing), []).append(row)
    for (check, missing), alike in told.items():
        names = list(dict.fromkeys(_instrument(row) for row in alike if row.instrument))
        more = f" and {len(names) - _MOST_IDS} more" if len(names) > _MOST_IDS else ""
        of = f" of {', '.join(names[:_MOST_IDS])}{more}" if names else ""
        accounts = {row.account for row in alike}
        whose = f"{len(accounts)} accounts"
        if len(accounts) == 1:
            whose = shortened(label(alike[0].account))
        page.line(f"not checked: {check}{of} [{whose}]: {missing}", "quiet", rest="    ")
    if told:
        page.gap()
