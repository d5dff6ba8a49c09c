"""The ladder drawn: each line's effect on net as a bar that starts where the last one ended."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise

from fillbook.analysis.answers import CurrencyTotals
from fillbook.cli.figures import decimals_for, money
from fillbook.cli.tables import Cell, Column, tone_of

# The order of the lines, the sign with which each enters net, and what it means in words.
LINES: tuple[tuple[str, int, str], ...] = (
    ("signal", 1, "the decisions, at the prices they saw"),
    ("signal_unpriced", 1, "where no decision price is known"),
    ("delay", -1, "price move, decision to arrival"),
    ("drift", -1, "price move, arrival to fill"),
    ("spread", -1, "fill price against the mid"),
    ("fees", -1, "paid to venues"),
    ("funding", 1, "received (+) or paid (-)"),
    ("rounding", 1, "the money grid of 1e-18"),
    ("residual", 1, "0 unless the book is wrong"),
)
_ONLY_IF_ANY = ("rounding", "residual", "signal_unpriced")
_BAR_CELLS = 28


def effects(totals: CurrencyTotals) -> list[tuple[str, Decimal | None, str]]:
    """Return each ladder line with its signed effect on net, and its meaning.

    Fees of unknown size have the effect None. Lines that matter only when they are not zero
    are left out when they are.
    """
    found: list[tuple[str, Decimal | None, str]] = []
    for name, sign, meaning in LINES:
        amount = Decimal(getattr(totals.ladder, name))
        if name in _ONLY_IF_ANY and not amount:
            continue
        unknown = name == "fees" and totals.fees is None
        found.append((name.replace("_", " "), None if unknown else sign * amount, meaning))
    return found


def ladder_columns(totals: CurrencyTotals, *, blocks: bool) -> list[Column]:
    """Return the waterfall of one currency as table columns, the last row being net."""
    rows = effects(totals)
    texts = [None if amount is None else format(amount, "f") for _, amount, _ in rows]
    decimals = decimals_for(totals.currency, [*texts, totals.net])
    steps = [amount or Decimal(0) for _, amount, _ in rows]
    total = totals.net if totals.net is not None else totals.gross
    word = "net" if totals.net is not None else "before fees"
    bars = draw(steps, Decimal(total), _BAR_CELLS, blocks=blocks)
    shown = [*texts, total]
    return [
        Column(title="", cells=[Cell(name) for name, _, _ in rows] + [Cell(f"= {word}", "strong")]),
        Column(
            title=totals.currency,
            cells=[Cell(money(a, decimals, plus=True), tone_of(a)) for a in shown],
            point=True,
        ),
        Column(
            title="",
            cells=[Cell(bar, tone_of(a)) for bar, a in zip(bars, shown, strict=True)],
            rank=1,
        ),
        Column(
            title="",
            cells=[Cell(meaning, "quiet") for _, _, meaning in rows] + [Cell("")],
            rank=2,
        ),
    ]


def draw(steps: Sequence[Decimal], total: Decimal, cells: int, *, blocks: bool = True) -> list[str]:
    """Draw steps as bars on one common scale, then the total as a bar from zero.

    Half blocks give two positions a cell; without `blocks`, `#` gives one.

    >>> draw([Decimal(4), Decimal(-2)], Decimal(2), 4)
    ['████', '  ██', '██']
    """
    ends = [Decimal(0)]
    for step in steps:
        ends.append(ends[-1] + step)
    low, high = min(*ends, total), max(*ends, total)
    span = high - low
    if not span:
        return [""] * (len(steps) + 1)
    grain = 2 if blocks else 1

    def place(value: Decimal) -> int:
        return int((value - low) * cells * grain / span + Decimal("0.5"))

    spans = [*pairwise(ends), (Decimal(0), total)]
    return [_bar(place(min(pair)), place(max(pair)), grain, pair[0] != pair[1]) for pair in spans]


def _bar(start: int, end: int, grain: int, visible: bool) -> str:
    """Fill grains from start to end; something that is not zero is at least one grain wide."""
    if not visible:
        return ""
    if end <= start:
        start = max(start - 1, 0)
        end = start + 1
    if grain == 1:
        return " " * start + "#" * (end - start)
    cells = []
    for cell in range((end + 1) // 2):
        left, right = start <= 2 * cell < end, start <= 2 * cell + 1 < end
        cells.append("█" if left and right else "▌" if left else "▐" if right else " ")
    return "".join(cells)
