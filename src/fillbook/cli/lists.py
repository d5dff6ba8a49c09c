"""Lists on screen: which columns a list has, which are dropped first, and how each looks.

A list is described by its fields; the rows come from `analysis/answers.py` as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from fillbook.analysis.answers import CostRow, FillRow, PositionRow, TradeRow
from fillbook.cli.figures import (
    UNKNOWN,
    average,
    clean,
    decimals_for,
    duration,
    grouped,
    moment,
    money,
    number,
    percent,
    plural,
    shortened,
)
from fillbook.cli.page import Page
from fillbook.cli.tables import Cell, Column, Tone, tone_of

# Words that are themselves a result.
_TONES: dict[Any, Tone] = {"win": "gain", "loss": "loss"}
Kind = Literal[
    "text", "id", "time", "exact", "average", "gain", "cost", "count", "hours", "ratio", "bps"
]
Label = Callable[[str], str]


class Field(msgspec.Struct, frozen=True):
    """One column of a list: the row's attribute, its title, how it looks, when it goes.

    `currency` names the attribute that holds the currency of a money column.
    """

    name: str
    title: str
    kind: Kind = "text"
    rank: int = 0
    currency: str = "currency"


FILLS = (
    Field("ts", "time (UTC)", "time"),
    Field("account", "account", "id", 5),
    Field("instrument", "instrument"),
    Field("side", "side"),
    Field("qty", "qty", "exact"),
    Field("px", "price", "exact"),
    Field("fee", "fee", "cost", 2, "fee_asset"),
    Field("fee_asset", "in", "text", 3),
    Field("liquidity", "liq.", "text", 6),
    Field("realized", "realized", "gain", 0),
    Field("currency", "ccy", "text", 1),
    Field("position_after", "position", "exact", 4),
    Field("strategy", "strategy", "text", 7),
    Field("fill_id", "fill", "id", 8),
)

TRADES = (
    Field("entry_time", "opened (UTC)", "time"),
    Field("account", "account", "id", 7),
    Field("product_id", "instrument"),
    Field("side", "side"),
    Field("position_size", "size", "exact", 2),
    Field("entry_price", "entry", "average", 3),
    Field("exit_price", "exit", "average", 4),
    Field("holding_duration_hours", "held", "hours", 5),
    Field("realized_pnl", "gross", "gain", 6),
    Field("fees", "fees", "cost", 6),
    Field("funding", "funding", "gain", 6),
    Field("net", "net", "gain"),
    Field("currency", "ccy", "text", 1),
    Field("outcome", "outcome", "text", 1),
    Field("mfe", "best", "gain", 8),
    Field("mae", "worst", "gain", 8),
    Field("strategy", "strategy", "text", 7),
    Field("exit_cause", "ended by", "text", 9),
    Field("fills", "fills", "count", 10),
)

POSITIONS = (
    Field("account", "account", "id", 4),
    Field("instrument", "instrument"),
    Field("position_side", "side", "text", 6),
    Field("strategy", "strategy", "text", 2),
    Field("qty", "qty", "exact"),
    Field("qty_unpriced", "unpriced", "exact", 5),
    Field("entry_price", "entry", "average", 1),
    Field("mark", "mark", "exact", 1),
    Field("mark_time", "marked (UTC)", "time", 7),
    Field("notional", "notional", "cost", 3),
    Field("unrealized", "unrealized", "gain"),
    Field("currency", "ccy", "text", 1),
    Field("opened", "opened (UTC)", "time", 6),
)

COSTS = (
    Field("part", "part", "text", 0),
    Field("asset", "asset"),
    Field("fees", "fees", "cost", 0, "asset"),
    Field("fees_maker", "maker", "cost", 4, "asset"),
    Field("fees_taker", "taker", "cost", 4, "asset"),
    Field("fees_unknown_liquidity", "unknown", "cost", 6, "asset"),
    Field("rebates", "rebates", "gain", 5, "asset"),
    Field("funding_received", "funding in", "gain", 2, "asset"),
    Field("funding_paid", "funding out", "cost", 2, "asset"),
    Field("net_funding", "net funding", "gain", 1, "asset"),
    Field("charges", "charges", "cost", 3, "asset"),
    Field("total_costs", "total costs", "cost", 0, "asset"),
    Field("volume", "volume", "cost", 3, "asset"),
    Field("fee_bps", "fee bps", "bps", 1),
    Field("maker_ratio", "maker share", "ratio", 5),
    Field("n_fills", "fills", "count", 6),
)

FIELDS: dict[type, tuple[Field, ...]] = {
    FillRow: FILLS,
    TradeRow: TRADES,
    PositionRow: POSITIONS,
    CostRow: COSTS,
}


def show_list(
    page: Page, kind: type, rows: Sequence[Any], label: Label, noun: str, note: str
) -> None:
    """Write a list as a table, then what it counts, its units and what did not fit."""
    if not rows:
        page.line(f"No {noun} in this window.")
        return
    hidden = page.table(columns_of(FIELDS[kind], rows, label))
    page.gap()
    accounts = {row.account for row in rows if hasattr(row, "account")}
    where = f" of account {label(next(iter(accounts)))}" if len(accounts) == 1 else ""
    page.line(f"{plural(len(rows), noun)}{where}; {note}. {_definition(rows)}".rstrip(), "quiet")
    if hidden:
        page.line(f"Not shown at this width: {', '.join(hidden)} (--csv has all).", "quiet")


def _definition(rows: Sequence[Any]) -> str:
    told = sorted({row.definition for row in rows if hasattr(row, "definition")})
    approximate = sum(1 for row in rows if getattr(row, "approximate", False))
    parts = [f"Trade: {', '.join(told)}."] if told else []
    if approximate:
        parts.append(f"{approximate:,} approximate.")
    return " ".join(parts)


def columns_of(fields: Sequence[Field], rows: Sequence[Any], label: Label) -> list[Column]:
    """Turn rows into columns; columns that say nothing in any row are left out."""
    columns = []
    for field in fields:
        values = [getattr(row, field.name) for row in rows]
        silent = all(value in (None, "", "-", "0") for value in values)
        if silent and (field.rank or field.name == "part"):
            continue
        if field.name == "account":
            if len(set(values)) == 1:
                continue
            values = [label(value) for value in values]
        columns.append(_column(field, values, rows))
    return columns


def _column(field: Field, values: Sequence[Any], rows: Sequence[Any]) -> Column:
    right = field.kind in ("count", "hours", "ratio", "bps")
    point = field.kind in ("exact", "average", "gain", "cost")
    if field.kind in ("gain", "cost"):
        cells = _money_cells(field, values, rows)
    else:
        cells = [Cell(_text(field.kind, value), _TONES.get(value, "")) for value in values]
    return Column(title=field.title, cells=cells, rank=field.rank, right=right, point=point)


def _money_cells(field: Field, values: Sequence[Any], rows: Sequence[Any]) -> list[Cell]:
    currencies = [str(getattr(row, field.currency) or "") for row in rows]
    decimals = {
        currency: decimals_for(
            currency, [v for v, c in zip(values, currencies, strict=True) if c == currency]
        )
        for currency in set(currencies)
    }
    gain = field.kind == "gain"
    return [
        Cell(money(value, decimals[currency], plus=gain), tone_of(value) if gain else "")
        for value, currency in zip(values, currencies, strict=True)
    ]


def _text(kind: Kind, value: Any) -> str:
    if value is None or value == "":
        return UNKNOWN
    writers: dict[str, Callable[[Any], str]] = {
        "id": shortened,
        "time": moment,
        "exact": grouped,
        "average": average,
        "count": lambda count: f"{count:,}",
        "hours": duration,
        "ratio": percent,
        "bps": lambda bps: number(bps, 2),
    }
    return writers.get(kind, clean)(value)
