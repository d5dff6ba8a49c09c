"""What an import tells afterwards."""

from __future__ import annotations

import msgspec

from fillbook.sources.source import Rejected


class FileReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one file, or of one account's rows in it.

    `rows` counts source rows, `claims` the events they turned into (a round trip is two fills);
    `new + known = claims`, and conflicts (same identity, other content) are among the new.
    `account` is None where it had marks only: a price is nobody's. `rejected` is exact,
    `rejections` lists the first of them. `skipped` says why a file was left alone, `error` why it
    could not be imported.
    """

    path: str
    format: str | None = None
    venue: str | None = None
    account: str | None = None
    batch_id: str | None = None
    rows: int = 0
    claims: int = 0
    new: int = 0
    known: int = 0
    conflicts: int = 0
    marks: int = 0
    rejected: int = 0
    rejections: tuple[Rejected, ...] = ()
    labels: tuple[str, ...] = ()
    first: str | None = None
    last: str | None = None
    resumed: bool = False
    already_imported: bool = False
    skipped: str | None = None
    error: str | None = None
    where: str | None = None
    next_step: str | None = None


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an import did, file by file, and the journal's sequence afterwards."""

    files: tuple[FileReport, ...]
    dry_run: bool
    seq: int | None

    @property
    def failed(self) -> tuple[FileReport, ...]:
        """Return the files that could not be imported."""
        return tuple(file for file in self.files if file.error is not None)
