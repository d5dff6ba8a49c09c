"""The rhythm of telemetry inside a bot: every five minutes, and when a UTC day has ended.

Nothing that fails ends it. It runs beside the bot in one `asyncio.gather`, so a fault that got out
would take the bot with it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial

from fillbook.ground.clock import DAY_NS, SECOND_NS, day_of

UPDATE_INTERVAL_S = 300

Sleep = Callable[[float], Awaitable[None]]
Step = Callable[[], Awaitable[object]]

_log = logging.getLogger(__name__)


class TelemetryLoop:
    """Takes `steps` at each tick and writes each day that ended.

    The name of a step says what is wrong when it fails.
    """

    def __init__(
        self,
        steps: dict[str, Step],
        write_day: Callable[[str], Awaitable[object]],
        clock: Callable[[], int],
        sleep: Sleep,
    ) -> None:
        self._steps = steps
        self._write_day = write_day
        self._clock = clock
        self._sleep = sleep

    async def run(self) -> None:
        """Tick until cancelled."""
        today = day_of(self._clock())
        while True:
            for what, step in self._steps.items():
                await self._done(what, step)
            now = self._clock()
            ended = day_of(now - DAY_NS)
            write = partial(self._write_day, ended)
            if day_of(now) != today and await self._done(f"{ended} not written", write):
                today = day_of(now)
            left_s = (DAY_NS - now % DAY_NS) / SECOND_NS
            await self._sleep(min(UPDATE_INTERVAL_S, left_s))

    async def _done(self, what: str, step: Step) -> bool:
        try:
            await step()
        except Exception as fault:  # the bot must not end because its telemetry cannot go on
            _log.warning("telemetry: %s: tried again soon: %s", what, fault)
            return False
        return True
