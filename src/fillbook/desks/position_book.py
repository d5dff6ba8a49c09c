"""A private book of one platform's positions: each look is journaled, then read from the ledger.

Opened for each look and closed again, so that any thread may look and a kill at any moment loses
nothing that was told. The state of the observation stands in the journal beside its claims.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path

import msgspec

from fillbook.analysis.answers import PositionRow, TradeRow
from fillbook.analysis.summary import fills, positions, trades
from fillbook.analysis.valuation import Valuer
from fillbook.analysis.view import BookView, Query
from fillbook.desks.trade_outcomes import Exit, exits_of
from fillbook.facts.model import Claim
from fillbook.ground.clock import HOUR_NS, parse_ns
from fillbook.ground.clock import now_ns as wall_ns
from fillbook.ground.exact import from_scaled
from fillbook.ground.settings import Settings
from fillbook.journal.store import BatchOpen, Journal, Page
from fillbook.ledger.following import Following
from fillbook.marks.series import Mark, MarkStore, marks_path
from fillbook.sources.observed import RANK_OBSERVED, SOURCE, Observer
from fillbook.sources.observed_rows import Position, Positions, Unreadable

BOOK_NAME = "fillbook.db"


class Look(msgspec.Struct, frozen=True):
    """The trades after one look: all that are open, and those that closed since the last one.

    The first look of a run lists every closed trade. Closed trades may be listed again.
    `updates` counts the prices seen during each trade and `sizes` says what is left of each open
    one, by trade id. `unrealized` is what all open positions stand at, None where one of them has
    no price.
    """

    view: BookView
    opened: tuple[TradeRow, ...]
    closed: tuple[TradeRow, ...]
    updates: dict[str, int]
    sizes: dict[str, str]
    unrealized: Decimal | None

    def exits(self, row: TradeRow) -> list[Exit]:
        """Return the closings of one of these trades, partial ones included."""
        query = Query(
            since_ns=parse_ns(row.entry_time),
            accounts=(row.account,),
            instruments=(row.product_id,),
        )
        return exits_of(row, fills(self.view, query))


class PositionBook:
    """The book file of one observed account; looks come one at a time, from any thread."""

    def __init__(
        self, folder: Path, observer: Observer, clock: Callable[[], int] = wall_ns
    ) -> None:
        self.path = folder / BOOK_NAME
        self._observer = observer
        self._clock = clock
        self._lock = threading.Lock()
        self._following = Following()
        self._settings = Settings()
        self._batch = f"{SOURCE}:{observer.venue}:{observer.account}"
        self._restored = False
        self._since_ns: int | None = None

    def look(self, seen: Positions | None, when_ns: int | None = None) -> Look:
        """Take in one snapshot (None: just read the book) and return all trades."""
        with self._lock:
            now_ns = self._clock() if when_ns is None else when_ns
            with self._journal() as journal, MarkStore(marks_path(self.path)) as marks:
                if not self._restored:
                    self._restore(journal, marks, now_ns)
                return self._look(journal, marks, seen, now_ns)

    def add(self, position: Position) -> Look | None:
        """Take in one position beside all others; None when the book holds it already."""
        with self._lock:
            now_ns = self._clock()
            with self._journal() as journal, MarkStore(marks_path(self.path)) as marks:
                if not self._restored:
                    self._restore(journal, marks, now_ns)
                if position.place in self._observer.held:
                    return None
                others = tuple(Unreadable(at.instrument, "not asked") for at in self._observer.held)
                seen = Positions({position.place: position}, others)
                return self._look(journal, marks, seen, now_ns)

    def _look(
        self, journal: Journal, marks: MarkStore, seen: Positions | None, now_ns: int
    ) -> Look:
        if seen is not None:
            claims, prices = self._observer.observe(seen, now_ns)
            self._remember(journal, marks, claims, prices, now_ns)
        found = self._read(journal, marks)
        self._since_ns = now_ns - HOUR_NS
        return found

    def _journal(self) -> Journal:
        if self.path.exists():
            return Journal.open(self.path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return Journal.create(self.path)

    def _restore(self, journal: Journal, marks: MarkStore, now_ns: int) -> None:
        resume = journal.begin(
            BatchOpen(
                batch_id=self._batch,
                source=SOURCE,
                rank=RANK_OBSERVED,
                venue=self._observer.venue,
                account=self._observer.account,
                fingerprint="",
                name=f"positions of {self._observer.venue}, observed",
            ),
            now_ns,
        )

        def newest_px(instrument: str) -> Decimal | None:
            series = marks.series(self._observer.venue, instrument)
            return from_scaled(int(series.px[-1]), series.scale) if len(series.px) else None

        self._observer.restore(resume.cursor, newest_px)
        self._restored = True

    def _remember(
        self,
        journal: Journal,
        marks: MarkStore,
        claims: Sequence[Claim],
        prices: Sequence[Mark],
        now_ns: int,
    ) -> None:
        try:
            if prices:
                marks.put(prices)
            if claims:
                state = self._observer.state()
                journal.append(Page(batch_id=self._batch, claims=claims, cursor=state), now_ns)
        except BaseException:  # the observer is ahead of the book now: start again from the book
            self._restored = False
            raise

    def _read(self, journal: Journal, marks: MarkStore) -> Look:
        ledger = self._following.refresh(journal)
        valuer = Valuer(marks, self._settings.marks.max_age_ns)
        view = BookView(lambda: ledger, valuer, self._settings, seq=ledger.seq, head=ledger.head)
        mine = (self._observer.account,)
        rows = trades(view, Query(since_ns=self._since_ns, accounts=mine))
        opened = tuple(row for row in rows if row.final_status == "open")
        held = positions(view, Query(accounts=mine))
        return Look(
            view,
            opened,
            tuple(row for row in rows if row.final_status != "open"),
            {row.trade_id: self._updates(row, valuer) for row in rows},
            _sizes(opened, held),
            _total([row.unrealized for row in held]),
        )

    def _updates(self, row: TradeRow, valuer: Valuer) -> int:
        series = valuer.series(row.venue, row.product_id)
        if series is None:
            return 0
        first = series.ts_ns.searchsorted(parse_ns(row.entry_time))
        if row.exit_time is None:
            return len(series.ts_ns) - int(first)
        return int(series.ts_ns.searchsorted(parse_ns(row.exit_time), side="right") - first)


def _sizes(opened: Sequence[TradeRow], held: Sequence[PositionRow]) -> dict[str, str]:
    """Return what is left of open trades; of a place at most one is open."""
    left = {(row.instrument, row.position_side): row.qty.removeprefix("-") for row in held}
    places = {row.trade_id: (row.product_id, row.side.lower()) for row in opened}
    return {name: left[place] for name, place in places.items() if place in left}


def _total(amounts: Sequence[str | None]) -> Decimal | None:
    known = [Decimal(amount) for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if len(known) == len(amounts) else None
