"""Whose turn it is: the streams of one account, pulled when due, when nudged, and deep once a day.

A few streams are pulled at a time once all history is here; before that one after the other,
because what one stream tells may explain the next. Each stream is pulled by one at a time in any
case, and the rate limit is the account's own affair.

A deep pull may take many pages. It reads again what is here already, so nobody waits for it: one
stream at a time is pulled deep, on what the limit leaves, and the others go on beside it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable

from fillbook.facts.model import Component
from fillbook.ground.clock import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS
from fillbook.sources.health import Pulled, State
from fillbook.sources.pace import Pace
from fillbook.sources.pager import Pager

AT_ONCE = 3
FIRST_DEEP_NS = 15 * MINUTE_NS
OVERDUE_NS = 10 * MINUTE_NS
# A nudge goes before what is due, but not before what has been due for so long.
_AHEAD_NS = 30 * SECOND_NS
_NEVER = 2**63 - 1
_ARRIVING = frozenset({"new", "catching up"})


class Rounds:
    """The pagers of one account. `pulled` is called when a pull brought news.

    Streams with fills are pulled at least every `detect_ns`. The first deep pull comes soon after
    the start, because nobody knows how long the program was away.
    """

    def __init__(self, pace: Pace, detect_ns: int, pulled: Callable[[], None]) -> None:
        self.pagers: dict[str, Pager] = {}
        self._pace = pace
        self._detect_ns = detect_ns
        self._pulled = pulled
        self._nudged: set[str] = set()
        # A backfill may wait for a stream that is being pulled: how many are at each.
        self._busy: Counter[str] = Counter()
        self._deep: Counter[str] = Counter()
        self._looked_ticks: dict[str, int] = {}
        self._deep_ticks: dict[str, int] = {}
        self._wake = asyncio.Event()

    def add(self, pagers: Iterable[Pager]) -> None:
        """Pull these too from now on."""
        for pager in pagers:
            self.pagers[pager.stream.name] = pager
            self._deep_ticks[pager.stream.name] = self._pace.ticks_ns() + FIRST_DEEP_NS
        self._wake.set()

    def nudge(self, streams: Collection[str]) -> None:
        """Pull these now, all of them when none is named."""
        self._nudged.update(streams or self.pagers)
        self._wake.set()

    @property
    def is_arriving(self) -> bool:
        """Say whether history is still on its way."""
        return any(self._state(name) in _ARRIVING for name in self.pagers)

    @property
    def is_catching_up(self) -> bool:
        """Say whether a stream is in the middle of many pages that were not here before."""
        return any(self._state(name) == "catching up" for name in self.pagers)

    def overdue(self) -> tuple[str, ...]:
        """Name the streams whose pull should have happened long ago."""
        late_ticks = self._pace.ticks_ns() - OVERDUE_NS
        idle = (pager for name, pager in self.pagers.items() if not self._deep[name])
        return tuple(pager.stream.name for pager in idle if pager.due_ns < late_ticks)

    async def work(self) -> None:
        """Pull whatever is due, for ever; several may work at once."""
        while True:
            pager = self._next()
            if pager is None:
                await self._sleep_until_due()
            else:
                name, now = pager.stream.name, self._pace.ticks_ns()
                self._nudged.discard(name)
                is_deep = self._deep_due_ticks(pager) <= now
                is_new = pager.health.state == "new"
                await self._pull(pager, deep=is_deep, background=is_deep or is_new)

    async def backfill(
        self, components: Collection[Component], instrument: str | None, *, deep: bool
    ) -> bool:
        """Pull the streams that tell these components of an instrument, now and here.

        Whoever looks for what is missing must be told how far all is there: the book is, too.
        Returns whether the venue answered for all of them.
        """
        is_whole = True
        for pager in list(self.pagers.values()):
            stream = pager.stream
            told = not set(components).isdisjoint(stream.components)
            if told and (instrument is None or stream.instrument in (None, instrument)):
                brought = await self._pull(pager, deep=deep, background=deep, speak=True)
                is_whole = is_whole and brought.fault is None
        return is_whole

    async def _pull(
        self, pager: Pager, *, deep: bool, background: bool, speak: bool = False
    ) -> Pulled:
        name = pager.stream.name
        # What was never here arrives with a deep pull as with any other.
        is_again = deep and pager.health.state == "running"
        self._busy[name] += 1
        self._deep[name] += is_again
        try:
            brought = await pager.pull(deep=deep, background=background, speak=speak)
        finally:
            self._busy[name] -= 1
            self._deep[name] -= is_again
            self._wake.set()
        self._looked_ticks[name] = self._pace.ticks_ns()
        if deep:
            again_ns = DAY_NS if brought.fault is None else HOUR_NS
            self._deep_ticks[name] = self._pace.ticks_ns() + again_ns
        if brought.new:
            self._pulled()
        return brought

    def _next(self) -> Pager | None:
        """Return the stream that waits longest of those due, None where none is."""
        if self._is_full:
            return None
        now = self._pace.ticks_ns()
        free = [(name, pager) for name, pager in self.pagers.items() if not self._busy[name]]
        waits = {name: self._wanted_ticks(name, pager, now) for name, pager in free}
        due = [(waits[name], nth) for nth, (name, _) in enumerate(free) if waits[name] <= now]
        return free[min(due)[1]][1] if due else None

    @property
    def _is_full(self) -> bool:
        """Say whether no further stream may be pulled beside those that are."""
        if self.is_arriving:
            return self._busy.total() > 0
        return self._busy.total() - self._deep.total() >= AT_ONCE

    def _state(self, name: str) -> State:
        """Return how far a stream's history is here; what is read again was here before."""
        return "running" if self._deep[name] else self.pagers[name].health.state

    def _wanted_ticks(self, name: str, pager: Pager, now: int) -> int:
        due_ticks = self._due_ticks(pager)
        return min(due_ticks, now - _AHEAD_NS) if name in self._nudged else due_ticks

    def _due_ticks(self, pager: Pager) -> int:
        """Return when to pull a stream; one with fills not later than new trades are looked for.

        A stream that failed waits as long as its pager says.
        """
        name = pager.stream.name
        if pager.health.state != "running":
            return pager.due_ns
        due_ticks = min(pager.due_ns, self._deep_due_ticks(pager))
        if "fills" not in pager.stream.components:
            return due_ticks
        return min(due_ticks, self._looked_ticks.get(name, 0) + self._detect_ns)

    def _deep_due_ticks(self, pager: Pager) -> int:
        """Return when to pull a stream deep; never while it is not up to date, or another is."""
        if pager.health.state != "running" or self._deep.total():
            return _NEVER
        return self._deep_ticks[pager.stream.name]

    async def _sleep_until_due(self) -> None:
        free = [pager for name, pager in self.pagers.items() if not self._busy[name]]
        next_due = min(map(self._due_ticks, free), default=self._pace.ticks_ns() + SECOND_NS)
        # The end of a pull wakes whoever waits for a place.
        least_ns = SECOND_NS if self._is_full else SECOND_NS // 20
        wait_ns = max(least_ns, next_due - self._pace.ticks_ns())
        resting = asyncio.ensure_future(self._pace.rest(min(wait_ns, MINUTE_NS)))
        waking = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait({resting, waking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            resting.cancel()
            waking.cancel()
        self._wake.clear()
