"""The only door to SQLite for the journal: opening, transactions, and faults in plain words.

Nothing above this module sees an sqlite3 object or an sqlite3 error.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from fillbook.ground.errors import (
    BookBusyError,
    BookDamagedError,
    BookError,
    BookMissingError,
    BookReadOnlyError,
    InputError,
)
from fillbook.journal.anchor import sync_directory
from fillbook.journal.schema import APPLICATION_ID, FORMAT, STATEMENTS

RESTORE = "run `fillbook verify`; restore a backup, or import the sources into a new book"
_CACHE_KIB = 65_536
# Folding the WAL back four times less often than by default makes long imports a tenth faster.
_CHECKPOINT_PAGES = 4000


FAULTS = (sqlite3.Error, UnicodeDecodeError)
"""What SQLite's module raises; a damaged schema makes messages that are not even text."""


def translate(
    fault: sqlite3.Error | UnicodeDecodeError,
    path: Path,
    what: str = "the book",
    restore: str = RESTORE,
) -> BookError:
    """Turn an SQLite fault into what it means for the file called `what`."""
    where, code = str(path), getattr(fault, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return BookBusyError(
            f"another process is writing to {what}", where, "wait for it to end, then try again"
        )
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return BookReadOnlyError(
            f"{what} cannot be written", where, "make the file and its folder writable"
        )
    if primary == sqlite3.SQLITE_CANTOPEN:
        return BookError(
            f"{what} cannot be opened", where, "check the path and the rights on its folder"
        )
    if primary in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM):
        return BookError(
            f"the disk failed {what}: {fault}",
            where,
            "nothing of this write was kept; free space or replace the disk, then run it again",
        )
    if primary == sqlite3.SQLITE_INTERRUPT or isinstance(fault, sqlite3.ProgrammingError):
        return BookError(f"{what} was used wrongly: {fault}", where, "open it again")
    return BookDamagedError(f"{what} is damaged: {fault}", where, restore)


def damaged(file: Database, what: str) -> BookDamagedError:
    """Make the error that stops reading a book whose stored rows contradict each other."""
    return BookDamagedError(what, str(file.path), RESTORE)


