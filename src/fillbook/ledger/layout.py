"""The rows the kernel reads and writes: kinds, flags, and the meaning of every word.

Everything is 64-bit words, so that a row is one run of memory for the kernel and, seen through
`STATE_DTYPE`, `TRADE_DTYPE`, `LOT_DTYPE` or `REMOVED_DTYPE`, a named record for everyone else.
Money is a pair `[hi, lo]`: the 128-bit integer `hi * 2**64 + (lo as unsigned)` on the 1e-18 grid
(see `amounts.py`). Rungs stand in the order decision, arrival, mid, fill.

Signs. `cost` and every value are quantity times price, so they carry the sign of the quantity;
`realised` is positive for a gain, `fees` for a cost, `funding` for money received. In a trade,
quantities are magnitudes and `entry_value`, `exit_value` carry the sign of the price only:
value / qty is the average price at the fill rung, and
`realised[3] == side * (exit_value - entry_value)` for a trade that was priced throughout, began
without a residue and left none.
"""

from __future__ import annotations

import numpy as np

# kinds of events
FILL = 0  # an execution: moves quantity at a price
FUNDING = 1  # money to or from one book
ADJUST = 2  # quantity that came or went without a price
FEE = 3  # a charge without quantity
FUNDING_SHARE = 4  # money for the whole group, split over its books by signed quantity

# lot methods
AVERAGE = 0
FIFO = 1
LIFO = 2

# flags of an event going in
DECISION_KNOWN = 1  # rung 0 is a decision price, not a stand-in for one
FEE_UNKNOWN = 2  # the source names no fee
OPENING = 4  # an ADJUST that states where the history begins, not a disagreement

# flags of an event coming out
REALISED_UNKNOWN = 1  # part of what it closed has no known cost
SIGNAL_UNPRICED = 2  # its signal counts as signal_unpriced
OUTSIDE_TRADE = 4  # it moved a residue below dust (or money) while no trade was open

# flags of a trade
TRADE_UNPRICED = 1  # it held quantity of unknown cost: its net is unknown
TRADE_APPROXIMATE = 2  # an adjustment touched it
TRADE_FEE_UNKNOWN = 4  # a fill of it names no fee
TRADE_SIGNAL_UNPRICED = 8  # a fill of it has no decision price

# what stops a fold
FOLDED = 0
VALUE_OVERFLOW = 1  # quantity x price x factor leaves 128 bits
QTY_OVERFLOW = 2  # a position, or a total of quantity, leaves 64 bits
MONEY_OVERFLOW = 3  # a sum of money leaves 128 bits
SHARE_BROKEN = 4  # a FUNDING_SHARE block does not list the books in order

_TRADE_TOTALS = [
    ("side", "<i8"),  # +1 long, -1 short
    ("flags", "<i8"),
    ("n_fills", "<i8"),  # fills that touched it; a flip touches two trades
    ("opened_qty", "<i8"),  # opened at a known price, a carried residue included
    ("closed_qty", "<i8"),  # closed by fills; what an adjustment removed is not in it
    ("max_qty", "<i8"),  # the largest position held
    ("opened_unpriced_qty", "<i8"),  # quantity that entered it at unknown cost
    ("entry_value", "<i8", (2,)),
    ("exit_value", "<i8", (2,)),
    ("realised", "<i8", (4, 2)),
    ("signal_unpriced", "<i8", (2,)),  # part of realised[0] after the first unknown decision
    ("fees", "<i8", (2,)),
    ("funding", "<i8", (2,)),
]
# What the kernel keeps for one book. Priced and unpriced quantity never differ in sign; the
# position is their sum. `cost` is that of the priced quantity; under FIFO and LIFO the sum of the
# lots. From `trade` on: the open trade; `trade` is -1 and the rest zero where none is open.
STATE_DTYPE = np.dtype(
    [
        ("priced_qty", "<i8"),
        ("unpriced_qty", "<i8"),
        ("cost", "<i8", (4, 2)),
        ("n_lots", "<i8"),
        ("lot_first", "<i8"),  # place in the kernel's pool; -1 in a stored state
        ("lot_last", "<i8"),
        ("trade", "<i8"),
        ("open_event", "<i8"),
        *_TRADE_TOTALS,
    ]
)
# One trade. `number` counts the group's trades by opening; `close_event` is -1 while it is open.
TRADE_DTYPE = np.dtype(
    [
        ("number", "<i8"),
        ("book", "<i8"),
        ("open_event", "<i8"),
        ("close_event", "<i8"),
        *_TRADE_TOTALS,
    ]
)
# One open lot of priced quantity; `link` is the lot consumed after it, in the kernel's pool.
LOT_DTYPE = np.dtype([("qty", "<i8"), ("link", "<i8"), ("cost", "<i8", (4, 2))])
# Cost that an ADJUST took out of a book without proceeds, per rung.
REMOVED_DTYPE = np.dtype([("event", "<i8"), ("cost", "<i8", (4, 2))])


