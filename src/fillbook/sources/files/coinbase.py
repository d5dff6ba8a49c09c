"""Saved answers of Coinbase Advanced Trade: fills, orders, and products.

An answer as the API sends it, the bare list of rows, or one row per line. Fills and orders name
their portfolio, which is the account, so that a file and the live account are one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from fillbook.facts.model import AnyFact
from fillbook.ground.errors import InputError
from fillbook.sources.coinbase.fills import VENUE
from fillbook.sources.coinbase.rows import (
    FILLS,
    ORDERS,
    PRODUCTS,
    RowContext,
    drafts_of,
    read_context,
)
from fillbook.sources.files.opened import Sample, SourceFile
from fillbook.sources.files.records import (
    Document,
    Record,
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


class CoinbaseRows:
    """Reads JSON saved from one endpoint; `fields` are those that only its rows have together.

    `part` is where an answer of the API keeps its rows.
    """

    rank = RANK_FILE_WITH_IDS

    def __init__(self, name: str, title: str, part: str, fields: tuple[str, ...]) -> None:
        self.name = name
        self.title = title
        self._part = part
        # An order that was asked for by its id stands alone.
        self._one = part.removesuffix("s")
        self._fields = [re.compile(rf'"{field}"\s*:') for field in fields]

    def recognises(self, sample: Sample) -> bool:
        """Say whether JSON names the fields only these rows have."""
        return sample.is_json and all(field.search(sample.text) for field in self._fields)

    def read(self, file: SourceFile, options: ReadOptions) -> list[Reading]:
        """Open a file: one reading per portfolio in it."""
        accounts = {_whose(record.row, options, file) for record in self._records(file)}
        accounts = accounts or {options.account or DEFAULT_ACCOUNT}
        return [
            self._reading(file, account, len(accounts) == 1, options)
            for account in sorted(accounts)
        ]

    def _reading(
        self, file: SourceFile, account: str, is_only: bool, options: ReadOptions
    ) -> Reading:
        terms = Terms(
            source=self.name,
            rank=self.rank,
            fingerprint=file.fingerprint + ("" if is_only else f":{VENUE}/{account}"),
            name=str(file.path),
            context=RowContext(account).text(),
            labels=(ACCOUNT_NOT_NAMED,) if account == DEFAULT_ACCOUNT else (),
            # An answer may have been asked for of one product, or of one order.
            account_wide=False,
            total_bytes=file.size,
            # The rest of a size in quote is a charge; other charges are not in these files.
            components=("orders",) if self.name == ORDERS else ("fills",),
        )

        def drafts(row: Row, number: int) -> list[Draft]:
            return drafts_of(self.name, row, account)

        def parse() -> Iterator[Parsed]:
            for record in self._records(file):
                if _whose(record.row, options, file) == account:
                    yield parsed_record(record, drafts)

        return Reading(Whose(VENUE, account), terms, parse)

    def reparse(self, context: str, raw: str) -> list[AnyFact]:
        """Parse one stored row again."""
        return facts_of(drafts_of(self.name, parse_object(raw), read_context(context).account))

    def _records(self, file: SourceFile) -> Iterator[Record]:
        """Yield rows, whichever of the three forms the file has; answers may stand in a list."""
        if self._is_lines(file):
            yield from jsonl_records(file)
            return
        document = Document(file)
        top = document.top(msgspec.Raw)
        answers = document.part(top, list[msgspec.Raw]) if bytes(top)[:1] == b"[" else [top]
        number = 0
        for answer in answers:
            fields = document.part(answer, dict[str, msgspec.Raw]) if _is_object(answer) else {}
            rows = [answer]
            if self._part in fields:
                rows = document.part(fields[self._part], list[msgspec.Raw])
            elif self._one in fields:
                rows = [fields[self._one]]
            for row in rows:
                yield document.record(number, row)
                number += 1

    def _is_lines(self, file: SourceFile) -> bool:
        """Say whether every line is a row: an answer on one line is none."""
        lines = [line for line in file.sample().text.lstrip().splitlines() if line.strip()]
        try:
            first = msgspec.json.decode(lines[0], type=dict[str, msgspec.Raw]) if lines else {}
        except msgspec.DecodeError:
            return False
        return bool(first) and not {self._part, self._one} & first.keys()


READERS = (
    CoinbaseRows(
        FILLS, "Coinbase Advanced fills", "fills", ("entry_id", "trade_time", "product_id")
    ),
    CoinbaseRows(
        ORDERS,
        "Coinbase Advanced orders",
        "orders",
        ("order_configuration", "client_order_id", "product_id"),
    ),
    CoinbaseRows(
        PRODUCTS,
        "Coinbase Advanced products",
        "products",
        ("base_increment", "quote_increment", "product_type"),
    ),
)


def _whose(row: Row | None, options: ReadOptions, file: SourceFile) -> str:
    named = None if row is None else row.cells.get("retail_portfolio_id")
    told = named if isinstance(named, str) and named else None
    given = options.account
    if told is not None and given is not None and told.lower() != given.lower():
        raise InputError(
            f"the rows are of the portfolio {told}, --account says {given}",
            str(file.path),
            "leave --account out: the file tells whose rows they are",
        )
    return told or given or DEFAULT_ACCOUNT


def _is_object(item: msgspec.Raw) -> bool:
    return bytes(item).lstrip()[:1] == b"{"
