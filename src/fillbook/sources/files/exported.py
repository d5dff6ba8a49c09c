"""What `fillbook export` wrote, read back: the same facts under the same identities.

So an account that was exported, imported elsewhere and then attached there counts once. How far
the exported book was complete stands in rows of its own; a file without them promises nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from fillbook.facts import flat
from fillbook.facts.model import AnyFact, Span
from fillbook.marks.series import Mark
from fillbook.sources.files.opened import Sample, SourceFile
from fillbook.sources.files.records import is_object_lines, parse_object
from fillbook.sources.files.table import Context, Named, TableReader, header_or_none
from fillbook.sources.reading import Whose
from fillbook.sources.rows import Row
from fillbook.sources.source import (
    RANK_FILE_WITH_IDS,
    WITHOUT_TIMES,
    Draft,
    Drafted,
    ReadOptions,
    RowError,
)

SOURCE = "fillbook-export"
MARK_ROW = "mark"


class FillbookExport(TableReader):
    """Reads the CSV and JSON lines of an export, whatever kinds of rows they hold."""

    name = SOURCE
    title = "files that `fillbook export` wrote"
    rank = RANK_FILE_WITH_IDS
    venue = "fillbook"
    promises = False

    def recognises(self, sample: Sample) -> bool:
        """Say whether the first column or key is the one that marks an export."""
        if not sample.is_json:
            return sample.header[:1] == (flat.MARK,)
        if not is_object_lines(sample.text):
            return False
        try:
            return next(iter(parse_object(sample.first_line).cells), "") == flat.MARK
        except RowError:
            return False

    def context(self, file: SourceFile, options: ReadOptions) -> Context:
        """Settle the header; every row names its own account."""
        # Rows without times of their own are told apart by their place, as where they came from.
        untimed = flat.mark_of("fill", WITHOUT_TIMES) in file.sample().text
        start_ns = 0 if untimed else None
        return Context(venue=self.venue, header=header_or_none(file), start_ns=start_ns)

    def labels_in(self, context: Context) -> tuple[str, ...]:
        """Return what must be said of rows whose times nobody printed."""
        return (WITHOUT_TIMES,) if context.start_ns is not None else ()

    def whose(self, row: Row, context: Context) -> Whose:
        """Return whose row it is."""
        is_text = context.header is not None
        venue, account = (
            flat.text_in(row.cells, name, is_text=is_text) for name in ("venue", "account")
        )
        if not venue or not account:
            raise RowError("venue" if not venue else "account", "is blank")
        return Whose(venue, account)

    def drafts(self, named: Named, context: Context) -> Iterable[Drafted]:
        """Turn one row into the fact that it was."""
        cells, is_text = named.row.cells, context.header is not None
        try:
            tag = flat.tag_in(cells)
            if tag == MARK_ROW:
                return [_mark(named.row)]
            if tag not in flat.KINDS:
                raise RowError(flat.MARK, f"{tag!r} is no kind of row")
            fact = flat.unflat(tag, cells, is_text=is_text)
            described = flat.contract_in(tag, fact, cells)
        except msgspec.ValidationError as fault:
            what, _, place = str(fault).partition(" - at `$.")
            raise RowError(place.rstrip("`") or None, what) from fault
        except ValueError as fault:
            if isinstance(fault, RowError):
                raise
            raise RowError(None, str(fault)) from fault
        key = flat.text_in(cells, "key", is_text=is_text)
        if not key:
            raise RowError("key", "is blank")
        ranked = cells.get("row") not in (None, "")
        return [Draft(_ours(fact), key, ranked=ranked, instrument=described)]


def _ours(fact: AnyFact) -> AnyFact:
    """Let a stretch of coverage be the word of this file, whoever said it first."""
    if isinstance(fact, Span):
        return msgspec.structs.replace(fact, source=SOURCE, rank=RANK_FILE_WITH_IDS)
    for field, value in zip(fact.__struct_fields__, msgspec.structs.astuple(fact), strict=True):
        if isinstance(value, Decimal) and not value.is_finite():
            raise RowError(field, f"{value} is not a number")
    return fact


def _mark(row: Row) -> Mark:
    told = {**row.cells, "ts_ns": flat.time_in(row.cells)}
    return msgspec.convert(told, Mark, strict=False)
