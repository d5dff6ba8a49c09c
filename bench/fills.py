"""Seeded fills of one group as columns: open, scale in 35 %, reduce 27 %, go flat 35 %, flip 3 %.

Prices are ticks of 0.0001, quantities lots of 0.001, the four rungs all differ.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from fillbook.ledger import layout
from fillbook.ledger.fold import EventColumns

PX_SCALE = 4
QTY_SCALE = 3
FACTOR = 10 ** (18 - PX_SCALE - QTY_SCALE)


def group_fills(count: int, n_books: int, seed: int = 7) -> EventColumns:
    """Return `count` fills spread at random over the books, fees of 5 basis points."""
    events = EventColumns.allocate(count)
    _fill(n_books, seed, events.book, events.qty, events.px, events.fee)
    events.flags[:] = layout.DECISION_KNOWN
    return events


@njit(cache=True)
def _fill(n_books, seed, book, qty, px, fee):  # type: ignore[no-untyped-def]
    np.random.seed(seed)
    held = np.zeros(n_books, np.int64)
    ticks = 3_000_000
    for i in range(len(qty)):
        at = np.random.randint(0, n_books)
        size, position = np.random.randint(1, 5_000), held[at]
        side = 1 if position > 0 else -1
        dice = np.random.random()
        if position == 0:
            lots = size if np.random.random() < 0.5 else -size
        elif dice < 0.35:
            lots = side * size
        elif dice < 0.62:
            lots = -side * max(1, np.random.randint(0, abs(position)))
        elif dice < 0.97:
            lots = -position
        else:
            lots = -position - side * size
        held[at] += lots
        ticks = max(1_000_000, ticks + np.random.randint(-300, 301))
        book[i] = at
        qty[i] = lots
        px[i, 0] = ticks
        px[i, 1] = ticks + np.random.randint(-50, 51)
        px[i, 2] = px[i, 1] + np.random.randint(-50, 51)
        px[i, 3] = px[i, 2] + (1 if lots > 0 else -1) * np.random.randint(1, 100)
        # 5 basis points of quantity * price, in 1e-18: ticks * lots * 1e11 * 0.0005
        fee[i, 1] = abs(lots) * px[i, 3] * 50_000_000
