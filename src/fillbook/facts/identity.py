"""The identity of a claim: one real event, one key, whoever reports it and however often.

A key starts with the UTC event day, so that the journal's index grows at its end, then names the
event by the venue's own id. Files without ids use a frozen tuple of printed values; identical
twins inside one file are told apart by `Claim.ordinal`. Keys never contain fee, PnL or anything
that a later export may restate.
"""

from __future__ import annotations

from decimal import Decimal

from fillbook.ground.clock import day_of
from fillbook.ground.exact import plain_text

Part = str | int | Decimal | None


def key_of(ts_ns: int, *parts: Part) -> str:
    """Build a key from the event time and the parts that identify the event.

    >>> from decimal import Decimal
    >>> key_of(1622740585053000000, "DOGE-USD", 11866, Decimal("8.600"))
    '2021-06-03|DOGE-USD|11866|8.6'
    """
    return "|".join((day_of(ts_ns), *(_text(part) for part in parts)))


def printed_key(printed: str, *parts: Part) -> str:
    """Build the key of an id-less row from its *printed* time.

    The derived instant depends on `--tz`; what the file prints does not.

    >>> printed_key("03/04/2025 10:08:56", "HYPE/USDC", "buy")
    '~03/04/2025 10:08:56|HYPE/USDC|buy'
    """
    return "|".join((f"~{printed.strip()}", *(_text(part) for part in parts)))


def with_ordinal(key: str, ordinal: int) -> str:
    """Tell apart identical twins inside one file: the first keeps the bare key."""
    return key if ordinal == 0 else f"{key}#{ordinal + 1}"


def _text(part: Part) -> str:
    if part is None:
        return ""
    if isinstance(part, Decimal):
        return plain_text(part)
    return str(part).replace("|", "¦")
