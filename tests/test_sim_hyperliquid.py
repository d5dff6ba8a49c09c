"""The simulated Hyperliquid: its own formats, paging, limits and streams, checked on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from fillbook.ground.clock import DAY_NS
from fillbook.sim.cast import SWING
from fillbook.sim.clock import SimClock
from fillbook.sim.live import LiveWorld
from fillbook.sim.venues.hyperliquid import HyperliquidServer
from fillbook.sim.world import START_MS

START_NS = START_MS * 1_000_000


class Client:
    """Asks a venue's POST /info."""

    def __init__(self, venue: HyperliquidServer, http: httpx.Client) -> None:
        self.venue, self.http = venue, http

    def ask(self, kind: str, **asked: Any) -> Any:
        reply = self.http.post("/info", json={"type": kind, **asked})
        assert reply.status_code == 200, reply.text
        return reply.json()


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    world = LiveWorld(5)
    world.advance_to(START_NS + 3 * DAY_NS)
    venue = HyperliquidServer(world, SimClock(world.now_ns), page_rows=60)
    with venue, httpx.Client(base_url=venue.base_url, timeout=5) as http:
        yield Client(venue, http)


def test_fills_page_forward_inclusive_and_complete(client: Client) -> None:
    truth = client.venue.world.fills(SWING)
    rows: list[dict[str, Any]] = []
    since_ms = 0
    while True:
        page = client.ask("userFillsByTime", user=SWING, startTime=since_ms)
        assert len(page) <= 60 and all(row["time"] >= since_ms for row in page)
        rows += [row for row in page if row not in rows]
        if len(page) < 60:
            break
        since_ms = page[-1]["time"]
    assert [row["time"] for row in rows] == [fill.ts_ms for fill in truth]
    assert [(row["tid"], row["oid"]) for row in rows] == [(f.fill_id, f.order_id) for f in truth]
