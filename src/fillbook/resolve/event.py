"""What resolve hands to the ledger: groups of ordered money events in scaled integers."""

from __future__ import annotations

from decimal import Decimal
from enum import IntEnum

import msgspec

from fillbook.facts.finding import Finding
from fillbook.facts.model import (
    Charge,
    Coverage,
    Fill,
    Funding,
    Instrument,
    OrderUpdate,
    PositionSide,
)
from fillbook.ground.exact import divide_half_even

NO_STRATEGY = "-"


class Kind(IntEnum):
    """What an event does to a position; the order is the order inside one instant."""

    OPENING = 0
    FUNDING = 1
    CHARGE = 2
    FILL = 3
    ADJUST = 4


class GroupKey(msgspec.Struct, frozen=True, order=True):
    """The unit of folding: order exists only inside one of these."""

    venue: str
    account: str
    instrument: str
    position_side: PositionSide = "net"


class Rungs(msgspec.Struct, frozen=True):
    """The prices above the fill on the ladder; None = not known."""

    decision: Decimal | None = None
    arrival: Decimal | None = None
    mid: Decimal | None = None


class PartOf(msgspec.Struct, frozen=True):
    """The part [start, stop) of a fill's quantity `whole` that one sub-book takes.

    Amounts are shared by rounding the running share, so that the parts sum to the whole.
    """

    start: int
    stop: int
    whole: int

    def of(self, amount: int) -> int:
        """Return this part's share of an amount, half-even on the running share.

        >>> [PartOf(0, 1, 3).of(10), PartOf(1, 3, 3).of(10)]
        [3, 7]
        """
        reached = divide_half_even(amount * self.stop, self.whole)
        return reached - divide_half_even(amount * self.start, self.whole)


class Event(msgspec.Struct):
    """One thing that changes a group, at its place in the group's order.

    `qty` is the signed change of inventory at the group's `qty_scale`, with a base fee already
    taken off. `book` names the sub-book: a strategy, or strategy and leg; `part` is set where one
    fill is shared by several.
    """

    kind: Kind
    ts_ns: int
    seq: int
    key: str
    book: str
    qty: int = 0
    fact: Fill | Funding | Charge | None = None
    rungs: Rungs | None = None
    row: int | None = None
    part: PartOf | None = None


class Group(msgspec.Struct):
    """One group's events in their final order, with the scales that hold them exactly.

    `lot_decimals` are the finest decimals of traded sizes: a residue below one such step is dust.
    `written_as_floats` says that some numbers came from binary floats.
    """

    key: GroupKey
    instrument: Instrument
    events: list[Event]
    qty_scale: int
    px_scale: int
    lot_decimals: int
    has_rungs: bool
    written_as_floats: bool
    without_times: bool = False


class SourceCoverage(msgspec.Struct, frozen=True):
    """What one source covers for one account, batches united."""

    venue: str
    account: str
    source: str
    rank: int
    coverage: Coverage


class Resolved(msgspec.Struct):
    """Everything true about a set of claims, ready to fold."""

    groups: list[Group]
    findings: list[Finding]
    coverage: list[SourceCoverage]
    orders: list[OrderUpdate]
    n_evidence: int
