"""What an import did, on screen: one row per file and account, then what was rejected."""

from __future__ import annotations

from collections.abc import Sequence

from fillbook.cli.figures import UNKNOWN, clean, day, plural, shortened
from fillbook.cli.opening import Place
from fillbook.cli.page import Page
from fillbook.cli.tables import Cell, Column
from fillbook.sources.files.importing import FileReport, ImportReport

_MOST_REJECTED = 20


def show_import(page: Page, outcome: ImportReport, place: Place) -> None:
    """Write the table of files, then rejected rows, faults, and what to do next."""
    read = [file for file in outcome.files if file.error is None and file.skipped is None]
    if read:
        hidden = page.table(_columns(read, place))
        page.gap()
        if "batch" in hidden:
            page.line(f"Not shown at this width: {', '.join(hidden)} (--json has all).", "quiet")
    left = [file for file in outcome.files if file.skipped is not None]
    for file in left[:_MOST_REJECTED]:
        page.line(f"left alone {file.path}: {file.skipped}", "quiet", rest="  ")
    if len(left) > _MOST_REJECTED:
        page.line(f"and {len(left) - _MOST_REJECTED:,} more files left alone", "quiet")
    for file in outcome.failed:
        page.line(f"NOT imported {file.path}: {file.error}", "loss", rest="  ")
        if file.where:
            page.line(f"where: {file.where}", indent="  ", rest="    ")
        if file.next_step:
            page.line(f"next: {file.next_step}", indent="  ", rest="    ")
    _rejections(page, outcome.files)
    if conflicts := sum(file.conflicts for file in read):
        told = f"{plural(conflicts, 'row')} of a known event with other figures: both are kept"
        page.line(f"{told}, see `fillbook findings`.", rest="  ")
    page.line(_ending(outcome, read))


def _columns(read: Sequence[FileReport], place: Place) -> list[Column]:
    def texts(title: str, told: list[str], rank: int = 0) -> Column:
        return Column(title=title, cells=[Cell(clean(text)) for text in told], rank=rank)

    def counts(title: str, told: list[int], rank: int = 0) -> Column:
        cells = [Cell(f"{count:,}") for count in told]
        return Column(title=title, cells=cells, rank=rank, right=True)

    columns = [
        texts("file", [_short(file.path) for file in read]),
        texts("format", [file.format or UNKNOWN for file in read], 1),
        texts(
            "account",
            [shortened(place.settings.label(file.account or UNKNOWN)) for file in read],
            3,
        ),
        texts("days", [f"{day(file.first)} to {day(file.last)}" for file in read], 4),
        counts("rows", [file.rows for file in read]),
        counts("new", [file.new for file in read]),
        counts("known", [file.known for file in read]),
        counts("conflicts", [file.conflicts for file in read], 2),
        counts("marks", [file.marks for file in read], 5),
        counts("rejected", [file.rejected for file in read]),
        texts("batch", [file.batch_id or UNKNOWN for file in read], 2),
    ]
    if len({(file.path, file.account) for file in read}) < len(read):
        # Rows of one file that no account tells apart are told apart by venue.
        columns.insert(2, texts("venue", [file.venue or UNKNOWN for file in read], 1))
    silent = ("conflicts", "marks")
    return [
        column
        for column in columns
        if column.title not in silent or any(cell.text != "0" for cell in column.cells)
    ]


def _short(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _rejections(page: Page, files: Sequence[FileReport]) -> None:
    count = sum(file.rejected for file in files)
    if not count:
        return
    page.line(f"{plural(count, 'row')} could not be read.", "strong")
    rows = [row for file in files for row in file.rejections]
    for row in rows[:_MOST_REJECTED]:
        place = f"{_short(row.file)}:{row.line}" if row.line is not None else _short(row.file)
        field = f" field {row.field}" if row.field else ""
        page.line(f"{place}{field}: {row.reason}", indent="  ", rest="    ")
        page.line(row.text, "quiet", indent="    ", rest="    ")
    if count > _MOST_REJECTED:
        rest = count - min(len(rows), _MOST_REJECTED)
        page.line(f"and {rest:,} more (--json lists them)", "quiet", indent="  ")
    page.gap()


def _ending(outcome: ImportReport, read: Sequence[FileReport]) -> str:
    if outcome.dry_run:
        return "A dry run: nothing was written."
    new = sum(file.new for file in read)
    marks = sum(file.marks for file in read)
    told = f"{new:,} new" + (f", {plural(marks, 'mark')}" if marks else "")
    seq = "" if outcome.seq is None else f"; the book is at seq {outcome.seq:,}"
    return f"{told}{seq}. Next: fillbook why"
