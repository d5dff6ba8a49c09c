"""The list of reads: what is on it passes, and nothing else reaches a venue."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fillbook.ground.errors import ConfigError
from fillbook.sources.faults import (
    ForbiddenRequestError,
)
from fillbook.sources.reads import VENUES, check, check_message, check_socket, reads_of, urls_of
from fillbook.sources.stream import Ask
from transport_runs import fields_of

OFFERED = [
    (venue, host.role, read)
    for venue, reads in VENUES.items()
    for host in reads.hosts
    for read in reads.reads
    if read.host == host.role
]


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
        changed = Ask(**{**fields_of(ask), **other})
        with pytest.raises(ForbiddenRequestError):
            check(reads_of(venue), changed)


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
        "http://127.0.0.1:port",
        "http://127.0.0.1:99999",
        "http://[::1",
    ],
)
def test_a_key_travels_only_to_the_venue_its_testnet_or_this_machine(url: str) -> None:
    hosts = reads_of("hyperliquid").hosts
    for good in ("http://127.0.0.1:8001", "https://api.hyperliquid-testnet.xyz"):
        assert urls_of(hosts, {"api": good}, "x") == {"api": good}
    with pytest.raises(ConfigError):
        urls_of(hosts, {"api": url}, "x")
