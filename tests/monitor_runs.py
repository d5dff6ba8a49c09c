"""A simulated venue on loopback and the real `fillbook monitor` beside it, as separate programs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from cli_run import environment, fillbook
from fillbook.ground.clock import DAY_NS, MINUTE_NS
from fillbook.sim.cast import SWING
from fillbook.sim.clock import SimClock
from fillbook.sim.live import LiveWorld
from fillbook.sim.venues.hyperliquid.server import HyperliquidServer

PATIENCE_S = 60.0
MS_NS = 1_000_000
LABELS = ("swing", "second")


@contextmanager
def venue_of(
    seed: int, days: int = 2, now_ns: int | None = None, accounts: Sequence[str] = (SWING,)
) -> Iterator[HyperliquidServer]:
    """Serve a world whose accounts have traded for some days up to now."""
    now_ns = time.time_ns() if now_ns is None else now_ns
    begun_ns = now_ns - now_ns % DAY_NS - days * DAY_NS
    world = LiveWorld(seed, start_ms=begun_ns // MS_NS, accounts=accounts)
    world.advance_to(now_ns)
    with HyperliquidServer(world, SimClock(now_ns)) as venue:
        yield venue
    assert not venue.violations


def configure(folder: Path, venue: HyperliquidServer, **monitor: object) -> None:
    """Write a fillbook.toml that attaches the venue's accounts, looking every second."""
    told = {"detection_interval": "1s", "poll_interval": "1s", "port": 0, **monitor}
    lines = [f"{name} = {json.dumps(value)}" for name, value in told.items()]
    text = ["[monitor]", *lines]
    for nth, account in enumerate(venue.world.accounts()):
        text += [
            "[[attach]]",
            'venue = "hyperliquid"',
            f'address = "{account}"',
            f'label = "{LABELS[nth]}"',
            "share = 1.0",
            f'urls = {{ api = "{venue.base_url}", ws = "{venue.ws_url}" }}',
        ]
    (folder / "fillbook.toml").write_text("\n".join(text), encoding="utf-8")


def trade_until(venue: HyperliquidServer, done: Callable[[], bool]) -> None:
    """Let simulated time pass, minute by minute, until something has happened."""
    for _ in range(3 * 24 * 60):
        if done():
            return
        venue.clock.step(MINUTE_NS)
        venue.settle()
    raise AssertionError("it never happened in three days")


def waited(what: str, found: Callable[[], Any]) -> Any:
    """Wait until something is true and return it; fail, naming it, when that takes too long."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        result = found()
        if result:
            return result
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for: {what}")


class Running:
    """A `fillbook monitor start` of its own; `lines` grows as it speaks."""

    def __init__(self, folder: Path, **extra: str) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self.program = subprocess.Popen(
            [sys.executable, "-m", "fillbook.cli.app", "monitor", "start"],
            cwd=folder,
            env=environment(folder, PYTHONIOENCODING="utf-8", **extra),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.program.stdout is not None
        self.lines.extend(line.rstrip("\n") for line in self.program.stdout)

    def says(self, start: str) -> list[str]:
        """Return the lines so far that begin like this, blanks in front left out."""
        return [line for line in list(self.lines) if line.strip().startswith(start)]

    def heard(self, start: str, count: int = 1) -> list[str]:
        """Wait for so many lines that begin like this."""

        def found() -> list[str]:
            assert self.program.poll() is None or len(self.says(start)) >= count, self.lines
            return self.says(start) if len(self.says(start)) >= count else []

        return list(waited(f"{count} x {start!r} in {self.lines}", found))

    @property
    def url(self) -> str:
        """Return where its health is served."""
        return self.heard("Health and metrics:")[0].split()[3].removesuffix("/healthz,")

    def health(self) -> dict[str, Any]:
        """Ask how it is doing, well or not."""
        return dict(get_json(f"{self.url}/healthz")[1])

    def end(self) -> None:
        """Kill it if it still runs."""
        if self.program.poll() is None:
            self.program.send_signal(signal.SIGKILL)
        self.program.wait(10)
        self._reader.join(5)
        assert self.program.stdout is not None
        self.program.stdout.close()


@contextmanager
def running(folder: Path, **extra: str) -> Iterator[Running]:
    """Run a monitor while inside; killed at the end when it has not stopped."""
    monitor = Running(folder, **extra)
    try:
        yield monitor
    finally:
        monitor.end()
    assert not [line for line in monitor.lines if "Traceback" in line], monitor.lines


def get_json(url: str) -> tuple[int, Any]:
    """Return status and body of a GET, also of one that is refused."""
    from urllib.error import HTTPError

    try:
        with urlopen(url, timeout=5) as answer:
            return answer.status, json.load(answer)
    except HTTPError as refused:
        return refused.code, json.load(refused)


def rows_of(folder: Path, *command: str) -> list[dict[str, Any]]:
    """Return the rows a reading command prints as JSON."""
    return list(fillbook(folder, *command, "--json").json["rows"])
