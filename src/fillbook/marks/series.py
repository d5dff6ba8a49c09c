"""Prices over time for valuation: a SQLite file of their own, prunable and unchained.

Marks are evidence of worth, not of money moved: they can be pruned, deleted and imported again
without touching the book. All marks of an instant are kept; a series shows one of them, chosen
by a rule that does not depend on the order of import (mark before mid before last before rate,
then by source, then by a fixed order of the stored numbers).
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import msgspec

from fillbook.ground.errors import BookDamagedError, BookReadOnlyError
from fillbook.ground.exact import INT64_MAX
from fillbook.journal.sqlite import FAULTS, translate
from fillbook.marks.columns import NOTHING, Kept, Series, first_of_instants, series_of, spliced
from fillbook.marks.mark import Mark, What, marks_path, row_of

__all__ = ["Mark", "MarkStore", "Series", "What", "marks_path"]

_APPLICATION_ID = 0x46424D31  # "FBM1"
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
# What the newest versions changed: marks of an instrument from an instant on, or, for no
# instrument (0), all marks before it. A reader that knows an older version reads only that.
_CHANGES = (
    "CREATE TABLE IF NOT EXISTS change (version INTEGER NOT NULL, instrument INTEGER NOT NULL,"
    " at_ns INTEGER NOT NULL, PRIMARY KEY (version, instrument)) STRICT, WITHOUT ROWID"
)
_CHANGED = (
    "SELECT count(DISTINCT version), max(at_ns) FILTER (WHERE instrument = 0), min(at_ns) FILTER"
    " (WHERE instrument = (SELECT instrument FROM instrument WHERE venue = ? AND name = ?))"
    " FROM change WHERE version > ?"
)
_ANY = 0
_MOST_VERSIONS = 2_000
_ROWS = (
    "SELECT ts_ns, px, scale FROM mark WHERE instrument ="
    " (SELECT instrument FROM instrument WHERE venue = ? AND name = ?)"
    " AND ts_ns >= ? AND ts_ns < ? ORDER BY ts_ns, what, source, px, scale"
)


class MarkStore:
    """The marks beside a book; a store that does not exist yet is empty, and made by a write.

    Use it as a context manager, from one thread at a time.
    """

    def __init__(self, path: str | Path, *, readonly: bool = False) -> None:
        self.path = Path(path).resolve()
        self._readonly = readonly
        self._connection: sqlite3.Connection | None = None
        self._kept: dict[tuple[str, str], Kept] = {}

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
        firsts: dict[int, int] = {}
        with self._transaction() as connection:
            for chunk in _chunks(marks, _CHUNK_MARKS):
                numbers = {(m.venue, m.instrument) for m in chunk}
                known = {name: _number(connection, *name) for name in sorted(numbers)}
                before = connection.total_changes
                rows = [row_of(known[mark.venue, mark.instrument], mark) for mark in chunk]
                connection.executemany("INSERT OR IGNORE INTO mark VALUES (?, ?, ?, ?, ?, ?)", rows)
                new += connection.total_changes - before
                for number, ts_ns, *_ in rows:
                    firsts[number] = min(ts_ns, firsts.get(number, ts_ns))
            if new:
                _change(connection, firsts)
        return new

    def prune(self, before_ns: int) -> int:
        """Forget marks older than an instant; returns how many went."""
        if not self.path.exists():
            return 0
        with self._transaction() as connection:
            gone = connection.execute("DELETE FROM mark WHERE ts_ns < ?", (before_ns,)).rowcount
            if gone:
                _change(connection, {_ANY: before_ns})
        return gone

    def series(
        self,
        venue: str,
        instrument: str,
        since_ns: int | None = None,
        until_ns: int | None = None,
    ) -> Series:
        """Return the marks in [since, until) in time order, one per instant.

        A whole series that was read before is not read again: what has changed since is.
        """
        if since_ns is None and until_ns is None:
            return self._whole(venue, instrument)
        since = -INT64_MAX if since_ns is None else since_ns
        until = INT64_MAX if until_ns is None else until_ns
        return series_of(first_of_instants(self._query(_ROWS, (venue, instrument, since, until))))

    def _whole(self, venue: str, instrument: str) -> Series:
        place = venue, instrument
        known = self._kept.get(place)
        with self._moment():
            found = self._query("SELECT id, version FROM store")
            store, version = found[0] if found else ("", 0)
            if known is not None and (known.store, known.version) == (store, version):
                return known.series
            changed = None if known is None else self._changed(known, place, store, version)
            if known is None or changed is None:
                known, changed = NOTHING, (-INT64_MAX, -INT64_MAX)
            pruned_ns, from_ns = changed
            newer = self._query(_ROWS, (*place, from_ns, INT64_MAX))
        if newer or from_ns < INT64_MAX or pruned_ns > -INT64_MAX:
            rows = spliced(known.rows, pruned_ns, from_ns, first_of_instants(newer))
            known = Kept(store, version, rows, series_of(rows))
        else:
            known = msgspec.structs.replace(known, version=version)
        self._kept[place] = known
        return known.series

    def _changed(
        self, known: Kept, place: tuple[str, str], store: str, version: int
    ) -> tuple[int, int] | None:
        """Return (pruned before, changed from) since a version; None where nobody knows it."""
        if known.store != store or not self._query(
            "SELECT 1 FROM sqlite_schema WHERE name = 'change'"
        ):
            return None
        ((told, pruned_ns, from_ns),) = self._query(_CHANGED, (*place, known.version))
        if told != version - known.version:
            return None
        return (
            -INT64_MAX if pruned_ns is None else pruned_ns,
            INT64_MAX if from_ns is None else from_ns,
        )

    def newest_ns(self) -> int | None:
        """Return the time of the newest mark of all, None where there are none."""
        found = self._query(
            "SELECT max((SELECT max(ts_ns) FROM mark WHERE mark.instrument = i.instrument))"
            " FROM instrument i"
        )
        return found[0][0] if found else None

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
        if self._connection is None:
            return []
        with self._plain_faults():
            return self._connection.execute(sql, values).fetchall()

    @contextmanager
    def _moment(self) -> Iterator[None]:
        """Let several questions be answered from one state of the store."""
        self._query("SELECT 1")
        if self._connection is None:
            yield
            return
        self._query("BEGIN")
        try:
            yield
        finally:
            if self._connection.in_transaction:
                self._query("COMMIT")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self._readonly:
            raise BookReadOnlyError(
                "the marks were opened for reading only", str(self.path), "open them for writing"
            )
        if self._connection is None:
            self._connection = self._connect("mode=rwc")
        connection = self._connection
        assert connection is not None, "a store that is missing was made"
        with self._plain_faults():
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:  # an interrupt too must leave no half of the marks
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _connect(self, mode: str) -> sqlite3.Connection | None:
        """Open the file; None where it is empty: whoever began to make it did not get far."""
        with self._plain_faults():
            connection = sqlite3.connect(
                f"file:{quote(str(self.path))}?{mode}",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                connection.execute(f"PRAGMA busy_timeout={_WAIT_MS}")
                # Marks of the last moments may go with the power; no wait for the disk each poll.
                connection.execute("PRAGMA synchronous=NORMAL")
                (application,) = connection.execute("PRAGMA application_id").fetchone()
                if application == 0 and _is_empty(connection):
                    if mode != "mode=rwc":
                        connection.close()
                        return None
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


def _change(connection: sqlite3.Connection, firsts: Mapping[int, int]) -> None:
    """Begin a new version, and note what it changed; the oldest notes are forgotten."""
    connection.execute(_CHANGES)
    found = connection.execute("UPDATE store SET version = version + 1 RETURNING version")
    ((version,),) = found.fetchall()
    connection.executemany(
        "INSERT INTO change VALUES (?, ?, ?)",
        [(version, number, at_ns) for number, at_ns in firsts.items()],
    )
    connection.execute("DELETE FROM change WHERE version <= ?", (version - _MOST_VERSIONS,))


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
