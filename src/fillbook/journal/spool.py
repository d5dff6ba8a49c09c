"""Where a program without access to a book keeps lines until it has: a folder of small files.

Each file belongs to one writer, which holds a lock on it while it is open; a closed one, or one
whose program died, may be sent and removed by anybody. A line is written as `CRC line`, so one
that a power cut tore is left out, not misread. Sending a line twice is harmless: it is the same
claim. Nothing here needs more than the standard library.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

SUFFIX = ".spool"
MOST_BYTES = 64 << 20
FILE_BYTES = 1 << 20
_CRC_DIGITS = 8


class Spool:
    """Keeps at most `most_bytes` of lines in `folder`; one writer per object. Raises OSError."""

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._file: BinaryIO | None = None
        self._number = 0

    def add(self, lines: Sequence[bytes]) -> int:
        """Keep lines, on disk when this returns; returns how many found room."""
        room = self._most_bytes - sum(size_of(path) for path in self._paths())
        kept = 0
        for line in lines:
            framed = frame(line)
            room -= len(framed)
            if room < 0:
                break
            file = self._file or self._begin()
            file.write(framed)
            kept += 1
            if file.tell() >= FILE_BYTES:
                self.seal()
        if self._file is not None:
            _settle(self._file)
        return kept

    def waiting(self) -> Iterator[Waiting]:
        """Yield the files that nobody writes, oldest first, each locked while it is looked at."""
        self.seal()
        for path in self._paths():
            with contextlib.suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Somebody may have sent and removed it before the lock was ours.
                if path.exists():
                    yield Waiting(path, unframed(file.read()))

    def seal(self) -> None:
        """Close the file that is written to, so that it can be sent."""
        if self._file is not None:
            file, self._file = self._file, None
            _settle(file)
            file.close()

    def is_empty(self) -> bool:
        """Say whether nothing waits, of this writer or another."""
        return not self._paths()

    def _begin(self) -> BinaryIO:
        self._folder.mkdir(parents=True, exist_ok=True)
        while True:
            self._number += 1
            path = self._folder / f"{self._next()}{SUFFIX}"
            with contextlib.suppress(FileExistsError):
                file = path.open("xb")
                fcntl.flock(file, fcntl.LOCK_EX)
                # Whoever found it empty and unlocked meanwhile has removed it.
                if path.exists():
                    self._file = file
                    return file
                file.close()

    def _next(self) -> str:
        """Name a file so that names sort as files were begun; programs do not meet."""
        newest = max((path.name.split("-")[0] for path in self._paths()), default="0")
        nth = int(newest) + 1 if newest.isdecimal() else 1
        return f"{nth:012d}-{os.getpid()}-{self._number}"

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob(f"*{SUFFIX}"))


class Waiting:
    """One file of kept lines; `done` removes it once they were taken."""

    def __init__(self, path: Path, lines: list[bytes]) -> None:
        self._path = path
        self.lines = lines

    def done(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)


def frame(line: bytes) -> bytes:
    """Write one line with its checksum.

    >>> frame(b'{"a":1}')
    b'561bacaf {"a":1}\\n'
    """
    return f"{zlib.crc32(line):08x} ".encode() + line + b"\n"


def unframed(content: bytes) -> list[bytes]:
    """Read the lines of a file, without those that are torn or damaged."""
    lines = []
    for framed in content.split(b"\n")[:-1]:
        crc, line = framed[:_CRC_DIGITS], framed[_CRC_DIGITS + 1 :]
        if crc == f"{zlib.crc32(line):08x}".encode():
            lines.append(line)
    return lines


def size_of(path: Path) -> int:
    """Return a file's size, 0 where it is gone by now."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _settle(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
