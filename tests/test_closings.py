"""The monitor posts every finished trade, once, also those that ended while it was down."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cli_run import fillbook
from fillbook.analysis.view import BookView
from fillbook.ground.clock import HOUR_NS
from fillbook.ground.errors import ConfigError
from fillbook.ground.live_settings import MonitorSettings
from fillbook.monitor.closings import Closings
from fillbook.monitor.hook import webhook_of
from fillbook.monitor.tracker import Tracker
from fillbook.publish.closed import TRADE_CLOSED
from fillbook.publish.webhook import Webhook
from fillbook.sim.cast import SWING
from monitor_runs import configure, rows_of, running, trade_until, venue_of
from strategies import T0
from test_monitor_tracker import Book, traded
from test_webhook import TOKEN, Receiver, clean_slate, receiver

__all__ = ["clean_slate", "receiver"]


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    book = Book(tmp_path / "book.db")
    yield book
    book.journal.close()


class Run:
    """One run of a monitor's telling: what it posts lies in the receiver."""

    def __init__(self, book: Book, url: str, folder: Path, since_ns: int = T0) -> None:
        self.book = book
        self.webhook = Webhook(url, folder, first_pause_s=0.01)
        self.closings = Closings(self.webhook, folder, since_ns)
        self.tracker = Tracker(since_ns)
        self.tracker.remember(book.view)

    def look(self) -> BookView:
        view = self.book.view
        self.tracker.feed(view)
        self.closings.feed(view, self.tracker.closed)
        return view


def told(receiver: Receiver, count: int) -> list[tuple[str, float]]:
    """Wait for so many events; return product and result of each."""
    receiver.wait(count)
    trades = [event["trade"] for event in receiver.taken]
    return [(trade["product_id"], trade["realized_pnl"]) for trade in trades]


def test_a_trade_is_posted_when_it_ends_and_again_when_it_changes(
    book: Book, receiver: Receiver, tmp_path: Path
) -> None:
    book.put(traded(-9, "buy", 1, 90), traded(-8, "sell", 1, 95))
    run = Run(book, receiver.url, tmp_path / "hook")
    book.put(traded(1, "buy", 2, 100))
    run.look()
    book.put(traded(2, "sell", 1, 110), traded(4, "sell", 1, 130))
    for _ in range(3):
        run.look()
    assert told(receiver, 1) == [("BTC", 40.0)], "what ended before it began is history"
    (event,) = receiver.taken
    assert event["event"] == TRADE_CLOSED
    assert event["id"] == f"{event['trade']['trade_id']}:0"
    assert event["trade"]["final_status"] == "completed"
    assert event["trade"]["price_updates_count"] is None
    # A fill that came late makes it another result.
    book.put(traded(3, "buy", 1, 100), traded(3, "sell", 1, 101))
    run.look()
    run.look()
    assert told(receiver, 2)[1] == ("BTC", 41.0)
    assert receiver.taken[1]["id"] == f"{event['trade']['trade_id']}:1"
    assert receiver.taken[1]["trade"]["revision"] == 1
    assert receiver.taken[1]["supersedes"] == [event["trade"]["trade_id"]]
    assert run.webhook.close()
    assert len(receiver.seen) == 2


def test_what_ends_while_nothing_runs_is_posted_after_the_start_and_nothing_twice(
    book: Book, receiver: Receiver, tmp_path: Path
) -> None:
    first = Run(book, receiver.url, tmp_path / "hook")
    book.put(traded(1, "buy", 1, 100), traded(2, "sell", 1, 110))
    book.put(traded(3, "buy", 1, 100, "ETH"))
    first.look()
    assert told(receiver, 1) == [("BTC", 10.0)]
    assert first.webhook.close()
    # One that was open ends, and one begins and ends, hours apart from the next start.
    book.put(traded(4, "sell", 1, 120, "ETH"))
    hours = 5 * 3600
    book.put(traded(hours, "buy", 1, 100, "SOL"), traded(hours + 9, "sell", 1, 130, "SOL"))
    book.put(traded(2 * hours, "buy", 1, 100))
    second = Run(book, receiver.url, tmp_path / "hook", T0 + 2 * hours * 10**9)
    second.look()
    second.look()
    assert told(receiver, 3)[1:] == [("ETH", 20.0), ("SOL", 30.0)]
    assert second.webhook.close()
    assert len(receiver.seen) == 3


