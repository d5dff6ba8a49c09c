"""The simulated Binance: its own formats, signatures, windows, limits and streams, on the wire."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from fillbook.ground.clock import DAY_NS, HOUR_NS, MINUTE_NS
from fillbook.sim.cast import HEDGE
from fillbook.sim.clock import SimClock
from fillbook.sim.faults import FaultPlan
from fillbook.sim.live import LiveWorld
from fillbook.sim.venues.binance.server import BinanceServer
from fillbook.sim.venues.calls import Key
from fillbook.sim.world import BNB_RATE, START_MS, TREND
from shapes import jkorf, shape_of, unlike

START_NS = START_MS * 1_000_000
DAY_MS = 86_400_000
KEYS = {TREND: "trend-key", HEDGE: "hedge-key"}
SECRET = "a-secret-of-the-desk"
Rows = list[dict[str, Any]]


class Client:
    """Asks a venue the way its pages say: signed over the query, in the order it is sent."""

    def __init__(self, venue: BinanceServer, http: httpx.Client) -> None:
        self.venue, self.http = venue, http

    def reply(
        self, path: str, who: str = HEDGE, method: str = "GET", at_ms: int = 0, **asked: Any
    ) -> httpx.Response:
        stamp = self.venue.clock.now_ns() // 1_000_000 + at_ms
        query = urlencode({**asked, "recvWindow": 5000, "timestamp": stamp})
        proof = hmac.new(SECRET.encode(), query.encode(), hashlib.sha256).hexdigest()
        headers = {"X-MBX-APIKEY": KEYS.get(who, who)}
        return self.http.request(method, f"{path}?{query}&signature={proof}", headers=headers)

    def ask(self, path: str, who: str = HEDGE, **asked: Any) -> Any:
        reply = self.reply(path, who, **asked)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def all_of(self, path: str, time: str, who: str = HEDGE, **asked: Any) -> Rows:
        """Read the last days of a history, an inclusive page after the other."""
        rows: Rows = []
        now_ms = self.venue.clock.now_ns() // 1_000_000
        since_ms = now_ms - 6 * DAY_MS
        while True:
            window = {"startTime": since_ms, "endTime": now_ms, "limit": 1000}
            page = self.ask(path, who, **asked, **window)
            new = [row for row in page if row not in rows]
            rows += new
            if not new:
                return rows
            since_ms = page[-1][time]

    def symbols(self, who: str) -> list[str]:
        return sorted({fill.market.symbol for fill in self.venue.world.fills(who)})


@contextmanager
def attached(world: LiveWorld, **options: Any) -> Iterator[Client]:
    keys = [Key(name=name, secret=SECRET, account=who) for who, name in KEYS.items()]
    venue = BinanceServer(world, SimClock(world.now_ns), world.plan, keys=keys, **options)
    with venue, httpx.Client(base_url=venue.base_url, timeout=10) as http:
        yield Client(venue, http)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Serve three days in which every trading fault has struck."""
    plan = FaultPlan.all_on(5, without=["symbol_renamed", "symbol_delisted"])
    world = LiveWorld(5, plan=plan, accounts=[TREND, HEDGE], crowd=40)
    plan.arm("liquidation", 4)
    world.advance_to(START_NS + 3 * DAY_NS)
    world.plan.calm()
    with attached(world) as client:
        yield client
        assert not client.venue.violations


@pytest.fixture(autouse=True)
def _fresh_minute(client: Client) -> None:
    client.venue.clock.step(MINUTE_NS)


def refusal(reply: httpx.Response) -> tuple[int, int]:
    return reply.status_code, reply.json()["code"]


# -- histories ----------------------------------------------------------------------------------


@pytest.mark.parametrize("who", [TREND, HEDGE])
def test_trades_of_every_symbol_are_the_worlds_executions(client: Client, who: str) -> None:
    told = [
        (row["symbol"], row["id"], row["orderId"], Decimal(row["qty"]), Decimal(row["commission"]))
        for symbol in client.symbols(who)
        for row in client.all_of("/fapi/v1/userTrades", "time", who, symbol=symbol)
    ]
    wanted = [
        (f.market.symbol, f.fill_id, f.order_id, f.qty, f.fee)
        for f in client.venue.world.fills(who)
    ]
    assert len(told) == len(set(told)) and sorted(told) == sorted(wanted)


