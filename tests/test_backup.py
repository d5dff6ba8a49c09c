"""A copy is whole and verified, never over something newer, and the way back tells what it lost."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from cli_run import fillbook
from fillbook.ground.errors import BookDamagedError, BookError, InputError
from fillbook.journal.backup import back_up, restore
from fillbook.journal.store import Journal, verify_book
from journal_books import fill, put


def seq_of(book: Path) -> int:
    with Journal.open(book, readonly=True) as journal:
        return journal.head().seq


def keys_of(book: Path) -> list[str]:
    with Journal.open(book, readonly=True) as journal:
        return [claim.key for claim in journal.claims(kinds=["fill"])]


def grow(book: Path, first: int, last: int) -> None:
    with Journal.open(book) as journal:
        put(journal, f"from {first}", [fill(n) for n in range(first, last)], done=True)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.db"
    Journal.create(path).close()
    grow(path, 0, 50)
    return path


def test_a_backup_is_the_same_book(book: Path, tmp_path: Path) -> None:
    done = back_up(book, tmp_path / "copy.db")
    assert done.head.seq == seq_of(book)
    assert keys_of(tmp_path / "copy.db") == keys_of(book)
    assert verify_book(tmp_path / "copy.db") == []


def test_a_backup_in_a_folder_keeps_the_name_and_overwrites_nothing(
    book: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    assert back_up(book, folder).path == str(folder / "book.db")
    with pytest.raises(InputError, match="already a backup"):
        back_up(book, folder)


def test_a_backup_taken_while_another_writes_verifies(book: Path, tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        with Journal.open(book) as journal:
            number = 1000
            while not stop.is_set():
                put(journal, f"n{number}", [fill(number), fill(number + 1)], done=True)
                number += 2

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            copy = tmp_path / f"copy{number}.db"
            back_up(book, copy)
            assert verify_book(copy) == []
    finally:
        stop.set()
        writer.join()


def test_a_damaged_book_gives_no_backup(book: Path, tmp_path: Path) -> None:
    with book.open("r+b") as file:
        file.seek(book.stat().st_size - 2000)
        file.write(b"\xff" * 1500)
    with pytest.raises(BookDamagedError):
        back_up(book, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


def test_a_backup_comes_back(book: Path, tmp_path: Path) -> None:
    back_up(book, tmp_path / "copy.db")
    whole = keys_of(book)
    book.write_bytes(b"not a book any more")
    restore(tmp_path / "copy.db", book)
    assert keys_of(book) == whole
    assert verify_book(book) == []


def test_a_newer_book_is_not_replaced_unless_told(book: Path, tmp_path: Path) -> None:
    back_up(book, tmp_path / "copy.db")
    grow(book, 50, 60)
    with pytest.raises(BookError, match="stands at row"):
        restore(tmp_path / "copy.db", book)
    assert len(keys_of(book)) == 60
    restore(tmp_path / "copy.db", book, over_newer=True)
    assert len(keys_of(book)) == 50
    assert len(keys_of(Path(f"{book}.before-restore"))) == 60


def test_what_was_lost_is_named_after_a_restore(book: Path, tmp_path: Path) -> None:
    back_up(book, tmp_path / "copy.db")
    grow(book, 50, 60)
    restore(tmp_path / "copy.db", book, over_newer=True)
    with Journal.open(book, readonly=True) as journal:
        assert [finding.code for finding in journal.findings] != []
    grow(book, 50, 60)
    with Journal.open(book, readonly=True) as journal:
        assert [claim.fact.lost_from_seq for claim in journal.claims(kinds=["epoch"])] != []
    assert len(keys_of(book)) == 60


def test_the_commands(tmp_path: Path) -> None:
    assert fillbook(tmp_path, "init").status == 0
    done = fillbook(tmp_path, "backup", "copy.db", "--json")
    assert done.json["head"]["seq"] == 0
    assert fillbook(tmp_path, "backup", "copy.db").status == 2
    (tmp_path / "fillbook.db").unlink()
    back = fillbook(tmp_path, "restore", "copy.db")
    assert (back.status, back.out.splitlines()[0][:8]) == (0, "restored")
    assert fillbook(tmp_path, "verify").status == 0
