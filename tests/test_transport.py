"""The transport on real sockets: what it may send, how it waits, what it makes of faults."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from email.utils import formatdate
from typing import Any

import httpx
import pytest

from fillbook.ground.clock import SECOND_NS
from fillbook.sources import faults
from fillbook.sources.faults import (
    BrokenAnswerError,
    ForbiddenRequestError,
    KeyRefusedError,
    RefusedError,
    SourceError,
    UnreachableError,
    VenueFailedError,
)
from fillbook.sources.manners import Manners, Signed
from fillbook.sources.pace import Pace, SystemPace
from fillbook.sources.stream import Ask
from fillbook.sources.transport import Patience
from loopback import Loopback, Reply, Seen, TestPace
from transport_runs import FILLS, QUICK, Spoken, fields_of, read_once, run, transport_to


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


# -- requests and answers ----------------------------------------------------------------------


def test_what_arrives_is_exactly_what_was_asked() -> None:
    seen: list[Seen] = []

    def script(request: Seen) -> Reply:
        seen.append(request)
        return Reply('{"px":"0.1000000000000000055"}', headers={"X-Weight": "7"})

    answer = read_once(script)
    assert (answer.status, answer.text) == (200, '{"px":"0.1000000000000000055"}')
    assert answer.headers["x-weight"] == "7"
    (request,) = seen
    assert (request.method, request.target) == ("POST", "/info")
    assert request.body == FILLS.body.encode()
    assert "authorization" not in request.headers
    assert "cookie" not in request.headers


def test_nothing_reaches_the_socket_for_an_ask_off_the_list() -> None:
    order = Ask(name="x", method="POST", path="/exchange", body='{"type":"order"}')

    async def body(server: Loopback) -> None:
        transport = transport_to(server)
        for ask in (order, Ask(**{**fields_of(FILLS), "method": "DELETE"})):
            with pytest.raises(ForbiddenRequestError):
                await transport.read(ask)
        await transport.close()
        assert server.seen == []
        assert transport.budget.use().spent == 0

    run(lambda seen: None, body)


class Planted:
    """Signs as it is told."""

    def __init__(self, signed: Signed) -> None:
        self.signed = signed
        self.times: list[int] = []

    def sign(self, ask: Ask, base_url: str, now_ns: int) -> Signed:
        self.times.append(now_ns)
        return self.signed


ORDERS = Ask(
    name="orders",
    host="fapi",
    path="/fapi/v1/allOrders",
    query=(("symbol", "BTCUSDT"),),
    weight=5,
    auth="signed",
)


def test_a_signature_is_sent_byte_for_byte_and_made_anew_for_every_try() -> None:
    query = (("symbol", "BTCUSDT"), ("odd", "a b+c/ü&=%2F"), ("signature", "ab12"))
    signer = Planted(Signed(query=query, headers={"X-MBX-APIKEY": "key"}))
    targets: list[str] = []

    def script(request: Seen) -> Reply:
        targets.append(request.target)
        assert request.headers["x-mbx-apikey"] == "key"
        assert request.query == dict(query)
        return Reply(status=500) if len(targets) == 1 else Reply()

    pace = TestPace()
    read_once(script, ORDERS, pace=pace, venue="binance", signer=signer)
    assert targets[0] == targets[1]
    assert targets[0].endswith("?symbol=BTCUSDT&odd=a+b%2Bc%2F%C3%BC%26%3D%252F&signature=ab12")
    assert signer.times == [pace.start_ns, pace.start_ns + sum(pace.rests)]


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("method", "DELETE"),
        ("url", "http://127.0.0.1:9/info"),
        ("url", "{base}/exchange"),
        ("url", "{base}/info?a=1"),
        ("content", b'{"type":"order"}'),
    ],
)
def test_a_request_that_was_changed_on_the_way_is_not_sent(
    name: str, changed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(server: Loopback) -> None:
        real = httpx.AsyncClient.build_request

        def build(client: httpx.AsyncClient, method: str, url: str, **given: Any) -> httpx.Request:
            other = changed.format(base=server.url) if isinstance(changed, str) else changed
            return real(client, **{"method": method, "url": url, **given, name: other})

        monkeypatch.setattr(httpx.AsyncClient, "build_request", build)
        transport = transport_to(server)
        with pytest.raises(ForbiddenRequestError):
            await transport.read(FILLS)
        await transport.close()
        assert server.seen == []

    run(lambda seen: None, body)


@pytest.mark.parametrize("header", ["x-http-method-override", "host", "cookie", "content-length"])
def test_a_signature_may_add_no_header_but_the_venues(header: str) -> None:
    signer = Planted(Signed(query=(), headers={header: "DELETE"}))
    with pytest.raises(ForbiddenRequestError):
        read_once(lambda seen: None, ORDERS, venue="binance", signer=signer)


def test_a_read_that_needs_a_key_is_not_sent_without_one() -> None:
    with pytest.raises(ForbiddenRequestError):
        read_once(lambda seen: None, ORDERS, venue="binance")


def test_a_redirection_is_not_followed() -> None:
    def script(request: Seen) -> Reply | None:
        assert request.path == "/info"
        return Reply(status=307, headers={"Location": "/exchange"})

    with pytest.raises(RefusedError):
        read_once(script)


GOOD = json.dumps([{"n": n} for n in range(50)])


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(GOOD, cut_at=100), BrokenAnswerError),
        (Reply(GOOD, cut_at=0), BrokenAnswerError),
        (Reply(GOOD, chop=30), BrokenAnswerError),
        (Reply(GOOD, gzipped=True, cut_at=40), BrokenAnswerError),
        (Reply(GOOD, gzipped=True, chop=40), BrokenAnswerError),
        (Reply(b"not gzip at all", headers={"content-encoding": "gzip"}), BrokenAnswerError),
        (Reply(b"\xff\xfe[]"), BrokenAnswerError),
        (Reply("<html>maintenance</html>"), BrokenAnswerError),
        (Reply(""), BrokenAnswerError),
        (Reply(GOOD + "]"), BrokenAnswerError),
        (Reply(GOOD, reset=True), UnreachableError),
        (Reply(GOOD, reset=True, cut_at=100), UnreachableError),
        (Reply(GOOD, stall_s=5), UnreachableError),
        (Reply(GOOD, drip_s=0.05), UnreachableError),
        (Reply(status=500), VenueFailedError),
        (Reply("<html>bad gateway</html>", status=502), VenueFailedError),
        (Reply(status=503), VenueFailedError),
        (Reply(status=408), VenueFailedError),
        (Reply('{"code":-1102}', status=400), RefusedError),
        (Reply(status=404), RefusedError),
        (Reply(status=401), KeyRefusedError),
        (Reply(status=403), KeyRefusedError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_every_way_to_fail_is_one_typed_fault(reply: Reply, kind: type[SourceError]) -> None:
    tries: list[Seen] = []

    def script(request: Seen) -> Reply:
        tries.append(request)
        return reply

    with pytest.raises(SourceError) as caught:
        read_once(script)
    assert type(caught.value) is kind
    assert caught.value.where == "hyperliquid fills"
    assert caught.value.next_step
    assert len(tries) == (QUICK.tries if kind.retriable else 1)


@pytest.mark.parametrize(("away_ns", "kind"), [(0, KeyRefusedError), (3600 * SECOND_NS, None)])
def test_a_signature_that_a_machine_slept_over_is_made_anew(
    away_ns: int, kind: type[SourceError] | None
) -> None:
    """A venue may refuse an old signature like a key that is gone; only sleep tells them apart."""
    pace = TestPace()
    signer = Planted(Signed(query=ORDERS.query))
    replies = iter([Reply(status=401), Reply(GOOD)])

    def script(request: Seen) -> Reply:
        pace.elapsed_ns += away_ns
        return next(replies)

    def read() -> str:
        return read_once(script, ORDERS, pace=pace, venue="binance", signer=signer).text

    if kind is None:
        assert read() == GOOD
        return
    with pytest.raises(kind):
        read()


@pytest.mark.parametrize("gzipped", [False, True])
def test_an_answer_after_a_broken_one_is_taken_whole(gzipped: bool) -> None:
    replies = iter([Reply(GOOD, reset=True), Reply(GOOD, cut_at=9), Reply(GOOD, gzipped=gzipped)])
    assert read_once(lambda seen: next(replies)).text == GOOD


def test_a_bomb_is_put_down_before_it_is_unpacked() -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    patience = Patience(tries=1, most_bytes=1_000_000)
    with pytest.raises(BrokenAnswerError) as caught:
        read_once(lambda seen: Reply(bomb, headers={"content-encoding": "gzip"}), patience=patience)
    assert "1000000 bytes" in caught.value.what


def test_a_venue_that_nobody_listens_at_cannot_be_reached() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    transport = transport_to(f"http://127.0.0.1:{port}")
    with pytest.raises(UnreachableError):
        asyncio.run(transport.read(FILLS))


def test_tls_to_a_plain_server_is_a_fault_not_a_crash() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 this is not TLS\r\n\r\n")
        writer.close()

    async def body() -> None:
        server = await asyncio.start_server(plain, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        transport = transport_to(f"https://127.0.0.1:{port}")
        with pytest.raises(UnreachableError):
            await transport.read(FILLS)
        await transport.close()
        server.close()
        await server.wait_closed()

    asyncio.run(body())


def test_pauses_between_tries_grow_and_are_capped() -> None:
    pace = TestPace()
    patience = Patience(tries=9, first_wait_ns=SECOND_NS, longest_wait_ns=20 * SECOND_NS)
    with pytest.raises(VenueFailedError):
        read_once(lambda seen: Reply(status=500), pace=pace, patience=patience)
    # Dice at one half: three quarters of 1, 2, 4, 8, 16, 20, 20, 20 seconds.
    assert [ns / SECOND_NS for ns in pace.rests] == [0.75, 1.5, 3, 6, 12, 15, 15, 15]


def test_an_error_in_a_good_status_is_an_error() -> None:
    replies = iter([Reply('{"error":"overloaded"}'), Reply("[]")])
    assert read_once(lambda seen: next(replies), manners=Spoken()).text == "[]"


# -- the clock ---------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong_s", [-7200, -30, 30, 7200])
def test_a_wrong_clock_is_measured_and_corrected_in_signatures(wrong_s: int) -> None:
    pace = TestPace()
    pace.wrong_ns = wrong_s * SECOND_NS
    signer = Planted(Signed(query=ORDERS.query))
    tries: list[Seen] = []

    def script(request: Seen) -> Reply:
        tries.append(request)
        true_ns = pace.start_ns + pace.elapsed_ns
        headers = {"Date": formatdate(true_ns / SECOND_NS, usegmt=True)}
        off_ns = abs(signer.times[-1] - true_ns)
        if off_ns > SECOND_NS:
            return Reply('{"code":-1021}', status=400, headers=headers)
        return Reply(headers=headers)

    class DateManners(Spoken):
        server_time = Manners.server_time

    answer = read_once(
        script, ORDERS, pace=pace, venue="binance", signer=signer, manners=DateManners()
    )
    assert len(tries) == 2
    # Complete no later than the venue's own time, whatever our clock shows.
    true_ns = pace.start_ns + pace.elapsed_ns
    assert true_ns - 2 * SECOND_NS <= answer.asked_ns <= true_ns


def test_a_clock_that_is_right_is_left_alone() -> None:
    pace = TestPace()

    def script(request: Seen) -> Reply:
        return Reply(headers={"Date": formatdate(pace.now_ns() / SECOND_NS, usegmt=True)})

    async def body(server: Loopback) -> None:
        transport = transport_to(server, pace)
        await transport.read(FILLS)
        assert transport.venue_now_ns() == pace.now_ns()
        await transport.close()

    run(script, body)


def test_a_finer_clock_replaces_a_coarse_one_and_a_step_is_noticed() -> None:
    pace = TestPace()
    ahead_ms = 90_000

    def script(request: Seen) -> Reply:
        return Reply(headers={"x-now-ms": str(pace.now_ns() // 10**6 + ahead_ms)})

    async def body(server: Loopback) -> None:
        nonlocal ahead_ms
        transport = transport_to(server, pace, manners=Spoken())
        await transport.read(FILLS)
        assert transport.venue_now_ns() - pace.now_ns() == pytest.approx(90 * SECOND_NS, abs=2e6)
        ahead_ms = -5000
        await transport.read(FILLS)
        assert transport.venue_now_ns() - pace.now_ns() == pytest.approx(-5 * SECOND_NS, abs=2e6)
        await transport.close()

    run(script, body)
