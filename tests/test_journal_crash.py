"""Killed, crowded out, out of space, locked or read-only: a book keeps what it acknowledged."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from fillbook.facts.identity import key_of
from fillbook.ground.errors import BookBusyError, BookError, BookReadOnlyError
from fillbook.journal.store import Journal, Page, verify_book
from fillbook.marks.series import Mark, MarkStore, marks_path
from journal_books import START_NS, VENUE, batch, book_of, fill, live, put

HERE = Path(__file__).parent


def worker(book: Path, name: str, first: int, last: int, size: int) -> subprocess.Popen[str]:
    arguments = [str(part) for part in (book, name, first, last, size)]
    return subprocess.Popen(
        [sys.executable, str(HERE / "journal_worker.py"), *arguments],
        stdout=subprocess.PIPE,
        text=True,
    )


def undisturbed(path: Path, count: int) -> list[tuple[object, ...]]:
    with Journal.create(path) as journal:
        put(journal, "march", [fill(n, row=n % 5) for n in range(count)], done=True)
        return facts_in(journal)


def facts_in(journal: Journal) -> list[tuple[object, ...]]:
    return sorted(
        (claimed.key, claimed.content, claimed.assertions) for claimed in journal.claims()
    )


def kill_again_and_again(folder: Path, kills: int, count: int, seed: int) -> int:
    """Kill an import `kills` times on its way, let it end, and compare; return the true kills."""
    book, dice, struck = folder / "b.db", random.Random(seed), 0
    for _ in range(kills):
        with worker(book, "march", 0, count, 3) as process:
            assert process.stdout is not None and process.stdout.readline() == "go\n"
            time.sleep(dice.random() * 0.06)
            process.send_signal(signal.SIGKILL)
            said = process.stdout.read().split()
            struck += process.wait() == -signal.SIGKILL
        if said and book.exists():
            # What was acknowledged is there, even before anybody repairs anything.
            with Journal.open(book, readonly=True) as journal:
                assert journal.findings == []
                kept = {claimed.fact for claimed in journal.claims(kinds=["fill"])}
                assert {fill(n).fact for n in range(int(said[-1]))} <= kept, f"seed {seed}"
    process = worker(book, "march", 0, count, 50)
    process.communicate()
    assert process.returncode == 0
    with Journal.open(book) as journal:
        assert journal.findings == []
        assert facts_in(journal) == undisturbed(folder / "calm.db", count), f"seed {seed}"
        (state,) = journal.batches()
        assert (state.complete, state.rows) == (True, count)
    # A kill between commit and anchor leaves the head file behind the book, never before it.
    assert verify_book(book) == []
    return struck


def test_ten_kills_lose_nothing_and_invent_nothing(tmp_path: Path) -> None:
    assert kill_again_and_again(tmp_path, 10, 3000, seed=1) >= 5


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20))
def test_two_hundred_kills(tmp_path: Path, seed: int) -> None:
    kill_again_and_again(tmp_path, 10, 3000, seed=100 + seed)


def test_several_processes_write_one_chain(tmp_path: Path) -> None:
    book = tmp_path / "b.db"
    Journal.create(book).close()
    workers = [worker(book, f"batch-{n}", 150 * n, 150 * n + 400, 7) for n in range(3)]
    seen = set()
    while any(process.poll() is None for process in workers):
        with Journal.open(book, readonly=True) as journal:  # a reader in the middle of it all
            seqs = [claimed.seq for claimed in journal.claims()]
            assert len(seqs) == len(set(seqs)) and seqs == sorted(seqs)
            seen.add(journal.head().seq)
    for process in workers:
        process.communicate()
        assert process.returncode == 0
    with Journal.open(book) as journal:
        asserted = live(journal)
        for number in range(700):
            key = key_of(fill(number).fact.ts_ns, "HYPE", number)
            (own,) = (own for (known, _), own in asserted.items() if known == key)
            expected = [
                (f"batch-{n}", number % 5) for n in range(3) if 150 * n <= number < 150 * n + 400
            ]
            assert own == expected
        assert [(s.complete, s.rows) for s in journal.batches()] == [(True, 400)] * 3
        assert journal.head().seq == 1200 + 3
        assert journal.verify() == []
    assert len(seen) > 1


def test_a_writer_that_waits_too_long_says_so_and_can_go_on(tmp_path: Path) -> None:
    book = book_of(tmp_path / "b.db", 4)
    holder = sqlite3.connect(book, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with Journal.open(book, wait_ms=30) as journal:
        with pytest.raises(BookBusyError) as caught:
            journal.begin(batch("april"), START_NS)
        assert caught.value.where == str(book)
        assert len(list(journal.claims(kinds=["fill"]))) == 4  # readers are not in the way
        holder.execute("ROLLBACK")
        holder.close()
        assert put(journal, "april", [fill(9)]).new == 1


def in_a_child(check: Callable[[], None], *, as_nobody: bool = False) -> None:
    """Run a check in a forked process, which may give up rights or space for good."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of the test runner
        child = os.fork()
    if child == 0:
        status = 1
        try:
            if as_nobody and os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            check()
            status = 0
        except BaseException:  # the parent reports; a child must never run on into pytest
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_full_disk_stops_writing_and_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    book = book_of(tmp_path / "b.db", 50)

    def fill_the_disk() -> None:
        with Journal.open(book) as journal:
            journal.begin(batch("april"), START_NS)
            limit = 120_000
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            acknowledged = 0
            with pytest.raises(BookError) as caught:
                for at in range(100, 5000, 20):
                    claims = [fill(number) for number in range(at, at + 20)]
                    journal.append(Page(batch_id="april", claims=claims, cursor=str(at)), START_NS)
                    acknowledged = at + 20
            assert acknowledged > 100 and caught.value.next_step
            with pytest.raises(BookError, match="writing stopped"):
                journal.append(Page(batch_id="april", claims=[], cursor="x"), START_NS)
            (book.with_name("acknowledged")).write_text(str(acknowledged))

    in_a_child(fill_the_disk)
    acknowledged = int((tmp_path / "acknowledged").read_text())
    assert verify_book(book) == []
    with Journal.open(book) as journal:
        assert journal.findings == []
        kept = {claimed.fact for claimed in journal.claims(kinds=["fill"])}
        assert kept == {fill(n).fact for n in (*range(50), *range(100, acknowledged))}
        assert put(journal, "april", [fill(n) for n in range(100, 5000)]).head.seq > 4900
        assert journal.verify() == []


