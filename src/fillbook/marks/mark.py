"""One mark, the row it is stored as, and the file where marks lie."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Literal, get_args

import msgspec

from fillbook.ground.clock import iso
from fillbook.ground.errors import InputError
from fillbook.ground.exact import INT64_MAX, decimals_of, divide_half_even, to_scaled

What = Literal["mark", "mid", "last", "rate"]

_RANK = {what: rank for rank, what in enumerate(get_args(What))}


class Mark(msgspec.Struct, frozen=True):
    """What one unit of an instrument was worth at an instant, and who said so.

    A conversion rate is the mark of an instrument such as "BNB/USDT" with what="rate".
    """

    venue: str
    instrument: str
    ts_ns: int
    px: Decimal
    what: What = "mark"
    source: str = ""


def marks_path(book: str | Path) -> Path:
    """Return where the marks of a book lie.

    >>> marks_path("fillbook.db").name
    'fillbook.db.marks'
    """
    path = Path(book)
    return path.with_name(f"{path.name}.marks")


def row_of(instrument: int, mark: Mark) -> tuple[int, int, int, str, int, int]:
    """Return the row of a mark; InputError when its price does not fit into 64 bits."""
    scale = decimals_of(mark.px)
    px = to_scaled(mark.px, scale)
    while abs(px) > INT64_MAX and scale:
        px, scale = divide_half_even(px, 10), scale - 1
    if abs(px) > INT64_MAX:
        raise InputError(
            f"a mark of {mark.px} does not fit into 64 bits",
            f"{mark.instrument} on {mark.venue} at {iso(mark.ts_ns)}",
            "check the price in the source",
        )
    return (instrument, mark.ts_ns, _RANK[mark.what], mark.source, px, scale)
