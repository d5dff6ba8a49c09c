"""Columns that say nothing, shared: most columns of most groups do.

A fill that only opens has no result, no funding, no money in other assets. In a long group such a
column costs a few bytes a row; in ten thousand groups of one row each it costs an array apiece.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from typing import Any

import numpy as np

from fillbook.ledger.bundles import EventColumns, Outputs
from fillbook.ledger.columns import GroupColumns
from fillbook.ledger.running import SHORT_ROWS

# Nothing is 0, or -1 where numbers name something.
_ZERO, _NONE = b"\0", b"\xff"

_OF_EVENTS = tuple(f.name for f in fields(EventColumns))
_OF_OUTPUTS = tuple(f.name for f in fields(Outputs) if f.name != "trade_rows")
_OF_COLUMNS = (
    *("traded_qty", "price", "traits", "foreign", "foreign_amount", "venue_pnl"),
    *("fill_id", "order_id", "decision_id", "exit_reason", "cause"),
)


def shared(column: Any) -> Any:
    """Return a short column that says nothing as the read-only one that all like it share.

    >>> shared(np.zeros(2)) is shared(np.zeros(2)), shared(np.arange(2)).tolist()
    (True, [0, 1])
    """
    if len(column) > SHORT_ROWS:
        return column
    if not isinstance(column, np.ndarray):
        return _silent(len(column)) if all(text is None for text in column) else column
    raw = column.tobytes()
    for word in (_ZERO, _NONE):
        if raw == word * len(raw):
            return _blank(column.dtype, column.shape, word)
    return column


@cache
def _blank(dtype: np.dtype[Any], shape: tuple[int, ...], word: bytes) -> Any:
    size = dtype.itemsize * int(np.prod(shape))
    return np.frombuffer(word * size, dtype).reshape(shape)


@cache
def _silent(count: int) -> Sequence[None]:
    return (None,) * count


def share_columns(columns: GroupColumns) -> None:
    """Let go of the columns that say nothing; nobody may write to the columns afterwards."""
    events = columns.events
    columns.events = EventColumns(*(shared(getattr(events, name)) for name in _OF_EVENTS))
    _share(columns, _OF_COLUMNS)


def share_outputs(outputs: Outputs) -> None:
    """Let go of the columns that say nothing; nobody may fold into the outputs afterwards."""
    _share(outputs, _OF_OUTPUTS)


def _share(bundle: GroupColumns | Outputs, names: Sequence[str]) -> None:
    for name in names:
        column = getattr(bundle, name)
        if (blank := shared(column)) is not column:
            setattr(bundle, name, blank)