def test_a_close_that_is_heard_of_hours_late_is_posted(
    book: Book, receiver: Receiver, tmp_path: Path
) -> None:
    run = Run(book, receiver.url, tmp_path / "hook")
    book.put(traded(1, "buy", 1, 100))
    run.look()
    later = 6 * HOUR_NS // 10**9
    book.put(traded(later, "buy", 1, 100, "ETH"), traded(later + 1, "sell", 1, 105, "ETH"))
    run.look()
    book.put(traded(60, "sell", 1, 110))
    run.look()
    run.look()
    assert told(receiver, 2) == [("ETH", 5.0), ("BTC", 10.0)]
    assert run.webhook.close()
    assert len(receiver.seen) == 2


def test_a_folder_that_cannot_be_written_stops_nothing_and_loses_nothing(
    book: Book, receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "hook").write_text("in the way")
    run = Run(book, receiver.url, tmp_path / "hook")
    book.put(traded(1, "buy", 1, 100), traded(2, "sell", 1, 110))
    for _ in range(3):
        run.look()
    assert caplog.text.count("events cannot be kept") == 1
    (tmp_path / "hook").unlink()
    run.look()
    assert told(receiver, 1) == [("BTC", 10.0)]
    assert run.webhook.close()


def test_the_url_comes_from_a_safe_file_or_the_environment(tmp_path: Path) -> None:
    assert webhook_of(MonitorSettings(), {}, tmp_path) is None
    url = f"https://hooks.example.org/{TOKEN}"
    found = webhook_of(MonitorSettings(), {"FILLBOOK_WEBHOOK_URL": f"{url}\n"}, tmp_path)
    assert found is not None and found.name == "https://hooks.example.org"
    file = tmp_path / "hook.url"
    settings = MonitorSettings(webhook_file=str(file))
    file.write_text(url)
    file.chmod(0o644)
    for content, mode, why in ((url, 0o644, "others may read"), (TOKEN, 0o600, "no URL")):
        file.write_text(content)
        file.chmod(mode)
        with pytest.raises(ConfigError, match=why) as refused:
            webhook_of(settings, {}, tmp_path)
        assert TOKEN not in str(refused.value)
    file.write_text(url)
    assert webhook_of(settings, {}, tmp_path) is not None


def test_no_proxy_stands_before_this_machine(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with Webhook(receiver.url, tmp_path, first_pause_s=0.01) as webhook:
        webhook.post(b'{"id": 1}')
        receiver.wait(1)


def test_a_running_monitor_posts_what_its_book_says(tmp_path: Path, receiver: Receiver) -> None:
    with venue_of(7) as venue:
        configure(tmp_path, venue)
        trade_until(venue, lambda: len(venue.world.positions(SWING)) >= 1)
        known = {"FILLBOOK_WEBHOOK_URL": receiver.url}
        with running(tmp_path, **known) as monitor:
            monitor.heard("✅ Started tracking trade:")
            assert monitor.says("Finished trades are posted to http://127.0.0.1")
            before = len(venue.world.fills(SWING))
            trade_until(venue, lambda: len(venue.world.fills(SWING)) >= before + 6)
            monitor.heard("📊 Trade completed:")
            receiver.wait(1)
            health = json.dumps(monitor.health())
            assert fillbook(tmp_path, "monitor", "stop").status == 0
        closed = {
            row["trade_id"]: row
            for row in rows_of(tmp_path, "trades", "--limit", "0")
            if row["final_status"] == "completed"
        }
        for event in receiver.taken:
            row: dict[str, Any] = closed[event["trade"]["trade_id"]]
            assert event["trade"]["exit_time"] == row["exit_time"]
            assert Decimal(str(event["trade"]["realized_pnl"])) == Decimal(row["realized_pnl"])
        log = (tmp_path / "logs" / "monitor.log").read_text()
        assert TOKEN not in "\n".join([log, health, *monitor.lines])
        checks = fillbook(tmp_path, "doctor", "--offline", "--json", **known)
        assert TOKEN not in checks.out + checks.err
        (check,) = [each for each in checks.json["checks"] if each["area"] == "webhook"]
        assert check["what"] == "finished trades are posted to http://127.0.0.1"
