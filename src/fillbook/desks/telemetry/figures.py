"""Which of the ledger's records a desk tells: its account's, in its currency, never none at all."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from fillbook.analysis.daily import DailyRecord
from fillbook.analysis.dayrecord import between, daily, entry_orders, lifetime
from fillbook.analysis.view import BookView
from fillbook.desks.telemetry.book import OpenBook
from fillbook.desks.telemetry.summaries import empty_record
from fillbook.ground.errors import InputError
from fillbook.ground.settings import Settings
from fillbook.journal.store import Journal
from fillbook.marks.series import MarkStore, marks_path
from fillbook.sources.files.importing import import_paths
from fillbook.sources.source import ReadOptions


class Whose(msgspec.Struct, frozen=True):
    """The account and the currency a desk speaks of."""

    account: str
    currency: str


def whole(view: BookView, whose: Whose) -> DailyRecord:
    """Return the record of everything the book knows."""
    until_ns = max([view.end_ns, *(order.ts_ns for order in view.ledger.orders)]) + 1
    return _mine(view, whose, lifetime(view), "", 0, until_ns)[0]


def window(view: BookView, whose: Whose, since_ns: int, until_ns: int) -> DailyRecord:
    """Return the record of [since, until)."""
    records = between(view, since_ns, until_ns)
    return _mine(view, whose, records, "", since_ns, until_ns)[0]


def day_of_book(view: BookView, whose: Whose, day: str) -> list[DailyRecord]:
    """Return the records of one day, the desk's own currency first."""
    return _mine(view, whose, daily(view, day), day, *view.settings.report.days.bounds(day))


@contextmanager
def passing_book(
    files: Mapping[Path, str], options: ReadOptions, settings: Settings, clock: Callable[[], int]
) -> Iterator[tuple[BookView, list[str]]]:
    """Read files, each with its format, into a book of their own that does not stay.

    Yields the view, and the rows that cannot be read. InputError where a file cannot be read at
    all.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "trades.db"
        Journal.create(place).close()
        refused: list[str] = []
        with Journal.open(place) as journal, MarkStore(marks_path(place)) as marks:
            for path, form in files.items():
                report = import_paths(journal, marks, [path], options, form, clock=clock)
                for failed in report.failed:
                    raise InputError(failed.error or "", failed.where or "", failed.next_step or "")
                refused += [
                    f"{row.file}:{row.line} {row.field or 'row'}: {row.reason}"
                    for file in report.files
                    for row in file.rejections
                ]
        passing = OpenBook(place, settings, clock)
        try:
            yield passing.view(), refused
        finally:
            passing.close()


def _mine(
    view: BookView,
    whose: Whose,
    records: Sequence[DailyRecord],
    day: str,
    since_ns: int,
    until_ns: int,
) -> list[DailyRecord]:
    """Return the desk's records; where nothing moved yet, one with what is known of its orders."""
    mine = [record for record in records if record.account == whose.account]
    mine.sort(key=lambda record: (record.currency != whose.currency, record.currency))
    if mine and mine[0].currency == whose.currency:
        return mine
    placed, filled = entry_orders(view.ledger.orders, whose.account, since_ns, until_ns)
    quiet = empty_record(
        day,
        since_ns,
        until_ns - since_ns,
        currency=whose.currency,
        account=whose.account,
        book=view.ledger.book_id,
        seq=view.seq,
        head=view.head,
        orders_placed=placed,
        orders_filled=filled,
    )
    return [quiet, *mine]
