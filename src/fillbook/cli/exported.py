"""`fillbook export`: from what was asked to the folder it is in."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from fillbook.analysis import summary
from fillbook.analysis.answers import TradeRow
from fillbook.cli.figures import plural
from fillbook.cli.opening import Place, find, opened_book, query_of
from fillbook.cli.options import Asked
from fillbook.cli.page import Page
from fillbook.cli.progress import progress
from fillbook.ground.clock import iso, now_ns
from fillbook.ground.errors import ConfigError, UsageError
from fillbook.journal.store import Journal
from fillbook.marks.series import MarkStore
from fillbook.monitor.hook import webhook_folder, webhook_of
from fillbook.monitor.token import push_token
from fillbook.publish.exporting import NAMES, TRADES, USUAL, Wanted, sheets_of
from fillbook.publish.exports import Exported, Format, Sheet, write_export
from fillbook.resolve.counted import counted
from fillbook.sources.attach import Tools


def exported(
    asked: Asked, names: Sequence[str], out: Path, form: Format, *, force: bool
) -> Exported:
    """Write the export and return what was written."""
    for name in names:
        if name not in NAMES:
            raise UsageError(f"{name!r} cannot be exported", "", f"choose among {', '.join(NAMES)}")
    place = find(asked.book)
    query = query_of(asked, place.settings, now_ns())
    wanted = Wanted(
        since_ns=query.since_ns,
        until_ns=query.until_ns,
        accounts=query.accounts,
        names=frozenset(names) or frozenset(USUAL),
    )
    _learn_secrets(place)
    with opened_book(place, readonly=True) as (journal, marks), progress("exporting") as report:
        trades: Sequence[TradeRow] = ()
        if TRADES in wanted.names:
            view = summary.load(journal, marks, place.settings, cache=place.cache)
            trades = summary.trades(view, query)
        head = journal.head()
        about = Exported(
            path=str(out),
            book=head.book_id,
            seq=head.seq,
            head=head.hash,
            format=form,
            since=None if query.since_ns is None else iso(query.since_ns),
            until=None if query.until_ns is None else iso(query.until_ns),
            accounts=query.accounts,
            files=(),
        )
        sheets = _sheets(journal, marks, head.seq, trades, wanted)
        return write_export(out, sheets, about, force=force, progress=report)


def _learn_secrets(place: Place) -> None:
    """Teach the redactor the keys in use here: a bot may have written one into a text."""
    tools = Tools()
    for attach in place.settings.attach:
        with contextlib.suppress(ConfigError):
            tools.credentials(attach)
    with contextlib.suppress(ConfigError):
        push_token(place.settings.monitor, os.environ)
    with contextlib.suppress(ConfigError):
        webhook_of(place.settings.monitor, os.environ, webhook_folder(place.book))


def _sheets(
    journal: Journal, marks: MarkStore, seq: int, trades: Sequence[TradeRow], wanted: Wanted
) -> Iterator[Sheet]:
    """Yield the sheets; the book is read when the first is asked for, as it stood at `seq`."""
    yield from sheets_of(counted(journal.claims(as_of=seq)), trades, marks, wanted)


def show_exported(page: Page, done: Exported) -> None:
    """Say what was written."""
    for file in done.files:
        page.line(f"{done.path}/{file.name}: {plural(file.rows, 'row')}")
    if not done.files:
        page.line("There was nothing to write but the manifest.")
    page.gap()
    page.line(f"True at seq {done.seq:,}; {done.path}/export.json names the head and every file.")
