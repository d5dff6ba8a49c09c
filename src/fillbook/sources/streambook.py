"""One stream's side of the book: its batch, its pages with cursor and coverage, what is known."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fillbook.facts.model import Claim, Instrument
from fillbook.ground.clock import HOUR_NS
from fillbook.ground.errors import InputError
from fillbook.journal.values import Appended, BatchOpen, Page
from fillbook.sources.beside import LONG_ROWS, beside
from fillbook.sources.coverage import CoverageLog, Spoken
from fillbook.sources.drafting import Drafting
from fillbook.sources.faults import UnreadableError
from fillbook.sources.health import Kept, read_kept
from fillbook.sources.pace import Pace
from fillbook.sources.source import RANK_API
from fillbook.sources.stream import Gap, JournalWriter, LiveAccount, PulledPage, Stream

# Without news a cursor and its coverage are written at least this often.
SPEAK_NS = HOUR_NS
_SPEAK_PAGES = 20


def batch_id_of(venue: str, account: str, stream: str) -> str:
    """Name the batch of a live stream.

    >>> batch_id_of("binance", "12345", "trades/BTCUSDT")
    'live:binance:12345:trades/BTCUSDT'
    """
    return f"live:{venue}:{account}:{stream}"


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """What the book made of a page; `newest_ns` is the latest event of the stream so far."""

    new: int = 0
    known: int = 0
    conflicts: int = 0
    newest_ns: int | None = None


class StreamBook:
    """Writes one stream. `cursor` is where it stands, in the stream's own words."""

    def __init__(
        self,
        account: LiveAccount,
        stream: Stream,
        writer: JournalWriter,
        pace: Pace,
        labels: tuple[str, ...],
    ) -> None:
        self.cursor: str | None = None
        self.coverage = CoverageLog(Spoken(account.venue, account.account, stream))
        self._writer = writer
        self._pace = pace
        self._opening = BatchOpen(
            batch_id=batch_id_of(account.venue, account.account, stream.name),
            source=stream.source,
            rank=RANK_API,
            venue=account.venue,
            account=account.account,
            fingerprint="",
            name=f"{account.venue} {stream.name}, live",
            labels=labels,
            context=stream.context,
        )
        self._drafting = Drafting()
        self._is_open = False
        self._newest_ns: int | None = None
        self._written_ticks = pace.ticks_ns()
        self._unwritten_pages = 0

    async def open(self) -> None:
        """Find where an earlier run stopped; opening twice is harmless. ValueError: unreadable."""
        if self._is_open:
            return
        resume = await self._writer.begin(self._opening)
        kept = read_kept(resume.cursor)
        if kept is not None:
            self.cursor = kept.cursor
            self.coverage.until_ns = kept.until_ns
            self.coverage.open_gap = kept.gap
            self._newest_ns = kept.newest_ns
        self._is_open = True

    async def keep(self, page: PulledPage, asked: str, behind: str) -> Tally:
        """Write the rows of a page that was asked for at one cursor and stand behind another.

        Rows the book has already are not written again, and a page without news only now and
        then. UnreadableError when the book cannot hold a row.
        """
        claims, marks, known = await beside(
            lambda: self._drafting.claims(page.rows), is_long=len(page.rows) > LONG_ROWS
        )
        if marks:
            await self._writer.put_marks(marks)
        described = [claim for claim in claims if isinstance(claim.fact, Instrument)]
        if described:
            # On a page of their own, so that counts speak of events.
            await self._append(described, asked, self.coverage.until_ns, self.coverage.open_gap)
            claims = [claim for claim in claims if not isinstance(claim.fact, Instrument)]
        if claims or self._is_time_to_speak(page.gap):
            done = await self._write(claims, behind, page.gap)
            return msgspec.structs.replace(done, known=done.known + known)
        self.cursor = behind
        self._unwritten_pages += 1
        return Tally(known=known, newest_ns=self._newest_ns)

    async def speak_gap(self, gap: Gap) -> None:
        """Write a gap that stays open until it is filled."""
        self.coverage.open_gap = gap
        if self._is_open:
            await self._write((), self.cursor, gap)

    async def speak(self) -> None:
        """Write how far the history is complete, where that is not written yet."""
        if self._is_open and self.coverage.is_pending:
            await self._write((), self.cursor, None)

    def idle_ns(self) -> int:
        """Return how long nothing was written."""
        return self._pace.ticks_ns() - self._written_ticks

    def _is_time_to_speak(self, gap: Gap | None) -> bool:
        coverage = self.coverage
        if coverage.is_news(gap) or coverage.heals():
            return True
        is_first = coverage.until_ns is None and coverage.is_pending
        late = self.idle_ns() >= SPEAK_NS or self._unwritten_pages >= _SPEAK_PAGES
        return is_first or late

    async def _write(self, claims: Sequence[Claim], cursor: str | None, gap: Gap | None) -> Tally:
        spans = self.coverage.claims(self._pace.now_ns(), gap)
        until_ns, open_gap = self.coverage.when_written()
        times = [claim.fact.ts_ns for claim in claims]
        self._newest_ns = max((*times, self._newest_ns or 0)) or None
        done = await self._append([*claims, *spans], cursor, until_ns, open_gap)
        self.cursor = cursor
        self._written_ticks, self._unwritten_pages = self._pace.ticks_ns(), 0
        self.coverage.written(gap)
        # What is said about coverage is not counted among the rows.
        new = max(0, done.new - len(spans))
        return Tally(
            new=new,
            known=len(claims) - new,
            conflicts=done.conflicts,
            newest_ns=self._newest_ns,
        )

    async def _append(
        self, claims: Sequence[Claim], cursor: str | None, until_ns: int | None, gap: Gap | None
    ) -> Appended:
        kept = Kept(cursor=cursor, until_ns=until_ns, gap=gap, newest_ns=self._newest_ns)
        page = Page(batch_id=self._opening.batch_id, claims=claims, cursor=kept.text())
        try:
            done = await self._writer.append(page)
        except InputError as fault:
            raise UnreadableError(fault.what, self._opening.name, fault.next_step) from fault
        self._drafting.remember(claims)
        return done
