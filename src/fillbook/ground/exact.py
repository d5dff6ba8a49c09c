"""Exact numbers: decimal text in, scaled integers inside, decimal text out; never a float.

Money lives on one grid of 1e-18 in every currency (`MONEY_SCALE`). This module and
`ledger/wide.py` are the only places that divide money.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Context, Decimal, Inexact
from functools import reduce
from itertools import repeat

MONEY_SCALE = 18
MONEY_ONE = 10**MONEY_SCALE
INT64_MAX = 2**63 - 1
INT128_MAX = 2**127 - 1

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")
# Traps inexactness: a conversion that would round raises instead of losing a digit.
EXACT = Context(prec=120, traps=[Inexact])
_ZERO = Decimal(0)


def parse_decimal(text: str) -> Decimal:
    """Read decimal text, plain or with an exponent; raise ValueError for anything else.

    NaN, infinities, underscores, thousands separators and blanks are refused.

    >>> parse_decimal("5.53e-7")
    Decimal('5.53E-7')
    >>> parse_decimal("1,000")
    Traceback (most recent call last):
    ...
    ValueError: '1,000' is not a decimal number
    """
    stripped = text.strip()
    if not _NUMBER.fullmatch(stripped):
        raise ValueError(f"{text!r} is not a decimal number")
    return Decimal(stripped)


def plain_text(number: Decimal) -> str:
    """Write a Decimal canonically: no exponent, no trailing zeros, no negative zero.

    >>> [plain_text(Decimal(t)) for t in ("1.500", "5.53E-7", "-0.0", "1E+3")]
    ['1.5', '0.000000553', '0', '1000']
    """
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def decimals_of(number: Decimal) -> int:
    """Count the decimals of a number; trailing zeros do not count.

    >>> [decimals_of(Decimal(t)) for t in ("1.500", "12", "1E+3", "5.53E-7")]
    [1, 0, 0, 9]
    """
    if not number:
        return 0
    text = str(number)
    if "E" not in text:
        return len(text.partition(".")[2].rstrip("0"))
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    trailing = len(digits) - len("".join(map(str, digits)).rstrip("0"))
    return max(0, -exponent - trailing)


def most_decimals(numbers: Sequence[Decimal]) -> int:
    """Return the most decimals that any of these numbers has; 0 for none.

    >>> most_decimals([Decimal("1.500"), Decimal("5E-7"), Decimal("1E+3")])
    7
    """
    try:
        # A sum is as fine as its finest part, and adding is several times faster than looking.
        together = reduce(EXACT.add, map(EXACT.normalize, numbers), _ZERO)
    except Inexact:
        return max(map(decimals_of, numbers))
    exponent = together.as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


def to_scaled(number: Decimal, scale: int) -> int:
    """Return number x 10**scale as an int; raise ValueError when that is not whole.

    >>> to_scaled(Decimal("1.25"), 3)
    1250
    """
    scaled = number.scaleb(scale, EXACT)
    whole = int(scaled)
    if whole != scaled:
        raise ValueError(f"{number} has more than {scale} decimals")
    return whole


def all_scaled(numbers: Sequence[Decimal], scale: int) -> list[int]:
    """Return every number x 10**scale, as `to_scaled` does, several times faster.

    >>> all_scaled([Decimal("1.25"), Decimal("-3")], 2)
    [125, -300]
    """
    scaled = list(map(EXACT.scaleb, numbers, repeat(scale)))
    whole = list(map(int, scaled))
    if whole != scaled:
        raise ValueError(f"a number has more than {scale} decimals")
    return whole


def from_scaled(whole: int, scale: int) -> Decimal:
    """Return whole / 10**scale as a Decimal, exactly.

    >>> from_scaled(1250, 3)
    Decimal('1.250')
    """
    return Decimal(whole).scaleb(-scale, EXACT)


def divide_half_even(dividend: int, divisor: int) -> int:
    """Divide integers, rounding half to even; the divisor is positive.

    >>> [divide_half_even(n, 2) for n in (1, 3, -1, -3)]
    [0, 2, 0, -2]
    """
    quotient, remainder = divmod(dividend, divisor)
    twice = 2 * remainder
    if twice > divisor or (twice == divisor and quotient & 1):
        quotient += 1
    return quotient


def to_money(number: Decimal) -> int:
    """Put an amount on the money grid; more than 18 decimals round half to even, once.

    >>> to_money(Decimal("0.0000000000000000015"))
    2
    """
    excess = decimals_of(number) - MONEY_SCALE
    if excess <= 0:
        return to_scaled(number, MONEY_SCALE)
    return divide_half_even(to_scaled(number, MONEY_SCALE + excess), 10**excess)


def all_money(numbers: Sequence[Decimal]) -> list[int]:
    """Put every amount on the money grid, as `to_money` does, several times faster.

    >>> all_money([Decimal(2), Decimal("0.0000000000000000015")]) == [2 * MONEY_ONE, 2]
    True
    """
    if most_decimals(numbers) <= MONEY_SCALE:
        return all_scaled(numbers, MONEY_SCALE)
    return list(map(to_money, numbers))


def money_text(amount: int) -> str:
    """Write a grid amount as canonical decimal text.

    >>> money_text(-1_500_000_000_000_000_000)
    '-1.5'
    """
    sign = "-" if amount < 0 else ""
    whole, fraction = divmod(abs(amount), MONEY_ONE)
    if not fraction:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{fraction:018d}".rstrip("0")


def scaled_text(whole: int, scale: int) -> str:
    """Write a scaled integer as canonical decimal text.

    >>> scaled_text(-1250, 3)
    '-1.25'
    """
    return plain_text(from_scaled(whole, scale))
