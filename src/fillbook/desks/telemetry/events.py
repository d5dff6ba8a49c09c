"""Reads a bot's own events, however it spells them: dicts, objects, snake_case, camelCase.

Names are compared without case and underscores, so `reduce_only`, `reduceOnly` and `REDUCE_ONLY`
are one. Times without a zone are read in the zone the desk was given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Any

import msgspec

from fillbook.facts.model import Side
from fillbook.ground.clock import parse_ns, to_ns
from fillbook.sources.rows import Row
from fillbook.sources.source import RowError

_ENVELOPE = ("payload", "body")
# Unix times by their size: seconds, milliseconds, microseconds, nanoseconds.
_UNIX_NS = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3))

KIND = ("event_type", "event", "type", "name")
TIME = ("timestamp", "time", "ts", "event_time")
SYMBOL = ("symbol", "instrument", "product_id", "market")
QTY = ("quantity", "qty", "filled_qty", "executed_qty", "size", "amount")
ACTUAL_PX = ("actual_price", "avg_price", "average_price", "fill_price", "price")
EXPECTED_PX = ("expected_price",)
REDUCE_ONLY = ("reduce_only", "close_position")
CLIENT_ID = ("client_order_id", "client_id", "orig_client_order_id")
ORDER_ID = ("order_id",)
TRADE_ID = ("trade_id", "position_id")
FEE = ("fee", "fees", "commission")
FEE_ASSET = ("fee_asset", "fee_currency", "commission_asset")
PNL = ("realized_pnl", "pnl", "rp")
REASON = ("reason", "exit_reason")


class BotEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event: its kind in plain lower case ("orderfilled"), its time, and its fields.

    `sequence` is the bot's own number of it, where it has one.
    """

    kind: str
    ts_ns: int
    row: Row
    sequence: str | None = None
    zone: tzinfo = UTC

    def text(self, names: tuple[str, ...]) -> str | None:
        """Return the first of some fields that says something."""
        return next((text for name in names if (text := self.row.text(_plain(name)))), None)

    def number(self, names: tuple[str, ...]) -> Decimal | None:
        """Return the first of some fields that holds a number."""
        for name in names:
            value = self.row.number(_plain(name))
            if value is not None:
                return value
        return None

    def positive(self, names: tuple[str, ...]) -> Decimal | None:
        """Return the first of some fields that holds a number above zero, as prices are."""
        value = self.number(names)
        return value if value is not None and value > 0 else None

    def need(self, names: tuple[str, ...]) -> str:
        """Return a text that must be there; RowError naming the field."""
        text = self.text(names)
        if text is None:
            raise RowError(names[0], "is missing")
        return text

    def need_positive(self, names: tuple[str, ...]) -> Decimal:
        """Return a number above zero that must be there; RowError naming the field."""
        value = self.positive(names)
        if value is None:
            raise RowError(names[0], "is missing or not above zero")
        return value

    def when(self, names: tuple[str, ...]) -> int | None:
        """Return a time of the event's fields, None where none is told."""
        for name in names:
            if self.row.text(_plain(name)):
                return moment_ns(self.row.cells[_plain(name)], self.zone)
        return None

    def side(self) -> Side | None:
        """Return buy or sell; a position's long and short are the sides that open it."""
        for name in ("side", "direction", "positionside"):
            if self.row.text(name):
                return self.row.trip_side(name)
        return None

    @property
    def reduces(self) -> bool:
        """Say whether the order may only reduce, in any spelling of it."""
        return any(self.row.flag(_plain(name)) for name in REDUCE_ONLY)


def read_event(event: object, kind: str | None, now_ns: int, zone: tzinfo) -> BotEvent:
    """Read one event, an object or a dict, with or without an envelope; RowError if it cannot be.

    `kind` beats what the event calls itself; an event without a time happened now.
    """
    outer = _fields(event)
    inner = next((_fields(outer[name]) for name in _ENVELOPE if outer.get(name) is not None), {})
    fields = {**{name: v for name, v in outer.items() if name not in _ENVELOPE}, **inner}
    said = kind or next((str(_value(outer[_plain(n)])) for n in KIND if _plain(n) in outer), "")
    told = next((fields[_plain(n)] for n in TIME if fields.get(_plain(n)) not in (None, "")), None)
    cells = {name: _cell(value) for name, value in fields.items()}
    sequence = cells.get("sequencenum") or cells.get("sequence")
    return BotEvent(
        kind=re.sub("[^a-z]", "", said.lower()),
        ts_ns=now_ns if told is None else moment_ns(told, zone),
        row=Row(cells),
        sequence=None if sequence is None else str(sequence),
        zone=zone,
    )


def moment_ns(told: object, zone: tzinfo) -> int:
    """Read a time as bots hold it: datetime, ISO 8601 text, or unix s, ms, us, ns.

    >>> moment_ns(1767225600, UTC) == moment_ns("2026-01-01T00:00:00", UTC)
    True
    """
    if isinstance(told, datetime):
        return to_ns(told if told.tzinfo else told.replace(tzinfo=zone))
    text = str(told).strip()
    if not re.fullmatch(r"\d+(\.\d+)?", text):
        try:
            return parse_ns(text, tz=zone)
        except ValueError as fault:
            raise RowError("timestamp", str(fault)) from fault
    number = Decimal(text)
    return int(number * next((unit for limit, unit in _UNIX_NS if number < limit), 1))


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _fields(event: object) -> dict[str, Any]:
    if isinstance(event, Mapping):
        pairs = dict(event)
    elif isinstance(event, msgspec.Struct):
        pairs = msgspec.structs.asdict(event)
    else:
        pairs = dict(getattr(event, "__dict__", {}))
    return {_plain(str(name)): value for name, value in pairs.items()}


def _value(value: object) -> object:
    """Return what an enum member stands for."""
    return getattr(value, "value", value)


def _cell(value: object) -> object:
    plain = _value(value)
    if plain is None or isinstance(plain, bool | int | str):
        return plain
    if isinstance(plain, float | Decimal):
        return str(plain)
    return plain.isoformat() if isinstance(plain, datetime) else None
