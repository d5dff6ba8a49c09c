"""Who trades in the live world: the month's three accounts, and four with more to their orders.

| account | venue | what it does |
|---|---|---|
| trend-bot, maker-bot, harvester | binance, hyperliquid | the month's bots, going on |
| hedge-bot | binance | hedge mode: long and short legs of one market, stops and targets |
| swing-bot | hyperliquid | limits that rest, reduce-only stops and targets, cancels |
| coinbase-bot | coinbase | spot pairs in dollars, a future of 0.01 BTC a contract |
| perps-bot | coinbase | a perpetual, in a portfolio of its own |
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from fillbook.sim.books import EXACT
from fillbook.sim.bots import Bot, Harvester
from fillbook.sim.desk import Desk
from fillbook.sim.dice import Dice
from fillbook.sim.executions import Fee, Order
from fillbook.sim.faults import FaultPlan
from fillbook.sim.funding import Rates
from fillbook.sim.orders import Wallet
from fillbook.sim.prices import HOUR_MS, Market, Quotes
from fillbook.sim.swing import Swing
from fillbook.sim.world import (
    BINANCE,
    BTCUSDC,
    ETH,
    ETHUSDC,
    HARVESTER,
    HYPERLIQUID,
    LABELS,
    MAKER,
    MARKETS,
    PURR,
    SOL,
    TREND,
    address_of,
    bnb_rate,
    harvester_desk,
    maker_desk,
    market_of,
    trend_desk,
)

COINBASE = "coinbase"
HEDGE, SWING = "hedge-bot", address_of("swing-bot")
COINBASE_BOT = "b1c2d3e4-0000-4000-8000-00000c01ba5e"
PERPS = "b1c2d3e4-0000-4000-8000-0000000009e2"
LIVE_LABELS = {
    **LABELS,
    HEDGE: "hedge-bot",
    SWING: "swing-bot",
    COINBASE_BOT: "coinbase-bot",
    PERPS: "perps-bot",
}
VENUES = {
    TREND: BINANCE,
    HEDGE: BINANCE,
    MAKER: HYPERLIQUID,
    HARVESTER: HYPERLIQUID,
    SWING: HYPERLIQUID,
    COINBASE_BOT: COINBASE,
    PERPS: COINBASE,
}

BTC = market_of(HYPERLIQUID, "BTC", "BTC", 0, 5)
BTC_USD = market_of(COINBASE, "BTC-USD", "BTC", 2, 8, "USD")
ETH_USD = market_of(COINBASE, "ETH-USD", "ETH", 2, 8, "USD")
ETH_PERP = market_of(COINBASE, "ETH-PERP-INTX", "ETH", 1, 4)
BTC_FUTURE = msgspec.structs.replace(
    market_of(COINBASE, "BIT-27DEC30-CDE", "BTC", 0, 0, "USD"),
    contract="linear",
    multiplier=Decimal("0.01"),
    funded=False,
)
LIVE_MARKETS = (*MARKETS, BTC, BTC_USD, ETH_USD, ETH_PERP, BTC_FUTURE)

_DEPOSITS: Mapping[str, tuple[tuple[Wallet, str, str], ...]] = {
    TREND: (("perp", "USDC", "40000"), ("perp", "BNB", "2")),
    HEDGE: (("perp", "USDC", "30000"), ("perp", "BNB", "1")),
    MAKER: (("perp", "USDC", "20000"),),
    HARVESTER: (("perp", "USDC", "30000"), ("spot", "USDC", "30000")),
    SWING: (("perp", "USDC", "15000"),),
    COINBASE_BOT: (("spot", "USD", "50000"), ("perp", "USD", "10000")),
    PERPS: (("perp", "USDC", "10000"),),
}


class Member(msgspec.Struct):
    """One account of the live world: its venue, its desk, its bots, and what it starts with."""

    account: str
    venue: str
    desk: Desk
    bots: list[Bot]
    deposits: list[tuple[Wallet, str, Decimal]]
    main: Market


class Hourly:
    """Lets a bot that acts on each hour's funding rate be asked once a minute."""

    def __init__(self, bot: Harvester, rates: Rates, start_ms: int) -> None:
        self._bot, self._rates, self._start_ms = bot, rates, start_ms

    def minute(self, now_ms: int) -> None:
        """Act on the hour, after the first settlement."""
        if now_ms % HOUR_MS == 0 and now_ms > self._start_ms:
            self._rates.reach(now_ms)
            self._bot.hour(now_ms, self._rates.by_ms[now_ms])


