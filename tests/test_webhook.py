"""Events for a URL of the user's, against a server that is away, busy, slow or unwilling."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fillbook.desks.trade_monitor import TradeMonitor
from fillbook.ground.clock import parse_ns
from fillbook.ground.errors import UsageError
from fillbook.publish.closed import TRADE_CLOSED
from fillbook.publish.webhook import Webhook
from fillbook.sources.redact import EVERYWHERE, Redactor

WAIT_S = 60.0
TOKEN = "T0KEN-abcdef-9876543210"


class Receiver(ThreadingHTTPServer):
    """Answers with the next of some statuses, 200 after them, and remembers what it took."""

    daemon_threads = True

    def __init__(self) -> None:
        self.statuses: deque[int] = deque()
        self.seen: list[dict[str, Any]] = []
        self.taken: list[dict[str, Any]] = []
        self.changed = threading.Condition()
        self.release = threading.Event()
        self.release.set()
        super().__init__(("127.0.0.1", 0), Answering)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hooks/{TOKEN}?key={TOKEN}"

    def wait(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.taken) >= count, WAIT_S), self.seen

    def end(self) -> None:
        self.release.set()
        self.shutdown()
        self.server_close()


class Answering(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        event = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.release.wait(WAIT_S)
        with self.server.changed:
            status = self.server.statuses.popleft() if self.server.statuses else 200
            self.server.seen.append({**event, "path": self.path, "status": status})
            if status == 200:
                self.server.taken.append(event)
            self.server.changed.notify_all()
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.end()


@pytest.fixture(autouse=True)
def clean_slate(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What secrets and filters a test leaves behind is taken away again."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    fresh = Redactor()
    monkeypatch.setattr(EVERYWHERE, "_spellings", fresh._spellings)
    monkeypatch.setattr(EVERYWHERE, "_known", fresh._known)
    loggers = [logging.getLogger(name) for name in ("httpx", "httpcore")]
    before = [list(logger.filters) for logger in loggers]
    yield
    for logger, filters in zip(loggers, before, strict=True):
        logger.filters[:] = filters


def event(number: int) -> bytes:
    return json.dumps({"id": number}).encode()


def hook(url: str, folder: Path) -> Webhook:
    return Webhook(url, folder, first_pause_s=0.01)


def test_events_arrive_in_order_however_often_the_other_side_fails(
    receiver: Receiver, tmp_path: Path
) -> None:
    receiver.statuses.extend([500, 429, 503, 408, 200, 502])
    with hook(receiver.url, tmp_path) as webhook:
        for number in range(3):
            assert webhook.post(event(number))
        receiver.wait(3)
    assert [each["id"] for each in receiver.taken] == [0, 1, 2]
    assert [each["status"] for each in receiver.seen] == [500, 429, 503, 408, 200, 502, 200, 200]
    assert list(tmp_path.iterdir()) == []


def test_an_event_that_is_refused_does_not_hold_up_the_next(
    receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.statuses.extend([404, 302])
    with hook(receiver.url, tmp_path) as webhook:
        for number in range(3):
            webhook.post(event(number))
        receiver.wait(1)
    assert [each["id"] for each in receiver.taken] == [2]
    assert [each["id"] for each in receiver.seen] == [0, 1, 2]
    assert caplog.text.count("was refused") == 2


def test_what_could_not_be_sent_is_sent_by_the_next_run(receiver: Receiver, tmp_path: Path) -> None:
    with socket.socket() as deaf:
        # Bound, but nobody listens: connections are refused.
        deaf.bind(("127.0.0.1", 0))
        with hook(f"http://127.0.0.1:{deaf.getsockname()[1]}/", tmp_path) as webhook:
            webhook.post(event(1))
            webhook.post(event(2))
    assert len(list(tmp_path.glob("*.spool"))) == 2
    with hook(receiver.url, tmp_path) as webhook:
        webhook.start()
        receiver.wait(2)
    assert [each["id"] for each in receiver.taken] == [1, 2]
    assert list(tmp_path.iterdir()) == []


def test_no_more_waits_than_there_is_room_for(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fillbook.publish.webhook.MOST_BYTES", 60)
    receiver.release.clear()
    with hook(receiver.url, tmp_path) as webhook:
        assert [webhook.post(event(number)) for number in range(4)] == [True, True, True, False]
        receiver.release.set()
        receiver.wait(3)


@pytest.mark.parametrize(
    "url", ["ftp://example.org/x", "example.org/hook", "http://", "http://host:no"]
)
def test_what_is_no_url_is_refused_without_being_shown(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        Webhook(f"{url}?key={TOKEN}", tmp_path)
    assert TOKEN not in f"{refused.value!r} {refused.value}"


# -- the trade monitor's event ---------------------------------------------------------------


class Platform:
    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def get_portfolio_breakdown(self) -> dict[str, Any]:
        return {"futures_positions": self.rows}


def position(price: str) -> dict[str, Any]:
    about = {"product_id": "BTC-20DEC30", "side": "LONG", "contracts": "0.1", "decision_id": "d-1"}
    return {**about, "entry_price": "95000", "current_price": price}


def trade_once(monitor: TradeMonitor, platform: Platform, price: str = "96500.5") -> None:
    for rows in ([position("95000")], [position(price)], []):
        platform.rows = rows
        assert monitor.poll()


def test_b28_a_finished_trade_is_posted_once_with_its_record(
    receiver: Receiver, tmp_path: Path
) -> None:
    at = parse_ns("2026-01-05T10:00:00Z")
    platform = Platform()
    monitor = TradeMonitor(platform, folder=tmp_path, webhook=receiver.url, clock=lambda: at)
    trade_once(monitor, platform)
    assert monitor.poll()
    receiver.wait(1)
    assert monitor.stop()
    (told,) = receiver.taken
    (record,) = monitor.get_closed_trades()
    assert told["event"] == TRADE_CLOSED == "ffe.trade.closed"
    assert told["id"] == f"{record['trade_id']}:0"
    assert told["trade"]["decision_id"] == "d-1"
    assert told["trade"]["realized_pnl"] == float(record["realized_pnl"]) == 150.05
    assert record["realized_pnl"] == Decimal("150.05")
    again = TradeMonitor(platform, folder=tmp_path, webhook=receiver.url, clock=lambda: at)
    assert again.poll() and again.stop()
    assert len(receiver.seen) == 1


def test_b28_a_receiver_that_hangs_blocks_neither_watching_nor_stopping(
    receiver: Receiver, tmp_path: Path
) -> None:
    receiver.release.clear()
    at = iter(range(parse_ns("2026-01-05T10:00:00Z"), 2**63, 10**9))
    platform = Platform()
    monitor = TradeMonitor(platform, folder=tmp_path, webhook=receiver.url, clock=lambda: next(at))
    for _ in range(3):
        trade_once(monitor, platform)
    assert monitor.get_aggregate_statistics()["total_trades"] == 3
    assert receiver.taken == []
    assert monitor.stop(timeout_s=0.1)
    receiver.release.set()
    receiver.wait(1)


def test_b28_neither_event_nor_log_carries_the_url(
    receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.statuses.extend([500, 403])
    platform = Platform()
    secret = receiver.url.replace("http://", "http://user:Passw0rd-Passw0rd@")
    monitor = TradeMonitor(platform, folder=tmp_path, webhook=secret)
    monitor._webhook._first_pause_s = 0.01  # type: ignore[union-attr]
    trade_once(monitor, platform)
    trade_once(monitor, platform)
    receiver.wait(1)
    assert monitor.stop()
    assert "webhook http://127.0.0.1: away (status 500)" in caplog.text
    assert "webhook http://127.0.0.1: an event was refused, status 403" in caplog.text
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for hidden in (TOKEN, "Passw0rd"):
        assert hidden not in caplog.text
        assert hidden not in json.dumps(receiver.taken)
        assert hidden.encode() not in kept
    assert "HTTP Request: POST" in caplog.text
