"""Exports of a book: one file per kind of row, CSV, JSON lines or Parquet, with a manifest.

Everything is written into a folder of its own beside the target and put in place when it is whole.
What is written is what counts in the book; docs/export.md lists the columns.
"""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, Literal

import msgspec

from fillbook.facts import flat
from fillbook.ground.errors import InputError, UsageError
from fillbook.sources.redact import EVERYWHERE

Format = Literal["csv", "jsonl", "parquet"]
Progress = Callable[[int, int | None], None]

MANIFEST = "export.json"
_TOLD_EVERY = 5_000


class ExportedFile(msgspec.Struct, frozen=True, kw_only=True):
    """One written file."""

    name: str
    rows: int
    sha256: str


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What was written where, and the state of the book it is true at.

    `since` and `until` are ISO times or null; no `accounts` means all of them.
    """

    path: str
    book: str
    seq: int
    head: str
    format: Format
    since: str | None
    until: str | None
    accounts: tuple[str, ...]
    files: tuple[ExportedFile, ...]


class Sheet(msgspec.Struct, frozen=True):
    """Rows of one kind on their way into one file; `total` is how many there will be."""

    name: str
    columns: tuple[str, ...]
    total: int
    rows: Iterable[Sequence[object]]


def write_export(
    folder: Path,
    sheets: Iterable[Sheet],
    about: Exported,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write every sheet and the manifest; nothing is in the folder before all of it is written.

    InputError when something is there already, unless `force` replaces what an export wrote.
    """
    _refuse_taken(folder, force=force)
    whole = folder.resolve()
    fresh = whole.with_name(f".{whole.name}.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fresh.mkdir(parents=True)
        counter = _Counter(progress)
        files = tuple(_written(fresh, sheet, about.format, counter) for sheet in sheets)
        told = msgspec.structs.replace(about, files=files)
        text = msgspec.json.format(msgspec.json.encode(told), indent=2)
        _durable(fresh / MANIFEST, lambda file: file.write(text + b"\n"))
        _put_in_place(fresh, folder)
    except OSError as fault:
        raise InputError(
            f"the export cannot be written: {fault.strerror or fault}",
            str(fault.filename or folder),
            "make room, or choose another folder with --out DIR",
        ) from fault
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return told


def _refuse_taken(folder: Path, *, force: bool) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError("this is a file, not a folder", str(folder), "name another --out DIR")
    found = [path.name for path in folder.iterdir()]
    if not found or (force and MANIFEST in found):
        return
    if MANIFEST in found:
        raise UsageError(
            "an export is there already", str(folder), "name another --out DIR, or say --force"
        )
    raise UsageError(
        "the folder holds something else", str(folder), "name a new or empty --out DIR"
    )


def _put_in_place(fresh: Path, folder: Path) -> None:
    """Rename the whole folder; into one that exists the files go one by one, the manifest last."""
    if not folder.exists():
        fresh.rename(folder)
        return
    old = folder / MANIFEST
    if old.exists():
        for name in _named_in(old):
            (folder / name).unlink(missing_ok=True)
        old.unlink()
    for path in sorted(fresh.iterdir(), key=lambda path: path.name == MANIFEST):
        path.replace(folder / path.name)


def _named_in(manifest: Path) -> list[str]:
    """Return the plain names of the files that an older export wrote."""
    try:
        told = msgspec.json.decode(manifest.read_bytes(), type=Exported)
    except msgspec.DecodeError:
        return []
    return [file.name for file in told.files if Path(file.name).name == file.name]


class _Counter:
    """Counts rows over all sheets and tells now and then."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._done = self._total = 0

    def begin(self, total: int) -> None:
        self._total += total

    def rows(self, rows: Iterable[Sequence[object]]) -> Iterator[Sequence[object]]:
        for row in rows:
            self._done += 1
            if self._progress is not None and self._done % _TOLD_EVERY == 0:
                self._progress(self._done, self._total)
            yield row


def _written(folder: Path, sheet: Sheet, form: Format, counter: _Counter) -> ExportedFile:
    counter.begin(sheet.total)
    path = folder / f"{sheet.name}.{'jsonl' if form == 'jsonl' else 'csv'}"
    written = 0

    def write(file: IO[bytes]) -> None:
        nonlocal written
        lines = _json_lines(sheet, counter) if form == "jsonl" else _csv_lines(sheet, counter)
        for line in lines:
            file.write(line)
            written += 1

    _durable(path, write)
    if form == "parquet":
        path = _as_parquet(path)
    rows = written if form == "jsonl" else written - 1
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return ExportedFile(name=path.name, rows=rows, sha256=digest)


def _json_lines(sheet: Sheet, counter: _Counter) -> Iterator[bytes]:
    for row in counter.rows(sheet.rows):
        cells = (_redacted(cell) for cell in row)
        yield msgspec.json.encode(dict(zip(sheet.columns, cells, strict=True))) + b"\n"


class _Line:
    """Keeps the one line that the csv module has just written."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text = text


def _csv_lines(sheet: Sheet, counter: _Counter) -> Iterator[bytes]:
    line = _Line()
    writer = csv.writer(line, lineterminator="\n")
    writer.writerow(sheet.columns)
    yield line.text.encode()
    for row in counter.rows(sheet.rows):
        writer.writerow([flat.cell_text(_redacted(cell)) for cell in row])
        yield line.text.encode()


def _as_parquet(path: Path) -> Path:
    """Turn a CSV file into Parquet, piece by piece: the same columns, all of them text."""
    import polars

    target = path.with_suffix(".parquet")
    polars.scan_csv(path, infer_schema=False).sink_parquet(target)
    path.unlink()
    return target


def _redacted(cell: object) -> object:
    if type(cell) is not str or EVERYWHERE.is_harmless(cell):
        return cell
    return _clean(cell)


@lru_cache(maxsize=65_536)
def _clean(text: str) -> str:
    return EVERYWHERE.clean(text)


def _durable(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    with path.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