def _word(dtype: np.dtype[np.void], field: str) -> int:
    """Return where a field starts, in 64-bit words."""
    fields = dtype.fields
    assert fields is not None
    return int(fields[field][1]) // 8


STATE_WORDS = STATE_DTYPE.itemsize // 8
TRADE_WORDS = TRADE_DTYPE.itemsize // 8
LOT_WORDS = LOT_DTYPE.itemsize // 8

# words of a state row
S_TRADE = _word(STATE_DTYPE, "trade")
S_OPENED_AT = _word(STATE_DTYPE, "open_event")
S_SIDE = _word(STATE_DTYPE, "side")
S_FLAGS = _word(STATE_DTYPE, "flags")

# words of a book's row inside the kernel: the state's first fields, and the open trade's row
B_PRICED = _word(STATE_DTYPE, "priced_qty")
B_UNPRICED = _word(STATE_DTYPE, "unpriced_qty")
B_COST = _word(STATE_DTYPE, "cost")
B_LOTS = _word(STATE_DTYPE, "n_lots")
B_FIRST = _word(STATE_DTYPE, "lot_first")
B_LAST = _word(STATE_DTYPE, "lot_last")
B_TRADE = _word(STATE_DTYPE, "trade")
B_ROW = B_TRADE + 1
BOOK_WORDS = 16  # two cache lines

# words of a trade
T_NUMBER = _word(TRADE_DTYPE, "number")
T_BOOK = _word(TRADE_DTYPE, "book")
T_OPENED_AT = _word(TRADE_DTYPE, "open_event")
T_CLOSED_AT = _word(TRADE_DTYPE, "close_event")
T_SIDE = _word(TRADE_DTYPE, "side")
T_FLAGS = _word(TRADE_DTYPE, "flags")
T_FILLS = _word(TRADE_DTYPE, "n_fills")
T_OPENED = _word(TRADE_DTYPE, "opened_qty")
T_CLOSED = _word(TRADE_DTYPE, "closed_qty")
T_MAX = _word(TRADE_DTYPE, "max_qty")
T_OPENED_UNPRICED = _word(TRADE_DTYPE, "opened_unpriced_qty")
T_ENTRY = _word(TRADE_DTYPE, "entry_value")
T_EXIT = _word(TRADE_DTYPE, "exit_value")
T_REALISED = _word(TRADE_DTYPE, "realised")
T_SIGNAL = _word(TRADE_DTYPE, "signal_unpriced")
T_FEES = _word(TRADE_DTYPE, "fees")
T_FUNDING = _word(TRADE_DTYPE, "funding")

# words of a lot
L_QTY = _word(LOT_DTYPE, "qty")
L_LINK = _word(LOT_DTYPE, "link")
L_COST = _word(LOT_DTYPE, "cost")

# words of the head: what belongs to the whole group
H_TRADES = 0  # trades numbered so far
H_SHARE_NEXT = 1  # the book a running FUNDING_SHARE block must name next; 0 between blocks
H_SHARE_QTY = 2  # sum of signed positions the block is split by
H_SHARE_DONE = 3  # the part of that sum already passed
H_SHARE_GIVEN = 4  # money already given, two words
H_LOT_FREE = 6  # first recycled lot of the pool, -1 none
H_LOT_USED = 7  # lots of the pool ever taken
H_REMOVED = 8  # REMOVED rows written
