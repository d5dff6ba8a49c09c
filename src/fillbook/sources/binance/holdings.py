"""What a Binance account holds now: one read for all positions, however many are open."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress

import msgspec

from fillbook.ground.clock import DAY_NS, HOUR_NS
from fillbook.marks.series import Mark
from fillbook.sources.binance.asks import answered, state_ask
from fillbook.sources.binance.fills import MILLISECONDS, VENUE, instrument_of
from fillbook.sources.binance.rates import FEE_ASSET
from fillbook.sources.binance.rows import ORDERS, RowContext, drafts_of
from fillbook.sources.binance.state import mark_of, rate_of, timed_text
from fillbook.sources.faults import BrokenAnswerError, RefusedError
from fillbook.sources.files.records import parse_object
from fillbook.sources.rows import Row
from fillbook.sources.source import RowError
from fillbook.sources.stream import Answer, Ask, PulledRow, Snapshot

Read = Callable[[Ask], Awaitable[Answer]]

_EQUITY_EVERY_NS = HOUR_NS
MARKS = "binance-marks"
# Above so many symbols one read of all marks weighs less than one of each.
_ONE_BY_ONE = 10


class _Account(msgspec.Struct):
    assets: list[msgspec.Raw]


class Holdings:
    """Asks for positions, equity and prices of one account. `note` is told every symbol held.

    `known` are the symbols that it may have traded.
    """

    def __init__(
        self, read: Read, note: Callable[[str], None], known: Callable[[], Collection[str]]
    ) -> None:
        self.account = ""
        self._read = read
        self._note = note
        self._known = known
        self._marked: set[str] = set()
        self._worth_seen_ns: int | None = None
        self._in_vain: dict[str, int] = {}

    async def snapshot(self, now_ns: int) -> Snapshot:
        """Return every open position, and once an hour what each asset of the account is worth."""
        answer = await self._read(state_ask("positionRisk"))
        self._marked.clear()
        try:
            rows = [
                self._row(timed_text(self._true_at(told, answer), "position", item))
                for item in answered(answer, list[msgspec.Raw])
                if self._is_open(told := parse_object(bytes(item)))
            ]
            if self._worth_seen_ns is None or now_ns - self._worth_seen_ns >= _EQUITY_EVERY_NS:
                rows += await self._worths()
                self._worth_seen_ns = now_ns
        except RowError as fault:
            raise BrokenAnswerError(
                f"a position or balance cannot be read: {fault.field or 'it'} {fault.reason}",
                VENUE,
                "if it stays, a newer Fillbook may be needed",
            ) from None
        return Snapshot(
            source=ORDERS,
            context=RowContext(self.account).text(),
            asked_ns=answer.asked_ns,
            told_ns=answer.told_ns,
            rows=tuple(rows),
            listed=frozenset(name for name in self._known() if instrument_of("", name)),
        )

    async def marks(
        self, instruments: Collection[str], quotes: Collection[str], now_ns: int
    ) -> list[Mark]:
        """Return marks the last snapshot did not bring, and what BNB is worth in each quote."""
        wanted = {name for name in instruments if name not in self._marked}
        alone = wanted if len(wanted) < _ONE_BY_ONE else set()
        asked = sorted(alone | {f"{FEE_ASSET}{quote}" for quote in quotes})
        told = {name: row for name in asked if (row := await self._premium(name, now_ns))}
        if len(wanted) >= _ONE_BY_ONE:
            told |= await self._premiums()
        marks: list[Mark | None] = []
        # A price nobody can read is none; the next look brings another.
        for name in sorted(wanted & told.keys()):
            with suppress(RowError):
                marks.append(mark_of(told[name], MARKS))
        for quote in sorted(quotes):
            row = told.get(f"{FEE_ASSET}{quote}")
            if row is not None:
                with suppress(RowError):
                    marks.append(rate_of(row, FEE_ASSET, quote, MARKS))
        return [mark for mark in marks if mark is not None]

    async def _worths(self) -> list[PulledRow]:
        answer = await self._read(state_ask("account"))
        assets = answered(answer, _Account).assets
        return [
            self._row(timed_text(answer.asked_ns, "asset", item))
            for item in assets
            if parse_object(bytes(item)).number("marginBalance")
        ]

    def _true_at(self, told: Row, answer: Answer) -> int:
        """Return the instant a position speaks of: when it was asked for, or changed after that."""
        changed = told.number("updateTime")
        changed_ns = told.when("updateTime", MILLISECONDS) if changed else 0
        return max(answer.asked_ns, changed_ns)

    def _is_open(self, told: Row) -> bool:
        if not told.number("positionAmt"):
            return False
        symbol = told.need("symbol")
        self._note(symbol)
        if told.number("markPrice"):
            self._marked.add(symbol)
        return True

    async def _premium(self, symbol: str, now_ns: int) -> Row | None:
        """Return what the venue tells of one contract; one it does not have is asked once a day."""
        if now_ns < self._in_vain.get(symbol, 0):
            return None
        try:
            answer = await self._read(state_ask("premiumIndex", "none", symbol=symbol))
        except RefusedError:
            self._in_vain[symbol] = now_ns + DAY_NS
            return None
        return _row_in(answer.text)

    async def _premiums(self) -> dict[str, Row]:
        answer = await self._read(state_ask("premiumIndex", "none"))
        rows = [_row_in(bytes(item).decode()) for item in answered(answer, list[msgspec.Raw])]
        return {str(row.cells.get("symbol")): row for row in rows if row is not None}

    def _row(self, text: str) -> PulledRow:
        drafts = drafts_of(ORDERS, parse_object(text), self.account)
        return PulledRow(raw=text, drafts=tuple(drafts))


def _row_in(text: str) -> Row | None:
    try:
        return parse_object(text)
    except RowError:
        return None
