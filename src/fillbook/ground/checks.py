"""What `fillbook doctor` looked at: one line what, one line what to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from fillbook.ground.errors import FillbookError

CheckState = Literal["fail", "warn", "not checked", "ok"]
ORDER: tuple[CheckState, ...] = ("fail", "warn", "not checked", "ok")


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at.

    `about` is the account or file it speaks of, None for the whole book. `fail`: something does
    not work or is not safe. `warn`: it works, and will not for long or not as meant.
    """

    area: str
    state: CheckState
    what: str
    next_step: str = ""
    about: str | None = None


def worst_of(checks: Iterable[Check]) -> CheckState:
    """Return the worst state among checks; nothing checked is ok.

    >>> worst_of([Check(area="a", state="ok", what="w"), Check(area="b", state="warn", what="w")])
    'warn'
    """
    return min((check.state for check in checks), key=ORDER.index, default="ok")


def failed(area: str, fault: FillbookError, about: str | None = None) -> Check:
    """Turn a fault into a check that failed: what and where, and what to do next."""
    where = f" ({' '.join(fault.where.split())})" if fault.where else ""
    next_step = " ".join(fault.next_step.split())
    what = f"{fault.what}{where}"
    return Check(area=area, state="fail", what=what, next_step=next_step, about=about)
