"""Fees and funding as Binance USD-M tells them, read through the bot's own REST client.

The client needs one method, `get_income_history`, plain or a coroutine. Its parameters are found
by name in any spelling. Rows are claims under the venue's own ids: read again, they change
nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from fillbook.desks.telemetry.client import called
from fillbook.facts.model import Claim
from fillbook.ground.clock import DAY_NS
from fillbook.ground.errors import InputError, UsageError
from fillbook.journal.values import BatchOpen
from fillbook.sources.binance.fills import MILLISECOND_NS, VENUE
from fillbook.sources.binance.rows import INCOME, RowContext, drafts_of
from fillbook.sources.drafting import Drafting
from fillbook.sources.rows import Row
from fillbook.sources.source import RANK_API, RowError
from fillbook.sources.stream import PulledRow
from fillbook.sources.streambook import batch_id_of

PAGE_ROWS = 1000
FIRST_FETCH_NS = 7 * DAY_NS
COMMISSION = "COMMISSION"
FUNDING_FEE = "FUNDING_FEE"

IncomeRow = Mapping[str, Any]
_PARAMETERS = {
    "incometype": "income_type",
    "type": "income_type",
    "symbol": "symbol",
    "start": "start",
    "starttime": "start",
    "startms": "start",
    "end": "end",
    "endtime": "end",
    "endms": "end",
    "limit": "limit",
}


class IncomeSource:
    """Reads income rows of one client, page by page."""

    def __init__(self, client: object) -> None:
        ask = getattr(client, "get_income_history", None)
        if not callable(ask):
            raise UsageError(
                "the REST client has no get_income_history",
                type(client).__name__,
                "give it one that reads /fapi/v1/income, or leave the client out",
            )
        self._ask = ask
        names = inspect.signature(ask).parameters
        self._names = {
            _PARAMETERS[plain]: name
            for name in names
            if (plain := name.replace("_", "").lower()) in _PARAMETERS
        }
        self._takes_any = any(p.kind is p.VAR_KEYWORD for p in names.values())

    async def rows(
        self, income_type: str | None, symbol: str | None, start_ms: int, end_ms: int
    ) -> list[IncomeRow]:
        """Return every row in [start, end], each once, oldest first.

        A full page is followed by the next one from its last millisecond on. InputError where one
        millisecond alone fills a page, for then rows behind it cannot be reached.
        """
        found: dict[tuple[str, ...], IncomeRow] = {}
        while True:
            page = await self._page(income_type, symbol, start_ms, end_ms)
            for row in page:
                if _is_asked(row, income_type, symbol, start_ms, end_ms):
                    found[_identity(row)] = row
            times = [int(row["time"]) for row in page]
            if len(page) < PAGE_ROWS:
                return sorted(found.values(), key=lambda row: int(row["time"]))
            if max(times) <= start_ms:
                raise InputError(
                    "more income rows in one millisecond than a page holds",
                    f"{income_type or 'income'} at {start_ms} ms",
                    "ask for one symbol at a time",
                )
            start_ms = max(times)

    async def _page(
        self, income_type: str | None, symbol: str | None, start_ms: int, end_ms: int
    ) -> Sequence[IncomeRow]:
        told = {"income_type": income_type, "symbol": symbol, "start": start_ms, "end": end_ms}
        wanted = {**told, "limit": PAGE_ROWS}
        arguments = {
            self._names.get(name, _FALLBACK[name]): value
            for name, value in wanted.items()
            if value is not None and (name in self._names or self._takes_any)
        }
        answer = await called(self._ask, **arguments)
        return [row for row in answer or () if isinstance(row, Mapping)]


_FALLBACK = {
    "income_type": "income_type",
    "symbol": "symbol",
    "start": "start_time",
    "end": "end_time",
    "limit": "limit",
}


def income_batch(account: str) -> BatchOpen:
    """Return the batch that income rows of an account are written under."""
    return BatchOpen(
        batch_id=batch_id_of(VENUE, account, "income"),
        source=INCOME,
        rank=RANK_API,
        venue=VENUE,
        account=account,
        fingerprint="",
        name="binance income, through the bot's client",
        context=RowContext(account).text(),
    )


def income_claims(rows: Sequence[IncomeRow], account: str) -> tuple[list[Claim], list[str]]:
    """Turn rows into claims; returns beside them what could not be read, in plain words."""
    pulled, refused = [], []
    for row in rows:
        plain = {name: _plain(value) for name, value in row.items()}
        try:
            drafts = tuple(drafts_of(INCOME, Row(plain), account))
        except RowError as fault:
            refused.append(f"{fault.field or 'row'}: {fault.reason}")
            continue
        pulled.append(PulledRow(raw=msgspec.json.encode(plain).decode(), drafts=drafts))
    claims, _, _ = Drafting().claims(pulled)
    return claims, refused


def to_ms(ts_ns: int) -> int:
    """Return UTC milliseconds, as the venue counts."""
    return ts_ns // MILLISECOND_NS


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)


def _identity(row: IncomeRow) -> tuple[str, ...]:
    return tuple(str(row.get(name)) for name in ("incomeType", "tranId", "asset", "symbol"))


def _is_asked(
    row: IncomeRow, income_type: str | None, symbol: str | None, start_ms: int, end_ms: int
) -> bool:
    return (
        (income_type is None or row.get("incomeType") == income_type)
        and (symbol is None or row.get("symbol") == symbol)
        and start_ms <= int(row["time"]) <= end_ms
    )
