"""Coinbase attached over real connections to a simulated venue that knows the truth."""

from __future__ import annotations

from pathlib import Path

import pytest

from coinbase_desk import Desk, desk_run
from fillbook.ground.clock import DAY_NS, HOUR_NS
from fillbook.sim.cast import COINBASE_BOT, PERPS


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
