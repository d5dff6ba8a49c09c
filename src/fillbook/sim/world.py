"""A seeded month of three accounts, exact to the last digit and the same on every machine.

| bot | venue | what it does |
|---|---|---|
| trend-bot | binance | two strategies on linear perpetuals, fees partly in BNB, funding every 8 h |
| maker-bot | hyperliquid | quotes two perpetuals, earns rebates, carries inventory, flips |
| harvester | hyperliquid | spot long with fees in base against a short perpetual, hourly funding |

On Hyperliquid an account is an address, as it is there; `LABELS` names it.

Nothing here reads a clock, a file or the network: `make_world(seed)` is a pure function. The
world keeps its own truth (`truth.py`), so a test can tell whether a book is right.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec

from fillbook.sim.books import EXACT
from fillbook.sim.bots import Bot, Breakout, Fade, Harvester, Quoter
from fillbook.sim.desk import Desk
from fillbook.sim.dice import Dice
from fillbook.sim.executions import Order, SimDecision, SimFill, SimFunding
from fillbook.sim.faults import FaultPlan
from fillbook.sim.funding import Rates, by_time, settle
from fillbook.sim.prices import DAY_MS, HOUR_MS, MINUTE_MS, Market, Quotes, Walk, quotes_of
from fillbook.sim.truth import Truth, add_up

START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
DAYS = 31
SEED = 17
MARK_STEP_MS = 5 * MINUTE_MS
QUIET_MS = 15 * MINUTE_MS


def address_of(label: str) -> str:
    """Return the address that a simulated account has on Hyperliquid."""
    return "0x" + hashlib.sha256(label.encode()).hexdigest()[:40]


TREND, MAKER, HARVESTER = "trend-bot", address_of("maker-bot"), address_of("harvester")
LABELS = {TREND: "trend-bot", MAKER: "maker-bot", HARVESTER: "harvester"}
BINANCE, HYPERLIQUID = "binance", "hyperliquid"


def market_of(
    venue: str, symbol: str, coin: str, px_decimals: int, qty_decimals: int, quote: str = "USDC"
) -> Market:
    """Describe a market; one that names its pair with a slash, or in dollars, is spot."""
    spot = "/" in symbol or quote == "USD"
    return Market(
        venue=venue,
        symbol=symbol,
        coin=coin,
        contract="spot" if spot else "linear",
        quote=quote,
        px_decimals=px_decimals,
        qty_decimals=qty_decimals,
    )


BTCUSDC = market_of(BINANCE, "BTCUSDC", "BTC", 1, 3)
ETHUSDC = market_of(BINANCE, "ETHUSDC", "ETH", 2, 3)
SOLUSDC = market_of(BINANCE, "SOLUSDC", "SOL", 2, 1)
BNB_RATE = market_of(BINANCE, "BNB/USDC", "BNB", 2, 3)
ETH = market_of(HYPERLIQUID, "ETH", "ETH", 1, 4)
SOL = market_of(HYPERLIQUID, "SOL", "SOL", 2, 2)
PURR_SPOT = market_of(HYPERLIQUID, "PURR/USDC", "PURR", 5, 0)
PURR = market_of(HYPERLIQUID, "PURR", "PURR", 5, 0)
MARKETS = (BTCUSDC, ETHUSDC, SOLUSDC, BNB_RATE, ETH, SOL, PURR_SPOT, PURR)

# coin: (opening price, standard deviation of a minute and largest drift of a minute, both ppm)
_COINS = {
    "BTC": ("61250", 440, 12),
    "ETH": ("2480", 540, 14),
    "SOL": ("148", 660, 15),
    "BNB": ("585", 450, 6),
    "PURR": ("0.2143", 900, 14),
}


class SimMark(msgspec.Struct, frozen=True, kw_only=True):
    """A price used for valuation; `what` is "mark", or "rate" for a conversion."""

    venue: str
    symbol: str
    ts_ms: int
    px: Decimal
    what: str


class World(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that happened in the month, in time order, and the truth about it."""

    seed: int
    start_ms: int
    end_ms: int
    fills: tuple[SimFill, ...]
    decisions: tuple[SimDecision, ...]
    funding: tuple[SimFunding, ...]
    marks: tuple[SimMark, ...]
    truth: Truth

    def fills_of(self, account: str) -> list[SimFill]:
        """Return one account's fills in the order in which they happened."""
        return [fill for fill in self.fills if fill.account == account]

    def funding_of(self, account: str) -> list[SimFunding]:
        """Return one account's funding payments in time order."""
        return [payment for payment in self.funding if payment.account == account]


