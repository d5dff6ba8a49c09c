"""A Coinbase portfolio as it is attached: whose key it is, what it may do, what it holds."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from coinbase_keys import NAME, private_pem
from fillbook.facts.model import Fill, Report
from fillbook.ground.clock import HOUR_NS, SECOND_NS
from fillbook.ground.errors import ConfigError
from fillbook.ground.live_settings import AttachSettings
from fillbook.journal.store import Journal
from fillbook.marks.series import MarkStore
from fillbook.resolve.claims import resolve
from fillbook.sources.attach import Tools, attach, check_rights, insist
from fillbook.sources.coinbase.live import CoinbaseAccount, open_account
from fillbook.sources.coinbase.manners import CoinbaseSigner
from fillbook.sources.coinbase.order_streams import NamedOrdersStream
from fillbook.sources.coinbase.owed import Owed
from fillbook.sources.coinbase.socket import Heard, UserListener
from fillbook.sources.credentials import Credentials
from fillbook.sources.faults import (
    BrokenAnswerError,
    CursorExpiredError,
    KeyRefusedError,
    RefusedError,
    SourceError,
)
from fillbook.sources.files.importing import import_paths
from fillbook.sources.files.registry import reparse
from fillbook.sources.redact import Redactor
from fillbook.sources.source import Draft, ReadOptions
from fillbook.sources.stream import Ask, Nudge
from fillbook.sources.writing import DirectWriter
from loopback import Loopback, Reply, Seen, TestPace

PRO = Path(__file__).parent / "cases" / "readers" / "coinbase_fills.csv"
D = Decimal
ROOT = "/api/v3/brokerage/"
PORTFOLIO = "b1c2d3e4-0000-4000-8000-00000c01ba5e"
MS = 1_000_000
NOW_MS = 1_800_000_000_000
RIGHTS = {
    "can_view": True,
    "can_trade": False,
    "can_transfer": False,
    "portfolio_uuid": PORTFOLIO,
    "portfolio_type": "DEFAULT",
}


class Small:
    """A venue in a table: path below the API's own -> what it answers."""

    def __init__(self, **replies: Any) -> None:
        self.replies: dict[str, Any] = {
            "time": {"iso": "x", "epochSeconds": "1", "epochMillis": str(NOW_MS)},
            "key_permissions": RIGHTS,
            "cfm/positions": {"positions": []},
            "best_bid_ask": {"pricebooks": []},
            "orders/historical/fills": {"fills": [], "cursor": ""},
            "orders/historical/batch": {"orders": [], "has_next": False, "cursor": ""},
            **{name.replace("__", "/"): reply for name, reply in replies.items()},
        }
        self.asked: list[Seen] = []

    def __call__(self, seen: Seen) -> Reply | None:
        self.asked.append(seen)
        assert seen.path.startswith(ROOT)
        told = self.replies.get(seen.path.removeprefix(ROOT))
        if callable(told):
            told = told(seen)
        if isinstance(told, Reply):
            return told
        return None if told is None else Reply(json.dumps(told))

    @property
    def paths(self) -> list[str]:
        return [seen.path.removeprefix(ROOT) for seen in self.asked]


Body = Callable[[CoinbaseAccount, AttachSettings, TestPace], Awaitable[Any]]


def with_account(
    venue: Small, body: Body, secret: str | None = None, name: str = NAME, **more: Any
) -> Any:
    async def whole() -> Any:
        pace = TestPace(NOW_MS * MS)
        async with Loopback(venue) as server:
            settings = AttachSettings(
                venue="coinbase",
                key_env="KEY",
                secret_env="SECRET",
                urls={"api": server.url, "ws": server.url},
                share=D(1),
                **more,
            )
            environ = {"KEY": name, "SECRET": secret or private_pem()}
            tools = Tools(pace, environ=environ, redactor=Redactor())
            account = open_account(settings, tools)
            try:
                return await body(account, settings, pace)
            finally:
                await account.close()

    return asyncio.run(whole())


# -- who it is, and what its key may do ----------------------------------------------------------


def test_an_account_is_its_portfolio_whatever_key_opens_it() -> None:
    async def body(account: CoinbaseAccount, settings: AttachSettings, pace: TestPace) -> None:
        assert await account.identify() == account.account == PORTFOLIO
        assert account.label == "coinbase …beef"

    venue = Small()
    with_account(venue, body)
    assert venue.paths == ["time", "key_permissions"]
    # The time is public, and asked without a token.
    assert ["authorization" in seen.headers for seen in venue.asked] == [False, True]


