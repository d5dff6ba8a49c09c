"""Wrong, missing or contradictory data is a value, never an exception: the fold goes on."""

from __future__ import annotations

from typing import Literal

import msgspec

Severity = Literal["info", "warning", "error"]


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something a person should know about the numbers, with its cause and the next step.

    `code` is a stable kebab-case name (docs/findings.md lists all). `severity` error means: the
    numbers it touches are not to be trusted as complete. `amount` is decimal text in `currency`;
    `seqs` name the claims it came from. `touches` says which figures it makes incomplete.

    >>> Finding(code="fee-unknown", severity="warning", message="12 fills name no fee").code
    'fee-unknown'
    """

    code: str
    severity: Severity
    message: str
    next_step: str = ""
    venue: str | None = None
    account: str | None = None
    instrument: str | None = None
    strategy: str | None = None
    ts_ns: int | None = None
    amount: str | None = None
    currency: str | None = None
    seqs: tuple[int, ...] = ()
    touches: tuple[str, ...] = ()
