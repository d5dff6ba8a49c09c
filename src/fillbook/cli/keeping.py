"""The commands that make and keep a book: init, retract, verify, demo."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from fillbook.cli.options import BookOption, JsonOption, help_of


def register(app: typer.Typer) -> None:
    """Add the keeping commands to the command line."""
    app.command(help=help_of(demo), rich_help_panel="Try it")(demo)
    for command in (init, retract, verify):
        app.command(help=help_of(command), rich_help_panel="The book")(command)


def init(book: BookOption = None) -> None:
    """Make an empty book, and a commented fillbook.toml beside it.

    What exists already is left as it is, so running it twice changes nothing.

    Examples:
      fillbook init
      fillbook init --book books/march.db
    """
    from fillbook.cli.opening import CONFIG_NAME, find
    from fillbook.cli.starter import STARTER
    from fillbook.ground.errors import BookReadOnlyError
    from fillbook.journal.store import Journal

    config = (book.parent if book is not None else Path()) / CONFIG_NAME
    try:
        config.parent.mkdir(parents=True, exist_ok=True)
        if not config.exists():
            config.write_text(STARTER, encoding="utf-8")
            print(f"wrote {config}")
    except OSError as fault:
        raise BookReadOnlyError(
            f"nothing can be written here: {fault.strerror}",
            str(config.parent),
            "choose another folder with --book PATH",
        ) from fault
    place = find(book)
    if place.book.exists():
        print(f"{place.book} exists already and was left alone")
        return
    Journal.create(place.book).close()
    print(f"made {place.book}\nnext: fillbook import PATH, then fillbook why")


def retract(
    batch: Annotated[str, typer.Argument(metavar="BATCH", help="As `fillbook import` named it.")],
    reason: Annotated[str | None, typer.Option(help="Why, kept with the retraction.")] = None,
    book: BookOption = None,
    json: JsonOption = False,
) -> None:
    """Undo an import: what no other batch asserts stops counting; nothing is deleted.

    Importing the same file again restores it.

    Examples:
      fillbook retract 3f9c2a1b --reason "wrong account"
    """
    from fillbook.cli.opening import find, opened_book
    from fillbook.cli.page import print_json
    from fillbook.cli.shapes import Retracted
    from fillbook.ground.clock import now_ns

    with opened_book(find(book), readonly=False) as (journal, _):
        done = journal.retract(batch, reason, now_ns())
    if json:
        print_json(Retracted(seq=done.head.seq, batch=batch))
    else:
        print(f"retracted {batch}; the book is at seq {done.head.seq:,}")


def verify(book: BookOption = None, json: JsonOption = False) -> None:
    """Check the whole book: every hash, every reference, and every row parsed again.

    Exits 1 when something is wrong.

    Examples:
      fillbook verify
      fillbook verify --book books/march.db --json
    """
    from fillbook.cli.opening import find
    from fillbook.cli.page import Page, print_json
    from fillbook.cli.verified import show_verified, verified

    place = find(book)
    answer = verified(place)
    if json:
        print_json(answer)
    else:
        page = Page()
        show_verified(page, answer, place)
        page.print()
    if any(finding.severity != "info" for finding in answer.findings):
        raise typer.Exit(1)


def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the answer.")] = False,
    folder: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Where the demo keeps its files.")
    ] = Path("demo"),
) -> None:
    """Import a synthetic month of three bots and answer: did they make money, and why?

    Needs no network and no account; everything is made up and written below DIR. Then the bots
    trade on, on a simulated venue on this machine, with the live monitor attached, until Ctrl+C.

    Examples:
      fillbook demo
      fillbook demo --once
    """
    from fillbook.cli.options import Asked
    from fillbook.cli.progress import progress
    from fillbook.cli.reading import show_answer
    from fillbook.sim.demo import run_demo, what_next

    with progress("importing", bytes_of=True) as bar:

        def report(name: str, done: int, total: int) -> None:
            bar(done, total)

        book = run_demo(folder, say=print, progress=report)
    print()
    show_answer(Asked(book=book))
    # Not folded to the page: a command that is broken in two cannot be typed.
    print("", *what_next(book, once=once, program=_typed()), sep="\n")
    if not once:
        raise typer.Exit(_go_on(book))


def _typed() -> str:
    """Return how this program is called from here: its path, where its name alone is not found.

    `make demo` sets up an environment that nobody has activated.
    """
    import shutil

    return "fillbook" if shutil.which("fillbook") or "/" not in sys.argv[0] else sys.argv[0]


def _go_on(book: Path) -> int:
    """Attach the live monitor to the simulated venue and run until stopped."""
    from fillbook.cli.monitored import watch
    from fillbook.cli.opening import Place, find
    from fillbook.sim.demo_live import trading_on

    place = find(book)
    with trading_on(place.settings, place.book) as live:
        return watch(Place(place.book, live.settings), live.tools)
