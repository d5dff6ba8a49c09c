"""Counters that never fall, over a ledger whose figures may.

A late correction, a retraction or a better source can lower what the ledger says was paid. A
counter that falls reads as a restart, and the whole sum would be counted again. So what is taken
back is counted on its own, and added to the counter: shown = ledger + taken back.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import msgspec

from fillbook.publish.figures import Sample
from fillbook.publish.registry import DERIVED, revised_name

_log = logging.getLogger(__name__)
_NOTHING = Fraction(0)
_DERIVED = frozenset(metric.name for metric in DERIVED)

Series = tuple[str, tuple[str, ...]]


class _Line(msgspec.Struct, frozen=True):
    """A counter as kept: what the ledger said last and what was taken back, as exact fractions."""

    name: str
    labels: tuple[str, ...]
    ledger: str
    revised: str


class _Kept(msgspec.Struct, frozen=True):
    book: str
    counters: list[_Line]


def counters_path(book: Path) -> Path:
    """Return where the counters of a book are kept.

    >>> counters_path(Path("fillbook.db")).name
    'fillbook.db.counters'
    """
    return book.with_name(f"{book.name}.counters")


class Counters:
    """Remembers the last figure of every counter of one book, and what was taken back from it.

    `path` keeps both over a restart; a file that is missing, damaged or of another book starts
    anew, and so does a book that is asked for in place of another.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._book = ""
        self._ledger: dict[Series, Fraction] = {}
        self._revised: dict[Series, Fraction] = {}

    def follow(self, book: str, told: Iterable[Sample]) -> Iterator[Sample]:
        """Yield the samples with their counters made monotone, and what was taken back."""
        if book != self._book:
            self._begin(book)
        now: dict[Series, Fraction] = {}
        for sample in told:
            if sample.name in _DERIVED:
                now[sample.name, sample.labels] = Fraction(sample.value)
            else:
                yield sample
        changed = False
        # A series the book no longer knows has been taken back as a whole.
        for series in sorted(self._ledger.keys() | now.keys()):
            before, value = self._ledger.get(series), now.get(series, _NOTHING)
            revised = self._revised.setdefault(series, _NOTHING)
            if before is None or not _is_same(before, value):
                self._ledger[series], changed = value, True
                if before is not None and before > value:
                    revised = self._revised[series] = revised + before - value
            name, labels = series
            yield Sample(name, labels, value + revised if revised else value)
            yield Sample(revised_name(name), labels, revised)
        if changed:
            self._keep()

    def _begin(self, book: str) -> None:
        self._book = book
        self._ledger, self._revised = {}, {}
        if self._path is None:
            return
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=_Kept)
            lines = {(one.name, one.labels): one for one in kept.counters if one.name in _DERIVED}
            ledger = {series: Fraction(one.ledger) for series, one in lines.items()}
            revised = {series: Fraction(one.revised) for series, one in lines.items()}
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError, ValueError, ZeroDivisionError) as fault:
            _log.warning("the counters begin anew: %s cannot be read: %s", self._path, fault)
            return
        if kept.book == book:
            self._ledger, self._revised = ledger, revised

    def _keep(self) -> None:
        if self._path is None:
            return
        lines = [
            _Line(name, labels, str(value), str(self._revised[name, labels]))
            for (name, labels), value in sorted(self._ledger.items())
        ]
        beside = self._path.with_name(self._path.name + f".{os.getpid()}")
        try:
            beside.write_bytes(msgspec.json.encode(_Kept(self._book, lines)))
            beside.replace(self._path)
        except OSError as fault:
            # Metrics go on without it; only a restart would count anew what was taken back.
            _log.warning("what the counters said cannot be kept: %s", fault)
            with contextlib.suppress(OSError):
                beside.unlink()


def _is_same(one: Fraction, other: Fraction) -> bool:
    """Compare two fractions, which thousands of counters do at every scrape."""
    return one.as_integer_ratio() == other.as_integer_ratio()
