"""The answer of a reconciliation: one row per check, each with its figures or why it has none."""

from __future__ import annotations

from typing import Literal

from fillbook.analysis.answers import Answer

CheckName = Literal[
    "position",
    "start position",
    "realised",
    "commission",
    "income result",
    "filled size",
    "fill count",
    "equity",
]
CheckState = Literal["agrees", "differs", "not checked"]
NAMES: tuple[CheckName, ...] = (
    "position",
    "start position",
    "realised",
    "commission",
    "income result",
    "filled size",
    "fill count",
    "equity",
)


class NearFill(Answer, frozen=True, kw_only=True):
    """A fill near a difference; `seq` is its claim in the book, `fill_id` the venue's own id."""

    seq: int
    fill_id: str | None
    ts: str
    side: Literal["buy", "sell"]
    qty: str
    px: str


class Check(Answer, frozen=True, kw_only=True):
    """One comparison of the book with what the venue states.

    `difference` is ours less theirs in `unit`. `at` is the instant the venue's figure speaks of
    (for sums: the end of what was compared). `n` is how much was compared: fills, orders or
    statements. `missing` says why a check could not be made. `ids` name what differs: fills,
    orders or rows of the venue; `fills` are fills of the book around it.
    """

    check: CheckName
    state: CheckState
    venue: str
    account: str
    instrument: str | None = None
    position_side: str | None = None
    ours: str | None = None
    theirs: str | None = None
    difference: str | None = None
    unit: str | None = None
    tolerance: str | None = None
    why_tolerance: str = ""
    at: str | None = None
    n: int = 0
    what: str = ""
    missing: str = ""
    next_step: str = ""
    ids: tuple[str, ...] = ()
    fills: tuple[NearFill, ...] = ()


class Reconciliation(Answer, frozen=True, kw_only=True):
    """Everything that was compared, the differences first, true at `seq`."""

    seq: int
    head: str
    n_agree: int
    n_differ: int
    n_unchecked: int
    rows: tuple[Check, ...]
