"""The client inside a bot: quick, silent, and nothing lost while the monitor is away."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillbook.client import Client, Counts
from fillbook.facts.model import Decision
from fillbook.journal.spool import Spool, frame, unframed
from fillbook.journal.store import Journal
from fillbook.sim.cast import SWING
from fillbook.sources.push import accept
from monitor_runs import configure, running, venue_of, waited

TOKEN = "a-token-long-enough"
NOWHERE = "http://127.0.0.1:9"


class Desk:
    """A real HTTP server that takes facts as the monitor does, or misbehaves."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.status = 200
        self.answer: bytes | None = None
        self.silent = threading.Event()
        self.asked = threading.Event()

    @property
    def ids(self) -> list[str]:
        """The decisions told so far, in the order of their arrival."""
        lines = [json.loads(line) for body in self.bodies for line in body.splitlines()]
        return [line["decision_id"] for line in lines]

    def take(self, path: str, token: str | None, body: bytes) -> tuple[int, bytes]:
        """Answer one request."""
        if path != "/api/v1/facts" or token != f"Bearer {TOKEN}":
            return 401, b"{}"
        self.asked.set()
        if self.silent.is_set():
            time.sleep(20)
        if self.status != 200 or self.answer is not None:
            return self.status, self.answer or b"{}"
        self.bodies.append(body)
        told = accept(body)
        rejected = [{"field": one.field, "reason": one.reason} for one in told.rejected]
        return 200, json.dumps({"accepted": len(told.claims), "rejected": rejected}).encode()


@contextmanager
def serving(desk: Desk, port: int = 0) -> Iterator[str]:
    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status, answer = desk.take(self.path, self.headers["authorization"], body)
            try:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(answer)
            except OSError:
                return

        def log_message(self, *given: Any) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", port), Door) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def client_of(url: str, spool: Path | None = None, **more: Any) -> Client:
    return Client(url, TOKEN, venue="hyperliquid", account="0xabc", spool=spool, **more)


def told(client: Client, *ids: str) -> None:
    for name in ids:
        client.decision(name, "BTC", "buy", decision_px="100.5")


def until(found: Any) -> None:
    deadline = time.monotonic() + 20
    while not found():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_lines_arrive_in_order_and_are_what_the_monitor_reads() -> None:
    desk = Desk()
    with serving(desk) as url, client_of(url) as client:
        told(client, *(f"d{n}" for n in range(1200)))
        client.vote("d0", "trend", "buy", confidence=0.7)
        client.order("placed", "BTC", client_order_id="o", side="buy", px=Decimal("0.1"), qty=None)
        client.assignment("fade", client_order_id="o")
        assert client.close(10)
    claims = [claim for body in desk.bodies for claim in accept(body).claims]
    assert [getattr(claim.fact, "decision_id", "") for claim in claims[:1200]] == [
        f"d{n}" for n in range(1200)
    ]
    assert [type(claim.fact).__name__ for claim in claims[1200:]] == [
        *("Vote", "OrderUpdate", "Assignment")
    ]
    assert '"px":"0.1"' in claims[1201].raw
    assert client.counts == Counts(told=1203, sent=1203)


def test_a_bot_that_never_pauses_is_heard_within_a_moment() -> None:
    desk = Desk()
    with serving(desk) as url, client_of(url) as client:
        begun_s = time.monotonic()
        while not desk.bodies and time.monotonic() - begun_s < 6:
            told(client, "again")
            time.sleep(0.02)
        assert desk.bodies


def test_while_the_monitor_is_away_lines_wait_on_disk_and_another_run_sends_them(
    tmp_path: Path,
) -> None:
    with client_of(NOWHERE, tmp_path / "spool") as away:
        told(away, "d1", "d2")
    assert (away.counts.spooled, away.counts.dropped) == (2, 0)
    desk = Desk()
    with serving(desk) as url, client_of(url, tmp_path / "spool") as back:
        until(lambda: desk.ids == ["d1", "d2"])
        told(back, "d3")
        until(lambda: desk.ids == ["d1", "d2", "d3"])
        until(lambda: not list((tmp_path / "spool").iterdir()))


