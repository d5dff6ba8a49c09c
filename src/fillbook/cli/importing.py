"""`fillbook import`: files in, a table of what became of each, and every rejected row."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from fillbook.cli.options import BookOption, JsonOption, help_of, with_options

if TYPE_CHECKING:
    from fillbook.cli.opening import Place
    from fillbook.journal.store import Journal
    from fillbook.marks.series import MarkStore
    from fillbook.sources.source import ReadOptions


def register(app: typer.Typer) -> None:
    """Add the importing command to the command line."""
    app.command("import", help=help_of(import_), rich_help_panel="The book")(import_)


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What a person says about files that do not say it themselves."""

    account: Annotated[
        str | None,
        typer.Option(metavar="A", help="Whose file it is: the venue's address or uid, or a label."),
    ] = None
    venue: Annotated[
        str | None, typer.Option(metavar="V", help="The venue, where the file names none.")
    ] = None
    tz: Annotated[
        str | None,
        typer.Option(metavar="ZONE", help="The zone of times that name none, e.g. Europe/Berlin."),
    ] = None
    start: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When row 0 happened, where rows have no time."),
    ] = None
    settle: Annotated[
        str | None,
        typer.Option(metavar="CCY", help="Settlement currency, where no name tells it."),
    ] = None


@with_options(Source)
def import_(
    source: Source,
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Files or folders; gzip is fine.")
    ],
    format: Annotated[
        str, typer.Option(metavar="NAME", help="The format, where it is not recognised.")
    ] = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would happen; write nothing.")
    ] = False,
    book: BookOption = None,
    json: JsonOption = False,
) -> None:
    """Read files into the book, each row once however often it is imported.

    Formats are recognised by content. Rows that cannot be read are listed with file, line, field
    and reason; the rest is imported. A book that is not there yet is made.

    Examples:
      fillbook import trade_history.csv --tz Europe/Berlin --account 0x31ca8395...
      fillbook import exports/ --dry-run
      fillbook import executions.csv --format paper-executions --start 2026-01-01
    """
    from fillbook.cli.imported import show_import
    from fillbook.cli.opening import find
    from fillbook.cli.page import Page, print_json
    from fillbook.cli.progress import progress
    from fillbook.sources.files.importing import import_paths

    place = find(book)
    options = _options(place, source)
    with (
        _writable(place, dry_run=dry_run) as (journal, marks),
        progress("importing", bytes_of=True) as bar,
    ):

        def report(name: str, done: int, total: int) -> None:
            bar(done, total)

        outcome = import_paths(journal, marks, paths, options, format, report, dry_run)
    if json:
        print_json(outcome)
    else:
        page = Page()
        show_import(page, outcome, place)
        page.print()
    if outcome.failed:
        raise typer.Exit(2)


def _options(place: Place, source: Source) -> ReadOptions:
    """Give what was typed its meaning; UsageError names the option that has none."""
    from fillbook.cli.opening import accounts_of
    from fillbook.ground.clock import parse_ns, zone
    from fillbook.ground.errors import UsageError
    from fillbook.sources.files.column_map import column_maps
    from fillbook.sources.files.registry import NAMES
    from fillbook.sources.source import ReadOptions

    named = accounts_of([source.account] if source.account else [], place.settings)
    if len(named) > 1:
        raise UsageError(
            f"{len(named)} accounts are labelled {source.account}",
            "--account",
            "name the address itself",
        )
    try:
        where = zone(source.tz or "UTC")
        start_ns = parse_ns(source.start, tz=where) if source.start is not None else None
    except ValueError as fault:
        raise UsageError(str(fault), "--tz or --start", "see fillbook import --help") from fault
    return ReadOptions(
        account=named[0] if named else None,
        venue=source.venue,
        tz=source.tz,
        start_ns=start_ns,
        settle=source.settle,
        column_maps=column_maps(place.settings.imports.map, NAMES),
    )


@contextmanager
def _writable(place: Place, *, dry_run: bool) -> Iterator[tuple[Journal | None, MarkStore | None]]:
    """Open the book to write, or only to read in a dry run; make it if it is not there."""
    from fillbook.cli.opening import opened_book
    from fillbook.journal.store import Journal

    if not place.book.exists():
        if dry_run:
            yield None, None
            return
        place.book.parent.mkdir(parents=True, exist_ok=True)
        Journal.create(place.book).close()
        print(f"made {place.book}", file=sys.stderr)
    with opened_book(place, readonly=dry_run) as opened:
        yield opened
