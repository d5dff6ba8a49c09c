"""A series that was read before grows by what is new, and equals one that is read whole."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fillbook.marks import series as module
from fillbook.marks.series import Mark, MarkStore, Series

NAMES = ("HYPE", "BTC", "ETH")


class Counted(MarkStore):
    """Counts the marks that are read from the file."""

    marks_read = 0

    def _query(self, sql: str, *values: Any) -> list[Any]:
        found = super()._query(sql, *values)
        if sql.startswith("SELECT ts_ns"):
            self.marks_read += len(found)
        return found


def mark(dice: random.Random, now_ns: int) -> Mark:
    late = dice.random() < 0.2
    px = Decimal(dice.randrange(-500, 99_999)).scaleb(-dice.randrange(0, 6))
    return Mark(
        *("hyperliquid", dice.choice(NAMES)),
        *(dice.randrange(now_ns) if late else now_ns, px),
        *(dice.choice(["mark", "mid", "last"]), dice.choice(["", "a"])),
    )


def told(series: Series) -> tuple[list[int], list[int], int]:
    return series.ts_ns.tolist(), series.px.tolist(), series.scale


def check(reader: MarkStore, path: Path) -> None:
    with MarkStore(path, readonly=True) as whole:
        for name in NAMES:
            assert told(reader.series("hyperliquid", name)) == told(
                whole.series("hyperliquid", name)
            )
        ends = [told(whole.series("hyperliquid", name))[0][-1:] for name in NAMES]
        assert reader.newest_ns() == max((end[0] for end in ends if end), default=None)


@pytest.mark.parametrize("seed", range(6))
def test_what_has_grown_equals_what_is_read_whole(tmp_path: Path, seed: int) -> None:
    """Marks in order and late ones, of one instant, of other scales, pruned ones, and none."""
    dice, path = random.Random(seed), tmp_path / "m"
    with MarkStore(path) as writer, MarkStore(path, readonly=True) as reader:
        check(reader, path)
        for now_ns in range(1, 150):
            step = dice.random()
            if step < 0.03:
                writer.prune(dice.randrange(now_ns))
            elif step < 0.9:
                writer.put(mark(dice, now_ns) for _ in range(dice.randrange(1, 4)))
            if dice.random() < 0.7:
                check(reader, path)
        check(reader, path)
        assert sum(len(reader.series("hyperliquid", name).ts_ns) for name in NAMES) > 5


def test_only_what_is_new_is_read(tmp_path: Path) -> None:
    dice, path = random.Random(1), tmp_path / "m"
    with MarkStore(path) as writer, Counted(path, readonly=True) as reader:
        writer.put(Mark("v", "HYPE", ts_ns, Decimal(ts_ns), "mark") for ts_ns in range(5_000))
        before = reader.series("v", "HYPE")
        assert reader.marks_read == 5_000
        for ts_ns in range(5_000, 5_100):
            writer.put([Mark("v", "HYPE", ts_ns, Decimal(dice.randrange(99)), "mark")])
            writer.put([Mark("v", "BTC", ts_ns, Decimal(1), "mark")])
            assert len(reader.series("v", "HYPE").ts_ns) == ts_ns + 1
        assert reader.marks_read == 5_100
        # A late mark: read again from there on; what was handed out does not change.
        writer.put([Mark("v", "HYPE", 5_050, Decimal("0.5"), "mark")])
        assert len(reader.series("v", "HYPE").ts_ns) == 5_100
        assert reader.marks_read == 5_100 + 51
        assert writer.prune(5_000) == 5_000
        assert reader.series("v", "HYPE").ts_ns.tolist() == list(range(5_000, 5_100))
        assert reader.marks_read == 5_100 + 51
        assert len(before.ts_ns) == 5_000 and before.px.tolist() == list(range(5_000))


def test_a_reader_that_is_far_behind_reads_the_whole_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_VERSIONS", 5)
    path = tmp_path / "m"
    with MarkStore(path) as writer, Counted(path, readonly=True) as reader:
        for rounds in (3, 5, 6, 40):
            for _ in range(rounds):
                ts_ns = (writer.newest_ns() or 0) + 1
                writer.put([Mark("hyperliquid", "HYPE", ts_ns, Decimal(ts_ns), "mark")])
            check(reader, path)
        assert reader.marks_read == 3 + 5 + (3 + 5 + 6) + (3 + 5 + 6 + 40)


def test_a_store_that_never_noted_its_changes_is_read_whole_until_it_does(tmp_path: Path) -> None:
    path = tmp_path / "m"
    with MarkStore(path) as writer:
        writer.put([Mark("hyperliquid", "HYPE", 1, Decimal(7), "mark")])
    with closing(sqlite3.connect(path)) as older:
        older.execute("DROP TABLE change")
    with MarkStore(path, readonly=True) as reader:
        check(reader, path)
        with closing(sqlite3.connect(path)) as older, older:
            older.execute("INSERT INTO mark VALUES (1, 2, 0, '', 8, 0)")
            older.execute("UPDATE store SET version = version + 1")
        check(reader, path)
        with MarkStore(path) as writer:
            writer.put([Mark("hyperliquid", "HYPE", 3, Decimal(9), "mark")])
        check(reader, path)
        # A program that notes nothing wrote in between: its version is not told.
        with closing(sqlite3.connect(path)) as older, older:
            older.execute("INSERT INTO mark VALUES (1, 0, 0, '', 6, 0)")
            older.execute("UPDATE store SET version = version + 1")
        check(reader, path)
        assert reader.series("hyperliquid", "HYPE").px.tolist() == [6, 7, 8, 9]