def test_a_run_that_ends_at_once_sends_what_the_run_before_it_kept(tmp_path: Path) -> None:
    first = client_of(NOWHERE, tmp_path)
    told(first, "d1", "d2")
    assert first.close()
    desk = Desk()
    with serving(desk) as url:
        short = client_of(url, tmp_path)
        told(short, "d3")
        assert short.close(20.0)
    assert sorted(desk.ids) == ["d1", "d2", "d3"]
    assert Spool(tmp_path).is_empty()


def test_the_same_client_sends_what_it_kept_when_the_monitor_is_back(tmp_path: Path) -> None:
    desk = Desk()
    with serving(desk) as url:
        port = int(url.rsplit(":", 1)[1])
    with client_of(url, tmp_path) as client:
        told(client, "d1")
        until(lambda: client.counts.spooled == 1)
        with serving(desk, port):
            until(lambda: desk.ids == ["d1"])


@pytest.mark.parametrize("status", [401, 500, 503])
def test_an_answer_that_is_no_acknowledgement_keeps_the_lines(tmp_path: Path, status: int) -> None:
    desk = Desk()
    desk.status = status
    with serving(desk) as url, client_of(url, tmp_path) as client:
        told(client, "d1")
        until(lambda: client.counts.spooled == 1)
    assert Spool(tmp_path).is_empty() is False


def test_something_else_on_the_port_is_not_the_monitor(tmp_path: Path) -> None:
    desk = Desk()
    desk.answer = b"<html>"
    with serving(desk) as url, client_of(url, tmp_path) as client:
        told(client, "d1")
        until(lambda: client.counts.spooled == 1)


def test_refused_lines_are_counted_and_not_sent_for_ever(tmp_path: Path) -> None:
    desk = Desk()
    with serving(desk) as url, client_of(url, tmp_path) as client:
        client.decision("d1", "BTC", "maybe")
        told(client, "d2")
        until(lambda: client.counts.refused == 1)
        until(lambda: client.counts.sent == 1)
    assert Spool(tmp_path).is_empty()


def test_a_monitor_that_says_nothing_costs_no_line_and_no_long_close(tmp_path: Path) -> None:
    desk = Desk()
    desk.silent.set()
    with serving(desk) as url:
        client = client_of(url, tmp_path)
        told(client, "d1")
        assert desk.asked.wait(10)
        told(client, "d2")
        assert client.close(4)
        (kept,) = [file.lines for file in Spool(tmp_path).waiting()]
        assert [json.loads(line)["decision_id"] for line in kept] == ["d1", "d2"]


def test_nothing_raises_into_the_bot(tmp_path: Path) -> None:
    class Nasty:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    (tmp_path / "file").write_text("not a folder")
    places = [(NOWHERE, None), (NOWHERE, tmp_path / "file"), ("http://[", None), ("", None)]
    for url, spool in places:
        client = client_of(url, spool, capacity=3)
        client.decision("d", "BTC", "buy", decision_px=Nasty())
        client.tell("order", instrument=b"\xff", status=object())
        told(client, *(f"d{n}" for n in range(50)))
        client.close(1)
        told(client, "after")
        assert client.counts.dropped >= 1
        assert client.counts.sent == 0