def test_an_id_leads_to_itself_and_what_follows(client: Client) -> None:
    symbol = client.symbols(TREND)[0]
    rows = client.all_of("/fapi/v1/userTrades", "time", TREND, symbol=symbol)
    numbers = sorted(row["id"] for row in rows)
    page = client.ask("/fapi/v1/userTrades", TREND, symbol=symbol, fromId=numbers[3], limit=5)
    assert [row["id"] for row in page] == numbers[3:8]
    mixed = client.reply(
        "/fapi/v1/userTrades", TREND, symbol=symbol, fromId=numbers[3], startTime=1
    )
    assert refusal(mixed) == (400, -1128)


def test_windows_are_a_week_at_most_and_symbols_must_be_named(client: Client) -> None:
    now_ms = client.venue.clock.now_ns() // 1_000_000
    window = {"startTime": now_ms - 8 * DAY_MS, "endTime": now_ms}
    for path in ("userTrades", "allOrders", "allAlgoOrders"):
        assert refusal(client.reply(f"/fapi/v1/{path}", symbol="BTCUSDC", **window))[0] == 400
        assert refusal(client.reply(f"/fapi/v1/{path}")) == (400, -1102)
        assert refusal(client.reply(f"/fapi/v1/{path}", symbol="NONEUSDC")) == (400, -1121)
    assert client.ask("/fapi/v1/income", **window)
    assert refusal(client.reply("/fapi/v1/income", limit=1001)) == (400, -1130)


@pytest.mark.parametrize("who", [TREND, HEDGE])
def test_income_is_all_money_that_moved_and_nothing_twice(client: Client, who: str) -> None:
    rows = client.all_of("/fapi/v1/income", "time", who)
    world = client.venue.world
    sums: dict[tuple[str, str], Decimal] = {}
    for row in rows:
        place = (row["incomeType"], row["asset"])
        sums[place] = sums.get(place, Decimal(0)) + Decimal(row["income"])
    fees = world.truth(who).fees
    for (_, asset), fee in fees.items():
        assert sums.get(("COMMISSION", asset), 0) == -fee
    results = sum((fill.closed_pnl for fill in world.fills(who)), Decimal(0))
    assert sums["REALIZED_PNL", "USDC"] == results
    paid = sum((payment.amount for payment in world.funding(who)), Decimal(0))
    assert sums["FUNDING_FEE", "USDC"] == paid
    keys = [(r["incomeType"], str(r["tranId"]), r["asset"], r["symbol"]) for r in rows]
    assert len(keys) == len(set(keys))
    # Numbers are unique within a type only, and too long for a float.
    numbers = [str(row["tranId"]) for row in rows]
    assert len(numbers) > len(set(numbers))
    assert all(int(float(number)) != int(number) for number in numbers[:50] if int(number) % 2)
    typed = client.all_of("/fapi/v1/income", "time", who, incomeType="COMMISSION")
    assert typed == [row for row in rows if row["incomeType"] == "COMMISSION"]


def test_orders_that_never_filled_are_gone_after_three_days() -> None:
    world = LiveWorld(7, accounts=[HEDGE])
    world.advance_to(START_NS + DAY_NS)
    with attached(world) as client:
        kept = {
            row["orderId"]: row["status"]
            for symbol in client.symbols(HEDGE)
            for row in client.all_of("/fapi/v1/allOrders", "time", symbol=symbol)
        }
        unfilled = {
            o.order_id
            for o in world.orders(HEDGE)
            if o.state in ("cancelled", "expired") and not o.filled and o.kind == "limit"
        }
        assert unfilled and unfilled <= kept.keys()
        client.venue.clock.step(4 * DAY_NS)
        later = {
            row["orderId"]
            for symbol in client.symbols(HEDGE)
            for row in client.all_of("/fapi/v1/allOrders", "time", symbol=symbol)
        }
        assert not later & unfilled
        assert {number for number, status in kept.items() if status == "FILLED"} <= later


def test_stops_are_conditional_orders_until_they_go_off(client: Client) -> None:
    world = client.venue.world
    stops = {o.order_id: o for o in world.orders(HEDGE) if o.kind in ("stop", "take_profit")}
    told: Rows = []
    plain: set[int] = set()
    for symbol in client.symbols(HEDGE):
        told += client.all_of("/fapi/v1/allAlgoOrders", "createTime", symbol=symbol)
        orders = client.all_of("/fapi/v1/allOrders", "time", symbol=symbol)
        plain |= {row["orderId"] for row in orders}
        assert {row["origType"] for row in orders} <= {"LIMIT", "MARKET"}
    went_off = {number for number, stop in stops.items() if stop.triggered_ms is not None}
    assert {row["algoId"] for row in told} == stops.keys()
    assert {row["algoId"] for row in told if row["actualOrderId"]} == went_off
    assert plain & stops.keys() == went_off


