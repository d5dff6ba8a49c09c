"""Coinbase Advanced Trade's histories as streams: what they share, and fills.

A history is read in stretches of time, each a chain of pages behind the venue's own cursor, which
tells nothing and holds only while every other parameter stays the same. Pages may come newest
first, so a stretch is complete when its chain has ended, and no sooner: what was visible when the
first page was asked for is then all there. A chain that an earlier run left is taken up once;
where the venue has forgotten its cursor, it is begun anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from fillbook.facts.model import Component
from fillbook.ground.clock import DAY_NS, MINUTE_NS, SECOND_NS, parse_ns
from fillbook.sources.coinbase.asks import PAGE_ROWS, answered, ask_of, stamp_of
from fillbook.sources.coinbase.fills import VENUE
from fillbook.sources.coinbase.rows import FILLS, RowContext, drafts_of
from fillbook.sources.faults import BrokenAnswerError
from fillbook.sources.files.records import parse_object
from fillbook.sources.rows import Row
from fillbook.sources.source import Draft, RowError
from fillbook.sources.stream import Answer, Ask, PulledPage, PulledRow

# No fill of this venue is older.
OLDEST_NS = parse_ns("2015-01-01T00:00:00Z")
LONGEST_NS = 4 * 366 * DAY_NS
# Rows that appeared meanwhile in front of an older chain could be too old for the daily look back.
_TAKEN_UP_NS = DAY_NS
FILLS_STREAM = "fills"
# Late rows are looked for so far back with every pull, and once a day.
OVERLAP_NS = 10 * MINUTE_NS
DEEP_NS = 7 * DAY_NS
# A round ends this far ahead of the venue's clock as we know it, so that the newest row of all,
# which a nudge told us of, is asked for in any case.
AHEAD_NS = 5 * SECOND_NS
# A row's own time and the one it is asked by differ a little, and an end may not be included.
_SLACK_NS = 2 * SECOND_NS
_MOST_AGAIN = 8

Note = Callable[[str], object]


class Place(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A cursor: everything before `from_ns` is journaled, and the round ends at `until_ns`.

    The chain being read covers [from_ns, end_ns); `after` is the venue's cursor in it ("": its
    first page), and `asked_ns` when that first page was asked for; `again` counts empty pages that
    led back to it. `since_ns` is the oldest row that was ever shown, or when the first walk found
    none: before it, the venue may keep nothing, and nothing is promised.

    Of orders: `open_ns` is when the oldest one was placed that was still open; `looked_ns` is when
    all that are open were last read, in so many pages; `looking` says that this round does, and
    counts its pages.
    """

    from_ns: int
    until_ns: int
    end_ns: int
    after: str = ""
    asked_ns: int | None = None
    open_ns: int | None = None
    again: int = 0
    since_ns: int | None = None
    looked_ns: int | None = None
    looked_pages: int = 0
    looking: int = 0

    def text(self) -> str:
        """Return the cursor as the journal keeps it."""
        return msgspec.json.encode(self).decode()


def read_place(text: str) -> Place:
    """Read a cursor back; ValueError when it is none."""
    return msgspec.json.decode(text, type=Place)


def begin_chain(last_ns: int | None, now_ns: int, overlap_ns: int) -> Place:
    """Return the first place of a round that re-reads `overlap_ns` and ends at `now_ns`."""
    from_ns = OLDEST_NS if last_ns is None else max(OLDEST_NS, last_ns - overlap_ns)
    until_ns = max(from_ns, now_ns + AHEAD_NS)
    end_ns = min(until_ns, from_ns + LONGEST_NS)
    return Place(from_ns=from_ns, until_ns=until_ns, end_ns=end_ns)