def make_world(seed: int = SEED, days: int = DAYS) -> World:
    """Simulate `days` days of the three accounts; the same seed gives the same world."""
    end_ms = START_MS + days * DAY_MS
    quotes = quotes_of(MARKETS, walks_of(seed, days * 1440), seed, START_MS)
    rates = {key: rates_of(seed, quote.market, START_MS, end_ms) for key, quote in quotes.items()}
    rates = {key: rate for key, rate in rates.items() if quotes[key].market.contract == "linear"}
    harvester, harvest = harvester_desk(seed, quotes)
    desks = [
        _run(*trend_desk(seed, quotes), quotes),
        _run(*maker_desk(seed, quotes), quotes),
        _harvest(harvester, harvest, rates[HYPERLIQUID, PURR.symbol]),
    ]
    fills = sorted((fill for desk in desks for fill in desk.fills), key=lambda fill: fill.ts_ms)
    decisions = sorted(
        (decision for desk in desks for decision in desk.decisions),
        key=lambda decision: (decision.ts_ms, decision.decision_id),
    )
    payments = _funding(fills, quotes, rates)
    return World(
        seed=seed,
        start_ms=START_MS,
        end_ms=end_ms,
        fills=tuple(fills),
        decisions=tuple(decisions),
        funding=tuple(payments),
        marks=tuple(_marks(quotes.values())),
        truth=add_up(
            fills,
            decisions,
            payments,
            {key: quote.mark(end_ms) for key, quote in quotes.items()},
            {
                ("BNB", fill.ts_ms): bnb_rate(quotes, fill.ts_ms)
                for fill in fills
                if fill.fee_asset == "BNB"
            },
        ),
    )


def walks_of(seed: int, minutes: int) -> dict[str, Walk]:
    """Return the walk of every coin of a seed, so many minutes long."""
    return {
        coin: Walk(
            Dice(seed, f"walk:{coin}"),
            open_px=Decimal(open_px),
            sigma_ppm=sigma_ppm,
            trend_ppm=trend_ppm,
            minutes=minutes,
        )
        for coin, (open_px, sigma_ppm, trend_ppm) in _COINS.items()
    }


def rates_of(seed: int, market: Market, start_ms: int, end_ms: int) -> Rates:
    """Return the funding rates of a perpetual: every eight hours at Binance, hourly elsewhere."""
    return Rates(
        Dice(seed, f"funding:{market.venue}:{market.symbol}"),
        usual_nano=100_000 if market.venue == BINANCE else 22_000 if market is PURR else 12_500,
        swing_nano=20_000 if market.venue == BINANCE else 16_000 if market is PURR else 3_000,
        start_ms=start_ms,
        end_ms=end_ms,
        step_ms=8 * HOUR_MS if market.venue == BINANCE else HOUR_MS,
    )


def _run(desk: Desk, bots: Sequence[Bot], quotes: dict[tuple[str, str], Quotes]) -> Desk:
    some = next(iter(quotes.values()))
    # The last quarter hour stays quiet: every order is filled before the month ends.
    for now_ms in range(some.start_ms, some.end_ms - QUIET_MS, MINUTE_MS):
        desk.advance(now_ms)
        for bot in bots:
            bot.minute(now_ms)
    desk.advance(some.end_ms)
    return desk


def _harvest(desk: Desk, bot: Harvester, rates: Rates) -> Desk:
    last_ms = max(rates.by_ms)
    for hour_ms, rate_nano in rates.by_ms.items():
        desk.advance(hour_ms)
        if hour_ms < last_ms:
            bot.hour(hour_ms, rate_nano)
    return desk


def bnb_rate(quotes: dict[tuple[str, str], Quotes], ts_ms: int) -> Decimal:
    """Return what a BNB is worth in USDC, as the last sampled mark has it."""
    return quotes[BINANCE, BNB_RATE.symbol].mark(ts_ms - ts_ms % MARK_STEP_MS)


