"""The simulated Hyperliquid: its own formats, paging, limits and streams, checked on the wire."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from fillbook.ground.clock import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS
from fillbook.sim.cast import SWING
from fillbook.sim.clock import SimClock
from fillbook.sim.faults import FaultPlan
from fillbook.sim.live import LiveWorld
from fillbook.sim.venues.hyperliquid.server import HyperliquidServer
from fillbook.sim.world import HARVESTER, HYPERLIQUID, MAKER, START_MS, make_world
from fillbook.sim.writers import user_fills_json, user_funding_json
from shapes import jkorf, keys_in_all, shape_of, unlike

START_NS = START_MS * 1_000_000
AGENT = "0x" + "a" * 40
STRANGER = "0x" + "5" * 40
Rows = list[dict[str, Any]]


class Client:
    """Asks a venue's POST /info."""

    def __init__(self, venue: HyperliquidServer, http: httpx.Client) -> None:
        self.venue, self.http = venue, http

    def reply(self, kind: str, **asked: Any) -> httpx.Response:
        return self.http.post("/info", json={"type": kind, **asked})

    def ask(self, kind: str, **asked: Any) -> Any:
        reply = self.reply(kind, **asked)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def all_of(self, kind: str, user: str) -> Rows:
        """Read a whole history: from the last page's last instant on, what is known left out."""
        rows: Rows = []
        since_ms = 0
        while True:
            page = self.ask(kind, user=user, startTime=since_ms)
            new = [row for row in page if row not in rows]
            rows += new
            if not new:
                return rows
            assert since_ms < page[-1]["time"] or len(new) < len(page)
            since_ms = page[-1]["time"]


