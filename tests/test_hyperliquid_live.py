"""Hyperliquid attached over real connections to a simulated venue that knows the truth."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from fillbook.facts.model import Fill, Funding, Instrument, OrderUpdate, Report, Span
from fillbook.ground.clock import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS
from fillbook.ground.errors import ConfigError
from fillbook.ground.live_settings import AttachSettings
from fillbook.journal.store import Journal
from fillbook.ledger.ledger import fold_claims
from fillbook.marks.series import MarkStore
from fillbook.sim.cast import SWING
from fillbook.sim.clock import SimClock
from fillbook.sim.faults import FaultPlan
from fillbook.sim.live import LiveWorld
from fillbook.sim.venues.hyperliquid.server import HyperliquidServer
from fillbook.sim.world import HARVESTER, MAKER
from fillbook.sources.attach import Tools, attach, open_account, pull_all
from fillbook.sources.faults import BrokenAnswerError, KeyRefusedError, UnreadableError
from fillbook.sources.files.importing import import_paths
from fillbook.sources.files.registry import reparse
from fillbook.sources.hyperliquid.holdings import Holdings
from fillbook.sources.hyperliquid.markets import Markets
from fillbook.sources.hyperliquid.socket import UserListener
from fillbook.sources.pace import SystemPace
from fillbook.sources.source import ReadOptions
from fillbook.sources.stream import Answer, Ask, LiveAccount, Nudge
from fillbook.sources.writing import DirectWriter
from hyperliquid_desk import MS, START_NS, Desk, desk_run
from loopback import Loopback, Reply, Seen, TestPace

ACCOUNT = "0x31ca8395cf837de08b24da3f660e77761dfb974b"
D = Decimal


def opened(address: str, url: str = "", pace: TestPace | None = None) -> LiveAccount:
    urls = {"api": url} if url else {}
    settings = AttachSettings(venue="hyperliquid", address=address, urls=urls, share=D(1))
    return open_account(settings, Tools(pace or TestPace(), environ={}))


# -- who may be attached --------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "0x"])
def test_a_private_key_is_refused_and_never_shown(prefix: str) -> None:
    secret = prefix + "4f3edf983ac636a65a842ce7c78d9aa706d3b113bce9c46f30d7d21715b23b1d"
    with pytest.raises(ConfigError) as refused:
        opened(secret)
    said = f"{refused.value} {refused.value.what} {refused.value.next_step}"
    assert "private key" in said and "public address" in said
    assert secret not in said and secret[-40:] not in said


def roles(role: Any) -> Any:
    """A venue that answers userRole, and nothing else."""

    def script(seen: Seen) -> Reply | None:
        asked = seen.json()
        return Reply(json.dumps(role)) if asked == {"type": "userRole", "user": ACCOUNT} else None

    return script


@pytest.mark.parametrize(
    "role", [{"role": "user"}, {"role": "vault"}, {"role": "subAccount", "data": {"master": "0x1"}}]
)
def test_users_vaults_and_sub_accounts_are_themselves(role: Any) -> None:
    async def body() -> None:
        async with Loopback(roles(role)) as server:
            account = opened(ACCOUNT.upper().replace("0X", "0x"), server.url)
            assert await account.identify() == ACCOUNT
            rights = await account.rights()
            assert (rights.role, rights.rights, rights.subject) == (role["role"], {}, ACCOUNT)
            await account.close()

    asyncio.run(body())


@pytest.mark.parametrize(
    ("role", "said"),
    [
        ({"role": "agent", "data": {"user": "0xmaster"}}, "API wallet (agent) of 0xmaster"),
        ({"role": "missing"}, "knows no account"),
        ({"role": "oracle"}, "has the role 'oracle'"),
    ],
)
def test_agents_strangers_and_unknown_roles_are_refused(
    tmp_path: Path, role: Any, said: str
) -> None:
    async def body() -> None:
        async with Loopback(roles(role)) as server:
            account = opened(ACCOUNT, server.url)
            settings = AttachSettings(venue="hyperliquid", address=ACCOUNT)
            with Journal.create(tmp_path / "book.db") as journal:
                with pytest.raises(KeyRefusedError) as refused:
                    await attach(account, settings, DirectWriter(journal), TestPace())
                assert list(journal.claims()) == []
            told = f"{refused.value.what} {refused.value.next_step}"
            assert said in told
            if role["role"] == "agent":
                assert "address = '0xmaster'" in told
            await account.close()

    asyncio.run(body())


# -- a whole history, and what comes after -----------------------------------------------------


@pytest.mark.parametrize("who", [SWING, MAKER, HARVESTER])
@pytest.mark.parametrize("rows_per_page", [None, 37])
def test_a_history_is_pulled_whole_and_goes_on(
    tmp_path: Path, who: str, rows_per_page: int | None
) -> None:
    async def body(desk: Desk) -> None:
        attached = await desk.attach()
        (estimate,) = desk.told
        assert estimate.asks >= 6 and not estimate.exact
        assert "newest 10,000" in estimate.beyond[0] and "fillbook import" in estimate.beyond[0]
        assert await pull_all(attached.pagers) == []
        desk.check_truth()
        asked_until_ns = desk.clock.now_ns()
        for _ in range(3):
            desk.clock.step(5 * HOUR_NS)
            assert all(brought.fault is None for brought in (await desk.pull()).values())
        desk.check_truth()
        again = await desk.pull()
        assert {name: brought.new for name, brought in again.items()} == dict.fromkeys(again, 0)
        if rows_per_page is None:
            assert desk.order_ends() == desk.true_order_ends()
        assert len(desk.true_fills()) > 200
        (fills,) = [p.health for p in attached.pagers if p.stream.name == "fills"]
        assert fills.covered_until_ns == desk.clock.now_ns() > asked_until_ns
        assert desk.batch("fills").rank == 3 and desk.batch("fills").source == "hyperliquid-api"

    desk_run(tmp_path, who, body, days_ns=3 * DAY_NS, rows_per_page=rows_per_page)


def test_orders_are_told_with_their_kinds_and_ends(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        await desk.attach()
        await desk.pull()
        by_id: dict[str, list[OrderUpdate]] = {}
        for update in desk.facts(OrderUpdate):
            by_id.setdefault(str(update.order_id), []).append(update)
        for order in desk.world.orders(SWING):
            told = by_id[str(order.order_id)]
            for update in told:
                assert update.reduce_only == order.reduce_only
                assert update.client_order_id == order.client_id
                assert (update.stop_px, update.side) == (order.trigger_px, order.side)
            if order.state == "filled":
                assert [u.filled_qty for u in told if u.status == "filled"] == [order.qty]
            if order.state == "cancelled":
                (ended,) = [u for u in told if u.status == "cancelled"]
                assert ended.filled_qty == order.filled
        kinds = {update.order_type for update in desk.facts(OrderUpdate)}
        assert kinds >= {"limit", "stop market", "take profit market"}

    desk_run(tmp_path, SWING, body, days_ns=3 * DAY_NS)


# -- everything that can go wrong ----------------------------------------------------------------


MODEST = [(SWING, 11), (HARVESTER, 12)]
LONG = [
    pytest.param((SWING, HARVESTER, MAKER)[seed % 3], seed, marks=pytest.mark.soak)
    for seed in range(100, 120)
]


@pytest.mark.parametrize(("who", "seed"), [*MODEST, *LONG])
def test_three_days_of_every_fault_end_with_the_truth(tmp_path: Path, who: str, seed: int) -> None:
    """Twice a day the program starts again with nothing but the book."""
    # A renamed coin renames its old orders too, which is a conflict about them.
    plan = FaultPlan.all_on(seed, without=["symbol_renamed"])

    async def body(desk: Desk) -> None:
        for _ in range(6):
            await desk.start_again()
            for _ in range(16):
                desk.clock.step(45 * MINUTE_NS)
                for brought in (await desk.pull()).values():
                    assert brought.fault is None or brought.fault.retriable, brought.fault
        plan.calm("transport", "rest")
        desk.clock.step(HOUR_NS)
        assert all(brought.fault is None for brought in (await desk.pull(deep=True)).values())
        desk.check_truth()
        assert desk.order_ends() == desk.true_order_ends()
        # Whatever was missing for a while has been found, and the book says so within the hour.
        desk.clock.step(HOUR_NS)
        await desk.pull()
        assert not {"gap", "anchor-break", "claims-conflict"} & set(desk.findings())
        assert desk.venue.impatient == 0
        assert len(plan.injected) > 12, plan.injected

    desk_run(tmp_path, who, body, seed=seed, plan=plan)


def test_what_the_horizon_takes_is_a_gap_with_the_export_that_fills_it(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        await desk.attach()
        await desk.pull()
        known = desk.fills()
        desk.clock.step(4 * DAY_NS)
        await desk.pull()
        truth, had = desk.true_fills(), set(desk.fills())
        # What was out of reach at the first pull was never promised.
        lost = [row for row in truth if row not in had and row[0] > known[0][0]]
        assert known and lost and had < set(truth)
        (gap,) = [span for span in desk.gaps() if span.component == "fills"]
        assert all(gap.ts_ns <= row[0] * MS < gap.until_ns for row in lost)
        # The gap is no wider than it has to be.
        assert gap.ts_ns == known[-1][0] * MS + MS
        newest_lost, oldest_had = lost[-1][0], next(r[0] for r in truth if r[0] > lost[-1][0])
        assert newest_lost * MS < gap.until_ns <= oldest_had * MS + MS
        assert "newest 10,000 fills" in (gap.cause or "")
        assert "fillbook import trade_history.csv" in (gap.cause or "")
        assert "gap" in desk.findings()

    desk_run(tmp_path, SWING, body, days_ns=DAY_NS, horizon_rows=120)


def fill_row(at_ms: int, tid: int, **changes: Any) -> dict[str, Any]:
    return {
        "coin": "BTC",
        "px": "100.5",
        "sz": "1.0",
        "side": "B",
        "time": at_ms,
        "oid": tid,
        "startPosition": f"{tid}.0",
        "dir": "Open Long",
        "closedPnl": "0.0",
        "tid": tid,
        "hash": "0x0",
        "crossed": True,
        "fee": "0.01",
        "feeToken": "USDC",
        "twapId": None,
        **changes,
    }


def answer(rows: list[dict[str, Any]], at_ns: int) -> Answer:
    return Answer(
        status=200,
        text=json.dumps(rows),
        headers={},
        asked_ns=at_ns,
        told_ns=at_ns,
        received_ns=at_ns,
    )


def test_falling_far_behind_is_an_alarm_for_a_day() -> None:
    pace = TestPace()
    account = opened(ACCOUNT, pace=pace)
    fills = account._streams["fills"]  # type: ignore[attr-defined]
    now_ms = pace.now_ns() // MS
    pace.elapsed_ns += MS
    page = fills.parse(
        answer([fill_row(now_ms, 1)], pace.now_ns()), fills.begin(None, pace.now_ns(), 0)
    )
    pace.elapsed_ns += HOUR_NS

    def behind_by(count: int, cursor: str) -> str:
        cursor = fills.begin(cursor, pace.now_ns(), 0)
        rows = [fill_row(now_ms + n, n + 1) for n in range(count + 1)]
        while True:
            since_ms = json.loads(fills.ask(cursor, pace.now_ns()).body)["startTime"]
            found = [row for row in rows if row["time"] >= since_ms]
            page = fills.parse(answer(found[:2000], pace.now_ns()), cursor)
            cursor = page.next_cursor
            if not page.more:
                return cursor

    behind_by(5000, page.next_cursor)
    assert account.findings() == ()
    behind_by(5001, page.next_cursor)
    (finding,) = account.findings()
    assert (finding.code, finding.severity) == ("horizon-near", "warning")
    assert "5,001 fills" in finding.message
    pace.elapsed_ns += DAY_NS
    assert account.findings() == ()


def test_aggregated_fills_are_never_asked_for() -> None:
    account = opened(ACCOUNT)
    fills = account._streams["fills"]  # type: ignore[attr-defined]
    ask = fills.ask(fills.begin(None, 7_000 * MS, 0), 7_000 * MS)
    assert json.loads(ask.body) == {
        "type": "userFillsByTime",
        "user": ACCOUNT,
        "startTime": 0,
        "endTime": 7000,
    }
    # A full page weighs 20 and one for every 20 rows.
    assert ask.weight == 120


# -- one claim, wherever it was read -------------------------------------------------------------


def test_a_file_imported_first_leaves_nothing_new_to_attach(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        asked = {"user": desk.who, "startTime": 0}
        with httpx.Client(base_url=desk.venue.base_url) as http:
            saved = {
                kind: http.post("/info", json={"type": kind, **asked}).text
                for kind in ("userFillsByTime", "userFunding", "userNonFundingLedgerUpdates")
            }
        paths = []
        for kind, text in saved.items():
            paths.append(tmp_path / f"{kind}.json")
            paths[-1].write_text(text)
        alone = fold_claims(only_live(tmp_path, paths, desk.who))
        with MarkStore(tmp_path / "book.marks") as marks:
            import_paths(desk.journal, marks, paths, ReadOptions(account=desk.who))
        imported = fold_claims(desk.journal.claims())
        await desk.attach()
        brought = await desk.pull()
        for stream in ("fills", "funding", "ledger"):
            assert (brought[stream].new, brought[stream].conflicts) == (0, 0), stream
            assert brought[stream].known > 0
        both = fold_claims(desk.journal.claims())
        assert both.digest() == imported.digest() == alone.digest()
        assert both.n_evidence == 0
        assert not {"sources-disagree", "claims-conflict"} & {f.code for f in both.findings}
        desk.check_truth()

    desk_run(tmp_path, HARVESTER, body, days_ns=3 * DAY_NS)


def only_live(folder: Path, paths: list[Path], who: str) -> Any:
    """The same files in a book of their own."""
    with (
        Journal.create(folder / "alone.db") as journal,
        MarkStore(folder / "alone.marks") as marks,
    ):
        import_paths(journal, marks, paths, ReadOptions(account=who))
        return list(journal.claims())


SPOT_META = {
    "tokens": [
        {"index": 0, "name": "USDC", "fullName": None},
        {"index": 197, "name": "UBTC", "fullName": "Unit Bitcoin"},
        {"index": 360, "name": "USDH", "fullName": None},
    ],
    "universe": [{"name": "@142", "tokens": [197, 0], "index": 142}],
}


class Small:
    """A venue with a spot index and a builder's dex; counts what it is asked."""

    def __init__(self, now_ms: int) -> None:
        self.asked: list[str] = []
        spot = {"coin": "@142", "fee": "0.00001", "feeToken": "UBTC", "dir": "Buy"}
        self.lists: dict[str, list[Any]] = {
            "userFillsByTime": [
                fill_row(now_ms - 9000, 1, **spot, startPosition="0.0", px="60000.0", sz="0.1"),
                fill_row(now_ms - 8000, 2, coin="flx:CRCL", feeToken="USDH", startPosition="0.0"),
            ],
            "userFunding": [
                {
                    "time": now_ms - 5000,
                    "hash": "0x0",
                    "delta": {
                        "type": "funding",
                        "coin": "flx:CRCL",
                        "usdc": "-0.5",
                        "szi": "1.0",
                        "fundingRate": "0.0001",
                        "nSamples": None,
                    },
                }
            ],
            "userNonFundingLedgerUpdates": [
                {"time": now_ms - 9500, "hash": "0x1", "delta": {"type": "deposit", "usdc": "9.0"}}
            ],
        }

    def __call__(self, seen: Seen) -> Reply | None:
        asked = seen.json()
        kind = str(asked["type"])
        self.asked.append(kind)
        if kind in self.lists:
            first, last = asked["startTime"], asked.get("endTime", 2**62)
            rows = [row for row in self.lists[kind] if first <= row["time"] <= last]
            return Reply(json.dumps(rows))
        if kind == "meta":
            return Reply(json.dumps({"universe": [], "collateralToken": 360}))
        fixed = {
            "spotMeta": SPOT_META,
            "userRole": {"role": "user"},
            "historicalOrders": [],
            "frontendOpenOrders": [],
        }
        return Reply(json.dumps(fixed[kind])) if kind in fixed else None