class HistoryStream:
    """One history of the portfolio; `path` and the names of its range are the venue's."""

    overlap_ns = OVERLAP_NS
    deep_ns = DEEP_NS
    instrument: str | None = None
    path: str
    range_names: tuple[str, str]

    def __init__(
        self,
        account: str,
        *,
        name: str,
        source: str,
        components: tuple[Component, ...],
        every_ns: int,
        note: Note,
        page_rows: int,
    ) -> None:
        self.name = name
        self.source = source
        self.context = RowContext(account).text()
        self.components = components
        self.every_ns = every_ns
        self._account = account
        self._note = note
        self._page_rows = page_rows
        self._has_begun = False

    def begin(self, cursor: str | None, now_ns: int, overlap_ns: int) -> str:
        """Return the first cursor of a round; ValueError for a cursor of unknown form."""
        is_first, self._has_begun = not self._has_begun, True
        if cursor is None:
            return self._first(begin_chain(None, now_ns, overlap_ns)).text()
        last = read_place(cursor)
        if is_first and last.asked_ns is not None and now_ns - last.asked_ns < _TAKEN_UP_NS:
            return cursor
        begun = self._begun(last, now_ns, overlap_ns)
        return msgspec.structs.replace(begun, since_ns=last.since_ns).text()

    def ask(self, cursor: str, now_ns: int) -> Ask:
        """Return the read of the page behind the cursor."""
        place = read_place(cursor)
        since, until = self.range_names
        query = [
            (since, stamp_of(place.from_ns - _SLACK_NS)),
            (until, stamp_of(place.end_ns + _SLACK_NS)),
            ("limit", str(self._page_rows)),
        ]
        if place.after:
            query.append(("cursor", place.after))
        return ask_of(self.path, query)

    def parse(self, answer: Answer, cursor: str) -> PulledPage:
        """Parse one page; BrokenAnswerError when the answer is of another shape."""
        place = read_place(cursor)
        items, after = self._told(answer)
        pulled, cells = self._rows(items)
        self._look(cells)
        place = self._noted(_since(place, pulled), cells)
        asked_ns = answer.asked_ns if place.asked_ns is None else place.asked_ns
        if not after:
            return self._ended(place, pulled, asked_ns)
        again = place.again + 1 if after == place.after else 0
        # Only an empty cursor is the end: a page that leads nowhere may lead on the next time.
        if again and (items or again > _MOST_AGAIN):
            raise BrokenAnswerError(
                "the venue's cursor leads back to the same page",
                f"{VENUE} {self.name}",
                "nothing to do if it passes: it is tried again",
            )
        on = msgspec.structs.replace(place, after=after, asked_ns=asked_ns, again=again)
        return PulledPage(rows=pulled, next_cursor=on.text(), more=True)

    def narrow(self, cursor: str) -> str | None:
        """Return None: the venue's cursor leads through crowded instants."""
        return None

    def _ended(self, place: Place, pulled: tuple[PulledRow, ...], asked_ns: int) -> PulledPage:
        """Return the last page of a chain: what was visible when it began is complete."""
        known_ns = min(place.end_ns, asked_ns)
        more = known_ns == place.end_ns and place.end_ns < place.until_ns
        reached_ns = max(known_ns, place.from_ns)
        following = msgspec.structs.replace(
            place,
            from_ns=reached_ns,
            end_ns=min(place.until_ns, reached_ns + LONGEST_NS),
            after="",
            asked_ns=None,
            again=0,
        )
        since_ns = place.since_ns
        if not more:
            following = self._over(following)
            if since_ns is None:
                following = msgspec.structs.replace(following, since_ns=known_ns)
        start_ns = known_ns if since_ns is None else max(place.from_ns, since_ns)
        is_covered = known_ns > start_ns
        return PulledPage(
            rows=pulled,
            next_cursor=following.text(),
            more=more,
            covered_from_ns=start_ns if is_covered else None,
            covered_until_ns=known_ns if is_covered else None,
        )

    def _rows(self, items: Iterable[msgspec.Raw]) -> tuple[tuple[PulledRow, ...], list[Row]]:
        pulled: list[PulledRow] = []
        cells: list[Row] = []
        for item in items:
            raw = bytes(item).decode()
            try:
                row = parse_object(raw)
                drafts = tuple(drafts_of(self.source, row, self._account))
            except RowError as fault:
                pulled.append(PulledRow(raw=raw, fault=fault))
            else:
                pulled.append(PulledRow(raw=raw, drafts=drafts))
                cells.append(row)
        return tuple(pulled), cells

    def _first(self, place: Place) -> Place:
        return place

    def _begun(self, last: Place, now_ns: int, overlap_ns: int) -> Place:
        return begin_chain(last.from_ns, now_ns, overlap_ns)

    def _told(self, answer: Answer) -> tuple[list[msgspec.Raw], str]:
        """Return the rows of an answer, and the cursor behind them ("" at the end)."""
        raise NotImplementedError

    def _look(self, cells: list[Row]) -> None:
        for row in cells:
            self._note(row.need("product_id"))

    def _noted(self, place: Place, cells: list[Row]) -> Place:
        """Return a place that knows of the rows of a page what later rounds need."""
        return place

    def _over(self, place: Place) -> Place:
        """Return the last place of a round."""
        return place


def _since(place: Place, rows: Iterable[PulledRow]) -> Place:
    told = [d.fact.ts_ns for row in rows for d in row.drafts if isinstance(d, Draft)]
    if place.since_ns is not None:
        told.append(place.since_ns)
    return msgspec.structs.replace(place, since_ns=min(told, default=None))


class _Fills(msgspec.Struct):
    fills: list[msgspec.Raw]
    cursor: str | None = None


class FillsStream(HistoryStream):
    """Every execution of the portfolio. `seen` is told the order and the entry of each."""

    path = "orders/historical/fills"
    range_names = ("start_sequence_timestamp", "end_sequence_timestamp")

    def __init__(
        self,
        account: str,
        *,
        note: Note,
        seen: Callable[[str, str], object],
        page_rows: int = PAGE_ROWS,
    ) -> None:
        super().__init__(
            account,
            name=FILLS_STREAM,
            source=FILLS,
            components=("fills",),
            every_ns=MINUTE_NS,
            note=note,
            page_rows=page_rows,
        )
        self._seen = seen

    def _told(self, answer: Answer) -> tuple[list[msgspec.Raw], str]:
        told = answered(answer, _Fills)
        return told.fills, told.cursor or ""

    def _look(self, cells: list[Row]) -> None:
        super()._look(cells)
        for row in cells:
            self._seen(row.text("order_id") or "", row.need("entry_id"))