def test_a_key_of_no_portfolio_is_refused() -> None:
    async def body(account: CoinbaseAccount, settings: AttachSettings, pace: TestPace) -> None:
        with pytest.raises(KeyRefusedError, match="which portfolio"):
            await account.identify()

    with_account(Small(key_permissions={**RIGHTS, "portfolio_uuid": ""}), body)


FILL = {
    "entry_id": "e-1",
    "trade_id": "t-1",
    "order_id": "o-1",
    "trade_time": "2027-01-15T07:00:00Z",
    "trade_type": "FILL",
    "price": "94000",
    "size": "0.01",
    "commission": "5.64",
    "product_id": "BTC-USD",
    "side": "BUY",
    "retail_portfolio_id": PORTFOLIO,
}


def test_a_new_key_of_the_portfolio_goes_on_with_the_same_account(tmp_path: Path) -> None:
    pulled: list[tuple[int, int]] = []

    async def body(account: CoinbaseAccount, settings: AttachSettings, pace: TestPace) -> None:
        with (
            Journal.open(path) if path.exists() else Journal.create(path) as journal,
            MarkStore(tmp_path / "b.marks") as marks,
        ):
            writer = DirectWriter(journal, marks, clock=pace.now_ns)
            attached = await attach(account, settings, writer, pace)
            (fills,) = [p for p in attached.pagers if p.stream.name == "fills"]
            done = await fills.pull()
            assert done.fault is None
            pulled.append((done.new, done.pages))
            assert [batch.batch_id for batch in journal.batches()] == [
                f"live:coinbase:{PORTFOLIO}:fills"
            ]

    def fills_of(seen: Seen) -> Any:
        is_recent = seen.query["end_sequence_timestamp"] > FILL["trade_time"]
        return {"fills": [FILL] if is_recent else [], "cursor": ""}

    path = tmp_path / "b.db"
    venue = Small(orders__historical__fills=fills_of)
    with_account(venue, body)
    # Another key, under another name; and what was pulled is not pulled from the beginning.
    with_account(venue, body, private_pem(1), NAME.replace("beef", "cafe"))
    assert pulled == [(1, 4), (0, 1)]


def test_an_export_of_the_older_product_counts_beside_the_live_history(tmp_path: Path) -> None:
    """Fills of Coinbase Pro that the venue does not show any more are no repetitions of ours."""

    async def body(account: CoinbaseAccount, settings: AttachSettings, pace: TestPace) -> None:
        with (
            Journal.create(tmp_path / "b.db") as journal,
            MarkStore(tmp_path / "b.marks") as marks,
        ):
            import_paths(journal, marks, [PRO], ReadOptions(account=PORTFOLIO))
            older = events_of(journal)
            attached = await attach(
                account, settings, DirectWriter(journal, marks, clock=pace.now_ns), pace
            )
            assert all([(await pager.pull()).fault is None for pager in attached.pagers])
            assert len(older) == 3 and events_of(journal) == sorted([*older, "e-1"])
            assert "sources-disagree" not in {f.code for f in resolve(journal.claims()).findings}

    def fills_of(seen: Seen) -> Any:
        is_recent = seen.query["end_sequence_timestamp"] > FILL["trade_time"]
        return {"fills": [FILL] if is_recent else [], "cursor": ""}

    # The order of the fill is looked for by its id; the venue does not have it any more.
    gone = {"orders__historical__o-1": {"order": None}}
    with_account(Small(orders__historical__fills=fills_of, **gone), body)


def events_of(journal: Journal) -> list[str]:
    """The ids of every fill that counts."""
    groups = resolve(journal.claims()).groups
    facts = [event.fact for group in groups for event in group.events]
    return sorted(str(fact.fill_id) for fact in facts if isinstance(fact, Fill))


def test_an_address_is_no_key() -> None:
    settings = AttachSettings(
        venue="coinbase", address="0x31ca8395cf837de08b24da3f660e77761dfb974b"
    )
    with pytest.raises(ConfigError, match="attached with a key"):
        open_account(settings, Tools(TestPace(), environ={}))


