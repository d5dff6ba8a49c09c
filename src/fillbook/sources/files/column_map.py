"""Column maps: how a person tells the generic reader what the columns of a file mean."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

import msgspec

from fillbook.facts.model import ContractKind
from fillbook.ground.errors import ConfigError

MapKind = Literal["fills", "round_trips", "funding", "decisions", "marks", "orders", "transfers"]

# Columns that every kind may have: whose row it is and what contract it speaks of.
_WHOSE = ("account", "venue")
_CONTRACT = ("contract", "base", "quote", "settle", "multiplier")

REQUIRED: dict[MapKind, tuple[str, ...]] = {
    "fills": ("time", "instrument", "side", "px", "qty"),
    "round_trips": (
        *("instrument", "side", "qty", "entry_time", "entry_px", "exit_time", "exit_px"),
    ),
    "funding": ("time", "instrument", "amount"),
    "decisions": ("time", "instrument", "action", "decision_id"),
    "marks": ("time", "instrument", "px", "what"),
    "orders": ("time", "instrument", "status"),
    "transfers": ("time", "asset", "amount"),
}
OPTIONAL: dict[MapKind, tuple[str, ...]] = {
    "fills": (
        *("fee", "fee_asset", "fee_rate", "fill_id", "order_id", "client_order_id"),
        *("liquidity", "position_side", "strategy", "decision_id", "venue_seq"),
        *("start_position", "venue_pnl", "venue_pnl_basis", "exit_reason"),
        *("decision_px", "arrival_px", "mid_px", *_WHOSE, *_CONTRACT),
    ),
    "round_trips": (
        *("trade_id", "fee", "entry_fee", "exit_fee", "fee_asset", "fee_rate", "pnl"),
        *("strategy", "exit_reason", *_WHOSE, *_CONTRACT),
    ),
    "funding": (
        *("asset", "funding_id", "rate", "position_qty", "position_side", "strategy"),
        *(*_WHOSE, *_CONTRACT),
    ),
    "decisions": (
        *("decision_px", "arrival_px", "mid_px", "qty", "confidence", "strategy"),
        *("fill_id", "order_id", "client_order_id", "reason", *_WHOSE),
    ),
    "marks": ("venue",),
    "orders": (
        *("side", "order_id", "client_order_id", "order_type", "qty", "px", "stop_px"),
        *("filled_qty", "average_px", "expected_px", "reduce_only", "strategy"),
        *("decision_id", "trade_id", "reason", *_WHOSE),
    ),
    "transfers": ("transfer_id", "what", *_WHOSE),
}
# A file may lack these: the time then comes from `--start`, the mark's kind is "mark".
_TIMES = {"time", "entry_time", "exit_time"}
_MAY_BE_UNMAPPED = _TIMES | {"what", "decision_id"}


class ColumnMap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[import.map]]` of fillbook.toml.

    `columns` maps a field to the file's column, `constants` a field to one value for all rows,
    `sides` the file's words to buy and sell. `time_format` is a strptime pattern or unix_s,
    unix_ms, unix_us, unix_ns; without it times are ISO 8601. `coverage` "account" promises that
    such a file holds every row of the account between its first and last.

    >>> ColumnMap(name="desk", kind="fills", columns={"time": "t", "instrument": "s",
    ...     "side": "d", "px": "p", "qty": "q"}).contract
    'linear'
    """

    name: str
    kind: MapKind
    columns: dict[str, str]
    constants: dict[str, str] = {}
    sides: dict[str, Literal["buy", "sell"]] = {}
    venue: str | None = None
    account: str | None = None
    tz: str | None = None
    time_format: str | None = None
    contract: ContractKind = "linear"
    base: str | None = None
    quote: str | None = None
    settle: str | None = None
    multiplier: Decimal = Decimal(1)
    coverage: Literal["account", "instrument"] = "instrument"
    from_floats: bool = False

    def __post_init__(self) -> None:
        known = (*REQUIRED[self.kind], *OPTIONAL[self.kind])
        for field in (*self.columns, *self.constants):
            if field not in known:
                near = difflib.get_close_matches(field, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
                raise ValueError(f"{self.kind} have no field {field!r}; {hint}")
        given = {*self.columns, *self.constants, *_MAY_BE_UNMAPPED}
        missing = [field for field in REQUIRED[self.kind] if field not in given]
        if missing:
            raise ValueError(f"{self.kind} need columns for {', '.join(missing)}")
        if self.multiplier <= 0:
            raise ValueError("multiplier must be above zero")

    @property
    def timeless(self) -> bool:
        """Say whether the rows name no time, so that `--start` must."""
        return not _TIMES & {*self.columns, *self.constants}


def own_columns(kind: MapKind) -> dict[str, str]:
    """Return the map of a file whose headers are already our field names."""
    return {field: field for field in (*REQUIRED[kind], *OPTIONAL[kind])}


def column_maps(
    tables: Sequence[Mapping[str, Any]], reserved: Sequence[str] = ()
) -> tuple[ColumnMap, ...]:
    """Check the `[[import.map]]` tables of a configuration; ConfigError names the map and key.

    `reserved` are names of built-in formats, which a map may not take.
    """
    maps: list[ColumnMap] = []
    for place, table in enumerate(tables, start=1):
        where = f"[[import.map]] {table.get('name', place)}"
        try:
            read = msgspec.convert(dict(table), ColumnMap)
        except (msgspec.ValidationError, ValueError) as fault:
            raise ConfigError(
                f"this column map cannot be used: {fault}", where, "see docs/readers/generic.md"
            ) from fault
        if read.name in reserved or any(read.name == other.name for other in maps):
            raise ConfigError(f"the name {read.name!r} is taken", where, "choose another name")
        maps.append(read)
    return tuple(maps)
