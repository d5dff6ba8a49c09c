"""What a simulated Binance says of now: positions, balances, resting orders, markets, prices."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from decimal import Decimal

from fillbook.sim.live import LiveWorld
from fillbook.sim.orders import SimOrder
from fillbook.sim.prices import MINUTE_MS, Market
from fillbook.sim.venues.binance import rows as rows
from fillbook.sim.venues.binance.histories import PAGE_ROWS, refused
from fillbook.sim.venues.binance.rows import CONDITIONAL, Row
from fillbook.sim.venues.calls import Answer, Call
from fillbook.sim.world import BINANCE, BNB_RATE

RATE_SYMBOL = "BNBUSDC"
_BAR_MS = 15 * MINUTE_MS
_NEVER = ("Margin", "Withdrawals", "InternalTransfer", "VanillaOptions", "FixApiTrade")


def open_orders(world: LiveWorld, resting: Sequence[SimOrder]) -> Answer:
    """Answer openOrders: stops and targets only once they went off."""
    plain = [o for o in resting if o.kind not in CONDITIONAL or o.triggered_ms is not None]
    return Answer(body=[rows.order_row(world, order) for order in plain])


def open_algo_orders(world: LiveWorld, resting: Sequence[SimOrder]) -> Answer:
    """Answer openAlgoOrders."""
    waiting = [order for order in resting if order.kind in CONDITIONAL]
    return Answer(body=[rows.algo_row(world, order) for order in waiting])


def positions(world: LiveWorld, account: str) -> list[Row]:
    """Return positionRisk: only what is open."""
    return [rows.position_row(world, position) for position in world.positions(account)]


def worths(world: LiveWorld, account: str) -> list[tuple[str, Decimal, Decimal]]:
    """Return (asset, wallet balance, open results) of everything in the futures wallet.

    The world takes a position's price out of the wallet; the venue leaves it in.
    """
    wallets: dict[str, Decimal] = {}
    results: dict[str, Decimal] = {}
    for (wallet, asset), amount in world.wallets(account).items():
        if wallet == "perp":
            wallets[asset] = wallets.get(asset, Decimal(0)) + amount
    for position in world.positions(account):
        quote = position.market.quote
        wallets[quote] = wallets.get(quote, Decimal(0)) + position.cost
        results[quote] = results.get(quote, Decimal(0)) + rows.gained(world, position)
    return [(asset, wallets[asset], results.get(asset, Decimal(0))) for asset in sorted(wallets)]


def account_of(world: LiveWorld, account: str) -> Answer:
    """Answer the account: every asset of the futures wallet, and the positions."""
    assets = [
        {
            "asset": asset,
            "walletBalance": rows.text_of(wallet),
            "unrealizedProfit": rows.text_of(result),
            "marginBalance": rows.text_of(wallet + result),
            "maintMargin": rows.text_of(Decimal(0)),
            "initialMargin": rows.text_of(Decimal(0)),
            "positionInitialMargin": rows.text_of(Decimal(0)),
            "openOrderInitialMargin": rows.text_of(Decimal(0)),
            "crossWalletBalance": rows.text_of(wallet),
            "crossUnPnl": rows.text_of(result),
            "availableBalance": rows.text_of(wallet),
            "maxWithdrawAmount": rows.text_of(wallet),
            "updateTime": world.now_ms,
        }
        for asset, wallet, result in worths(world, account)
    ]
    return Answer(body={"assets": assets, "positions": positions(world, account)})


def balances(world: LiveWorld, account: str) -> Answer:
    """Answer the balances, each with the account's alias."""
    alias = hashlib.sha256(account.encode()).hexdigest()[:4]
    told = [
        {
            "accountAlias": alias,
            "asset": asset,
            "balance": rows.text_of(wallet),
            "crossWalletBalance": rows.text_of(wallet),
            "crossUnPnl": rows.text_of(result),
            "availableBalance": rows.text_of(wallet),
            "maxWithdrawAmount": rows.text_of(wallet),
            "marginAvailable": True,
            "updateTime": world.now_ms,
        }
        for asset, wallet, result in worths(world, account)
    ]
    return Answer(body=told)


def restrictions(world: LiveWorld, held: frozenset[str]) -> Answer:
    """Answer what a key may do; "trade" is everything, "futures" only trading those."""
    rights: dict[str, object] = {
        "ipRestrict": True,
        "createTime": world.start_ms,
        "enableReading": True,
        "enableFutures": bool(held & {"trade", "futures"}),
        "enableSpotAndMarginTrading": "trade" in held,
        "enablePortfolioMarginTrading": False,
        "permitsUniversalTransfer": False,
        "enableFixReadOnly": False,
    }
    return Answer(body=rights | {f"enable{name}": False for name in _NEVER})


def markets_of(world: LiveWorld, weight: int) -> Answer:
    """Answer exchangeInfo: the limit, and every contract."""
    limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1}
    told = [
        {
            "symbol": world.name(market, world.now_ms),
            "contractType": "PERPETUAL",
            "status": "SETTLING" if market in world.delisted else "TRADING",
            "baseAsset": market.coin,
            "quoteAsset": market.quote,
            "marginAsset": market.quote,
            "pricePrecision": market.px_decimals,
            "quantityPrecision": market.qty_decimals,
        }
        for market in world.markets(BINANCE)
    ]
    return Answer(body={"rateLimits": [{**limit, "limit": weight}], "symbols": told})


def premiums(world: LiveWorld, call: Call) -> Answer:
    """Answer premiumIndex: of one symbol, or of all."""
    named: dict[str, Market] = {world.name(m, call.now_ms): m for m in world.markets(BINANCE)}
    named[RATE_SYMBOL] = BNB_RATE
    wanted = call.query.get("symbol")
    if wanted is None:
        return Answer(body=[rows.premium_row(world, m, name) for name, m in named.items()])
    if wanted not in named:
        raise refused(400, -1121, "Invalid symbol.")
    return Answer(body=rows.premium_row(world, named[wanted], wanted))


def bars(world: LiveWorld, call: Call) -> Answer:
    """Answer quarter-hour bars of the one index that is asked for: what BNB is worth."""
    if (call.query.get("pair"), call.query.get("interval")) != (RATE_SYMBOL, "15m"):
        raise refused(400, -1121, "Invalid symbol.")
    start_ms = max(int(call.query["startTime"]), world.start_ms)
    end_ms = min(int(call.query["endTime"]), call.now_ms)
    most = min(int(call.query.get("limit", "500")), PAGE_ROWS)
    told = []
    for open_ms in range(start_ms + (-start_ms) % _BAR_MS, end_ms + 1, _BAR_MS)[:most]:
        close_ms = open_ms + _BAR_MS - 1
        ends = [world.mark(BNB_RATE, min(at_ms, call.now_ms)) for at_ms in (open_ms, close_ms)]
        first, high, low, last = (
            rows.text_of(px) for px in (ends[0], max(ends), min(ends), ends[1])
        )
        told.append([open_ms, first, high, low, last, "0", close_ms, "0", 900, "0", "0", "0"])
    return Answer(body=told)
