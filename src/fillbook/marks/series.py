"""Prices over time for valuation: a SQLite file of their own, prunable and unchained."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

What = Literal["mark", "mid", "last", "rate"]


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


class Series(msgspec.Struct, frozen=True):
    """Marks of one instrument in time order: px[i] / 10**scale was worth at ts_ns[i]."""

    ts_ns: NDArray[np.int64]
    px: NDArray[np.int64]
    scale: int


class MarkStore:
    """The marks beside a book; made on first write. Use as a context manager."""

    def __init__(self, path: str | Path, *, readonly: bool = False) -> None:
        raise NotImplementedError

    def __enter__(self) -> MarkStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; closing twice is harmless."""
        raise NotImplementedError

    def put(self, marks: Iterable[Mark]) -> int:
        """Remember marks; the same mark again changes nothing. Returns how many were new."""
        raise NotImplementedError

    def series(
        self,
        venue: str,
        instrument: str,
        since_ns: int | None = None,
        until_ns: int | None = None,
    ) -> Series:
        """Return the marks in [since, until) in time order, one per instant."""
        raise NotImplementedError

    def instruments(self) -> list[tuple[str, str]]:
        """List (venue, instrument) of everything that has marks."""
        raise NotImplementedError

    def version(self) -> str:
        """Return a text that changes exactly when the content changes."""
        raise NotImplementedError

    def prune(self, before_ns: int) -> int:
        """Forget marks older than an instant; returns how many went."""
        raise NotImplementedError
