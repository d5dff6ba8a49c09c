"""One account looked at without pulling anything: reachable, safe key, clock, rate limit.

Everything passes the same wall as a pull. Nothing is written, into the book or elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec

from fillbook.ground.checks import Check, failed
from fillbook.ground.clock import SECOND_NS
from fillbook.ground.errors import ConfigError
from fillbook.ground.live_settings import AttachSettings
from fillbook.sources.attach import Tools, check_rights, open_account
from fillbook.sources.faults import ClockSkewError, KeyRefusedError, SourceError
from fillbook.sources.rights import Verdict
from fillbook.sources.stream import BudgetUse, LiveAccount

SKEW_TOLD_NS = SECOND_NS
SKEW_WRONG_NS = 30 * SECOND_NS
NEARLY_PART = 85
_MS_NS = 1_000_000
_AREAS = ("venue", "key", "clock", "rate limit")
_SET_CLOCK = "set this machine's clock by NTP (`timedatectl set-ntp true`)"


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of one [[attach]] entry; `account` is empty where nobody told it."""

    venue: str
    label: str
    account: str
    checks: tuple[Check, ...]


def unexamined(settings: AttachSettings, reason: str) -> Examined:
    """Say of an entry that nothing was asked, and why."""
    label = settings.label or settings.venue
    checks = (Check(area="venue", state="not checked", what=reason, about=label),)
    return Examined(venue=settings.venue, label=label, account="", checks=checks)


async def examine(settings: AttachSettings, tools: Tools, within_s: float = 45.0) -> Examined:
    """Look at one entry; takes no longer than `within_s` real seconds and never raises for it."""
    label = settings.label or settings.venue
    checks: list[Check] = []
    account: LiveAccount | None = None
    try:
        account = open_account(settings, tools)
        label = account.label
        async with asyncio.timeout(within_s):
            await _ask(account, settings, tools, checks)
    except ConfigError as fault:
        checks.append(failed("key", fault, label))
    except KeyRefusedError as fault:
        checks.append(failed("key", fault, label))
    except ClockSkewError as fault:
        checks.append(failed("clock", fault, label))
    except SourceError as fault:
        checks.append(failed("venue", fault, label))
    except TimeoutError:
        what = f"{settings.venue} gave no whole answer within {within_s:.0f} s"
        step = "check the network and the venue's status page, then run this again"
        checks.append(Check(area="venue", state="fail", what=what, next_step=step, about=label))
    finally:
        if account is not None:
            checks += _usage(account)
            await account.close()
    told = {check.area for check in checks}
    checks += [
        Check(area=area, state="not checked", what="the venue could not be asked", about=label)
        for area in _AREAS
        if area not in told
    ]
    checks.sort(key=lambda check: _AREAS.index(check.area))
    known = account.account if account is not None else ""
    return Examined(venue=settings.venue, label=label, account=known, checks=tuple(checks))


async def _ask(
    account: LiveAccount, settings: AttachSettings, tools: Tools, checks: list[Check]
) -> None:
    asked_ticks = tools.pace.ticks_ns()
    await account.identify()
    took_ms = (tools.pace.ticks_ns() - asked_ticks) // _MS_NS
    what = f"{account.venue} answers, in {took_ms:,} ms; the account is {account.account}"
    checks.append(Check(area="venue", state="ok", what=what, about=account.label))
    checks.append(_clock(account.venue_now_ns() - tools.pace.now_ns(), account))
    checks.append(_key(await check_rights(account, settings), account))


def _key(verdict: Verdict, account: LiveAccount) -> Check:
    told = f"the {verdict.venue} key {verdict.subject} {'; '.join(verdict.reasons)}"
    steps = " ".join(verdict.steps)
    if verdict.decision == "accepted":
        subject = f"the {verdict.venue} key {verdict.subject} can read and nothing else"
        if account.account == verdict.subject:
            subject = f"a public address of {verdict.venue}: there is no key to misuse"
        return Check(area="key", state="ok", what=subject, about=account.label)
    if verdict.decision == "refused":
        return Check(
            area="key", state="fail", what=f"{told}; it is refused", next_step=steps,
            about=account.label,
        )  # fmt: skip
    return Check(area="key", state="warn", what=told, next_step=steps, about=account.label)


def _clock(offset_ns: int, account: LiveAccount) -> Check:
    """Judge how far the venue's clock is from ours; 0 is "within what can be measured"."""
    apart_ns = abs(offset_ns)
    if apart_ns <= SKEW_TOLD_NS:
        what = f"this machine's clock agrees with {account.venue}'s"
        return Check(area="clock", state="ok", what=what, about=account.label)
    where = "behind" if offset_ns > 0 else "ahead of"
    what = f"this machine's clock is {apart_ns // SECOND_NS:,} s {where} {account.venue}'s"
    return Check(
        area="clock",
        state="fail" if apart_ns > SKEW_WRONG_NS else "warn",
        what=what,
        next_step=_SET_CLOCK,
        about=account.label,
    )


def _usage(account: LiveAccount) -> Iterator[Check]:
    for use in account.usage():
        if use.spent or use.seen is not None or use.limited_count:
            yield budget_check(use, account.label)


def budget_check(use: BudgetUse, label: str) -> Check:
    """Say how much of a venue's rate limit is ours, who uses it, and what the venue says to that.

    >>> use = BudgetUse(venue="v", limit=10, allowance=2, spent=1, window_ns=10**9)
    >>> budget_check(use, "a").what
    'our share is 2 of 10 in 1 s'
    """
    window_s = use.window_ns // SECOND_NS
    share = f"our share is {use.allowance:,} of {use.limit:,} in {window_s} s"
    if use.limited_count:
        banned = use.banned_count > 0
        return Check(
            area="rate limit",
            state="fail" if banned else "warn",
            what=f"{use.venue} {'has shut this address out' if banned else 'says slow down'}; "
            f"{share}",
            next_step="stop other programs that use this address or key for a while, and lower "
            "`share` in [[attach]]",
            about=label,
        )
    if use.seen is not None and use.seen * 100 > use.limit * NEARLY_PART:
        return Check(
            area="rate limit",
            state="warn",
            what=f"everybody behind this address uses {use.seen:,} of {use.limit:,}; {share}",
            next_step="slow your bot down a little: Fillbook waits when little is left",
            about=label,
        )
    seen = f", everybody here uses {use.seen:,}" if use.seen is not None else ""
    what = f"{share}{seen}"
    return Check(area="rate limit", state="ok", what=what, about=label)