def test_a_bot_that_forgets_to_close_loses_nothing(tmp_path: Path) -> None:
    script = (
        "from fillbook.client import Client\n"
        f"c = Client({NOWHERE!r}, 't', venue='v', account='a', spool={str(tmp_path)!r})\n"
        "for n in range(50): c.decision(f'd{n}', 'BTC', 'hold')\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    lines = [line for file in Spool(tmp_path).waiting() for line in file.lines]
    assert [json.loads(line)["decision_id"] for line in lines] == [f"d{n}" for n in range(50)]


def test_a_forked_child_is_never_held_and_is_heard_too() -> None:
    desk = Desk()
    with serving(desk) as url, client_of(url) as client:
        with client._queue.mutex:  # as it is when the parent's thread is at work
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                told(client, "of the child")
                os._exit(0 if client.close(10) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        told(client, "of the parent")
    assert sum(body.count(b"of the child") for body in desk.bodies) == 1
    assert sum(body.count(b"of the parent") for body in desk.bodies) == 1


def test_the_client_is_light() -> None:
    script = (
        "import sys, fillbook.client; heavy = {'numpy', 'numba', 'polars', 'sqlite3', 'httpx', "
        "'starlette', 'rich', 'typer'} & set(sys.modules); sys.exit(','.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_client_and_file_reach_the_running_monitor_and_its_metrics(tmp_path: Path) -> None:
    watched = tmp_path / "bot.ndjson"
    with venue_of(seed=6) as venue:
        configure(tmp_path, venue, watched_files=["bot.ndjson"])
        with running(tmp_path, FILLBOOK_PUSH_TOKEN=TOKEN) as monitor:
            waited("attached", lambda: monitor.health()["status"] == "ok")
            with Client(monitor.url, TOKEN, venue="paper", account="mine") as client:
                for number in range(5):
                    client.order("placed", "BTC", client_order_id=f"o{number}", side="buy")
                for number in range(4):
                    client.order("filled", "BTC", client_order_id=f"o{number}", side="buy")
                client.decision("d", "BTC", "hold", venue="hyperliquid", account="swing")
                until(lambda: client.counts.sent == 10)
            # One that the client told already, and one of its own.
            line = {"kind": "order", "time": time.time_ns(), "venue": "paper", "account": "mine"}
            line |= {"instrument": "BTC", "status": "placed"}
            told = [json.dumps(line | {"client_order_id": name}) for name in ("o0", "from-file")]
            watched.write_text("\n".join(told) + "\n")

            def counted() -> list[str]:
                with urlopen(f"{monitor.url}/metrics", timeout=5) as answer:
                    text = answer.read().decode()
                pattern = r'fillbook_orders_(?:placed|filled)_total{account="mine"} (\S+)'
                return re.findall(pattern, text)

            waited("six orders placed, four filled", lambda: counted() == ["6.0", "4.0"])
    with Journal.open(tmp_path / "fillbook.db", readonly=True) as journal:
        facts = [claim.fact for claim in journal.claims()]
    (decision,) = [fact for fact in facts if isinstance(fact, Decision)]
    assert (decision.venue, decision.account) == ("hyperliquid", SWING)


# -- the spool -----------------------------------------------------------------------------------


def lines_in(folder: Path) -> list[bytes]:
    return [line for file in Spool(folder).waiting() for line in file.lines]


def test_a_torn_line_is_left_out_and_the_others_are_read(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.add([b"one", b"two", b"three"])
    spool.seal()
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        expected = [line for line in (b"one", b"two", b"three") if frame(line) in whole[:length]]
        assert lines_in(tmp_path) == expected


@given(
    st.lists(st.binary(max_size=30).map(lambda raw: raw.replace(b"\n", b"")), max_size=8),
    st.integers(0, 400),
    st.integers(1, 255),
)
def test_a_damaged_byte_never_gives_another_line(
    lines: list[bytes], place: int, change: int
) -> None:
    content = bytearray(b"".join(frame(line) for line in lines))
    assert unframed(bytes(content)) == lines
    if content:
        content[place % len(content)] ^= change
        assert all(line in lines for line in unframed(bytes(content)))


def test_a_file_that_is_written_is_not_sent_by_another(tmp_path: Path) -> None:
    writer = Spool(tmp_path)
    writer.add([b"mine"])
    assert lines_in(tmp_path) == []
    writer.seal()
    (file,) = Spool(tmp_path).waiting()
    file.done()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_taken_before_it_is_locked_costs_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock

    def late(file: Any, how: int) -> None:
        if how == fcntl.LOCK_EX:
            monkeypatch.setattr(fcntl, "flock", lock)
            for found in Spool(tmp_path).waiting():
                found.done()
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    writer = Spool(tmp_path)
    assert writer.add([b"mine"]) == 1
    writer.seal()
    assert lines_in(tmp_path) == [b"mine"]


def test_a_spool_is_bounded_and_says_what_found_no_room(tmp_path: Path) -> None:
    spool = Spool(tmp_path, most_bytes=100)
    assert spool.add([b"x" * 30] * 5) == 2
    assert spool.add([b"x" * 30]) == 0
    spool.seal()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == 80


def test_files_are_sent_in_the_order_they_were_begun(tmp_path: Path) -> None:
    for name in (b"1", b"2", b"3"):
        spool = Spool(tmp_path)
        spool.add([name])
        spool.seal()
    assert lines_in(tmp_path) == [b"1", b"2", b"3"]
