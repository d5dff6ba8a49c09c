"""Runs readers over text or files and sorts what they say, for the tests of readers."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from fillbook.facts.model import AnyFact, Claim, Instrument
from fillbook.marks.series import Mark
from fillbook.sources.files.opened import SourceFile
from fillbook.sources.files.registry import AUTO, detect, reader_named
from fillbook.sources.reading import Reading
from fillbook.sources.source import ReadOptions, Rejected

CASES = Path(__file__).parent / "cases" / "readers"
F = TypeVar("F")


@dataclass
class Read:
    """Everything a file said: events, descriptions, rejected rows, marks."""

    format: str
    readings: Sequence[Reading]
    claims: list[Claim] = field(default_factory=list)
    described: list[Instrument] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)

    @property
    def facts(self) -> list[AnyFact]:
        """The facts of all events, in file order per account."""
        return [claim.fact for claim in self.claims]

    @property
    def identities(self) -> list[tuple[str, str, int]]:
        """What makes each event itself: account, key and ordinal."""
        return [(claim.fact.account, claim.key, claim.ordinal) for claim in self.claims]

    def only(self, kind: type[F]) -> list[F]:
        """The facts of one kind."""
        return [fact for fact in self.facts if isinstance(fact, kind)]


def read_file(path: Path, format: str = AUTO, **options: Any) -> Read:
    """Read a file as `fillbook import` would, without a book."""
    file, chosen = SourceFile(path), ReadOptions(**options)
    maps = chosen.column_maps
    reader = detect(file, maps) if format == AUTO else reader_named(format, maps)
    told = Read(reader.name, reader.read(file, chosen))
    for reading in told.readings:
        for entry in reading.entries():
            if isinstance(entry, Rejected):
                told.rejected.append(entry)
            elif isinstance(entry, Mark):
                told.marks.append(entry)
            elif isinstance(entry.fact, Instrument):
                told.described.append(entry.fact)
            else:
                told.claims.append(entry)
    return told


def read_text(
    folder: Path, text: str | bytes, name: str = "file.csv", format: str = AUTO, **options: Any
) -> Read:
    """Write text into a folder and read it."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_file(path, format, **options)


def gzipped(path: Path, folder: Path) -> Path:
    """Write a gzip copy of a file and return it."""
    packed = folder / f"{path.name}.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    return packed
