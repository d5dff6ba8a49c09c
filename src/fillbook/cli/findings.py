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
    page: Page, findings: Sequence[Finding], label: Label = str, *, most: int | None = None
) -> None:
    """Write findings below an answer, the gravest first, each with its next step."""
    if not findings:
        return
    page.gap()
    page.line(f"{plural(len(findings), 'finding')} about these numbers", "strong")
    show_rows(page, [row_of(found) for found in findings], label, most=most)


def show_rows(
    page: Page, rows: Sequence[FindingRow], label: Label = str, *, most: int | None = None
) -> None:
    """Write listed findings, the gravest first; none at all is said too."""
    if not rows:
        page.line("Nothing was found that the numbers do not already say.")
    ranked = sorted(rows, key=lambda row: _ORDER.get(row.severity, 0))
    for row in ranked[:most]:
        _one(page, row, label)
    if most is not None and len(ranked) > most:
        page.line(f"and {len(ranked) - most:,} more: `fillbook findings`", "quiet", indent="  ")


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
