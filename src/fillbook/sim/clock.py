"""The time of a simulation: stepped by a test, or running at a multiple of real time.

Everything in a simulated world reads this clock: the world itself, the venues' limits, the `Date`
header of their answers. So a test decides what time it is, and a demo can run a day in minutes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from fillbook.ground.clock import SECOND_NS, now_ns

Wall = Callable[[], int]


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
