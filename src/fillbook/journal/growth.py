"""How fast a book grows by what attached accounts bring; imports are single events and left out."""

from __future__ import annotations

from pathlib import Path

import msgspec

from fillbook.ground.clock import DAY_NS, HOUR_NS
from fillbook.journal.tables import BookFile

WINDOW_NS = 7 * DAY_NS
# Less says little: the first pull brings months at once.
LEAST_NS = 6 * HOUR_NS


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """A book's size, and the rows that live batches brought in the last `span_ns`.

    `watched_ns` is how long accounts have been attached, None when none ever was.
    """

    book_bytes: int
    rows: int
    live_rows: int
    span_ns: int
    watched_ns: int | None

    @property
    def bytes_per_day(self) -> int | None:
        """Return by how much a day makes the book larger; None while nobody can tell.

        >>> Growth(book_bytes=1000, rows=100, live_rows=14, span_ns=7 * DAY_NS,
        ...        watched_ns=9 * DAY_NS).bytes_per_day
        20
        """
        if self.watched_ns is None or self.span_ns < LEAST_NS or not self.rows:
            return None
        return self.book_bytes * self.live_rows * DAY_NS // (self.rows * self.span_ns)


def measured(file: BookFile, now_ns: int) -> Growth:
    """Measure an open book; `now_ns` is the wall clock.

    While accounts are attached for less than twice the window, their first pull is left out by
    counting from a day after it.
    """
    _, begun_ns = file.received(now_ns)
    rows = sum(file.row_counts())
    watched_ns = None if begun_ns is None else max(0, now_ns - begun_ns)
    since_ns = now_ns - WINDOW_NS
    if begun_ns is not None:
        since_ns = max(since_ns, begun_ns + DAY_NS)
    live_rows, _ = file.received(since_ns)
    return Growth(
        book_bytes=size_of(file.path),
        rows=rows,
        live_rows=live_rows,
        span_ns=max(0, now_ns - since_ns),
        watched_ns=watched_ns,
    )


def size_of(book: Path) -> int:
    """Return the bytes of a book with its log and its head file."""
    beside = (book, book.with_name(book.name + "-wal"), book.with_name(book.name + ".head"))
    return sum(path.stat().st_size for path in beside if path.exists())
