"""The pager against a real server and a real book: everything once, nothing lost in silence."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fillbook.facts.model import Fill, Instrument, Span
from fillbook.ground.clock import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS
from fillbook.ground.errors import BookReadOnlyError, InputError
from fillbook.journal.store import Journal
from fillbook.journal.values import Appended, Page
from fillbook.sources.budget import Budget, Limit
from fillbook.sources.faults import (
    ForbiddenRequestError,
    KeyRefusedError,
    RateLimitedError,
    UnreadableError,
    VenueFailedError,
)
from fillbook.sources.files.registry import reader_named
from fillbook.sources.pager import Pager
from fillbook.sources.stream import Answer, Ask, PulledPage, Stream
from fillbook.sources.transport import Patience, Transport
from fillbook.sources.writing import DirectWriter
from loopback import Loopback, Reply, Seen, TestPace
from toy_venue import ACCOUNT, MS, ByTime, ByToken, ToyAccount, ToyManners, ToyVenue, fill

NOW_NS = 1_800_000_000_000_000_000
NOW_MS = NOW_NS // MS
QUICK = Patience(silence_ns=SECOND_NS, whole_ns=2 * SECOND_NS, tries=2)


class Desk:
    """A venue, a server, a book and a pager, put together."""

    def __init__(self, journal: Journal, venue: ToyVenue, server: Loopback, pace: TestPace) -> None:
        self.journal = journal
        self.venue = venue
        self.server = server
        self.pace = pace
        budget = Budget("hyperliquid", Limit(weight=10**9), Decimal(1), pace)
        transport = Transport(
            "hyperliquid",
            pace,
            budget,
            urls={"api": server.url},
            manners=ToyManners(),
            patience=QUICK,
        )
        self.account = ToyAccount(transport, pace)
        self.writer = DirectWriter(journal, clock=pace.now_ns)

    def pager(self, stream: Stream | None = None) -> Pager:
        return Pager(self.account, stream or ByTime(self.venue.page), self.writer, self.pace)

    def tids(self) -> list[int]:
        claims = self.journal.claims(kinds=["fill"])
        return sorted(int(c.fact.fill_id or 0) for c in claims if isinstance(c.fact, Fill))

    def spans(self, state: str = "complete") -> list[Span]:
        facts = [claim.fact for claim in self.journal.claims(kinds=["span"])]
        return [fact for fact in facts if isinstance(fact, Span) and fact.state == state]


def run(
    tmp_path: Path,
    venue: ToyVenue,
    body: Callable[[Desk], Awaitable[Any]],
    *,
    dated: bool = False,
) -> Any:
    """Run a test's body; `dated`: the server says the true time, as real ones do."""

    async def whole() -> Any:
        pace = TestPace(NOW_NS)
        tmp_path.mkdir(exist_ok=True)

        def script(seen: Seen) -> Reply | None:
            reply = venue.script(seen)
            if reply is None or not dated:
                return reply
            true_s = (pace.start_ns + pace.elapsed_ns) / SECOND_NS
            return replace(reply, headers={"Date": formatdate(true_s, usegmt=True)})

        path = tmp_path / "book.db"
        with Journal.open(path) if path.exists() else Journal.create(path) as journal:
            async with Loopback(script) as server:
                desk = Desk(journal, venue, server, pace)
                try:
                    return await body(desk)
                finally:
                    await desk.account.close()

    return asyncio.run(whole())


def many(count: int, first_ms: int = NOW_MS - 3_600_000, step_ms: int = 1000) -> list[Any]:
    return [fill(first_ms + n * step_ms, n + 1) for n in range(count)]


@pytest.mark.parametrize("stream", [ByTime, ByToken])
def test_a_first_pull_brings_everything_once_and_says_it_is_complete(
    tmp_path: Path, stream: type[Stream]
) -> None:
    async def body(desk: Desk) -> None:
        pager = desk.pager(stream())
        pulled = await pager.pull()
        assert (pulled.new, pulled.fault) == (11, None)
        assert desk.tids() == list(range(1, 12))
        assert pager.health.state == "running"
        assert pager.health.covered_until_ns == NOW_NS
        spans = desk.spans()
        assert {(s.component, s.rank, s.source) for s in spans} == {("fills", 3, "hyperliquid-api")}
        assert min(s.ts_ns for s in spans) == 0
        assert max(s.until_ns for s in spans) == NOW_NS
        again = await pager.pull()
        assert (again.new, again.conflicts) == (0, 0)
        assert desk.tids() == list(range(1, 12))
        (batch,) = desk.journal.batches()
        assert batch.batch_id == f"live:hyperliquid:{ACCOUNT}:{pager.stream.name}"

    run(tmp_path, ToyVenue(many(11)), body)


