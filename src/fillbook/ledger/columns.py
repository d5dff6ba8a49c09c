"""One group as columns: what the kernel reads, and what else is known of each row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fillbook.facts.model import Instrument
from fillbook.ledger.bundles import EventColumns
from fillbook.ledger.terms import Terms
from fillbook.resolve.event import GroupKey

I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
U8 = npt.NDArray[np.uint8]
Text = str | None

# what else is known of a row, in `traits`
ARRIVAL_KNOWN = 1
MID_KNOWN = 2
MAKER = 4
TAKER = 8
VENUE_PNL = 16
VENUE_PNL_NET = 32
APPROXIMATE = 64
SHARED = 128


@dataclass(slots=True)
class GroupColumns:
    """One group as columns, one row per event; money columns have shape (n, 2): hi, lo bits.

    `events` is what the kernel reads; a funding payment of a group with several sub-books is one
    row per book there (the kernel splits it). `price` and `traded_qty` are the fill's own, at
    `terms.price_scale` and `terms.qty_scale`. `foreign` names the asset of money that is not the
    settlement currency, by index into `assets` (-1: none); such money stands in `foreign_amount`,
    positive = cost. A `SHARED` row is one sub-book's part of a fill that no strategy ordered.
    """

    key: GroupKey
    contract: Instrument
    terms: Terms
    books: list[str]
    events: EventColumns
    ts_ns: I64
    seq: I64
    traded_qty: I64
    price: I64
    traits: U8
    foreign: I32
    foreign_amount: I64
    venue_pnl: I64
    assets: list[str]
    event_key: Sequence[str]
    fill_id: Sequence[Text]
    order_id: Sequence[Text]
    decision_id: Sequence[Text]
    exit_reason: Sequence[Text]
    cause: Sequence[Text]
    written_as_floats: bool = False
    without_times: bool = False

    def __len__(self) -> int:
        return len(self.ts_ns)