def small_run(folder: Path, body: Any) -> None:
    async def whole() -> None:
        pace = TestPace()
        venue = Small(pace.now_ns() // MS)
        async with Loopback(venue) as server:
            with Journal.create(folder / "book.db") as journal:
                account = opened(ACCOUNT, server.url, pace)
                settings = AttachSettings(venue="hyperliquid", address=ACCOUNT)
                writer = DirectWriter(journal, clock=pace.now_ns)
                attached = await attach(account, settings, writer, pace)
                await body(venue, journal, attached, pace)
                await account.close()

    asyncio.run(whole())


def test_spot_indices_and_builders_dexes_are_named_for_good(tmp_path: Path) -> None:
    async def body(venue: Small, journal: Journal, attached: Any, pace: TestPace) -> None:
        assert await pull_all(attached.pagers) == []
        facts = [claim.fact for claim in journal.claims()]
        pair, perp = sorted(
            (fact for fact in facts if isinstance(fact, Instrument)), key=lambda i: i.contract
        )[::-1]
        assert (pair.symbol, pair.contract, pair.base, pair.quote) == (
            *("UBTC/USDC", "spot"),
            *("UBTC", "USDC"),
        )
        assert pair.aliases == ("@142", "BTC/USDC")
        assert (perp.symbol, perp.contract, perp.settle) == ("flx:CRCL", "linear", "USDH")
        spot, dex = (fact for fact in facts if isinstance(fact, Fill))
        # The fill itself says what every file says.
        assert (spot.instrument, spot.fee_asset) == ("@142", "UBTC")
        assert (dex.instrument, dex.fee_asset) == ("flx:CRCL", "USDH")
        (paid,) = (fact for fact in facts if isinstance(fact, Funding))
        assert (paid.instrument, paid.amount, paid.asset) == ("flx:CRCL", D("-0.5"), "USDH")
        ledger = fold_claims(journal.claims())
        assert {group.columns.key.instrument for group in ledger.groups} >= {
            "UBTC/USDC",
            "flx:CRCL",
        }
        assert not ledger.findings
        # What was looked up stands in the row, so it can be read again without asking.
        assert journal.verify(reparse) == []
        assert venue.asked.count("meta") == 1

    small_run(tmp_path, body)


def test_the_same_spot_rows_from_a_file_agree(tmp_path: Path) -> None:
    async def body(venue: Small, journal: Journal, attached: Any, pace: TestPace) -> None:
        sale = {"side": "A", "dir": "Sell", "feeToken": "USDC", "startPosition": "0.09999"}
        venue.lists["userFillsByTime"].append(
            fill_row(pace.now_ns() // MS - 100, 3, coin="@142", px="61000.0", sz="0.05", **sale)
        )
        path = tmp_path / "fills.json"
        path.write_text(json.dumps(venue.lists["userFillsByTime"][2:]))
        with MarkStore(tmp_path / "marks") as marks:
            import_paths(journal, marks, [path], ReadOptions(account=ACCOUNT))
        assert await pull_all(attached.pagers) == []
        ledger = fold_claims(journal.claims())
        assert [f.code for f in ledger.findings] == []
        (group,) = [g for g in ledger.groups if g.columns.key.instrument == "UBTC/USDC"]
        assert len(group) == 2

    small_run(tmp_path, body)


def test_an_unknown_ledger_type_halts_its_stream_and_keeps_its_text(tmp_path: Path) -> None:
    async def body(venue: Small, journal: Journal, attached: Any, pace: TestPace) -> None:
        odd = {"type": "windfall", "usdc": "7.0"}
        rows = venue.lists["userNonFundingLedgerUpdates"]
        rows.append({"time": pace.now_ns() // MS - 50, "hash": "0x2", "delta": odd})
        (halted,) = await pull_all(attached.pagers)
        assert halted.stream == "ledger" and isinstance(halted.fault, UnreadableError)
        gaps = [c.fact for c in journal.claims() if isinstance(c.fact, Span)]
        causes = {span.component: span.cause or "" for span in gaps if span.state == "gap"}
        assert set(causes) == {"transfers", "charges"}
        assert "windfall" in causes["transfers"] and '"usdc": "7.0"' in causes["transfers"]
        # What can be read is kept, and the other histories go on.
        kinds = [type(c.fact).__name__ for c in journal.claims()]
        assert kinds.count("Transfer") == 1 and kinds.count("Fill") == 2
        odd["type"] = "deposit"
        pace.elapsed_ns += SECOND_NS
        (ledger,) = [p for p in attached.pagers if p.stream.name == "ledger"]
        assert (await ledger.pull()).new == 1
        assert ledger.health.state == "running" and ledger.health.gap is None

    small_run(tmp_path, body)


# -- now: positions, prices, nudges --------------------------------------------------------------


def test_positions_cost_one_read_and_bring_their_marks(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        await desk.attach("BTC", "ETH", "PURR/USDC")
        for _ in range(12):
            desk.clock.step(HOUR_NS)
            before = desk.venue.counted()
            snapshot = await desk.account.positions(desk.clock.now_ns())
            asked = desk.venue.counted() - before
            assert asked["clearinghouseState"] == 1 and asked["spotClearinghouseState"] <= 1
            facts = [draft.fact for row in snapshot.rows for draft in row.drafts]  # type: ignore[union-attr]
            reports = [fact for fact in facts if isinstance(fact, Report)]
            held = {r.instrument or "": r for r in reports if r.what == "position"}
            truth = {p.market.symbol: p for p in desk.world.positions(desk.who)}
            assert {name: report.qty for name, report in held.items()} == {
                name: position.qty for name, position in truth.items()
            }
            for name, report in held.items():
                if truth[name].market.contract == "linear":
                    assert report.px == desk.world.mark(truth[name].market)
            (worth,) = [r for r in reports if r.what == "equity"]
            assert worth.asset == "USDC" and worth.amount is not None
            cash = sum(
                amount
                for (_, asset), amount in desk.world.wallets(desk.who).items()
                if asset == "USDC"
            )
            open_worth = sum(
                p.qty * desk.world.mark(p.market)
                for p in truth.values()
                if p.market.contract == "linear"
            )
            assert abs(worth.amount - cash - open_worth) < D("0.00001")
            marks = await desk.account.marks(["ETH", *held], desk.clock.now_ns())
            assert all(mark.what == "mid" for mark in marks)
            missing = {"ETH", *held} - {mark.instrument for mark in marks}
            assert missing == {name for name, report in held.items() if report.px is not None}

    desk_run(tmp_path, HARVESTER, body, days_ns=DAY_NS)


def test_a_broken_state_is_a_fault_and_never_a_balance(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        await desk.attach()
        plan = desk.venue.plan
        for name in ("error_in_200", "truncated_json", "bad_gzip", "server_error", "reset"):
            plan.arm(name, 2)
            snapshot = await desk.account.positions(desk.clock.now_ns())
            worths = [
                draft.fact.amount  # type: ignore[union-attr]
                for row in snapshot.rows
                for draft in row.drafts
                if getattr(draft.fact, "what", "") == "equity"  # type: ignore[union-attr]
            ]
            assert worths and all(worth for worth in worths), name
        assert desk.venue.violations == []

    desk_run(tmp_path, SWING, body, days_ns=DAY_NS)


def test_a_position_that_cannot_be_read_is_never_taken_for_flat() -> None:
    position = {"coin": "BTC", "szi": "1,5", "positionValue": "150"}
    told = {
        "assetPositions": [{"type": "oneWay", "position": position}],
        "marginSummary": {"accountValue": "1000"},
        "time": 1_767_225_600_000,
    }

    async def read(ask: Ask) -> Answer:
        text = json.dumps(told if "clearinghouseState" in ask.body else {"balances": []})
        return Answer(status=200, text=text, headers={}, asked_ns=1, told_ns=1, received_ns=1)

    with pytest.raises(BrokenAnswerError, match="szi '1,5' is not a decimal"):
        asyncio.run(Holdings(SWING, Markets(), read).snapshot(1))


def test_an_event_on_the_websocket_asks_for_its_history() -> None:
    world = LiveWorld(5, accounts=[SWING])
    world.advance_to(START_NS + DAY_NS)
    clock = SimClock(world.now_ns)

    async def body(venue: HyperliquidServer) -> None:
        urls = {"api": venue.base_url, "ws": venue.ws_url}
        settings = AttachSettings(venue="hyperliquid", address=SWING, urls=urls)
        account = open_account(settings, Tools(SystemPace(), environ={}))
        heard: list[Nudge] = []
        async with asyncio.timeout(20), aclosing(account.trigger()) as nudges:  # type: ignore[type-var]
            async for nudge in nudges:
                heard.append(nudge)
                if nudge.streams == ():
                    # Subscribed now, or soon: let the world go on until something happens.
                    stepping = asyncio.ensure_future(go_on())
                if {s for n in heard for s in n.streams} >= {"fills", "funding", "open-orders"}:
                    if sum(n.streams == () for n in heard) > 1:
                        break
                    venue.down()
                    venue.up()
            stepping.cancel()
        assert heard[0] == Nudge(why="websocket connected")
        await account.close()

    async def go_on() -> None:
        while True:
            await asyncio.sleep(0.05)
            clock.step(10 * MINUTE_NS)

    with HyperliquidServer(world, clock) as venue:
        asyncio.run(body(venue))
        assert venue.violations == []


def test_a_busy_bot_does_not_make_us_read_its_orders_all_the_time() -> None:
    pace = TestPace()
    listener = UserListener(ACCOUNT, pace)
    update = json.dumps({"channel": "orderUpdates", "data": [{"order": {}, "status": "open"}] * 10})
    heard = []
    for _ in range(120):
        pace.elapsed_ns += SECOND_NS // 2
        heard.append(listener.heard(update))
    asked = [stream for nudge in heard if nudge is not None for stream in nudge.streams]
    # A minute of twenty updates a second: four looks at what rests, two at the history.
    assert (asked.count("open-orders"), asked.count("orders")) == (4, 2)


def test_what_is_not_understood_is_no_silence() -> None:
    listener = UserListener(ACCOUNT, TestPace())
    assert listener.heard('{"channel":"pong"}') is None
    assert listener.heard('{"channel":"error","data":"Too many users"}') is None
    snapshot = {"channel": "userFills", "data": {"isSnapshot": True, "fills": []}}
    assert listener.heard(json.dumps(snapshot)) is None
    mixed = {"channel": "user", "data": {"fills": [], "funding": {}, "nonUserCancel": []}}
    nudge = listener.heard(json.dumps(mixed))
    assert nudge is not None and nudge.streams == ("fills", "funding", "open-orders")
    liquidated = {"channel": "user", "data": {"liquidation": {"lid": 1}}}
    nudge = listener.heard(json.dumps(liquidated))
    assert nudge is not None and nudge.streams == ("fills", "ledger")
    for odd in ('{"channel":"wonders","data":{}}', '{"channel":"user","data":{"x":1}}', "not JSON"):
        with pytest.raises((ValueError, KeyError)):
            listener.heard(odd)
