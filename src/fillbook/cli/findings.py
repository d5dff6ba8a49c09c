"""Findings on screen: what is known to be wrong or missing, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fillbook.analysis.answers import FindingRow
from fillbook.cli.figures import day, decimals_for, money, plural, shortened
from fillbook.cli.page import Page
from fillbook.cli.tables import Tone
from fillbook.facts.finding import Finding
from fillbook.ground.clock import iso

Label = Callable[[str], str]
_OF_A_KIND = 2
_ORDER = {"error": 0, "warning": 1, "info": 2}
_TONES: dict[str, Tone] = {"error": "loss", "warning": "strong", "info": "quiet"}


def row_of(found: Finding) -> FindingRow:
    """Turn a finding into the row that `fillbook findings` lists."""
    return FindingRow(
        code=found.code,
        severity=found.severity,
        message=found.message,
        next_step=found.next_step,
        account=found.account,
        instrument=found.instrument,
        ts=iso(found.ts_ns) if found.ts_ns is not None else None,
        amount=found.amount,
        currency=found.currency,
        seqs=found.seqs,
        touches=found.touches,
    )


def show_findings(
    page: Page,
    findings: Sequence[Finding],
    label: Label = str,
    *,
    about: str = "these numbers",
) -> None:
    """Write findings below an answer: the gravest first, at most two of each kind."""
    if not findings:
        return
    page.gap()
    page.line(f"{plural(len(findings), 'finding')} about {about}", "strong")
    kinds: dict[str, list[FindingRow]] = {}
    for row in _ranked([row_of(found) for found in findings]):
        kinds.setdefault(row.code, []).append(row)
    for code, rows in kinds.items():
        for row in rows[:_OF_A_KIND]:
            _one(page, row, label)
        if len(rows) > _OF_A_KIND:
            more = len(rows) - _OF_A_KIND
            page.line(f"and {more:,} more {code}: `fillbook findings`", "quiet", indent="    ")


def show_rows(page: Page, rows: Sequence[FindingRow], label: Label = str) -> None:
    """Write all listed findings, the gravest first; none at all is said too."""
    if not rows:
        page.line("Nothing was found that the numbers do not already say.")
    for row in _ranked(rows):
        _one(page, row, label)


def _ranked(rows: Sequence[FindingRow]) -> list[FindingRow]:
    return sorted(rows, key=lambda row: _ORDER.get(row.severity, 0))


def _one(page: Page, row: FindingRow, label: Label) -> None:
    page.line(
        f"{row.severity} {row.code}{_place(row, label)}: {row.message}{_amount(row)}",
        _TONES.get(row.severity, ""),
        indent="  ",
        rest="    ",
    )
    if row.touches:
        page.line(f"touches: {', '.join(row.touches)}", "quiet", indent="    ", rest="      ")
    if row.next_step:
        page.line(f"next: {row.next_step}", indent="    ", rest="      ")


def _place(row: FindingRow, label: Label) -> str:
    """Say where: account, instrument and day, as far as they are known."""
    parts = [
        shortened(label(row.account)) if row.account else None,
        row.instrument,
        day(row.ts) if row.ts else None,
    ]
    told = " ".join(part for part in parts if part)
    return f" [{told}]" if told else ""


def _amount(row: FindingRow) -> str:
    if row.amount is None:
        return ""
    amount = money(row.amount, decimals_for(row.currency or "", [row.amount]), plus=True)
    return f" ({amount} {row.currency})" if row.currency else f" ({amount})"
