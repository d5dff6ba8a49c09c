"""The monitor: one book, any number of accounts, in one program.

The event loop moves bytes; one thread writes the book, one folds it. A fault of one account is
waited out beside the others; a fault of the book stops everything: fail-stop, never fail-wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection, Coroutine
from pathlib import Path
from typing import Any

import msgspec

from fillbook.analysis.view import BookView
from fillbook.facts.finding import Finding
from fillbook.ground.clock import SECOND_NS
from fillbook.ground.errors import BookError, FillbookError
from fillbook.ground.live_settings import AttachSettings
from fillbook.ground.settings import Settings
from fillbook.journal.store import Journal
from fillbook.marks.series import marks_path
from fillbook.monitor.app import Doors, Metrics, make_app
from fillbook.monitor.closings import Closings
from fillbook.monitor.comparing import Comparing, apart
from fillbook.monitor.fullcheck import FullCheck
from fillbook.monitor.health import reasons_of
from fillbook.monitor.hook import webhook_folder
from fillbook.monitor.journaling import JournalThread
from fillbook.monitor.livebook import LiveBook
from fillbook.monitor.pidfile import Farewell, PidFile
from fillbook.monitor.puller import AccountPuller
from fillbook.monitor.pushed import Pushed
from fillbook.monitor.serving import Serving
from fillbook.monitor.tracker import open_names
from fillbook.monitor.watch import Watch
from fillbook.publish.webhook import Webhook
from fillbook.sources.attach import Tools
from fillbook.sources.liveness import AccountHealth, MonitorHealth

Say = Callable[[str], None]

_LOOK_NS = 2 * SECOND_NS
_FOLD_LOOK_NS = SECOND_NS // 5
_TRY_AGAIN_NS = 30 * SECOND_NS
# Together less than the 10 seconds in which a monitor has stopped.
_ACCOUNTS_WITHIN_S = 2.0
_JOURNAL_WITHIN_S = 4.0
_FOLD_WITHIN_S = 2.0
_WEBHOOK_WITHIN_S = 0.5
_SERVING_WITHIN_S = 1.0

_log = logging.getLogger(__name__)


class Monitor:
    """Runs until told to stop; `say` receives every line for people, from any thread.

    `folder` is where relative names in [monitor] begin. `webhook` is told of finished trades.
    """

    def __init__(
        self,
        book: Path,
        settings: Settings,
        folder: Path,
        say: Say,
        tools: Tools | None = None,
        webhook: Webhook | None = None,
    ) -> None:
        self._book = book
        self._settings = settings
        self._tools = tools or Tools()
        self._pace = self._tools.pace
        self._say = say
        monitor = settings.monitor
        clock = self._pace.now_ns
        self.journal = JournalThread(book, marks_path(book), clock)
        self._webhook = webhook
        closings = None
        if webhook is not None:
            closings = Closings(webhook, webhook_folder(book), clock())
        self.watch = Watch(
            folder / monitor.log_dir,
            clock,
            self._is_caught_up,
            say,
            monitor.max_concurrent_trades,
            closings,
        )
        self._live = LiveBook(
            book, marks_path(book), settings, self.watch.look, found=self._differences
        )
        self._accounts = [self._account_of(attach) for attach in settings.attach]
        self._comparing = Comparing(
            FullCheck(book, marks_path(book), settings),
            lambda: self._accounts,
            self._fresh,
            self._is_caught_up,
            self._pace,
        )
        self._pushed = Pushed(
            self.journal,
            lambda: [account.health for account in self._accounts],
            settings.labels,
            self._live.nudge,
            [folder / Path(name).expanduser() for name in monitor.watched_files],
            self._pace,
        )
        self._failed: dict[int, str] = {}

    # -- running ---------------------------------------------------------------------------

    async def run(
        self,
        stop: asyncio.Event,
        pid_file: PidFile,
        *,
        metrics: Metrics | None = None,
        token: str | None = None,
    ) -> Farewell:
        """Run until `stop` is set or the book fails, and return the last words.

        `metrics` writes the exposition; without `token` bots cannot push over HTTP.
        """
        if not self._book.exists():
            Journal.create(self._book).close()
        monitor = self._settings.monitor
        serving = Serving(monitor.host, monitor.port)
        tasks: set[asyncio.Task[Any]] = set()
        fault = ""
        try:
            self.journal.start()
            self._live.start()
            if self._webhook is not None:
                self._webhook.start()
            doors = Doors(self.health, metrics, self._pushed.take, token)
            serving.start(make_app(doors, monitor.host))
            pid_file.serves(serving.url)
            self._greet(serving.url)
            tasks = {asyncio.create_task(work) for work in self._works()}
            waiting = asyncio.create_task(stop.wait())
            done, _ = await asyncio.wait({waiting, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            tasks.add(waiting)
            fault = _fault_of(done - {waiting})
        finally:
            farewell = await self._shut(tasks, serving, pid_file, fault)
        return farewell

    def _works(self) -> list[Coroutine[Any, Any, None]]:
        kept = [self._keep(nth) for nth in range(len(self._accounts))]
        return [
            self._watch_over(),
            self._comparing.run(),
            *kept,
            *self._pushed.works(),
        ]

    def _greet(self, url: str) -> None:
        monitor = self._settings.monitor
        cap = monitor.max_concurrent_trades
        self._say("✓ Monitor started successfully")
        self._say(f"  Max concurrent trades: {'no cap' if cap is None else cap}")
        self._say(f"  Detection interval: {monitor.detection_interval}")
        self._say(f"  Poll interval: {monitor.poll_interval}")
        self._say(f"  Health and metrics: {url}/healthz, {url}/metrics")
        if not self._accounts:
            self._say("  No account is attached ([[attach]] in fillbook.toml): only pushed facts")

    async def _watch_over(self) -> None:
        """Let the book be looked at now and then, and end when one of its threads has failed."""
        while True:
            for fault in (self.journal.fault, self._live.fault):
                if fault is not None:
                    raise fault
            self._live.nudge()
            await self._pace.rest(_LOOK_NS)

    async def _keep(self, nth: int) -> None:
        """Keep one account attached; a fault of the program is logged and tried again."""
        await apart(lambda: self._live.wait(60.0))
        while True:
            try:
                await self._accounts[nth].run()
                # Refused: asking again with the same key would not help.
                await asyncio.Event().wait()
            except* BookError:
                raise
            except* Exception as group:  # one account's fault must not take the others with it
                told = self._tools.redactor.told(group)
                _log.error("%s failed:\n%s", self._accounts[nth].account.label, told)
                first = _first_of(group)
                self._failed[nth] = self._tools.redactor.clean(f"{type(first).__name__}: {first}")
            self._say(
                f"✗ {self._accounts[nth].account.label}: failed, tried again in 30 s; see log"
            )
            await self._pace.rest(_TRY_AGAIN_NS)
            self._failed.pop(nth, None)
            self._accounts[nth] = self._account_of(self._settings.attach[nth])

    def _account_of(self, attach: AttachSettings) -> AccountPuller:
        return AccountPuller(
            attach,
            self._tools,
            self.journal,
            detect_ns=self._settings.monitor.detection_interval_ns,
            poll_ns=self._settings.monitor.poll_interval_ns,
            vanished_after_ns=self._settings.monitor.vanished_after_ns,
            known=self._known,
            pulled=self._live.nudge,
            say=self._say,
            fresh=self._fresh,
        )

    async def _fresh(self) -> BookView:
        """Return a view in which everything written so far is folded."""
        seq = await self.journal.seq()
        while True:
            self._live.nudge()
            view = self._live.view
            if view is not None and view.seq >= seq:
                return view
            await self._pace.rest(_FOLD_LOOK_NS)

    def _differences(self) -> list[Finding]:
        return [found for account in self._accounts for found in account.differences]

    def _known(self, account: str) -> Collection[str]:
        """Return the instruments that an account has in the book."""
        view = self._live.view
        keys = [group.columns.key for group in view.ledger.groups] if view else []
        return {key.instrument for key in keys if key.account == account}

    def _is_caught_up(self) -> bool:
        return all(account.is_caught_up for account in self._accounts)

    # -- what is told ----------------------------------------------------------------------

    def health(self) -> MonitorHealth:
        """Return how everything is doing now."""
        now_ns, summary = self._pace.now_ns(), self.watch.summary
        accounts = tuple(self._health_of(nth) for nth in range(len(self._accounts)))
        reasons = list(reasons_of(accounts, now_ns, self._settings.monitor.poll_interval_ns))
        if summary is None:
            reasons.append("the book is not folded yet")
        for fault in (self.journal.fault, self._live.fault):
            if fault is not None:
                reasons.append(f"the book failed: {fault}")
        problem = self._live.problem
        if problem is not None:
            reasons.append(f"the book cannot be folded: {type(problem).__name__}: {problem}")
        clean = self._tools.redactor.clean
        return MonitorHealth(
            status="not ok" if reasons else "ok",
            reasons=tuple(clean(reason) for reason in reasons),
            at_ns=now_ns,
            started_ns=self.watch.started_ns,
            seq=None if summary is None else summary.seq,
            head=None if summary is None else summary.head,
            summary_ns=None if summary is None else summary.at_ns,
            journal_waiting=self.journal.waiting,
            tracked=len(self.watch.tracker.tracked),
            pending=len(self.watch.tracker.pending),
            accounts=accounts,
            findings=(
                *(f for each in self._accounts for f in (*each.findings(), *each.differences)),
                *self.journal.odd_marks.findings,
            ),
        )

    def _health_of(self, nth: int) -> AccountHealth:
        health = self._accounts[nth].health
        if nth not in self._failed:
            return health
        return msgspec.structs.replace(health, state="failed", fault=self._failed[nth])

    # -- stopping --------------------------------------------------------------------------

    async def _shut(
        self, tasks: set[asyncio.Task[Any]], serving: Serving, pid_file: PidFile, fault: str
    ) -> Farewell:
        begun_s = time.monotonic()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_ACCOUNTS_WITHIN_S)
        is_written = await asyncio.to_thread(self.journal.stop, _JOURNAL_WITHIN_S)
        await asyncio.to_thread(self._live.stop, _FOLD_WITHIN_S)
        if self._webhook is not None:
            await asyncio.to_thread(self._webhook.close, _WEBHOOK_WITHIN_S)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(serving.stop(), _SERVING_WITHIN_S)
        summary = self.watch.summary
        farewell = Farewell(
            pid=pid_file.own.pid,
            started=pid_file.own.started,
            drained=self.journal.drained,
            is_written=is_written and self.journal.fault is None,
            seq=summary.seq if summary else 0,
            still_open=open_names(summary.open_trades) if summary else (),
            fault=self._tools.redactor.clean(fault),
        )
        pid_file.leave(farewell)
        _log.info("stopped in %.1f s", time.monotonic() - begun_s)
        return farewell


def _first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first fault inside nested groups."""
    first = group.exceptions[0]
    return _first_of(first) if isinstance(first, BaseExceptionGroup) else first


def _fault_of(done: set[asyncio.Task[Any]]) -> str:
    """Return what ended a task that should never end, empty when none did."""
    for task in done:
        fault = task.exception()
        while isinstance(fault, BaseExceptionGroup):
            fault = fault.exceptions[0]
        if isinstance(fault, FillbookError):
            return str(fault)
        if fault is not None:
            _log.error("stopped by a fault", exc_info=fault)
            return f"{type(fault).__name__}: {fault}"
    return ""
