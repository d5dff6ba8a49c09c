"""What was told of each trade, small enough to keep: an id, prints of its figures, its net.

A print is a hash of one aspect of a trade. Prints do not depend on scales, on how events or trades
are numbered, or on upper rungs of the ladder: they change when a figure of the trade does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fillbook.ledger import layout
from fillbook.ledger.amounts import add_arrays, negated
from fillbook.ledger.group import GroupLedger, trade_digests
from fillbook.resolve.event import GroupKey

Rows = NDArray[np.void]
Words = NDArray[np.int64]
Hashes = NDArray[np.uint64]

OPEN, CLOSED, GONE = 0, 1, 2

# What a change is named after; the order of a row's prints.
ASPECTS = ("entry time", "exit time", "size", "prices", "gross", "fees", "funding", "fills")
TOLD_DTYPE = np.dtype(
    [
        ("trade_id", "<u8"),
        ("net", "<i8", (2,)),  # [hi, lo], gross - fees + funding
        ("closed_ns", "<i8"),  # -1 while open
        ("prints", "<u4", (len(ASPECTS),)),
        ("revision", "<i4"),
        ("place", "<i4"),
        ("state", "<i2"),
        ("net_known", "<i2"),
    ]
)

_UNKNOWN = layout.TRADE_UNPRICED | layout.TRADE_FEE_UNKNOWN
_TOLD_FLAGS = _UNKNOWN | layout.TRADE_APPROXIMATE


class Place(NamedTuple):
    """Where trades belong: a group and one of its sub-books."""

    key: GroupKey
    book: str


def tell(groups: Sequence[GroupLedger]) -> tuple[Rows, list[Place]]:
    """Return a `TOLD_DTYPE` row per trade, sorted by id, and the places they refer to."""
    places: list[Place] = []
    told = [np.zeros(0, TOLD_DTYPE)]
    for group in groups:
        rows = _told(group)
        rows["place"] += len(places)
        places += [Place(group.columns.key, book) for book in group.columns.books]
        told.append(rows)
    together = np.concatenate(told)
    return together[np.argsort(together["trade_id"], kind="stable")], places


def _told(group: GroupLedger) -> Rows:
    columns, trades = group.columns, group.books.trades
    rows = np.zeros(len(trades), TOLD_DTYPE)
    live = trades["close_event"] < 0
    foreign = _foreign(group)
    rows["trade_id"] = np.frombuffer(b"".join(trade_digests(group)), ">u8")
    fees, funding = (np.ascontiguousarray(trades[name]) for name in ("fees", "funding"))
    gross = np.ascontiguousarray(trades["realised"][:, 3])
    rows["net"] = add_arrays(add_arrays(gross, negated(fees)), funding)
    opened_ns = columns.ts_ns[trades["open_event"]]
    closed_ns = np.where(live, -1, columns.ts_ns[np.where(live, 0, trades["close_event"])])
    rows["closed_ns"] = closed_ns
    rows["state"] = np.where(live, OPEN, CLOSED)
    rows["place"] = trades["book"]
    rows["net_known"] = ((trades["flags"] & _UNKNOWN) == 0) & (foreign == 0)
    scale = columns.terms.qty_scale
    values = [trades[name][:, word] for name in ("entry_value", "exit_value") for word in (0, 1)]
    aspects: tuple[Sequence[NDArray[np.int64]], ...] = (
        (opened_ns,),
        (closed_ns,),
        (trades["side"], *plain(trades["max_qty"], scale)),
        values,
        (gross[:, 0], gross[:, 1]),
        (fees[:, 0], fees[:, 1], foreign.view(np.int64)),
        (funding[:, 0], funding[:, 1]),
        (
            trades["n_fills"],
            trades["flags"] & _TOLD_FLAGS,
            *plain(trades["opened_unpriced_qty"], scale),
        ),
    )
    for place, words in enumerate(aspects):
        rows["prints"][:, place] = mixed(words) >> np.uint64(32)
    return rows


def _foreign(group: GroupLedger) -> Hashes:
    """Hash what each trade paid or received in other assets; 0 where nothing."""
    columns, flows = group.columns, group.books.outputs
    sums = np.zeros(len(group.books.trades) + 1, np.uint64)
    rows = np.flatnonzero(columns.foreign >= 0)
    if len(rows):
        digests = [
            hashlib.blake2b(name.encode(), digest_size=8).digest() for name in columns.assets
        ]
        assets = np.frombuffer(b"".join(digests), "<i8")
        amount, kind = columns.foreign_amount[rows], columns.events.kind[rows]
        paid = mixed((assets[columns.foreign[rows]], amount[:, 0], amount[:, 1], kind))
        for named in (flows.trade_close, flows.trade_open):
            np.add.at(sums, named[rows], paid)
    # Rows that name no trade, -1, fall on the last place.
    return sums[:-1]


def plain(qty: Words, scale: int) -> tuple[Words, Words]:
    """Return quantities without trailing zeros, and their decimals: the same at any scale.

    >>> [part.tolist() for part in plain(np.array([1500, 25, 0]), 3)]
    [[15, 25, 0], [1, 3, 0]]
    """
    whole, decimals = qty.astype(np.int64), np.full(len(qty), scale, np.int64)
    for _ in range(scale):
        even = (whole % 10 == 0) & (decimals > 0)
        if not even.any():
            break
        whole[even] //= 10
        decimals[even] -= 1
    return whole, decimals


def mixed(columns: Sequence[NDArray[np.generic]]) -> Hashes:
    """Hash rows of integers: multiply and shift as in splitmix64 (Steele, Lea, Flood 2014).

    >>> first, second = mixed([np.array([1, 1]), np.array([2, 3])]).tolist()
    >>> first == second
    False
    """
    state = np.full(len(columns[0]), 0x9E3779B97F4A7C15, np.uint64)
    for column in columns:
        state ^= column.astype(np.int64).view(np.uint64)
        state ^= state >> np.uint64(30)
        state *= np.uint64(0xBF58476D1CE4E5B9)
        state ^= state >> np.uint64(27)
        state *= np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return state
