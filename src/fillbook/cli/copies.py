"""The commands that copy a book and put a copy back: backup, restore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fillbook.cli.options import BookOption, JsonOption, help_of


def register(app: typer.Typer) -> None:
    """Add the copying commands to the command line."""
    for command in (backup, restore):
        app.command(help=help_of(command), rich_help_panel="The book")(command)


def backup(
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="A new file, or a folder.")],
    book: BookOption = None,
    json: JsonOption = False,
) -> None:
    """Copy the book, its head file and its marks, and verify the copy.

    Safe while the monitor runs. Nothing is ever overwritten.

    Examples:
      fillbook backup backups/
      fillbook backup /mnt/usb/book-2026-11-20.db --book books/main.db
    """
    from fillbook.cli.opening import find, opened_book
    from fillbook.cli.page import print_json
    from fillbook.cli.progress import progress
    from fillbook.journal.backup import back_up
    from fillbook.marks.series import marks_path

    place = find(book)
    with opened_book(place, readonly=True) as (_, marks), progress("verifying") as report:
        done = back_up(place.book, target, report)
        marks.copy_to(marks_path(done.path))
    if json:
        print_json(done)
    else:
        print(f"copied to {done.path}: seq {done.head.seq:,}, head {done.head.hash[:12]}, verified")


def restore(
    source: Annotated[Path, typer.Argument(metavar="BACKUP", help="A file `backup` made.")],
    book: BookOption = None,
    over_newer: Annotated[
        bool, typer.Option("--over-newer", help="Replace even a book that holds more.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Put a backup in the place of the book, after verifying it.

    What stood there is kept beside it as BOOK.before-restore. A book that is behind its own head
    file afterwards says so, and names what was lost.

    Examples:
      fillbook restore backups/fillbook.db
      fillbook restore backups/fillbook.db --book books/main.db --over-newer
    """
    from shutil import copyfile

    from fillbook.cli.opening import find
    from fillbook.cli.page import print_json
    from fillbook.journal.backup import restore as put_back
    from fillbook.marks.series import marks_path

    place = find(book)
    done = put_back(source, place.book, over_newer=over_newer)
    if marks_path(source).exists() and not place.marks.exists():
        copyfile(marks_path(source), place.marks)
    if json:
        print_json(done)
    else:
        print(f"restored {done.path}: seq {done.head.seq:,}, head {done.head.hash[:12]}")
        print("next: fillbook verify, then import what came after the backup")
