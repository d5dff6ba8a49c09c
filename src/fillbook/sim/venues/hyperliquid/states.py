"""Hyperliquid's JSON about now: positions and balances of an account, markets and their prices."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from fillbook.sim.books import EXACT
from fillbook.sim.live import LiveWorld
from fillbook.sim.orders import SimPosition
from fillbook.sim.prices import DAY_MS, Market
from fillbook.sim.venues.hyperliquid.rows import LEVERAGE, TOKENS, Row, is_perp, text_of
from fillbook.sim.world import HYPERLIQUID

_MICRO = Decimal("0.000001")


def perps_of(world: LiveWorld) -> list[Market]:
    """Return the perpetuals in the order of the universe, whose index names an asset."""
    return [market for market in world.markets(HYPERLIQUID) if is_perp(market)]


def spots_of(world: LiveWorld) -> list[Market]:
    """Return the spot pairs in the order of their universe."""
    return [market for market in world.markets(HYPERLIQUID) if not is_perp(market)]


def meta_of(world: LiveWorld) -> Row:
    """Return the answer to meta: every perpetual, delisted ones marked."""
    universe = []
    for market in perps_of(world):
        row: Row = {
            "szDecimals": market.qty_decimals,
            "name": world.name(market, world.now_ms),
            "maxLeverage": 50,
            "marginTableId": 50,
        }
        if market in world.delisted:
            row["isDelisted"] = True
        universe.append(row)
    tiers = {
        "description": "",
        "marginTiers": [{"lowerBound": "0.0", "maxLeverage": 50}],
    }
    return {"universe": universe, "marginTables": [[50, tiers]], "collateralToken": 0}


def spot_meta_of(world: LiveWorld) -> Row:
    """Return the answer to spotMeta: tokens, and pairs of them by token index."""
    tokens = [
        {
            "name": name,
            "szDecimals": 8 if name == "USDC" else 0,
            "weiDecimals": 8 if name == "USDC" else 5,
            "index": index,
            "tokenId": f"0x{index:032x}",
            "isCanonical": True,
            "evmContract": None,
            "fullName": None,
        }
        for index, name in enumerate(TOKENS)
    ]
    universe = [
        {
            "name": market.symbol,
            "tokens": [TOKENS.index(market.coin), 0],
            "index": index,
            "isCanonical": True,
        }
        for index, market in enumerate(spots_of(world))
    ]
    return {"universe": universe, "tokens": tokens}


def contexts_of(world: LiveWorld, markets: list[Market]) -> list[Row]:
    """Return what the venue says of markets beside their description: marks, rates, volumes."""
    rows: list[Row] = []
    for market in markets:
        mark, mid = world.mark(market), world.mid(market)
        row: Row = {
            "prevDayPx": text_of(world.mark(market, world.now_ms - DAY_MS)),
            "dayNtlVlm": "1169046.29406",
            "markPx": text_of(mark),
            "midPx": text_of(mid),
        }
        if is_perp(market):
            row["funding"] = text_of(world.rate(market))
            row["openInterest"] = "688.11"
            row["premium"] = "0.00031774"
            row["oraclePx"] = text_of(mark)
            row["impactPxs"] = [text_of(mid - market.tick), text_of(mid + market.tick)]
        else:
            row["circulatingSupply"] = "596467580.0"
            row["coin"] = market.symbol
        row["dayBaseVlm"] = "688.11"
        rows.append(row)
    return rows


def mids_of(world: LiveWorld) -> Row:
    """Return the answer to allMids: every coin's mid."""
    traded = [m for m in world.markets(HYPERLIQUID) if m not in world.delisted]
    return {world.name(m, world.now_ms): text_of(world.mid(m)) for m in traded}


def book_of(world: LiveWorld, market: Market) -> Row:
    """Return the answer to l2Book: bids, then asks."""
    levels = [
        [{"px": text_of(px), "sz": text_of(qty), "n": 1} for px, qty in side]
        for side in world.book(market)
    ]
    return {"coin": world.name(market, world.now_ms), "time": world.now_ms, "levels": levels}


def clearinghouse_of(world: LiveWorld, account: str | None) -> Row:
    """Return the answer to clearinghouseState; an unknown account has nothing, and no error."""
    positions: list[SimPosition] = []
    raw = Decimal(0)
    if account is not None:
        positions = [p for p in world.positions(account) if is_perp(p.market)]
        raw = world.wallets(account).get(("perp", "USDC"), Decimal(0))
    marks = [world.mark(position.market) for position in positions]
    worths = [position.qty * mark for position, mark in zip(positions, marks, strict=True)]
    notional = sum((abs(worth) for worth in worths), Decimal(0))
    value = raw + sum(worths, Decimal(0))
    margin = _micro(notional / LEVERAGE)
    summary = {
        "accountValue": text_of(_micro(value)),
        "totalNtlPos": text_of(_micro(notional)),
        "totalRawUsd": text_of(_micro(raw)),
        "totalMarginUsed": text_of(margin),
    }
    return {
        "marginSummary": summary,
        "crossMarginSummary": summary,
        "crossMaintenanceMarginUsed": text_of(_micro(margin / 2)),
        "withdrawable": text_of(max(Decimal(0), _micro(value - margin))),
        "assetPositions": [
            {"type": "oneWay", "position": _position(world, position, worth)}
            for position, worth in zip(positions, worths, strict=True)
        ],
        "time": world.now_ms,
    }


def _position(world: LiveWorld, position: SimPosition, worth: Decimal) -> dict[str, Any]:
    margin = abs(worth) / LEVERAGE
    gain = worth - position.cost
    entry = EXACT.divide(position.cost, position.qty)
    decimals = Decimal(1).scaleb(-position.market.px_decimals - 1)
    # The venue counts funding as paid: its sign is the other one.
    return {
        "coin": world.name(position.market, world.now_ms),
        "szi": text_of(position.qty),
        "leverage": {"type": "cross", "value": LEVERAGE},
        "entryPx": text_of(entry.quantize(decimals, context=EXACT)),
        "positionValue": text_of(_micro(abs(worth))),
        "unrealizedPnl": text_of(_micro(gain)),
        "returnOnEquity": text_of(_micro(EXACT.divide(gain, margin))),
        "liquidationPx": None,
        "marginUsed": text_of(_micro(margin)),
        "maxLeverage": 50,
        "cumFunding": {
            "allTime": text_of(-position.funding_ever),
            "sinceOpen": text_of(-position.funding_since_open),
            "sinceChange": text_of(-position.funding_since_change),
        },
    }


def spot_state_of(world: LiveWorld, account: str | None) -> Row:
    """Return the answer to spotClearinghouseState: balances by token."""
    if account is None:
        return {"balances": []}
    held = world.wallets(account)
    costs = {p.market.coin: p.cost for p in world.positions(account) if not is_perp(p.market)}
    balances = [
        {
            "coin": asset,
            "token": TOKENS.index(asset),
            "total": text_of(amount),
            "hold": "0.0",
            "entryNtl": text_of(_micro(costs.get(asset, Decimal(0)))),
        }
        for (wallet, asset), amount in held.items()
        if wallet == "spot" and asset in TOKENS
    ]
    return {"balances": balances}


def _micro(amount: Decimal) -> Decimal:
    return amount.quantize(_MICRO, context=EXACT)
