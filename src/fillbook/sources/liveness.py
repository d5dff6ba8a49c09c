"""How the running monitor and its accounts are doing, for `/healthz`, the metrics and people."""

from __future__ import annotations

from typing import Literal

import msgspec

from fillbook.facts.finding import Finding
from fillbook.sources.health import StreamHealth
from fillbook.sources.stream import BudgetUse

AccountState = Literal["attaching", "running", "waiting", "refused", "failed"]
"""Asking who it is; up to date or on the way; the venue cannot be asked; the key may do too much;
a fault of the program, tried again soon."""


class AccountHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One attached account at one moment; `account` is empty until the venue told who it is.

    `position_calls` counts how often positions were asked for since the start, once a poll.
    `overdue` names streams whose pull should have happened long ago.
    """

    venue: str
    account: str
    label: str
    state: AccountState
    fault: str | None
    streams: tuple[StreamHealth, ...]
    usage: tuple[BudgetUse, ...]
    open_positions: int
    position_calls: int
    last_poll_ns: int | None
    overdue: tuple[str, ...] = ()


class MonitorHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The whole monitor at one moment; it is well when there are no `reasons` against it.

    `seq` and `head` are those of the last summary, None before the first one. `journal_waiting`
    are writes in the queue; `tracked` and `pending` count open trades, the latter wait behind a
    cap. `findings` are what the sources found about themselves.
    """

    status: Literal["ok", "not ok"]
    reasons: tuple[str, ...]
    at_ns: int
    started_ns: int
    seq: int | None
    head: str | None
    summary_ns: int | None
    journal_waiting: int
    tracked: int
    pending: int
    accounts: tuple[AccountHealth, ...]
    findings: tuple[Finding, ...] = ()
