"""The marks file: exact prices, one series whatever the order of import, honest versions."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from fillbook.ground.errors import BookDamagedError, BookReadOnlyError, InputError
from fillbook.marks.series import Mark, MarkStore, marks_path


def mark(ts_ns: int, px: str, **more: str) -> Mark:
    return Mark("hyperliquid", "HYPE", ts_ns, Decimal(px), **more)  # type: ignore[arg-type]


def shown(path: Path) -> tuple[list[int], list[int], int]:
    with MarkStore(path) as store:
        series = store.series("hyperliquid", "HYPE")
    return series.ts_ns.tolist(), series.px.tolist(), series.scale


def test_prices_come_back_exactly_at_the_finest_scale(tmp_path: Path) -> None:
    with MarkStore(tmp_path / "m") as store:
        assert (
            store.put([mark(30, "12"), mark(10, "12.250"), mark(20, "-0.5"), mark(40, "3E+2")]) == 4
        )
    assert shown(tmp_path / "m") == ([10, 20, 30, 40], [1225, -50, 1200, 30000], 2)


def test_the_window_is_half_open(tmp_path: Path) -> None:
    with MarkStore(tmp_path / "m") as store:
        store.put([mark(ts_ns, "1.5") for ts_ns in (1, 2, 3, 4)])
        assert store.series("hyperliquid", "HYPE", 2, 4).ts_ns.tolist() == [2, 3]
        assert store.series("hyperliquid", "HYPE", until_ns=2).ts_ns.tolist() == [1]
        assert len(store.series("kraken", "HYPE").ts_ns) == 0


def test_one_instant_shows_one_price_whatever_the_order_of_import(tmp_path: Path) -> None:
    marks = [
        mark(5, "9", what="last"),
        mark(5, "8", what="mid", source="b"),
        mark(5, "7", what="mid", source="a"),
        mark(5, "6.5", what="mid", source="a"),
        mark(6, "3", what="last"),
        mark(6, "4", what="mark"),
    ]
    for seed in range(6):
        path = tmp_path / str(seed)
        random.Random(seed).shuffle(marks)
        with MarkStore(path) as store:
            for one in marks:
                store.put([one])
        assert shown(path) == ([5, 6], [7, 4], 0)


def test_version_changes_exactly_with_the_content(tmp_path: Path) -> None:
    with MarkStore(tmp_path / "m") as store:
        assert (store.version(), store.instruments(), store.prune(9)) == ("", [], 0)
        assert not (tmp_path / "m").exists()
        store.put([mark(1, "1.50"), mark(2, "2")])
        first = store.version()
        assert store.put([mark(1, "1.5")]) == 0
        assert store.version() == first
        assert store.put([mark(3, "1.5")]) == 1
        second = store.version()
        assert store.prune(2) == 1
        assert store.prune(2) == 0
        assert len({"", first, second, store.version()}) == 4
        assert store.series("hyperliquid", "HYPE").ts_ns.tolist() == [2, 3]
    with MarkStore(tmp_path / "other") as other:
        other.put([mark(1, "1.50"), mark(2, "2")])
        assert other.version() != first


def test_instruments_lists_what_has_marks(tmp_path: Path) -> None:
    with MarkStore(tmp_path / "m") as store:
        store.put([mark(1, "1"), Mark("binance", "BNB/USDT", 5, Decimal("600.1"), "rate")])
        assert store.instruments() == [("binance", "BNB/USDT"), ("hyperliquid", "HYPE")]
        store.prune(5)
        assert store.instruments() == [("binance", "BNB/USDT")]


def test_prices_too_long_for_64_bits_round_half_even_at_their_end(tmp_path: Path) -> None:
    with MarkStore(tmp_path / "m") as store:
        store.put([mark(1, "1.0000000000000000005"), mark(2, "1.0000000000000000015")])
        store.put([mark(3, "9000000000000.25")])
        series = store.series("hyperliquid", "HYPE")
        assert series.scale == 6
        assert series.px.tolist() == [10**6, 10**6, 9_000_000_000_000_250_000]
        fine = store.series("hyperliquid", "HYPE", until_ns=3)
        assert (fine.scale, fine.px.tolist()) == (18, [10**18, 10**18 + 2])
        with pytest.raises(InputError, match="does not fit"):
            store.put([mark(4, "1"), mark(5, "1E+19")])
        assert store.series("hyperliquid", "HYPE", 4).px.tolist() == []


def test_a_price_of_nothing_stands_beside_the_smallest_one(tmp_path: Path) -> None:
    with MarkStore(tmp_path / "m") as store:
        store.put([mark(1, "0"), mark(2, "12E-26")])
        series = store.series("hyperliquid", "HYPE")
        assert (series.scale, series.px.tolist()) == (26, [0, 12])


def test_a_failed_put_keeps_nothing(tmp_path: Path) -> None:
    def stream() -> object:
        yield from (mark(ts_ns, "1") for ts_ns in range(25_000))
        raise RuntimeError("the source broke off")

    with MarkStore(tmp_path / "m") as store:
        with pytest.raises(RuntimeError):
            store.put(stream())  # type: ignore[arg-type]
        assert store.instruments() == []


def test_readonly_reads_and_refuses_to_write(tmp_path: Path) -> None:
    with MarkStore(tmp_path / "m") as store:
        store.put([mark(1, "1")])
    with MarkStore(tmp_path / "m", readonly=True) as store:
        assert store.series("hyperliquid", "HYPE").px.tolist() == [1]
        with pytest.raises(BookReadOnlyError):
            store.put([mark(2, "1")])


@pytest.mark.parametrize("content", [b"no marks at all, just text", b"SQLite format 2"])
def test_a_file_of_something_else_is_refused_in_plain_words(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m"
    path.write_bytes(content)
    with MarkStore(path) as store, pytest.raises(BookDamagedError) as caught:
        store.version()
    assert caught.value.where == str(path)
    assert caught.value.next_step


def test_another_program_s_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "m"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = path.read_bytes()
    with MarkStore(path) as store, pytest.raises(BookDamagedError, match="not a file of marks"):
        store.put([mark(1, "1")])
    assert path.read_bytes() == before


def test_many_marks_make_arrays_ready_for_numpy(tmp_path: Path) -> None:
    count = 50_000
    with MarkStore(tmp_path / "m") as store:
        store.put(mark(ts_ns * 1000, f"{ts_ns % 977}.{ts_ns % 10}") for ts_ns in range(count))
        series = store.series("hyperliquid", "HYPE")
    assert series.ts_ns.dtype == series.px.dtype == np.int64
    assert series.ts_ns.flags.c_contiguous
    assert series.px.tolist() == [(t % 977) * 10 + t % 10 for t in range(count)]


def test_the_marks_of_a_book_lie_beside_it() -> None:
    assert marks_path("books/mine.db") == Path("books/mine.db.marks")


@pytest.mark.parametrize("readonly", [True, False])
@pytest.mark.parametrize("begun", ["", "PRAGMA journal_mode=WAL"])
def test_a_store_whose_making_was_cut_short_is_empty_and_made_by_the_next_write(
    tmp_path: Path, readonly: bool, begun: str
) -> None:
    path = tmp_path / "m"
    path.touch()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(begun)
    with MarkStore(path, readonly=readonly) as reader:
        assert (reader.version(), reader.instruments()) == ("", [])
        assert len(reader.series("hyperliquid", "HYPE").ts_ns) == 0
        with MarkStore(path) as writer:
            assert writer.put([mark(1, "2")]) == 1
        assert reader.series("hyperliquid", "HYPE").px.tolist() == [2]
