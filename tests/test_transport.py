"""The transport on real sockets: what it may send, how it waits, what it makes of faults."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from fillbook.ground.clock import SECOND_NS
from fillbook.ground.errors import ConfigError
from fillbook.sources import faults
from fillbook.sources.budget import Budget, Limit
from fillbook.sources.faults import (
    ForbiddenRequestError,
)
from fillbook.sources.pace import Pace, SystemPace
from fillbook.sources.reads import VENUES, check, check_message, check_socket, reads_of, urls_of
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
OFFERED = [
    (venue, host.role, read)
    for venue, reads in VENUES.items()
    for host in reads.hosts
    for read in reads.reads
    if read.host == host.role
]


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


def test_the_system_pace_rests_as_long_as_it_was_asked_to() -> None:
    pace: Pace = SystemPace()
    before = pace.ticks_ns()
    asyncio.run(pace.rest(SECOND_NS // 50))
    assert pace.ticks_ns() - before >= SECOND_NS // 50


def test_only_faults_that_waiting_can_help_are_retriable() -> None:
    kinds = [kind for kind in vars(faults).values() if isinstance(kind, type)]
    retriable = {k.__name__ for k in kinds if getattr(k, "retriable", False)}
    assert retriable == {
        "UnreachableError",
        "BrokenAnswerError",
        "VenueFailedError",
        "RateLimitedError",
        "ClockSkewError",
    }


# -- the list of reads -------------------------------------------------------------------------


@pytest.mark.parametrize(("venue", "role", "read"), OFFERED, ids=lambda v: getattr(v, "path", v))
def test_every_read_on_the_list_passes_and_its_neighbours_do_not(
    venue: str, role: str, read: Any
) -> None:
    path = read.path.replace("{}", "BTC-USD")
    kind = min(read.types, default=None)
    body = json.dumps({"type": kind}) if kind else ""
    ask = Ask(name="x", method=read.method, host=role, path=path, body=body)
    check(reads_of(venue), ask)
    others = [
        {"method": "DELETE"},
        {"method": "get"},
        {"host": "elsewhere"},
        {"path": path + "/"},
        {"path": path + "/../order"},
        {"path": path.upper()},
        {"path": path + "?x=1"},
        {"path": "//evil.example" + path},
        {"body": body + "{}"},
        {"body": '{"type":"order"}'},
    ]
    for other in others:
        changed = Ask(**{**_fields(ask), **other})
        with pytest.raises(ForbiddenRequestError):
            check(reads_of(venue), changed)


def _fields(ask: Ask) -> dict[str, Any]:
    return {name: getattr(ask, name) for name in ask.__struct_fields__}


@pytest.mark.parametrize(
    "body",
    [
        '{"type":"order"}',
        '{"type":"userFills","type":"order"}',
        '{"type":["userFills"]}',
        '{"Type":"userFills"}',
        '["userFills"]',
        "userFills",
        "",
        '{"type":"userFills","user":{"a":1,"a":2}}',
    ],
)
def test_a_reading_post_is_judged_by_its_type(body: str) -> None:
    with pytest.raises(ForbiddenRequestError):
        check(reads_of("hyperliquid"), Ask(name="x", method="POST", path="/info", body=body))


def test_no_venue_has_a_read_that_could_place_or_move_anything() -> None:
    for venue, role, read in OFFERED:
        writes = read.method != "GET" and not read.types
        assert not writes or read.path == "/fapi/v1/listenKey", (venue, role, read)
    trading = {"order", "batchOrders", "leverage", "marginType", "withdraw", "transfer", "exchange"}
    words = {word for _, _, read in OFFERED for word in (*read.path.split("/"), *read.types)}
    assert not words & trading


@pytest.mark.parametrize(
    ("venue", "message", "allowed"),
    [
        ("hyperliquid", {"method": "ping"}, True),
        ("hyperliquid", {"method": "subscribe", "subscription": {"type": "userFills"}}, True),
        ("hyperliquid", {"method": "post", "id": 1, "request": {"type": "action"}}, False),
        ("hyperliquid", {"method": "subscribe", "request": {"type": "action"}}, False),
        ("coinbase", {"type": "subscribe", "channel": "user", "jwt": "x"}, True),
        ("coinbase", {"type": "order", "channel": "user"}, False),
        ("binance", {"method": "order.place", "params": {}}, False),
        ("binance", {"method": "SUBSCRIBE", "params": []}, False),
    ],
)
def test_what_may_be_said_on_a_websocket(
    venue: str, message: dict[str, Any], allowed: bool
) -> None:
    if allowed:
        check_message(reads_of(venue), message)
        return
    with pytest.raises(ForbiddenRequestError):
        check_message(reads_of(venue), message)


def test_a_websocket_opens_only_where_the_list_says() -> None:
    check_socket(reads_of("binance"), "ws", "/private/ws?listenKey=abc")
    for role, path in (("ws", "/ws-api/v3"), ("api", "/private/ws"), ("ws", "/private/ws/a/b")):
        with pytest.raises(ForbiddenRequestError):
            check_socket(reads_of("binance"), role, path)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.hyperliquid.xyz.example.com",
        "https://example.com",
        "http://api.hyperliquid.xyz",
        "http://127.0.0.1.example.com:80",
        "http://127.0.0.1:80/exchange",
        "http://user:pw@127.0.0.1:80",
        "ftp://127.0.0.1",
    ],
)
def test_a_key_travels_only_to_the_venue_its_testnet_or_this_machine(url: str) -> None:
    hosts = reads_of("hyperliquid").hosts
    for good in ("http://127.0.0.1:8001", "https://api.hyperliquid-testnet.xyz"):
        assert urls_of(hosts, {"api": good}, "x") == {"api": good}
    with pytest.raises(ConfigError):
        urls_of(hosts, {"api": url}, "x")
