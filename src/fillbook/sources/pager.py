"""Drives one stream: page by page into the book, the cursor in the same transaction.

A round begins a stretch behind the last cursor, because rows may appear late, and ends when the
venue has no more. It can be cancelled or killed at any point: what is not journaled is pulled
again, and what is pulled again the journal knows. A stream that cannot be read rightly stands
still and says so, with the gap in front of it in the book; the other streams go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import msgspec

from fillbook.facts.model import Instrument
from fillbook.ground.clock import MINUTE_NS, SECOND_NS
from fillbook.marks.series import Mark
from fillbook.sources.beside import LONG_TEXT, beside
from fillbook.sources.faults import (
    CursorExpiredError,
    ForbiddenRequestError,
    RateLimitedError,
    SourceError,
    UnreadableError,
    VenueFailedError,
)
from fillbook.sources.health import Pulled, State, StreamHealth
from fillbook.sources.pace import Pace
from fillbook.sources.redact import EVERYWHERE
from fillbook.sources.stream import Answer, Gap, JournalWriter, LiveAccount, PulledPage, Stream
from fillbook.sources.streambook import SPEAK_NS, StreamBook, Tally

P = ParamSpec("P")
T = TypeVar("T")

_MOST_EMPTY = 500
_HALTED_EVERY_NS = 15 * MINUTE_NS
_FAULTED_FIRST_NS = 5 * SECOND_NS
_MOST_TEXT = 1500
_NEXT_STEP = (
    "update Fillbook; if that does not help, report it with the text in `fillbook findings`"
)


class Pager:
    """One stream of one account, on its way into the book."""

    def __init__(
        self,
        account: LiveAccount,
        stream: Stream,
        writer: JournalWriter,
        pace: Pace,
        labels: tuple[str, ...] = (),
    ) -> None:
        self.stream = stream
        self._account = account
        self._pace = pace
        self._book = StreamBook(account, stream, writer, pace, labels)
        self._turn = asyncio.Lock()
        self._failed = 0
        self._due_ticks = pace.ticks_ns()
        self._pulled = Pulled()
        self._health = StreamHealth(stream=stream.name, state="new", since_ns=pace.now_ns())

    @property
    def health(self) -> StreamHealth:
        """Return how the stream is doing now."""
        return self._health

    @property
    def due_ns(self) -> int:
        """Return when the next pull is due without a nudge, on the clock of `Pace.ticks_ns`."""
        return self._due_ticks

    async def pull(
        self, *, deep: bool = False, background: bool = False, speak: bool = False
    ) -> Pulled:
        """Pull one round and return what it brought; a fault of the venue is told in it.

        `deep` re-reads further back, as once a day; `background` leaves budget to live reads;
        `speak` writes how far all is there then, also without news, as the first round and every
        deep one do.
        Pulls of one stream never overlap. Raises only what concerns more than this stream:
        ForbiddenRequestError, and BookError when the book cannot be written.
        """
        async with self._turn:
            self._pulled = Pulled()
            try:
                await self._round(deep, background, speak or self._health.state != "running")
            except ForbiddenRequestError:
                raise
            except SourceError as fault:
                await self._stumble(fault)
            else:
                self._failed = 0
                self._due_ticks = self._pace.ticks_ns() + self.stream.every_ns
                self._become("running")
            self._note(rounds=self._health.rounds + 1)
            return self._pulled

    # -- one round -------------------------------------------------------------------------

    async def _round(self, deep: bool, background: bool, speak: bool) -> None:
        try:
            await self._book.open()
        except ValueError as fault:
            raise UnreadableError(
                f"the cursor in the book is not one this version knows ({fault})",
                self._where(),
                "update Fillbook",
            ) from fault
        overlap_ns = self.stream.deep_ns if deep else self.stream.overlap_ns
        try:
            await self._walk(overlap_ns, background)
        except CursorExpiredError:
            try:
                await self._walk(overlap_ns, background)
            except CursorExpiredError as again:
                raise VenueFailedError(again.what, again.where, again.next_step) from again
        if speak or deep:
            await self._book.speak()

    async def _walk(self, overlap_ns: int, background: bool) -> None:
        stream = self.stream
        now_ns = self._account.venue_now_ns()
        cursor = self._guarded(stream.begin, self._book.cursor, now_ns, overlap_ns)
        seen = {cursor}
        empty = 0
        while True:
            ask = self._guarded(stream.ask, cursor, now_ns)
            answer = await self._account.read(ask, background=background)
            page = await self._parsed(answer, cursor)
            await self._keep(page, cursor, answer)
            if page.stuck:
                cursor = self._narrowed(page, cursor)
            elif not page.more:
                return
            else:
                cursor = page.next_cursor
            empty = 0 if page.rows else empty + 1
            if cursor in seen or empty > _MOST_EMPTY:
                what = "the venue sends page after page and none leads on"
                raise VenueFailedError(what, self._where(), "nothing to do: it is tried again")
            seen.add(cursor)
            self._become("catching up")

    async def _keep(self, page: PulledPage, asked: str, answer: Answer) -> None:
        """Journal the good rows of a page; in front of one that cannot be read stand still."""
        bad = next((row for row in page.rows if row.fault is not None), None)
        start_ns, end_ns = page.covered_from_ns, page.covered_until_ns
        stretch = None
        if bad is None and start_ns is not None and end_ns is not None:
            stretch = start_ns, end_ns
        behind = page.next_cursor if bad is None and not page.stuck else asked
        self._note(last_answer_ns=answer.received_ns)
        with self._book.coverage.covering(stretch):
            tally = await self._book.keep(page, asked, behind)
        self._count(tally)
        if bad is not None and bad.fault is not None:
            raise UnreadableError(
                f"a row cannot be read: {bad.fault.field or 'it'} {bad.fault.reason}",
                self._where(),
                _NEXT_STEP,
                text=bad.raw,
            )

    def _narrowed(self, page: PulledPage, cursor: str) -> str:
        narrower = self._guarded(self.stream.narrow, cursor)
        if narrower is not None:
            return narrower
        raise UnreadableError(
            "a page is full of rows of one instant, and there may be more of them",
            self._where(),
            "import an export of the venue that holds this instant",
            at_ns=_first_ns(page),
        )

    # -- faults ----------------------------------------------------------------------------

    async def _parsed(self, answer: Answer, cursor: str) -> PulledPage:
        def parse() -> PulledPage:
            return self._guarded(self.stream.parse, answer, cursor)

        try:
            return await beside(parse, is_long=len(answer.text) > LONG_TEXT)
        except UnreadableError as fault:
            fault.text = fault.text or answer.text
            raise

    def _guarded(self, call: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        try:
            return call(*args, **options)
        except SourceError:
            raise
        except Exception as fault:  # a fault in one venue's reading stops its stream, not the rest
            what = f"this history cannot be understood ({type(fault).__name__}: {fault})"
            raise UnreadableError(what, self._where(), _NEXT_STEP) from fault

    async def _stumble(self, fault: SourceError) -> None:
        """Note a fault; a final one puts the gap that it leaves into the book."""
        self._failed += 1
        self._pulled = msgspec.structs.replace(self._pulled, fault=fault)
        every_ns = self.stream.every_ns
        if fault.retriable:
            wait_ns = min(_FAULTED_FIRST_NS << min(self._failed - 1, 20), max(every_ns, MINUTE_NS))
            if isinstance(fault, RateLimitedError):
                wait_ns = max(wait_ns, fault.retry_after_ns or 0)
            self._become("faulted", fault)
        else:
            wait_ns = max(every_ns, _HALTED_EVERY_NS)
            await self._speak_gap(fault)
            self._become("halted", fault)
        self._due_ticks = self._pace.ticks_ns() + wait_ns

    async def _speak_gap(self, fault: SourceError) -> None:
        coverage, now_ns = self._book.coverage, self._account.venue_now_ns()
        earlier = coverage.open_gap
        is_same = self._health.state == "halted" and self._health.fault == fault.what
        if earlier is not None and is_same and self._book.idle_ns() < SPEAK_NS:
            return
        at_ns = fault.at_ns if isinstance(fault, UnreadableError) else None
        from_ns = at_ns or coverage.reached_ns() or now_ns
        if earlier is not None:
            from_ns = min(from_ns, earlier.from_ns)
        text = fault.text[:_MOST_TEXT] if isinstance(fault, UnreadableError) else ""
        cause = EVERYWHERE.clean(f"{fault.what}: {text}" if text else fault.what)
        # A text that is not valid Unicode must not keep its own gap out of the book.
        cause = cause.encode("utf-8", "replace").decode()
        gap = Gap(from_ns=from_ns, until_ns=max(now_ns, from_ns + 1), cause=cause)
        await self._book.speak_gap(gap)

    # -- what is told ----------------------------------------------------------------------

    def _become(self, state: State, fault: SourceError | None = None) -> None:
        if state != self._health.state:
            self._note(since_ns=self._pace.now_ns())
        told = (None, "") if fault is None else (fault.what, fault.next_step)
        self._note(state=state, fault=told[0], next_step=told[1])

    def _count(self, tally: Tally) -> None:
        for name in ("_pulled", "_health"):
            so_far = getattr(self, name)
            counted = msgspec.structs.replace(
                so_far,
                new=so_far.new + tally.new,
                known=so_far.known + tally.known,
                conflicts=so_far.conflicts + tally.conflicts,
                pages=so_far.pages + 1,
            )
            setattr(self, name, counted)
        newest_ns = max(tally.newest_ns or 0, self._health.last_fact_ns or 0)
        self._note(last_fact_ns=newest_ns or None)

    def _note(self, **changes: object) -> None:
        coverage = self._book.coverage
        changes |= {"covered_until_ns": coverage.reached_ns(), "gap": coverage.open_gap}
        self._health = msgspec.structs.replace(self._health, **changes)

    def _where(self) -> str:
        return f"{self._account.venue} {self._account.label} {self.stream.name}"


def _first_ns(page: PulledPage) -> int | None:
    instants = [
        draft.fact.ts_ns
        for row in page.rows
        for draft in row.drafts
        if not isinstance(draft, Mark) and not isinstance(draft.fact, Instrument)
    ]
    return min(instants, default=None)
