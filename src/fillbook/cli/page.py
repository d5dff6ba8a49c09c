"""Where answers are written: the terminal or pipe, as text, JSON or CSV.

Text goes through rich: colour only on a terminal (NO_COLOR is honoured), tables fitted to its
width, and to a pipe everything at full width without trailing blanks.
"""

from __future__ import annotations

import csv
import io
import os
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Console, RenderableType
from rich.text import Text

from fillbook.cli.figures import clean
from fillbook.cli.tables import STYLES, Column, Tone, lay_out
from fillbook.ground.errors import UsageError

_PROSE = 100
_UNBOUNDED = 4096


class Page:
    """Collects what a command says and prints it once, so that an error leaves no half answer."""

    def __init__(self, *, width: int | None = None, terminal: bool | None = None) -> None:
        """Write to standard output; `width` and `terminal` are for tests and recordings."""
        out = sys.stdout or io.StringIO()
        on_terminal = out.isatty() if terminal is None else terminal
        asked = width or _columns()
        # None = a pipe without COLUMNS: nothing is fitted, nothing is folded.
        self.width: int | None = asked or (Console().width if on_terminal else None)
        self._console = Console(
            file=out,
            width=self.width or _UNBOUNDED,
            force_terminal=on_terminal,
            no_color="NO_COLOR" in os.environ or not on_terminal,
            markup=False,
            emoji=False,
            highlight=False,
        )
        self._terminal = on_terminal
        self._parts: list[RenderableType] = []

    @property
    def unicode(self) -> bool:
        """Say whether block characters and arrows can be written here."""
        return (self._console.encoding or "").lower().startswith("utf")

    def add(self, *parts: RenderableType) -> None:
        """Add renderables, one below the other."""
        self._parts.extend(parts)

    def line(self, text: str = "", tone: Tone = "", *, indent: str = "", rest: str = "") -> None:
        """Add a paragraph folded to the page, its continuation lines indented by `rest`."""
        measure = min(self.width or _PROSE, _PROSE)
        text = clean(text)
        indent += " " * (len(text) - len(text.lstrip()))
        folded = textwrap.fill(
            text.strip(),
            measure,
            initial_indent=indent,
            subsequent_indent=rest or indent,
            break_on_hyphens=False,
            break_long_words=False,
        )
        self._parts.append(Text(folded, style=STYLES[tone]))

    def gap(self) -> None:
        """Add an empty line."""
        self._parts.append(Text())

    def table(self, columns: Sequence[Column], *, total: bool = False) -> tuple[str, ...]:
        """Add a table fitted to the page; return the titles of the columns left out."""
        laid = lay_out(columns, self.width, total=total)
        self._parts.append(laid.body)
        return laid.hidden

    def print(self) -> None:
        """Write everything added so far."""
        _require_output()
        if self._terminal:
            self._console.print(*self._parts, sep="\n")
        else:
            with self._console.capture() as captured:
                self._console.print(*self._parts, sep="\n")
            lines = captured.get().splitlines()
            print("\n".join(line.rstrip() for line in lines))
        self._parts.clear()


def print_json(answer: Any) -> None:
    """Print an answer as indented JSON."""
    _require_output()
    print(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())


def print_csv(kind: type[msgspec.Struct], rows: Sequence[msgspec.Struct]) -> None:
    """Print rows as CSV with a header; unknown is empty, several values are joined by `;`."""
    _require_output()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(kind.__struct_fields__)
    for row in rows:
        writer.writerow([_cell(getattr(row, name)) for name in kind.__struct_fields__])
    print(text.getvalue(), end="")


def _require_output() -> None:
    """Raise UsageError where a shell closed standard output: an answer would go nowhere."""
    if sys.stdout is None:
        raise UsageError(
            "standard output is closed, so the answer has nowhere to go",
            "",
            "leave it open, or send it to /dev/null where only the exit status matters",
        )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return ";".join(map(_cell, value))
    return str(value)


def _columns() -> int | None:
    text = os.environ.get("COLUMNS", "")
    return int(text) if text.isdigit() and int(text) > 0 else None