def test_the_venues_own_orders_are_called_so(client: Client) -> None:
    causes = {o.cause for o in client.venue.world.orders(HEDGE)} - {None}
    beginnings = {
        "liquidation": "autoclose-",
        "adl": "adl_autoclose",
        "settlement": "settlement_autoclose-",
    }
    named = {
        row["clientOrderId"]
        for symbol in client.symbols(HEDGE)
        for row in client.all_of("/fapi/v1/allOrders", "time", symbol=symbol)
    }
    assert causes >= {"liquidation"}
    for cause in causes:
        assert any(name.startswith(beginnings[str(cause)]) for name in named), cause


def test_late_rows_appear_minutes_after_younger_ones() -> None:
    world = LiveWorld(9, plan=FaultPlan(9, ["late_row"], often={"late_row": 400}), accounts=[HEDGE])
    world.advance_to(START_NS + DAY_NS)
    with attached(world) as client:
        seen: dict[int, int] = {}
        for _ in range(200):
            client.venue.clock.step(4 * MINUTE_NS)
            rows = client.all_of("/fapi/v1/income", "time", incomeType="COMMISSION")
            new = {row["tranId"]: row["time"] for row in rows if row["tranId"] not in seen}
            if seen and new and min(new.values()) < max(seen.values()):
                return
            seen |= new
    raise AssertionError("no row was ever late")


# -- states -------------------------------------------------------------------------------------


def test_positions_are_the_worlds_both_legs_apart(client: Client) -> None:
    world = client.venue.world
    for _ in range(12):
        client.venue.clock.step(HOUR_NS)
        rows = client.ask("/fapi/v3/positionRisk")
        legs = {"net": "BOTH", "long": "LONG", "short": "SHORT"}
        assert {(r["symbol"], r["positionSide"], Decimal(r["positionAmt"])) for r in rows} == {
            (p.market.symbol, legs[p.position_side], p.qty) for p in world.positions(HEDGE)
        }
        for row, held in zip(rows, world.positions(HEDGE), strict=True):
            assert Decimal(row["markPrice"]) == world.mark(held.market)
            gain = held.qty * world.mark(held.market) - held.cost
            assert abs(Decimal(row["unRealizedProfit"]) - gain) < Decimal("0.0000001")


def test_equity_is_cash_and_positions_at_their_marks(client: Client) -> None:
    world = client.venue.world
    (told,) = [a for a in client.ask("/fapi/v3/account")["assets"] if a["asset"] == "USDC"]
    worth = world.wallets(HEDGE)["perp", "USDC"]
    worth += sum(p.qty * world.mark(p.market) for p in world.positions(HEDGE))
    assert abs(Decimal(told["marginBalance"]) - worth) < Decimal("0.0000001")
    assert client.ask("/fapi/v1/positionSide/dual") == {"dualSidePosition": True}
    assert client.ask("/fapi/v1/positionSide/dual", TREND) == {"dualSidePosition": False}


def test_bars_close_where_the_world_was(client: Client) -> None:
    now_ms = client.venue.clock.now_ns() // 1_000_000
    window = {"startTime": now_ms - DAY_MS, "endTime": now_ms, "limit": 500}
    reply = client.http.get(
        "/fapi/v1/indexPriceKlines", params={"pair": "BNBUSDC", "interval": "15m", **window}
    )
    bars = reply.json()
    assert len(bars) == 96
    for bar in bars[:-1]:
        assert Decimal(bar[4]) == client.venue.world.mark(BNB_RATE, bar[6])
        assert Decimal(bar[3]) <= Decimal(bar[4]) <= Decimal(bar[2])


# -- who may ask, and how often ------------------------------------------------------------------


def test_every_private_read_needs_key_signature_and_time(client: Client) -> None:
    private = [read for read in client.venue.reads() if read.right == "signed"]
    assert len(private) == 12
    for read in private:
        path = read.path
        assert refusal(client.http.request(read.method, path)) == (401, -2015)
        unsigned = client.http.request(read.method, path, headers={"X-MBX-APIKEY": KEYS[HEDGE]})
        assert refusal(unsigned) == (400, -1022)
        assert refusal(client.reply(path, "nobody", method=read.method)) == (401, -2015)
        for at_ms, code in ((2_000, -1021), (-6_000, -1021)):
            late = client.reply(path, method=read.method, at_ms=at_ms)
            assert refusal(late) == (400, code)


