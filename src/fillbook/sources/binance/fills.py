"""Binance USD-M's userTrades: one execution a row; and what all its rows share.

Numbers are text, times milliseconds. `id` counts up per symbol, and both legs of a self-trade
have the same one, so a fill is (symbol, id, orderId). `commission` positive = paid, in an asset
of its own (BNB for many accounts). `realizedPnl` is gross of it. Why an order was sent, and its
client id, are told by its order row alone.
"""

from __future__ import annotations

import re
from functools import lru_cache

from fillbook.facts.identity import key_of
from fillbook.facts.model import Fill, Instrument, Liquidity, PositionSide, Side
from fillbook.sources.rows import Row, TimeForm
from fillbook.sources.source import Draft, RowError

VENUE = "binance"
MILLISECOND_NS = 1_000_000
MILLISECONDS = TimeForm("unix_ms")
SIDES: dict[str, Side] = {"buy": "buy", "sell": "sell"}
POSITION_SIDES: dict[str, PositionSide] = {"both": "net", "long": "long", "short": "short"}

# What contracts are quoted and settled in, longest first.
_MARGINS = ("FDUSD", "USDT", "USDC", "BUSD", "USD1", "BTC")
_DELIVERY = re.compile(r"_\d{6}$")
_LIQUIDITY: dict[bool, Liquidity] = {True: "maker", False: "taker"}


@lru_cache(maxsize=4096)
def instrument_of(account: str, symbol: str, asset: str | None = None) -> Instrument | None:
    """Describe a contract by its name; None where neither name nor `asset` tells its currency.

    A delivery contract ends in its day. `asset` is what a row settles in; it is asked only where
    the name does not end in a known currency, so that all rows of a symbol say the same.

    >>> told = instrument_of("1", "BTCUSDT_260327")
    >>> told.base, told.settle
    ('BTC', 'USDT')
    """
    pair = _DELIVERY.sub("", symbol)
    endings = (*_MARGINS, asset) if asset else _MARGINS
    settle = next((end for end in endings if pair.endswith(end) and pair != end), None)
    if settle is None:
        return None
    return Instrument(
        venue=VENUE,
        account=account,
        ts_ns=0,
        symbol=symbol,
        contract="linear",
        base=pair.removesuffix(settle),
        quote=settle,
        settle=settle,
    )


def position_side_in(row: Row) -> PositionSide:
    """Return the leg a row belongs to: both ("net") in one-way mode, else long or short."""
    return row.choice("positionSide", POSITION_SIDES) if row.text("positionSide") else "net"


def whole_in(row: Row, name: str) -> int:
    """Return a cell that counts something; RowError when it is no whole number."""
    text = row.need(name)
    if not text.isascii() or not text.isdigit():
        raise RowError(name, f"{text!r} is not a whole number")
    return int(text)


def draft_fill(row: Row, account: str) -> Draft:
    """Turn one row of userTrades into a fact; RowError when it cannot be."""
    symbol, order_id = row.need("symbol"), row.need("orderId")
    trade_id = whole_in(row, "id")
    ts_ns = row.when("time", MILLISECONDS)
    side = row.choice("side", SIDES)
    if row.text("buyer") and row.flag("buyer") != (side == "buy"):
        raise RowError("buyer", f"contradicts the side {side}")
    fill = Fill(
        venue=VENUE,
        account=account,
        ts_ns=ts_ns,
        printed_ns=MILLISECOND_NS,
        instrument=symbol,
        side=side,
        px=row.positive("price"),
        qty=row.positive("qty"),
        fee=row.number("commission"),
        fee_asset=row.text("commissionAsset"),
        fill_id=str(trade_id),
        order_id=order_id,
        liquidity=_LIQUIDITY[row.flag("maker")] if row.text("maker") else None,
        position_side=position_side_in(row),
        venue_seq=trade_id,
        venue_pnl=row.number("realizedPnl"),
    )
    described = instrument_of(account, symbol, row.text("marginAsset"))
    return Draft(fill, key_of(ts_ns, symbol, trade_id, order_id), instrument=described)
