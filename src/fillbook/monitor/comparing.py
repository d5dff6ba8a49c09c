"""Reconciles while the monitor runs: the whole book once an hour, and asks back before it tells."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from fillbook.analysis.reconcile.answer import Check
from fillbook.analysis.view import BookView
from fillbook.ground.clock import HOUR_NS, SECOND_NS
from fillbook.ground.errors import BookError
from fillbook.monitor.fullcheck import FullCheck
from fillbook.monitor.reconciler import Fresh
from fillbook.sources.pace import Pace

Result = TypeVar("Result")

EVERY_NS = HOUR_NS
_LOOK_NS = 2 * SECOND_NS

_log = logging.getLogger(__name__)


class Compared(Protocol):
    """An account that is compared: it can look back for what differs, and settles it then."""

    async def look_back(self, checks: Sequence[Check]) -> bool:
        """Pull days back for differences not seen before; says whether there were any."""
        ...

    def settle(self, checks: Sequence[Check], view: BookView) -> None:
        """Take what still differs for lasting, and what agrees by now for resolved."""
        ...


class Comparing:
    """Compares the book of all accounts with what their venues state, for ever.

    `fresh` returns a view that has everything written so far.
    """

    def __init__(
        self,
        full: FullCheck,
        accounts: Callable[[], Sequence[Compared]],
        fresh: Fresh,
        is_caught_up: Callable[[], bool],
        pace: Pace,
    ) -> None:
        self._full = full
        self._accounts = accounts
        self._fresh = fresh
        self._is_caught_up = is_caught_up
        self._pace = pace

    async def run(self) -> None:
        """Compare once all history is here, and every hour from then on."""
        while True:
            while not self._is_caught_up():
                await self._pace.rest(_LOOK_NS)
            try:
                await self.compare()
            except BookError:
                raise
            except Exception:  # a check that fails is told in the log; watching goes on
                _log.exception("the book could not be reconciled")
            await self._pace.rest(EVERY_NS)

    async def compare(self) -> None:
        """Make every check; what differs for the first time is looked for before it is told."""
        view = await self._fresh()
        rows = (await apart(lambda: self._full.run(view))).rows
        looked = await asyncio.gather(*(each.look_back(rows) for each in self._accounts()))
        if any(looked):
            view = await self._fresh()
            rows = (await apart(lambda: self._full.run(view))).rows
        for account in self._accounts():
            account.settle(rows, view)


async def apart(work: Callable[[], Result]) -> Result:
    """Do long work that only reads in a thread that nobody waits for when the monitor stops."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def tell(deliver: Callable[[], None]) -> None:
        # Whoever asked may be gone, and the loop with it.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: None if done.done() else deliver())

    def run() -> None:
        try:
            result = work()
        except BaseException as fault:  # handed to whoever asked, whatever it is
            raised = fault
            tell(lambda: done.set_exception(raised))
        else:
            tell(lambda: done.set_result(result))

    threading.Thread(target=run, name="apart", daemon=True).start()
    return await done
