"""How much of a venue's rate limit we may use, and when we must hold back.

The limit belongs to the trader's address or key and is shared with the bot, so Fillbook keeps to
a declared share of it (default 20 %) in *every* stretch of one window, not only on average.
Background reads (the first attach, daily re-reads) leave a quarter of the share to live ones.
"""

from __future__ import annotations

import asyncio
from collections import deque
from decimal import Decimal

import msgspec

from fillbook.ground.clock import MINUTE_NS, SECOND_NS, iso
from fillbook.sources.faults import RateLimitedError
from fillbook.sources.pace import Pace
from fillbook.sources.stream import BudgetUse

_BACKGROUND_PART = Decimal("0.75")
# Near its limit a venue is left to the bot, whoever used it up.
_SEEN_PART = Decimal("0.85")
_FIRST_PAUSE_NS = 5 * SECOND_NS
_LONGEST_PAUSE_NS = 10 * MINUTE_NS
_BAN_PAUSE_NS = 2 * MINUTE_NS
# Whoever would wait longer than this is told so instead.
PATIENCE_NS = 90 * SECOND_NS


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """A venue's limit: so much weight in each window."""

    weight: int
    window_ns: int = MINUTE_NS


class Ticket(msgspec.Struct):
    """Weight taken for one request; it is corrected once the true cost is known."""

    at_ns: int
    weight: int


class Budget:
    """The rate limit of one venue as seen from one address or key; shared by its accounts."""

    def __init__(self, venue: str, limit: Limit, share: Decimal, pace: Pace) -> None:
        self.venue = venue
        self._limit = limit
        self._pace = pace
        self._allowance = max(1, int(limit.weight * share))
        self._spent: deque[Ticket] = deque()
        self._seen: tuple[int, int] | None = None
        self._paused_until_ns = 0
        self._in_a_row = 0
        self._limited_count = self._banned_count = 0
        self._queues = {True: asyncio.Lock(), False: asyncio.Lock()}

    @property
    def allowance(self) -> int:
        """Return how much weight may be spent in one window."""
        return self._allowance

    def lower(self, share: Decimal) -> None:
        """Keep to the smaller of several accounts' shares: they stand behind one address."""
        self._allowance = min(self._allowance, max(1, int(self._limit.weight * share)))

    async def take(self, weight: int, *, background: bool = False) -> Ticket:
        """Wait until `weight` fits, and take it.

        RateLimitedError when the venue has told us to stay away for longer than patience lasts.
        A weight above the allowance goes alone, into windows of its own.
        """
        # First come, first served, so that a heavy read is not overtaken for ever by light ones.
        async with self._queues[background]:
            while True:
                now = self._pace.ticks_ns()
                self._refuse_long_pause(now)
                wait_ns = max(self._paused_until_ns - now, self._wait_ns(now, weight, background))
                if wait_ns <= 0:
                    return self._record(now, weight)
                await self._pace.rest(wait_ns)

    def settle(self, ticket: Ticket, weight: int) -> None:
        """Correct a ticket to what the request did cost."""
        ticket.weight = weight

    def succeeded(self, seen: int | None) -> None:
        """Note an answer, with the used weight that the venue states, if it does."""
        self._in_a_row = 0
        if seen is not None:
            self._seen = (seen, self._pace.ticks_ns())

    def limited(self, fault: RateLimitedError) -> None:
        """Hold back after a 429 or 418: as long as was told, otherwise twice as long each time."""
        self._in_a_row += 1
        self._limited_count += 1
        self._banned_count += fault.banned
        doubled_ns = _FIRST_PAUSE_NS << min(self._in_a_row - 1, 12)
        least_ns = _BAN_PAUSE_NS if fault.banned else 0
        jitter_ns = int(self._pace.dice() * SECOND_NS)
        if fault.retry_after_ns is None:
            pause_ns = min(_LONGEST_PAUSE_NS, max(least_ns, doubled_ns)) + jitter_ns
        else:
            pause_ns = max(least_ns, fault.retry_after_ns) + jitter_ns
        until_ns = self._pace.ticks_ns() + pause_ns
        self._paused_until_ns = max(self._paused_until_ns, until_ns)

    def use(self) -> BudgetUse:
        """Return how much is in use right now."""
        now = self._pace.ticks_ns()
        self._forget(now)
        return BudgetUse(
            venue=self.venue,
            limit=self._limit.weight,
            allowance=self._allowance,
            spent=sum(ticket.weight for ticket in self._spent),
            window_ns=self._limit.window_ns,
            seen=self._seen_now(now),
            paused_ns=max(0, self._paused_until_ns - now),
            limited_count=self._limited_count,
            banned_count=self._banned_count,
        )

    def duration_ns(self, weight: int) -> int:
        """Return how long a background read of so much weight takes within the share."""
        allowed = max(1, int(self._allowance * _BACKGROUND_PART))
        return max(0, -(-weight // allowed) - 1) * self._limit.window_ns

    def _refuse_long_pause(self, now: int) -> None:
        pause_ns = self._paused_until_ns - now
        if pause_ns > PATIENCE_NS:
            until = iso(self._pace.now_ns() + pause_ns)
            raise RateLimitedError(
                f"{self.venue} asked us to stay away until {until}",
                self.venue,
                "nothing to do: pulling goes on by itself; if your bot is limited too, lower its "
                "rate or `share` in [[attach]]",
                retry_after_ns=pause_ns,
            )

    def _wait_ns(self, now: int, weight: int, background: bool) -> int:
        self._forget(now)
        seen = self._seen_now(now)
        if seen is not None and seen + weight > self._limit.weight * _SEEN_PART:
            assert self._seen is not None
            return self._seen[1] + self._limit.window_ns - now
        allowed = self._allowance
        if background:
            allowed = max(1, int(allowed * _BACKGROUND_PART))
        total = sum(ticket.weight for ticket in self._spent)
        room = allowed - min(weight, allowed)
        wait_ns = 0
        # Wait until enough of the oldest has left its window.
        for ticket in self._spent:
            if total <= room:
                break
            total -= ticket.weight
            wait_ns = max(wait_ns, ticket.at_ns + self._stay_ns(ticket) - now)
        return wait_ns

    def _record(self, now: int, weight: int) -> Ticket:
        ticket = Ticket(now, weight)
        self._spent.append(ticket)
        return ticket

    def _forget(self, now: int) -> None:
        # A weight above the allowance stays as many windows as it fills.
        kept = [t for t in self._spent if now < t.at_ns + self._stay_ns(t)]
        if len(kept) != len(self._spent):
            self._spent = deque(kept)

    def _stay_ns(self, ticket: Ticket) -> int:
        return max(1, -(-ticket.weight // self._allowance)) * self._limit.window_ns

    def _seen_now(self, now: int) -> int | None:
        if self._seen is None or now >= self._seen[1] + self._limit.window_ns:
            return None
        return self._seen[0]
