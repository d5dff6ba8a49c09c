"""From what was typed to an open book: find it, read the settings, fold, build the query."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fillbook.cli.options import Asked, Method
from fillbook.cli.progress import progress
from fillbook.ground.clock import now_ns, parse_ns, parse_when, zone
from fillbook.ground.errors import BookMissingError, UsageError
from fillbook.ground.settings import Settings, load_settings

if TYPE_CHECKING:
    from fillbook.analysis.view import BookView, Query
    from fillbook.journal.store import Journal
    from fillbook.marks.series import MarkStore

CONFIG_NAME = "fillbook.toml"
# An error stays readable however many accounts a book has.
_MOST_NAMED = 10


class Place(msgspec.Struct, frozen=True):
    """Where the book is and the settings that go with it."""

    book: Path
    settings: Settings

    @property
    def marks(self) -> Path:
        """Return the file of price series beside the book."""
        return Path(f"{self.book}.marks")

    @property
    def cache(self) -> Path:
        """Return the folder of everything derived; it can be deleted at any time."""
        return Path(f"{self.book}.cache")


def find(book: Path | None, method: Method | None = None) -> Place:
    """Find the book and its settings.

    fillbook.toml is taken from the book's own folder when --book names one and it is there, else
    from the working directory.
    """
    beside = book.parent / CONFIG_NAME if book is not None else None
    config = beside if beside is not None and beside.exists() else Path(CONFIG_NAME)
    settings = load_settings(config)
    if method is not None:
        settings = msgspec.structs.replace(settings, fold=type(settings.fold)(method))
    return Place(book or config.parent / settings.book.path, settings)


def require_book(place: Place) -> None:
    """Raise BookMissingError, which says how to make a book, where there is none."""
    if not place.book.exists():
        raise BookMissingError(
            "there is no book here yet",
            str(place.book),
            "`fillbook init` makes one, `fillbook import PATH` fills it; --book names another",
        )


@contextmanager
def opened_book(place: Place, *, readonly: bool) -> Iterator[tuple[Journal, MarkStore]]:
    """Open the journal and the marks beside it."""
    from fillbook.journal.store import Journal
    from fillbook.marks.series import MarkStore

    require_book(place)
    with (
        Journal.open(place.book, readonly=readonly) as journal,
        MarkStore(place.marks, readonly=readonly) as marks,
    ):
        yield journal, marks


@contextmanager
def folded(asked: Asked) -> Iterator[tuple[BookView, Query, Place]]:
    """Open the book read-only, fold it as far as was asked, and give the query its meaning."""
    from fillbook.analysis import summary
    from fillbook.analysis.labels import ACCOUNT_LABEL, with_labels

    place = find(asked.book, asked.method)
    query = query_of(asked, place.settings, now_ns())
    with opened_book(place, readonly=True) as (journal, marks), progress("folding") as report:
        settings = with_labels(place.settings, journal.labelled(ACCOUNT_LABEL))
        place = msgspec.structs.replace(place, settings=settings)
        query = msgspec.structs.replace(query, accounts=accounts_of(asked.account, settings))
        refuse_unknown(query.accounts, {batch.account for batch in journal.batches()}, place)
        view = summary.load(
            journal,
            marks,
            place.settings,
            as_of=asked.as_of,
            progress=report,
            cache=place.cache,
        )
        yield view, _meant(view, query), place


def query_of(asked: Asked, settings: Settings, now: int) -> Query:
    """Turn typed filters into a query; a label stands for its account, a day for its zone."""
    from fillbook.analysis.view import Query

    since, until = (
        _instant(text, option, settings, now)
        for text, option in ((asked.since, "--since"), (asked.until, "--until"))
    )
    if since is not None and until is not None and since >= until:
        raise UsageError(
            "the window is empty", f"--since {asked.since} --until {asked.until}", "swap them"
        )
    return Query(
        since_ns=since,
        until_ns=until,
        accounts=accounts_of(asked.account, settings),
        strategies=tuple(asked.strategy or ()),
        instruments=tuple(asked.instrument or ()),
        by=asked.by,
    )


def _instant(text: str | None, option: str, settings: Settings, now: int) -> int | None:
    if text is None:
        return None
    try:
        if text.strip()[-1:] in ("s", "m", "h", "d", "w"):
            return parse_when(text, now)
        return parse_ns(text, tz=zone(settings.report.day_zone))
    except ValueError as fault:
        raise UsageError(
            str(fault), f"{option} {text}", "write 2026-01-31, 2026-01-31T12:00:00Z or 7d"
        ) from fault


def refuse_unknown(asked: Iterable[str], known: set[str], place: Place) -> None:
    """Raise UsageError for an account of which nothing is: zeros about it would look like news."""
    if not known:
        return
    for account in asked:
        if account not in known and account not in place.settings.labels:
            names = sorted({place.settings.label(one) for one in known})
            raise UsageError(
                "the book knows no such account", f"--account {account}", f"it has {_few(names)}"
            )


def _meant(view: BookView, query: Query) -> Query:
    """Return the query by the names of the ledger: an alias stands for its instrument.

    UsageError for a name of which nothing is, unless the book is empty.
    """
    from fillbook.analysis import summary

    if not (query.instruments or query.strategies):
        return query
    known = summary.names(view, query)
    if not known.instruments:
        return query
    _refuse_unnamed("instrument", query.instruments, known.instruments)
    _refuse_unnamed("strategy", query.strategies, known.strategies)
    symbols = dict.fromkeys(one for name in query.instruments for one in known.instruments[name])
    return msgspec.structs.replace(query, instruments=tuple(symbols))


def _refuse_unnamed(option: str, asked: Iterable[str], known: Collection[str]) -> None:
    for name in asked:
        if name not in known:
            near = get_close_matches(name, known, _MOST_NAMED, 0.5)
            told = dict.fromkeys([*near, *sorted(known)])
            raise UsageError(
                f"the book knows no such {option}", f"--{option} {name}", f"it has {_few([*told])}"
            )


def _few(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def accounts_of(names: Sequence[str] | None, settings: Settings) -> tuple[str, ...]:
    """Return the accounts that are meant: a label stands for every account that carries it."""
    labels: dict[str, list[str]] = {}
    for account, label in settings.labels.items():
        labels.setdefault(label, []).append(account)
    found: list[str] = []
    for name in names or ():
        found.extend(labels.get(name, [name]))
    return tuple(found)
