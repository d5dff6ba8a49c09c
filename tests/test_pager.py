"""The pager against a real server and a real book: everything once, nothing lost in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fillbook.facts.model import Fill, Span
from fillbook.ground.clock import SECOND_NS
from fillbook.journal.store import Journal
from fillbook.sources.budget import Budget, Limit
from fillbook.sources.pager import Pager
from fillbook.sources.stream import Stream
from fillbook.sources.transport import Patience, Transport
from fillbook.sources.writing import DirectWriter
from loopback import Loopback, TestPace
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


def run(tmp_path: Path, venue: ToyVenue, body: Callable[[Desk], Awaitable[Any]]) -> Any:
    async def whole() -> Any:
        pace = TestPace(NOW_NS)
        path = tmp_path / "book.db"
        with Journal.open(path) if path.exists() else Journal.create(path) as journal:
            async with Loopback(venue.script) as server:
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
