"""Typed access to the cells of one row; what is wrong is a RowError naming the field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import tzinfo
from decimal import Decimal
from typing import TypeVar

import msgspec

from fillbook.facts.model import Side
from fillbook.ground.clock import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS, parse_ns
from fillbook.ground.exact import parse_decimal
from fillbook.sources.source import RowError

T = TypeVar("T")
UNIT_NS: dict[str, int] = {
    "unix_s": SECOND_NS,
    "unix_ms": 1_000_000,
    "unix_us": 1000,
    "unix_ns": 1,
}
# Wider numbers exist only in broken files; they must not reach arithmetic of fixed width.
_MOST_DIGITS = 60
_LATEST_NS = 2**63 - 1

_TRUE = {"true", "1", "yes", "y"}
_FALSE = {"false", "0", "no", "n", ""}
_SIDES: dict[str, Side] = {"buy": "buy", "b": "buy", "sell": "sell", "s": "sell"}
_TRIP_SIDES: dict[str, Side] = {"long": "buy", "buy": "buy", "short": "sell", "sell": "sell"}
_SECONDS = re.compile(r"\d\d:\d\d:\d\d(?:[.,](\d+))?")


class TimeForm(msgspec.Struct, frozen=True):
    """How a file writes time: ISO 8601 (None), a strptime pattern, or a unix unit.

    >>> TimeForm("unix_ms").ns("1683245884863")
    1683245884863000000
    """

    form: str | None = None
    tz: tzinfo | None = None

    def ns(self, text: str) -> int:
        """Return UTC nanoseconds; ValueError with the reason."""
        unit_ns = UNIT_NS.get(self.form or "")
        if unit_ns is None:
            at = parse_ns(text, self.tz, self.form)
        else:
            exact = parse_decimal(text) * unit_ns
            if exact != (at := int(exact)):
                raise ValueError(f"{text!r} is finer than a nanosecond")
        if not 0 <= at <= _LATEST_NS:
            raise ValueError(f"{text!r} lies outside 1970 to 2262")
        return at

    def printed_ns(self, text: str) -> int:
        """Return how coarse the print is: 1 s for 10:08:56, 1 ms for 10:08:56.001.

        >>> TimeForm().printed_ns("2026-01-01T10:08:56Z"), TimeForm("%d-%m-%Y %H:%M").printed_ns("")
        (1000000000, 60000000000)
        """
        if self.form in UNIT_NS:
            decimals = len(text.partition(".")[2].rstrip("0"))
            return max(1, UNIT_NS[self.form or ""] // int(10**decimals))
        if self.form is not None:
            steps = (("%f", 1000), ("%S", SECOND_NS), ("%M", MINUTE_NS), ("%H", HOUR_NS))
            return next((step for code, step in steps if code in self.form), DAY_NS)
        seconds = _SECONDS.search(text)
        if seconds is None:
            return MINUTE_NS if ":" in text else DAY_NS
        return int(SECOND_NS // 10 ** min(9, len(seconds[1] or "")))


class Row:
    """The cells of one row by name. Blank and null cells are None; text is stripped."""

    def __init__(self, cells: Mapping[str, object]) -> None:
        self.cells = cells

    def text(self, name: str) -> str | None:
        """Return a cell's text, or None when it is blank or absent."""
        value = self.cells.get(name)
        if value is None:
            return None
        text = (value if type(value) is str else self._plain(name, value)).strip()
        if text.isprintable():
            return text or None
        raise RowError(name, f"{text!r} holds control characters")

    def _plain(self, name: str, value: object) -> str:
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str | int):
            return str(value)
        raise RowError(name, f"holds a {type(value).__name__}, not a plain value")

    def need(self, name: str) -> str:
        """Return a cell's text; a blank one is an error."""
        text = self.text(name)
        if text is None:
            raise RowError(name, "is blank" if name in self.cells else "is missing")
        return text

    def part(self, name: str) -> Row:
        """Return the row inside a cell; RowError where there is none."""
        part = self.cells.get(name)
        if not isinstance(part, dict):
            raise RowError(name, "is missing")
        return Row(part)

    def number(self, name: str) -> Decimal | None:
        """Return a cell as Decimal, or None when blank."""
        text = self.text(name)
        return None if text is None else number_in(name, text)

    def amount(self, name: str) -> Decimal:
        """Return a cell as Decimal; a blank one is an error."""
        return number_in(name, self.need(name))

    def positive(self, name: str) -> Decimal:
        """Return a number above zero: prices and quantities, whose direction is the side's."""
        value = self.amount(name)
        if value <= 0:
            raise RowError(name, f"{value} is not above zero")
        return value

    def optional_positive(self, name: str) -> Decimal | None:
        """Return a number above zero, or None when blank."""
        return None if self.text(name) is None else self.positive(name)

    def when(self, name: str, form: TimeForm) -> int:
        """Return a cell's time in UTC nanoseconds."""
        text = self.need(name)
        try:
            return form.ns(text)
        except ValueError as fault:
            raise RowError(name, str(fault)) from fault

    def flag(self, name: str) -> bool:
        """Return a truth value written as True, true, 1, yes and their opposites."""
        text = (self.text(name) or "").lower()
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
        raise RowError(name, f"{text!r} is neither true nor false")

    def side(self, name: str) -> Side:
        """Return the direction of an execution: buy or sell."""
        return self.choice(name, _SIDES)

    def trip_side(self, name: str) -> Side:
        """Return the opening direction of a round trip: long or buy, short or sell."""
        return self.choice(name, _TRIP_SIDES)

    def choice(self, name: str, words: Mapping[str, T]) -> T:
        """Return what a word stands for, whatever its case."""
        text = self.need(name)
        found = words.get(text.lower())
        if found is None:
            raise RowError(name, f"{text!r} is none of {', '.join(words)}")
        return found


def number_in(name: str, text: str) -> Decimal:
    """Read decimal text of a named field; NaN, infinities and separators are refused."""
    try:
        value = parse_decimal(text)
    except ValueError as fault:
        hint = " (thousands separators are not read)" if re.fullmatch(r"[\d,.' ]+", text) else ""
        raise RowError(name, f"{text!r} is not a decimal number{hint}") from fault
    if len(text) > _MOST_DIGITS or abs(value.adjusted()) > _MOST_DIGITS:
        raise RowError(name, f"{text!r} has more than {_MOST_DIGITS} digits")
    return value
