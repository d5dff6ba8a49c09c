"""Tells what became of watched trades: to files, to a memory, to a webhook, to the bot."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal

from fillbook.analysis.answers import TradeRow
from fillbook.desks.portfolio_memory import Memory, remember
from fillbook.desks.position_book import Look
from fillbook.desks.trade_metrics import TradeMetricsCollector
from fillbook.desks.trade_outcomes import OutcomeLines
from fillbook.monitor.tracker import money, name_of, pnl_of
from fillbook.publish.closed import Record, closed_event, record_of
from fillbook.publish.webhook import Webhook

_SUSPICIOUS_CLOSES = 3

log = logging.getLogger("fillbook.desks")


class TradeEnds:
    """Hands closings to everyone who wants them; `queue` has the finished trades, each once.

    `multipliers` are the contract sizes by product.
    """

    def __init__(
        self,
        lines: OutcomeLines,
        collector: TradeMetricsCollector,
        memory: Memory | None,
        webhook: Webhook | None,
        multipliers: Mapping[str, Decimal],
    ) -> None:
        self.queue: queue.SimpleQueue[Record] = queue.SimpleQueue()
        self._lines = lines
        self._collector = collector
        self._memory = memory
        self._webhook = webhook
        self._multipliers = multipliers
        self._flat_closes = 0
        self._told: set[tuple[str, int]] = set()
        # How many fills each open trade had when its closings were last looked at.
        self._fills: dict[str, int] = {}

    def tell(self, look: Look) -> None:
        """Tell what ended since the last look, then what was closed of trades that go on."""
        for row in look.closed:
            record = record_of(row, look.updates[row.trade_id])
            if not self._collector.knows(record):
                self._finish(look, row, record)
        self._tell_reduced(look)

    def _tell_reduced(self, look: Look) -> None:
        """Tell what was closed of trades that go on, each part once, also across restarts."""
        known, self._fills = self._fills, {}
        for row in look.opened:
            if row.fills != known.get(row.trade_id, 1):
                try:
                    parts = self._lines.add(row, look.exits(row), self._multiplier(row))
                except OSError:
                    log.exception("the outcome line was not written for %s", row.trade_id)
                    continue
                for left in parts:
                    made = (
                        "unknown" if left.realized is None else money(left.realized, row.currency)
                    )
                    log.info("✂ Trade reduced: %s by %s | PnL: %s", name_of(row), left.size, made)
            self._fills[row.trade_id] = row.fills

    def _finish(self, look: Look, row: TradeRow, record: Record) -> None:
        """Hand a finished trade to everyone; its file comes last, so that a kill repeats it.

        A trade that late facts made another replaces what was told of it before.
        """
        before = self._collector.told_before(record)
        if before:
            record["revision"] = 1 + max(each.get("revision", 0) for each in before)
        told = (row.trade_id, record.get("revision", 0))
        is_news = told not in self._told
        if is_news:
            line = "🔁 Trade revised" if before else "📊 Trade completed"
            log.info("%s: %s | PnL: %s", line, name_of(row), pnl_of(row))
        for what, step in self._steps(look, row, record, before, is_news):
            try:
                step()
            except Exception:  # who takes a trade may fail in any way; watching goes on
                log.exception("%s was not written for %s", what, row.trade_id)
        if is_news:
            self._told.add(told)
            self.queue.put(record)
            self._watch_flat(row)

    def _steps(
        self, look: Look, row: TradeRow, record: Record, before: list[Record], is_news: bool
    ) -> Iterator[tuple[str, Callable[[], object]]]:
        memory, webhook, size = self._memory, self._webhook, self._multiplier(row)
        old = [each["trade_id"] for each in before]
        if is_news and not before:
            yield "the outcome line", lambda: self._lines.add(row, look.exits(row), size)
        if is_news and memory is not None:
            yield "the portfolio memory", lambda: remember(memory, row, record, size, old)
        if is_news and webhook is not None:
            yield "the webhook's event", lambda: webhook.post(closed_event(record, old))
        collector = self._collector
        yield "the trade's file", lambda: collector.record_trade_metrics(record, before)

    def _multiplier(self, row: TradeRow) -> Decimal:
        return self._multipliers.get(row.product_id, Decimal(1))

    def _watch_flat(self, row: TradeRow) -> None:
        is_flat = row.exit_price is not None and row.exit_price == row.entry_price
        self._flat_closes = self._flat_closes + 1 if is_flat else 0
        if self._flat_closes >= _SUSPICIOUS_CLOSES:
            log.warning(
                "%d trades in a row closed at their entry price: are the platform's prices fresh?",
                self._flat_closes,
            )
