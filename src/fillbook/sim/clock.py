"""The time of a simulation: stepped by a test, or running at a multiple of real time.

Everything in a simulated world reads this clock: the world itself, the venues' limits, the `Date`
header of their answers. So a test decides what time it is, and a demo can run a day in minutes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from fillbook.ground.clock import SECOND_NS, now_ns
from fillbook.sim.dice import Dice

Wall = Callable[[], int]
# How often a waiting looks at a clock that somebody else steps, in real seconds.
_LOOK_S = 0.002


class SimClock:
    """A clock that only goes forward, in nanoseconds; safe to read from any thread.

    `speed` is how many simulated seconds pass in a real one; 0 stands still between steps. `wall`
    is where real time comes from.

    >>> clock = SimClock(1_000)
    >>> clock.step(500)
    1500
    >>> clock.now_ns()
    1500
    """

    def __init__(self, start_ns: int, *, speed: int = 0, wall: Wall = now_ns) -> None:
        self._lock = threading.Lock()
        self._wall = wall
        self._speed = speed
        self._at_ns = start_ns
        self._since_ns = wall()

    @property
    def speed(self) -> int:
        """Return how many simulated seconds pass in a real one."""
        return self._speed

    def now_ns(self) -> int:
        """Return the simulated time; it never falls, whatever the wall clock does."""
        with self._lock:
            return self._catch_up()

    def step(self, by_ns: int) -> int:
        """Let time pass at once and return what time it is then; `by_ns` is not negative."""
        if by_ns < 0:
            raise ValueError("a simulated clock does not go back")
        with self._lock:
            self._at_ns = self._catch_up() + by_ns
            return self._at_ns

    def step_to(self, at_ns: int) -> int:
        """Let time pass until an instant; one that has passed changes nothing."""
        with self._lock:
            self._at_ns = max(at_ns, self._catch_up())
            return self._at_ns

    def real_seconds(self, for_ns: int, most_s: float) -> float:
        """Return how long a simulated stretch takes in real seconds, `most_s` at the most."""
        if not self._speed:
            return most_s
        return min(most_s, for_ns / (self._speed * SECOND_NS))

    def _catch_up(self) -> int:
        wall_ns = self._wall()
        passed_ns = max(0, wall_ns - self._since_ns)
        self._since_ns = wall_ns
        self._at_ns += passed_ns * self._speed
        return self._at_ns


class SimPace:
    """A simulated clock as a live source sees time: it asks, waits on it, and throws dice.

    A waiting ends when the clock has passed it, whoever moves the clock; on a running clock that
    takes its share of real time. One that `strides` steps the clock itself, at once: for a run
    in which nobody else moves it and one thing happens after the other.
    """

    def __init__(self, clock: SimClock, seed: int = 0, *, strides: bool = False) -> None:
        self.clock = clock
        self._dice = Dice(seed, "pace")
        self._strides = strides

    def now_ns(self) -> int:
        """Return the simulated time."""
        return self.clock.now_ns()

    def ticks_ns(self) -> int:
        """Return the simulated time, which never goes back."""
        return self.clock.now_ns()

    async def rest(self, wait_ns: int) -> None:
        """Wait until so much simulated time has passed."""
        until_ns = self.clock.now_ns() + max(0, wait_ns)
        if self._strides:
            self.clock.step_to(until_ns)
        while (left_ns := until_ns - self.clock.now_ns()) > 0:
            await asyncio.sleep(self.clock.real_seconds(left_ns, _LOOK_S))
        await asyncio.sleep(0)

    def dice(self) -> float:
        """Return the next of a seeded series of numbers in [0, 1)."""
        return self._dice.below(1 << 53) / (1 << 53)
