"""Attaches accounts, read-only: who it is, what its key may do, what the first pull will take.

A venue is the module `fillbook.sources.<venue>.live` with one function,
`open_account(settings, tools) -> LiveAccount`. It is loaded only when an account needs it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from importlib import import_module

import msgspec

from fillbook.analysis.keys import TRADING_KEY
from fillbook.analysis.labels import ACCOUNT_LABEL
from fillbook.ground.live_settings import AttachSettings
from fillbook.journal.values import BatchOpen
from fillbook.sources.budget import Budget, Limit
from fillbook.sources.credentials import Credentials, load_credentials
from fillbook.sources.faults import SourceError
from fillbook.sources.manners import Manners, Signer
from fillbook.sources.pace import Pace, SystemPace
from fillbook.sources.pager import Pager
from fillbook.sources.reads import reads_of
from fillbook.sources.redact import EVERYWHERE, Redactor
from fillbook.sources.rights import Verdict, insist, judge
from fillbook.sources.sockets import SocketDoor
from fillbook.sources.source import RANK_API
from fillbook.sources.stream import AttachEstimate, JournalWriter, LiveAccount, Stream
from fillbook.sources.streambook import batch_id_of
from fillbook.sources.transport import Patience, Transport

OpenAccount = Callable[[AttachSettings, "Tools"], LiveAccount]
Told = Callable[[AttachEstimate], None]


class Tools:
    """What a venue's module is given: time and chance, secrets, and the shared budgets."""

    def __init__(
        self,
        pace: Pace | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        redactor: Redactor = EVERYWHERE,
        patience: Patience | None = None,
    ) -> None:
        self.pace: Pace = pace or SystemPace()
        self.redactor = redactor
        self.patience = patience or Patience()
        self._environ = os.environ if environ is None else environ
        self._budgets: dict[tuple[str, str], Budget] = {}

    def credentials(self, settings: AttachSettings) -> Credentials | None:
        """Read an account's key; the redactor knows it from then on. ConfigError when unsafe."""
        return load_credentials(settings, self._environ, self.redactor)

    def budget(self, venue: str, limit: Limit, share: Decimal, scope: str = "") -> Budget:
        """Return the budget of a limit; `scope` is empty where it counts per address.

        Accounts that share a limit share the budget, and the smallest of their shares.
        """
        known = self._budgets.get((venue, scope))
        if known is None:
            known = self._budgets[venue, scope] = Budget(venue, limit, share, self.pace)
        known.lower(share)
        return known

    def transport(
        self,
        settings: AttachSettings,
        limit: Limit,
        manners: Manners,
        signer: Signer | None = None,
        scope: str = "",
    ) -> Transport:
        """Make the one way an account's reads take, within the budget of their limit."""
        return Transport(
            settings.venue,
            self.pace,
            self.budget(settings.venue, limit, settings.share, scope),
            signer=signer,
            manners=manners,
            urls=settings.urls,
            patience=self.patience,
            redactor=self.redactor,
        )

    def door(self, settings: AttachSettings) -> SocketDoor:
        """Make the one way to a venue's websocket."""
        return SocketDoor(
            settings.venue,
            self.pace,
            urls=settings.urls,
            patience=self.patience,
            redactor=self.redactor,
        )


class Attached(msgspec.Struct, frozen=True, kw_only=True):
    """An account whose key was accepted, with a pager for each of its streams."""

    account: LiveAccount
    verdict: Verdict
    estimate: AttachEstimate | None
    pagers: tuple[Pager, ...]


class Incomplete(msgspec.Struct, frozen=True, kw_only=True):
    """A stream that the first pull could not bring up to date, and why."""

    stream: str
    fault: SourceError


def open_account(settings: AttachSettings, tools: Tools) -> LiveAccount:
    """Make the account that settings describe; asks the venue nothing yet.

    ConfigError for an unknown venue, an unsafe key file or a foreign address.
    """
    venue = reads_of(settings.venue).venue
    opening: OpenAccount = import_module(f"fillbook.sources.{venue}.live").open_account
    return opening(settings, tools)


async def check_rights(account: LiveAccount, settings: AttachSettings) -> Verdict:
    """Ask the venue what the key may do, and judge it; writes nothing."""
    return judge(
        account.venue, await account.rights(), accept_trading_key=settings.accept_trading_key
    )


async def check_key(
    account: LiveAccount, settings: AttachSettings, writer: JournalWriter
) -> Verdict:
    """Judge the key at the start and once a day; an accepted exception goes into the book."""
    verdict = await check_rights(account, settings)
    if verdict.decision == "accepted with finding":
        await _remember_exception(account, verdict, writer)
    return verdict


async def attach(
    account: LiveAccount,
    settings: AttachSettings,
    writer: JournalWriter,
    pace: Pace,
    *,
    known: Collection[str] = (),
    told: Told | None = None,
) -> Attached:
    """Identify an account, refuse an unsafe key, say what the first pull takes; pull nothing yet.

    `known` are the instruments of this account in the book. `told` receives the estimate. Raises
    KeyRefusedError with the steps to a safe key, or another SourceError when the venue cannot be
    asked.
    """
    await account.identify()
    verdict = await check_key(account, settings, writer)
    insist(verdict, f"[[attach]] {account.label}")
    if settings.label:
        await _remember_label(account, settings.label, writer)
    estimate = None
    if told is not None:
        estimate = await account.estimate(pace.now_ns())
        told(estimate)
    streams = await account.discover((*known, *settings.symbols), pace.now_ns())
    return Attached(
        account=account,
        verdict=verdict,
        estimate=estimate,
        pagers=tuple(pager_of(account, stream, writer, pace) for stream in streams),
    )


def pager_of(account: LiveAccount, stream: Stream, writer: JournalWriter, pace: Pace) -> Pager:
    """Make the pager of one stream."""
    return Pager(account, stream, writer, pace)


async def pull_all(pagers: Sequence[Pager]) -> list[Incomplete]:
    """Pull every stream once, one after the other, leaving room for live reads.

    Returns the streams that are not up to date afterwards; what was pulled is kept, and the next
    call goes on from there.
    """
    incomplete = []
    for pager in pagers:
        pulled = await pager.pull(background=True)
        if pulled.fault is not None:
            incomplete.append(Incomplete(stream=pager.stream.name, fault=pulled.fault))
    return incomplete


async def _remember_label(account: LiveAccount, label: str, writer: JournalWriter) -> None:
    """Put the account's readable name into the book, for commands that know only the book."""
    await writer.begin(
        BatchOpen(
            batch_id=batch_id_of(account.venue, account.account, f"label/{label}"),
            source="settings",
            rank=RANK_API,
            venue=account.venue,
            account=account.account,
            fingerprint="",
            name=label,
            labels=(ACCOUNT_LABEL,),
        )
    )


async def _remember_exception(
    account: LiveAccount, verdict: Verdict, writer: JournalWriter
) -> None:
    """Put the exception into the book, where it stays when the key is long gone."""
    key = verdict.subject.strip("…")
    await writer.begin(
        BatchOpen(
            batch_id=batch_id_of(account.venue, account.account, f"trading-key/{key}"),
            source="rights",
            rank=RANK_API,
            venue=account.venue,
            account=account.account,
            fingerprint="",
            name=f"{verdict.subject} {'; '.join(verdict.reasons)}",
            labels=(TRADING_KEY,),
        )
    )
