"""The way to a venue: names that do not resolve and handshakes that break, and what comes after."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from fillbook.facts.model import Fill
from fillbook.ground.live_settings import AttachSettings, MonitorSettings
from fillbook.ground.settings import Settings
from fillbook.journal.store import Journal
from fillbook.monitor.pidfile import PidFile
from fillbook.monitor.service import Monitor
from fillbook.sim.cast import SWING
from fillbook.sim.faults import FaultPlan
from fillbook.sim.venues.front import Front, Names
from fillbook.sources import transport
from monitor_runs import trade_until, venue_of

WAIT_S = 60.0


def test_a_handshake_breaks_as_often_as_it_is_told_to_and_then_succeeds(tmp_path: Path) -> None:
    plan = FaultPlan()
    with venue_of(5) as venue, Front(_port(venue.base_url), plan, tmp_path) as front:
        body = {"type": "clearinghouseState", "user": SWING}
        with httpx.Client(verify=front.trusting()) as client:
            plan.arm("tls_error", 2)
            for _ in range(2):
                with pytest.raises(httpx.ConnectError, match=r"(?i)handshake"):
                    client.post(f"{front.url}/info", json=body)
            assert client.post(f"{front.url}/info", json=body).status_code == 200
        with httpx.Client() as stranger, pytest.raises(httpx.ConnectError, match=r"(?i)certif"):
            stranger.post(f"{front.url}/info", json=body)
    assert plan.injected == {"tls_error": 2}


def test_a_name_is_lost_to_the_resolver_itself_and_found_again() -> None:
    plan = FaultPlan(1, ["dns_error"], often={"dns_error": 1000}, in_a_row=1)
    real = socket.getaddrinfo
    with Names(plan):
        with pytest.raises(socket.gaierror):
            socket.getaddrinfo("localhost", 80)
        assert socket.getaddrinfo("localhost", 80)
        assert socket.getaddrinfo("127.0.0.1", 80)
    assert socket.getaddrinfo is real
    assert plan.injected == {"dns_error": 1}


@pytest.mark.parametrize("fault", ["dns_error", "tls_error"])
def test_the_monitor_goes_on_and_heals(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, path = FaultPlan(), tmp_path / "book.db"
    with ExitStack() as stack:
        venue = stack.enter_context(venue_of(5))
        stack.enter_context(Names(plan))
        port = _port(venue.base_url)
        url = f"http://localhost:{port}"
        if fault == "tls_error":
            front = stack.enter_context(Front(port, plan, tmp_path))
            monkeypatch.setattr(transport, "_tls", front.trusting)
            url = front.url
        urls = {"api": url, "ws": f"ws://localhost:{port}"}
        attach = AttachSettings(venue="hyperliquid", address=SWING, share=Decimal(1), urls=urls)
        watch = MonitorSettings(port=0, detection_interval="1s", poll_interval="1s")
        settings = Settings(attach=(attach,), monitor=watch)

        def held() -> int:
            if not path.exists():
                return 0
            with Journal.open(path, readonly=True) as journal:
                return sum(isinstance(claim.fact, Fill) for claim in journal.claims())

        async def whole() -> None:
            stop = asyncio.Event()
            with PidFile(tmp_path / "pid", path) as pid_file:
                monitor = Monitor(path, settings, tmp_path, lambda _: None)
                running = asyncio.create_task(monitor.run(stop, pid_file))
                await _until(lambda: held() == len(venue.world.fills(SWING)))
                before = held()
                plan.arm(fault, 12)  # more than one ask tries again
                await asyncio.to_thread(venue.down)
                venue.up()
                more = before + 3
                trade_until(venue, lambda: len(venue.world.fills(SWING)) >= more)
                await _until(lambda: plan.injected[fault] == 12)
                assert not running.done()
                await _until(lambda: held() == len(venue.world.fills(SWING)))
                stop.set()
                await running
            assert held() >= more

        asyncio.run(whole())


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])


async def _until(found: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not await asyncio.to_thread(found):
            await asyncio.sleep(0.1)
