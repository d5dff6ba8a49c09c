"""The world that goes on: however time passes, the same happens, and it knows what happened."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from decimal import Decimal
from itertools import pairwise

import pytest

from fillbook.ground.clock import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS
from fillbook.sim.cast import COINBASE_BOT, HEDGE, SWING
from fillbook.sim.clock import SimClock
from fillbook.sim.faults import BY_NAME, TRANSPORT, FaultPlan
from fillbook.sim.live import LiveWorld
from fillbook.sim.world import DAYS, HARVESTER, MAKER, START_MS, TREND, make_world

START_NS = START_MS * 1_000_000
# What follows from each trading fault, in the words of the world's own records.
TRADING = sorted(f.name for f in BY_NAME.values() if f.family == "trading")


def _lived(seed: int, days: int, *names: str, often: dict[str, int] | None = None) -> LiveWorld:
    world = LiveWorld(seed, plan=FaultPlan(seed, names, often=often))
    world.advance_to(START_NS + days * DAY_NS)
    return world


@pytest.fixture(scope="module")
def all_on() -> LiveWorld:
    world = LiveWorld(11, plan=FaultPlan.all_on(11))
    world.advance_to(START_NS + 3 * DAY_NS)
    return world


def test_its_first_month_is_the_month_that_is_written_to_files() -> None:
    month = make_world(seed=4, days=DAYS)
    world = LiveWorld(4, accounts=[TREND, MAKER, HARVESTER])
    world.advance_to(month.end_ms * 1_000_000 - SECOND_NS)
    for account in (TREND, MAKER, HARVESTER):
        assert world.fills(account) == month.fills_of(account)
        made = [one for one in month.decisions if one.account == account]
        assert world.decisions(account) == made
    world.advance_to(month.end_ms * 1_000_000)
    for account in (TREND, MAKER, HARVESTER):
        assert world.funding(account) == month.funding_of(account)
    world.advance_to(month.end_ms * 1_000_000 + DAY_NS)
    assert len(world.fills(MAKER)) > len(month.fills_of(MAKER)), "and then it goes on"
    assert len(world.funding(HARVESTER)) > len(month.funding_of(HARVESTER))


def test_it_makes_no_difference_how_time_passes(all_on: LiveWorld) -> None:
    stepped = LiveWorld(11, plan=FaultPlan.all_on(11))
    steps = [1, 7 * SECOND_NS, 59 * SECOND_NS, 61 * SECOND_NS, 13 * MINUTE_NS, 5 * HOUR_NS]
    at_ns, nth = START_NS, 0
    while at_ns < START_NS + 3 * DAY_NS:
        at_ns = min(START_NS + 3 * DAY_NS, at_ns + steps[nth % len(steps)])
        nth += 1
        stepped.advance_to(at_ns)
        stepped.advance_to(at_ns - HOUR_NS)
        assert stepped.now_ns == at_ns // 1_000_000 * 1_000_000, "time does not go back"
    assert stepped.events == all_on.events
    assert stepped.truth() == all_on.truth()
    assert stepped.plan.injected == all_on.plan.injected


def test_another_seed_and_no_hash_seed_makes_another_world() -> None:
    code = (
        "from hashlib import sha256; from fillbook.sim.live import LiveWorld;"
        "from fillbook.sim.faults import FaultPlan;"
        "world = LiveWorld({seed}, plan=FaultPlan.all_on(2));"
        f"world.advance_to({START_NS + DAY_NS});"
        "print(sha256(repr(world.events).encode()).hexdigest())"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", code.format(seed=seed)],
            check=True,
            capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        ).stdout
        for seed, hash_seed in ((2, "1"), (2, "2"), (3, "1"))
    ]
    assert printed[0] == printed[1] != printed[2]


def test_an_instant_is_included_and_the_next_is_not(all_on: LiveWorld) -> None:
    fill = all_on.fills(SWING)[0]
    world = LiveWorld(11, plan=FaultPlan.all_on(11))
    world.advance_to(fill.ts_ms * 1_000_000 - 1)
    assert world.fills(SWING) == []
    world.advance_to(fill.ts_ms * 1_000_000)
    assert world.fills(SWING)[0] == fill


def test_events_come_in_time_order_and_tell_everything(all_on: LiveWorld) -> None:
    times = [event.ts_ms for event in all_on.events]
    assert times == sorted(times)
    told = [event.what for event in all_on.events]
    for account in all_on.accounts():
        for rows in (all_on.fills(account), all_on.funding(account), all_on.orders(account)):
            # Dated futures and spot pay no funding.
            assert rows or (rows == [] and account == COINBASE_BOT)
            assert all(row in told for row in rows[-20:])


def test_executions_explain_positions_wallets_and_orders(all_on: LiveWorld) -> None:
    truth = all_on.truth()
    held = {
        (account, p.market.symbol, p.position_side): p.qty
        for account in all_on.accounts()
        for p in all_on.positions(account)
    }
    assert held == truth.positions
    for account in all_on.accounts():
        money: dict[str, Decimal] = defaultdict(Decimal)
        for moved in truth.transfers:
            if moved.account == account:
                money[moved.asset] += moved.amount
        for (owner, asset), amount in truth.cash.items():
            if owner == account:
                money[asset] += amount
        coins = {p.market.coin for p in all_on.positions(account) if p.market.contract == "spot"}
        opening = all_on.desk(account).holdings.opening()
        for (market, _), qty in opening.items():
            money[market.quote] -= qty * market.multiplier * all_on.mark(market, START_MS)
        wallets: dict[str, Decimal] = defaultdict(Decimal)
        for (_, asset), amount in all_on.wallets(account).items():
            wallets[asset] += amount
        for asset in set(money) - coins:
            assert wallets[asset] == money[asset], (account, asset)
    for order in truth.orders:
        fills = [f for f in all_on.fills(order.account) if f.order_id == order.order_id]
        assert order.filled == sum((f.qty for f in fills), Decimal(0))
        assert order.filled_value == sum((f.qty * f.px for f in fills), Decimal(0))
        assert order.n_fills == len(fills) and order.filled <= order.qty
        assert (order.state == "filled") == (order.filled == order.qty)


def test_every_fill_says_the_position_before_it() -> None:
    world = _lived(5, 3)
    for account in world.accounts():
        chain: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        for fill in world.fills(account):
            group = (fill.market.symbol, fill.position_side)
            assert fill.start_position == chain[group]
            chain[group] += fill.moved


def test_orders_live_every_kind_of_life() -> None:
    world = _lived(5, 4)
    lives = {
        (order.kind, order.state)
        for account in (HEDGE, SWING, COINBASE_BOT)
        for order in world.orders(account)
    }
    assert lives >= {
        *(("limit", state) for state in ("filled", "cancelled", "expired", "rejected")),
        *(("stop", state) for state in ("filled", "cancelled")),
        *(("take_profit", state) for state in ("filled", "cancelled")),
        ("market", "filled"),
    }
    partly = [e.what for e in world.events if getattr(e.what, "state", "") == "partially_filled"]
    assert len(partly) > 20
    for order in world.orders(SWING):
        if order.kind in ("stop", "take_profit"):
            assert order.reduce_only
            assert (order.triggered_ms is not None) == (order.state == "filled")
    sides = {(p.market.symbol, f.position_side) for f in world.fills(HEDGE) for p in [f]}
    assert sides == {(s, side) for s in ("ETHUSDC", "BTCUSDC") for side in ("long", "short")}


@pytest.mark.parametrize("name", TRADING)
def test_each_trading_fault_alone_is_counted_and_leaves_its_trace(name: str) -> None:
    often = {name: 1000 if name == "opened_before" else 300}
    world = _lived(6, 1, name, often=often)
    assert set(world.plan.injected) == {name} and world.plan.injected[name] > 0
    fills = world.truth().fills
    plain = _lived(6, 1).truth()
    traces = {
        "flip": any(
            f.strategy == "fate" and f.start_position + f.moved == -f.start_position for f in fills
        ),
        "adl": any(f.cause == "adl" and f.fee == 0 for f in fills),
        "liquidation": any(f.cause == "liquidation" and f.liquidated == f.account for f in fills),
        "settlement": any(f.cause == "settlement" and f.px == f.mark_px for f in fills),
        "self_trade": any(f.fill_id == g.fill_id and f.side != g.side for f, g in pairwise(fills)),
        "third_currency_fee": {f.fee_asset for f in fills if f.account == HEDGE} == {"USDC", "BNB"},
        "rebate": any(f.fee < 0 for f in fills) and not any(f.fee < 0 for f in plain.fills),
        "funding_sign_change": any(p.rate < 0 for p in world.truth().funding),
        "dust": any(f.cause == "dust" and f.qty < f.market.lot for f in fills),
        "opened_before": len(world.truth().opening) == len(world.accounts()),
    }
    assert traces[name]


def test_a_liquidation_takes_the_orders_with_it() -> None:
    world = _lived(7, 2, "liquidation", often={"liquidation": 400})
    gone = [o for o in world.orders(SWING) if o.reason == "marginCanceled"]
    assert gone and all(not order.is_open for order in gone)


def test_reduce_only_orders_only_reduce() -> None:
    world = _lived(7, 3, "adl", "liquidation", often={"adl": 300, "liquidation": 100})
    reducing = [f for account in (HEDGE, SWING) for f in world.fills(account) if f.reduce_only]
    for fill in reducing:
        after = fill.start_position + fill.moved
        assert after * fill.start_position >= 0 and abs(after) < abs(fill.start_position)
    orders = {o.order_id: o for account in (HEDGE, SWING) for o in world.orders(account)}
    cut_short = [f for f in reducing if f.cause is None and f.qty < orders[f.order_id].qty]
    assert cut_short and any(o.reason == "reduceOnlyCanceled" for o in orders.values())


def test_a_correction_undoes_the_fill_and_what_it_did() -> None:
    world = _lived(6, 3, "correction", often={"correction": 500})
    desk = world.desk(COINBASE_BOT)
    assert {one.replacement is None for one in desk.corrections} == {True, False}
    held = {p.market.symbol: p.qty for p in world.positions(COINBASE_BOT)}
    truth = world.truth(COINBASE_BOT)
    assert held == {symbol: qty for (_, symbol, _), qty in truth.positions.items()}
    whole = {symbol: Decimal(0) for symbol in held}
    for fill in world.fills(COINBASE_BOT):
        if fill.market.symbol in whole:
            whole[fill.market.symbol] += fill.moved
    assert held != whole, "what was undone is missing from the position"
    stands = {(f.fill_id, f.px) for f in world.truth(COINBASE_BOT).fills}
    for one in desk.corrections:
        assert (one.target.fill_id, one.target.px) not in stands
        if one.replacement is not None:
            assert (one.replacement.fill_id, one.replacement.px) in stands


def test_markets_are_renamed_and_delisted() -> None:
    often = {"symbol_renamed": 60, "symbol_delisted": 40}
    world = _lived(8, 2, "symbol_renamed", "symbol_delisted", often=often)
    market, (since_ms, name) = next(iter(world.renamed.items()))
    assert world.name(market, since_ms - 1) == market.symbol != name
    assert world.name(market, since_ms) == name
    for market, since_ms in world.delisted.items():
        for account in world.accounts(market.venue):
            assert all(p.market != market for p in world.positions(account))
            assert not any(f.market == market and f.ts_ms > since_ms for f in world.fills(account))


def test_unordered_ids_and_a_crowded_millisecond() -> None:
    world = LiveWorld(6, plan=FaultPlan(6, ["unordered_ids", "crowded_millisecond"]), crowd=45)
    world.plan.arm("crowded_millisecond", 3)
    world.advance_to(START_NS + 3 * DAY_NS)
    ids = [fill.fill_id for fill in world.fills(MAKER)]
    assert ids != sorted(ids) and len(set(ids)) == len(ids)
    at: dict[tuple[str, int], int] = defaultdict(int)
    for account in world.accounts():
        for fill in world.fills(account):
            at[account, fill.ts_ms] += 1
    assert max(at.values()) == 45


def test_a_plan_is_reproducible_and_faults_are_independent() -> None:
    def struck(plan: FaultPlan) -> list[bool]:
        return [plan.strikes("late_row", "a") for _ in range(400)]

    alone = struck(FaultPlan(3, ["late_row"], often={"late_row": 100}))
    among_all = FaultPlan(3, BY_NAME, often={"late_row": 100})
    for name in sorted(BY_NAME):
        among_all.strikes(name, "elsewhere")
    assert struck(among_all) == alone != struck(FaultPlan(4, ["late_row"], often={"late_row": 100}))
    assert 15 < sum(alone) < 80
    assert struck(FaultPlan(3)) == [False] * 400
    keyed = FaultPlan(3, ["late_row"], often={"late_row": 500})
    first = [keyed.strikes_on("late_row", str(n)) for n in range(50)]
    again = [keyed.strikes_on("late_row", str(n)) for n in reversed(range(50))]
    assert first == again[::-1] and keyed.injected["late_row"] == sum(first)


def test_transport_faults_let_the_patient_through() -> None:
    plan = FaultPlan(1, TRANSPORT, often=dict.fromkeys(TRANSPORT, 1000), in_a_row=3)
    struck = [plan.first(TRANSPORT, "fills") for _ in range(8)]
    assert struck == [*["refuse"] * 3, None] * 2
    plan.calm("transport")
    assert plan.first(TRANSPORT, "fills") is None
    plan.arm("stall", 2)
    assert [plan.first(TRANSPORT, "fills") for _ in range(3)] == ["stall", "stall", None]
    with pytest.raises(ValueError, match="no such fault: gremlins"):
        plan.switch("gremlins")


def test_a_lasting_fault_holds_for_its_time_whoever_asks() -> None:
    plan = FaultPlan(1, ["maintenance"], often={"maintenance": 1000})
    minutes = [START_NS + n * MINUTE_NS for n in range(3 * 1440)]
    held = [plan.holds("maintenance", at_ns) for at_ns in minutes]
    assert sum(held) == 6 * BY_NAME["maintenance"].lasts_min, "once in every twelve hours"
    assert plan.injected["maintenance"] == 6
    assert [plan.holds("maintenance", at_ns) for at_ns in reversed(minutes)] == held[::-1]
    armed = FaultPlan(1)
    armed.arm("maintenance")
    assert armed.holds("maintenance", START_NS) and armed.holds("maintenance", START_NS + 1)
    assert not armed.holds("maintenance", START_NS + 10 * MINUTE_NS)


def test_the_clock_steps_runs_and_never_goes_back() -> None:
    wall = [100]
    clock = SimClock(START_NS, speed=60, wall=lambda: wall[0])
    wall[0] += SECOND_NS
    assert clock.now_ns() == START_NS + MINUTE_NS
    wall[0] -= 5 * SECOND_NS
    assert clock.now_ns() == START_NS + MINUTE_NS, "the wall clock was set back"
    assert clock.step(HOUR_NS) == clock.now_ns() == START_NS + HOUR_NS + MINUTE_NS
    assert clock.step_to(START_NS) == START_NS + HOUR_NS + MINUTE_NS
    assert clock.real_seconds(MINUTE_NS, 9.0) == 1.0 and clock.real_seconds(HOUR_NS, 9.0) == 9.0
    with pytest.raises(ValueError, match="does not go back"):
        clock.step(-1)
