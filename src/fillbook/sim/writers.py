"""Writes a simulated month the way venues and bots write theirs: API JSON, and plain CSV.

Byte for byte the same for the same world: fixed key order, `\\n` line ends, decimals as text.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from fillbook.ground.clock import iso
from fillbook.ground.exact import plain_text
from fillbook.sim.executions import SimDecision, SimFill, SimFunding
from fillbook.sim.world import HARVESTER, LABELS, MAKER, TREND, SimMark, World

_FILL_COLUMNS = (
    *("time", "venue", "account", "instrument", "contract", "side", "px", "qty", "fee"),
    *("fee_asset", "fill_id", "order_id", "liquidity", "strategy"),
)
_FUNDING_COLUMNS = (
    *("time", "venue", "account", "instrument", "amount", "asset", "rate", "position_qty"),
)
_DECISION_COLUMNS = (
    *("time", "venue", "account", "instrument", "decision_id", "order_id", "strategy", "action"),
    *("qty", "decision_px", "arrival_px", "mid_px"),
)
_MARK_COLUMNS = ("time", "venue", "instrument", "px", "what")
_NO_HASH = "0x" + "0" * 64


class MonthFile(msgspec.Struct, frozen=True):
    """One file of the month; `account` where the file itself does not name it, else None."""

    path: Path
    account: str | None


def write_month(world: World, folder: Path) -> list[MonthFile]:
    """Write the month into `folder` and return its files in the order to import them.

    Existing files of the same names are overwritten.
    """
    texts: list[tuple[str, str | None, str]] = [
        ("trend-bot/fills.csv", None, fills_csv(world.fills_of(TREND))),
        ("trend-bot/funding.csv", None, funding_csv(world.funding_of(TREND))),
    ]
    for account in (MAKER, HARVESTER):
        name = LABELS[account]
        fills, funding = world.fills_of(account), world.funding_of(account)
        texts.append((f"{name}/userFills.json", account, user_fills_json(fills)))
        texts.append((f"{name}/userFunding.json", account, user_funding_json(funding)))
    texts.append(("decisions.csv", None, decisions_csv(world.decisions)))
    texts.append(("marks.csv", None, marks_csv(world.marks)))
    written: list[MonthFile] = []
    for name, owner, text in texts:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        written.append(MonthFile(path, owner))
    return written


def fills_csv(fills: Iterable[SimFill]) -> str:
    """Return executions as CSV under the generic reader's own column names."""
    return _csv(
        _FILL_COLUMNS,
        (
            (
                _time(fill.ts_ms),
                fill.market.venue,
                fill.account,
                fill.market.symbol,
                fill.market.contract,
                fill.side,
                plain_text(fill.px),
                plain_text(fill.qty),
                plain_text(fill.fee),
                fill.fee_asset,
                str(fill.fill_id),
                str(fill.order_id),
                fill.liquidity,
                fill.strategy,
            )
            for fill in fills
        ),
    )


def funding_csv(payments: Iterable[SimFunding]) -> str:
    """Return funding payments as CSV, positive = received."""
    return _csv(
        _FUNDING_COLUMNS,
        (
            (
                _time(payment.ts_ms),
                payment.market.venue,
                payment.account,
                payment.market.symbol,
                plain_text(payment.amount),
                payment.market.quote,
                plain_text(payment.rate),
                plain_text(payment.position),
            )
            for payment in payments
        ),
    )


def decisions_csv(decisions: Iterable[SimDecision]) -> str:
    """Return logged decisions as CSV, with the three prices each saw."""
    return _csv(
        _DECISION_COLUMNS,
        (
            (
                _time(decision.ts_ms),
                decision.market.venue,
                decision.account,
                decision.market.symbol,
                decision.decision_id,
                str(decision.order_id),
                decision.strategy,
                decision.action,
                plain_text(decision.qty),
                plain_text(decision.decision_px),
                plain_text(decision.arrival_px),
                plain_text(decision.mid_px),
            )
            for decision in decisions
        ),
    )


def marks_csv(marks: Iterable[SimMark]) -> str:
    """Return marks and conversion rates as CSV."""
    return _csv(
        _MARK_COLUMNS,
        (
            (_time(mark.ts_ms), mark.venue, mark.symbol, plain_text(mark.px), mark.what)
            for mark in marks
        ),
    )


def user_fills_json(fills: Sequence[SimFill]) -> str:
    """Return executions as Hyperliquid's userFillsByTime answers them."""
    return _json(
        {
            "coin": fill.market.symbol,
            "px": plain_text(fill.px),
            "sz": plain_text(fill.qty),
            "side": "B" if fill.side == "buy" else "A",
            "time": fill.ts_ms,
            "startPosition": plain_text(fill.start_position),
            "dir": direction_of(fill),
            "closedPnl": plain_text(fill.closed_pnl),
            "hash": "0x" + hashlib.sha256(f"{fill.account}:{fill.order_id}".encode()).hexdigest(),
            "oid": fill.order_id,
            "crossed": fill.liquidity == "taker",
            "fee": plain_text(fill.fee),
            "tid": fill.fill_id,
            "feeToken": fill.fee_asset,
            "twapId": None,
        }
        for fill in fills
    )


def user_funding_json(payments: Sequence[SimFunding]) -> str:
    """Return funding payments as Hyperliquid's userFunding answers them."""
    return _json(
        {
            "time": payment.ts_ms,
            "hash": _NO_HASH,
            "delta": {
                "type": "funding",
                "coin": payment.market.symbol,
                "usdc": plain_text(payment.amount),
                "szi": plain_text(payment.position),
                "fundingRate": plain_text(payment.rate),
                "nSamples": None,
            },
        }
        for payment in payments
    )


def direction_of(fill: SimFill) -> str:
    """Return what an execution did to its position, in Hyperliquid's words."""
    """Return what an execution did to its position, in Hyperliquid's words."""
    if fill.market.contract == "spot":
        return "Buy" if fill.side == "buy" else "Sell"
    before, after = fill.start_position, fill.start_position + fill.moved
    if before * after < 0:
        return "Long > Short" if before > 0 else "Short > Long"
    opens = abs(after) > abs(before)
    long = (after if opens else before) > 0
    return f"{'Open' if opens else 'Close'} {'Long' if long else 'Short'}"


def _csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def _json(rows: Iterable[dict[str, object]]) -> str:
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    return f"[\n{lines}\n]\n"


def _time(ts_ms: int) -> str:
    return iso(ts_ms * 1_000_000)
