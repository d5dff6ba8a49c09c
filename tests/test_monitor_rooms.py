"""The monitor's rooms one by one: its HTTP face, pid file, log, token, daily files."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from fillbook.ground.clock import DAY_NS, HOUR_NS, MINUTE_NS, day_of
from fillbook.ground.errors import ConfigError, InputError, UsageError
from fillbook.ground.live_settings import AttachSettings, MonitorSettings
from fillbook.ground.settings import Settings
from fillbook.monitor.app import MOST_BODY, Doors, make_app
from fillbook.monitor.livebook import LiveBook
from fillbook.monitor.logs import LOG_NAME, close_log, open_log
from fillbook.monitor.pidfile import PidFile, holder_of, stop_holder
from fillbook.monitor.service import Monitor
from fillbook.monitor.serving import Serving
from fillbook.monitor.token import push_token
from fillbook.sim.cast import SWING
from fillbook.sim.clock import SimPace
from fillbook.sources.attach import Tools
from fillbook.sources.liveness import MonitorHealth
from fillbook.sources.redact import Redactor
from monitor_runs import venue_of

TOKEN = "a-token-long-enough"
NOW_NS = 1_800_000_000_000_000_000


def health(status: str = "ok", summary_ns: int | None = NOW_NS) -> MonitorHealth:
    told: dict[str, Any] = {"status": status, "reasons": [] if status == "ok" else ["swing: away"]}
    empty = {"seq": 1, "head": "h", "journal_waiting": 0, "tracked": 0, "pending": 0}
    times = {"at_ns": NOW_NS, "started_ns": NOW_NS, "summary_ns": summary_ns, "accounts": []}
    return msgspec.convert(told | empty | times, MonitorHealth)


def ask(doors: Doors, method: str, path: str, **more: Any) -> httpx.Response:
    """Send one request to the application over a real socket."""

    async def once() -> httpx.Response:
        serving = Serving("127.0.0.1", 0)
        serving.start(make_app(doors))
        async with httpx.AsyncClient(base_url=serving.url, trust_env=False) as client:
            answer = await client.request(method, path, **more)
        await serving.stop()
        return answer

    return asyncio.run(once())


# -- the HTTP face ------------------------------------------------------------------------------


def test_health_is_200_when_well_and_503_with_its_reasons_when_not() -> None:
    assert ask(Doors(lambda: health()), "GET", "/healthz").status_code == 200
    sick = ask(Doors(lambda: health("not ok")), "GET", "/healthz")
    assert sick.status_code == 503 and sick.json()["reasons"] == ["swing: away"]


def test_metrics_are_the_exposition_at_both_places_once_there_is_a_summary() -> None:
    doors = Doors(lambda: health(), lambda _: (b"fillbook_x 1\n", "text/plain; version=0.0.4"))
    for path in ("/", "/metrics"):
        answer = ask(doors, "GET", path)
        assert (answer.text, answer.headers["content-type"]) == (
            "fillbook_x 1\n",
            "text/plain; version=0.0.4",
        )
    early = Doors(lambda: health(summary_ns=None), lambda _: (b"", "text/plain"))
    assert ask(early, "GET", "/metrics").status_code == 503


def test_a_long_exposition_holds_up_nobody() -> None:
    asked = threading.Event()

    def well() -> MonitorHealth:
        return health()

    def slow(_: MonitorHealth) -> tuple[bytes, str]:
        # It ends only once somebody else has been answered meanwhile.
        assert asked.wait(60)
        return b"x 1\n", "text/plain"

    async def both() -> tuple[str, int]:
        serving = Serving("127.0.0.1", 0)
        serving.start(make_app(Doors(well, slow)))
        async with httpx.AsyncClient(base_url=serving.url, trust_env=False, timeout=60) as client:
            scraping = asyncio.create_task(client.get("/metrics"))
            await asyncio.sleep(0.05)
            status = (await client.get("/healthz")).status_code
            asked.set()
            text = (await scraping).text
        await serving.stop()
        return text, status

    assert asyncio.run(both()) == ("x 1\n", 200)


def test_facts_need_the_token_and_are_handed_on_as_they_came() -> None:
    taken: list[bytes] = []

    async def push(body: bytes) -> dict[str, int]:
        if body == b"bad":
            raise InputError("line 1 is no fact", "", "see the page")
        taken.append(body)
        return {"new": 1}

    doors = Doors(lambda: health(), push=push, token=TOKEN)
    path, bearer = "/api/v1/facts", {"Authorization": f"Bearer {TOKEN}"}
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Bearer {TOKEN}x"}):
        assert ask(doors, "POST", path, content=b"{}", headers=headers).status_code == 401
    assert not taken
    done = ask(doors, "POST", path, content=b'{"a":1}\n', headers=bearer)
    assert done.json() == {"new": 1} and taken == [b'{"a":1}\n']
    refused = ask(doors, "POST", path, content=b"bad", headers=bearer)
    assert refused.status_code == 422 and refused.json()["error"] == "line 1 is no fact"
    long = ask(doors, "POST", path, content=b"x" * (MOST_BODY + 1), headers=bearer)
    assert long.status_code == 413 and len(taken) == 1
    off = Doors(lambda: health(), push=push)
    assert ask(off, "POST", path, content=b"{}", headers=bearer).status_code == 503


def test_a_foreign_host_name_is_refused() -> None:
    answer = ask(Doors(lambda: health()), "GET", "/healthz", headers={"Host": "evil.example"})
    assert answer.status_code == 400


def test_a_port_in_use_is_said_with_what_to_do() -> None:
    first = Serving("127.0.0.1", 0)
    with pytest.raises(UsageError, match="cannot listen"):
        Serving("127.0.0.1", int(first.url.rsplit(":", 1)[1]))
    asyncio.run(first.stop())


# -- pid file, token, log -----------------------------------------------------------------------


def test_a_pid_file_is_held_by_one_living_program(tmp_path: Path) -> None:
    path = tmp_path / "monitor.pid"
    with PidFile(path, tmp_path / "book.db") as held:
        held.serves("http://127.0.0.1:1")
        holder = holder_of(path)
        assert holder is not None
        assert (holder.pid, holder.url) == (os.getpid(), "http://127.0.0.1:1")
        with pytest.raises(UsageError, match=f"process {os.getpid()}"):
            PidFile(path, tmp_path / "book.db").__enter__()
    assert holder_of(path) is None
    with pytest.raises(UsageError, match="no monitor is running"):
        stop_holder(path)


def test_a_pid_that_belongs_to_another_program_now_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "monitor.pid"
    path.write_text(json.dumps({"pid": os.getpid(), "started": 1, "book": "b"}))
    assert holder_of(path) is None
    with PidFile(path, tmp_path / "book.db"):
        assert holder_of(path) is not None


def test_one_that_does_not_stop_is_ended_by_force(tmp_path: Path) -> None:
    path = tmp_path / "monitor.pid"
    deaf = (
        "import pathlib, signal, sys, time\n"
        "from fillbook.monitor.pidfile import PidFile\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "with PidFile(pathlib.Path(sys.argv[1]), pathlib.Path('book.db')):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(600)\n"
    )
    program = subprocess.Popen(
        [sys.executable, "-c", deaf, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert program.stdout is not None and program.stdout.readline() == "held\n"
        stopped = stop_holder(path, within_s=0.3)
        assert stopped.was_forced and stopped.is_gone and stopped.farewell is None
        assert program.wait(5) < 0
    finally:
        program.kill()
        program.wait(5)
        if program.stdout:
            program.stdout.close()


def test_stopping_waits_for_no_fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    is_over = threading.Event()
    monkeypatch.setattr(LiveBook, "_look", lambda *_: is_over.wait(30))
    nowhere = {"api": "http://127.0.0.1:9", "ws": "ws://127.0.0.1:9"}
    attach = AttachSettings(venue="hyperliquid", address=SWING, urls=nowhere)
    settings = Settings(attach=(attach,), monitor=MonitorSettings(port=0))
    path = tmp_path / "book.db"

    async def whole() -> float:
        stop = asyncio.Event()
        with PidFile(tmp_path / "pid", path) as pid_file:
            monitor = Monitor(path, settings, tmp_path, lambda _: None)
            running = asyncio.create_task(monitor.run(stop, pid_file))
            await asyncio.sleep(0.5)
            asked_s = time.monotonic()
            stop.set()
            await running
        return asked_s

    try:
        # The loop closes only when its threads have ended.
        asked_s = asyncio.run(whole())
        assert time.monotonic() - asked_s < 9.5
    finally:
        is_over.set()


def test_the_push_token_comes_from_a_private_file_or_the_environment(tmp_path: Path) -> None:
    redactor = Redactor()
    plain = MonitorSettings()
    assert push_token(plain, {}, redactor) is None
    assert push_token(plain, {"FILLBOOK_PUSH_TOKEN": TOKEN}, redactor) == TOKEN
    assert redactor.clean(f"it is {TOKEN}") == "it is [redacted]"
    path = tmp_path / "push.token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    filed = MonitorSettings(token_file=str(path))
    assert push_token(filed, {"FILLBOOK_PUSH_TOKEN": "another-long-token"}, redactor) == TOKEN
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="others may read"):
        push_token(filed, {}, redactor)
    with pytest.raises(ConfigError, match="at least 16"):
        push_token(plain, {"FILLBOOK_PUSH_TOKEN": "short"}, redactor)


@contextmanager
def logged(folder: Path, **more: Any) -> Iterator[logging.Logger]:
    level = logging.getLogger().level
    sink = open_log(folder, Redactor(["very secret words"]), **more)
    try:
        yield logging.getLogger("fillbook.monitor.test")
    finally:
        close_log(sink)
        logging.getLogger().setLevel(level)


def test_the_log_rotates_and_holds_no_secret(tmp_path: Path) -> None:
    with logged(tmp_path, most_bytes=2_000, kept_files=2) as log:
        for nth in range(200):
            log.info("line %d with %s inside", nth, "very secret words")
        try:
            raise ValueError("very secret words")
        except ValueError:
            log.exception("it failed")
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == [LOG_NAME, f"{LOG_NAME}.1", f"{LOG_NAME}.2"]
    text = "".join(path.read_text() for path in tmp_path.iterdir())
    assert "secret words" not in text and "line 199 with [redacted] inside" in text
    assert "ValueError: [redacted]" in text
    assert all(path.stat().st_size <= 2_500 for path in tmp_path.iterdir())


# -- days ---------------------------------------------------------------------------------------


def test_the_day_that_ended_is_written_when_it_ends_and_again_when_it_changes(
    tmp_path: Path,
) -> None:
    midnight_ns = NOW_NS - NOW_NS % DAY_NS + DAY_NS
    lines: list[str] = []

    async def live() -> None:
        with venue_of(7, now_ns=midnight_ns - HOUR_NS) as venue:
            attach = AttachSettings(
                venue="hyperliquid",
                address=SWING,
                label="swing",
                share=Decimal(1),
                urls={"api": venue.base_url, "ws": venue.ws_url},
            )
            settings = Settings(attach=(attach,), monitor=MonitorSettings(port=0))
            tools = Tools(SimPace(venue.clock))
            monitor = Monitor(tmp_path / "book.db", settings, tmp_path, lines.append, tools)
            stop = asyncio.Event()
            with PidFile(tmp_path / "pid", tmp_path / "book.db") as pid_file:
                run = asyncio.create_task(monitor.run(stop, pid_file))
                await until(lambda: days(tmp_path), venue.clock.step)
                ending = day_of(midnight_ns - 1)
                # The venue's day is not over.
                assert ending not in days(tmp_path)
                venue.clock.step_to(midnight_ns + 3 * MINUTE_NS)
                await until(lambda: ending in days(tmp_path), venue.clock.step)
                stop.set()
                farewell = await run
            assert farewell.is_written and not farewell.fault
            assert venue.clock.now_ns() < midnight_ns + HOUR_NS

    asyncio.run(live())
    ending = day_of(midnight_ns - 1)
    told = [line for line in lines if line.startswith(f"date={ending} ")]
    assert len(told) == 1 and "trades=" in told[0]
    document = json.loads((tmp_path / "logs" / f"daily_summary_{ending}.json").read_bytes())
    assert document["date"] == ending and document["fillbook"]["revision"] == 0


def days(folder: Path) -> set[str]:
    return {path.stem[-10:] for path in (folder / "logs").glob("daily_summary_*.json")}


async def until(done: Any, step: Any) -> None:
    """Let a little simulated time pass again and again until something is true."""
    for _ in range(600):
        if done():
            return
        step(200_000_000)
        await asyncio.sleep(0.05)
    raise AssertionError("waited in vain")