@pytest.mark.parametrize(
    ("changes", "decision", "said"),
    [
        ({}, "accepted", ""),
        ({"can_trade": True}, "refused", "may can_trade"),
        ({"can_transfer": True}, "refused", "may can_transfer"),
        ({"can_view": False}, "refused", "lacks can_view"),
        # A right that nobody here has heard of, in any shape.
        ({"can_stake": True}, "refused", "may can_stake"),
        ({"can_stake": "yes"}, "refused", "may can_stake"),
        ({"can_stake": None}, "refused", "may can_stake"),
        ({"can_stake": False}, "accepted", ""),
        ({"receives": True}, "refused", "may receives"),
        ({"scopes": ["trade"]}, "refused", "may scopes"),
        ({"portfolio_name": "main", "created": 5}, "accepted", ""),
    ],
)
def test_rights_are_judged_by_what_the_venue_prints(
    changes: dict[str, Any], decision: str, said: str
) -> None:
    async def body(account: CoinbaseAccount, settings: AttachSettings, pace: TestPace) -> None:
        verdict = await check_rights(account, settings)
        assert verdict.decision == decision
        assert said in "; ".join(verdict.reasons)
        if decision == "refused":
            with pytest.raises(KeyRefusedError, match=said) as refused:
                insist(verdict, "[[attach]] x")
            assert "Tick only `View`" in refused.value.next_step

    with_account(Small(key_permissions={**RIGHTS, **changes}), body)


@pytest.mark.parametrize("name", ["can_trade", "can_transfer"])
def test_a_right_that_is_not_told_is_not_a_safe_one(name: str) -> None:
    async def body(account: CoinbaseAccount, settings: AttachSettings, pace: TestPace) -> None:
        # No exception exists for this venue, asked for or not.
        verdict = await check_rights(account, settings)
        assert verdict.decision == "refused"
        assert f"does not say whether it may {name}" in verdict.reasons

    told = {key: value for key, value in RIGHTS.items() if key != name}
    with_account(Small(key_permissions=told), body, accept_trading_key=True)


# -- tokens --------------------------------------------------------------------------------------


def ed25519() -> tuple[str, Any]:
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return base64.b64encode(bytes(range(32)) + raw).decode(), key.public_key()


def keys() -> list[tuple[str, str, Any]]:
    private: Any = load_pem_private_key(private_pem().encode(), None)
    seed, public = ed25519()
    return [("ES256", private_pem(), private.public_key()), ("EdDSA", seed, public)]