def test_a_head_file_that_cannot_be_written_is_said_and_stops(tmp_path: Path) -> None:
    book = book_of(tmp_path / "b.db", 5)
    with Journal.open(book) as journal:
        put(journal, "april", [fill(8)])
        Path(f"{book}.head").unlink()
        Path(f"{book}.head").mkdir()
        with pytest.raises(BookError, match="in the book, but its head could not be anchored"):
            put(journal, "april", [fill(9)])
        with pytest.raises(BookError, match="writing stopped"):
            put(journal, "april", [fill(10)])
    Path(f"{book}.head").rmdir()
    with Journal.open(book) as journal:
        assert len(list(journal.claims(kinds=["fill"]))) == 7


@pytest.fixture
def shelf() -> Iterator[Path]:
    """Yield a folder that any user can reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="fillbook-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def sealed(shelf: Path, book: Path) -> None:
    for part in shelf.iterdir():
        part.chmod(0o444)
    shelf.chmod(0o555)
    assert book.exists()


def test_a_book_on_read_only_media_can_be_read_and_verified(shelf: Path) -> None:
    book = book_of(shelf / "b.db", 60)
    with Journal.open(book) as journal:
        expected = facts_in(journal)
    with MarkStore(marks_path(book)) as marks:
        marks.put([Mark(VENUE, "HYPE", START_NS, Decimal("34.5"))])
    sealed(shelf, book)

    def look() -> None:
        with MarkStore(marks_path(book), readonly=True) as marks:
            assert marks.series(VENUE, "HYPE").px.tolist() == [345]
        with Journal.open(book, readonly=True) as journal:
            assert facts_in(journal) == expected
            assert (journal.findings, journal.verify()) == ([], [])
            with pytest.raises(BookReadOnlyError):
                journal.begin(batch("april"), START_NS)
        assert verify_book(book) == []
        with pytest.raises(BookReadOnlyError) as caught:
            Journal.open(book)
        assert "writable" in caught.value.next_step

    in_a_child(look, as_nobody=True)
    assert sorted(part.name for part in shelf.iterdir()) == [
        "b.db",
        "b.db.head",
        "b.db.marks",
    ]


def test_newest_pages_in_a_wal_that_cannot_be_read_are_not_passed_over(shelf: Path) -> None:
    book = book_of(shelf / "b.db", 20)
    with Journal.open(book) as journal:
        put(journal, "april", [fill(n) for n in range(20, 30)])
        for end in ("", "-wal", ".head"):
            shutil.copyfile(f"{book}{end}", f"{shelf / 'copy.db'}{end}")
    sealed(shelf, book)

    def look() -> None:
        with pytest.raises(BookReadOnlyError) as caught:
            Journal.open(shelf / "copy.db", readonly=True)
        assert "-wal" in caught.value.what and "copy" in caught.value.next_step

    in_a_child(look, as_nobody=True)


def test_a_folder_nobody_may_enter_is_said(shelf: Path) -> None:
    inner = shelf / "inner"
    inner.mkdir()
    book = book_of(inner / "b.db", 2)
    inner.chmod(0)

    def look() -> None:
        if os.geteuid() == 0:  # pragma: no cover - nothing is closed to the superuser
            return
        for readonly in (True, False):
            with pytest.raises(BookError) as caught:
                Journal.open(book, readonly=readonly)
            assert caught.value.next_step

    in_a_child(look, as_nobody=True)
    inner.chmod(0o755)


def test_closing_twice_is_harmless_and_a_closed_book_says_so(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path / "b.db")
    journal.close()
    journal.close()
    with pytest.raises(BookError, match="used wrongly"):
        journal.head()
    with contextlib.closing(Journal.open(tmp_path / "b.db", readonly=True)) as reader:
        assert reader.head().seq == 0
