"""The command that looks for what is wrong: doctor."""

from __future__ import annotations

from typing import Annotated

import typer

from fillbook.cli.options import BookOption, JsonOption, help_of


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(help=help_of(doctor), rich_help_panel="The book")(doctor)


def doctor(
    book: BookOption = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no venue.")] = False,
    json: JsonOption = False,
) -> None:
    """Look for everything that is wrong around the book, and say what to do about each.

    Configuration, the book and its head file, every attached key (read live, and refused when it
    may do more than read), clocks, rate limits, coverage and gaps, prices, the disk against how
    fast the book grows, the monitor. Exits 1 when something failed or is worth a look. Writes
    nothing; leftovers of programs that died are removed from the cache.

    Examples:
      fillbook doctor
      fillbook doctor --offline
      fillbook doctor --book books/main.db --json
    """
    from fillbook.cli.doctoring import diagnose, show_examination
    from fillbook.cli.page import Page, print_json

    answer = diagnose(book, offline=offline)
    if json:
        print_json(answer)
    else:
        page = Page()
        show_examination(page, answer)
        page.print()
    if answer.status in ("fail", "warn"):
        raise typer.Exit(1)
