"""Keeps one attached account up to date: pulls when due, at once when nudged, and looks around.

A websocket message only means "pull now"; pulls run regardless of it. A fault of the venue is
waited out; a key that may do more than read stops the account for good; a fault of the book stops
the monitor.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection

from fillbook.facts.finding import Finding
from fillbook.ground.clock import MINUTE_NS, SECOND_NS
from fillbook.ground.live_settings import AttachSettings
from fillbook.monitor.keywatch import KeyWatch
from fillbook.monitor.snapshots import SnapshotBook
from fillbook.sources.attach import Attached, Tools, attach, open_account, pager_of
from fillbook.sources.faults import KeyRefusedError, SourceError
from fillbook.sources.liveness import AccountHealth, AccountState
from fillbook.sources.pager import Pager
from fillbook.sources.stream import AttachEstimate, JournalWriter, LiveAccount

Say = Callable[[str], None]

LOOK_AGAIN_NS = 5 * MINUTE_NS
OVERDUE_NS = 10 * MINUTE_NS
RETRY_FIRST_NS = 5 * SECOND_NS
RETRY_MOST_NS = 5 * MINUTE_NS


class AccountPuller:
    """One [[attach]] entry, from the first question to the last.

    Fills are pulled at least every `detect_ns`, positions are looked at every `poll_ns`. `known`
    returns the instruments an account has in the book; `pulled` is called when there is news.
    """

    def __init__(
        self,
        settings: AttachSettings,
        tools: Tools,
        writer: JournalWriter,
        *,
        detect_ns: int,
        poll_ns: int,
        known: Callable[[str], Collection[str]],
        pulled: Callable[[], None],
        say: Say,
    ) -> None:
        self.account: LiveAccount = open_account(settings, tools)
        self._settings = settings
        self._pace = tools.pace
        self._writer = writer
        self._detect_ns = detect_ns
        self._poll_ns = poll_ns
        self._known = known
        self._pulled = pulled
        self._say = say
        self._attached: Attached | None = None
        self._pagers: dict[str, Pager] = {}
        self._nudged: set[str] = set()
        self._looked_ticks: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._state: AccountState = "attaching"
        self._fault: str | None = None
        self._snapshots = SnapshotBook(self.account, writer)
        self._key = KeyWatch(self.account, settings, writer, tools.pace)
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
            overdue=self._overdue(),
        )

    def _overdue(self) -> tuple[str, ...]:
        states = {pager.health.state for pager in self._pagers.values()}
        if self._state != "running" or "catching up" in states:
            return ()
        late_ticks = self._pace.ticks_ns() - OVERDUE_NS
        return tuple(name for name, pager in self._pagers.items() if pager.due_ns < late_ticks)

    @property
    def is_caught_up(self) -> bool:
        """Say whether nothing more of the past is on its way: all is pulled, or nothing can be."""
        if self._state != "running":
            return self._state != "attaching"
        states = [pager.health.state for pager in self._pagers.values()]
        return not {"new", "catching up"}.intersection(states)

    def findings(self) -> list[Finding]:
        """Return what a person should know about this source now."""
        return [*self._key.findings(), *self.account.findings()]

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
                self._refuse(refused)
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
        self._key.take(self._attached.verdict)
        if warning := self._key.warning():
            self._say(f"! {self.account.label}: {warning}")

    def _refuse(self, refused: KeyRefusedError) -> None:
        self._state, self._fault = "refused", refused.what
        self._key.refuse(refused)
        self._say(f"✗ {self.account.label}: {refused}")

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
                if name in self._nudged or self._due_ticks(pager) <= now
            ]
            for pager in sorted(due, key=lambda p: p.stream.name not in self._nudged):
                self._nudged.discard(pager.stream.name)
                brought = await pager.pull(background=pager.health.state == "new")
                self._looked_ticks[pager.stream.name] = self._pace.ticks_ns()
                if brought.new:
                    self._pulled()
            if not due:
                await self._sleep_until_due()

    def _due_ticks(self, pager: Pager) -> int:
        """Return when to pull a stream; one with fills not later than new trades are looked for.

        A stream that failed waits as long as its pager says.
        """
        if "fills" not in pager.stream.components or pager.health.state != "running":
            return pager.due_ns
        looked_ticks = self._looked_ticks.get(pager.stream.name, 0)
        return min(pager.due_ns, looked_ticks + self._detect_ns)

    async def _sleep_until_due(self) -> None:
        next_due = min((self._due_ticks(pager) for pager in self._pagers.values()), default=0)
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
        while True:
            # At once: until it was attached, nobody knew whose instruments to look up.
            for look in (self._key.look, self._discover):
                try:
                    await look()
                except KeyRefusedError as refused:
                    self._refuse(refused)
                    raise
                except SourceError as fault:
                    self._wait_out(fault)
            await self._pace.rest(LOOK_AGAIN_NS)

    async def _discover(self) -> None:
        known = (*self._known(self.account.account), *self._settings.symbols)
        for stream in await self.account.discover(known, self._pace.now_ns()):
            if stream.name not in self._pagers:
                self._pagers[stream.name] = pager_of(self.account, stream, self._writer, self._pace)
                self._wake.set()
