"""A simulated venue in a process of its own, so that its work is not measured.

`python -m bench.venue DAYS ACCOUNT...` prints where it listens; every line of standard input is a
number of simulated seconds to let pass, answered when they have.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fillbook.ground.clock import DAY_NS, MINUTE_NS, SECOND_NS
from fillbook.sim.clock import SimClock
from fillbook.sim.live import LiveWorld
from fillbook.sim.venues.hyperliquid.server import HyperliquidServer
from fillbook.sim.venues.limits import Limit, Limiter

UNLIMITED = 10**9


class Venue:
    """A venue that is running elsewhere: `api` and `ws` are its addresses."""

    def __init__(self, program: subprocess.Popen[str]) -> None:
        assert program.stdout is not None
        self._program = program
        self.api, self.ws = program.stdout.readline().split()

    def step(self, seconds: int) -> None:
        """Let simulated time pass, and return when every stream was told."""
        self.told(str(seconds))

    def told(self, word: str) -> str:
        """Say something to the venue's program, and return its answer."""
        assert self._program.stdin is not None and self._program.stdout is not None
        self._program.stdin.write(f"{word}\n")
        self._program.stdin.flush()
        return self._program.stdout.readline().strip()


@contextmanager
def venue_with(days: int, accounts: Sequence[str]) -> Iterator[Venue]:
    """Run a venue on which some accounts have traded for so many days up to now."""
    with running("bench.venue", str(days), *accounts) as venue:
        yield venue


@contextmanager
def running(module: str, *arguments: str) -> Iterator[Venue]:
    """Run a module that serves a venue, in a process of its own."""
    program = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Venue(program)
    finally:
        assert program.stdin is not None and program.stdout is not None
        program.stdin.close()
        program.wait(10)
        program.stdout.close()


def main(days: int, accounts: Sequence[str]) -> None:
    """Serve until standard input ends."""
    now_ns = time.time_ns()
    begun_ns = now_ns - now_ns % DAY_NS - days * DAY_NS
    world = LiveWorld(7, start_ms=begun_ns // 1_000_000, accounts=accounts)
    world.advance_to(now_ns)
    with HyperliquidServer(world, SimClock(now_ns)) as venue:
        venue.limiter = Limiter(Limit(weight=UNLIMITED, window_ns=MINUTE_NS))
        print(venue.base_url, venue.ws_url, flush=True)
        for line in sys.stdin:
            venue.clock.step(int(line) * SECOND_NS)
            venue.settle()
            print("done", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
