"""Keeps one attached account up to date: pulls when due, at once when nudged, and looks around.

A websocket message only means "pull now"; pulls run regardless of it. A fault of the venue is
waited out; a key that may do more than read stops the account for good; a fault of the book stops
the monitor.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection
from typing import Literal

import msgspec

from fillbook.facts.finding import Finding
from fillbook.ground.clock import DAY_NS, MINUTE_NS, SECOND_NS
from fillbook.ground.live_settings import AttachSettings
from fillbook.monitor.snapshots import SnapshotBook
from fillbook.sources.attach import Attached, Tools, attach, check_rights, open_account, pager_of
from fillbook.sources.faults import KeyRefusedError, SourceError
from fillbook.sources.health import StreamHealth
from fillbook.sources.pager import Pager
from fillbook.sources.rights import insist
from fillbook.sources.stream import AttachEstimate, BudgetUse, JournalWriter, LiveAccount

State = Literal["attaching", "running", "waiting", "refused"]
Say = Callable[[str], None]

LOOK_AGAIN_NS = 5 * MINUTE_NS
RETRY_FIRST_NS = 5 * SECOND_NS
RETRY_MOST_NS = 5 * MINUTE_NS


class AccountHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How one attached account is doing, for `/healthz`, `status` and the metrics."""

    venue: str
    account: str
    label: str
    state: State
    fault: str | None
    streams: tuple[StreamHealth, ...]
    usage: tuple[BudgetUse, ...]
    open_positions: int
    position_calls: int
    last_poll_ns: int | None


