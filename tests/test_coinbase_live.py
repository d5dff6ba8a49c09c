"""Coinbase attached over real connections to a simulated venue that knows the truth."""

from __future__ import annotations

from pathlib import Path

import pytest

from coinbase_desk import Desk, desk_run
from fillbook.ground.clock import DAY_NS, HOUR_NS, MINUTE_NS
from fillbook.sim.cast import COINBASE_BOT, PERPS
from fillbook.sim.faults import BY_NAME, FaultPlan
from fillbook.sources.faults import KeyRefusedError


@pytest.mark.parametrize("who", [COINBASE_BOT, PERPS])
@pytest.mark.parametrize("page_rows", [100, 13])
def test_a_history_is_pulled_whole_and_goes_on(tmp_path: Path, who: str, page_rows: int) -> None:
    async def body(desk: Desk) -> None:
        await desk.attach()
        (estimate,) = desk.told
        assert any("funding" in words for words in estimate.beyond)
        assert all(brought.fault is None for brought in (await desk.pull()).values())
        desk.check_truth()
        for _ in range(3):
            desk.clock.step(5 * HOUR_NS)
            assert all(brought.fault is None for brought in (await desk.pull()).values())
        desk.check_truth()
        again = await desk.pull()
        assert {name: brought.new for name, brought in again.items()} == dict.fromkeys(again, 0)
        assert len(desk.true_fills()) > 30
        assert desk.order_ends() == desk.true_order_ends()
        assert not {"gap", "claims-conflict"} & desk.findings()

    desk_run(tmp_path, who, body, days_ns=2 * DAY_NS, page_rows=page_rows)


def is_passing(fault: BaseException | None) -> bool:
    """Say whether waiting helps: the venue is away, or the key is, for a while."""
    return fault is None or getattr(fault, "retriable", False) or isinstance(fault, KeyRefusedError)


@pytest.mark.parametrize(("who", "seed"), [(COINBASE_BOT, 21), (PERPS, 22)])
def test_three_days_of_every_fault_end_with_the_truth(tmp_path: Path, who: str, seed: int) -> None:
    three_days(tmp_path, who, seed, step_ns=80 * MINUTE_NS)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 120))
def test_three_days_of_every_fault_under_many_seeds(tmp_path: Path, seed: int) -> None:
    three_days(tmp_path, PERPS if seed % 2 else COINBASE_BOT, seed, step_ns=20 * MINUTE_NS)


def three_days(folder: Path, who: str, seed: int, step_ns: int) -> None:
    often = {"correction": 250, "repeated_trade_id": 150, "cursor_expired": 30}
    plan = FaultPlan(seed, BY_NAME.keys() - {"symbol_renamed"}, often=often)

    async def body(desk: Desk) -> None:
        until_ns = desk.clock.now_ns() + 3 * DAY_NS
        while desk.clock.now_ns() < until_ns:
            try:
                if desk.attached is None:
                    await desk.attach()
                brought = await desk.pull()
            except Exception as fault:  # before it is attached: the monitor waits as well
                assert is_passing(fault), fault
                brought = {}
            assert all(is_passing(one.fault) for one in brought.values())
            desk.clock.step(step_ns)
        plan.calm("transport", "rest")
        desk.clock.step(HOUR_NS)
        assert all(one.fault is None for one in (await desk.pull(deep=True)).values())
        desk.check_truth()
        assert desk.order_ends() == desk.true_order_ends()
        # Whatever was missing for a while has been found, and the book says so.
        assert not {"gap", "claims-conflict"} & desk.findings()
        assert len(plan.injected) > 15, plan.injected
        print(plan.injected, desk.findings(), len(desk.true_fills()))

    desk_run(folder, who, body, seed=seed, plan=plan, page_rows=40)


def test_an_empty_page_is_no_end(tmp_path: Path) -> None:
    plan = FaultPlan(8, ["empty_page"], often={"empty_page": 300})

    async def body(desk: Desk) -> None:
        await desk.attach()
        for _ in range(12):
            brought = await desk.pull()
            desk.clock.step(5 * MINUTE_NS)
            if all(one.fault is None for one in brought.values()):
                break
        desk.check_truth()
        assert plan.injected["empty_page"] > 3

    desk_run(tmp_path, COINBASE_BOT, body, days_ns=2 * DAY_NS, plan=plan, page_rows=13)
