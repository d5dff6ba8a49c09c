"""Prices over time for valuation: a SQLite file of their own, prunable and unchained.

Marks are evidence of worth, not of money moved: they can be pruned, deleted and imported again
without touching the book. All marks of an instant are kept; a series shows one of them, chosen
by a rule that does not depend on the order of import (mark before mid before last before rate,
then by source, then by a fixed order of the stored numbers).
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, get_args
from urllib.parse import quote

import msgspec
import numpy as np
from numpy.typing import NDArray

from fillbook.ground.clock import iso
from fillbook.ground.errors import BookDamagedError, BookReadOnlyError, InputError
from fillbook.ground.exact import INT64_MAX, decimals_of, divide_half_even, to_scaled
from fillbook.journal.sqlite import FAULTS, translate

What = Literal["mark", "mid", "last", "rate"]

_APPLICATION_ID = 0x46424D31  # "FBM1"
_RANK = {what: rank for rank, what in enumerate(get_args(What))}
_REMAKE = "delete the file and import the marks again; the book itself is not touched"
_WAIT_MS = 30_000
_CHUNK_MARKS = 10_000
_CANNOT_SHARE = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
_SCHEMA = (
    "CREATE TABLE store (id TEXT NOT NULL, version INTEGER NOT NULL) STRICT",
    "CREATE TABLE instrument (instrument INTEGER PRIMARY KEY, venue TEXT NOT NULL,"
    " name TEXT NOT NULL, UNIQUE (venue, name)) STRICT",
    "CREATE TABLE mark (instrument INTEGER NOT NULL, ts_ns INTEGER NOT NULL,"
    " what INTEGER NOT NULL, source TEXT NOT NULL, px INTEGER NOT NULL, scale INTEGER NOT NULL,"
    " PRIMARY KEY (instrument, ts_ns, what, source, px, scale)) STRICT, WITHOUT ROWID",
)


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
    """Marks of one instrument in time order: px[i] / 10**scale was worth at ts_ns[i].

    Both arrays have shape (n,); instants are strictly increasing.
    """

    ts_ns: NDArray[np.int64]
    px: NDArray[np.int64]
    scale: int


def marks_path(book: str | Path) -> Path:
    """Return where the marks of a book lie.

    >>> marks_path("fillbook.db").name
    'fillbook.db.marks'
    """
    path = Path(book)
    return path.with_name(f"{path.name}.marks")


class MarkStore:
    """The marks beside a book; a store that does not exist yet is empty, and made by a write.

    Use it as a context manager, from one thread at a time.
    """

    def __init__(self, path: str | Path, *, readonly: bool = False) -> None:
        self.path = Path(path).resolve()
        self._readonly = readonly
        self._connection: sqlite3.Connection | None = None

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
        if self._connection is not None:
            with self._plain_faults():
                self._connection.close()
            self._connection = None

    def put(self, marks: Iterable[Mark]) -> int:
        """Remember marks, all or none; the same mark again changes nothing.

        Returns how many were new. A price of more digits than 64 bits hold is rounded half-even
        at its end; InputError when even its whole part does not fit.
        """
        new = 0
        with self._transaction() as connection:
            for chunk in _chunks(marks, _CHUNK_MARKS):
                numbers = {(m.venue, m.instrument) for m in chunk}
                known = {name: _number(connection, *name) for name in sorted(numbers)}
                before = connection.total_changes
                connection.executemany(
                    "INSERT OR IGNORE INTO mark VALUES (?, ?, ?, ?, ?, ?)",
                    [_row(known[mark.venue, mark.instrument], mark) for mark in chunk],
                )
                new += connection.total_changes - before
            if new:
                connection.execute("UPDATE store SET version = version + 1")
        return new

    def prune(self, before_ns: int) -> int:
        """Forget marks older than an instant; returns how many went."""
        if not self.path.exists():
            return 0
        with self._transaction() as connection:
            gone = connection.execute("DELETE FROM mark WHERE ts_ns < ?", (before_ns,)).rowcount
            if gone:
                connection.execute("UPDATE store SET version = version + 1")
        return gone

    def series(
        self,
        venue: str,
        instrument: str,
        since_ns: int | None = None,
        until_ns: int | None = None,
    ) -> Series:
        """Return the marks in [since, until) in time order, one per instant."""
        since = -INT64_MAX if since_ns is None else since_ns
        until = INT64_MAX if until_ns is None else until_ns
        found = self._query(
            "SELECT ts_ns, px, scale FROM mark WHERE instrument ="
            " (SELECT instrument FROM instrument WHERE venue = ? AND name = ?)"
            " AND ts_ns >= ? AND ts_ns < ? ORDER BY ts_ns, what, source, px, scale",
            (venue, instrument, since, until),
        )
        columns = np.array(found, dtype=np.int64).reshape(-1, 3)
        times = columns[:, 0]
        first = np.ones(len(times), dtype=np.bool_)
        first[1:] = times[1:] != times[:-1]
        columns = columns[first]
        px, scale = _on_one_scale(columns[:, 1], columns[:, 2])
        return Series(np.ascontiguousarray(columns[:, 0]), px, scale)

    def copy_to(self, path: str | Path) -> None:
        """Copy one consistent state into a new file; nothing where there are no marks yet."""
        target = Path(path)
        self._query("SELECT 1")
        if self._connection is None:
            return
        with self._plain_faults():
            other = sqlite3.connect(target, isolation_level=None)
            try:
                self._connection.backup(other)
            finally:
                other.close()

    def instruments(self) -> list[tuple[str, str]]:
        """List (venue, instrument) of everything that has marks, sorted."""
        return self._query(
            "SELECT venue, name FROM instrument i WHERE EXISTS"
            " (SELECT 1 FROM mark WHERE mark.instrument = i.instrument) ORDER BY venue, name"
        )

    def version(self) -> str:
        """Return a text that changes whenever the content changes; "" while there is none."""
        found = self._query("SELECT id, version FROM store")
        return f"{found[0][0]}-{found[0][1]}" if found else ""

    # -- the file --------------------------------------------------------------------------

    def _query(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        if self._connection is None:
            if not self.path.exists():
                return []
            self._connection = self._connect("mode=ro" if self._readonly else "mode=rw")
        with self._plain_faults():
            return self._connection.execute(sql, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self._readonly:
            raise BookReadOnlyError(
                "the marks were opened for reading only", str(self.path), "open them for writing"
            )
        if self._connection is None:
            self._connection = self._connect("mode=rwc")
        connection = self._connection
        with self._plain_faults():
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:  # an interrupt too must leave no half of the marks
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _connect(self, mode: str) -> sqlite3.Connection:
        with self._plain_faults():
            connection = sqlite3.connect(
                f"file:{quote(str(self.path))}?{mode}",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                connection.execute(f"PRAGMA busy_timeout={_WAIT_MS}")
                (application,) = connection.execute("PRAGMA application_id").fetchone()
                if application == 0 and mode == "mode=rwc" and _is_empty(connection):
                    _lay_out(connection)
                elif application != _APPLICATION_ID:
                    raise BookDamagedError(
                        "this is not a file of marks", str(self.path), "check the path"
                    )
            except sqlite3.OperationalError as fault:
                connection.close()
                if mode == "mode=ro" and fault.sqlite_errorcode & 0xFF in _CANNOT_SHARE:
                    return self._connect("immutable=1")
                raise
            except BaseException:  # whatever it is, no connection may be left behind
                connection.close()
                raise
            return connection

    @contextmanager
    def _plain_faults(self) -> Iterator[None]:
        try:
            yield
        except FAULTS as fault:
            raise translate(fault, self.path, "the marks file", _REMAKE) from fault


def _is_empty(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is None


def _lay_out(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("BEGIN IMMEDIATE")
    if _is_empty(connection):  # no other process was faster
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute("INSERT INTO store VALUES (?, 0)", (secrets.token_hex(8),))
        connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
    connection.execute("COMMIT")


def _chunks(marks: Iterable[Mark], size: int) -> Iterator[list[Mark]]:
    source = iter(marks)
    while chunk := list(islice(source, size)):
        yield chunk


def _number(connection: sqlite3.Connection, venue: str, name: str) -> int:
    connection.execute(
        "INSERT OR IGNORE INTO instrument (venue, name) VALUES (?, ?)", (venue, name)
    )
    found = connection.execute(
        "SELECT instrument FROM instrument WHERE venue = ? AND name = ?", (venue, name)
    )
    return int(found.fetchone()[0])


def _row(instrument: int, mark: Mark) -> tuple[int, int, int, str, int, int]:
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


def _on_one_scale(
    px: NDArray[np.int64], scales: NDArray[np.int64]
) -> tuple[NDArray[np.int64], int]:
    """Bring prices to the finest scale that all of them have room for."""
    if not len(px):
        return px.copy(), 0
    room = int(scales.max())
    present = [int(scale) for scale in np.unique(scales)]
    for scale in present:
        most = int(np.abs(px[scales == scale]).max())
        while room > scale and most * 10 ** (room - scale) > INT64_MAX:
            room -= 1
    out = np.empty_like(px)
    for scale in present:
        at = scales == scale
        if scale <= room:
            out[at] = px[at] * np.int64(10 ** (room - scale))
        else:
            out[at] = [divide_half_even(int(p), 10 ** (scale - room)) for p in px[at]]
    return out, room
