"""Importing into a book: once however often, resumable, honest about what it refused."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fillbook.facts.identity import with_ordinal
from fillbook.facts.model import Batch, Claimed, Fill, Instrument, Retraction
from fillbook.ground.errors import BookReadOnlyError, UsageError
from fillbook.journal.store import Journal
from fillbook.marks.series import MarkStore
from fillbook.sources.files.importing import FileReport, ImportReport, import_paths
from fillbook.sources.files.registry import READERS, reparse
from fillbook.sources.source import ReadOptions
from reader_runs import CASES, gzipped, read_file

TRADES = CASES / "trade_history.csv"
NOW_NS = 1_800_000_000_000_000_000


class Book:
    """A book and its marks in a folder, with the import as a person would run it."""

    def __init__(self, journal: Journal, marks: MarkStore) -> None:
        self.journal = journal
        self.marks = marks

    def take(self, *paths: Path, **options: Any) -> ImportReport:
        format = options.pop("format", "auto")
        dry_run = options.pop("dry_run", False)
        progress = options.pop("progress", None)
        chosen = ReadOptions(**options)
        return import_paths(
            *(self.journal, self.marks, paths, chosen, format, progress, dry_run),
            clock=lambda: NOW_NS,
        )

    def only(self, *paths: Path, **options: Any) -> FileReport:
        (report,) = self.take(*paths, **options).files
        assert report.error is None, report
        return report

    def events(self) -> list[Claimed]:
        """Live claims that are events, not descriptions, batches or retractions."""
        return [
            c
            for c in self.journal.claims()
            if not isinstance(c.fact, Batch | Instrument | Retraction)
        ]

    def state(self) -> set[tuple[str, str, str, bytes]]:
        """Everything that decides a ledger: whose, identity and content of the live events."""
        return {
            (claim.fact.venue, claim.fact.account, claim.key, claim.content)
            for claim in self.events()
        }


@contextmanager
def opened(path: Path) -> Iterator[Book]:
    made = Journal.open(path) if path.exists() else Journal.create(path)
    with made as journal, MarkStore(path.with_suffix(".marks")) as marks:
        yield Book(journal, marks)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    with opened(tmp_path / "fillbook.db") as made:
        yield made


def many_rows(folder: Path, count: int, name: str = "trade_history.csv") -> Path:
    """Write a web export of `count` rows over some seconds, every seventh row a twin."""
    dice = random.Random(5)
    lines = ["time,coin,dir,px,sz,fee,closedPnl"]
    for place in range(count):
        row = f"05/01/2026 11:{place // 120:02d}:{place // 2 % 60:02d},SOL,Open Long"
        row += f",{dice.randint(100, 200)}.5,{dice.randint(1, 9)},0.1,-0.1"
        lines.append(lines[-1] if place % 7 == 6 else row)
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_file_is_imported_once_however_often(book: Book, tmp_path: Path) -> None:
    first = book.only(TRADES, tz="UTC", account="0xA")
    state = book.state()
    assert (first.rows, first.claims, first.new, first.known) == (5, 5, 5, 0)
    again = book.only(TRADES, tz="UTC", account="0xA")
    assert (again.new, again.known, again.already_imported) == (0, 5, True)
    packed = book.only(gzipped(TRADES, tmp_path), tz="UTC", account="0xA")
    assert (packed.new, packed.already_imported, packed.batch_id) == (0, True, first.batch_id)
    assert book.state() == state


def test_overlapping_halves_are_the_whole(book: Book, tmp_path: Path) -> None:
    whole = many_rows(tmp_path, 2500)
    lines = whole.read_text().splitlines(keepends=True)
    for name, part in (("a.csv", lines[1:1500]), ("b.csv", lines[1000:])):
        (tmp_path / name).write_text(lines[0] + "".join(part))
    reports = book.take(tmp_path / "b.csv", tmp_path / "a.csv", tz="UTC").files
    assert [(r.claims, r.new, r.conflicts) for r in reports] == [(1501, 1501, 0), (1499, 999, 0)]
    with opened(tmp_path / "other.db") as other:
        other.only(whole, tz="UTC")
        assert other.state() == book.state()


def test_pages_are_cut_and_the_last_one_completes_the_batch(book: Book, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = many_rows(tmp_path, 2500)
    book.only(path, tz="UTC", progress=lambda file, done, total: seen.append((done, total)))
    size = path.stat().st_size
    assert [total for _, total in seen] == [size] * 3
    assert seen[0][0] < seen[1][0] < seen[2][0] == size
    (state,) = book.journal.batches()
    assert (state.complete, state.rows) == (True, 2501)  # one instrument was described
    assert state.fact is not None
    assert (state.fact.rows, [c.component for c in state.fact.coverage]) == (2500, ["fills"])


class CutError(Exception):
    """The import stops here, as if the machine had."""


def test_an_import_cut_short_is_resumed_where_it_stopped(tmp_path: Path) -> None:
    path = many_rows(tmp_path, 4500)
    with opened(tmp_path / "whole.db") as whole:
        whole.only(path, tz="UTC")
        wanted = whole.state()
    for pages in (1, 2, 3):
        place = tmp_path / f"cut{pages}.db"
        seen: list[int] = []

        def stop(
            file: str, done: int, total: int, seen: list[int] = seen, pages: int = pages
        ) -> None:
            seen.append(done)
            if len(seen) == pages:
                raise CutError

        with opened(place) as book, pytest.raises(CutError):
            book.only(path, tz="UTC", progress=stop)
        with opened(place) as book:
            assert [state.complete for state in book.journal.batches()] == [False]
            report = book.only(path, tz="UTC")
            # The page that describes the instrument holds one event less.
            behind = 1000 * pages - 1
            assert (report.resumed, report.known, report.new) == (True, behind, 4500 - behind)
            assert book.state() == wanted
            assert [state.complete for state in book.journal.batches()] == [True]
            assert book.journal.verify(reparse) == []


def test_a_dry_run_says_the_same_and_writes_nothing(book: Book, tmp_path: Path) -> None:
    seq = book.journal.head().seq
    rehearsed = book.only(TRADES, tz="UTC", dry_run=True)
    assert (book.journal.head().seq, book.journal.batches()) == (seq, [])
    real = book.only(TRADES, tz="UTC")
    assert (rehearsed.claims, rehearsed.new, rehearsed.known) == (real.claims, real.new, real.known)
    again = book.only(TRADES, tz="UTC", dry_run=True)
    assert (again.new, again.known, again.conflicts) == (0, 5, 0)
    fee_changed = tmp_path / "restated.csv"
    fee_changed.write_text(TRADES.read_text().replace("0.25,1.75", "0.26,1.74"))
    conflicting = book.only(fee_changed, tz="UTC", dry_run=True)
    assert (conflicting.new, conflicting.known, conflicting.conflicts) == (1, 4, 1)


def test_a_dry_run_needs_no_book_and_an_import_does() -> None:
    report = import_paths(None, None, [TRADES], ReadOptions(tz="UTC"), dry_run=True)
    assert [(file.new, file.known) for file in report.files] == [(5, 0)]
    assert report.seq is None
    with pytest.raises(UsageError, match="needs a book"):
        import_paths(None, None, [TRADES], ReadOptions(tz="UTC"))


def test_a_restated_figure_is_a_conflict_and_both_are_kept(book: Book, tmp_path: Path) -> None:
    book.only(TRADES, tz="UTC")
    restated = tmp_path / "restated.csv"
    restated.write_text(TRADES.read_text().replace("0.25,1.75", "0.26,1.74"))
    report = book.only(restated, tz="UTC")
    assert (report.new, report.known, report.conflicts) == (1, 4, 1)
    assert Counter(claim.key for claim in book.events()).most_common(1)[0][1] == 2


def test_another_account_for_the_same_file_is_refused(book: Book) -> None:
    first = book.only(TRADES, tz="UTC", account="0xA")
    state = book.state()
    for dry_run in (True, False):
        (report,) = book.take(TRADES, tz="UTC", account="0xB", dry_run=dry_run).failed
        assert "already in the book, for 0xa of hyperliquid" in (report.error or "")
        assert f"fillbook retract {first.batch_id}" in (report.next_step or "")
    assert book.state() == state


def test_another_zone_for_the_same_rows_is_refused_before_anything_is_written(
    book: Book, tmp_path: Path
) -> None:
    whole = many_rows(tmp_path, 2500)
    first = book.only(whole, tz="Europe/Berlin")
    seq = book.journal.head().seq
    (same,) = book.take(whole, tz="UTC").failed
    assert "other settings" in (same.error or "")
    # Another file whose last row was seen before: its first pages must not slip in.
    lines = whole.read_text().splitlines(keepends=True)
    moved = [line.replace("05/01/2026", "06/01/2026") for line in lines[1:2000]]
    overlapping = tmp_path / "later.csv"
    overlapping.write_text(lines[0] + "".join(moved) + lines[-1])
    (other,) = book.take(overlapping, tz="UTC").failed
    assert "--tz Europe/Berlin" in (other.error or "")
    assert first.batch_id is not None and first.batch_id in (other.error or "")
    assert book.journal.head().seq == seq
    # The same instants under another name of the zone are no contradiction.
    assert book.only(overlapping, tz="+01:00").known == 1


def test_settings_that_change_nothing_are_no_contradiction(book: Book) -> None:
    path = CASES / "coinbase_fills.csv"
    book.only(path, tz="Asia/Tokyo", settle="JPY")
    again = book.only(path)
    assert (again.new, again.known, again.already_imported) == (0, 3, True)
    assert [state.tz for state in book.journal.batches()] == [None]


def test_retract_and_import_again_restores(book: Book) -> None:
    report = book.only(TRADES, tz="UTC")
    state = book.state()
    assert report.batch_id is not None
    book.journal.retract(report.batch_id, "wrong zone", NOW_NS)
    assert book.state() == set()
    again = book.only(TRADES, tz="UTC")
    assert (again.new + again.known, again.already_imported) == (5, False)
    assert book.state() == state
    book.journal.retract(report.batch_id, "wrong zone", NOW_NS)
    moved = book.only(TRADES, tz="Asia/Tokyo")
    assert (moved.claims, len(book.events())) == (5, 5)


def test_a_folder_gives_what_is_recognised_and_names_the_rest(book: Book, tmp_path: Path) -> None:
    folder = tmp_path / "exports"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "trade_history.csv").write_bytes(TRADES.read_bytes())
    (folder / "funding_history.csv").write_bytes((CASES / "funding_history.csv").read_bytes())
    (folder / "notes.txt").write_text("buy milk")
    (folder / ".hidden.csv").write_bytes(TRADES.read_bytes())
    (folder / "broken.csv").write_text("time,instrument,side,px,qty\n")
    report = book.take(folder, tz="UTC")
    told = {Path(file.path).name: file for file in report.files}
    assert set(told) == {"trade_history.csv", "funding_history.csv", "notes.txt", "broken.csv"}
    assert told["notes.txt"].skipped == "no reader recognises it"
    assert told["broken.csv"].skipped == "it holds no rows"
    assert (told["trade_history.csv"].new, told["funding_history.csv"].new) == (5, 2)
    assert report.failed == ()


def test_a_faulty_file_does_not_stop_the_others(book: Book, tmp_path: Path) -> None:
    missing, naive = tmp_path / "missing.csv", CASES / "trade_history.csv"
    report = book.take(missing, naive, CASES / "coinbase_fills.csv")
    assert [file.error is None for file in report.files] == [False, False, True]
    assert "cannot be read: No such file" in (report.files[0].error or "")
    assert "--tz" in (report.files[1].next_step or "")
    assert report.files[2].new == 3


def test_rejected_rows_are_listed_with_line_field_and_reason(book: Book) -> None:
    report = book.only(CASES / "bot_trades.csv")
    assert (report.rows, report.rejected, report.new) == (4, 1, 5)
    (row,) = report.rejections
    assert (Path(row.file).name, row.line, row.field) == ("bot_trades.csv", 5, "side")
    assert "1 row rejected" in report.labels
    (state,) = book.journal.batches()
    assert state.fact is not None and "1 row rejected" in state.fact.labels


def test_a_file_of_nothing_but_wrong_rows_is_an_error_and_leaves_no_batch(
    book: Book, tmp_path: Path
) -> None:
    path = tmp_path / "wrong.csv"
    path.write_text("time,instrument,side,px,qty\n2026-01-05T12:00:00Z,A-B,buy,x,1\n")
    (report,) = book.take(path).failed
    assert report.error == "none of its rows could be read"
    assert (report.rejected, book.journal.batches()) == (1, [])


def test_marks_go_beside_the_book_and_are_counted(book: Book, tmp_path: Path) -> None:
    path = tmp_path / "marks.csv"
    rows = [f"2026-01-05T12:00:{second:02d}Z,BTC-USD,{second + 1},mark" for second in range(60)]
    path.write_text("time,instrument,px,what\n" + "\n".join(rows))
    for _ in range(2):
        report = book.only(path, venue="x")
        assert (report.marks, report.claims, report.batch_id) == (60, 0, None)
    series = book.marks.series("x", "BTC-USD")
    assert (len(series.ts_ns), series.px[-1]) == (60, 60 * 10**series.scale)
    assert book.journal.batches() == []


def test_refused_files_leave_no_marks(book: Book, tmp_path: Path) -> None:
    path = tmp_path / "fills.csv"
    path.write_text(
        "time,instrument,side,px,qty,fee,fee_asset,fee_rate\n"
        "2026-01-05T12:00:00Z,BTC-USD,buy,1,1,1,BNB,700\n"
    )
    book.only(path, account="a", venue="one")
    (report,) = book.take(path, account="b", venue="two").failed
    assert report.marks == 0
    assert book.marks.instruments() == [("one", "BNB/USD")]


def test_what_the_journal_holds_is_what_the_reader_said(book: Book) -> None:
    names = ("hyperliquid_fills.json", "freqtrade.json", "bot_orders.csv", "coinbase_fills.csv")
    for name in names:
        book.take(CASES / name)
        told = read_file(CASES / name)
        wanted = {
            (claim.fact.account, with_ordinal(claim.key, claim.ordinal)): claim.fact
            for claim in told.claims
        }
        held = {(c.fact.account, c.key): c.fact for c in book.events()}
        assert {place: held[place] for place in wanted} == wanted
    assert book.journal.verify(reparse) == []


def test_every_sample_can_be_parsed_again_from_the_raw_text_it_left(book: Book) -> None:
    report = book.take(CASES, tz="UTC", start_ns=NOW_NS)
    assert report.failed == ()
    formats = {file.format for file in report.files}
    assert formats >= {reader.name for reader in READERS if not reader.name.startswith("generic")}
    assert book.journal.verify(reparse) == []
    assert sum(isinstance(claim.fact, Fill) for claim in book.events()) > 30


def test_the_order_of_files_changes_nothing(tmp_path: Path) -> None:
    paths = sorted(CASES.iterdir())
    states = []
    for seed in range(3):
        random.Random(seed).shuffle(paths)
        with opened(tmp_path / f"{seed}.db") as book:
            book.take(*paths, tz="UTC", start_ns=NOW_NS)
            states.append(book.state())
    assert states[0] == states[1] == states[2] != set()


def test_a_read_only_book_stops_the_import(tmp_path: Path) -> None:
    path = tmp_path / "fillbook.db"
    Journal.create(path).close()
    with (
        Journal.open(path, readonly=True) as journal,
        MarkStore(path.with_suffix(".marks")) as marks,
        pytest.raises(BookReadOnlyError),
    ):
        import_paths(journal, marks, [TRADES], ReadOptions(tz="UTC"))


def test_an_unknown_format_is_a_wrong_request(book: Book) -> None:
    with pytest.raises(UsageError, match="no format 'excel'") as told:
        book.take(TRADES, format="excel")
    assert "hyperliquid-web" in told.value.next_step