def trend_desk(
    seed: int, quotes: dict[tuple[str, str], Quotes], plan: FaultPlan | None = None
) -> tuple[Desk, list[Bot]]:
    """Return the trend account and its six bots."""
    purse = [Decimal("0.9")]  # BNB left to pay fees with, at a tenth off

    def fee(order: Order, ts_ms: int, px: Decimal, qty: Decimal) -> tuple[Decimal, str]:
        rate = Decimal("0.0002") if order.liquidity == "maker" else Decimal("0.0005")
        in_quote = (px * qty * rate).quantize(Decimal("0.00000001"), context=EXACT)
        in_bnb = EXACT.divide(in_quote * Decimal("0.9"), bnb_rate(quotes, ts_ms))
        in_bnb = in_bnb.quantize(Decimal("0.00000001"), context=EXACT)
        if in_bnb > purse[0]:
            purse[0] = Decimal(0)
            return in_quote, "USDC"
        purse[0] -= in_bnb
        return in_bnb, "BNB"

    desk = Desk(TREND, quotes, Dice(seed, LABELS[TREND]), fee, plan=plan)
    markets = (BTCUSDC, ETHUSDC, SOLUSDC)
    return desk, [
        *(Breakout(desk, market, notional=15_000) for market in markets),
        *(Fade(desk, market, notional=6_000) for market in markets),
    ]


def maker_desk(
    seed: int, quotes: dict[tuple[str, str], Quotes], plan: FaultPlan | None = None
) -> tuple[Desk, list[Bot]]:
    """Return the maker account and its two bots."""
    middle_ms = START_MS + 15 * DAY_MS

    def fee(order: Order, ts_ms: int, px: Decimal, qty: Decimal) -> tuple[Decimal, str]:
        # From the 16th on, the maker's volume has earned a rebate.
        maker = Decimal("0.00004") if ts_ms < middle_ms else Decimal("-0.00002")
        rate = maker if order.liquidity == "maker" else Decimal("0.00035")
        return (px * qty * rate).quantize(Decimal("0.000001"), context=EXACT), "USDC"

    desk = Desk(MAKER, quotes, Dice(seed, LABELS[MAKER]), fee, plan=plan)
    return desk, [Quoter(desk, ETH, notional=600, half_ppm=330), Quoter(desk, SOL, 450, 420)]


def harvester_desk(
    seed: int, quotes: dict[tuple[str, str], Quotes], plan: FaultPlan | None = None
) -> tuple[Desk, Harvester]:
    """Return the harvesting account and its bot, which acts once an hour."""

    def fee(order: Order, ts_ms: int, px: Decimal, qty: Decimal) -> tuple[Decimal, str]:
        if order.market is PURR_SPOT and order.side == "buy":
            return (qty * Decimal("0.0004")).quantize(Decimal("0.00001"), context=EXACT), "PURR"
        rate = Decimal("0.0004") if order.market is PURR_SPOT else Decimal("0.00035")
        return (px * qty * rate).quantize(Decimal("0.000001"), context=EXACT), "USDC"

    desk = Desk(HARVESTER, quotes, Dice(seed, LABELS[HARVESTER]), fee, plan=plan)
    return desk, Harvester(desk, PURR_SPOT, PURR, chunk=500, most=130_000)


def _funding(
    fills: Sequence[SimFill],
    quotes: dict[tuple[str, str], Quotes],
    rates: dict[tuple[str, str], Rates],
) -> list[SimFunding]:
    payments: list[SimFunding] = []
    for (venue, symbol), market_rates in rates.items():
        accounts = (TREND,) if venue == BINANCE else (MAKER, HARVESTER)
        decimals = 8 if venue == BINANCE else 6
        for account in accounts:
            payments += settle(fills, quotes[venue, symbol], market_rates, account, decimals)
    return by_time(payments)


def _marks(quotes: Iterable[Quotes]) -> list[SimMark]:
    return [
        SimMark(
            venue=quote.market.venue,
            symbol=quote.market.symbol,
            ts_ms=ts_ms,
            px=quote.mark(ts_ms),
            what="rate" if quote.market is BNB_RATE else "mark",
        )
        for quote in quotes
        for ts_ms in range(quote.start_ms, quote.end_ms + 1, MARK_STEP_MS)
    ]