class Database:
    """One connection to a book file, without knowledge of what its tables mean."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    def create(cls, path: Path, book_id: str) -> None:
        """Make an empty book whole or not at all."""
        fresh = path.with_name(f".{path.name}.{book_id}.new")
        try:
            connection = sqlite3.connect(fresh, isolation_level=None)
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute("BEGIN")
                for statement in STATEMENTS:
                    connection.execute(statement)
                connection.execute("INSERT INTO book VALUES ('book_id', ?)", (book_id,))
                connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version={FORMAT}")
                connection.execute("COMMIT")
            finally:
                connection.close()
            _publish(fresh, path)
        except FAULTS as fault:
            raise translate(fault, path) from fault
        except FileExistsError:
            raise InputError(
                "there is already a file of this name", str(path), "choose another name"
            ) from None
        except OSError as fault:
            raise BookReadOnlyError(
                f"the book cannot be made: {fault.strerror}", str(path), "choose another folder"
            ) from fault
        finally:
            for leftover in (fresh, *(Path(f"{fresh}{end}") for end in ("-wal", "-shm"))):
                leftover.unlink(missing_ok=True)

    @classmethod
    def open(cls, path: Path, *, readonly: bool, wait_ms: int) -> Self:
        """Connect to an existing book; on media that cannot be written, without its WAL files."""
        if not _is_file(path):
            raise BookMissingError("there is no book here", str(path), "make one: fillbook init")
        if not readonly and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
            raise BookReadOnlyError(
                "the book cannot be written",
                str(path),
                "make the file and its folder writable, or only read from it",
            )
        try:
            return cls._connect(path, "mode=ro" if readonly else "mode=rw", wait_ms)
        except FAULTS as fault:
            if not readonly or not _cannot_share(fault):
                raise translate(fault, path) from fault
        _refuse_unread_wal(path)
        try:
            return cls._connect(path, "immutable=1", wait_ms)
        except FAULTS as fault:
            raise translate(fault, path) from fault

    @classmethod
    def _connect(cls, path: Path, mode: str, wait_ms: int) -> Self:
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?{mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute(f"PRAGMA busy_timeout={wait_ms}")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA cell_size_check=ON")
            connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
            _recognise(connection, path)
            if mode == "mode=rw":
                connection.execute("PRAGMA journal_mode=WAL")
        except BaseException:  # whatever it is, no connection may be left behind
            connection.close()
            raise
        return cls(path, connection)

    def copy_to(self, path: Path) -> None:
        """Copy one consistent state into a new file, whoever writes meanwhile; whole or not."""
        fresh = path.with_name(f".{path.name}.{os.getpid()}.copy")
        try:
            target = sqlite3.connect(fresh, isolation_level=None)
            try:
                self._connection.backup(target)
                target.execute("PRAGMA journal_mode=DELETE")
            finally:
                target.close()
            _publish(fresh, path)
        except FAULTS as fault:
            raise translate(fault, path) from fault
        except FileExistsError:
            raise InputError(
                "there is already a file of this name", str(path), "choose another name"
            ) from None
        except OSError as fault:
            raise BookReadOnlyError(
                f"the copy cannot be made: {fault.strerror}", str(path), "choose another folder"
            ) from fault
        finally:
            fresh.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the connection; the last one to close folds the WAL into the book."""
        try:
            self._connection.close()
        except FAULTS as fault:
            raise translate(fault, self.path) from fault

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the write lock; everything inside is kept together or not at all."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:  # an interrupt too must leave no half page
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except FAULTS as fault:
            raise translate(fault, self.path) from fault

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """See one state of the book for several queries, whoever writes meanwhile."""
        try:
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
        except FAULTS as fault:
            raise translate(fault, self.path) from fault

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """Run a query and return all rows as tuples."""
        try:
            return self._connection.execute(sql, values).fetchall()
        except FAULTS as fault:
            raise translate(fault, self.path) from fault

    def row(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """Run a query and return its first row, or None."""
        try:
            return self._connection.execute(sql, values).fetchone()
        except FAULTS as fault:
            raise translate(fault, self.path) from fault

    def write_rows(self, sql: str, rows: Iterable[Sequence[Any]]) -> bool:
        """Write rows; False, and none of them written, when one breaks a unique index."""
        try:
            self._connection.execute("SAVEPOINT rows")
            try:
                self._connection.executemany(sql, rows)
            except sqlite3.IntegrityError:
                self._connection.execute("ROLLBACK TO rows")
                return False
            self._connection.execute("RELEASE rows")
            return True
        except FAULTS as fault:
            raise translate(fault, self.path) from fault


def _recognise(connection: sqlite3.Connection, path: Path) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise BookDamagedError(
            "this file is not a Fillbook book",
            str(path),
            "check the path; if it was a book once, restore a backup",
        )
    if version != FORMAT:
        raise BookError(
            f"the book has format {version}, and this Fillbook reads format {FORMAT}",
            str(path),
            "use the newest Fillbook",
        )
    found = connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")
    if sorted(sql for (sql,) in found) != sorted(STATEMENTS):
        raise BookDamagedError("the tables of the book were altered", str(path), RESTORE)


def _publish(fresh: Path, path: Path) -> None:
    try:
        os.link(fresh, path)  # unlike a rename, a link never replaces an existing book
    except FileExistsError:
        raise
    except OSError:  # the file system knows no links
        if path.exists():
            raise FileExistsError(path) from None
        fresh.rename(path)
    sync_directory(path.parent)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as fault:
        raise BookReadOnlyError(
            f"the book cannot be reached: {fault.strerror}",
            str(path),
            "give this user the right to read the folder",
        ) from fault


def _cannot_share(fault: Exception) -> bool:
    code = getattr(fault, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)


def _refuse_unread_wal(path: Path) -> None:
    wal = path.with_name(f"{path.name}-wal")
    if wal.exists() and wal.stat().st_size:
        raise BookReadOnlyError(
            "the newest pages of the book still lie in its -wal file,"
            " which cannot be read where nothing can be written",
            str(wal),
            "copy the book, its -wal and its .head to a writable folder and open the copy",
        )