def test_rows_that_the_book_refuses_are_never_called_complete(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        append = desk.writer.append

        async def refusing(page: Page) -> Appended:
            if any(isinstance(claim.fact, Fill) for claim in page.claims):
                raise InputError("a claim carries a number beyond 64 bits", "", "")
            return await append(page)

        desk.writer.append = refusing  # type: ignore[method-assign]
        pager = desk.pager(ByTime(page=10))
        assert isinstance((await pager.pull()).fault, UnreadableError)
        assert (desk.tids(), desk.spans()) == ([], [])
        (gap,) = desk.spans("gap")
        assert "beyond 64 bits" in (gap.cause or "")
        desk.writer.append = append  # type: ignore[method-assign]
        assert (await pager.pull()).fault is None
        assert (len(desk.tids()), pager.health.covered_until_ns) == (3, NOW_NS)

    run(tmp_path, ToyVenue(many(3), page=10), body)


def test_the_book_can_be_verified_by_parsing_its_raw_rows_again(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        await desk.pager().pull()

    run(tmp_path, ToyVenue(many(9)), body)

    def reparse(source: str, context: str, raw: str) -> Any:
        return reader_named(source).reparse(context, raw)

    with Journal.open(tmp_path / "book.db", readonly=True) as journal:
        assert journal.verify(reparse) == []


def test_rows_of_one_instant_at_the_edge_of_a_page_all_arrive(tmp_path: Path) -> None:
    times = [1, 2, 2, 2, 3, 3, 4, 5, 5, 5, 6]
    rows = [fill(NOW_MS - 10_000 + at, tid) for tid, at in enumerate(times, 1)]

    async def body(desk: Desk) -> None:
        await desk.pager().pull()
        assert desk.tids() == list(range(1, 12))

    run(tmp_path, ToyVenue(rows), body)


def crowded() -> list[dict[str, Any]]:
    """Nine fills of one instant in three coins, and others around them."""
    at = NOW_MS - 60_000
    here = [fill(at, 100 + n, ["BTC", "ETH", "SOL"][n % 3]) for n in range(9)]
    return [fill(at - 1000, 1), *here, fill(at + 1, 2), fill(at + 1000, 3)]


def test_a_page_full_of_one_instant_is_read_coin_by_coin(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        pager = desk.pager(ByTime(coins=("BTC", "ETH", "SOL")))
        pulled = await pager.pull()
        assert pulled.fault is None
        assert desk.tids() == [1, 2, 3, *range(100, 109)]
        assert pager.health.covered_until_ns == NOW_NS

    run(tmp_path, ToyVenue(crowded()), body)


def test_what_cannot_be_narrowed_halts_with_a_gap_and_heals_when_it_can(tmp_path: Path) -> None:
    at_ns = (NOW_MS - 60_000) * MS

    async def body(desk: Desk) -> None:
        pager = desk.pager()
        pulled = await pager.pull()
        assert isinstance(pulled.fault, UnreadableError)
        assert pager.health.state == "halted"
        gap = pager.health.gap
        assert gap is not None
        assert (gap.from_ns, gap.until_ns) == (at_ns, NOW_NS)
        assert "one instant" in gap.cause
        # Up to the crowded instant all is there and said to be, beyond it nothing is promised.
        assert max(s.until_ns for s in desk.spans()) == at_ns
        assert [(s.ts_ns, s.until_ns) for s in desk.spans("gap")] == [(at_ns, NOW_NS)]
        assert pager.due_ns - desk.pace.ticks_ns() == 15 * MINUTE_NS

        desk.venue.page = 20
        able = desk.pager(ByTime(page=20))
        assert (await able.pull()).fault is None
        assert able.health.gap is None
        assert desk.tids() == [1, 2, 3, *range(100, 109)]
        healing = [s for s in desk.spans() if s.ts_ns <= at_ns and s.until_ns >= NOW_NS]
        assert len(healing) == 1

    run(tmp_path, ToyVenue(crowded()), body)


def test_late_rows_within_the_overlap_arrive_and_older_ones_with_the_daily_round(
    tmp_path: Path,
) -> None:
    rows = many(20, step_ms=100_000)
    newest, early = {19}, {3}

    async def body(desk: Desk) -> None:
        pager = desk.pager()
        await pager.pull()
        assert len(desk.tids()) == 18
        desk.pace.elapsed_ns += MINUTE_NS
        desk.venue.hidden -= newest
        assert (await pager.pull()).new == 0  # nineteen minutes late: beyond the overlap
        desk.venue.rows.append(fill(NOW_MS - 60_000, 77))
        assert (await pager.pull()).new == 1
        assert 77 in desk.tids()
        desk.venue.hidden -= early
        assert (await pager.pull()).new == 0
        assert (await pager.pull(deep=True)).new == 2
        assert desk.tids() == sorted([*range(1, 21), 77])

    run(tmp_path, ToyVenue(rows, hidden=newest | early), body)


def test_a_forgotten_page_token_begins_the_round_anew_once(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        pager = desk.pager(ByToken())
        desk.venue.expired = {"4"}
        assert (await pager.pull()).fault is None
        assert desk.tids() == list(range(1, 12))

    run(tmp_path, ToyVenue(many(11)), body)


def test_a_token_that_is_always_forgotten_is_a_fault_and_promises_nothing(tmp_path: Path) -> None:
    def forgetful(seen: Seen) -> Reply | None:
        known = not seen.json().get("token")
        return None if known else Reply('{"error":"unknown cursor"}', status=400)

    async def body(desk: Desk) -> None:
        pager = desk.pager(ByToken())
        assert isinstance((await pager.pull()).fault, VenueFailedError)
        assert pager.health.state == "faulted"
        assert desk.spans() == []
        desk.venue.before = lambda seen: None
        assert (await pager.pull()).fault is None
        assert desk.tids() == list(range(1, 12))

    run(tmp_path, ToyVenue(many(11), before=forgetful), body)


def test_empty_pages_that_promise_more_are_followed_but_not_for_ever(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        pager = desk.pager(ByToken())
        assert (await pager.pull()).fault is None
        assert desk.tids() == list(range(1, 12))
        desk.venue.empties = 10**9
        assert isinstance((await pager.pull()).fault, VenueFailedError)
        desk.venue.empties = 0
        circle = Reply('{"rows":[],"next":"4"}')
        desk.venue.before = lambda seen: circle
        asked = len(desk.server.seen)
        assert isinstance((await pager.pull()).fault, VenueFailedError)
        assert len(desk.server.seen) - asked == 2

    run(tmp_path, ToyVenue(many(11), empties=3), body)


def test_a_row_nobody_can_read_halts_in_front_of_it_and_keeps_its_text(tmp_path: Path) -> None:
    rows = many(11)
    rows[6]["dir"] = "Teleported Long"

    async def body(desk: Desk) -> None:
        pager = desk.pager()
        await pager.pull()
        assert pager.health.state == "halted"
        assert "Teleported Long" in (pager.health.fault or "")
        # The page before is complete; the good rows of this page are kept, but nothing is promised.
        assert desk.tids() == [1, 2, 3, 4, 5, 6]
        assert max(s.until_ns for s in desk.spans()) == rows[3]["time"] * MS
        (gap,) = desk.spans("gap")
        assert gap.ts_ns == rows[3]["time"] * MS
        assert '"tid": 7' in (gap.cause or "")
        await pager.pull()
        assert len(desk.spans("gap")) == 1  # said once, not at every pull
        desk.pace.elapsed_ns += 2 * HOUR_NS
        await pager.pull()
        assert len(desk.spans("gap")) == 2  # and again when it has grown by hours
        rows[6]["dir"] = "Open Long"
        assert (await pager.pull()).fault is None
        assert desk.tids() == list(range(1, 12))
        assert pager.health.gap is None

    run(tmp_path, ToyVenue(rows), body)


def test_no_restart_passes_a_row_that_cannot_be_read(tmp_path: Path) -> None:
    rows = many(11)
    rows[6]["dir"] = "Teleported Long"

    class Exact(ByTime):
        overlap_ns = 0

    async def body(desk: Desk) -> None:
        for _ in range(3):
            pager = desk.pager(Exact())
            assert isinstance((await pager.pull()).fault, UnreadableError)
            assert desk.tids() == [1, 2, 3, 4, 5, 6]
            desk.pace.elapsed_ns += HOUR_NS
        rows[6]["dir"] = "Open Long"
        assert (await desk.pager(Exact()).pull()).fault is None
        assert desk.tids() == list(range(1, 12))

    run(tmp_path, ToyVenue(rows), body)


def test_a_fault_in_a_parser_stops_its_stream_only(tmp_path: Path) -> None:
    class Buggy(ByTime):
        name = "buggy"

        def parse(self, answer: Answer, cursor: str) -> PulledPage:
            raise ZeroDivisionError("oh no")

    async def body(desk: Desk) -> None:
        buggy, good = desk.pager(Buggy()), desk.pager()
        await asyncio.gather(buggy.pull(), good.pull())
        assert (buggy.health.state, good.health.state) == ("halted", "running")
        assert "ZeroDivisionError" in (buggy.health.fault or "")
        assert desk.tids() == list(range(1, 12))

    run(tmp_path, ToyVenue(many(11)), body)


def test_an_ask_off_the_list_is_a_fault_of_the_program_and_is_not_hidden(tmp_path: Path) -> None:
    class Trading(ByTime):
        def ask(self, cursor: str, now_ns: int) -> Ask:
            return Ask(name="x", method="POST", path="/exchange", body='{"type":"order"}')

    async def body(desk: Desk) -> None:
        with pytest.raises(ForbiddenRequestError):
            await desk.pager(Trading()).pull()
        assert desk.server.seen == []

    run(tmp_path, ToyVenue(), body)


@pytest.mark.parametrize("status", [401, 403])
def test_a_revoked_key_halts_with_a_gap_from_where_the_history_ends(
    tmp_path: Path, status: int
) -> None:
    async def body(desk: Desk) -> None:
        pager = desk.pager()
        await pager.pull()
        desk.venue.before = lambda seen: Reply('{"msg":"revoked"}', status=status)
        desk.pace.elapsed_ns += HOUR_NS
        assert isinstance((await pager.pull()).fault, KeyRefusedError)
        (gap,) = desk.spans("gap")
        assert (gap.ts_ns, gap.until_ns) == (NOW_NS, NOW_NS + HOUR_NS)
        # The next run of the program still knows what is missing.
        later = desk.pager()
        desk.pace.elapsed_ns += HOUR_NS
        await later.pull()
        assert later.health.gap is not None
        assert later.health.gap.from_ns == NOW_NS
        desk.venue.before = lambda seen: None
        await later.pull()
        assert later.health.gap is None
        assert any(s.ts_ns <= NOW_NS and s.until_ns == NOW_NS + 2 * HOUR_NS for s in desk.spans())

    run(tmp_path, ToyVenue(many(3)), body)


def revoked(seen: Seen) -> Reply:
    return Reply('{"msg":"revoked"}', status=401)


def test_a_gap_that_opens_right_after_a_restart_begins_where_the_last_run_ended(
    tmp_path: Path,
) -> None:
    async def body(desk: Desk) -> None:
        await desk.pager().pull()
        desk.pace.elapsed_ns += HOUR_NS
        desk.venue.before = revoked
        await desk.pager().pull()
        assert [(s.ts_ns, s.until_ns) for s in desk.spans("gap")] == [(NOW_NS, NOW_NS + HOUR_NS)]

    run(tmp_path, ToyVenue(many(3)), body)


def test_a_gap_of_an_earlier_run_is_healed_at_once(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        first = desk.pager()
        await first.pull()
        desk.venue.before = revoked
        desk.pace.elapsed_ns += HOUR_NS
        await first.pull()
        desk.venue.before = lambda seen: None
        later = desk.pager()
        await later.pull()
        assert later.health.gap is None
        until_ns = NOW_NS + HOUR_NS
        assert any(s.ts_ns <= NOW_NS and s.until_ns == until_ns for s in desk.spans())

    run(tmp_path, ToyVenue(many(3)), body)


@pytest.mark.parametrize("wrong_s", [-3 * 3600, 3 * 3600])
def test_a_wrong_clock_neither_loses_rows_nor_promises_too_much(
    tmp_path: Path, wrong_s: int
) -> None:
    rows = many(11)

    async def body(desk: Desk) -> None:
        desk.pace.wrong_ns = wrong_s * SECOND_NS
        pager = desk.pager()
        for minute in range(3):
            await pager.pull()
            true_ns = NOW_NS + desk.pace.elapsed_ns
            assert max((s.until_ns for s in desk.spans()), default=0) <= true_ns
            assert (pager.health.covered_until_ns or 0) <= true_ns
            desk.venue.rows.append(fill(true_ns // MS, 100 + minute))
            desk.pace.elapsed_ns += MINUTE_NS
        await pager.pull()
        assert desk.tids() == [*range(1, 12), 100, 101, 102]

    venue = ToyVenue(rows)
    run(tmp_path, venue, body, dated=True)


def test_faults_that_pass_leave_no_gap_and_are_tried_again_soon(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        pager = desk.pager()
        await pager.pull()
        desk.venue.before = lambda seen: Reply(status=502)
        waits = []
        for _ in range(5):
            await pager.pull()
            assert pager.health.state == "faulted"
            waits.append((pager.due_ns - desk.pace.ticks_ns()) // SECOND_NS)
        assert waits == [5, 10, 20, 40, 60]
        assert desk.spans("gap") == []
        desk.venue.before = lambda seen: Reply(status=418, headers={"Retry-After": "600"})
        assert isinstance((await pager.pull()).fault, RateLimitedError)
        assert pager.due_ns - desk.pace.ticks_ns() >= 600 * SECOND_NS

    run(tmp_path, ToyVenue(many(3)), body)


def test_what_the_venue_no_longer_keeps_is_a_gap_that_stays(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        oldest_ns = NOW_NS - 90 * DAY_NS
        await desk.pager(ByTime(oldest_ns=oldest_ns)).pull()
        assert desk.spans("gap") == []
        desk.pace.elapsed_ns += 100 * DAY_NS
        late = desk.pager(ByTime(oldest_ns=NOW_NS + 10 * DAY_NS))
        assert (await late.pull()).fault is None
        (gap,) = desk.spans("gap")
        assert (gap.ts_ns, gap.until_ns) == (NOW_NS, NOW_NS + 10 * DAY_NS)
        assert gap.cause == "older than the venue keeps"

    run(tmp_path, ToyVenue(many(3)), body)


def test_a_quiet_stream_writes_nothing_but_an_hourly_word(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        pager = desk.pager()
        await pager.pull()
        quiet = desk.journal.head()
        for _ in range(15):
            desk.pace.elapsed_ns += 30 * SECOND_NS
            await pager.pull()
        assert desk.journal.head() == quiet
        assert pager.health.covered_until_ns == NOW_NS + 450 * SECOND_NS
        desk.pace.elapsed_ns += HOUR_NS
        await pager.pull()
        assert desk.journal.head().seq == quiet.seq + 1
        assert max(s.until_ns for s in desk.spans()) == NOW_NS + 450 * SECOND_NS + HOUR_NS

    run(tmp_path, ToyVenue(many(3)), body)


def test_counts_speak_of_events_only(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        pager = desk.pager()
        pulled = await pager.pull()
        described = [c for c in desk.journal.claims() if isinstance(c.fact, Instrument)]
        assert len(described) == 1
        assert (pulled.new, pulled.conflicts) == (11, 0)
        assert pager.health.last_fact_ns == max(r["time"] for r in desk.venue.rows) * MS
        desk.venue.rows[10]["fee"] = "0.02"
        again = await pager.pull(deep=True)
        assert (again.new, again.conflicts) == (1, 1)

    run(tmp_path, ToyVenue(many(11)), body)


def test_a_restart_knows_how_old_the_newest_fact_is(tmp_path: Path) -> None:
    """A quiet account after a restart is the one whose silence must be seen."""

    async def body(desk: Desk) -> None:
        await desk.pager().pull()
        later = desk.pager()
        assert (await later.pull()).new == 0
        assert later.health.last_fact_ns == max(r["time"] for r in desk.venue.rows) * MS

    run(tmp_path, ToyVenue(many(11)), body)


def test_a_book_that_cannot_be_written_stops_more_than_a_stream(tmp_path: Path) -> None:
    Journal.create(tmp_path / "other.db").close()

    async def body(desk: Desk) -> None:
        with Journal.open(tmp_path / "other.db", readonly=True) as readonly:
            writer = DirectWriter(readonly, clock=desk.pace.now_ns)
            with pytest.raises(BookReadOnlyError):
                await Pager(desk.account, ByTime(), writer, desk.pace).pull()

    run(tmp_path, ToyVenue(many(3)), body)


def test_pulls_of_one_stream_wait_for_each_other(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        pager = desk.pager()
        first, second = await asyncio.gather(pager.pull(), pager.pull())
        assert (first.new, second.new) == (11, 0)

    run(tmp_path, ToyVenue(many(11)), body)


# -- interrupted anywhere ----------------------------------------------------------------------


@pytest.mark.parametrize("stream", [ByTime, ByToken])
def test_a_round_can_be_cancelled_at_every_request(tmp_path: Path, stream: type[Stream]) -> None:
    async def body(desk: Desk) -> None:
        nth = 0
        done = False
        while not done:
            nth += 1
            pager = desk.pager(stream())
            task = asyncio.ensure_future(pager.pull())
            left = nth

            def cancel(seen: Seen, task: asyncio.Future[Any] = task) -> Reply | None:
                nonlocal left
                left -= 1
                if left == 0:
                    task.cancel()
                return None

            desk.venue.before = cancel
            try:
                done = (await task).fault is None
            except asyncio.CancelledError:
                promised = max((s.until_ns for s in desk.spans()), default=0)
                held = {row["tid"] for row in desk.venue.rows if row["time"] * MS < promised}
                assert held <= set(desk.tids())
        assert nth > 2
        assert desk.tids() == list(range(1, 12))

    run(tmp_path, ToyVenue(many(11)), body)


class PowerCutError(Exception):
    """Power goes off between two writes."""


class StoppingWriter(DirectWriter):
    """Writes so many pages, and then nothing any more."""

    def __init__(self, journal: Journal, clock: Callable[[], int], pages: int) -> None:
        super().__init__(journal, clock=clock)
        self.left = pages

    async def append(self, page: Page) -> Appended:
        if self.left == 0:
            raise PowerCutError
        self.left -= 1
        return await super().append(page)


@pytest.mark.parametrize("base", [ByTime, ByToken])
def test_power_may_go_off_between_any_two_writes(tmp_path: Path, base: type[ByTime]) -> None:
    class Exact(base):  # type: ignore[valid-type, misc]
        overlap_ns = 0

    coins = ["BTC", "ETH", "SOL"]
    rows = [fill(NOW_MS - 60_000 + n, n + 1, coins[n % 3]) for n in range(14)]

    async def body(desk: Desk) -> bool:
        writer = StoppingWriter(desk.journal, desk.pace.now_ns, pages)
        try:
            await Pager(desk.account, Exact(), writer, desk.pace).pull()
        except PowerCutError:
            promised = max((s.until_ns for s in desk.spans()), default=0)
            held = {row["tid"] for row in rows if row["time"] * MS < promised}
            assert held <= set(desk.tids())
            await desk.pager(Exact()).pull()
            assert desk.tids() == list(range(1, 15)), f"cut after {pages} pages"
            return True
        return False

    pages = 0
    while run(tmp_path / str(pages), ToyVenue(rows), body):
        pages += 1
    assert pages > 4


CHILD = """
import asyncio, json, sys
sys.path[:0] = [sys.argv[3]]
from decimal import Decimal
from loopback import TestPace
from toy_venue import ByTime, ByToken, ToyAccount, ToyManners
from fillbook.journal.store import Journal
from fillbook.sources.budget import Budget, Limit
from fillbook.sources.pager import Pager
from fillbook.sources.transport import Transport
from fillbook.sources.writing import DirectWriter

async def main():
    pace = TestPace({now})
    budget = Budget("hyperliquid", Limit(weight=10**9), Decimal(1), pace)
    transport = Transport("hyperliquid", pace, budget, urls={{"api": sys.argv[2]}},
                          manners=ToyManners())
    account = ToyAccount(transport, pace)
    with Journal.open(sys.argv[1]) as journal:
        writer = DirectWriter(journal, clock=pace.now_ns)
        for stream in (ByTime(page=7), ByToken()):
            pulled = await Pager(account, stream, writer, pace).pull()
            assert pulled.fault is None, pulled.fault
    await transport.close()

asyncio.run(main())
"""


def killed_and_restarted(tmp_path: Path, rows: int, seed: int, most_kills: int) -> None:
    path = tmp_path / "book.db"
    Journal.create(path).close()
    dice = random.Random(seed)
    venue = ToyVenue(many(rows, step_ms=3), page=7)
    here = str(Path(__file__).parent)

    async def whole() -> int:
        kills = 0
        async with Loopback(venue.script) as server:
            while True:
                command = (sys.executable, "-c", CHILD.format(now=NOW_NS), path, server.url, here)
                child = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE)
                if kills < most_kills:
                    # Killed at a random moment behind a random request.
                    wanted = len(server.seen) + dice.randint(1, 12)
                    deadline = time.monotonic() + 20
                    while len(server.seen) < wanted and child.returncode is None:
                        await asyncio.sleep(0.001)
                        assert time.monotonic() < deadline
                    await asyncio.sleep(dice.random() * 0.01)
                    if child.returncode is None:
                        os.kill(child.pid, signal.SIGKILL)
                        kills += 1
                _, errors = await child.communicate()
                if child.returncode == 0:
                    return kills
                assert child.returncode == -signal.SIGKILL, errors.decode()

    kills = asyncio.run(whole())
    assert kills > 0, f"seed {seed}: no run was killed"
    with Journal.open(path) as journal:
        facts = [c.fact for c in journal.claims(kinds=["fill"])]
        tids = sorted(int(f.fill_id or 0) for f in facts if isinstance(f, Fill))
        assert tids == list(range(1, rows + 1)), f"seed {seed}"
        assert journal.verify() == [], f"seed {seed}"


def test_killed_at_any_moment_it_ends_with_the_same_facts(tmp_path: Path) -> None:
    killed_and_restarted(tmp_path, rows=120, seed=7, most_kills=4)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
def test_killed_many_times_it_ends_with_the_same_facts(tmp_path: Path, seed: int) -> None:
    killed_and_restarted(tmp_path, rows=600, seed=seed, most_kills=50)


# -- any history, any faults -------------------------------------------------------------------

ODD = [
    Reply(status=500),
    Reply(status=429, headers={"Retry-After": "1"}),
    Reply("[{", status=200),
    Reply("[]", reset=True),
    Reply('[{"a":1}]', cut_at=3),
]


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_history_with_any_faults_ends_complete(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    offsets = data.draw(st.lists(st.integers(0, 40), min_size=1, max_size=40), "times")
    coins = ["BTC", "ETH", "SOL", "HYPE", "DOGE"]
    rows = [fill(NOW_MS - 1000 + at, n, coins[n % 5]) for n, at in enumerate(offsets, 1)]
    venue = ToyVenue(rows, page=data.draw(st.integers(9, 12), "page"))
    venue.hidden = set(data.draw(st.lists(st.integers(1, len(rows)), max_size=8), "late"))
    faults = data.draw(st.lists(st.sampled_from([None, *ODD]), max_size=30), "faults")

    async def body(desk: Desk) -> None:
        desk.venue.before = lambda seen: faults.pop() if faults else None
        pager = desk.pager(ByTime(page=venue.page, coins=coins))
        for pulls in range(40):
            if pulls % 7 == 6:
                pager = desk.pager(ByTime(page=venue.page, coins=coins))
            pulled = await pager.pull()
            assert set(desk.tids()) <= {row["tid"] for row in venue.visible()}
            if pulled.fault is None and not faults:
                if not venue.hidden:
                    break
                venue.hidden.clear()
            desk.pace.elapsed_ns += 2 * SECOND_NS
        assert desk.tids() == [row["tid"] for row in sorted(rows, key=lambda r: r["tid"])]
        assert desk.spans("gap") == []
        assert pager.health.state == "running"

    run(tmp_path_factory.mktemp("book"), venue, body)
