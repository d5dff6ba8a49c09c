"""Is the book sound and is there room for it? Its file, its cache, the disk below it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from fillbook.cli.figures import plural
from fillbook.cli.opening import Place
from fillbook.facts.finding import Finding
from fillbook.ground.checks import Check, failed
from fillbook.ground.clock import DAY_NS
from fillbook.ground.errors import BookError
from fillbook.journal.growth import Growth, size_of
from fillbook.journal.store import Journal
from fillbook.monitor.pidfile import started_of

Free = Callable[[Path], int]
"""Returns the bytes that can still be written to the disk below a folder."""

MIB, GIB = 1 << 20, 1 << 30
LITTLE_BYTES, NOTHING_BYTES = GIB, 200 * MIB
SOON_DAYS, NOW_DAYS = 30, 3
LARGE_WAL_BYTES = 256 * MIB
_OF_PROGRAM = re.compile(r".+\.(\d+)")


def free_bytes(folder: Path) -> int:
    """Return the bytes that can still be written to the disk below a folder."""
    return shutil.disk_usage(folder).free


def book_checks(place: Place) -> Iterator[Check]:
    """Open the book for reading, compare it with its head file, and say what is unfinished."""
    if not place.book.exists():
        yield Check(
            area="book",
            state="warn",
            what="there is no book yet",
            next_step="`fillbook init` makes one; `fillbook monitor start` does so too",
            about=str(place.book),
        )
        return
    try:
        with Journal.open(place.book, readonly=True) as journal:
            head, found, batches = journal.head(), journal.findings, journal.batches()
    except BookError as fault:
        yield failed("book", fault)
        return
    yield from map(_told, found)
    if not any(one.severity == "error" for one in found):
        what = (
            f"readable up to row {head.seq:,}, and its head file agrees; "
            "`fillbook verify` checks every row"
        )
        yield Check(area="book", state="ok", what=what)
    for batch in batches:
        if batch.fingerprint and not batch.complete and not batch.retracted:
            yield Check(
                area="book",
                state="warn",
                what=f"the import of {batch.name} was cut short",
                next_step="import the file again: it goes on where it stopped",
            )
    yield from _wal(place.book)


def _told(found: Finding) -> Check:
    return Check(
        area="book",
        state="fail" if found.severity == "error" else "warn",
        what=found.message,
        next_step=found.next_step,
    )


def _wal(book: Path) -> Iterator[Check]:
    wal = book.with_name(book.name + "-wal")
    size = wal.stat().st_size if wal.exists() else 0
    if size > LARGE_WAL_BYTES:
        yield Check(
            area="book",
            state="warn",
            what=f"its write-ahead log has grown to {megabytes(size)}: some program has read the "
            "book for a long time",
            next_step="end programs that keep the book open; the next write empties the log",
        )


def cache_check(cache: Path) -> Check:
    """Remove what programs that died have left in the cache; all of it can be made again."""
    removed, freed = 0, 0
    for left in (*cache.glob("*.*"), *cache.glob("answers/*.*")):
        found = _OF_PROGRAM.fullmatch(left.name)
        if found is None or started_of(int(found[1])) is not None:
            continue
        freed += _size_of(left)
        try:
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        except OSError as fault:
            return Check(
                area="cache",
                state="warn",
                what=f"leftovers of programs that died cannot be removed: {fault.strerror}",
                next_step=f"rm -r {cache}: it is made again when needed",
            )
        removed += 1
    if removed:
        what = f"removed {plural(removed, 'leftover')} of programs that died, {megabytes(freed)}"
        return Check(area="cache", state="ok", what=what)
    return Check(area="cache", state="ok", what=f"{megabytes(_size_of(cache))}, no leftovers")


def _size_of(path: Path) -> int:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def disk_check(place: Place, now_ns: int, free: Free = free_bytes) -> Check:
    """Hold the room on the disk against what the book needs a day."""
    folder = place.book.parent
    while not folder.exists():
        folder = folder.parent
    left = free(folder)
    growth = _growth(place, now_ns)
    per_day = None if growth is None else _with_marks(growth, place.marks)
    days = None if not per_day else left // per_day
    told = f"{megabytes(left)} free"
    if growth is not None:
        told += f"; the book has {megabytes(growth.book_bytes)}"
    if per_day is not None:
        told += f" and grows by {megabytes(per_day)} a day with its marks"
    if days is not None:
        told += ": room for more than 10 years" if days > 3650 else f": room for {days:,} days"
    state = "ok"
    if left < LITTLE_BYTES or (days is not None and days < SOON_DAYS):
        state = "warn"
    if left < NOTHING_BYTES or (days is not None and days < NOW_DAYS):
        state = "fail"
    if state == "ok":
        return Check(area="disk", state="ok", what=told)
    return Check(
        area="disk",
        state="fail" if state == "fail" else "warn",
        what=told,
        next_step="make room, or move the book to a larger disk (`fillbook backup`, then "
        "`restore` there); a full disk stops the monitor, and harms nothing that is written",
        about=str(folder),
    )


def _growth(place: Place, now_ns: int) -> Growth | None:
    if not place.book.exists():
        return None
    try:
        with Journal.open(place.book, readonly=True) as journal:
            return journal.growth(now_ns)
    except BookError:
        # What is wrong with the book is said by its own check; how large it is stays known.
        size = size_of(place.book)
        return Growth(book_bytes=size, rows=0, live_rows=0, span_ns=0, watched_ns=None)


def _with_marks(growth: Growth, marks: Path) -> int | None:
    """Return the bytes a day of book and marks; the marks have grown since accounts are watched."""
    per_day = growth.bytes_per_day
    if per_day is None or growth.watched_ns is None or not marks.exists():
        return per_day
    return per_day + marks.stat().st_size * DAY_NS // max(growth.watched_ns, DAY_NS)


def megabytes(size: int) -> str:
    """Write a size for people.

    >>> megabytes(1_500_000), megabytes(5 << 30), megabytes(900)
    ('1.4 MB', '5.0 GB', '1 KB')
    """
    for unit, bytes_each in (("GB", GIB), ("MB", MIB)):
        if size >= bytes_each:
            return f"{size / bytes_each:,.1f} {unit}"
    return f"{-(-size // 1024):,} KB"