def test_a_key_that_is_widened_says_so_and_one_that_is_revoked_says_nothing() -> None:
    plan = FaultPlan(3)
    world = LiveWorld(3, plan=plan, accounts=[HEDGE])
    with attached(world) as client:
        rights = client.ask("/sapi/v1/account/apiRestrictions")
        assert [name for name, v in rights.items() if v is True] == ["ipRestrict", "enableReading"]
        plan.arm("key_widened")
        rights = client.ask("/sapi/v1/account/apiRestrictions")
        assert rights["enableFutures"] and rights["enableSpotAndMarginTrading"]
        plan.arm("key_revoked")
        assert refusal(client.reply("/sapi/v1/account/apiRestrictions")) == (401, -2015)


def test_weights_are_charged_and_told_and_too_many_are_turned_away() -> None:
    world = LiveWorld(3, accounts=[HEDGE])
    with attached(world) as client:
        reply = client.reply("/fapi/v1/income")
        assert reply.headers["X-MBX-USED-WEIGHT-1M"] == "30"
        one = client.reply("/fapi/v1/openOrders", symbol="BTCUSDC")
        assert one.headers["X-MBX-USED-WEIGHT-1M"] == "31"
        everything = client.reply("/fapi/v1/openOrders")
        assert everything.headers["X-MBX-USED-WEIGHT-1M"] == "71"
        for _ in range(77):
            client.ask("/fapi/v1/income")
        limited = client.reply("/fapi/v1/income")
        assert refusal(limited) == (429, -1003) and int(limited.headers["Retry-After"]) <= 60
        for _ in range(5):
            last = client.reply("/fapi/v1/income")
        assert refusal(last) == (418, -1003)
        assert client.venue.impatient == 5 and client.venue.limiter.bans == 1


def test_nothing_but_listed_reads_is_answered() -> None:
    world = LiveWorld(3, accounts=[HEDGE])
    with attached(world) as client:
        for method, path in (
            ("POST", "/fapi/v1/order"),
            ("DELETE", "/fapi/v1/order"),
            ("POST", "/fapi/v1/batchOrders"),
            ("DELETE", "/fapi/v1/listenKey"),
            ("POST", "/sapi/v1/capital/withdraw/apply"),
            ("GET", "/fapi/v1/order"),
        ):
            assert client.reply(path, method=method).status_code == 403
        assert len(client.venue.violations) == 6


# -- the private stream ----------------------------------------------------------------------------


def listen_key(client: Client, method: str = "POST") -> httpx.Response:
    return client.http.request(method, "/fapi/v1/listenKey", headers={"X-MBX-APIKEY": KEYS[HEDGE]})


def test_a_listen_key_is_one_lives_an_hour_and_can_be_extended() -> None:
    world = LiveWorld(3, accounts=[HEDGE])
    with attached(world) as client:
        assert refusal(listen_key(client, "PUT")) == (400, -1125)
        key = listen_key(client).json()["listenKey"]
        client.venue.clock.step(50 * MINUTE_NS)
        assert listen_key(client).json()["listenKey"] == key
        client.venue.clock.step(50 * MINUTE_NS)
        assert listen_key(client, "PUT").json()["listenKey"] == key
        client.venue.clock.step(61 * MINUTE_NS)
        assert refusal(listen_key(client, "PUT")) == (400, -1125)
        other = listen_key(client).json()["listenKey"]
        assert other != key
        for wrong in (key, "nonsense"):
            with (
                pytest.raises((ConnectionClosed, InvalidStatus)),
                connect(f"{client.venue.ws_url}/private/ws/{wrong}") as line,
            ):
                line.recv(timeout=2)


