"""Tables that fit the terminal they are read in and never cut a figure.

A table that is too wide first gives up its least important columns and says which; when even
the indispensable ones do not fit, every row becomes a small block of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

Tone = Literal["", "gain", "loss", "quiet", "strong"]
STYLES: dict[Tone, str] = {
    "": "",
    "gain": "green",
    "loss": "red",
    "quiet": "dim",
    "strong": "bold",
}
_GAP = 2


class Cell(msgspec.Struct, frozen=True):
    """One figure or word as printed, with the tone that colours it."""

    text: str
    tone: Tone = ""


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A titled column. `rank` 0 always stays; the highest rank is the first to go.

    `right` aligns figures; `point` lines decimals up on their point; `wraps` lets prose break.
    """

    title: str
    cells: Sequence[Cell]
    rank: int = 0
    right: bool = False
    point: bool = False
    wraps: bool = False


class Laid(msgspec.Struct, frozen=True):
    """A table ready to print, and the titles of the columns that did not fit."""

    body: RenderableType
    hidden: tuple[str, ...]


def tone_of(amount: str | None) -> Tone:
    """Return the tone of an amount: gain, loss, or none for zero and unknown."""
    if amount is None or not amount.strip("-0."):
        return ""
    return "loss" if amount.startswith("-") else "gain"


def lay_out(columns: Sequence[Column], width: int | None, *, total: bool = False) -> Laid:
    """Fit columns into `width` cells (None = as wide as they like).

    `total` sets the last row apart as the sum of the others.
    """
    shown = [_on_the_point(column) for column in columns]
    hidden: list[str] = []
    while width is not None and _natural(shown) > width:
        rank = max(column.rank for column in shown)
        if not rank:
            return Laid(_blocks(shown, width), tuple(hidden))
        last = max(i for i, column in enumerate(shown) if column.rank == rank)
        hidden.insert(0, shown.pop(last).title)
    return Laid(_grid(shown, total=total), tuple(hidden))


def _widest(column: Column) -> int:
    cells = [cell_len(cell.text) for cell in column.cells]
    # Prose may be squeezed to a readable measure before any column is given up.
    longest = min(max(cells, default=0), 24) if column.wraps else max(cells, default=0)
    return max(longest, cell_len(column.title))


def _natural(columns: Sequence[Column]) -> int:
    return sum(map(_widest, columns)) + _GAP * (len(columns) - 1)


def _on_the_point(column: Column) -> Column:
    """Pad fractions on the right so that right-aligned figures share one decimal point."""
    if not column.point:
        return column
    tails = [_tail(cell.text) for cell in column.cells]
    longest = max(tails, default=0)
    cells = [
        msgspec.structs.replace(cell, text=cell.text + " " * (longest - tail))
        for cell, tail in zip(column.cells, tails, strict=True)
    ]
    return msgspec.structs.replace(column, cells=cells, right=True)


def _tail(text: str) -> int:
    _, point, fraction = text.partition(".")
    return len(fraction) + 1 if point else 0


def _grid(columns: Sequence[Column], *, total: bool) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    for column in columns:
        table.add_column(
            Text(column.title),
            justify="right" if column.right else "left",
            no_wrap=not column.wraps,
            overflow="fold",
        )
    rows = list(zip(*(column.cells for column in columns), strict=True))
    for index, row in enumerate(rows):
        summed = total and index == len(rows) - 1
        table.add_row(
            *(Text(cell.text, style=STYLES[cell.tone]) for cell in row),
            style="bold" if summed else None,
        )
    return table


def _blocks(columns: Sequence[Column], width: int) -> Group:
    """Print each row as labelled lines, for terminals too narrow for a table."""
    parts: list[RenderableType] = []
    label = max(cell_len(column.title) for column in columns)
    for index, row in enumerate(zip(*(column.cells for column in columns), strict=True)):
        if index:
            parts.append(Rule(style="dim", characters="·"))
        grid = Table.grid(padding=(0, _GAP, 0, 0))
        grid.add_column(width=label, no_wrap=True, style="dim")
        grid.add_column(overflow="fold", max_width=max(width - label - _GAP, 12))
        for column, cell in zip(columns, row, strict=True):
            grid.add_row(Text(column.title), Text(cell.text.strip(), style=STYLES[cell.tone]))
        parts.append(grid)
    return Group(*parts)