def make_cast(
    seed: int,
    quotes: dict[tuple[str, str], Quotes],
    rates: Mapping[tuple[str, str], Rates],
    plan: FaultPlan,
    start_ms: int,
) -> list[Member]:
    """Return every account of the live world, new and with nothing done yet."""
    trend, trend_bots = trend_desk(seed, quotes, plan)
    maker, maker_bots = maker_desk(seed, quotes, plan)
    harvester, harvest = harvester_desk(seed, quotes, plan)
    hourly = Hourly(harvest, rates[HYPERLIQUID, PURR.symbol], start_ms)
    hedge = Desk(HEDGE, quotes, Dice(seed, "hedge-bot"), _fee("USDC", 8), plan=plan, hedge=True)
    swing = Desk(SWING, quotes, Dice(seed, "swing-bot"), _fee("USDC", 6), plan=plan)
    coinbase = Desk(COINBASE_BOT, quotes, Dice(seed, "coinbase-bot"), _fee("", 8), plan=plan)
    perps = Desk(PERPS, quotes, Dice(seed, "perps-bot"), _fee("USDC", 8), plan=plan)
    for desk in (trend, hedge):
        desk.third = ("BNB", lambda ts_ms: bnb_rate(quotes, ts_ms))
    return [
        _member(trend, trend_bots, BTCUSDC),
        _member(hedge, _hedging(hedge), ETHUSDC),
        _member(maker, maker_bots, ETH),
        _member(harvester, [hourly], PURR),
        _member(swing, [Swing(swing, market, 2_000) for market in (BTC, ETH, SOL)], BTC),
        _member(coinbase, _coinbase_bots(coinbase), BTC_FUTURE),
        _member(perps, [Swing(perps, ETH_PERP, 3_000)], ETH_PERP),
    ]


def _hedging(desk: Desk) -> list[Bot]:
    bots: list[Bot] = []
    for market in (ETHUSDC, BTCUSDC):
        bots.append(Swing(desk, market, 3_000, sides=("buy",), position_side="long"))
        bots.append(Swing(desk, market, 3_000, sides=("sell",), position_side="short"))
    return bots


def _coinbase_bots(desk: Desk) -> list[Bot]:
    return [
        Swing(desk, BTC_USD, 4_000, sides=("buy",)),
        Swing(desk, ETH_USD, 2_500, sides=("buy",)),
        Swing(desk, BTC_FUTURE, 5_000),
    ]


def _member(desk: Desk, bots: list[Bot], main: Market) -> Member:
    deposits = [(wallet, asset, Decimal(text)) for wallet, asset, text in _DEPOSITS[desk.account]]
    return Member(desk.account, VENUES[desk.account], desk, bots, deposits, main)


def _fee(asset: str, decimals: int) -> Fee:
    """Return a schedule: makers 0.015 %, takers 0.045 %, in `asset` or the quote currency."""

    def fee(order: Order, ts_ms: int, px: Decimal, qty: Decimal) -> tuple[Decimal, str]:
        rate = Decimal("0.00015") if order.liquidity == "maker" else Decimal("0.00045")
        worth = px * qty * order.market.multiplier
        charged = (worth * rate).quantize(Decimal(1).scaleb(-decimals), context=EXACT)
        return charged, asset or order.market.quote

    return fee
