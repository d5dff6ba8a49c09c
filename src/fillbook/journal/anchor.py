"""The head file: what the book was, kept outside the book.

SQLite alone does not notice when committed pages vanish with a damaged or deleted WAL. So each
commit appends one line to `<book>.head`, and a book that knows less than its head file has lost
something. The file is append-only; a torn last line is what a crash leaves, and is passed over.

    fillbook 1 book=9f2c41d07b6ae835 page=12 seq=10412 hash=<64 hex> crc=<8 hex>
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from fillbook.ground.errors import BookError, BookReadOnlyError

_LINE = re.compile(
    r"(fillbook 1 book=([0-9a-f]{16}) page=(\d+) seq=(\d+) hash=([0-9a-f]{64})) crc=([0-9a-f]{8})"
)
_TAIL_BYTES = 4096


class HeadLine(msgspec.Struct, frozen=True):
    """One line of the head file: the book stood at `seq` when `page` was its last page."""

    book_id: str
    page: int
    seq: int
    hash: str

    def text(self) -> str:
        """Write the line, with its checksum, without a line end."""
        body = f"fillbook 1 book={self.book_id} page={self.page} seq={self.seq} hash={self.hash}"
        return f"{body} crc={zlib.crc32(body.encode()):08x}"


def parse_line(text: str) -> HeadLine | None:
    """Read one line; None when it is torn or damaged.

    >>> line = HeadLine("0123456789abcdef", 1, 7, "00" * 32)
    >>> parse_line(line.text()) == line
    True
    >>> parse_line(line.text().replace("seq=7", "seq=9")) is None
    True
    """
    found = _LINE.fullmatch(text)
    if found is None or int(found[6], 16) != zlib.crc32(found[1].encode()):
        return None
    return HeadLine(found[2], int(found[3]), int(found[4]), found[5])


class Anchor:
    """The head file beside one book."""

    def __init__(self, book: Path) -> None:
        self.path = book.with_name(book.name + ".head")
        self._descriptor: int | None = None

    def newest(self) -> HeadLine | None:
        """Return the valid line of the highest page; None when there is no such line.

        Lines of concurrent writers may lie a little out of order, so the whole tail is looked at.
        """
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _TAIL_BYTES))
                tail = file.read().decode("ascii", "replace")
        except FileNotFoundError:
            return None
        except OSError as fault:
            raise _unreadable(self.path, fault) from fault
        lines = [line for line in map(parse_line, tail.split("\n")) if line]
        if not lines and size > _TAIL_BYTES:
            lines = [line for _, line in self.lines() if line]
        return max(lines, key=lambda line: line.page, default=None)

    def lines(self) -> Iterator[tuple[int, HeadLine | None]]:
        """Yield (line number, line) of the whole file; None for a damaged line.

        Blank lines and a torn last line are passed over.
        """
        try:
            with self.path.open("rb") as file:
                for number, content in enumerate(file, 1):
                    text = content.decode("ascii", "replace")
                    if text.endswith("\n") and text.strip():
                        yield number, parse_line(text[:-1])
        except FileNotFoundError:
            return
        except OSError as fault:
            raise _unreadable(self.path, fault) from fault

    def append(self, line: HeadLine) -> None:
        """Add one line and wait until the disk has it."""
        try:
            descriptor = self._writable()
            os.write(descriptor, f"{line.text()}\n".encode())
            os.fsync(descriptor)
        except OSError as fault:
            self.close()
            raise BookError(
                f"the page is in the book, but its head could not be anchored: {fault.strerror}",
                str(self.path),
                "make the file writable and free some space, then run the command again",
            ) from fault

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _writable(self) -> int:
        if self._descriptor is not None:
            if os.fstat(self._descriptor).st_nlink:
                return self._descriptor
            self.close()  # somebody deleted the file: lines must not go where nobody can read
        fresh = not self.path.exists()
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._descriptor = descriptor
        if fresh:
            sync_directory(self.path.parent)
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            os.write(descriptor, b"\n")
        return descriptor


def sync_directory(folder: Path) -> None:
    """Wait until the disk knows the names of newly made files."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unreadable(path: Path, fault: OSError) -> BookReadOnlyError:
    return BookReadOnlyError(
        f"the head file cannot be read: {fault.strerror}",
        str(path),
        "give this user the right to read it",
    )
