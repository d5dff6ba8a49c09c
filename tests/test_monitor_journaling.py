"""The journal thread: durable on return, bounded, drained on stop, fail-stop on a fault."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest

from fillbook.facts.model import Claim, Transfer
from fillbook.ground.errors import BookError, BookMissingError
from fillbook.journal.store import Journal
from fillbook.journal.values import BatchOpen, Page
from fillbook.marks.series import Mark, MarkStore
from fillbook.monitor.journaling import JournalThread

NOW_NS = 1_700_000_000_000_000_000
BATCH = BatchOpen(
    batch_id="live:v:a:transfers",
    source="live",
    rank=3,
    venue="v",
    account="a",
    fingerprint="",
    name="transfers",
)


def page(number: int, batch_id: str = BATCH.batch_id) -> Page:
    fact = Transfer(
        venue="v", account="a", ts_ns=NOW_NS + number, amount=Decimal(number + 1), asset="USDC"
    )
    claim = Claim(fact=fact, key=f"2023-11-14|{number}", raw=str(number))
    return Page(batch_id=batch_id, claims=[claim], cursor=str(number))


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.db"
    Journal.create(path).close()
    return path


def thread_on(book: Path, capacity: int = 4) -> JournalThread:
    return JournalThread(book, Path(f"{book}.marks"), lambda: NOW_NS, capacity)


def amounts(book: Path) -> list[str]:
    with Journal.open(book, readonly=True) as journal:
        return [str(claim.fact.amount) for claim in journal.claims(kinds=["transfer"])]


def test_what_returned_is_on_disk_for_any_other_reader(book: Path) -> None:
    async def write() -> list[str]:
        await thread.begin(BATCH)
        await thread.append(page(0))
        return amounts(book)

    thread = thread_on(book)
    thread.start()
    try:
        assert asyncio.run(write()) == ["1"]
    finally:
        assert thread.stop()


def test_more_writers_than_room_all_get_through_in_their_own_order(book: Path) -> None:
    async def write() -> None:
        await thread.begin(BATCH)
        await asyncio.gather(*(thread.append(page(number)) for number in range(50)))
        await thread.put_marks([Mark("v", "BTC", NOW_NS, Decimal("1.5"))])

    thread = thread_on(book, capacity=2)
    thread.start()
    asyncio.run(write())
    assert thread.stop()
    assert sorted(amounts(book), key=int) == [str(number + 1) for number in range(50)]
    with MarkStore(Path(f"{book}.marks"), readonly=True) as store:
        assert store.series("v", "BTC").px.tolist() == [15]


def test_a_call_that_cannot_be_done_fails_alone(book: Path) -> None:
    async def write() -> None:
        await thread.begin(BATCH)
        with pytest.raises(Exception, match="never-opened"):
            await thread.append(page(1, batch_id="never-opened"))
        await thread.append(page(2))

    thread = thread_on(book)
    thread.start()
    asyncio.run(write())
    assert thread.stop()
    assert amounts(book) == ["3"]


def test_a_book_that_is_not_there_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(BookMissingError):
        thread_on(tmp_path / "none.db").start()


def test_after_the_book_failed_every_call_fails(book: Path) -> None:
    async def write() -> None:
        await thread.begin(BATCH)
        await thread.append(page(0))
        for path in (book, Path(f"{book}-wal"), Path(f"{book}-shm")):
            if path.exists():
                path.write_bytes(b"\x00" * path.stat().st_size)
        for number in (1, 2):
            with pytest.raises(BookError):
                await thread.append(page(number))

    thread = thread_on(book)
    thread.start()
    asyncio.run(write())
    assert isinstance(thread.fault, BookError)
    assert thread.stop()
