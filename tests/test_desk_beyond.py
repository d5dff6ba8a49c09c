"""What the trade monitor's book knows beyond what was watched: why, at which price, how good.

The desk only looks at positions. Its book is a book like any other, so decisions, the venue's own
fills, statistics, pages and alerts come with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cli_run import fillbook
from fillbook.analysis.digest import Summary, digest
from fillbook.analysis.summary import fills, load, performance, trades
from fillbook.analysis.view import BookView, Query
from fillbook.desks.portfolio_memory import PortfolioMemoryEngine
from fillbook.desks.telemetry.metrics import MetricsPage
from fillbook.desks.trade_monitor import TradeMonitor
from fillbook.desks.trade_outcomes import exits_of
from fillbook.facts.identity import key_of
from fillbook.facts.model import AnyFact, Batch, Claim, Coverage, Decision, Fill
from fillbook.ground.clock import DAY_NS, HOUR_NS, parse_ns
from fillbook.ground.settings import Settings
from fillbook.journal.store import BatchOpen, Journal, Page
from fillbook.marks.series import MarkStore, marks_path
from fillbook.publish.closed import closed_event
from fillbook.sources.source import RANK_API

T0 = parse_ns("2026-01-05T10:00:00Z")


class Platform:
    def __init__(self) -> None:
        self.answer: dict[str, Any] = {}

    def get_portfolio_breakdown(self) -> dict[str, Any]:
        return self.answer


class Watched:
    """A monitor polled by hand, each time so much later, and its book read from outside."""

    def __init__(self, folder: Path, now_ns: int = T0, **options: Any) -> None:
        self.folder = folder
        self.book = folder / "fillbook.db"
        self.platform = Platform()
        self.now_ns = now_ns
        options["clock"] = lambda: self.now_ns
        self.monitor = TradeMonitor(self.platform, folder=folder, **options)

    def show(self, *rows: dict[str, Any], later_ns: int = HOUR_NS) -> None:
        self.platform.answer = {"futures_positions": list(rows)}
        assert self.monitor.poll()
        self.now_ns += later_ns

    def tell(self, *facts: AnyFact, source: str = "push", rank: int = 0) -> None:
        """Put facts into the book as another source; it covers everything up to now."""
        batch = BatchOpen(
            batch_id=f"told:{source}",
            source=source,
            rank=rank,
            venue="platform",
            account="default",
            fingerprint="",
            name=source,
        )
        covers = Coverage(component="fills", from_ns=T0 - HOUR_NS, until_ns=self.now_ns)
        final = Batch(
            venue="platform",
            account="default",
            ts_ns=self.now_ns,
            batch_id=batch.batch_id,
            source=source,
            rank=rank,
            fingerprint="",
            name=source,
            rows=len(facts),
            coverage=(covers,) if rank else (),
        )
        claims = [Claim(f, key_of(f.ts_ns, source, n), "") for n, f in enumerate(facts)]
        with Journal.open(self.book) as journal:
            journal.begin(batch, self.now_ns)
            page = Page(batch_id=batch.batch_id, claims=claims, cursor="", final=final)
            journal.append(page, self.now_ns)

    def ask(self, question: Callable[[BookView], Any]) -> Any:
        book = self.book
        with Journal.open(book, readonly=True) as journal, MarkStore(marks_path(book)) as marks:
            return question(load(journal, marks, Settings()))

    def trades(self) -> list[Any]:
        return self.ask(lambda view: trades(view, Query()))  # type: ignore[no-any-return]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def long(price: str, size: str = "1", **more: Any) -> dict[str, Any]:
    about = {"product_id": "BTC", "side": "LONG", "size": size, "entry_price": "100"}
    return {**about, "current_price": price, **more}


def reported(
    side: Any, px: str, at_ns: int, decision_id: str | None = None, fee: str = "0"
) -> Fill:
    """A fill as the venue itself reports it."""
    return Fill(
        venue="platform",
        account="default",
        ts_ns=at_ns,
        instrument="BTC",
        side=side,
        px=Decimal(px),
        qty=Decimal(1),
        fee=Decimal(fee),
        fee_asset="USD",
        position_side="long",
        decision_id=decision_id,
    )


def test_b16_decisions_are_linked_with_the_price_they_saw(watched: Watched) -> None:
    assert watched.monitor.associate_decision("d-7", "BTC")
    watched.now_ns += 1
    watched.show(long("101"))
    watched.show()
    watched.tell(
        Decision(
            venue="platform",
            account="default",
            ts_ns=T0,
            decision_id="d-7",
            instrument="BTC",
            action="buy",
            decision_px=Decimal("99"),
            strategy="fade",
        )
    )
    (row,) = watched.trades()
    assert (row.decision_id, row.strategy) == ("d-7", "fade")
    summary: Summary = watched.ask(lambda view: digest(view, watched.now_ns, T0))
    ladder = summary.why.currencies["USD"].ladder
    # It wanted 99 and got 100: one of the two it could have made went there. Of the exit nobody
    # said what was wanted.
    assert (ladder.signal, ladder.signal_unpriced) == ("0", "2")
    assert summary.why.currencies["USD"].gross == "1"
    assert Decimal(ladder.delay) + Decimal(ladder.drift) + Decimal(ladder.spread) == 1


def test_b16_b27_the_venues_own_fills_replace_the_inferred_ones(watched: Watched) -> None:
    watched.show(long("100"))
    watched.show(long("109.5"))
    watched.show()
    (row,) = watched.trades()
    assert (row.exit_price, row.realized_pnl, row.approximate) == ("109.5", "9.5", True)

    told = [
        reported("buy", "100.25", T0, fee="0.1"),
        reported("sell", "109.75", T0 + HOUR_NS, fee="0.11"),
    ]
    watched.tell(*told, source="venue", rank=RANK_API)
    (row,) = watched.trades()
    assert (row.entry_price, row.exit_price) == ("100.25", "109.75")
    assert (row.realized_pnl, row.net, row.approximate) == ("9.5", "9.29", False)
    (left,) = exits_of(row, watched.ask(lambda view: fills(view, Query())))
    assert (left.price, left.realized, left.source) == ("109.75", "9.5", "order:explicit")


def test_b16_a_trade_that_late_fills_made_another_replaces_what_was_told(
    tmp_path: Path,
) -> None:
    memory = PortfolioMemoryEngine({"memory_dir": tmp_path / "memory"})
    watched = Watched(tmp_path / "metrics", portfolio_memory=memory)
    watched.show(long("100", decision_id="d-1"))
    watched.show(long("109.5", decision_id="d-1"))
    watched.show()
    (first,) = watched.monitor.get_closed_trades()
    told = [reported("buy", "100.25", T0, "d-1"), reported("sell", "109", T0 + HOUR_NS + 1)]
    watched.tell(*told, source="venue", rank=RANK_API)
    for monitor in (watched.monitor, Watched(tmp_path / "metrics", watched.now_ns).monitor):
        monitor.platform.answer = {"futures_positions": []}  # type: ignore[attr-defined]
        for _ in range(2):
            assert monitor.poll()
        total = monitor.get_aggregate_statistics()
        assert (total["total_trades"], total["total_pnl"]) == (1, Decimal("8.75"))
    (again,) = watched.monitor.get_closed_trades()
    assert (first["realized_pnl"], again["realized_pnl"]) == (Decimal("9.5"), Decimal("8.75"))
    assert (again["revision"], again["trade_id"] != first["trade_id"]) == (1, True)
    assert len(list(watched.folder.glob("trade_*.json"))) == 1
    assert [o.realized_pnl for o in memory.trade_outcomes] == [Decimal("8.75")]
    event = json.loads(closed_event(again, [first["trade_id"]]))
    assert event["id"] == f"{again['trade_id']}:1" and event["supersedes"] == [first["trade_id"]]


def test_b16_several_platforms_in_one_answer(watched: Watched) -> None:
    parts = {
        "coinbase": {"futures_positions": [long("101")]},
        "oanda": {"positions": [{"instrument": "EUR_USD", "units": "-5", "price": "1.1"}]},
    }
    watched.platform.answer = {"platform_breakdowns": parts}
    assert watched.monitor.poll()
    held = {(row.product_id, row.side) for row in watched.monitor.active_trades.values()}
    assert held == {("BTC", "LONG"), ("EUR_USD", "SHORT")}
    # One that does not answer is no proof that its positions are gone.
    watched.platform.answer = {"platform_breakdowns": {**parts, "oanda": {"error": "busy"}}}
    assert not watched.monitor.poll()
    assert len(watched.monitor.active_trades) == 2


def test_b16_two_monitors_of_one_program_keep_their_books_apart(tmp_path: Path) -> None:
    one, other = Watched(tmp_path / "one"), Watched(tmp_path / "other")
    one.show(long("100"))
    other.show(long("100", "3"))
    one.show(long("100"))
    other.show()
    assert [(row.position_size, row.final_status) for row in one.trades()] == [("1", "open")]
    assert [(row.position_size, row.final_status) for row in other.trades()] == [("3", "completed")]


def test_b16_how_far_a_trade_went_both_ways(watched: Watched) -> None:
    for price in ("100", "97", "108", "105"):
        watched.show(long(price))
    watched.show()
    (row,) = watched.trades()
    assert (row.mfe, row.mae, row.max_drawdown) == ("8", "-3", "3")


def test_b16_sharpe_and_sortino_from_the_20th_day_on(watched: Watched) -> None:
    for day in range(20):
        watched.show(long("100"), later_ns=HOUR_NS)
        watched.show(long("103" if day % 3 else "98"), later_ns=HOUR_NS)
        watched.show(later_ns=DAY_NS - 2 * HOUR_NS)
        (told,) = watched.ask(lambda view: performance(view, Query()))
        assert (told.n, told.sharpe is None) == (day + 1, day < 19)
    assert told.sharpe > 0 and told.sortino > 0


def test_b16_results_by_strategy(watched: Watched) -> None:
    watched.show(long("100", strategy="fade"), long("100", product_id="ETH", strategy="trend"))
    watched.show(long("104", strategy="fade"), long("99", product_id="ETH", strategy="trend"))
    watched.show()
    told = watched.ask(
        lambda view: {
            name: performance(view, Query(strategies=(name,)))[0].net for name in ("fade", "trend")
        }
    )
    assert told == {"fade": "4", "trend": "-1"}


def test_b15_b16_every_command_and_metric_reads_the_desks_book(watched: Watched) -> None:
    watched.show(long("100"))
    watched.show(long("104"))
    watched.show()
    watched.show(long("101.5", "2", product_id="ETH"))
    status = fillbook(watched.folder, "monitor", "status", "--json").json
    (held,) = status["positions"]
    assert (held["product_id"], held["side"], held["size"]) == ("ETH", "LONG", "2")
    assert (held["entry_price"], held["current_price"]) == ("100", "101.5")
    assert held["unrealized_pnl"] == "3"
    shown = fillbook(watched.folder, "monitor", "metrics").out
    assert "BTC" in shown and "4.00" in shown
    summary = watched.ask(lambda view: digest(view, watched.now_ns, T0))
    text, _ = MetricsPage(watched.book, Settings(), lambda: summary).exposition()
    assert b'fillbook_trades_closed_total{account="default",currency="USD"} 1.0' in text
