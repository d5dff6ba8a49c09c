"""What BNB was worth, as a stream of prices: fees paid in it are valued at their own time.

The venue tells past prices as bars of its index; the close of every quarter of an hour is kept.
Nothing here is a fact of the account, so nothing is promised about its coverage.
"""

from __future__ import annotations

import msgspec

from fillbook.facts.model import Component
from fillbook.ground.clock import DAY_NS, HOUR_NS, MINUTE_NS
from fillbook.marks.series import Mark
from fillbook.sources.binance.asks import RETENTION_NS, answered
from fillbook.sources.binance.fills import MILLISECOND_NS, MILLISECONDS, VENUE
from fillbook.sources.binance.rows import TRADES, RowContext
from fillbook.sources.cursors import begin_walk, read_cursor, step, window_of
from fillbook.sources.rows import Row, number_in
from fillbook.sources.stream import Answer, Ask, PulledPage, PulledRow

FEE_ASSET = "BNB"
_BAR_NS = 15 * MINUTE_NS
_BARS = 499
_WEIGHT = 2


class _Bar(msgspec.Struct, array_like=True):
    opened_ms: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    closed_ms: int


class RatesStream:
    """The worth of BNB in one currency, from the first fill that may have paid in it until now."""

    source = TRADES
    components: tuple[Component, ...] = ()
    instrument: str | None = None
    every_ns = HOUR_NS
    overlap_ns = 2 * _BAR_NS
    deep_ns = DAY_NS

    def __init__(self, account: str, quote: str) -> None:
        self.name = f"rates/{FEE_ASSET}{quote}"
        self.context = RowContext(account).text()
        self._quote = quote

    def begin(self, cursor: str | None, now_ns: int, overlap_ns: int) -> str:
        """Return the first cursor of a round; ValueError for a cursor of unknown form."""
        return begin_walk(cursor, now_ns, overlap_ns, now_ns - RETENTION_NS)

    def ask(self, cursor: str, now_ns: int) -> Ask:
        """Return the read of the bars behind the cursor."""
        start_ns, end_ns = window_of(read_cursor(cursor), _BARS * _BAR_NS, MILLISECOND_NS)
        query = (
            ("pair", f"{FEE_ASSET}{self._quote}"),
            ("interval", "15m"),
            ("startTime", str(start_ns // MILLISECOND_NS)),
            ("endTime", str(end_ns // MILLISECOND_NS - 1)),
            ("limit", str(_BARS)),
        )
        path = "/fapi/v1/indexPriceKlines"
        return Ask(name="indexPriceKlines", host="fapi", path=path, query=query, weight=_WEIGHT)

    def parse(self, answer: Answer, cursor: str) -> PulledPage:
        """Parse bars; the one that is not closed yet is left for later."""
        bars = answered(answer, list[_Bar])
        marks = [
            self._mark(bar) for bar in bars if bar.closed_ms * MILLISECOND_NS < answer.asked_ns
        ]
        done = step(
            read_cursor(cursor),
            [],
            False,
            answer.asked_ns,
            grain_ns=MILLISECOND_NS,
            most_ns=_BARS * _BAR_NS,
        )
        return PulledPage(
            rows=(PulledRow(raw="", drafts=tuple(marks)),),
            next_cursor=done.next_cursor,
            more=done.more,
        )

    def narrow(self, cursor: str) -> str | None:
        """Return None: bars never crowd."""
        return None

    def _mark(self, bar: _Bar) -> Mark:
        px = number_in("close", bar.close)
        at_ns = Row({"time": str(bar.closed_ms)}).when("time", MILLISECONDS)
        return Mark(VENUE, f"{FEE_ASSET}/{self._quote}", at_ns, px, "rate", "binance-klines")
