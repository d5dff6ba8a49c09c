"""Binance attached over real connections to a simulated venue that knows the truth."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import aclosing
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from binance_desk import CREDENTIALS, MS, Desk, desk_run
from fillbook.analysis.exits import ExitEvidence, exit_cause
from fillbook.analysis.summary import Query, costs, load, trades, why
from fillbook.facts.model import Charge, Fill, OrderUpdate, Report
from fillbook.ground.clock import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS
from fillbook.ground.exact import from_scaled
from fillbook.ground.settings import Settings
from fillbook.journal.store import Journal
from fillbook.ledger.ledger import fold_claims
from fillbook.marks.series import Mark, MarkStore
from fillbook.sim.cast import HEDGE
from fillbook.sim.faults import FaultPlan
from fillbook.sim.world import TREND
from fillbook.sources.binance.asks import history_ask
from fillbook.sources.binance.manners import BinanceSigner
from fillbook.sources.faults import KeyRefusedError
from fillbook.sources.files.importing import import_paths
from fillbook.sources.manners import query_text
from fillbook.sources.source import ReadOptions
from fillbook.sources.stream import Nudge

D = Decimal


@pytest.mark.parametrize("who", [TREND, HEDGE])
@pytest.mark.parametrize("page_rows", [1000, 37])
def test_a_history_is_pulled_whole_and_goes_on(tmp_path: Path, who: str, page_rows: int) -> None:
    async def body(desk: Desk) -> None:
        await desk.attach()
        (estimate,) = desk.told
        assert estimate.asks > 13 and "three months" in estimate.beyond[0]
        assert all(brought.fault is None for brought in (await desk.pull()).values())
        desk.check_truth()
        for _ in range(3):
            desk.clock.step(5 * HOUR_NS)
            assert all(brought.fault is None for brought in (await desk.pull()).values())
        desk.check_truth()
        again = await desk.pull()
        assert {name: brought.new for name, brought in again.items()} == dict.fromkeys(again, 0)
        assert len(desk.true_fills()) > 60 and desk.true_payments() and desk.true_moved()
        assert desk.order_ends() == desk.true_order_ends()
        assert "gap" not in desk.findings() and "claims-conflict" not in desk.findings()

    desk_run(tmp_path, who, body, days_ns=2 * DAY_NS, page_rows=page_rows)


def test_the_ledger_of_what_was_pulled_is_the_worlds_own_account(tmp_path: Path) -> None:
    """Fees by asset and funding: all from fills and payments; income repeats and adds nothing."""

    async def body(desk: Desk) -> None:
        await desk.attach()
        await desk.pull()
        truth = desk.world.truth(desk.who)
        ledger = fold_claims(desk.journal.claims())
        assert ledger.n_evidence == len(desk.true_charges())
        view = load(desk.journal, desk.marks, Settings())
        told = {row.asset: row for row in costs(view, Query())}
        for (_, asset), fee in truth.fees.items():
            assert (D(told[asset].fees), D(told[asset].charges)) == (fee, 0)
        assert D(told["USDC"].net_funding) == sum((p.amount for p in truth.funding), D(0))
        assert "venue-disagrees" not in {f.code for f in ledger.findings}

    desk_run(tmp_path, TREND, body, days_ns=2 * DAY_NS)


@pytest.mark.parametrize("who", [TREND, HEDGE])
def test_what_was_made_is_what_the_world_says_it_was(tmp_path: Path, who: str) -> None:
    """Net of both legs, of fees in dollars and of funding: cash and positions at their marks."""

    async def body(desk: Desk) -> None:
        await desk.attach()
        await desk.pull()
        now_ns = desk.clock.now_ns()
        held = desk.world.positions(desk.who)
        desk.marks.put(
            Mark("binance", p.market.symbol, now_ns, desk.world.mark(p.market), "mark", "test")
            for p in held
        )
        cash = {asset: D(0) for asset in ("USDC", "BNB")}
        for (_, asset), amount in desk.world.truth(desk.who).cash.items():
            cash[asset] += amount
        worth = cash["USDC"] + sum(p.qty * desk.world.mark(p.market) for p in held)
        told = why(load(desk.journal, desk.marks, Settings()), Query()).currencies["USDC"]
        # Fees paid in BNB are valued in dollars here and are BNB there.
        in_bnb = D(0)
        for fill in desk.world.fills(desk.who):
            if fill.fee_asset == "BNB":
                at_ns = fill.ts_ms * MS
                rates = desk.marks.series("binance", "BNB/USDC", None, at_ns + 1)
                in_bnb += fill.fee * from_scaled(int(rates.px[-1]), rates.scale)
        assert told.net is not None and told.unrealized is not None
        assert abs(D(told.net) - (worth - in_bnb)) < D("0.000001")

    desk_run(tmp_path, who, body, days_ns=2 * DAY_NS + 7 * MINUTE_NS)


def is_passing(fault: BaseException | None) -> bool:
    """Say whether waiting helps: the venue is away, or the key is, for a while."""
    return fault is None or getattr(fault, "retriable", False) or isinstance(fault, KeyRefusedError)


@pytest.mark.parametrize(("who", "seed"), [(TREND, 21), (HEDGE, 22)])
def test_three_days_of_every_fault_end_with_the_truth(tmp_path: Path, who: str, seed: int) -> None:
    three_days(tmp_path, who, seed, step_ns=80 * MINUTE_NS)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 120))
def test_three_days_of_every_fault_under_many_seeds(tmp_path: Path, seed: int) -> None:
    three_days(tmp_path, HEDGE if seed % 2 else TREND, seed, step_ns=20 * MINUTE_NS)


def three_days(folder: Path, who: str, seed: int, step_ns: int) -> None:
    plan = FaultPlan.all_on(seed, without=["symbol_renamed"])

    async def body(desk: Desk) -> None:
        until_ns = desk.clock.now_ns() + 3 * DAY_NS
        while desk.clock.now_ns() < until_ns:
            try:
                if desk.attached is None:
                    await desk.attach()
                brought = await desk.pull()
            except Exception as fault:  # while looking for streams: the monitor waits as well
                assert is_passing(fault), fault
                brought = {}
            assert all(is_passing(one.fault) for one in brought.values())
            desk.clock.step(step_ns)
        plan.calm("transport", "rest")
        desk.clock.step(HOUR_NS)
        assert all(one.fault is None for one in (await desk.pull(deep=True)).values())
        desk.check_truth()
        # Orders that have vanished were seen while they could be.
        assert desk.order_ends() == desk.true_order_ends()
        # Whatever was missing for a while has been found, and the book says so.
        assert not {"gap", "claims-conflict"} & desk.findings()
        assert len(plan.injected) > 15, plan.injected

    desk_run(folder, who, body, seed=seed, plan=plan, page_rows=120)


def test_a_revoked_key_is_a_gap_that_heals(tmp_path: Path) -> None:
    plan = FaultPlan(3)

    async def body(desk: Desk) -> None:
        await desk.attach()
        await desk.pull()
        plan.arm("key_revoked")
        desk.clock.step(HOUR_NS // 2)
        gone = await desk.pull()
        refused = [b.fault for name, b in gone.items() if not name.startswith("rates")]
        assert all(isinstance(fault, KeyRefusedError) for fault in refused)
        causes = {gap.component: gap.cause or "" for gap in desk.gaps()}
        assert set(causes) == {"fills", "orders", "funding", "charges", "transfers"}
        assert all("-2015" in cause for cause in causes.values())
        assert "gap" in desk.findings()
        desk.clock.step(HOUR_NS)
        assert all(brought.fault is None for brought in (await desk.pull()).values())
        assert "gap" not in desk.findings()
        desk.check_truth()

    desk_run(tmp_path, TREND, body, days_ns=DAY_NS, plan=plan)


def test_a_crowded_millisecond_is_walked_by_id_and_by_type(tmp_path: Path) -> None:
    plan = FaultPlan(4, ["crowded_millisecond"], often={"crowded_millisecond": 400})

    async def body(desk: Desk) -> None:
        await desk.attach()
        assert all(brought.fault is None for brought in (await desk.pull()).values())
        desk.check_truth()
        assert plan.injected["crowded_millisecond"] > 0

    # 60 executions in one millisecond: 60 rows of trades and of commissions.
    desk_run(tmp_path, HEDGE, body, days_ns=DAY_NS, plan=plan, page_rows=61)


def test_what_even_types_and_symbols_cannot_part_is_a_gap_and_said(tmp_path: Path) -> None:
    plan = FaultPlan(4, ["crowded_millisecond"], often={"crowded_millisecond": 400})

    async def body(desk: Desk) -> None:
        await desk.attach()
        brought = await desk.pull()
        fault = brought["income"].fault
        assert fault is not None and "COMMISSION" in fault.what
        assert {gap.component for gap in desk.gaps()} == {"funding", "charges", "transfers"}
        # The trades are read on by their ids.
        assert desk.fills() == desk.true_fills()

    desk_run(tmp_path, HEDGE, body, days_ns=DAY_NS, plan=plan, page_rows=37)


# -- one claim, wherever it was read -------------------------------------------------------------


def saved(desk: Desk, name: str, weight: int, **query: str) -> str:
    """An answer of the venue as somebody else would save it."""
    now_ns = desk.clock.now_ns()
    window = (now_ns - 6 * DAY_NS, now_ns + SECOND_NS)
    ask = history_ask(name, weight, 1000, window, **query)
    signed = BinanceSigner(CREDENTIALS).sign(ask, desk.venue.base_url, now_ns)
    url = f"{desk.venue.base_url}{ask.path}?{query_text(signed.query)}"
    return httpx.get(url, headers=dict(signed.headers)).text


def test_a_file_imported_first_leaves_nothing_new_to_attach(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        paths = [tmp_path / "income.json"]
        paths[0].write_text(saved(desk, "income", 30))
        symbols = sorted({fill.market.symbol for fill in desk.world.fills(desk.who)})
        for symbol in symbols:
            paths.append(tmp_path / f"{symbol}.json")
            paths[-1].write_text(saved(desk, "userTrades", 5, symbol=symbol))
        with (
            Journal.create(tmp_path / "alone.db") as journal,
            MarkStore(tmp_path / "alone.marks") as marks,
        ):
            import_paths(journal, marks, paths, ReadOptions(account=desk.who))
            alone = fold_claims(journal.claims())
        import_paths(desk.journal, desk.marks, paths, ReadOptions(account=desk.who))
        await desk.attach()
        brought = await desk.pull()
        for name in ("income", *(f"trades/{symbol}" for symbol in symbols)):
            assert (brought[name].new, brought[name].conflicts) == (0, 0), name
            assert brought[name].known > 0
        both = fold_claims(desk.journal.claims())
        assert both.digest() == alone.digest()
        assert not {"sources-disagree", "claims-conflict"} & {f.code for f in both.findings}
        desk.check_truth()

    desk_run(tmp_path, TREND, body, days_ns=2 * DAY_NS)


# -- now: positions, marks, nudges ---------------------------------------------------------------


def test_positions_of_both_legs_cost_one_read(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        await desk.attach()
        seen = set()
        for _ in range(30):
            desk.clock.step(HOUR_NS)
            before = desk.asked()
            snapshot = await desk.account.positions(desk.clock.now_ns())
            asked = desk.asked() - before
            assert asked["GET positionRisk"] == 1 and asked["GET account"] <= 1
            drafts = [draft for row in snapshot.rows for draft in row.drafts]
            reports = [d.fact for d in drafts if isinstance(d.fact, Report)]  # type: ignore[union-attr]
            truth = desk.world.positions(desk.who)
            assert {(r.instrument, r.position_side, r.qty, r.px) for r in reports if r.qty} == {
                (p.market.symbol, p.position_side, p.qty, desk.world.mark(p.market)) for p in truth
            }
            seen |= {p.position_side for p in truth}
            (worth,) = [r for r in reports if r.asset == "USDC"]
            cash = desk.world.wallets(desk.who)["perp", "USDC"]
            total = cash + sum(p.qty * desk.world.mark(p.market) for p in truth)
            assert worth.amount is not None and abs(worth.amount - total) < D("0.0000001")
        assert seen == {"long", "short"}

    desk_run(tmp_path, HEDGE, body, days_ns=HOUR_NS)


def test_what_bnb_was_worth_is_kept_beside_the_book(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        await desk.attach()
        await desk.pull()
        assert any(fill.fee_asset == "BNB" for fill in desk.facts(Fill))
        series = desk.marks.series("binance", "BNB/USDC")
        assert len(series.ts_ns) == 2 * 96
        (live,) = await desk.account.marks((), desk.clock.now_ns())
        assert (live.instrument, live.what) == ("BNB/USDC", "rate")
        view = load(desk.journal, desk.marks, Settings())
        assert "fee-unpriced" not in {finding.code for finding in view.findings}

    desk_run(tmp_path, TREND, body, days_ns=2 * DAY_NS)


async def nudges_until(desk: Desk, enough: Callable[[list[Nudge]], bool]) -> list[Nudge]:
    """Listen while the world goes on, until that is enough."""
    heard: list[Nudge] = []

    async def go_on() -> None:
        while True:
            await asyncio.sleep(0.03)
            desk.clock.step(5 * MINUTE_NS)

    async with asyncio.timeout(30), aclosing(desk.account.trigger()) as nudges:  # type: ignore[type-var]
        going: asyncio.Task[None] | None = None
        async for nudge in nudges:
            going = going or asyncio.ensure_future(go_on())
            heard.append(nudge)
            if enough(heard):
                break
        assert going is not None
        going.cancel()
    return heard


def test_an_event_on_the_stream_asks_for_its_history_and_brings_it(tmp_path: Path) -> None:
    def enough(heard: list[Nudge]) -> bool:
        asked = {name for nudge in heard for name in nudge.streams}
        kinds = {name.partition("/")[0] for name in asked}
        why = {nudge.why for nudge in heard}
        return kinds == {"trades", "orders", "algo", "income"} and "FUNDING_FEE" in why

    async def body(desk: Desk) -> None:
        await desk.attach()
        await desk.pull()
        heard = await nudges_until(desk, enough)
        assert heard[0] == Nudge(why="websocket connected")
        named = {name for nudge in heard for name in nudge.streams}
        await desk.discover()
        brought = {name: await desk.pagers[name].pull() for name in sorted(named)}
        assert all(one.fault is None for one in brought.values())
        traded = {name.removeprefix("trades/") for name in named if name.startswith("trades/")}
        known = [row for row in desk.fills() if row[1] in traded]
        assert known == [row for row in desk.true_fills() if row[1] in traded]
        assert desk.payments() == desk.true_payments()

    desk_run(tmp_path, HEDGE, body, days_ns=DAY_NS, strides=False)


def test_an_expired_listen_key_is_opened_anew(tmp_path: Path) -> None:
    plan = FaultPlan(5)

    def enough(heard: list[Nudge]) -> bool:
        if len(heard) == 3:
            plan.arm("listen_key_expired")
        return sum(not nudge.streams for nudge in heard) == 2

    async def body(desk: Desk) -> None:
        await desk.attach()
        heard = await nudges_until(desk, enough)
        assert [n.why for n in heard if not n.streams] == ["websocket connected"] * 2
        assert desk.asked()["POST listenKey"] == 2
        assert plan.injected["listen_key_expired"] == 1

    desk_run(tmp_path, HEDGE, body, days_ns=DAY_NS, plan=plan, strides=False)


# -- limits --------------------------------------------------------------------------------------


def test_a_fifth_of_the_limit_is_never_exceeded(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        await desk.attach()
        await desk.pull()
        desk.check_truth()
        used = desk.venue.limiter.most_used
        # The web account counts on a limit of its own; this server has one for both.
        assert used <= 480 + 21 and desk.venue.limiter.turned_away == 0
        (futures, web) = desk.account.usage()
        assert (futures.limit, futures.allowance, futures.seen is not None) == (2400, 480, True)
        assert web.allowance == 1200

    desk_run(tmp_path, TREND, body, days_ns=DAY_NS, share="0.2")


# -- what the mission's own cases ask for ----------------------------------------------------------


def imported(folder: Path, times: int, **files: list[dict[str, object]]) -> Journal:
    journal = Journal.create(folder / "book.db")
    with MarkStore(folder / "book.marks") as marks:
        for nth in range(times):
            for name, rows in files.items():
                path = folder / f"{name}-{nth}.json"
                # Another file each time: the same rows, fetched again.
                path.write_text(json.dumps(rows) + "\n" * nth)
                import_paths(journal, marks, [path], ReadOptions(account="1"))
    return journal


def income_row(number: int, kind: str, amount: str) -> dict[str, object]:
    row = {"symbol": "BTCUSDT", "incomeType": kind, "income": amount, "asset": "USDT"}
    return {**row, "time": 1_767_607_200_000 + number, "tranId": number, "tradeId": ""}


def test_v13_the_same_income_fetched_twelve_times_counts_once(tmp_path: Path) -> None:
    rows = [
        income_row(1, "COMMISSION", "-10.5"),
        income_row(2, "COMMISSION", "-5.0"),
        income_row(3, "FUNDING_FEE", "3"),
        income_row(4, "FUNDING_FEE", "-2"),
    ]
    with imported(tmp_path, 12, income=rows) as journal:
        (row,) = costs(load(journal, None, Settings()), Query())
        assert D(row.fees) + D(row.charges) == D("15.5")
        assert (row.funding_received, row.funding_paid, row.net_funding) == ("3", "2", "1")
        assert sum(isinstance(claim.fact, Charge) for claim in journal.claims()) == 2


def test_v15_a_stop_that_was_filled_closes_its_trade_once(tmp_path: Path) -> None:
    trade = {"symbol": "BTCUSDT", "qty": "1", "commission": "0", "commissionAsset": "USDT"}
    trade |= {"positionSide": "BOTH", "realizedPnl": "0", "maker": False}
    opened = {**trade, "id": 1, "orderId": 10, "side": "BUY", "price": "100", "buyer": True}
    closed = {**trade, "id": 2, "orderId": 11, "side": "SELL", "price": "94", "buyer": False}
    stop = {"symbol": "BTCUSDT", "orderId": 11, "clientOrderId": "x", "side": "SELL"}
    stop |= {"positionSide": "BOTH", "origType": "STOP_MARKET", "type": "MARKET", "price": "0"}
    stop |= {"status": "FILLED", "origQty": "1", "executedQty": "1", "avgPrice": "94"}
    stop |= {"reduceOnly": True, "stopPrice": "95", "time": 1_767_607_290_000}
    stop["updateTime"] = 1_767_607_300_000
    opened["time"], closed["time"] = 1_767_607_200_000, 1_767_607_300_000
    with imported(tmp_path, 2, trades=[opened, closed], orders=[stop]) as journal:
        view = load(journal, None, Settings())
        (row,) = trades(view, Query())
        assert (row.realized_pnl, row.final_status, row.fills) == ("-6", "completed", 2)
        facts = [claim.fact for claim in journal.claims()]
        closing = [fact for fact in facts if isinstance(fact, Fill)][1]
        orders = [o for o in facts if isinstance(o, OrderUpdate) and o.order_id == closing.order_id]
        assert [o.status for o in orders] == ["placed", "filled"]
        assert all(o.reduce_only for o in orders)
        seen = ExitEvidence(order_type=orders[0].order_type, pnl=D(row.realized_pnl or 0))
        assert exit_cause(seen) == ("stop_loss", True)
