"""Saved answers of Binance USD-M: userTrades, income, and orders of either kind.

A list of rows, or one row per line. None of them names the account: `--account` does, with the
uid that the web page shows, so that a file and the live account are one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from fillbook.facts.model import AnyFact
from fillbook.sources.binance.fills import VENUE
from fillbook.sources.binance.rows import (
    INCOME,
    ORDERS,
    TRADES,
    RowContext,
    drafts_of,
    read_context,
)
from fillbook.sources.files.opened import Sample, SourceFile
from fillbook.sources.files.records import (
    Document,
    Record,
    is_object_lines,
    jsonl_records,
    parse_object,
    parsed_record,
)
from fillbook.sources.reading import Parsed, Reading, Terms, Whose, facts_of
from fillbook.sources.rows import Row
from fillbook.sources.source import (
    ACCOUNT_NOT_NAMED,
    DEFAULT_ACCOUNT,
    RANK_FILE_WITH_IDS,
    Draft,
    ReadOptions,
)


class BinanceRows:
    """Reads JSON saved from one endpoint; `fields` are those that only its rows have together."""

    rank = RANK_FILE_WITH_IDS

    def __init__(self, name: str, title: str, fields: tuple[str, ...]) -> None:
        self.name = name
        self.title = title
        self._fields = [re.compile(rf'"(?:{field})"\s*:') for field in fields]

    def recognises(self, sample: Sample) -> bool:
        """Say whether JSON names the fields only these rows have."""
        return sample.is_json and all(field.search(sample.text) for field in self._fields)

    def read(self, file: SourceFile, options: ReadOptions) -> list[Reading]:
        """Open a file: one reading, of the account that `--account` names."""
        account = options.account or DEFAULT_ACCOUNT
        terms = Terms(
            source=self.name,
            rank=self.rank,
            fingerprint=file.fingerprint,
            name=str(file.path),
            context=RowContext(account).text(),
            labels=() if options.account else (ACCOUNT_NOT_NAMED,),
            account_wide=self.name == INCOME and _is_of_many_symbols(file),
            total_bytes=file.size,
        )

        def drafts(row: Row, number: int) -> list[Draft]:
            return drafts_of(self.name, row, account)

        def parse() -> Iterator[Parsed]:
            for record in _records(file):
                yield parsed_record(record, drafts)

        return [Reading(Whose(VENUE, account), terms, parse)]

    def reparse(self, context: str, raw: str) -> list[AnyFact]:
        """Parse one stored row again."""
        return facts_of(drafts_of(self.name, parse_object(raw), read_context(context).account))


READERS = (
    BinanceRows(
        TRADES,
        "Binance USD-M userTrades",
        ("realizedPnl", "commissionAsset", "positionSide"),
    ),
    BinanceRows(INCOME, "Binance USD-M income", ("incomeType", "tranId")),
    BinanceRows(
        ORDERS, "Binance USD-M orders", ("clientOrderId|clientAlgoId", "origType|algoType")
    ),
)


def _is_of_many_symbols(file: SourceFile) -> bool:
    """Say whether rows of several symbols stand here: else one symbol may have been asked for."""
    seen = {record.row.cells.get("symbol") for record in _records(file) if record.row}
    return len(seen) > 1


def _records(file: SourceFile) -> Iterator[Record]:
    if is_object_lines(file.sample().text):
        yield from jsonl_records(file)
        return
    document = Document(file)
    for number, row in enumerate(document.top(list[msgspec.Raw])):
        yield document.record(number, row)
