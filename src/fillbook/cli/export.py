"""The command that writes a book into open formats: export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from fillbook.cli.options import Asked, help_of, reading


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(help=help_of(export), rich_help_panel="The book")(export)


@reading(without=("csv", "strategy", "instrument", "by", "as_of", "method"))
def export(
    asked: Asked,
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WHAT]...", help="Files by name (all but marks unless said)."),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="A new or empty folder.")
    ] = Path("export"),
    form: Annotated[
        Literal["csv", "jsonl", "parquet"], typer.Option("--format", help="How to write it.")
    ] = "csv",
    force: Annotated[
        bool, typer.Option("--force", help="Replace what an earlier export wrote there.")
    ] = False,
) -> None:
    """Write the book, or a window or account of it, as CSV, JSON lines or Parquet.

    One file per kind: fills, funding, charges, transfers, orders, decisions, votes, assignments,
    corrections, instruments, reports, coverage, trades, and marks when named. Prices and money are
    decimal text, times UTC with every digit, secrets are taken out. `fillbook import DIR` reads
    CSV and JSON lines back into a book: the same facts, each once (docs/export.md).

    Examples:
      fillbook export --out backup-csv
      fillbook export fills trades --since 2026-01-01 --until 2026-02-01 --out january
      fillbook export --format jsonl --account main --out main --force
    """
    from fillbook.cli.exported import exported, show_exported
    from fillbook.cli.page import Page, print_json

    done = exported(asked, tuple(what or ()), out, form, force=force)
    if asked.json:
        print_json(done)
        return
    page = Page()
    show_exported(page, done)
    page.print()
