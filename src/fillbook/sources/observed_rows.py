"""Reads an open position from a mapping, in every spelling that platforms and bots use.

Text becomes Decimal through its digits, a binary float through its shortest text and is flagged.
What a position does not say is None; nothing is made up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec

from fillbook.ground.clock import parse_ns, to_ns
from fillbook.ground.exact import parse_decimal
from fillbook.sources.source import RowError

Row = Mapping[str, Any]
HeldSide = Literal["long", "short"]

_PRODUCT = ("product_id", "product", "instrument", "symbol")
_SIDE = ("side", "position_type", "direction")
_SIZE = ("contracts", "size", "units", "number_of_contracts", "quantity")
_ENTRY_PRICE = ("entry_price", "average_price")
_PRICE = ("current_price", "mark_price", "price")
_ENTRY_TIME = ("entry_time", "opened_at", "open_time", "created_at", "timestamp")
_ID_KEYS = ("id", "order_id", "decision_id", "trade_id", "value")
_LONG, _SHORT = frozenset({"LONG", "BUY", "BUYER"}), frozenset({"SHORT", "SELL", "SELLER"})
_FLAT = frozenset({"FLAT", "NONE", "NEUTRAL", "CLOSED"})
# Epoch numbers by size: seconds until the year 5138, then milliseconds, microseconds, nanoseconds.
_EPOCH_UNITS = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3))
_DEEPEST_ID = 8


class Place(msgspec.Struct, frozen=True, order=True):
    """Where a position stands: one product may be held long and short at once."""

    instrument: str
    side: HeldSide


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """One open position as a platform states it; `qty` > 0 and the side gives the direction."""

    place: Place
    qty: Decimal
    entry_px: Decimal | None = None
    px: Decimal | None = None
    entry_ns: int | None = None
    decision_id: str | None = None
    strategy: str | None = None
    from_floats: bool = False


class Unreadable(msgspec.Struct, frozen=True):
    """A position that could not be read; what it may speak of counts as still open.

    `instrument` None: not even that could be read.
    """

    instrument: str | None
    reason: str


class Positions(msgspec.Struct, frozen=True):
    """One snapshot: every position that is open, and those that could not be read."""

    held: dict[Place, Position]
    unreadable: tuple[Unreadable, ...] = ()


def read_positions(rows: Iterable[object]) -> Positions:
    """Read one snapshot; a bad row never hides the others."""
    held: dict[Place, Position] = {}
    unreadable = []
    for row in rows:
        if not isinstance(row, Mapping):
            unreadable.append(Unreadable(None, f"a position is a mapping, not {row!r}"))
            continue
        try:
            position = read_position(row)
        except RowError as fault:
            unreadable.append(Unreadable(normal_id(_first(row, _PRODUCT)), str(fault)))
            continue
        if position is None:
            continue
        if position.place in held:
            named = f"{position.place.instrument} {position.place.side}"
            unreadable.append(Unreadable(position.place.instrument, f"{named} is listed twice"))
            continue
        held[position.place] = position
    return Positions(held, tuple(unreadable))


def read_position(row: Row) -> Position | None:
    """Read one position; None when it says that nothing is held. RowError with the reason.

    >>> read_position({"symbol": "BTC-USD", "size": "-0.5", "price": 60000.5}).place.side
    'short'
    """
    instrument = normal_id(_first(row, _PRODUCT))
    if instrument is None:
        raise RowError("product_id", "the position names no product")
    signed = _number(row, _SIZE)
    if signed is None:
        raise RowError("size", "the position names no size")
    side = _side(row, signed)
    if not signed or side is None:
        return None
    entry_px, px = _price(row, _ENTRY_PRICE), _price(row, _PRICE)
    unrealized = _number(row, ("unrealized_pnl",))
    if px is None and unrealized is not None and entry_px is not None:
        px = _implied(entry_px, unrealized, abs(signed), side)
    used = (_first(row, names) for names in (_SIZE, _ENTRY_PRICE, _PRICE))
    return Position(
        place=Place(instrument, side),
        qty=abs(signed),
        entry_px=entry_px,
        px=px,
        entry_ns=_instant(_first(row, _ENTRY_TIME)),
        decision_id=normal_id(row.get("decision_id")),
        strategy=normal_id(row.get("strategy")),
        from_floats=any(isinstance(value, float) for value in used),
    )


def normal_id(value: object, depth: int = 0) -> str | None:
    """Bring an id given as text, number, sequence or nested mapping to one text, or None.

    >>> normal_id(" d-7 "), normal_id(7), normal_id(["", ("d-7",)]), normal_id({"x": {"id": 7}})
    ('d-7', '7', 'd-7', '7')
    """
    if depth > _DEEPEST_ID or value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, int | Decimal):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else None
    parts: Iterable[object] = ()
    if isinstance(value, Mapping):
        parts = [*(value[key] for key in _ID_KEYS if key in value), *value.values()]
    elif isinstance(value, list | tuple):
        parts = value
    return next((name for part in parts if (name := normal_id(part, depth + 1))), None)


def _first(row: Row, names: Iterable[str]) -> object:
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)


def _number(row: Row, names: Iterable[str]) -> Decimal | None:
    value = _first(row, names)
    if value is None:
        return None
    field = next(name for name in names if row.get(name) is value)
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise RowError(field, f"{field} is {value!r}, not a number")
    try:
        return parse_decimal(repr(value) if isinstance(value, float) else str(value))
    except ValueError as fault:
        raise RowError(field, f"{field}: {fault}") from fault


def _price(row: Row, names: Iterable[str]) -> Decimal | None:
    # Platforms print 0 where they do not know a price.
    value = _number(row, names)
    return value if value is not None and value > 0 else None


def _side(row: Row, signed: Decimal) -> HeldSide | None:
    told = normal_id(_first(row, _SIDE))
    if told is None:
        return "short" if signed < 0 else "long"
    word = told.upper().replace("-", "_").rsplit("_", 1)[-1]
    if word in _LONG:
        return "long"
    if word in _SHORT:
        return "short"
    if word in _FLAT:
        return None
    if word in ("BOTH", "NET"):
        return "short" if signed < 0 else "long"
    raise RowError("side", f"{told!r} is neither long nor short")


def _implied(
    entry_px: Decimal, unrealized: Decimal, qty: Decimal, side: HeldSide
) -> Decimal | None:
    """Return the price behind an unrealised result, where no price is given."""
    move = (unrealized / qty).quantize(Decimal("1e-8"))
    px = entry_px + (move if side == "long" else -move)
    return px if px > 0 else None


def _instant(value: object) -> int | None:
    """Read a time; None where it is not said, or names no zone and so could mean any."""
    if isinstance(value, datetime):
        return None if value.tzinfo is None else to_ns(value)
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float | Decimal):
        number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        if not number.is_finite():
            return None
        unit = next((unit for limit, unit in _EPOCH_UNITS if abs(number) < limit), 1)
        return int(number * unit)
    try:
        return parse_ns(str(value))
    except ValueError:
        return None
