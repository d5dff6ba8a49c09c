"""What the tests of the transport share: a read, a transport to loopback, and a venue's manners."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

from fillbook.ground.clock import SECOND_NS
from fillbook.sources.budget import Budget, Limit
from fillbook.sources.faults import ClockSkewError, SourceError, VenueFailedError
from fillbook.sources.manners import Manners, Received, ServerTime
from fillbook.sources.pace import Pace
from fillbook.sources.reads import reads_of
from fillbook.sources.stream import Answer, Ask
from fillbook.sources.transport import Patience, Transport
from loopback import Loopback, Reply, Seen, TestPace

FILLS = Ask(
    name="fills",
    method="POST",
    path="/info",
    body='{"type":"userFillsByTime","user":"0xabc","startTime":0}',
    weight=20,
)
QUICK = Patience(silence_ns=SECOND_NS // 5, whole_ns=SECOND_NS // 2, tries=3)


def transport_to(
    server: Loopback | str,
    pace: Pace | None = None,
    *,
    venue: str = "hyperliquid",
    limit: int = 1200,
    **options: Any,
) -> Transport:
    url = server if isinstance(server, str) else server.url
    pace = pace or TestPace()
    budget = Budget(venue, Limit(weight=limit), Decimal("0.2"), pace)
    urls = {host.role: url for host in reads_of(venue).hosts}
    options.setdefault("patience", QUICK)
    return Transport(venue, pace, budget, urls=urls, **options)


def run(script: Callable[[Seen], Reply | None], body: Callable[[Loopback], Awaitable[Any]]) -> Any:
    async def whole() -> Any:
        async with Loopback(script) as server:
            return await body(server)

    return asyncio.run(whole())


def read_once(script: Callable[[Seen], Reply | None], ask: Ask = FILLS, **options: Any) -> Answer:
    async def body(server: Loopback) -> Answer:
        transport = transport_to(server, **options)
        try:
            return await transport.read(ask)
        finally:
            await transport.close()

    answer: Answer = run(script, body)
    return answer


def fields_of(ask: Ask) -> dict[str, Any]:
    return {name: getattr(ask, name) for name in ask.__struct_fields__}


class Spoken(Manners):
    """A venue that fails with status 200, says its used weight and its clock to the millisecond."""

    def fault(self, ask: Ask, received: Received, where: str) -> SourceError | None:
        if '"code":-1021' in received.text:
            return ClockSkewError("the time of the request is outside the window", where)
        if received.text.startswith('{"error"'):
            return VenueFailedError(f"the venue says: {received.text}", where)
        return super().fault(ask, received, where)

    def cost(self, ask: Ask, received: Received) -> int | None:
        return 2

    def used(self, received: Received) -> int | None:
        text = received.headers.get("x-used")
        return None if text is None else int(text)

    def server_time(self, received: Received) -> ServerTime | None:
        text = received.headers.get("x-now-ms")
        return None if text is None else ServerTime(int(text) * 10**6, 10**6)
