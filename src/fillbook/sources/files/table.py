"""What readers of one-row-one-event files share: context, zones, accounts, row numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from datetime import tzinfo
from decimal import Context as Arithmetic
from decimal import Decimal, Inexact
from functools import lru_cache, partial

import msgspec

from fillbook.facts.model import AnyFact
from fillbook.ground.clock import zone
from fillbook.ground.errors import InputError, UsageError
from fillbook.sources.files.column_map import ColumnMap
from fillbook.sources.files.opened import Sample, SourceFile
from fillbook.sources.files.records import (
    Header,
    Record,
    csv_records,
    header_of,
    jsonl_records,
    parse_csv,
    parse_object,
    parsed_record,
    require_columns,
    split_number,
)
from fillbook.sources.reading import Parsed, Reading, Terms, Whose, facts_of
from fillbook.sources.rows import Row
from fillbook.sources.source import (
    ACCOUNT_NOT_NAMED,
    DEFAULT_ACCOUNT,
    RANK_FILE,
    Drafted,
    ReadOptions,
    RowError,
)

_NO_ZONE = "names no time zone"
# Traps inexactness: a product that would lose a digit raises instead.
_EXACT = Arithmetic(prec=400, traps=[Inexact])


class Context(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything besides the row itself that decides what a row means; stored with the batch.

    `account` None: each row names its own. `header` None: rows are JSON objects.
    """

    venue: str
    account: str | None = None
    tz: str | None = None
    header: Header | None = None
    start_ns: int | None = None
    settle: str | None = None
    map: ColumnMap | None = None


class Named(msgspec.Struct, frozen=True):
    """A row with its number, for formats in which the number carries meaning."""

    row: Row
    number: int


