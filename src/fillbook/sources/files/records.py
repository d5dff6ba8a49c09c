"""Rows of delimited and JSON files, each with its own source text and line number."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from fillbook.ground.errors import InputError
from fillbook.sources.files.opened import SourceFile, delimiter_of
from fillbook.sources.reading import Parsed
from fillbook.sources.rows import Row
from fillbook.sources.source import Drafted, RowError

_FIELD_LIMIT = 1 << 20
_NUMBER_MARK = "\t"


class Record(msgspec.Struct, frozen=True):
    """One row as it stands in a file, or the reason why it cannot even be split into cells.

    `number` counts rows from 0; `done_bytes` says how far into the file it reaches.
    """

    number: int
    line: int
    raw: str
    done_bytes: int
    row: Row | None
    fault: RowError | None = None


class Header(msgspec.Struct, frozen=True):
    """The columns of a delimited file."""

    names: tuple[str, ...]
    delimiter: str


def parsed_record(
    record: Record, drafts: Callable[[Row, int], Iterable[Drafted]], *, numbered: bool = False
) -> Parsed:
    """Parse a record; a RowError becomes its fault. `numbered`: the raw text carries its place."""
    fault = record.fault
    if record.row is not None:
        try:
            made = tuple(drafts(record.row, record.number))
        except RowError as why:
            fault = why
        else:
            raw = f"{record.number}{_NUMBER_MARK}{record.raw}" if numbered else record.raw
            return Parsed(record.line, raw, record.done_bytes, made)
    return Parsed(record.line, record.raw, record.done_bytes, (), fault)


def split_number(raw: str) -> tuple[int, str]:
    """Return the place and the text of a stored numbered record.

    >>> split_number("17\\tBTC,1")
    (17, 'BTC,1')
    """
    number, _, text = raw.partition(_NUMBER_MARK)
    return int(number), text


def header_of(file: SourceFile) -> Header:
    """Read the header line of a delimited file; InputError when there is none."""
    for line in file.lines():
        text = _decoded(line)[0].strip()
        if text:
            delimiter = delimiter_of(text)
            names = tuple(name.strip() for name in next(csv.reader([text], delimiter=delimiter)))
            doubled = sorted({name for name in names if names.count(name) > 1 and name})
            if doubled:
                raise InputError(
                    f"the column {doubled[0]!r} occurs twice", f"{file.path}:1", "rename one"
                )
            return Header(names, delimiter)
    raise InputError("the file is empty", str(file.path), "export it again")


def csv_records(file: SourceFile, header: Header) -> Iterator[Record]:
    """Yield the rows below the header; blank lines are passed over."""
    tape = _Tape(file)
    csv.field_size_limit(_FIELD_LIMIT)
    rows = csv.reader(tape, delimiter=header.delimiter, strict=True)
    number, seen_header = 0, False
    while True:
        tape.start()
        try:
            fields = next(rows)
        except StopIteration:
            return
        except csv.Error as fault:
            reason = f"the row cannot be split into cells: {fault}"
            yield tape.record(number, None, RowError(None, reason))
            number += 1
            continue
        if not any(field.strip() for field in fields):
            continue
        if not seen_header:
            seen_header = True
            continue
        yield tape.record(number, *_named(fields, header, tape.intact))
        number += 1


def parse_csv(raw: str, header: Header) -> Row:
    """Split one stored raw record again; RowError when it does not fit the header."""
    fields = next(csv.reader([raw], delimiter=header.delimiter, strict=True))
    row, fault = _named(fields, header, intact=True)
    if row is None:
        assert fault is not None
        raise fault
    return row


class _Tape:
    """Feeds lines to the csv module and remembers the text of the row being read."""

    def __init__(self, file: SourceFile) -> None:
        self._lines = file.lines()
        self._taken: list[str] = []
        self._line = self._first = self._bytes = 0
        self.intact = True

    def start(self) -> None:
        self._taken.clear()
        self._first = self._line + 1
        self.intact = True

    def __iter__(self) -> _Tape:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self._line += 1
        self._bytes += len(line)
        text, intact = _decoded(line)
        self.intact = self.intact and intact
        self._taken.append(text)
        return text

    def record(self, number: int, row: Row | None, fault: RowError | None) -> Record:
        raw = "".join(self._taken).rstrip("\r\n")
        return Record(number, self._first, raw, self._bytes, row, fault)


def _decoded(line: bytes) -> tuple[str, bool]:
    try:
        return line.decode("utf-8"), True
    except UnicodeDecodeError:
        return line.decode("utf-8", errors="replace"), False


def _named(fields: list[str], header: Header, intact: bool) -> tuple[Row | None, RowError | None]:
    if not intact:
        return None, RowError(None, "the line is not UTF-8 text")
    width = len(header.names)
    if len(fields) < width or any(field.strip() for field in fields[width:]):
        return None, RowError(None, f"has {len(fields)} cells where the header has {width}")
    return Row(dict(zip(header.names, fields, strict=False))), None


def parse_object(raw: str | bytes) -> Row:
    """Read one JSON object; numbers stay text, so that no digit is lost. RowError otherwise."""
    try:
        value = json.loads(raw, parse_float=str, parse_int=str, parse_constant=_refuse)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise RowError(None, f"is not JSON: {fault}") from fault
    if not isinstance(value, dict):
        raise RowError(None, "is not a JSON object")
    return Row(value)


def _refuse(constant: str) -> NoReturn:
    raise RowError(None, f"{constant} is not a number")


def object_record(number: int, line: int, raw: str, done_bytes: int) -> Record:
    """Make the record of one JSON object."""
    try:
        return Record(number, line, raw, done_bytes, parse_object(raw))
    except RowError as fault:
        return Record(number, line, raw, done_bytes, None, fault)


def jsonl_records(file: SourceFile) -> Iterator[Record]:
    """Yield one record per line of JSON; blank lines are passed over."""
    number = done_bytes = 0
    for line_number, line in enumerate(file.lines(), start=1):
        done_bytes += len(line)
        text, intact = _decoded(line)
        raw = text.strip()
        if not raw:
            continue
        if intact:
            yield object_record(number, line_number, raw, done_bytes)
        else:
            fault = RowError(None, "the line is not UTF-8 text")
            yield Record(number, line_number, raw, done_bytes, None, fault)
        number += 1


class Document:
    """A JSON document whose parts keep their own text, so that a row's raw form is the file's."""

    def __init__(self, file: SourceFile) -> None:
        self._path = file.path
        self._bytes = file.document()
        self._place = 0
        self._line = 1

    def top(self, kind: Any) -> Any:
        """Decode the whole document; InputError names where it breaks."""
        return self.part(self._bytes, kind)

    def part(self, raw: bytes | msgspec.Raw, kind: Any) -> Any:
        """Decode a piece of the document into `kind` (usually with `msgspec.Raw` leaves)."""
        try:
            return msgspec.json.decode(raw, type=kind)
        except (msgspec.DecodeError, RecursionError) as fault:
            raise InputError(
                f"this is not the JSON that was expected: {fault}",
                str(self._path),
                "the file may be cut short; export it again",
            ) from fault

    def record(self, number: int, raw: msgspec.Raw) -> Record:
        """Make the record of one object; call in document order."""
        piece = bytes(raw)
        at = self._bytes.index(piece, self._place)
        line = self._line + self._bytes.count(b"\n", self._place, at)
        self._place = at + len(piece)
        self._line = line + piece.count(b"\n")
        return object_record(number, line, piece.decode("utf-8"), self._place)


def is_object_lines(text: str) -> bool:
    """Say whether text starts with one JSON object per line, not one document over many."""
    first = text.lstrip().splitlines()[0] if text.strip() else ""
    try:
        return isinstance(json.loads(first), dict)
    except json.JSONDecodeError:
        return False


def require_columns(header: Header, needed: tuple[str, ...], path: Path, title: str) -> None:
    """Refuse a file whose header lacks columns, naming them."""
    missing = [name for name in needed if name not in header.names]
    if missing:
        raise InputError(
            f"{title} need the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}",
            f"{path}:1",
            "check the header, or choose another --format",
        )