@contextmanager
def attached(world: LiveWorld, **options: Any) -> Iterator[Client]:
    venue = HyperliquidServer(world, SimClock(world.now_ns), world.plan, **options)
    with venue, httpx.Client(base_url=venue.base_url, timeout=5) as http:
        yield Client(venue, http)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Serve three days in which every trading fault has struck, on pages of 60 rows."""
    plan = FaultPlan.all_on(5, without=["symbol_renamed", "symbol_delisted"])
    world = LiveWorld(5, plan=plan, crowd=40)
    plan.arm("liquidation", 6)
    world.advance_to(START_NS + 3 * DAY_NS)
    world.plan.calm()
    with attached(world, page_rows=60, agents={AGENT: SWING}) as client:
        yield client
        assert not client.venue.violations


@pytest.fixture(autouse=True)
def _fresh_minute(client: Client) -> None:
    client.venue.clock.step(MINUTE_NS)


def _number(fill: Any) -> tuple[object, ...]:
    tid = 0 if fill.cause == "dust" else fill.fill_id
    return (fill.ts_ms, fill.market.symbol, tid, fill.order_id, fill.px, fill.qty, fill.fee)


def _row_number(row: dict[str, Any]) -> tuple[object, ...]:
    money = (Decimal(row[name]) for name in ("px", "sz", "fee"))
    return (row["time"], row["coin"], row["tid"], row["oid"], *money)


# -- histories ----------------------------------------------------------------------------------


@pytest.mark.parametrize("user", [SWING, MAKER, HARVESTER])
def test_fills_page_forward_inclusive_and_complete(client: Client, user: str) -> None:
    rows = client.all_of("userFillsByTime", user)
    truth = client.venue.world.fills(user)
    assert [_row_number(row) for row in rows] == [_number(fill) for fill in truth]
    assert len(client.venue.served[f"fills:{user}"]) == len(truth)
    page = client.ask("userFillsByTime", user=user, startTime=rows[5]["time"])
    assert len(page) == 60 and page[0] == next(r for r in rows if r["time"] == rows[5]["time"])
    until = client.ask("userFillsByTime", user=user, startTime=0, endTime=rows[20]["time"])
    assert until == [row for row in rows if row["time"] <= rows[20]["time"]]


def test_user_fills_are_the_newest_millisecond_first(client: Client) -> None:
    newest = client.ask("userFills", user=SWING)
    forward = client.all_of("userFillsByTime", SWING)[-60:]
    assert len(newest) == 60 and newest != forward[::-1]
    assert sorted(newest, key=lambda row: row["time"]) == forward
    assert [r["time"] for r in newest] == sorted((r["time"] for r in newest), reverse=True)


@pytest.mark.parametrize("user", [SWING, HARVESTER])
def test_funding_is_complete_and_pays_what_the_world_paid(client: Client, user: str) -> None:
    rows = client.all_of("userFunding", user)
    paid = client.venue.world.funding(user)
    told = [(r["time"], r["delta"]["coin"], Decimal(r["delta"]["usdc"])) for r in rows]
    assert told == [(p.ts_ms, p.market.symbol, p.amount) for p in paid] and len(told) > 40
    assert {row["hash"] for row in rows} == {"0x" + "0" * 64}


def test_ledger_updates_hold_the_money_that_moved(client: Client) -> None:
    rows = client.all_of("userNonFundingLedgerUpdates", HARVESTER)
    desk = client.venue.world.desk(HARVESTER)
    into = [row["delta"] for row in rows if row["delta"]["type"] == "deposit"]
    deposits = [
        moved.amount
        for moved in desk.transfers
        if (moved.what, moved.wallet) == ("deposit", "perp")
    ]
    assert [Decimal(delta["usdc"]) for delta in into] == deposits
    between = [r["delta"] for r in rows if r["delta"]["type"] == "accountClassTransfer"]
    halves = [m for m in desk.transfers if m.what == "between wallets" and m.wallet == "perp"]
    assert [d["toPerp"] for d in between] == [half.amount > 0 for half in halves] and halves
    for user in (SWING, MAKER):
        forced = {f.order_id for f in client.venue.world.fills(user) if f.cause == "liquidation"}
        told = client.all_of("userNonFundingLedgerUpdates", user)
        liquidated = [row for row in told if row["delta"]["type"] == "liquidation"]
        assert len(liquidated) == len(forced) >= 1


def test_the_month_reads_the_same_from_the_venue_as_from_its_files() -> None:
    month = make_world(seed=6, days=2)
    world = LiveWorld(6, accounts=[MAKER, HARVESTER])
    last_ms = month.end_ms - 15 * 60_000
    world.advance_to(last_ms * 1_000_000)
    with attached(world) as client:
        for user in (MAKER, HARVESTER):
            written = json.loads(user_fills_json(month.fills_of(user)))
            written = [row for row in written if row["time"] <= last_ms]
            served = client.ask("userFillsByTime", user=user, startTime=0)
            assert len(served) == len(written) > 20
            for ours, filed in zip(served, written, strict=True):
                for name, value in filed.items():
                    same = Decimal(ours[name]) == Decimal(value) if _is_number(value) else None
                    assert ours[name] == value if same is None else same, name
            paid = json.loads(user_funding_json(month.funding_of(user)))
            told = client.ask("userFunding", user=user, startTime=0)
            assert [(r["time"], r["delta"]["coin"]) for r in told] == [
                (r["time"], r["delta"]["coin"]) for r in paid if r["time"] <= last_ms
            ]


def _is_number(value: object) -> bool:
    return isinstance(value, str) and value.lstrip("-").replace(".", "", 1).isdigit()


def test_only_the_newest_fills_can_be_reached() -> None:
    world = LiveWorld(5, accounts=[MAKER])
    world.advance_to(START_NS + 2 * DAY_NS)
    truth = world.fills(MAKER)
    with attached(world, page_rows=40, horizon_rows=100) as client:
        rows = client.all_of("userFillsByTime", MAKER)
        assert [row["tid"] for row in rows] == [fill.fill_id for fill in truth[-100:]]
        world.plan.arm("retention_cut")
        assert len(client.all_of("userFillsByTime", MAKER)) == 40
        client.venue.clock.step(3 * HOUR_NS)
        assert len(client.all_of("userFillsByTime", MAKER)) == 100, "the cut is over"
        assert len(client.venue.served[f"fills:{MAKER}"]) >= 100


def test_late_rows_come_after_younger_ones_and_come_for_certain() -> None:
    plan = FaultPlan(5, ["late_row"], often={"late_row": 300})
    world = LiveWorld(5, accounts=[SWING], plan=plan)
    with attached(world) as client:
        seen: dict[int, int] = {}
        overtaken = 0
        for _ in range(12 * 60):
            client.venue.clock.step(MINUTE_NS)
            for row in client.ask("userFillsByTime", user=SWING, startTime=0):
                if row["tid"] not in seen:
                    overtaken += row["time"] < max(seen.values(), default=0)
                    seen[row["tid"]] = row["time"]
        client.venue.clock.step(8 * MINUTE_NS)
        client.ask("userFillsByTime", user=SWING, startTime=0)
        assert overtaken > 0
        old = {f"{f.fill_id}" for f in world.fills(SWING)[:-5]}
        assert old <= {str(tid) for tid in seen}


def test_a_renamed_coin_keeps_its_old_name_in_old_rows() -> None:
    plan = FaultPlan(5, ["symbol_renamed"], often={"symbol_renamed": 80})
    world = LiveWorld(5, accounts=[SWING, MAKER], plan=plan)
    world.advance_to(START_NS + 2 * DAY_NS)
    renamed = {m.symbol: told for m, told in world.renamed.items() if m.venue == HYPERLIQUID}
    with attached(world) as client:
        rows = client.ask("userFillsByTime", user=SWING, startTime=0)
        truth = world.fills(SWING)
        names = {row["name"] for row in client.ask("meta")["universe"]}
        for row, fill in zip(rows, truth, strict=True):
            since_ms, name = renamed.get(fill.market.symbol, (2**62, ""))
            assert row["coin"] == (name if fill.ts_ms >= since_ms else fill.market.symbol)
        assert {row["coin"] for row in rows} & {name for _, name in renamed.values()} & names


# -- now ----------------------------------------------------------------------------------------


def test_account_value_is_what_came_in_and_was_gained(client: Client) -> None:
    world = client.venue.world
    for user in (SWING, MAKER):
        state = client.ask("clearinghouseState", user=user)
        truth = world.truth(user)
        came_in = sum((m.amount for m in truth.transfers), Decimal(0))
        held = {
            p["position"]["coin"]: Decimal(p["position"]["szi"]) for p in state["assetPositions"]
        }
        marks = {market.symbol: world.mark(market) for market in world.markets(HYPERLIQUID)}
        assert held == {symbol: qty for (_, symbol, _), qty in truth.positions.items()}
        worth = sum((qty * marks[coin] for coin, qty in held.items()), Decimal(0))
        opened = world.desk(user).holdings.opening().items()
        before = sum((q * world.mark(m, START_MS) for (m, _), q in opened), Decimal(0))
        value = came_in + truth.cash[user, "USDC"] + worth - before
        assert abs(Decimal(state["marginSummary"]["accountValue"]) - value) < Decimal("0.000001")


def _held(state: Any) -> dict[str, Decimal]:
    positions = [one["position"] for one in state["assetPositions"]]
    return {held["coin"]: Decimal(held["szi"]) for held in positions}


def test_the_last_start_position_leads_to_the_position(client: Client) -> None:
    state = client.ask("clearinghouseState", user=SWING)
    held = _held(state)
    by_coin: dict[str, Rows] = {}
    for row in client.all_of("userFillsByTime", SWING):
        by_coin.setdefault(row["coin"], []).append(row)
    for coin, rows in by_coin.items():
        at = Decimal(rows[0]["startPosition"])
        for nth, row in enumerate(rows):
            twin = nth > 0 and row["tid"] == rows[nth - 1]["tid"]
            # Both legs of a self-trade print the position before the first.
            expected = Decimal(rows[nth - 1]["startPosition"]) if twin else at
            assert Decimal(row["startPosition"]) == expected
            at += Decimal(row["sz"]) * (1 if row["side"] == "B" else -1)
        assert at == held.get(coin, 0)


def test_spot_balances_are_the_worlds(client: Client) -> None:
    balances = client.ask("spotClearinghouseState", user=HARVESTER)["balances"]
    held = client.venue.world.wallets(HARVESTER)
    assert {b["coin"]: Decimal(b["total"]) for b in balances} == {
        asset: amount for (wallet, asset), amount in held.items() if wallet == "spot"
    }


def test_orders_are_told_in_all_four_ways(client: Client) -> None:
    resting = [o for o in client.venue.world.orders(SWING) if o.is_open]
    brief = client.ask("openOrders", user=SWING)
    full = client.ask("frontendOpenOrders", user=SWING)
    assert [o["oid"] for o in brief] == [o["oid"] for o in full] == [o.order_id for o in resting]
    past = client.ask("historicalOrders", user=SWING)
    times = [row["statusTimestamp"] for row in past]
    assert len(past) == 60 and times == sorted(times, reverse=True)
    named = [row for row in past if row["order"]["cloid"] is not None]
    for row in named[:5]:
        for oid in (row["order"]["oid"], row["order"]["cloid"]):
            assert client.ask("orderStatus", user=SWING, oid=oid) == {
                "status": "order",
                "order": row,
            }
    assert client.ask("orderStatus", user=SWING, oid=1) == {"status": "unknownOid"}
    statuses = {row["status"] for row in past}
    assert statuses >= {"filled", "siblingFilledCanceled"}


def test_roles_and_silent_agents(client: Client) -> None:
    assert client.ask("userRole", user=SWING) == {"role": "user"}
    assert client.ask("userRole", user=AGENT.upper().replace("0X", "0x")) == {
        "role": "agent",
        "data": {"user": SWING},
    }
    assert client.ask("userRole", user=STRANGER) == {"role": "missing"}
    for user in (AGENT, STRANGER):
        assert client.ask("userFills", user=user) == []
        assert client.ask("clearinghouseState", user=user)["assetPositions"] == []
    checksummed = "0x" + SWING[2:].upper()
    assert client.ask("userFills", user=checksummed) == client.ask("userFills", user=SWING)


# -- limits and permissions ---------------------------------------------------------------------


def test_weights_count_what_is_returned(client: Client) -> None:
    def weight(kind: str, **asked: Any) -> int:
        client.ask(kind, **asked)
        return client.venue.seen[-1].weight

    assert weight("userRole", user=SWING) == 60
    assert weight("clearinghouseState", user=SWING) == weight("allMids") == 2
    assert weight("userFills", user=SWING) == 20 + 3, "60 rows"
    assert weight("userFillsByTime", user=STRANGER, startTime=0) == 20
    assert weight("metaAndAssetCtxs") == 20


def test_twelve_hundred_a_minute_and_no_more() -> None:
    with attached(LiveWorld(5, accounts=[SWING])) as client:
        statuses = [client.reply("userRole", user=SWING).status_code for _ in range(21)]
        assert statuses == [200] * 20 + [429]
        client.venue.clock.step(59 * SECOND_NS)
        assert client.reply("allMids").status_code == 429
        client.venue.clock.step(SECOND_NS)
        assert client.reply("allMids").status_code == 200
        assert client.venue.limiter.turned_away == 2


def test_nothing_but_listed_reads_is_answered() -> None:
    with attached(LiveWorld(5, accounts=[SWING])) as client:
        order = {"action": {"type": "order"}, "nonce": 1, "signature": {}}
        assert client.http.post("/exchange", json=order).status_code == 403
        assert client.reply("createVault").status_code == 403
        aggregated = client.reply("userFills", user=SWING, aggregateByTime=True)
        assert aggregated.status_code == 403
        assert client.http.get("/info").status_code == 403
        assert len(client.venue.violations) == 4
        assert client.reply("userFills").status_code == 422
        assert client.reply("userFillsByTime", user=SWING).status_code == 422


# -- streams ------------------------------------------------------------------------------------


def _subscribe(line: ClientConnection, kind: str, user: str, method: str = "subscribe") -> Any:
    asked = {"type": kind, "user": user}
    line.send(json.dumps({"method": method, "subscription": asked}))
    answer = json.loads(line.recv(timeout=5))
    assert answer["data"] == {"method": method, "subscription": asked}, answer
    return answer


def _heard(line: ClientConnection) -> Rows:
    line.send('{"method":"ping"}')
    heard: Rows = []
    while (frame := json.loads(line.recv(timeout=5))) != {"channel": "pong"}:
        heard.append(frame)
    return heard


def _live(plan: FaultPlan | None = None) -> LiveWorld:
    world = LiveWorld(5, accounts=[SWING, MAKER], plan=plan)
    world.advance_to(START_NS + DAY_NS)
    return world


def test_streams_begin_with_a_snapshot_and_tell_every_fill() -> None:
    world = _live()
    with attached(world) as client, connect(client.venue.ws_url + "/ws") as line:
        _subscribe(line, "userFills", SWING)
        snapshot = json.loads(line.recv(timeout=5))
        before = world.fills(SWING)
        assert snapshot["data"]["isSnapshot"] is True and snapshot["data"]["user"] == SWING
        assert {r["tid"] for r in snapshot["data"]["fills"]} == {f.fill_id for f in before}
        client.venue.clock.step(8 * HOUR_NS)
        client.venue.settle()
        frames = _heard(line)
        rows = [row for frame in frames for row in frame["data"]["fills"]]
        assert rows == client.ask("userFillsByTime", user=SWING, startTime=before[-1].ts_ms + 1)
        assert len(rows) > 5 and all("isSnapshot" not in frame["data"] for frame in frames)


def test_orders_and_user_events_are_told_as_they_happen() -> None:
    world = _live()
    with attached(world) as client, connect(client.venue.ws_url + "/ws") as line:
        resting = [order for order in world.orders(SWING) if order.is_open]
        _subscribe(line, "orderUpdates", SWING)
        if resting:
            assert len(json.loads(line.recv(timeout=5))["data"]) == len(resting)
        _subscribe(line, "userEvents", SWING)
        client.venue.clock.step(8 * HOUR_NS)
        client.venue.settle()
        frames = _heard(line)
        updates = [u for f in frames if f["channel"] == "orderUpdates" for u in f["data"]]
        last = {u["order"]["oid"]: u["status"] for u in updates}
        for row in client.ask("historicalOrders", user=SWING):
            if row["order"]["oid"] in last:
                assert last[row["order"]["oid"]] == row["status"]
        assert {"open", "filled"} <= {u["status"] for u in updates}
        events = [f["data"] for f in frames if f["channel"] == "user"]
        fills = [row for said in events for row in said.get("fills", [])]
        assert len(fills) > 5 and any("funding" in said for said in events)
        _subscribe(line, "userEvents", SWING, "unsubscribe")
        client.venue.clock.step(8 * HOUR_NS)
        client.venue.settle()
        assert {frame["channel"] for frame in _heard(line)} == {"orderUpdates"}


def test_subscriptions_are_checked() -> None:
    with attached(_live()) as client, connect(client.venue.ws_url + "/ws") as line:
        for kind, user in (("wonders", SWING), ("userFills", "")):
            asked = {"type": kind, "user": user}
            line.send(json.dumps({"method": "subscribe", "subscription": asked}))
            assert json.loads(line.recv(timeout=5))["channel"] == "error"
        for nth in range(10):
            _subscribe(line, "userEvents", f"0x{nth:040x}")
        eleventh = {"type": "userEvents", "user": f"0x{10:040x}"}
        line.send(json.dumps({"method": "subscribe", "subscription": eleventh}))
        assert json.loads(line.recv(timeout=5))["channel"] == "error", "ten users at the most"


def test_a_mixed_batch_holds_events_of_several_kinds() -> None:
    world = _live()
    with attached(world) as client, connect(client.venue.ws_url + "/ws") as line:
        client.venue.settle()
        _subscribe(line, "userEvents", SWING)
        world.plan.arm("ws_mixed_batch")
        client.venue.clock.step(8 * HOUR_NS)
        client.venue.settle()
        (frame,) = _heard(line)
        assert frame["channel"] == "user" and {"fills", "funding"} <= set(frame["data"])


# -- shapes, against what was recorded from the real venue ----------------------------------------


def _ccxt(corpus: Path, *methods: str) -> list[Any]:
    cases = json.loads((corpus / "ccxt" / "hyperliquid.json").read_text())["cases"]
    return [case["httpResponse"] for case in cases if case["method"] in methods]


def _sdk(corpus: Path, name: str) -> list[Any]:
    path = corpus / "hyperliquid-python-sdk" / "decoded" / f"{name}.json"
    return [exchange["response"] for exchange in json.loads(path.read_text())]


def _jkorf(corpus: Path, name: str) -> Any:
    return jkorf(corpus / "JKorf.HyperLiquid.Net" / f"{name}.txt")


def test_fills_have_the_recorded_shape(client: Client, corpus: Path) -> None:
    nautilus = corpus / "nautilus_trader" / "hyperliquid" / "ws_user_fill_liquidation.json"
    streamed = json.loads(nautilus.read_text())
    recent = [*_ccxt(corpus, "fetchMyTrades")[0], *streamed["data"]["fills"]]
    older = [
        *_ccxt(corpus, "fetchMyTrades")[1],
        *_jkorf(corpus, "endpoints_spot_trading/GetUserTrades"),
        *_sdk(corpus, "test_get_user_fills")[0],
    ]
    users = (SWING, MAKER, HARVESTER)
    ours = [row for user in users for row in client.all_of("userFillsByTime", user)]
    assert unlike(shape_of(*ours), shape_of(*recent, *older)) == []
    assert all(keys_in_all(*recent) <= set(row) for row in ours)
    assert {"liquidation", "builderFee", "cloid"} <= set().union(*ours), "the traps are there"
    recorded_dirs = {row["dir"] for row in [*recent, *older]}
    venues_own = {"Buy", "Sell", "Auto-Deleveraging", "Settlement", "Spot Dust Conversion"}
    assert {row["dir"] for row in ours} - recorded_dirs <= venues_own
    whose = {r["liquidation"]["liquidatedUser"] for r in ours if "liquidation" in r}
    assert whose & set(users) and whose - set(users)


def test_funding_has_the_recorded_shape(client: Client, corpus: Path) -> None:
    recorded = [
        *_jkorf(corpus, "endpoints_futures_account/GetFundingHistory"),
        *_sdk(corpus, "test_user_funding_history_with_end_time")[0],
    ]
    ours = client.all_of("userFunding", SWING)
    assert unlike(shape_of(*ours), shape_of(*recorded)) == []
    assert all(keys_in_all(*recorded) == set(row) for row in ours)
    deltas = [row["delta"] for row in recorded]
    assert all(keys_in_all(*deltas) == set(row["delta"]) for row in ours)


def test_ledger_updates_have_the_recorded_shape(client: Client, corpus: Path) -> None:
    recorded = _jkorf(corpus, "endpoints_spot_account/GetAccountLedger")
    kinds = {row["delta"]["type"] for row in recorded}
    ours = [
        row
        for row in client.all_of("userNonFundingLedgerUpdates", HARVESTER)
        if row["delta"]["type"] in kinds
    ]
    assert {row["delta"]["type"] for row in ours} == kinds
    for kind in kinds:
        like = [row["delta"] for row in recorded if row["delta"]["type"] == kind]
        deltas = [row["delta"] for row in ours if row["delta"]["type"] == kind]
        assert unlike(shape_of(*deltas), shape_of(*like)) == []
        assert all(set(delta) == keys_in_all(*like) for delta in deltas)
    assert {frozenset(row) for row in ours} == {frozenset(row) for row in recorded}


def test_states_have_the_recorded_shape(client: Client, corpus: Path) -> None:
    positions = [
        _jkorf(corpus, "endpoints_futures_account/GetAccountInfo"),
        *_ccxt(corpus, "fetchPositions"),
    ]
    # A long list of older positions adds the kinds that these few do not show, such as negatives.
    older = _sdk(corpus, "test_get_user_state")
    ours = client.ask("clearinghouseState", user=SWING)
    assert ours["assetPositions"]
    assert unlike(shape_of(ours), shape_of(*positions, *older)) == []
    assert set(ours) == keys_in_all(*positions)
    held = [p["position"] for state in positions for p in state["assetPositions"]]
    assert all(set(p["position"]) == keys_in_all(*held) for p in ours["assetPositions"])
    balances = [
        _jkorf(corpus, "endpoints_spot_account/GetBalances"),
        *_ccxt(corpus, "fetchBalance"),
    ]
    spot = client.ask("spotClearinghouseState", user=HARVESTER)
    assert unlike(shape_of(spot), shape_of(*balances)) == []
    assert all(set(b) == keys_in_all(*balances[0]["balances"]) for b in spot["balances"])


def test_orders_have_the_recorded_shape(client: Client, corpus: Path) -> None:
    # Our stops' conditions say when they trigger; the recorded orders trigger never.
    full = [
        *_jkorf(corpus, "endpoints_spot_trading/GetOpenOrdersExtended"),
        *_ccxt(corpus, "fetchOpenOrders")[0],
        *(row["order"] for row in _ccxt(corpus, "fetchClosedOrders")[0]),
    ]
    past = client.ask("historicalOrders", user=SWING)
    ours = [row["order"] for row in past]
    recorded = shape_of(*full)
    recorded[".cloid"].add("hex")
    recorded[".tif"].add("null")
    assert unlike(shape_of(*ours), recorded) == []
    assert all(set(order) == keys_in_all(*full) for order in ours)
    assert {frozenset(row) for row in past} == {
        frozenset(row) for row in _ccxt(corpus, "fetchClosedOrders")[0]
    }
    asked = client.ask("orderStatus", user=SWING, oid=ours[0]["oid"])
    (told,) = [one for one in _ccxt(corpus, "fetchOrder") if one["order"]["status"] == "open"]
    assert set(asked) == set(told) and set(asked["order"]) == set(told["order"])
    brief = [
        *_sdk(corpus, "test_get_open_orders")[0],
        *_ccxt(corpus, "fetchOpenOrders")[1],
        *_jkorf(corpus, "endpoints_spot_trading/GetOpenOrders"),
    ]
    for order in client.ask("openOrders", user=SWING):
        del order["cloid"]
        assert unlike(shape_of(order), shape_of(*brief)) == []
        assert keys_in_all(*brief) <= set(order)


def test_prices_and_markets_have_the_recorded_shape(client: Client, corpus: Path) -> None:
    mids = client.ask("allMids")
    (recorded,) = _sdk(corpus, "test_get_all_mids")
    assert shape_of(*mids.values())[""] == shape_of(*recorded.values())[""] == {"decimal"}
    assert set(mids) == {"BTC", "ETH", "SOL", "PURR", "PURR/USDC"}
    book = client.ask("l2Book", coin="ETH")
    like = _jkorf(corpus, "endpoints_spot_exchangedata/GetOrderBook")
    assert unlike(shape_of(book), shape_of(like)) == [] and set(book) == set(like)
    assert Decimal(book["levels"][0][0]["px"]) < Decimal(mids["ETH"])
    assert Decimal(mids["ETH"]) < Decimal(book["levels"][1][0]["px"])
    metas = [
        answer
        for answer in _sdk(corpus, "test_get_funding_history[1684811870000]")
        if isinstance(answer, dict)
    ]
    universe = client.ask("meta")["universe"]
    required = keys_in_all(*(row for meta in metas for row in meta["universe"]))
    assert all(required <= set(row) for row in universe)
    meta, contexts = client.ask("metaAndAssetCtxs")
    assert meta["universe"] == universe and len(contexts) == len(universe)
    marks = {row["name"]: ctx["markPx"] for row, ctx in zip(universe, contexts, strict=True)}
    assert abs(Decimal(marks["ETH"]) - Decimal(mids["ETH"])) < 1
    spot_meta, spot_contexts = client.ask("spotMetaAndAssetCtxs")
    assert spot_meta == client.ask("spotMeta") and len(spot_contexts) == 1


def test_stream_frames_have_the_recorded_shape(corpus: Path) -> None:
    nautilus = corpus / "nautilus_trader" / "hyperliquid" / "ws_user_fill_liquidation.json"
    recorded = json.loads(nautilus.read_text())
    world = _live()
    with attached(world) as client, connect(client.venue.ws_url + "/ws") as line:
        client.venue.settle()
        _subscribe(line, "userEvents", SWING)
        client.venue.clock.step(8 * HOUR_NS)
        client.venue.settle()
        frames = [frame for frame in _heard(line) if "fills" in frame["data"]]
    assert {frozenset(frame) for frame in frames} == {frozenset(recorded)}
    assert {frame["channel"] for frame in frames} == {recorded["channel"]}
    optional = {".data.fills[].builderFee": {"decimal"}}
    like = {**shape_of(recorded), **optional}
    assert unlike(shape_of(*frames), like) == []
