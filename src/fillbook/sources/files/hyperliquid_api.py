"""Saved answers of Hyperliquid's info endpoint: fills, funding, ledger updates, orders.

Either the bare list of rows, one row per line, or a recording of requests with their responses,
which also names the address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from fillbook.facts.model import AnyFact
from fillbook.ground.errors import InputError
from fillbook.sources.files.opened import Sample, SourceFile
from fillbook.sources.files.records import (
    Document,
    Record,
    is_object_lines,
    jsonl_records,
    parse_object,
    parsed_record,
)
from fillbook.sources.hyperliquid.fills import VENUE, told_currency
from fillbook.sources.hyperliquid.rows import SOURCE, ApiContext, drafts_of, unwrapped
from fillbook.sources.reading import Parsed, Reading, Terms, Whose, facts_of
from fillbook.sources.rows import Row
from fillbook.sources.source import (
    ACCOUNT_NOT_NAMED,
    DEFAULT_ACCOUNT,
    RANK_FILE_WITH_IDS,
    Draft,
    ReadOptions,
)

_READ = (
    *("userFills", "userFillsByTime", "userTwapSliceFills", "userTwapSliceFillsByTime"),
    *("userFunding", "userFundingHistory", "userNonFundingLedgerUpdates"),
    *("historicalOrders", "openOrders", "frontendOpenOrders"),
)
_FIELDS = ("closedPnl", "startPosition", "usdc", "limitPx", "statusTimestamp")
_HEAD = re.compile(rf'"(?:{"|".join(_FIELDS)})"\s*:|"type"\s*:\s*"(?:{"|".join(_READ)})"')


class _Request(msgspec.Struct):
    type: str = ""
    user: str | None = None


class _Exchange(msgspec.Struct):
    request: _Request
    response: msgspec.Raw


class HyperliquidApi:
    """Reads JSON saved from the API."""

    name = SOURCE
    title = "Hyperliquid API answers"
    rank = RANK_FILE_WITH_IDS

    def recognises(self, sample: Sample) -> bool:
        """Say whether JSON names the fields only these answers have."""
        return sample.is_json and _HEAD.search(sample.text) is not None

    def read(self, file: SourceFile, options: ReadOptions) -> list[Reading]:
        """Open a file: one reading per address in it."""
        given = None if options.account is None else options.account.lower()
        users: dict[str, ApiContext] = {}
        for user, record in _records(file):
            account = _whose(user, given, file)
            context = users.setdefault(account, ApiContext(account=account, quotes={}, bases={}))
            told = told_currency(unwrapped(record.row)) if record.row is not None else None
            if told is not None:
                coin, currency, is_base = told
                (context.bases if is_base else context.quotes)[coin] = currency
        if not users:
            account = given or DEFAULT_ACCOUNT
            users[account] = ApiContext(account=account)
        return [
            self._reading(file, context, len(users) == 1, given)
            for _, context in sorted(users.items())
        ]

    def _reading(
        self,
        file: SourceFile,
        context: ApiContext,
        is_only: bool,
        given: str | None,
    ) -> Reading:
        account = context.account
        unnamed = account == DEFAULT_ACCOUNT and given is None
        terms = Terms(
            source=self.name,
            rank=self.rank,
            fingerprint=file.fingerprint + ("" if is_only else f":{VENUE}/{account}"),
            name=str(file.path),
            context=msgspec.json.encode(context).decode(),
            labels=(ACCOUNT_NOT_NAMED,) if unnamed else (),
            total_bytes=file.size,
        )

        def drafts(row: Row, number: int) -> list[Draft]:
            return drafts_of(row, context)

        def parse() -> Iterator[Parsed]:
            for user, record in _records(file):
                if _whose(user, given, file) == account:
                    yield parsed_record(record, drafts)

        return Reading(Whose(VENUE, account), terms, parse)

    def reparse(self, context: str, raw: str) -> list[AnyFact]:
        """Parse one stored row again."""
        settled = msgspec.json.decode(context, type=ApiContext)
        return facts_of(drafts_of(parse_object(raw), settled))


def _whose(user: str | None, given: str | None, file: SourceFile) -> str:
    if user is not None and given not in (None, user.lower()):
        raise InputError(
            f"the recording is of {user}, --account says {given}",
            str(file.path),
            "leave --account out: the file tells whose rows they are",
        )
    return (user or given or DEFAULT_ACCOUNT).lower()


def _records(file: SourceFile) -> Iterator[tuple[str | None, Record]]:
    """Yield rows with the user their request named, whichever of the three forms it is."""
    if is_object_lines(file.sample().text):
        for record in jsonl_records(file):
            yield None, record
        return
    document = Document(file)
    number = 0
    for item in document.top(list[msgspec.Raw]):
        fields = document.part(item, dict[str, msgspec.Raw]) if _is_object(item) else {}
        if "request" not in fields or "response" not in fields:
            yield None, document.record(number, item)
            number += 1
            continue
        exchange = document.part(item, _Exchange)
        if exchange.request.type in _READ:
            for row in document.part(exchange.response, list[msgspec.Raw]):
                yield exchange.request.user, document.record(number, row)
                number += 1


def _is_object(item: msgspec.Raw) -> bool:
    return bytes(item).lstrip()[:1] == b"{"
