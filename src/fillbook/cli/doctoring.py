"""`fillbook doctor`: everything that can be wrong around a book, looked at once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from fillbook.analysis.freshness import coverage_checks, findings_check, marks_check
from fillbook.analysis.summary import load
from fillbook.cli.configured import (
    configuration_checks,
    is_taken,
    placed,
    token_check,
    webhook_check,
)
from fillbook.cli.figures import clean
from fillbook.cli.housed import Free, book_checks, cache_check, disk_check, free_bytes
from fillbook.cli.monitored import holder_for, pid_path
from fillbook.cli.monitoring import health_of
from fillbook.cli.opening import Place, opened_book
from fillbook.cli.page import Page
from fillbook.cli.progress import progress
from fillbook.cli.shapes import Examination
from fillbook.cli.tables import Tone
from fillbook.ground.checks import ORDER, Check, CheckState, failed, worst_of
from fillbook.ground.clock import SECOND_NS, iso, now_ns
from fillbook.ground.errors import BookError, UsageError
from fillbook.ground.live_settings import AttachSettings
from fillbook.monitor.pidfile import killed, last_words
from fillbook.sources.attach import Tools
from fillbook.sources.examining import Examined, budget_check, examine, unexamined
from fillbook.sources.redact import EVERYWHERE
from fillbook.sources.transport import Patience

# A person is waiting: a venue that fails is told soon, and asked again when the command is.
PATIENCE = Patience(
    connect_ns=5 * SECOND_NS, silence_ns=10 * SECOND_NS, whole_ns=20 * SECOND_NS, tries=2
)
_MARKS: dict[CheckState, tuple[str, str, Tone]] = {
    "fail": ("✗", "FAIL", "loss"),
    "warn": ("!", "warn", "strong"),
    "not checked": ("?", "?", "quiet"),
    "ok": ("✓", "ok", "gain"),
}


def diagnose(
    book: Path | None,
    *,
    offline: bool = False,
    environ: Mapping[str, str] | None = None,
    tools: Tools | None = None,
    free: Free = free_bytes,
) -> Examination:
    """Look at everything; a fault of one part hides no other. Nothing is written but the cache.

    `offline` asks no venue.
    """
    environ = os.environ if environ is None else environ
    place, broken = placed(book)
    at_ns = now_ns()
    checks: list[Check] = []
    if broken is None:
        checks += configuration_checks(place, environ)
        checks.append(token_check(place.settings.monitor, environ))
        checks.append(webhook_check(place, environ))
    else:
        checks.append(broken)
    checks += book_checks(place)
    checks.append(cache_check(place.cache))
    checks.append(disk_check(place, at_ns, free))
    checks += _monitor(place)
    accounts = _accounts(place.settings.attach, offline, tools)
    for account in accounts:
        checks += account.checks
    if place.book.exists():
        checks += _contents(place, accounts, at_ns)
    return _cleaned(place, checks, at_ns)


def _accounts(
    attached: Sequence[AttachSettings], offline: bool, tools: Tools | None
) -> list[Examined]:
    if offline:
        return [unexamined(each, "not asked, because of --offline") for each in attached]
    shared = tools or Tools(patience=PATIENCE)

    async def whole() -> list[Examined]:
        return await asyncio.gather(*(examine(each, shared) for each in attached))

    return asyncio.run(whole())


def _contents(place: Place, accounts: Iterable[Examined], at_ns: int) -> Iterator[Check]:
    """Say what the book reaches and lacks; a book that cannot be read has said so already."""
    labels = {each.account: each.label for each in accounts if each.account}

    def label(account: str) -> str:
        return labels.get(account) or place.settings.label(account)

    try:
        with opened_book(place, readonly=True) as (journal, marks), progress("folding") as report:
            pulled = {
                (batch.venue, batch.account)
                for batch in journal.batches()
                if batch.batch_id.startswith("live:")
            }
            live = {each for each in pulled if _is_attached(each, place, labels)}
            view = load(journal, marks, place.settings, progress=report, cache=place.cache)
            yield from coverage_checks(view, at_ns, live, label)
            yield findings_check(view)
            yield marks_check(view, at_ns, bool(live))
    except BookError as fault:
        yield failed("coverage", fault)


def _is_attached(whose: tuple[str, str], place: Place, told: Collection[str]) -> bool:
    """Say whether the configuration attaches an account; `told` are those that venues named.

    Who is behind a key only its venue can say: unasked, it may be any account there.
    """
    venue, account = whose
    here = [each for each in place.settings.attach if each.venue == venue]
    known = {each.address.lower() for each in here if each.address}
    return account.lower() in known or any(account in told or not each.address for each in here)


def _monitor(place: Place) -> Iterator[Check]:
    monitor, path = place.settings.monitor, pid_path(place)
    try:
        holder = holder_for(place)
    except UsageError as fault:
        yield failed("monitor", fault)
        return
    if holder is None:
        yield from _stopped(place, path)
        return
    if not holder.url:
        yield Check(area="monitor", state="ok", what=f"starting (process {holder.pid})")
        return
    health = health_of(holder)
    what = f"running (process {holder.pid}), {holder.url}"
    if health is None:
        yield Check(
            area="monitor",
            state="fail",
            what=f"{what}, and it does not answer",
            next_step="`fillbook monitor stop`, then start it again; its log says more",
        )
        return
    if health.status == "ok":
        yield Check(area="monitor", state="ok", what=f"{what}, and well")
    for reason in health.reasons:
        yield Check(
            area="monitor",
            state="fail",
            what=reason,
            next_step="`fillbook monitor status` says more",
        )
    for found in health.findings:
        yield Check(
            area="monitor",
            state="fail" if found.severity == "error" else "warn",
            what=found.message,
            next_step=found.next_step,
        )
    for account in health.accounts:
        for use in account.usage:
            if use.limited_count:
                yield budget_check(use, account.label)
    # By the monitor's own clock, which a simulation sets.
    late_ns = health.at_ns - (health.summary_ns or health.at_ns)
    if late_ns > 300 * SECOND_NS:
        yield Check(
            area="monitor",
            state="warn",
            what=f"its figures are {late_ns // SECOND_NS:,} s old",
            next_step=f"look into {monitor.log_dir}",
        )


def _stopped(place: Place, path: Path) -> Iterator[Check]:
    """Say why none is running, where that is known, and whether one could start."""
    monitor = place.settings.monitor
    if is_taken(monitor.host, monitor.port):
        yield Check(
            area="monitor",
            state="warn",
            what=f"port {monitor.port} is taken by another program, so none could start",
            next_step="choose another `port` in [monitor], or `--port 0`",
        )
    farewell, lost = last_words(path), killed(path)
    if farewell is not None and farewell.fault:
        yield Check(
            area="monitor",
            state="fail",
            what=f"the last one was stopped by a fault: {farewell.fault}",
            next_step="see to the fault, then `fillbook monitor start`",
        )
    elif lost is not None or place.settings.attach or monitor.watched_files:
        why = "none is running, so nothing new reaches the book"
        if lost is not None:
            why += "; the last one ended without a word: killed, or a power cut"
        yield Check(area="monitor", state="warn", what=why, next_step="`fillbook monitor start`")
    else:
        yield Check(area="monitor", state="ok", what="none is running, and none is needed")


def _cleaned(place: Place, checks: Iterable[Check], at_ns: int) -> Examination:
    """Order the checks, the gravest first, and take every secret out of what they say."""
    said = [
        Check(
            area=check.area,
            state=check.state,
            what=EVERYWHERE.clean(check.what),
            next_step=EVERYWHERE.clean(check.next_step),
            about=None if check.about is None else EVERYWHERE.clean(check.about),
        )
        for check in checks
    ]
    said.sort(key=lambda check: ORDER.index(check.state))
    return Examination(
        at=iso(at_ns), book=str(place.book), status=worst_of(said), checks=tuple(said)
    )


def show_examination(page: Page, answer: Examination) -> None:
    """Write the checks so that a narrow terminal shows them whole: what, then what to do."""
    for check in answer.checks:
        sign, word, tone = _MARKS[check.state]
        head = sign if page.unicode else word
        about = f" {check.about}" if check.about else ""
        page.line(clean(f"{head} {check.area}{about}: {check.what}"), tone, rest="  ")
        if check.next_step:
            arrow = "→" if page.unicode else "->"
            page.line(f"{arrow} {check.next_step}", indent="  ", rest="    ")
    page.gap()
    page.line(_counted(answer.checks), "strong")


def _counted(checks: Sequence[Check]) -> str:
    counts = {state: sum(check.state == state for check in checks) for state in ORDER}
    words = {"fail": "failed", "warn": "to look at", "not checked": "not checked", "ok": "fine"}
    told = [f"{counts[state]} {words[state]}" for state in ORDER if counts[state]]
    return ", ".join(told) + "."
