"""A CSV export imported before the same account is attached live: nothing counts twice.

The totals of both together are those of the live history alone, and the import is evidence.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import binance_desk
import coinbase_desk
import hyperliquid_desk
from fillbook.analysis.summary import load, why
from fillbook.analysis.view import Query
from fillbook.ground.clock import DAY_NS, iso
from fillbook.ground.settings import Settings
from fillbook.journal.store import Journal
from fillbook.marks.series import MarkStore
from fillbook.sim.cast import COINBASE_BOT
from fillbook.sim.executions import SimFill, SimFunding
from fillbook.sim.live import LiveWorld
from fillbook.sim.world import HARVESTER, TREND
from fillbook.sim.writers import direction_of
from fillbook.sources.files.importing import import_paths
from fillbook.sources.source import ReadOptions

MS = 1_000_000
Export = Callable[[LiveWorld, str], dict[str, str]]


def own_columns(world: LiveWorld, who: str) -> dict[str, str]:
    """Return the CSV that a bot or a person keeps, with the venue's ids."""
    fills = [
        {
            **whose(fill),
            "time": iso(fill.ts_ms * MS),
            "side": fill.side,
            "px": fill.px,
            "qty": fill.qty,
            "fee": fill.fee,
            "fee_asset": fill.fee_asset,
            "fill_id": fill.fill_id,
            "order_id": fill.order_id,
        }
        for fill in world.fills(who)
    ]
    payments = [
        {
            **whose(paid),
            "time": iso(paid.ts_ms * MS),
            "amount": paid.amount,
            "asset": paid.market.quote,
            "rate": paid.rate,
            "position_qty": paid.position,
        }
        for paid in world.funding(who)
    ]
    files = {"fills.csv": fills, "funding.csv": payments}
    return {name: table(rows) for name, rows in files.items() if rows}


def whose(event: SimFill | SimFunding) -> dict[str, Any]:
    market = event.market
    return {
        "venue": market.venue,
        "account": event.account,
        "instrument": market.symbol,
        "contract": market.contract,
        "base": market.coin,
        "quote": market.quote,
        "settle": market.quote,
        "multiplier": market.multiplier,
    }


def web_export(world: LiveWorld, who: str) -> dict[str, str]:
    """Return what Hyperliquid's own page exports: no ids, no address, whole seconds."""
    fills = [
        {
            "time": clock(fill.ts_ms),
            "coin": fill.market.symbol,
            "dir": direction_of(fill),
            "px": fill.px,
            "sz": fill.qty,
            "ntl": fill.px * fill.qty,
            "fee": fill.fee,
            "closedPnl": fill.closed_pnl - fill.fee,
        }
        for fill in world.fills(who)
    ]
    payments = [
        {
            "time": clock(paid.ts_ms),
            "coin": paid.market.symbol,
            "sz": abs(paid.position),
            "side": "Long" if paid.position > 0 else "Short",
            "payment": paid.amount,
            "rate": paid.rate,
        }
        for paid in world.funding(who)
    ]
    return {"trade_history.csv": table(fills), "funding_history.csv": table(payments)}


def clock(ts_ms: int) -> str:
    return datetime.fromtimestamp(ts_ms / 1000, UTC).strftime("%d/%m/%Y %H:%M:%S")


def table(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def totals(journal: Journal, until_ns: int) -> dict[str, tuple[Any, ...]]:
    answer = why(load(journal, None, Settings()), Query(until_ns=until_ns))
    told: dict[str, tuple[Any, ...]] = {
        name: (t.realized, t.fees, t.funding, t.net) for name, t in answer.currencies.items()
    }
    return {**told, "counts": (answer.n_fills, answer.n_trades)}


@pytest.mark.parametrize(
    ("desk_run", "who", "export"),
    [
        (hyperliquid_desk.desk_run, HARVESTER, web_export),
        (hyperliquid_desk.desk_run, HARVESTER, own_columns),
        (binance_desk.desk_run, TREND, own_columns),
        (coinbase_desk.desk_run, COINBASE_BOT, own_columns),
    ],
    ids=["hyperliquid-web", "hyperliquid", "binance", "coinbase"],
)
def test_an_export_imported_first_changes_no_total(
    tmp_path: Path, desk_run: Callable[..., None], who: str, export: Export
) -> None:
    async def body(desk: Any) -> None:
        until_ns = desk.world.now_ns + 1
        happened = len(desk.world.fills(who))
        paths = []
        for name, text in export(desk.world, who).items():
            paths.append(tmp_path / name)
            paths[-1].write_text(text)
        with MarkStore(tmp_path / "imported.marks") as marks:
            report = import_paths(desk.journal, marks, paths, ReadOptions(account=who, tz="UTC"))
        refused = [line for file in report.files for line in file.rejections]
        assert not refused, refused[:3]
        imported = [batch.batch_id for batch in desk.journal.batches() if batch.complete]
        assert len(imported) == len(paths)
        await desk.attach()
        await desk.pull()
        both = totals(desk.journal, until_ns)
        assert both["counts"][0] == happened > 20
        for batch_id in imported:
            desk.journal.retract(batch_id, "to see what is left", desk.clock.now_ns())
        assert totals(desk.journal, until_ns) == both

    desk_run(tmp_path, who, body, days_ns=2 * DAY_NS)
