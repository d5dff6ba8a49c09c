"""What Hyperliquid says an account holds: positions, spot balances, equity. Evidence, never PnL.

An answer about positions is cut into one text per position, so that an unchanged one need not be
written again; the instant of the answer is put before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from fillbook.facts.identity import key_of
from fillbook.facts.model import Report
from fillbook.ground.exact import EXACT, decimals_of
from fillbook.sources.hyperliquid.fills import MILLISECOND_NS, SPOT_NAMES, VENUE, instrument_of
from fillbook.sources.rows import Row, TimeForm
from fillbook.sources.source import Draft, RowError

_MILLISECONDS = TimeForm("unix_ms")
# Prices of perpetuals have six decimals less those of the size, so a value has six at most.
_VALUE_DECIMALS = 6


class _Margin(msgspec.Struct, rename="camel"):
    account_value: str


class _AssetPosition(msgspec.Struct):
    position: msgspec.Raw


class PerpState(msgspec.Struct, rename="camel"):
    """An answer to clearinghouseState: one dex of the account."""

    asset_positions: list[_AssetPosition]
    margin_summary: _Margin
    time: int


class _Balance(msgspec.Struct):
    coin: str
    total: str


class SpotState(msgspec.Struct, rename="camel"):
    """An answer to spotClearinghouseState: every coin of the account."""

    balances: list[_Balance]
    portfolio_margin_enabled: bool = False


def position_text(state: PerpState, position: msgspec.Raw) -> str:
    """Return the text of one position, with the instant of its answer before it."""
    return f'{{"time":{state.time},"position":{bytes(position).decode()}}}'


def holding_text(at_ms: int, instrument: str, total: str) -> str:
    """Return the text of one spot holding, named as the market it is traded in."""
    holding = {"instrument": instrument, "total": total}
    return msgspec.json.encode({"time": at_ms, "holding": holding}).decode()


def equity_text(at_ms: int, parts: Sequence[tuple[str, str, str]]) -> str:
    """Return the text of an account's worth in one currency, part by part.

    A part is (wallet, asset, amount): "" is the first dex, "spot" the spot wallet.
    """
    told = [{"wallet": wallet, "asset": asset, "amount": text} for wallet, asset, text in parts]
    return msgspec.json.encode({"time": at_ms, "equity": told}).decode()


def draft_position(row: Row, account: str) -> Draft:
    """Turn the text of one position into a report: signed size, and the mark it is valued at."""
    position = row.part("position")
    coin, ts_ns = position.need("coin"), row.when("time", _MILLISECONDS)
    report = Report(
        venue=VENUE,
        account=account,
        ts_ns=ts_ns,
        printed_ns=MILLISECOND_NS,
        what="position",
        instrument=SPOT_NAMES.get(coin, coin),
        qty=position.amount("szi"),
        px=_mark_of(position),
    )
    # A builder's dex settles in a currency of its own, which this row does not tell.
    described = None if ":" in coin else instrument_of(account, coin)
    return Draft(report, key_of(ts_ns, row.need("time"), "position", coin), instrument=described)


def draft_holding(row: Row, account: str) -> Draft:
    """Turn the text of one spot holding into a report of a position."""
    holding = row.part("holding")
    instrument, ts_ns = holding.need("instrument"), row.when("time", _MILLISECONDS)
    report = Report(
        venue=VENUE,
        account=account,
        ts_ns=ts_ns,
        printed_ns=MILLISECOND_NS,
        what="position",
        instrument=instrument,
        qty=holding.amount("total"),
    )
    return Draft(report, key_of(ts_ns, row.need("time"), "position", instrument))


def draft_equity(row: Row, account: str) -> Draft:
    """Turn the text of an account's worth into one report: the sum of its parts."""
    told = row.cells.get("equity")
    if not isinstance(told, list) or not told or not all(isinstance(each, dict) for each in told):
        raise RowError("equity", "is missing")
    parts = [Row(each) for each in told]
    asset, ts_ns = parts[0].need("asset"), row.when("time", _MILLISECONDS)
    report = Report(
        venue=VENUE,
        account=account,
        ts_ns=ts_ns,
        printed_ns=MILLISECOND_NS,
        what="equity",
        amount=sum((part.amount("amount") for part in parts), Decimal(0)),
        asset=asset,
    )
    return Draft(report, key_of(ts_ns, row.need("time"), "equity", asset))


def _mark_of(position: Row) -> Decimal | None:
    """Return the mark price that a position's value was worked out with, where it is exact.

    The venue prints value = |size| x mark price; a quotient that does not give the value back
    is no price.
    """
    size, value = position.amount("szi"), position.number("positionValue")
    if not size or not value:
        return None
    return exact_quotient(value, abs(size))


def exact_quotient(value: Decimal, size: Decimal) -> Decimal | None:
    """Return value : size if that is a number of a few decimals, else None.

    >>> exact_quotient(Decimal("463.9594"), Decimal("3.34"))
    Decimal('138.91')
    >>> exact_quotient(Decimal(1), Decimal(3)) is None
    True
    """
    whole, rest = divmod(value.scaleb(_VALUE_DECIMALS, EXACT), size)
    return None if rest else _shortened(whole.scaleb(-_VALUE_DECIMALS, EXACT))


def _shortened(number: Decimal) -> Decimal:
    return number.quantize(Decimal(1).scaleb(-decimals_of(number)))
