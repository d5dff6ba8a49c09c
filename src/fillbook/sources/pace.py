"""Time and chance as a live source sees them: asked for here, brought by whoever runs it.

The running monitor brings `SystemPace`; tests and the simulator bring a clock of their own, so
that a waiting of minutes takes none and every jitter can be repeated.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Protocol

from fillbook.ground.clock import SECOND_NS, now_ns


class Pace(Protocol):
    """A clock, a way to wait, and dice."""

    def now_ns(self) -> int:
        """Return the wall clock in UTC nanoseconds; it may be wrong, and may step."""
        ...

    def ticks_ns(self) -> int:
        """Return a clock without meaning that never goes back; durations are taken on it."""
        ...

    async def rest(self, wait_ns: int) -> None:
        """Wait on the clock of `ticks_ns`; zero or less only lets others run."""
        ...

    def dice(self) -> float:
        """Return a number in [0, 1): jitter, never money."""
        ...


class SystemPace:
    """The machine's own clock and dice."""

    def now_ns(self) -> int:
        """Return the wall clock in UTC nanoseconds."""
        return now_ns()

    def ticks_ns(self) -> int:
        """Return the monotonic clock."""
        return time.monotonic_ns()

    async def rest(self, wait_ns: int) -> None:
        """Sleep in the event loop."""
        await asyncio.sleep(max(0, wait_ns) / SECOND_NS)

    def dice(self) -> float:
        """Return a fresh random number in [0, 1)."""
        return random.random()
