"""How Binance is spoken to: error codes over a real connection, weights, clocks, signatures."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from fillbook.ground.clock import SECOND_NS
from fillbook.ground.errors import ConfigError
from fillbook.sources.binance.asks import history_ask, listen_key_ask, state_ask
from fillbook.sources.binance.manners import BinanceManners, BinanceSigner
from fillbook.sources.credentials import Credentials
from fillbook.sources.faults import (
    BrokenAnswerError,
    ClockSkewError,
    KeyRefusedError,
    RateLimitedError,
    RefusedError,
    SourceError,
    VenueFailedError,
)
from fillbook.sources.manners import Received
from loopback import Loopback, Reply, Seen, TestPace
from transport_runs import read_once, run, transport_to

# The example of the venue's own page on signatures, with its payload and its result.
KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
TIME = state_ask("time", "none")
NOW_NS = 1_800_000_000_000_000_000


def said(status: int, code: int, message: str = "no", **headers: str) -> Reply:
    body = json.dumps({"code": code, "msg": message})
    return Reply(body, status=status, headers={n.replace("_", "-"): v for n, v in headers.items()})


def fault_of(reply: Reply) -> SourceError:
    with pytest.raises(SourceError) as raised:
        read_once(lambda seen: reply, TIME, venue="binance", manners=BinanceManners())
    return raised.value


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (
            said(400, -1021, "Timestamp for this request is outside of the recvWindow."),
            ClockSkewError,
        ),
        (said(401, -2014, "API-key format invalid."), KeyRefusedError),
        (said(401, -2015, "Invalid API-key, IP, or permissions for action."), KeyRefusedError),
        (said(400, -1022, "Signature for this request is not valid."), KeyRefusedError),
        (said(400, -1121, "Invalid symbol."), RefusedError),
        (said(400, -1125, "This listenKey does not exist."), RefusedError),
        (said(400, -4166, "Search window is restricted to recent 90 days only."), RefusedError),
        (said(400, -1003, "Too many requests."), RateLimitedError),
        (said(503, -1008, "Server is currently overloaded."), VenueFailedError),
        (said(200, -1001, "Internal error; unable to process your request."), VenueFailedError),
        (said(200, -1000, "An unknown error occurred."), VenueFailedError),
        (Reply("<html>blocked</html>", status=403), RateLimitedError),
        (Reply("", status=451), RefusedError),
        (Reply("<html>bad gateway</html>", status=502), VenueFailedError),
        (Reply('{"code": -10', status=200), BrokenAnswerError),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_code_in_the_body_decides(reply: Reply, kind: type[SourceError]) -> None:
    assert type(fault_of(reply)) is kind


def test_a_refused_key_is_told_what_to_check_and_what_not_to_do_alone() -> None:
    fault = fault_of(said(401, -2015))
    assert "docs/venues/binance.md" in fault.next_step and "-2015" in fault.what


def test_a_limit_says_for_how_long_in_whichever_way_the_venue_does() -> None:
    limited = fault_of(said(429, -1003, retry_after="7"))
    assert isinstance(limited, RateLimitedError)
    assert (limited.retry_after_ns, limited.banned) == (7 * SECOND_NS, False)
    banned = fault_of(said(418, -1003, "Way too many requests.", retry_after="120"))
    assert isinstance(banned, RateLimitedError) and banned.banned
    words = "Way too many requests; IP(1.2.3.4) banned until 1767607260000."
    received = Received(
        status=418,
        text=json.dumps({"code": -1003, "msg": words}),
        headers={"date": "Mon, 05 Jan 2026 10:00:00 GMT"},
    )
    timed = BinanceManners().fault(TIME, received, "here")
    assert isinstance(timed, RateLimitedError)
    assert (timed.retry_after_ns, timed.banned) == (60 * SECOND_NS, True)


def test_used_weight_is_read_where_it_is_the_futures_own() -> None:
    answer = Received(status=200, text="[]", headers={"x-mbx-used-weight-1m": "1899"})
    assert BinanceManners().used(answer) == 1899
    assert BinanceManners(counts_weight=False).used(answer) is None
    other = Received(status=200, text="[]", headers={"x-mbx-used-weight-1m": "many"})
    assert BinanceManners().used(other) is None


def test_when_the_bot_has_used_the_limit_up_nothing_is_asked() -> None:
    pace = TestPace()

    def script(seen: Seen) -> Reply:
        return Reply("{}", headers={"X-MBX-USED-WEIGHT-1M": "2100"})

    async def body(server: Loopback) -> None:
        transport = transport_to(
            server, pace, venue="binance", limit=2400, manners=BinanceManners()
        )
        for _ in range(2):
            await transport.read(TIME)
        await transport.close()

    run(script, body)
    assert pace.elapsed_ns >= 59 * SECOND_NS


def test_the_time_itself_is_exact_to_the_millisecond() -> None:
    manners = BinanceManners()
    date = {"date": "Mon, 05 Jan 2026 10:00:00 GMT"}
    exact = manners.server_time(
        Received(status=200, text='{"serverTime":1767607200123}', headers=date)
    )
    assert exact is not None
    assert (exact.at_ns, exact.grain_ns) == (1767607200123 * 10**6, 10**6)
    for text in ("[]", '{"serverTime":"soon"}', '{"serverTime":17', '{"serverTime":1.5e12}'):
        coarse = manners.server_time(Received(status=200, text=text, headers=date))
        assert coarse is not None and coarse.grain_ns == SECOND_NS


# -- signatures ----------------------------------------------------------------------------------


def test_hmac_is_what_the_venue_prints_for_its_own_example() -> None:
    payload = (
        "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000"
        "&timestamp=1499827319559"
    )
    signer = BinanceSigner(Credentials(KEY, SECRET))
    signature = signer._signature(payload.encode())
    assert signature == "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"


def arrived(credentials: Credentials, ask: Any, *, ahead_ns: int = 0) -> Seen:
    """A signed read as the venue gets it, on a machine whose clock is off."""
    pace = TestPace(NOW_NS)
    pace.wrong_ns = ahead_ns
    seen: list[Seen] = []

    def script(one: Seen) -> Reply:
        seen.append(one)
        at_ms = NOW_NS // 10**6
        return Reply(f'{{"serverTime":{at_ms}}}' if one.path.endswith("/time") else "[]")

    async def body(server: Loopback) -> None:
        transport = transport_to(
            server,
            pace,
            venue="binance",
            manners=BinanceManners(),
            signer=BinanceSigner(credentials),
        )
        await transport.read(TIME)
        await transport.read(ask)
        await transport.close()

    run(script, body)
    assert not urlsplit(seen[0].target).query and "x-mbx-apikey" not in seen[0].headers
    return seen[1]


TRADES = history_ask("userTrades", 5, 1000, (0, 5_000_000), symbol="币安USDT")


@pytest.mark.parametrize("ahead_s", [0, 3600, -3600])
def test_what_arrives_is_signed_over_exactly_what_was_sent(ahead_s: int) -> None:
    seen = arrived(Credentials(KEY, SECRET), TRADES, ahead_ns=ahead_s * SECOND_NS)
    assert seen.headers["x-mbx-apikey"] == KEY
    payload, _, signature = urlsplit(seen.target).query.rpartition("&signature=")
    wanted = hmac.new(SECRET.encode(), payload.encode(), hashlib.sha256).hexdigest()
    assert signature == wanted
    query = dict(parse_qsl(payload))
    assert (query["symbol"], query["endTime"]) == ("币安USDT", "4")
    # Signed with the venue's time, a little behind it: ahead of it is refused sooner.
    behind_ms = NOW_NS // 10**6 - int(query["timestamp"])
    assert 500 <= behind_ms <= int(query["recvWindow"]) // 2


def test_an_ed25519_key_signs_what_its_public_key_proves() -> None:
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    seen = arrived(Credentials(KEY, pem), TRADES)
    payload, _, signature = urlsplit(seen.target).query.rpartition("&")
    proof = base64.b64decode(dict(parse_qsl(signature))["signature"])
    private.public_key().verify(proof, payload.encode())


def test_a_listen_key_is_asked_for_with_the_key_alone() -> None:
    seen = arrived(Credentials(KEY, SECRET), listen_key_ask(extend=True))
    assert (seen.method, seen.path) == ("PUT", "/fapi/v1/listenKey")
    assert urlsplit(seen.target).query == "" and seen.headers["x-mbx-apikey"] == KEY


def test_a_key_of_another_kind_is_refused_without_being_shown() -> None:
    private = Ed25519PrivateKey.generate()
    locked = private.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
    ).decode()
    for text in (locked, "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----"):
        with pytest.raises(ConfigError) as refused:
            BinanceSigner(Credentials(KEY, text))
        assert "Ed25519" in str(refused.value)
        assert KEY[:20] not in str(refused.value) and text[40:60] not in str(refused.value)
