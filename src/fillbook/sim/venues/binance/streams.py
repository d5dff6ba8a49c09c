"""What Binance's private stream says of a world's events; listen keys and how they end."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from fillbook.ground.clock import MINUTE_NS
from fillbook.sim.executions import SimEvent, SimFill, SimFunding
from fillbook.sim.live import LiveWorld
from fillbook.sim.orders import SimOrder, SimTransfer
from fillbook.sim.venues.binance.rows import (
    CONDITIONAL,
    Row,
    algo_row,
    average_px,
    order_row,
    text_of,
)

LISTEN_NS = 60 * MINUTE_NS
_ENDS = ("cancelled", "expired", "rejected")


class ListenKeys:
    """The keys of private streams: one an account, valid for an hour, extended when asked."""

    def __init__(self) -> None:
        self._until: dict[str, int] = {}
        self._accounts: dict[str, str] = {}
        self._made = 0

    def make(self, account: str, now_ns: int) -> str:
        """Return the account's key and extend it; a new one where none lives."""
        key = self.of(account, now_ns)
        if key is None:
            self._made += 1
            key = hashlib.sha256(f"{account}:{self._made}".encode()).hexdigest()
            self._accounts[key] = account
        self._until[key] = now_ns + LISTEN_NS
        return key

    def of(self, account: str, now_ns: int) -> str | None:
        """Return the key of an account that lives, None without one."""
        mine = (key for key, owner in self._accounts.items() if owner == account)
        return next((key for key in mine if self.account(key, now_ns) is not None), None)

    def account(self, key: str, now_ns: int) -> str | None:
        """Return whose key this is, None once it has expired."""
        return self._accounts.get(key) if now_ns < self._until.get(key, 0) else None

    def expire(self, key: str) -> None:
        """Let a key end now."""
        self._until[key] = 0


def frames_of(world: LiveWorld, account: str, events: Sequence[SimEvent]) -> list[object]:
    """Return the frames of an account, one for each event that is told."""
    frames: list[object] = []
    for event in events:
        if event.account == account:
            frames += _frames(world, event)
    return frames


def expired_frame(key: str, now_ms: int) -> Row:
    """Return the last word of a stream whose key has expired."""
    return {"e": "listenKeyExpired", "E": now_ms, "listenKey": key}


def _frames(world: LiveWorld, event: SimEvent) -> list[Row]:
    what, at = event.what, {"E": event.ts_ms + 1, "T": event.ts_ms}
    if isinstance(what, SimFill):
        return [_lite(world, what, at), _account(at, "ORDER", what), _executed(world, what, at)]
    if isinstance(what, SimOrder):
        if what.kind in CONDITIONAL and (what.triggered_ms is None or not what.n_fills):
            return [{"e": "ALGO_UPDATE", **at, "o": _algo(world, what)}]
        if what.state == "placed" or what.state in _ENDS:
            return [{"e": "ORDER_TRADE_UPDATE", **at, "o": _order(world, what)}]
        return []
    if isinstance(what, SimFunding):
        return [_account(at, "FUNDING_FEE", None)]
    if isinstance(what, SimTransfer) and what.wallet == "perp":
        return [_account(at, "DEPOSIT" if what.amount > 0 else "WITHDRAW", None)]
    return []


def _order(world: LiveWorld, order: SimOrder) -> Row:
    row = order_row(world, order)
    return {
        "s": row["symbol"],
        "c": row["clientOrderId"],
        "S": row["side"],
        "o": row["type"],
        "f": row["timeInForce"],
        "q": row["origQty"],
        "p": row["price"],
        "ap": row["avgPrice"],
        "sp": row["stopPrice"],
        "x": row["status"],
        "X": row["status"],
        "i": order.order_id,
        "l": "0",
        "z": row["executedQty"],
        "L": "0",
        "N": None,
        "n": None,
        "T": order.changed_ms,
        "t": 0,
        "b": "0",
        "a": "0",
        "m": False,
        "R": row["reduceOnly"],
        "wt": row["workingType"],
        "ot": row["origType"],
        "ps": row["positionSide"],
        "cp": False,
        "AP": None,
        "cr": None,
        "pP": False,
        "si": 0,
        "ss": 0,
        "rp": "0",
        "gtd": 0,
        "W": None,
        "V": "EXPIRE_MAKER",
    }


def _executed(world: LiveWorld, fill: SimFill, at: Row) -> Row:
    order = world.desk(fill.account).orders[fill.order_id]
    market = fill.market
    told = {
        **_order(world, msgspec.structs.replace(order, changed_ms=fill.ts_ms)),
        "x": "CALCULATED" if fill.cause else "TRADE",
        "X": "FILLED" if order.filled >= order.qty else "PARTIALLY_FILLED",
        "ap": text_of(average_px(order), market.px_decimals + 2),
        "l": text_of(fill.qty, market.qty_decimals),
        "L": text_of(fill.px, market.px_decimals),
        "N": fill.fee_asset,
        "n": text_of(fill.fee),
        "t": fill.fill_id,
        "m": fill.liquidity == "maker",
        "rp": text_of(fill.closed_pnl),
    }
    return {"e": "ORDER_TRADE_UPDATE", **at, "o": told}


def _lite(world: LiveWorld, fill: SimFill, at: Row) -> Row:
    """Return the short form of an execution: it repeats the long one without its money."""
    market = fill.market
    return {
        "e": "TRADE_LITE",
        **at,
        "s": world.name(market, fill.ts_ms),
        "q": text_of(fill.qty, market.qty_decimals),
        "p": text_of(fill.px, market.px_decimals),
        "m": fill.liquidity == "maker",
        "c": fill.client_id or "",
        "S": fill.side.upper(),
        "L": text_of(fill.px, market.px_decimals),
        "l": text_of(fill.qty, market.qty_decimals),
        "t": fill.fill_id,
        "i": fill.order_id,
    }


def _algo(world: LiveWorld, order: SimOrder) -> Row:
    row = algo_row(world, order)
    return {
        "caid": row["clientAlgoId"],
        "aid": row["algoId"],
        "at": row["algoType"],
        "o": row["orderType"],
        "s": row["symbol"],
        "S": row["side"],
        "ps": row["positionSide"],
        "f": row["timeInForce"],
        "q": row["quantity"],
        "X": row["algoStatus"],
        "ai": row["actualOrderId"],
        "ap": row["actualPrice"],
        "aq": row["actualQty"],
        "act": row["actualType"],
        "tp": row["triggerPrice"],
        "p": row["price"],
        "V": row["selfTradePreventionMode"],
        "wt": row["workingType"],
        "pm": row["priceMatch"],
        "cp": row["closePosition"],
        "pP": row["priceProtect"],
        "R": row["reduceOnly"],
        "tt": row["triggerTime"],
        "gtd": 0,
    }


def _account(at: Row, reason: str, fill: SimFill | None) -> Row:
    """Return a change of balances; funding names an asset and no symbol."""
    moved = [] if fill is None else [{"a": fill.fee_asset, "wb": "0", "cw": "0", "bc": "0"}]
    balance = text_of(Decimal(0))
    told = moved or [{"a": "USDC", "wb": balance, "cw": balance, "bc": balance}]
    return {"e": "ACCOUNT_UPDATE", **at, "a": {"m": reason, "B": told, "P": []}}
