"""A venue's rate limit: what was used in a window, who is turned away, and who is banned."""

from __future__ import annotations

from collections import deque

import msgspec

from fillbook.ground.clock import SECOND_NS


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """So much weight in a window. A `fixed` window starts on whole windows, others slide along.

    Whoever is turned away `ban_after` times in one window is banned for `ban_ns`; None = never.
    """

    weight: int
    window_ns: int
    fixed: bool = False
    ban_after: int | None = None
    ban_ns: int = 120 * SECOND_NS


class Verdict(msgspec.Struct, frozen=True):
    """Whether a request may pass (status 200), or is turned away (429) or banned (418)."""

    status: int
    used: int
    retry_after_s: int = 0


class Limiter:
    """Charges requests against a limit, in simulated time.

    `most_used` is the highest use any window saw, `turned_away` and `bans` count what a careful
    client never causes.

    >>> limiter = Limiter(Limit(weight=10, window_ns=60 * SECOND_NS))
    >>> limiter.charge(8, now_ns=0).status, limiter.charge(8, now_ns=SECOND_NS).status
    (200, 429)
    >>> limiter.charge(8, now_ns=61 * SECOND_NS).status
    200
    """

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.most_used = 0
        self.turned_away = 0
        self.bans = 0
        self._spent: deque[tuple[int, int]] = deque()
        self._refused: deque[int] = deque()
        self._banned_until_ns = 0

    def used(self, now_ns: int) -> int:
        """Return the weight used in the window that holds an instant."""
        first_ns = self._window_start(now_ns)
        while self._spent and self._spent[0][0] < first_ns:
            self._spent.popleft()
        return sum(weight for _, weight in self._spent)

    def charge(self, weight: int, now_ns: int) -> Verdict:
        """Spend weight before a request is answered, or turn it away."""
        used = self.used(now_ns)
        if now_ns < self._banned_until_ns:
            self.turned_away += 1
            return Verdict(418, used, _seconds(self._banned_until_ns - now_ns))
        if used + weight <= self.limit.weight:
            self.add(weight, now_ns)
            return Verdict(200, used + weight)
        self.turned_away += 1
        if self._bans(now_ns):
            return Verdict(418, used, _seconds(self.limit.ban_ns))
        first_ns = self._spent[0][0] if self._spent else now_ns
        frees_ns = self._window_start(now_ns) if self.limit.fixed else first_ns
        return Verdict(429, used, _seconds(frees_ns + self.limit.window_ns - now_ns))

    def add(self, weight: int, now_ns: int) -> None:
        """Spend weight that is known only after the answer; it may exceed the limit."""
        self._spent.append((now_ns, weight))
        self.most_used = max(self.most_used, self.used(now_ns))

    def _window_start(self, now_ns: int) -> int:
        window_ns = self.limit.window_ns
        return now_ns - now_ns % window_ns if self.limit.fixed else now_ns - window_ns + 1

    def _bans(self, now_ns: int) -> bool:
        if self.limit.ban_after is None:
            return False
        self._refused.append(now_ns)
        while self._refused[0] < self._window_start(now_ns):
            self._refused.popleft()
        if len(self._refused) <= self.limit.ban_after:
            return False
        self.bans += 1
        self._refused.clear()
        self._banned_until_ns = now_ns + self.limit.ban_ns
        return True


def _seconds(wait_ns: int) -> int:
    return max(1, -(-wait_ns // SECOND_NS))
