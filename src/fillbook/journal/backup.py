"""Copies of a book, and the way back: consistent, verified, never over something newer.

A backup is three files of one name: the book, its head file and its marks. The head file that
stands beside a book is never replaced by an older one: a book restored to an earlier state is
behind its anchor, says so, and goes on with an epoch that names what was lost.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from fillbook.facts.finding import Finding
from fillbook.ground.errors import BookDamagedError, BookError, BookMissingError, InputError
from fillbook.journal.anchor import Anchor, sync_directory
from fillbook.journal.store import Journal
from fillbook.journal.values import Head, Progress
from fillbook.journal.verify import verify_book


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """A finished copy: where it is, which state it holds, and how much it weighs."""

    path: str
    head: Head
    book_bytes: int


def back_up(book: Path, target: Path, progress: Progress | None = None) -> Copied:
    """Copy a book and its head file to `target` while others read and write, and verify the copy.

    `target` may be a folder: the copy then keeps the book's name. InputError when something lies
    there already; BookDamagedError, and no copy, when what was copied does not verify.
    """
    place = target.joinpath(book.name) if target.is_dir() else target
    head_file = Anchor(place).path
    if place.exists() or head_file.exists():
        raise InputError(
            "there is already a backup of this name", str(place), "choose another name"
        )
    with Journal.open(book, readonly=True) as journal:
        journal.copy_to(place)
    try:
        with Journal.open(place, readonly=True) as copy:
            copied = copy.head()
        # The head file may have grown since; the copy is anchored at its own state.
        _copy_lines(Anchor(book), Anchor(place), copied.seq)
        _insist_intact(place, progress)
    except BaseException:  # an interrupted or damaged copy must not look like a backup
        place.unlink(missing_ok=True)
        head_file.unlink(missing_ok=True)
        raise
    return _copied(place)


def restore(source: Path, book: Path, *, over_newer: bool = False) -> Copied:
    """Put a backup in the place of a book, after verifying it.

    What stood there is kept as `<book>.before-restore`. BookError when the book there holds more
    than the backup, unless `over_newer`; BookDamagedError when the backup does not verify.
    """
    if not source.exists():
        raise BookMissingError("there is no backup here", str(source), "name the backup file")
    _insist_intact(source, None)
    with Journal.open(source, readonly=True) as backup:
        wanted = backup.head()
    if book.exists() and not over_newer:
        _refuse_newer(book, wanted)
    kept = book.with_name(f"{book.name}.before-restore")
    fresh = book.with_name(f".{book.name}.restoring")
    book.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, fresh)
    for leftover in (f"{book}-wal", f"{book}-shm"):
        Path(leftover).unlink(missing_ok=True)
    if book.exists():
        book.replace(kept)
    fresh.replace(book)
    if Anchor(book).newest() is None:
        _copy_lines(Anchor(source), Anchor(book), wanted.seq)
    sync_directory(book.parent)
    return _copied(book)


def _refuse_newer(book: Path, wanted: Head) -> None:
    try:
        with Journal.open(book, readonly=True) as journal:
            there = journal.head()
    except BookDamagedError:
        return  # what cannot be read is what a backup is for
    if there.book_id != wanted.book_id or there.seq > wanted.seq:
        raise BookError(
            f"the book there stands at row {there.seq}, the backup at row {wanted.seq}"
            if there.book_id == wanted.book_id
            else "the book there is another book",
            str(book),
            "move it away first, or say --over-newer to replace it",
        )


def _insist_intact(place: Path, progress: Progress | None) -> None:
    wrong = [found for found in verify_book(place, None, progress) if _is_damage(found)]
    if wrong:
        raise BookDamagedError(
            f"the copy does not verify: {wrong[0].message}",
            str(place),
            "run `fillbook verify` on the book, then restore an older backup",
        )


def _is_damage(found: Finding) -> bool:
    return found.severity == "error"


def _copy_lines(source: Anchor, target: Anchor, until_seq: int) -> None:
    """Write the lines of one head file up to a row into another, durably."""
    for _, line in source.lines():
        if line is not None and line.seq <= until_seq:
            target.append(line)
    target.close()


def _copied(place: Path) -> Copied:
    with Journal.open(place, readonly=True) as journal:
        return Copied(path=str(place), head=journal.head(), book_bytes=place.stat().st_size)
