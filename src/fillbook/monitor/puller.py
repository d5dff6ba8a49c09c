"""Keeps one attached account up to date: pulls when due, at once when nudged, and looks around.

A websocket message only means "pull now"; pulls run regardless of it. A fault of the venue is
waited out; a key that may do more than read stops the account for good; a fault of the book stops
the monitor.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence

from fillbook.analysis.reconcile.answer import Check
from fillbook.analysis.view import BookView
from fillbook.facts.finding import Finding
from fillbook.ground.clock import MINUTE_NS, SECOND_NS
from fillbook.ground.live_settings import AttachSettings
from fillbook.monitor.keywatch import KeyWatch
from fillbook.monitor.reconciler import Fresh, Reconciler, Statement
from fillbook.monitor.rounds import AT_ONCE, Rounds
from fillbook.monitor.snapshots import SnapshotBook
from fillbook.monitor.vanished import FILLS, Undoing, Vanished, fills_until
from fillbook.sources.attach import Attached, Tools, attach, open_account, pager_of
from fillbook.sources.faults import KeyRefusedError, KeyUnsafeError, SourceError
from fillbook.sources.liveness import AccountHealth, AccountState
from fillbook.sources.stream import AttachEstimate, LiveAccount

Say = Callable[[str], None]

LOOK_AGAIN_NS = 5 * MINUTE_NS
RETRY_FIRST_NS = 5 * SECOND_NS
RETRY_MOST_NS = 5 * MINUTE_NS


class AccountPuller:
    """One [[attach]] entry, from the first question to the last.

    Fills are pulled at least every `detect_ns`, positions are looked at every `poll_ns`. `known`
    returns the instruments an account has in the book; `pulled` is called when there is news;
    `fresh` returns a view with everything written so far.
    """

    def __init__(
        self,
        settings: AttachSettings,
        tools: Tools,
        writer: Undoing,
        *,
        detect_ns: int,
        poll_ns: int,
        vanished_after_ns: int,
        known: Callable[[str], Collection[str]],
        pulled: Callable[[], None],
        say: Say,
        fresh: Fresh,
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
        self._rounds = Rounds(tools.pace, detect_ns, pulled)
        self._state: AccountState = "attaching"
        self._fault: str | None = None
        self._snapshots = SnapshotBook(self.account, writer)
        self._key = KeyWatch(self.account, settings, writer, tools.pace)
        self._last_poll_ns: int | None = None
        self._fresh = fresh
        self._polled = asyncio.Event()
        self._vanished = Vanished(
            self.account,
            writer,
            lambda product: fills_until(self._rounds.pagers.values(), product),
            lambda product: self._rounds.backfill(FILLS, product, deep=True),
            fresh,
            vanished_after_ns,
            say,
        )
        self._reconciler = Reconciler(
            self.account.label, fresh, self._rounds.backfill, self.account.venue_now_ns, say
        )

    @property
    def health(self) -> AccountHealth:
        """Return how the account is doing now."""
        return AccountHealth(
            venue=self.account.venue,
            account=self.account.account if self._attached else "",
            label=self.account.label,
            state=self._state,
            fault=self._fault,
            streams=tuple(pager.health for pager in self._rounds.pagers.values()),
            usage=tuple(self.account.usage()),
            open_positions=len(self._snapshots.open_positions),
            position_calls=self._snapshots.calls,
            last_poll_ns=self._last_poll_ns,
            overdue=self._overdue(),
        )

    def _overdue(self) -> tuple[str, ...]:
        if self._state != "running" or self._rounds.is_catching_up:
            return ()
        return self._rounds.overdue()

    @property
    def is_caught_up(self) -> bool:
        """Say whether nothing more of the past is on its way: all is pulled, or nothing can be."""
        if self._state != "running":
            return self._state != "attaching"
        return not self._rounds.is_arriving

    def findings(self) -> list[Finding]:
        """Return what a person should know about this source now."""
        return [*self._key.findings(), *self.account.findings()]

    @property
    def differences(self) -> Sequence[Finding]:
        """Return where the book lastingly differs from what the venue states."""
        return self._reconciler.findings

    async def run(self) -> None:
        """Attach, then keep the account up to date until cancelled."""
        try:
            await self._attach()
            if self._attached is None:
                return
            async with asyncio.TaskGroup() as group:
                pulls = [self._rounds.work] * AT_ONCE
                for work in (*pulls, self._listen, self._poll, self._look_around, self._reconcile):
                    group.create_task(work())
        except* KeyUnsafeError:
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
        self._rounds.add(self._attached.pagers)
        self._state, self._fault = "running", None
        self._say(
            f"✓ {self.account.label}: attached, {len(self._rounds.pagers)} streams, read-only"
        )
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

    # -- what goes on ----------------------------------------------------------------------

    async def _listen(self) -> None:
        async with contextlib.aclosing(self.account.trigger()) as nudges:  # type: ignore[type-var]
            async for nudge in nudges:
                self._rounds.nudge(nudge.streams)

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
                self._polled.set()
            except SourceError as fault:
                self._wait_out(fault)
            await self._pace.rest(self._poll_ns)

    async def _reconcile(self) -> None:
        """Compare the positions with every statement of them, once all history is here."""
        while True:
            await self._polled.wait()
            self._polled.clear()
            said_ns = self._snapshots.asked_ns
            if said_ns is None or not self.is_caught_up:
                continue
            said = Statement(said_ns, tuple(self._snapshots.open_positions))
            view = await self._fresh()
            await self._reconciler.compare(view, self.account.venue, self.account.account, said)
            await self._vanished.look(await self._fresh(), said.reports, said_ns)

    async def look_back(self, checks: Sequence[Check]) -> bool:
        """Pull days back for differences not seen before; says whether there were any."""
        if self._state != "running" or not self.is_caught_up:
            return False
        return await self._reconciler.look_back(self._mine(checks))

    def settle(self, checks: Sequence[Check], view: BookView) -> None:
        """Take what still differs for lasting, and what agrees by now for resolved.

        Positions traded since they were last stated are put into the book with the next look; all
        of them where one differs, because what opened before all fills takes a quiet moment to see.
        """
        mine_now = self._mine(checks)
        self._reconciler.settle(mine_now)
        if any(check.check == "position" and check.state == "differs" for check in mine_now):
            self._snapshots.say_all_again()
        mine = (self.account.venue, self.account.account)
        for key, group in view.groups_of.get(mine, {}).items():
            if group.columns.contract.contract != "spot" and len(group):
                said_ns = self._snapshots.said_ns(key.instrument, key.position_side)
                if int(group.columns.ts_ns[-1]) > said_ns:
                    self._snapshots.say_again(key.instrument, key.position_side)

    def _mine(self, checks: Sequence[Check]) -> list[Check]:
        mine = (self.account.venue, self.account.account)
        return [check for check in checks if (check.venue, check.account) == mine]

    async def _look_around(self) -> None:
        """Find streams of instruments traded for the first time; look at the key once a day."""
        while True:
            # At once: until it was attached, nobody knew whose instruments to look up.
            for look in (self._key.look, self._discover):
                try:
                    await look()
                except KeyUnsafeError as refused:
                    self._refuse(refused)
                    raise
                except SourceError as fault:
                    self._wait_out(fault)
            await self._pace.rest(LOOK_AGAIN_NS)

    async def _discover(self) -> None:
        known = (*self._known(self.account.account), *self._settings.symbols)
        for stream in await self.account.discover(known, self._pace.now_ns()):
            if stream.name not in self._rounds.pagers:
                self._rounds.add([pager_of(self.account, stream, self._writer, self._pace)])