@pytest.mark.parametrize(("algorithm", "secret", "public"), keys(), ids=["ES256", "EdDSA"])
def test_a_token_is_for_one_request_and_two_minutes(
    algorithm: str, secret: str, public: Any
) -> None:
    async def body(account: CoinbaseAccount, settings: AttachSettings, pace: TestPace) -> None:
        await account.identify()
        pace.elapsed_ns += 30 * SECOND_NS
        await account.rights()
        await account.estimate(pace.now_ns())

    venue = Small()
    with_account(venue, body, secret)
    seen = [each for each in venue.asked if "authorization" in each.headers]
    nonces = set()
    for each in seen:
        token = each.headers["authorization"].removeprefix("Bearer ")
        head = jwt.get_unverified_header(token)
        assert (head["alg"], head["typ"], head["kid"]) == (algorithm, "JWT", NAME)
        nonces.add(head["nonce"])
        claims = jwt.decode(
            token,
            public,
            algorithms=[algorithm],
            options={"verify_exp": False, "verify_nbf": False},
        )
        assert (claims["sub"], claims["iss"]) == (NAME, "cdp")
        assert claims["uri"] == f"{each.method} {each.headers['host']}{each.path}"
        assert "?" not in claims["uri"]
        assert claims["exp"] - claims["nbf"] == 120
        assert 0 <= claims["nbf"] - (NOW_MS // 1000 - 5) <= 31
    assert len(seen) == len(nonces) == 4


def test_a_subscription_has_a_token_of_its_own_that_names_no_request() -> None:
    signer = CoinbaseSigner(Credentials(NAME, private_pem()))
    heard = hearing(TestPace(), set(), set(), lambda: signer.token(NOW_MS * MS))
    says = asyncio.run(UserListener(heard, TestPace(), Owed()).opening()).says
    assert [(say["type"], say["channel"]) for say in says] == [
        ("subscribe", "heartbeats"),
        ("subscribe", "user"),
    ]
    assert len({say["jwt"] for say in says}) == 2
    for say in says:
        assert "uri" not in jwt.decode(say["jwt"], options={"verify_signature": False})
        assert "product_ids" not in say


def pem_of_another_kind() -> str:
    key = Ed25519PrivateKey.generate()
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return key.private_bytes(*form).decode()


def test_only_keys_that_can_sign_are_taken() -> None:
    CoinbaseSigner(Credentials(NAME, pem_of_another_kind()))
    broken = private_pem().replace("\n", "\nAAAA", 1)
    for secret in (
        "s" * 64,
        base64.b64encode(b"short").decode(),
        broken,
        "-----BEGIN X-----",
        "é" * 64,
    ):
        with pytest.raises(ConfigError, match="neither a PEM") as refused:
            CoinbaseSigner(Credentials(NAME, secret))
        assert secret not in str(refused.value)


def test_no_secret_is_in_any_message(caplog: pytest.LogCaptureFixture) -> None:
    tokens: list[str] = []

    def echo(seen: Seen) -> Reply:
        tokens.append(seen.headers["authorization"])
        words = f"{NAME} {private_pem()} {tokens[-1]}"
        return Reply(json.dumps({"error": "x", "message": words}), status=401)

    async def body(account: CoinbaseAccount, settings: AttachSettings, pace: TestPace) -> None:
        with pytest.raises(SourceError) as refused:
            await account.rights()
        for text in (str(refused.value), repr(account), caplog.text):
            assert tokens[-1].removeprefix("Bearer ") not in text
            assert private_pem().splitlines()[1] not in text and NAME not in text

    caplog.set_level("DEBUG")
    with_account(Small(key_permissions=echo), body)


# -- what is pulled first ------------------------------------------------------------------------


def test_what_the_first_pull_takes_is_said_before_it() -> None:
    async def body(account: CoinbaseAccount, settings: AttachSettings, pace: TestPace) -> None:
        await account.identify()
        few = await account.estimate(pace.now_ns())
        assert few.exact and few.asks == few.weight == 9 + 2 * 4
        assert any("Coinbase Pro" in line for line in few.beyond)
        assert any(line.startswith("funding") for line in few.beyond)
        venue.replies["orders/historical/fills"] = {"fills": [], "cursor": "1149"}
        many = await account.estimate(pace.now_ns())
        assert not many.exact and many.asks == few.asks + 400
        streams = await account.discover(("BTC-USD",), pace.now_ns())
        assert [stream.name for stream in streams] == [
            "fills",
            "orders",
            "orders/named",
            "products",
        ]
        assert [stream.components for stream in streams] == [("fills",), ("orders",), (), ()]
        assert await account.discover((), pace.now_ns()) == streams

    venue = Small()
    with_account(venue, body)


# -- what it holds -------------------------------------------------------------------------------

FUTURE = {
    "product_id": "BIT-27MAR26-CDE",
    "expiration_time": "2026-03-27T16:00:00Z",
    "side": "SHORT",
    "number_of_contracts": "8",
    "current_price": "61888",
    "avg_entry_price": "61799",
    "unrealized_pnl": "-7.12",
    "daily_realized_pnl": "0",
}
PERPETUAL = {
    "product_id": "ETH-PERP-INTX",
    "symbol": "ETH-PERP-INTX",
    "position_side": "POSITION_SIDE_SHORT",
    "net_size": "-1.2618",
    "mark_price": {"value": "2375.6", "currency": "USDC"},
}
BOOK = {
    "product_id": "BTC-USD",
    "bids": [{"price": "94000.01", "size": "1"}],
    "asks": [{"price": "94000.02", "size": "2"}],
    "time": "2027-01-15T08:00:00.123456Z",
}


def told_by(snapshot: Any) -> list[tuple[Any, ...]]:
    facts = [d.fact for row in snapshot.rows for d in row.drafts if isinstance(d, Draft)]
    assert all(isinstance(fact, Report) for fact in facts)
    for row in snapshot.rows:
        again = reparse(snapshot.source, snapshot.context, row.raw)
        assert again == [d.fact for d in row.drafts]
    return [(r.what, r.instrument, r.qty, r.px) for r in facts if isinstance(r, Report)]


def test_all_futures_are_one_read_and_all_spot_prices_another() -> None:
    async def body(account: CoinbaseAccount, settings: AttachSettings, pace: TestPace) -> None:
        await account.identify()
        await account.discover(("BTC-USD", "ETH-USD", "BIT-27MAR26-CDE"), pace.now_ns())
        snapshot = await account.positions(pace.now_ns())
        assert told_by(snapshot) == [("position", "BIT-27MAR26-CDE", D(-8), D(61888))]
        (mark,) = snapshot.marks
        assert (mark.instrument, mark.px, mark.what) == ("BTC-USD", D("94000.015"), "mid")
        assert mark.ts_ns == (NOW_MS // 1000) * SECOND_NS + 123_456_000

    flat = {**FUTURE, "product_id": "ET-27MAR26-CDE", "number_of_contracts": "0", "side": "UNKNOWN"}
    empty = {**BOOK, "product_id": "ETH-USD", "asks": []}
    venue = Small(
        cfm__positions={"positions": [FUTURE, flat]},
        best_bid_ask={"pricebooks": [BOOK, empty]},
    )
    with_account(venue, body)
    assert venue.paths == ["time", "key_permissions", "cfm/positions", "best_bid_ask"]
    # Contracts bring their price with the position.
    assert venue.asked[-1].target.endswith("?product_ids=BTC-USD&product_ids=ETH-USD")


def test_a_portfolio_of_perpetuals_is_asked_for_those() -> None:
    async def body(account: CoinbaseAccount, settings: AttachSettings, pace: TestPace) -> None:
        await account.identify()
        snapshot = await account.positions(pace.now_ns())
        assert told_by(snapshot) == [("position", "ETH-PERP-INTX", D("-1.2618"), D("2375.6"))]

    path = f"intx__positions__{PORTFOLIO}"
    venue = Small(
        key_permissions={**RIGHTS, "portfolio_type": "INTX"}, **{path: {"positions": [PERPETUAL]}}
    )
    with_account(venue, body)
    assert venue.paths == ["time", "key_permissions", path.replace("__", "/")]


def test_a_portfolio_without_futures_is_asked_again_in_an_hour() -> None:
    async def body(account: CoinbaseAccount, settings: AttachSettings, pace: TestPace) -> None:
        await account.identify()
        for hours in (0, 0, 1):
            pace.elapsed_ns += hours * HOUR_NS
            assert (await account.positions(pace.now_ns())).rows == ()

    refusal = Reply('{"error":"PERMISSION_DENIED","message":"no futures account"}', status=403)
    venue = Small(cfm__positions=refusal)
    with_account(venue, body)
    assert venue.paths.count("cfm/positions") == 2


def test_a_refusal_is_never_taken_for_flat_where_the_book_holds_contracts() -> None:
    async def body(account: CoinbaseAccount, settings: AttachSettings, pace: TestPace) -> None:
        await account.identify()
        await account.discover({"BTC-USD", FUTURE["product_id"]}, pace.now_ns())
        with pytest.raises(KeyRefusedError):
            await account.positions(pace.now_ns())

    with_account(Small(cfm__positions=Reply("Forbidden", status=403)), body)


def test_a_refusal_is_never_taken_for_flat_where_there_were_positions() -> None:
    async def body(account: CoinbaseAccount, settings: AttachSettings, pace: TestPace) -> None:
        await account.identify()
        assert len((await account.positions(pace.now_ns())).rows) == 1
        venue.replies["cfm/positions"] = Reply("Unauthorized", status=401)
        with pytest.raises(KeyRefusedError):
            await account.positions(pace.now_ns())
        for broken in ({"positions": None}, {}, {"error": "INTERNAL"}):
            venue.replies["cfm/positions"] = broken
            with pytest.raises(BrokenAnswerError):
                await account.positions(pace.now_ns())
        venue.replies["cfm/positions"] = {"positions": [{**FUTURE, "number_of_contracts": "many"}]}
        with pytest.raises(BrokenAnswerError, match="number_of_contracts 'many' is not a decimal"):
            await account.positions(pace.now_ns())

    venue = Small(cfm__positions={"positions": [FUTURE]})
    with_account(venue, body)


def test_a_product_that_is_gone_costs_the_others_nothing() -> None:
    def books(seen: Seen) -> Any:
        names = [part.partition("=")[2] for part in seen.target.partition("?")[2].split("&")]
        if "GONE-USD" in names:
            return Reply('{"error":"INVALID_ARGUMENT","message":"unknown product"}', status=400)
        return {"pricebooks": [{**BOOK, "product_id": name} for name in names]}

    async def body(account: CoinbaseAccount, settings: AttachSettings, pace: TestPace) -> None:
        await account.identify()
        await account.discover(("A-USD", "B-USD", "GONE-USD", "Z-USD"), pace.now_ns())
        for _ in range(2):
            snapshot = await account.positions(pace.now_ns())
            assert {mark.instrument for mark in snapshot.marks} == {"A-USD", "B-USD", "Z-USD"}

    venue = Small(best_bid_ask=books)
    with_account(venue, body)
    assert venue.paths.count("best_bid_ask") == 5 + 1


# -- how it speaks -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "cursor", "kind"),
    [
        (400, "1149", CursorExpiredError),
        (400, "", RefusedError),
        (404, "", RefusedError),
        (401, "1149", KeyRefusedError),
        (403, "", KeyRefusedError),
    ],
)
def test_a_forgotten_cursor_is_another_fault_than_a_refusal(
    status: int, cursor: str, kind: type[SourceError]
) -> None:
    async def body(account: CoinbaseAccount, settings: AttachSettings, pace: TestPace) -> None:
        query = (("cursor", cursor),) if cursor else ()
        ask = Ask(name="x", path=f"{ROOT}orders/historical/fills", query=query, auth="signed")
        with pytest.raises(kind, match="INVALID" if status < 401 else str(status)):
            await account.read(ask)

    told = Reply('{"error":"INVALID_ARGUMENT","message":"invalid cursor"}', status=status)
    with_account(Small(orders__historical__fills=told), body)


def test_an_order_that_is_gone_does_not_halt_the_others() -> None:
    async def body(account: CoinbaseAccount, settings: AttachSettings, pace: TestPace) -> None:
        await account.identify()
        named = (await account.discover((), pace.now_ns()))[2]
        assert isinstance(named, NamedOrdersStream)
        for order_id in ("gone", "here"):
            named.note(order_id)
        at = named.begin(None, pace.now_ns(), 0)
        rows = 0
        for _ in range(2):
            page = named.parse(await account.read(named.ask(at, pace.now_ns())), at)
            rows, at = rows + len(page.rows), page.next_cursor
        assert (rows, page.more) == (1, False)

    told = {"order_id": "here", "product_id": "A-USD", "side": "BUY", "status": "OPEN"}
    told |= {"created_time": "2027-01-15T07:55:00Z", "filled_size": "0"}
    words = '{"error":"NOT_FOUND","message":"order with this orderID was not found"}'
    venue = Small(
        orders__historical__gone=Reply(words, status=404),
        orders__historical__here={"order": told},
    )
    with_account(venue, body)


def test_a_clock_that_is_off_is_a_finding_and_tokens_have_the_venues_time() -> None:
    async def body(account: CoinbaseAccount, settings: AttachSettings, pace: TestPace) -> None:
        pace.wrong_ns = 90 * SECOND_NS
        await account.identify()
        (finding,) = account.findings()
        assert finding.code == "clock-skew" and "90 s ahead of" in finding.message

    venue = Small()
    with_account(venue, body)
    token = venue.asked[-1].headers["authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, options={"verify_signature": False})
    assert abs(claims["nbf"] + 5 - NOW_MS // 1000) <= 1


# -- the stream of the user ----------------------------------------------------------------------


YOUNG, OLD = "2027-01-15T07:55:00Z", "2027-01-15T07:49:00Z"


def order(**changes: Any) -> dict[str, Any]:
    told = {"order_id": "o-1", "product_id": "BTC-USD", "cumulative_quantity": "0"}
    told |= {"creation_time": YOUNG, "number_of_fills": "0", "status": "OPEN"}
    return {**told, **changes}


def frame(number: int, *orders: dict[str, Any], kind: str = "update") -> str:
    events = [{"type": kind, "orders": list(orders)}]
    return json.dumps({"channel": "user", "sequence_num": number, "events": events})


def beat(number: int) -> str:
    return json.dumps({"channel": "heartbeats", "sequence_num": number, "events": [{}]})


def hearing(
    pace: TestPace, noted: set[str], named: set[str], token: Callable[[], str] = str
) -> Heard:
    return Heard(token=token, note=noted.add, name_order=named.add, now_ns=pace.now_ns)


class Ear:
    """A listener, and what it told others."""

    def __init__(self) -> None:
        self.pace, self.owed = TestPace(NOW_MS * MS), Owed()
        self.noted: set[str] = set()
        self.named: set[str] = set()
        self.one = UserListener(hearing(self.pace, self.noted, self.named), self.pace, self.owed)
        self.number = -1

    def beats(self, seconds: int) -> list[tuple[int, tuple[str, ...], str]]:
        """Let heartbeats come, and return what they asked for: second, histories, why."""
        asked = []
        for second in range(1, seconds + 1):
            self.pace.elapsed_ns += SECOND_NS
            self.number += 1
            nudge = self.one.heard(beat(self.number))
            if nudge is not None:
                asked.append((second, nudge.streams, nudge.why))
        return asked

    def hears(self, *orders: dict[str, Any], kind: str = "update") -> tuple[str, ...] | None:
        self.number += 1
        nudge = self.one.heard(frame(self.number, *orders, kind=kind))
        return None if nudge is None else nudge.streams


EVERYTHING = Nudge(why="messages are missing")
UNSEEN = "a fill has not been seen yet"


def test_a_number_that_is_missing_asks_for_everything() -> None:
    one = Ear().one
    assert one.heard(beat(0)) is None and one.heard(beat(1)) is None
    assert one.heard(beat(3)) == EVERYTHING
    assert one.heard(beat(4)) is None
    # What comes late or twice is no gap.
    assert one.heard(beat(2)) is None and one.heard(beat(4)) is None and one.heard(beat(5)) is None
    assert one.heard(frame(7, order(cumulative_quantity="1"))) == EVERYTHING
    asyncio.run(one.opening())
    assert one.heard(beat(0)) is None


def test_an_order_that_filled_asks_for_fills_until_they_are_seen() -> None:
    ear = Ear()
    assert ear.hears(order(), kind="snapshot") is None
    assert ear.hears(order(limit_price="5")) == ("orders",)
    assert ear.hears(order(cumulative_quantity="0.5", number_of_fills="2")) == ("fills",)
    assert ear.noted == {"BTC-USD"} and ear.named == set()
    first = ear.beats(11)
    # The order was held back for a while; one of two fills is still to come.
    assert first == [(3, ("fills",), "heartbeats"), (6, ("fills",), UNSEEN)]
    ear.owed.seen("o-1", "e-1")
    later = ear.beats(200)
    assert [told for told in first + later if "orders" in told[1]] == [
        (4, ("orders",), "heartbeats")
    ]
    # It is asked for less and less often, and then left to the clock.
    assert [second for second, streams, _ in later if "fills" in streams] == [3, 19, 51, 115]
    ear.owed.seen("o-1", "e-2")
    ear.owed.seen("o-1", "e-2")
    more = order(cumulative_quantity="0.7", number_of_fills="3")
    assert ear.hears(more) == ("fills", "orders")
    ear.owed.seen("o-1", "e-3")
    assert ear.beats(60) == []


def test_a_busy_bot_does_not_make_us_read_its_orders_all_the_time() -> None:
    ear = Ear()
    asked: list[tuple[str, ...]] = []
    for n in range(600):
        ear.pace.elapsed_ns += SECOND_NS // 10
        told = ear.hears(order(order_id=f"o-{n}", cumulative_quantity="1"))
        asked += [told] if told else []
    flat = [name for streams in asked for name in streams]
    assert (flat.count("orders"), flat.count("fills")) == (4, 20)
    # What was held back at the end comes a little later.
    assert ("orders" in {name for _, streams, _ in ear.beats(16) for name in streams}) is True


def test_an_order_that_is_old_is_asked_for_alone() -> None:
    ear = Ear()
    assert ear.hears(order(order_id="o-7", creation_time=OLD)) == ("orders/named",)
    assert ear.hears(order(order_id="o-8")) == ("orders",)
    bare = {name: value for name, value in order().items() if name != "creation_time"}
    ear.pace.elapsed_ns += 20 * SECOND_NS
    assert ear.hears({**bare, "order_id": "o-9"}) == ("orders/named",)
    assert ear.named == {"o-7", "o-9"}


def test_what_is_not_understood_is_no_silence() -> None:
    broken = (
        "not json",
        "[]",
        '{"channel":"wonder"}',
        '{"type":"error","message":"authentication failure"}',
        frame(1, {"order_id": "o-1"}),
        frame(2, order(creation_time="soon")),
    )
    for text in broken:
        with pytest.raises((ValueError, KeyError, TypeError)):
            Ear().one.heard(text)
    one = Ear().one
    assert one.heard('{"channel":"subscriptions","sequence_num":2,"events":[{}]}') is None