def heard(client: Client, for_ns: int) -> Rows:
    """Listen while the world goes on."""
    key = listen_key(client).json()["listenKey"]
    frames: Rows = []
    with connect(f"{client.venue.ws_url}/private/ws/{key}") as line:
        client.venue.settle()
        for _ in range(for_ns // (10 * MINUTE_NS)):
            client.venue.clock.step(10 * MINUTE_NS)
            listen_key(client, "PUT")
            client.venue.settle()
        while True:
            try:
                frames.append(json.loads(line.recv(timeout=0.3)))
            except TimeoutError:
                return frames


def test_every_execution_is_told_long_short_and_as_money(corpus: Path) -> None:
    world = LiveWorld(5, accounts=[HEDGE])
    world.advance_to(START_NS + DAY_NS)
    before = len(world.fills(HEDGE))
    with attached(world) as client:
        frames = heard(client, 8 * HOUR_NS)
        fills = world.fills(HEDGE)[before:]
    assert fills
    updates = [f["o"] for f in frames if f["e"] == "ORDER_TRADE_UPDATE"]
    told = [(o["s"], o["t"], o["i"]) for o in updates if o["x"] in ("TRADE", "CALCULATED")]
    assert told == [(f.market.symbol, f.fill_id, f.order_id) for f in fills]
    lite = [(f["s"], f["t"], f["i"]) for f in frames if f["e"] == "TRADE_LITE"]
    assert lite == told
    reasons = {f["a"]["m"] for f in frames if f["e"] == "ACCOUNT_UPDATE"}
    assert {"ORDER", "FUNDING_FEE"} <= reasons
    recorded = [
        json.loads(path.read_text())
        for path in (corpus / "nautilus_trader" / "binance_py" / "ws").glob("ws_futures_*.json")
    ]
    shapes = {f["data"]["e"]: f["data"] for f in recorded if "data" in f}
    shapes |= {f["e"]: f for f in recorded if "e" in f}
    for kind in ("ORDER_TRADE_UPDATE", "ALGO_UPDATE", "TRADE_LITE"):
        ours = [frame for frame in frames if frame["e"] == kind]
        assert ours and all(set(frame) == set(shapes[kind]) for frame in ours), kind
        if kind != "TRADE_LITE":
            assert all(set(frame["o"]) == set(shapes[kind]["o"]) for frame in ours), kind


def test_after_its_key_has_expired_a_stream_says_so_once_and_nothing_more() -> None:
    plan = FaultPlan(5)
    world = LiveWorld(5, plan=plan, accounts=[HEDGE])
    world.advance_to(START_NS + DAY_NS)
    with attached(world) as client:
        plan.arm("listen_key_expired")
        frames = heard(client, 12 * HOUR_NS)
    assert [frame["e"] for frame in frames] == ["listenKeyExpired"]


# -- shapes ---------------------------------------------------------------------------------------


def recorded(corpus: Path, *names: str) -> Rows:
    rows: Rows = []
    for name in names:
        told = jkorf(corpus / "JKorf.Binance.Net" / f"{name}.txt")
        rows += told if isinstance(told, list) else [told]
    return rows


def recorded_of(corpus: Path, *methods: str) -> Rows:
    cases = json.loads((corpus / "ccxt" / "binance.json").read_text())["cases"]
    return [
        row
        for case in cases
        if case["method"] in methods and "symbol" in case["httpResponse"][0]
        for row in case["httpResponse"]
    ]


TRADING, ACCOUNT = "endpoints_usdfutures_trading", "endpoints_usdfutures_account"


def same_keys(ours: Rows, theirs: Rows, *sometimes: str) -> None:
    """Ours have what theirs always have, and nothing that theirs never have."""
    required = set.intersection(*(set(row) for row in theirs)) - set(sometimes)
    possible = set.union(*(set(row) for row in theirs))
    for row in ours:
        assert required <= set(row) <= possible, set(row) ^ required


def test_rows_have_the_recorded_shape(client: Client, corpus: Path) -> None:
    symbol = client.symbols(TREND)[0]
    trades = client.all_of("/fapi/v1/userTrades", "time", TREND, symbol=symbol)
    like = recorded(corpus, f"{TRADING}/GetUserTrades")
    like += [row for row in recorded_of(corpus, "fetchMyTrades") if "realizedPnl" in row]
    same_keys(trades, like)
    kinds = shape_of(*like)
    kinds[".realizedPnl"] |= {"decimal"}
    kinds[".commission"] |= {"decimal"}
    assert unlike(shape_of(*trades), kinds) == []
    income = client.all_of("/fapi/v1/income", "time", TREND)
    same_keys(income, recorded(corpus, f"{ACCOUNT}/GetIncomeHistory"))
    orders = client.all_of("/fapi/v1/allOrders", "time", TREND, symbol=symbol)
    same_keys(orders, recorded(corpus, f"{TRADING}/GetOrders"), "activatePrice", "priceRate")
    algo = client.all_of("/fapi/v1/allAlgoOrders", "createTime", HEDGE, symbol="BTCUSDC")
    same_keys(algo, recorded(corpus, f"{TRADING}/GetConditionalOrders"))
    client.venue.clock.step(HOUR_NS)
    positions = client.ask("/fapi/v3/positionRisk") or client.ask("/fapi/v3/positionRisk", TREND)
    held = [r for r in recorded_of(corpus, "fetchPositions") if "positionAmt" in r]
    assert positions
    same_keys(positions, held)
    assets = client.ask("/fapi/v3/account")["assets"]
    same_keys(assets, recorded(corpus, f"{ACCOUNT}/GetAccountInfoV3")[0]["assets"])
    same_keys(client.ask("/fapi/v3/balance"), recorded(corpus, f"{ACCOUNT}/GetBalances"))
