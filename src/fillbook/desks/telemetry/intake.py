"""Takes a bot's events in: read at once, written down by the book's thread, never a fault."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from datetime import tzinfo

from fillbook.desks.telemetry.book import DeskBook, OpenBook
from fillbook.desks.telemetry.events import BotEvent, read_event
from fillbook.desks.telemetry.executions import EXECUTION, from_stream
from fillbook.desks.telemetry.facts import DeskAccount
from fillbook.desks.telemetry.positions import Difference, PositionCheck
from fillbook.desks.telemetry.trades import TradeLog
from fillbook.facts.model import Claim
from fillbook.journal.values import BatchOpen
from fillbook.sources.source import RowError

# A bot may send the same nonsense for years.
MOST_REFUSED = 1000

_log = logging.getLogger(__name__)


class EventIntake:
    """Writes one account's events into its book; `refused` says what could not be read lately."""

    def __init__(
        self, book: DeskBook, whose: DeskAccount, clock: Callable[[], int], zone: tzinfo
    ) -> None:
        self.refused: deque[str] = deque(maxlen=MOST_REFUSED)
        self._book = book
        self._clock = clock
        self._zone = zone
        self._trades = TradeLog(whose)
        self._check = PositionCheck(whose, self._trades.known)
        self._batch = BatchOpen(
            batch_id=f"desk:{whose.venue}:{whose.account}:events",
            source="push",
            rank=0,
            venue=whose.venue,
            account=whose.account,
            fingerprint="",
            name="events of the bot",
        )
        book.submit(self._take_up)

    def take(self, event: object, kind: str | None) -> None:
        """Take in one event; returns at once."""
        try:
            frame = from_stream(event)
            if frame is not None:
                event, kind = frame, EXECUTION
            read = read_event(event, kind, self._clock(), self._zone)
        except RowError as fault:
            self._refuse(kind or "event", fault)
            return
        self._book.submit(lambda book: self._write(book, read))

    def check(self, rows: list[object]) -> list[Difference]:
        """Compare the venue's positions with the bot's, after all events handed in before."""

        def compare(book: OpenBook) -> list[Difference]:
            found, claims, unreadable = self._check.compare(rows, self._clock())
            for line in unreadable:
                self.note(f"position: {line}")
            if claims:
                book.write(self._batch, claims)
            return found

        return self._book.run(compare)

    def note(self, line: str) -> None:
        """Log and keep what could not be read."""
        self.refused.append(line)
        _log.warning("telemetry: not read: %s", line)

    def _take_up(self, book: OpenBook) -> None:
        book.begin(self._batch)
        for claim in book.journal.claims(kinds=("fill", "order", "report")):
            self._trades.remember(claim)
            self._check.remember(claim)

    def _write(self, book: OpenBook, event: BotEvent) -> None:
        try:
            claims: list[Claim] = self._trades.claims(event)
        except RowError as fault:
            self._refuse(event.kind, fault)
            return
        if claims:
            book.write(self._batch, claims)

    def _refuse(self, kind: str, fault: RowError) -> None:
        self.note(f"{kind}: {fault.field or 'event'} {fault.reason}")
