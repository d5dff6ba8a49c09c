"""How one figure looks to a person: money, quantities, ratios, durations, times, identities.

Answers carry exact decimal text. Here, and nowhere else, it is rounded for reading; `--json`
keeps every digit. None is printed as n/a, never as 0.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal

from fillbook.ground.exact import plain_text

UNKNOWN = "n/a"

_WIDE = Context(prec=80)
# Currencies that people read with two decimals; every other asset shows its significant digits.
_CASH = frozenset({"AUD", "BUSD", "CAD", "CHF", "DAI", "EUR", "FDUSD", "GBP", "JPY", "TUSD"})
_MOST_DECIMALS = 8
_SIGNIFICANT = 6


def grouped(text: str) -> str:
    """Put thousands separators into decimal text.

    >>> grouped("-1234567.8900")
    '-1,234,567.8900'
    """
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    whole, point, fraction = digits.partition(".")
    return f"{sign}{int(whole or 0):,}{point}{fraction}"


def decimals_for(currency: str, amounts: Iterable[str | None]) -> int:
    """Choose how many decimals one column of money shows: two for cash, six digits for coins.

    Amounts that are small throughout get the decimals that make them visible.

    >>> decimals_for("USDC", ["1234.5", "-0.001"]), decimals_for("BTC", ["0.000144298"])
    (2, 8)
    """
    largest = max((abs(Decimal(a)) for a in amounts if a is not None), default=Decimal(0))
    cash = currency.startswith("USD") or currency in _CASH
    if not largest or (cash and largest >= 1):
        return 2
    wanted = (4 if cash else _SIGNIFICANT) - 1 - largest.adjusted()
    return min(max(wanted, 2), _MOST_DECIMALS)


def money(amount: str | None, decimals: int, *, plus: bool = False) -> str:
    """Round an amount for reading; `plus` writes the sign of a gain as well.

    What is not zero is never shown as zero: it keeps its first significant digit. A zero among
    coins is a plain 0.

    >>> money("1234.567", 2), money("12.3", 2, plus=True), money(None, 2), money("-0.0001", 2)
    ('1,234.57', '+12.30', 'n/a', '-0.0001')
    """
    if amount is None:
        return UNKNOWN
    exact = Decimal(amount)
    rounded = exact.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_EVEN, _WIDE)
    if exact and not rounded:
        rounded = exact.quantize(Decimal(1).scaleb(exact.adjusted()), ROUND_HALF_EVEN, _WIDE)
    if not rounded:
        return "0.00" if decimals == 2 else "0"
    text = grouped(format(rounded, "f"))
    return f"+{text}" if plus and rounded > 0 else text


def average(price: str) -> str:
    """Round an average price to eight significant digits; an exact one has no more.

    >>> average("66103.530973451327"), average("0.0000073112345678"), average("84123.5")
    ('66,103.531', '0.0000073112346', '84,123.5')
    """
    exact = Decimal(price)
    finest = exact.adjusted() - 7
    if exact and finest < 0:
        exact = exact.quantize(Decimal(1).scaleb(finest), ROUND_HALF_EVEN, _WIDE)
    return grouped(plain_text(exact))


def number(value: float | None, places: int = 2) -> str:
    """Write a statistic with a fixed number of places.

    >>> number(1234.5), number(None)
    ('1,234.50', 'n/a')
    """
    return UNKNOWN if value is None else f"{value:,.{places}f}"


def percent(ratio: float | None, places: int = 1) -> str:
    """Write a fraction as a percentage.

    >>> percent(0.6249), percent(None)
    ('62.5 %', 'n/a')
    """
    return UNKNOWN if ratio is None else f"{100 * ratio:,.{places}f} %"


def duration(hours: float | None) -> str:
    """Write a length of time with its two largest units.

    >>> [duration(h) for h in (0.0125, 1.5, 50.25, None)]
    ['45s', '1h 30m', '2d 2h', 'n/a']
    """
    if hours is None:
        return UNKNOWN
    seconds = round(hours * 3600)
    days, rest = divmod(seconds, 86_400)
    whole_hours, rest = divmod(rest, 3600)
    minutes, left = divmod(rest, 60)
    if days:
        return f"{days}d {whole_hours}h"
    if whole_hours:
        return f"{whole_hours}h {minutes:02d}m"
    return f"{minutes}m {left:02d}s" if minutes else f"{left}s"


def moment(text: str | None) -> str:
    """Write an ISO instant to the second, in UTC, without the letters.

    >>> moment("2025-04-03T10:08:56.123Z"), moment(None)
    ('2025-04-03 10:08:56', 'n/a')
    """
    return UNKNOWN if text is None else clean(text[:19].replace("T", " "))


def day(text: str | None) -> str:
    """Write the day of an ISO instant."""
    return UNKNOWN if text is None else clean(text[:10])


def shortened(identity: str | None, longest: int = 18) -> str:
    """Cut the middle out of a long address or id; never used on figures.

    >>> shortened("0x31ca8395cf837de08b24da3f660e77761dfb974b")
    '0x31ca8395…1dfb974b'
    """
    if identity is None:
        return UNKNOWN
    text = clean(identity)
    return text if len(text) <= longest else f"{text[:10]}…{text[-8:]}"


def clean(text: str) -> str:
    """Drop control characters: what a file says must not steer a terminal.

    >>> clean("BTC\\x1b[31m\\n")
    'BTC[31m'
    """
    return "".join(c for c in text if c == "\t" or unicodedata.category(c) not in ("Cc", "Cf"))


def plural(count: int, noun: str) -> str:
    """Count things in words.

    >>> plural(1, "fill"), plural(1200, "fill")
    ('1 fill', '1,200 fills')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