class AccountPuller:
    """One [[attach]] entry, from the first question to the last."""

    def __init__(
        self,
        settings: AttachSettings,
        tools: Tools,
        writer: JournalWriter,
        *,
        poll_ns: int,
        known: Callable[[str], Collection[str]],
        pulled: Callable[[], None],
        say: Say,
    ) -> None:
        self.account: LiveAccount = open_account(settings, tools)
        self._settings = settings
        self._pace = tools.pace
        self._writer = writer
        self._poll_ns = poll_ns
        self._known = known
        self._pulled = pulled
        self._say = say
        self._attached: Attached | None = None
        self._pagers: dict[str, Pager] = {}
        self._nudged: set[str] = set()
        self._wake = asyncio.Event()
        self._state: State = "attaching"
        self._fault: str | None = None
        self._snapshots = SnapshotBook(self.account, writer)
        self._last_poll_ns: int | None = None

    @property
    def health(self) -> AccountHealth:
        """Return how the account is doing now."""
        return AccountHealth(
            venue=self.account.venue,
            account=self.account.account if self._attached else "",
            label=self.account.label,
            state=self._state,
            fault=self._fault,
            streams=tuple(pager.health for pager in self._pagers.values()),
            usage=tuple(self.account.usage()),
            open_positions=len(self._snapshots.open_positions),
            position_calls=self._snapshots.calls,
            last_poll_ns=self._last_poll_ns,
        )

    def findings(self) -> list[Finding]:
        """Return what a person should know about this source now."""
        return list(self.account.findings())

    async def run(self) -> None:
        """Attach, then keep the account up to date until cancelled."""
        try:
            await self._attach()
            if self._attached is None:
                return
            async with asyncio.TaskGroup() as group:
                for work in (self._pull_for_ever, self._listen, self._poll, self._look_around):
                    group.create_task(work())
        except* KeyRefusedError:
            self._say(f"✗ {self.account.label}: nothing more is asked with this key")
        finally:
            await self.account.close()

    # -- attaching -------------------------------------------------------------------------

    async def _attach(self) -> None:
        wait_ns = RETRY_FIRST_NS
        while self._attached is None:
            try:
                self._attached = await attach(
                    self.account,
                    self._settings,
                    self._writer,
                    self._pace,
                    known=self._known(self.account.label),
                    told=self._tell_estimate,
                )
            except KeyRefusedError as refused:
                self._state, self._fault = "refused", refused.what
                self._say(f"✗ {self.account.label}: {refused}")
                return
            except SourceError as fault:
                self._wait_out(fault)
                if not fault.retriable:
                    self._say(f"✗ {self.account.label}: {fault}")
                await self._pace.rest(wait_ns)
                wait_ns = min(2 * wait_ns, RETRY_MOST_NS)
        for pager in self._attached.pagers:
            self._pagers[pager.stream.name] = pager
        self._state, self._fault = "running", None
        self._say(f"✓ {self.account.label}: attached, {len(self._pagers)} streams, read-only")

    def _tell_estimate(self, estimate: AttachEstimate) -> None:
        bound = "" if estimate.exact else "at most "
        self._say(
            f"  {self.account.label}: the first pull takes {bound}{estimate.asks} reads, about "
            f"{estimate.duration_ns // SECOND_NS} s, on {estimate.share_ratio:.0%} of the limit"
        )
        for beyond in estimate.beyond:
            self._say(f"  {self.account.label}: {beyond}")

    def _wait_out(self, fault: SourceError) -> None:
        self._state, self._fault = "waiting", fault.what

    # -- the four things that go on --------------------------------------------------------

    async def _pull_for_ever(self) -> None:
        while True:
            now = self._pace.ticks_ns()
            due = [
                pager
                for name, pager in self._pagers.items()
                if name in self._nudged or pager.due_ns <= now
            ]
            for pager in sorted(due, key=lambda p: p.stream.name not in self._nudged):
                self._nudged.discard(pager.stream.name)
                brought = await pager.pull()
                if brought.new:
                    self._pulled()
            if not due:
                await self._sleep_until_due()

    async def _sleep_until_due(self) -> None:
        next_due = min((pager.due_ns for pager in self._pagers.values()), default=0)
        wait_ns = max(SECOND_NS // 20, next_due - self._pace.ticks_ns())
        resting = asyncio.ensure_future(self._pace.rest(min(wait_ns, MINUTE_NS)))
        waking = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait({resting, waking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            resting.cancel()
            waking.cancel()
        self._wake.clear()

    async def _listen(self) -> None:
        async with contextlib.aclosing(self.account.trigger()) as nudges:  # type: ignore[type-var]
            async for nudge in nudges:
                self._nudged.update(nudge.streams or self._pagers)
                self._wake.set()

    async def _poll(self) -> None:
        while True:
            try:
                await self._snapshots.look(self._pace.now_ns())
                held = {each.instrument or "" for each in self._snapshots.open_positions}
                marks = await self.account.marks(held, self._pace.now_ns())
                await self._writer.put_marks(marks)
                self._last_poll_ns = self._pace.now_ns()
                self._state, self._fault = "running", None
                self._pulled()
            except SourceError as fault:
                self._wait_out(fault)
            await self._pace.rest(self._poll_ns)

    async def _look_around(self) -> None:
        """Find streams of instruments traded for the first time; look at the key once a day."""
        checked_ns = self._pace.ticks_ns()
        while True:
            await self._pace.rest(LOOK_AGAIN_NS)
            try:
                await self._discover()
                if self._pace.ticks_ns() - checked_ns >= DAY_NS:
                    insist(await check_rights(self.account, self._settings), self.account.label)
                    checked_ns = self._pace.ticks_ns()
            except KeyRefusedError as refused:
                self._state, self._fault = "refused", refused.what
                self._say(f"✗ {self.account.label}: {refused}")
                raise
            except SourceError as fault:
                self._wait_out(fault)

    async def _discover(self) -> None:
        known = (*self._known(self.account.account), *self._settings.symbols)
        for stream in await self.account.discover(known, self._pace.now_ns()):
            if stream.name not in self._pagers:
                self._pagers[stream.name] = pager_of(self.account, stream, self._writer, self._pace)
                self._wake.set()
