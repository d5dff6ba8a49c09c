"""The simulated month: the same everywhere, lifelike where it matters, and right about itself."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from fillbook.sim.dice import Dice
from fillbook.sim.truth import GRID, BookTruth
from fillbook.sim.world import (
    BINANCE,
    HARVESTER,
    MAKER,
    PURR,
    PURR_SPOT,
    TREND,
    World,
    make_world,
)
from fillbook.sim.writers import write_month

# The bytes of the default month. They change only when the simulation is changed on purpose.
GOLDEN = "624628fe70c75ef8e46a7cac07155efbc117f1fab9a070ceb98909c06a3df287"


@pytest.fixture(scope="module")
def world() -> World:
    return make_world()


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def test_the_default_month_has_the_pinned_bytes(world: World, tmp_path: Path) -> None:
    write_month(world, tmp_path)
    assert _digest(tmp_path) == GOLDEN


def test_hash_randomisation_has_no_effect(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from fillbook.sim.world import make_world;"
        "from fillbook.sim.writers import write_month;"
        "write_month(make_world(seed=3, days=3), Path(sys.argv[1]))"
    )
    digests = []
    for hash_seed in ("1", "2"):
        folder = tmp_path / hash_seed
        environ = {**os.environ, "PYTHONHASHSEED": hash_seed}
        subprocess.run([sys.executable, "-c", code, str(folder)], check=True, env=environ)
        digests.append(_digest(folder))
    assert digests[0] == digests[1]
    write_month(make_world(seed=4, days=3), tmp_path / "other")
    assert _digest(tmp_path / "other") != digests[0]


def test_dice_keep_to_their_range_and_parts_to_their_sum() -> None:
    dice = Dice(1, "check")
    drawn = [dice.between(3, 7) for _ in range(500)]
    assert set(drawn) == {3, 4, 5, 6, 7}
    bells = [dice.bell() for _ in range(4000)]
    assert abs(sum(bells)) < 4000 and 12 < sum(b * b for b in bells) / 4000 < 20
    for whole in (1, 2, 3, 50):
        for _ in range(50):
            parts = dice.parts(whole, 4)
            assert sum(parts) == whole and 1 <= len(parts) <= 4 and min(parts) >= 1
    assert [Dice(1, "a").below(100) for _ in range(3)] != [Dice(1, "b").below(100)] * 3


def test_the_month_has_what_real_months_have(world: World) -> None:
    assert 3_000 <= len(world.fills) <= 6_000
    per_order = Counter((fill.account, fill.order_id) for fill in world.fills)
    assert sum(count > 1 for count in per_order.values()) > 300, "orders filled in parts"
    assert {fill.fee_asset for fill in world.fills_of(TREND)} == {"BNB", "USDC"}
    assert {fill.strategy for fill in world.fills_of(TREND)} == {"breakout", "fade"}
    maker = world.fills_of(MAKER)
    assert any(fill.fee < 0 for fill in maker) and any(fill.fee > 0 for fill in maker)
    flips = [fill for fill in maker if fill.start_position * (fill.start_position + fill.moved) < 0]
    assert len(flips) > 20
    harvest = world.fills_of(HARVESTER)
    assert {fill.market.symbol for fill in harvest} == {PURR.symbol, PURR_SPOT.symbol}
    assert any(fill.base_fee for fill in harvest)
    assert all(fill.decision_id is None for fill in harvest)
    assert all(world.start_ms <= fill.ts_ms < world.end_ms for fill in world.fills)
    ids = Counter((fill.market.venue, fill.account, fill.fill_id) for fill in world.fills)
    assert max(ids.values()) == 1


def test_cash_and_inventory_at_marks_are_the_net(world: World) -> None:
    last = {(m.venue, m.symbol): m.px for m in world.marks if m.ts_ms == world.end_ms}
    for (name, _), account in world.truth.accounts.items():
        held = sum(
            (
                fill.moved * last[fill.market.venue, fill.market.symbol]
                for fill in world.fills_of(name)
            ),
            Decimal(0),
        )
        assert Decimal(account.cash) / GRID + held == Decimal(account.net) / GRID
        ladder = account.signal + account.signal_unpriced - account.delay - account.drift
        assert ladder - account.spread == account.gross


def test_every_settlement_of_an_open_position_pays(world: World) -> None:
    for account in (TREND, MAKER, HARVESTER):
        fills = world.fills_of(account)
        paid = {(row.market.symbol, row.ts_ms): row for row in world.funding_of(account)}
        step_ms = (8 if fills[0].market.venue == BINANCE else 1) * 3_600_000
        open_at = 0
        for symbol in sorted({f.market.symbol for f in fills if f.market.contract == "linear"}):
            for ts_ms in range(world.start_ms + step_ms, world.end_ms + 1, step_ms):
                before = [f for f in fills if f.market.symbol == symbol and f.ts_ms < ts_ms]
                position = sum((fill.moved for fill in before), Decimal(0))
                row = paid.get((symbol, ts_ms))
                assert (row is not None) == (position != 0)
                if row is not None:
                    assert row.position == position
                    assert row.amount * position * row.rate <= 0, (
                        "longs pay when the rate is above 0"
                    )
                    open_at += 1
        assert open_at == len(paid)


def test_the_venue_prints_realised_gains_that_agree_with_the_books(world: World) -> None:
    printed = sum((fill.closed_pnl for fill in world.fills_of(MAKER)), Decimal(0))
    (realised,) = [a.realised for (name, _), a in world.truth.accounts.items() if name == MAKER]
    n_fills = len(world.fills_of(MAKER))
    assert abs(printed - Decimal(realised) / GRID) < Decimal("0.0000005") * n_fills


def test_hyperliquid_rows_chain_by_start_position(world: World, tmp_path: Path) -> None:
    files = write_month(world, tmp_path)
    rows = json.loads(files[2].path.read_text())
    expected: dict[str, Decimal] = {}
    for row in rows:
        signed = Decimal(row["sz"]) if row["side"] == "B" else -Decimal(row["sz"])
        start = Decimal(row["startPosition"])
        assert start == expected.get(row["coin"], Decimal(0))
        assert (row["dir"] in ("Long > Short", "Short > Long")) == (start * (start + signed) < 0)
        expected[row["coin"]] = start + signed
    assert len(rows) == len(world.fills_of(MAKER))


def test_truth_of_a_book_follows_the_average_cost_rule() -> None:
    from fillbook.sim.truth import _trade

    book = BookTruth()
    for moved, px in (("3", "10"), ("-1", "11"), ("-1", "12"), ("-2", "13")):
        _trade(book, Decimal(moved), Decimal(px))
    assert (book.position, book.cost, book.realised) == (Decimal(-1), -13 * GRID, 6 * GRID)
