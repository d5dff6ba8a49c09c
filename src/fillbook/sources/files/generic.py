"""Any delimited file or JSON lines whose columns a person names, or that uses our own names.

One reader per kind of row. Without a column map the headers must be our field names; with one,
`[[import.map]]` in fillbook.toml says which column is which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from fillbook.sources.files.column_map import REQUIRED, ColumnMap, MapKind, own_columns
from fillbook.sources.files.generic_cells import Cells
from fillbook.sources.files.generic_events import decision, funding, mark, order, transfer
from fillbook.sources.files.generic_fills import fill, round_trip
from fillbook.sources.files.opened import Sample, SourceFile
from fillbook.sources.files.paper_executions import no_times
from fillbook.sources.files.records import (
    Header,
    header_of,
    is_object_lines,
    jsonl_records,
    parse_object,
    require_columns,
)
from fillbook.sources.files.table import Context, Named, TableReader, zone_of
from fillbook.sources.reading import Whose
from fillbook.sources.rows import Row, TimeForm
from fillbook.sources.source import (
    AS_RECORDED,
    DEFAULT_ACCOUNT,
    FROM_FLOATS,
    RANK_FILE,
    RANK_FILE_WITH_IDS,
    WITHOUT_TIMES,
    Drafted,
    ReadOptions,
    RowError,
)

_OWN = "generic-"
_DRAFTERS: dict[MapKind, Callable[[Cells], Iterator[Drafted]]] = {
    "fills": fill,
    "round_trips": round_trip,
    "funding": funding,
    "decisions": decision,
    "marks": mark,
    "orders": order,
    "transfers": transfer,
}
_ID_FIELDS: dict[MapKind, str] = {
    "fills": "fill_id",
    "funding": "funding_id",
    "transfers": "transfer_id",
}


def own_map(kind: MapKind) -> ColumnMap:
    """Return the map of files whose headers are our field names."""
    return ColumnMap(name=_OWN + kind.replace("_", "-"), kind=kind, columns=own_columns(kind))


class GenericReader(TableReader):
    """Reads rows of one kind through a column map.

    >>> GenericReader(own_map("fills")).name
    'generic-fills'
    """

    def __init__(self, column_map: ColumnMap) -> None:
        self.map = column_map
        self.name = column_map.name
        self.title = f"files of {column_map.kind.replace('_', ' ')} ({column_map.name})"
        self.account_wide = column_map.coverage == "account"
        self._own = column_map.name.startswith(_OWN)

    @property
    def needed_columns(self) -> tuple[str, ...]:
        """Return the columns without which a file is not of this format."""
        if self._own:
            return REQUIRED[self.map.kind]
        return tuple(self.map.columns.values())

    def recognises(self, sample: Sample) -> bool:
        """Say whether the head has the needed columns, as a header or as keys of an object."""
        names = set(sample.header)
        if sample.is_json:
            if not is_object_lines(sample.text):
                return False
            try:
                names = set(parse_object(sample.first_line).cells)
            except RowError:
                return False
        if self._own and self.map.kind == "transfers" and "instrument" in names:
            # A transfer is of an asset; what names an instrument is funding with its asset.
            return False
        return set(self.needed_columns) <= names

    def context(self, file: SourceFile, options: ReadOptions) -> Context:
        """Settle zone, account and columns; InputError when rows have no times and no start."""
        used, header = self.map, None
        if not file.sample().is_json:
            header = header_of(file)
            require_columns(header, self.needed_columns, file.path, self.title)
            used = _present(used, header)
        if self.map.timeless and options.start_ns is None:
            raise no_times(file)
        return Context(
            venue=options.venue or used.venue or self.venue,
            account=options.account or used.account or DEFAULT_ACCOUNT,
            tz=options.tz or used.tz,
            header=header,
            start_ns=options.start_ns if self.map.timeless else None,
            settle=options.settle,
            map=used,
        )

    def numbered(self, context: Context) -> bool:
        """Rows without times, and trades without ids, are known by their place."""
        terms = context.map or self.map
        nameless = terms.kind == "round_trips" and "trade_id" not in terms.columns
        return nameless or super().numbered(context)

    def names_accounts(self, context: Context) -> bool:
        """Say whether rows may name their own account or venue."""
        terms = context.map or self.map
        return bool({"account", "venue"} & {*terms.columns, *terms.constants})

    def labels_in(self, context: Context) -> tuple[str, ...]:
        """Return what the batch must say about its numbers, times and trades."""
        terms = context.map or self.map
        labels = (
            (FROM_FLOATS, terms.from_floats),
            (WITHOUT_TIMES, terms.timeless),
            (AS_RECORDED, terms.kind == "round_trips"),
        )
        return tuple(label for label, holds in labels if holds)

    def rank_in(self, file: SourceFile, context: Context) -> int:
        """Rows with ids of their own rank above rows without."""
        terms = context.map or self.map
        field = _ID_FIELDS.get(terms.kind, "")
        if context.header is not None:
            return RANK_FILE_WITH_IDS if field in terms.columns else RANK_FILE
        column = terms.columns.get(field, "")
        first = next((r.row for r in jsonl_records(file) if r.row is not None), None)
        has_id = first is not None and first.text(column) is not None
        return RANK_FILE_WITH_IDS if has_id else RANK_FILE

    def whose(self, row: Row, context: Context) -> Whose:
        """Return the account and venue that a row names, else the file's."""
        terms = context.map or self.map
        return Whose(
            _cell(row, terms, "venue") or context.venue,
            _cell(row, terms, "account") or context.account or DEFAULT_ACCOUNT,
        )

    def drafts(self, named: Named, context: Context) -> Iterable[Drafted]:
        """Turn one row into facts and marks."""
        terms = context.map or self.map
        row = _mapped(named.row, terms)
        cells = Cells(
            row=row,
            number=named.number,
            venue=row.text("venue") or context.venue,
            account=row.text("account") or context.account or DEFAULT_ACCOUNT,
            form=TimeForm(terms.time_format, zone_of(context.tz)),
            terms=terms,
            settle=context.settle,
            start_ns=context.start_ns,
            source=self.name,
        )
        return _DRAFTERS[terms.kind](cells)


def _mapped(row: Row, terms: ColumnMap) -> Row:
    """Return the row under our field names; columns it lacks stay absent."""
    cells: dict[str, object] = {
        field: row.cells[column] for field, column in terms.columns.items() if column in row.cells
    }
    for field, value in terms.constants.items():
        cells.setdefault(field, value)
    return Row(cells)


def _cell(row: Row, terms: ColumnMap, field: str) -> str | None:
    column = terms.columns.get(field)
    if column is None or column not in row.cells:
        return terms.constants.get(field)
    return row.text(column)


def _present(terms: ColumnMap, header: Header) -> ColumnMap:
    """Drop columns a file does not have, so that its batch says exactly what was read."""
    columns = {field: name for field, name in terms.columns.items() if name in header.names}
    return msgspec.structs.replace(terms, columns=columns)
