"""What every source shares: options, drafts, rejected rows, and the protocol of a reader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from fillbook.facts.model import AnyFact, Instrument
from fillbook.marks.series import Mark
from fillbook.sources.files.column_map import ColumnMap

if TYPE_CHECKING:
    from fillbook.sources.files.opened import Sample, SourceFile
    from fillbook.sources.reading import Reading

RANK_API = 3
RANK_FILE_WITH_IDS = 2
RANK_FILE = 1

# Labels a batch may carry; the ledger and the answers read them.
FROM_FLOATS = "written as floats"
WITHOUT_TIMES = "no times"
ACCOUNT_NOT_NAMED = "account not named"
AS_RECORDED = "round trips as recorded"
DEFAULT_ACCOUNT = "default"


class ReadOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a person says about the files: whose they are and how to read their times.

    `tz` names the zone of naive times, `start_ns` the instant of row 0 where rows have no time,
    `settle` the currency of instruments whose name does not tell it.
    """

    account: str | None = None
    venue: str | None = None
    tz: str | None = None
    start_ns: int | None = None
    settle: str | None = None
    column_maps: tuple[ColumnMap, ...] = ()


class RowError(ValueError):
    """Why one row cannot be read; readers turn it into a `Rejected`, it never leaves them."""

    def __init__(self, field: str | None, reason: str) -> None:
        self.field = field
        self.reason = reason
        super().__init__(reason)


class Rejected(msgspec.Struct, frozen=True):
    """One row that was not imported: where it stands, which field, and why."""

    file: str
    line: int | None
    field: str | None
    reason: str
    text: str


class Draft(msgspec.Struct, frozen=True):
    """One fact of a row with its identity, before twins are counted and rows are ranked.

    `idless`: rows alike in `key` are told apart by ordinal. `ranked`: the claim carries its place
    in file order inside its printed instant. `instrument` describes the contract it speaks of.
    """

    fact: AnyFact
    key: str
    idless: bool = False
    ranked: bool = False
    instrument: Instrument | None = None


Drafted = Draft | Mark


class Reader(Protocol):
    """One file format. `name` is its `--format` and the `source` of its batches."""

    name: str
    title: str

    def recognises(self, sample: Sample) -> bool:
        """Say whether the head of a file looks like this format; False in any doubt."""
        ...

    def read(self, file: SourceFile, options: ReadOptions) -> Sequence[Reading]:
        """Open a file: one reading per account in it. Raises InputError when none can be."""
        ...

    def reparse(self, context: str, raw: str) -> list[AnyFact]:
        """Parse one stored raw record again, as `read` did; ValueError when it cannot be."""
        ...
