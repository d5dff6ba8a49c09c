"""Files as bytes: plain, gzip or zip; their fingerprint, their head, their lines."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import zipfile
import zlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import IO

from fillbook.ground.errors import InputError

HEAD_BYTES = 65_536
# A document is parsed in one piece; beyond this it must come as one object per line.
MOST_DOCUMENT_BYTES = 2**31
_CHUNK = 1 << 20
_UTF8_MARK = b"\xef\xbb\xbf"


class Sample:
    """The head of a file, decompressed: all that a reader may look at to recognise it."""

    def __init__(self, name: str, head: bytes) -> None:
        self.name = name
        self.text = head.removeprefix(_UTF8_MARK).decode("utf-8", errors="replace")

    @cached_property
    def start(self) -> str:
        """Return the text from its first character that is not blank."""
        return self.text.lstrip()

    @cached_property
    def first_line(self) -> str:
        """Return the first line that is not blank."""
        return self.start.splitlines()[0].strip() if self.start else ""

    @property
    def is_json(self) -> bool:
        """Say whether the text starts like JSON."""
        return self.start[:1] in ("{", "[")

    @cached_property
    def header(self) -> tuple[str, ...]:
        """Return the column names of a delimited file; empty for JSON."""
        if self.is_json or not self.start:
            return ()
        delimiter = delimiter_of(self.first_line)
        return tuple(name.strip().strip('"') for name in self.first_line.split(delimiter))


def delimiter_of(line: str) -> str:
    """Return the delimiter of a header line: comma, semicolon or tab, whichever it has most.

    >>> delimiter_of("time;coin;px")
    ';'
    """
    return max(",;\t", key=line.count)


class SourceFile:
    """One file to read; decompresses gzip and single-document zip files on the way."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name

    @contextlib.contextmanager
    def _bytes(self) -> Iterator[IO[bytes]]:
        try:
            with self.path.open("rb") as raw:
                magic = raw.read(4)
                raw.seek(0)
                if magic[:2] == b"\x1f\x8b":
                    with gzip.GzipFile(fileobj=raw) as unpacked:
                        yield unpacked  # type: ignore[misc]  # GzipFile is a binary stream
                elif magic == b"PK\x03\x04":
                    with zipfile.ZipFile(raw) as archive:
                        member = _document_in(archive, self.path)
                        with archive.open(member) as unpacked_member:
                            yield unpacked_member
                else:
                    yield raw
        except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as fault:
            raise InputError(
                f"the compressed file is damaged or cut short: {fault}",
                str(self.path),
                "copy or download it again",
            ) from fault
        except OSError as fault:
            raise InputError(
                f"the file cannot be read: {fault.strerror or fault}",
                str(self.path),
                "check the path and its permissions",
            ) from fault

    def sample(self) -> Sample:
        """Return the head of the file."""
        with self._bytes() as stream:
            head = stream.read(HEAD_BYTES)
        if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise InputError(
                "the file is UTF-16 text", str(self.path), "save it as UTF-8 and import it again"
            )
        return Sample(self.name, head)

    @cached_property
    def _measured(self) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0
        with self._bytes() as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
        return digest.hexdigest(), size

    @property
    def fingerprint(self) -> str:
        """Return the SHA-256 of the decompressed bytes: the same for a.csv and a.csv.gz."""
        return self._measured[0]

    @property
    def size(self) -> int:
        """Return the number of decompressed bytes."""
        return self._measured[1]

    def lines(self) -> Iterator[bytes]:
        """Yield the lines with their endings, without a byte order mark."""
        with self._bytes() as stream:
            first = stream.readline()
            if first:
                yield first.removeprefix(_UTF8_MARK)
            yield from stream

    def document(self) -> bytes:
        """Return all bytes of a document that is parsed in one piece."""
        if self.size > MOST_DOCUMENT_BYTES:
            raise InputError(
                f"the document has {self.size:,} bytes, too many to parse in one piece",
                str(self.path),
                "write one JSON object per line",
            )
        with self._bytes() as stream:
            return stream.read().removeprefix(_UTF8_MARK)


def _document_in(archive: zipfile.ZipFile, path: Path) -> str:
    """Name the one document of a zip file: its only file, or the JSON named like the archive."""
    members = [item.filename for item in archive.infolist() if not item.is_dir()]
    if len(members) == 1:
        return members[0]
    named = [member for member in members if Path(member).name == f"{path.stem}.json"]
    if len(named) == 1:
        return named[0]
    raise InputError(
        f"the archive holds {len(members)} files and none is named {path.stem}.json",
        str(path),
        "unpack it and import the files that hold trades",
    )