class TableReader(ABC):
    """Base of readers whose files are rows under a header, or JSON objects line by line.

    A subclass names its columns and turns one row into drafts; the rest is here.
    """

    name: str
    title: str
    rank: int = RANK_FILE
    needs: tuple[str, ...] = ()
    venue: str = "file"
    labels: tuple[str, ...] = ()
    account_wide: bool = True
    promises: bool = True
    account_column: str | None = None

    @abstractmethod
    def drafts(self, named: Named, context: Context) -> Iterable[Drafted]:
        """Turn one row into facts and marks; RowError when it cannot be read."""

    def recognises(self, sample: Sample) -> bool:
        """Say whether the header has every column this format needs."""
        return set(self.needs) <= set(sample.header)

    def context(self, file: SourceFile, options: ReadOptions) -> Context:
        """Settle what the options and the header say; InputError when that is not enough."""
        header = header_of(file)
        require_columns(header, self.needs, file.path, self.title)
        named = None if self.account_column in header.names else self.default_account(options)
        return Context(
            venue=options.venue or self.venue,
            account=named,
            tz=options.tz,
            header=header,
            settle=options.settle,
        )

    def default_account(self, options: ReadOptions) -> str:
        """Return the account of rows that name none."""
        return options.account or DEFAULT_ACCOUNT

    def read(self, file: SourceFile, options: ReadOptions) -> list[Reading]:
        """Open a file: one reading per account it names."""
        zone_of(options.tz)
        context = self.context(file, options)
        self._refuse_naive(file, context)
        if context.tz is not None and context.tz == options.tz:
            context = self._without_idle_zone(file, context)
        accounts = self._accounts(file, context, options)
        several = len(accounts) > 1
        return [
            Reading(
                whose,
                self._terms(file, context, options, whose, alone=not several),
                partial(self._parsed, file, context, whose if several else None, place == 0),
            )
            for place, whose in enumerate(accounts)
        ]

    def _terms(
        self, file: SourceFile, context: Context, options: ReadOptions, whose: Whose, *, alone: bool
    ) -> Terms:
        labels = self.labels_in(context)
        if options.account is None and whose.account == DEFAULT_ACCOUNT:
            labels = (*labels, ACCOUNT_NOT_NAMED)
        own = "" if alone else f":{whose.venue}/{whose.account}"
        return Terms(
            source=self.name,
            rank=self.rank_in(file, context),
            fingerprint=file.fingerprint + own,
            name=str(file.path),
            context=msgspec.json.encode(context).decode(),
            tz=context.tz,
            labels=labels,
            account_wide=self.account_wide,
            promises=self.promises,
            total_bytes=file.size,
        )

    def rank_in(self, file: SourceFile, context: Context) -> int:
        """Return the rank of a file; a format with optional ids may decide by its columns."""
        return self.rank

    def labels_in(self, context: Context) -> tuple[str, ...]:
        """Return the labels of a batch before any row is read."""
        return self.labels

    def numbered(self, context: Context) -> bool:
        """Say whether a row needs its place in the file to be read again.

        The place is then stored in front of the raw text.
        """
        return context.start_ns is not None

    def names_accounts(self, context: Context) -> bool:
        """Say whether the rows name their own accounts."""
        return context.account is None

    def records(self, file: SourceFile, context: Context) -> Iterator[Record]:
        """Yield the rows of a file."""
        if context.header is None:
            return jsonl_records(file)
        return csv_records(file, context.header)

    def whose(self, row: Row, context: Context) -> Whose:
        """Return whose row it is."""
        assert self.account_column is not None
        return Whose(context.venue, row.need(self.account_column))

    def reparse(self, context: str, raw: str) -> list[AnyFact]:
        """Parse one stored raw record again."""
        settled = msgspec.json.decode(context, type=Context)
        number = 0
        if self.numbered(settled):
            number, raw = split_number(raw)
        row = parse_object(raw) if settled.header is None else parse_csv(raw, settled.header)
        return facts_of(self.drafts(Named(row, number), settled))

    def _parsed(
        self,
        file: SourceFile,
        context: Context,
        only: Whose | None = None,
        takes_unowned: bool = True,
    ) -> Iterator[Parsed]:
        """Parse the rows of one account, or of all; unreadable owners go where they are taken."""
        numbered = self.numbered(context)

        def drafts(row: Row, number: int) -> Iterable[Drafted]:
            return self.drafts(Named(row, number), context)

        for record in self.records(file, context):
            if only is not None:
                owner = self._owner(record, context)
                if owner != only and not (owner is None and takes_unowned):
                    continue
            yield parsed_record(record, drafts, numbered=numbered)

    def _owner(self, record: Record, context: Context) -> Whose | None:
        if record.row is None:
            return None
        try:
            return self.whose(record.row, context)
        except RowError:
            return None  # the row itself will be told as rejected

    def _accounts(self, file: SourceFile, context: Context, options: ReadOptions) -> list[Whose]:
        given = Whose(context.venue, context.account or self.default_account(options))
        if not self.names_accounts(context):
            return [given]
        owners = {self._owner(record, context) for record in self.records(file, context)}
        found = [owner for owner in owners if owner is not None]
        names = sorted({whose.account for whose in found})
        if options.account is not None and names not in ([], [options.account]):
            raise InputError(
                f"the rows name the account{'s' if len(names) > 1 else ''} {', '.join(names[:5])}, "
                f"--account says {options.account}",
                str(file.path),
                "leave --account out: the file tells whose rows they are",
            )
        return sorted(found, key=lambda w: (w.venue, w.account)) or [given]

    def _refuse_naive(self, file: SourceFile, context: Context) -> None:
        """Refuse the whole file when its first row already lacks a zone: all the others will."""
        for parsed in self._parsed(file, context):
            if _is_naive(parsed):
                raise naive_times(file)
            return

    def _without_idle_zone(self, file: SourceFile, context: Context) -> Context:
        """Forget a zone that no row needs: with it or without it, the batch is the same."""
        without = msgspec.structs.replace(context, tz=None)
        needed = any(_is_naive(parsed) for parsed in self._parsed(file, without))
        return context if needed else without


def _is_naive(parsed: Parsed) -> bool:
    return parsed.fault is not None and parsed.fault.reason.endswith(_NO_ZONE)


def header_or_none(file: SourceFile) -> Header | None:
    """Return the columns of a delimited file, None for JSON lines."""
    return None if file.sample().is_json else header_of(file)


def naive_times(file: SourceFile) -> InputError:
    """Say that a file's times need a zone."""
    return InputError(
        "the times name no time zone",
        str(file.path),
        "say which zone they were written in, such as --tz UTC or --tz Europe/Berlin",
    )


@lru_cache(maxsize=64)
def zone_of(name: str | None) -> tzinfo | None:
    """Return the zone of `--tz`; UsageError when there is no such zone."""
    if name is None:
        return None
    try:
        return zone(name)
    except ValueError as fault:
        raise UsageError(str(fault), f"--tz {name}", "name a zone such as UTC") from fault


def product(*factors: Decimal) -> Decimal:
    """Multiply exactly; decimal's default would keep 28 digits.

    >>> product(Decimal("0.1"), Decimal("1.0000000000000000000000000000001"))
    Decimal('0.10000000000000000000000000000001')
    """
    result = Decimal(1)
    for factor in factors:
        result = _EXACT.multiply(result, factor)
    return result
