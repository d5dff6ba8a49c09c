"""Binance USD-M's income as one stream: all types at once, so that no type can be missed.

Funding over many symbols, or a burst of commissions, may fill a page with one millisecond. It is
then read type by type, and a type that still fills a page symbol by symbol.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec

from fillbook.facts.model import Component
from fillbook.ground.clock import MINUTE_NS
from fillbook.sources.binance.asks import (
    INCOME_WEIGHT,
    LONGEST_WINDOW_NS,
    PAGE_ROWS,
    RETENTION_NS,
    answered,
    history_ask,
)
from fillbook.sources.binance.fills import MILLISECOND_NS, MILLISECONDS, VENUE
from fillbook.sources.binance.income import TYPES
from fillbook.sources.binance.rows import INCOME, RowContext
from fillbook.sources.binance.streams import AHEAD_NS, DEEP_NS, OVERLAP_NS, page_of, retold
from fillbook.sources.cursors import TimeCursor, begin_walk, read_cursor, step, window_of
from fillbook.sources.faults import UnreadableError
from fillbook.sources.rows import Row
from fillbook.sources.source import RowError
from fillbook.sources.stream import Answer, Ask, PulledPage

STREAM = "income"
_BETWEEN = "/"


class IncomeStream:
    """Every movement of the account's money.

    `traded` gives the symbols known so far, for an instant that is read symbol by symbol; `note`
    is told every symbol a row names, because a symbol's own history has to be asked for by name,
    and `wonder` every type that is not known here.
    """

    name = STREAM
    source = INCOME
    components: tuple[Component, ...] = ("funding", "charges", "transfers")
    instrument: str | None = None
    overlap_ns = OVERLAP_NS
    deep_ns = DEEP_NS
    every_ns = MINUTE_NS

    def __init__(
        self,
        account: str,
        *,
        traded: Callable[[], Collection[str]],
        note: Callable[[str], None],
        wonder: Callable[[str], None],
        page_rows: int = PAGE_ROWS,
    ) -> None:
        self.context = RowContext(account).text()
        self._account = account
        self._traded = traded
        self._note = note
        self._wonder = wonder
        self._page_rows = page_rows

    def begin(self, cursor: str | None, now_ns: int, overlap_ns: int) -> str:
        """Return the first cursor of a round; ValueError for a cursor of unknown form."""
        return begin_walk(cursor, now_ns + AHEAD_NS, overlap_ns, now_ns - RETENTION_NS)

    def ask(self, cursor: str, now_ns: int) -> Ask:
        """Return the read of a window, or of one part of a crowded instant."""
        walk = read_cursor(cursor)
        query: dict[str, str] = {}
        if walk.parts:
            kind, _, symbol = walk.parts[0].partition(_BETWEEN)
            query["incomeType"] = kind
            if symbol:
                query["symbol"] = symbol
        window = window_of(walk, LONGEST_WINDOW_NS, MILLISECOND_NS)
        return history_ask("income", INCOME_WEIGHT, self._page_rows, window, **query)

    def parse(self, answer: Answer, cursor: str) -> PulledPage:
        """Parse one page; BrokenAnswerError when the answer is no list of rows."""
        walk = read_cursor(cursor)
        page = page_of(self.source, self._account, answered(answer, list[msgspec.Raw]))
        symbols = {symbol for row in page.cells if (symbol := _text(row, "symbol"))}
        kinds = {kind for row in page.cells if (kind := _text(row, "incomeType"))}
        for symbol in symbols:
            self._note(symbol)
        for kind in kinds.difference(TYPES):
            self._wonder(kind)
        times_ns = [at for at in map(_time, page.cells) if at is not None]
        done = step(
            walk,
            times_ns,
            bool(times_ns) and len(page.pulled) >= self._page_rows,
            answer.asked_ns,
            grain_ns=MILLISECOND_NS,
            most_ns=LONGEST_WINDOW_NS,
        )
        following = done.next_cursor
        if done.stuck:
            nameless = any(_text(row, "symbol") is None for row in page.cells)
            following = self._divided(walk, kinds, set() if nameless else symbols)
        return PulledPage(
            rows=page.pulled,
            next_cursor=following,
            more=done.more,
            covered_from_ns=done.covered_from_ns,
            covered_until_ns=done.covered_until_ns,
            gap=retold(done.gap, "transaction"),
        )

    def narrow(self, cursor: str) -> str | None:
        """Return None: a crowded instant is divided where it is met."""
        return None

    def _divided(self, walk: TimeCursor, kinds: set[str], symbols: set[str]) -> str:
        """Cut a crowded instant by types, or its first type by symbols where all rows name one."""
        if not walk.parts:
            parts = tuple(sorted({*TYPES, *kinds}))
        else:
            kind, _, symbol = walk.parts[0].partition(_BETWEEN)
            named = sorted({*self._traded(), *symbols})
            if symbol or not symbols:
                raise UnreadableError(
                    f"more than {self._page_rows} rows of {kind} {symbol} in one millisecond, "
                    "and there may be more of them",
                    f"{VENUE} {self.name}",
                    "import the account's income exported for this day",
                    at_ns=walk.from_ns,
                )
            parts = (*(f"{kind}{_BETWEEN}{name}" for name in named), *walk.parts[1:])
        return msgspec.structs.replace(walk, parts=parts, lost_ns=None).text()


def _text(row: Row, name: str) -> str | None:
    try:
        return row.text(name)
    except RowError:
        return None


def _time(row: Row) -> int | None:
    try:
        return row.when("time", MILLISECONDS)
    except RowError:
        return None
