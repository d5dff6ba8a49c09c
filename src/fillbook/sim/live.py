"""A world that goes on: every account of the cast, for as long as somebody lets time pass.

`advance_to` is all that moves it. Whether a day passes at once or second by second, the same
things happen, in the same order: everything is drawn on the grid of minutes and takes place at
its own millisecond. The world's first 31 days are the month that `make_world` writes to files.

It keeps the truth about itself (`truth`), and shares no code with the books it is compared with.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from decimal import Decimal

from fillbook.sim.books import EXACT
from fillbook.sim.cast import LIVE_MARKETS, Member, make_cast
from fillbook.sim.desk import Desk
from fillbook.sim.dice import Dice
from fillbook.sim.executions import SimDecision, SimEvent, SimFill, SimFunding
from fillbook.sim.fate import Fate
from fillbook.sim.faults import FaultPlan
from fillbook.sim.livetruth import LiveTruth, live_truth
from fillbook.sim.orders import PositionSide, SimOrder, SimPosition, Wallet
from fillbook.sim.prices import DAY_MS, HOUR_MS, MINUTE_MS, Market, quotes_of
from fillbook.sim.world import BINANCE, DAYS, QUIET_MS, SEED, START_MS, rates_of, walks_of

MS_NS = 1_000_000
Level = tuple[Decimal, Decimal]


class LiveWorld:
    """A seeded world on which time passes; every method may be called from any thread.

    `accounts` limits the cast, `plan` says which trading faults befall it, and `crowd` is how
    many executions a crowded millisecond has. `lock` keeps several questions at one instant.
    """

    def __init__(
        self,
        seed: int = SEED,
        *,
        start_ms: int = START_MS,
        plan: FaultPlan | None = None,
        accounts: Iterable[str] | None = None,
        crowd: int = 60,
    ) -> None:
        self.seed = seed
        self.start_ms = start_ms
        self.plan = plan or FaultPlan(seed)
        self.lock = threading.RLock()
        self.events: list[SimEvent] = []
        self.delisted: dict[Market, int] = {}
        self.renamed: dict[Market, tuple[int, str]] = {}
        self._quotes = quotes_of(LIVE_MARKETS, walks_of(seed, 1), seed, start_ms, endless=True)
        self._rates = {
            (market.venue, market.symbol): rates_of(seed, market, start_ms, start_ms)
            for market in LIVE_MARKETS
            if market.contract == "linear" and market.funded
        }
        wanted = None if accounts is None else set(accounts)
        cast = make_cast(seed, self._quotes, self._rates, self.plan, start_ms)
        self._cast = {m.account: m for m in cast if wanted is None or m.account in wanted}
        self._fates = [Fate(member.desk, crowd=crowd) for member in self._cast.values()]
        self._next_ms = start_ms
        self._now_ms = start_ms
        for member in self._cast.values():
            self._begin(member)
        self.advance_to(start_ms * MS_NS)

    @property
    def now_ns(self) -> int:
        """Return the instant up to which everything has happened."""
        return self._now_ms * MS_NS

    @property
    def now_ms(self) -> int:
        """Return the same instant in milliseconds."""
        return self._now_ms

    def advance_to(self, until_ns: int) -> None:
        """Let everything happen up to an instant, that millisecond included."""
        with self.lock:
            until_ms = until_ns // MS_NS
            if until_ms < self._now_ms:
                return
            while self._next_ms <= until_ms:
                self._minute(self._next_ms)
                self._next_ms += MINUTE_MS
            for member in self._cast.values():
                member.desk.advance(until_ms + 1)
            self._now_ms = until_ms
            self._gather()

    def accounts(self, venue: str | None = None) -> list[str]:
        """Return the accounts of a venue, of all venues where none is named."""
        return [m.account for m in self._cast.values() if venue in (None, m.venue)]

    def desk(self, account: str) -> Desk:
        """Return an account's desk; ask it under `lock` where several answers must agree."""
        return self._cast[account].desk

    def fills(self, account: str) -> list[SimFill]:
        """Return an account's executions in the order in which they happened."""
        with self.lock:
            return list(self.desk(account).fills)

    def funding(self, account: str) -> list[SimFunding]:
        """Return an account's funding payments in time order."""
        with self.lock:
            return list(self.desk(account).funding)

    def orders(self, account: str) -> list[SimOrder]:
        """Return an account's orders as they are now, in the order in which they were placed."""
        with self.lock:
            return list(self.desk(account).orders.values())

    def positions(self, account: str) -> list[SimPosition]:
        """Return an account's open positions."""
        with self.lock:
            return self.desk(account).holdings.positions()

    def wallets(self, account: str) -> dict[tuple[Wallet, str], Decimal]:
        """Return an account's balances by (wallet, asset), without the worth of perpetuals."""
        with self.lock:
            return dict(self.desk(account).holdings.wallets)

    def decisions(self, account: str) -> list[SimDecision]:
        """Return what an account's bots have decided so far, in time order."""
        with self.lock:
            made = [d for d in self.desk(account).decisions if d.ts_ms <= self._now_ms]
            return sorted(made, key=lambda one: (one.ts_ms, one.decision_id))

    def markets(self, venue: str) -> list[Market]:
        """Return a venue's markets, delisted ones included; rates of conversion are none."""
        return [m for m in LIVE_MARKETS if m.venue == venue and m.symbol != "BNB/USDC"]

    def name(self, market: Market, ts_ms: int) -> str:
        """Return what a market was called at an instant."""
        since_ms, name = self.renamed.get(market, (ts_ms + 1, ""))
        return name if ts_ms >= since_ms else market.symbol

    def mark(self, market: Market, ts_ms: int | None = None) -> Decimal:
        """Return a market's mark price, now unless said."""
        with self.lock:
            quotes = self._quotes[market.venue, market.symbol]
            return quotes.mark(self._now_ms if ts_ms is None else ts_ms)

    def mid(self, market: Market, ts_ms: int | None = None) -> Decimal:
        """Return a market's mid, now unless said."""
        with self.lock:
            quotes = self._quotes[market.venue, market.symbol]
            return quotes.mid(self._now_ms if ts_ms is None else ts_ms)

    def rate(self, market: Market, ts_ms: int | None = None) -> Decimal:
        """Return the funding rate settled last at or before an instant, now unless said."""
        with self.lock:
            at_ms = self._now_ms if ts_ms is None else ts_ms
            rates = self._rates[market.venue, market.symbol]
            rates.reach(at_ms)
            settled_ms = at_ms - at_ms % rates.step_ms
            turned = self.plan.strikes_on("funding_sign_change", f"{market.symbol}:{settled_ms}")
            nano = rates.latest(at_ms)
            return Decimal(-nano if turned else nano).scaleb(-9)

    def settlement_step_ms(self, market: Market) -> int:
        """Return how much time lies between two funding settlements of a perpetual."""
        return self._rates[market.venue, market.symbol].step_ms

    def book(self, market: Market, levels: int = 5) -> tuple[list[Level], list[Level]]:
        """Return the order book now: bids and asks from the best on, as (price, quantity)."""
        with self.lock:
            dice = Dice(self.seed, f"book:{market.venue}:{market.symbol}:{self._now_ms}")
            quotes = self._quotes[market.venue, market.symbol]
            sides: list[list[Level]] = []
            for side in ("sell", "buy"):
                prices = [quotes.touch(self._now_ms, side, 1 + nth) for nth in range(levels)]
                sides.append([(px, market.lot * dice.between(10, 5_000)) for px in prices])
            return sides[0], sides[1]

    def truth(self, *accounts: str) -> LiveTruth:
        """Return what really happened to some accounts so far, to all where none is named."""
        with self.lock:
            return live_truth([self.desk(account) for account in accounts or self._cast])

    def _begin(self, member: Member) -> None:
        desk, market = member.desk, member.main
        if self.plan.strikes_on("opened_before", member.account):
            lots = self.plan.amount("opened_before", member.account, 50, 500)
            side: PositionSide = "long" if desk.hedge else "net"
            px = self._quotes[market.venue, market.symbol].mark(self.start_ms)
            desk.holdings.open_with(market, side, lots * market.lot, px)
        for wallet, asset, amount in member.deposits:
            desk.transfer(self.start_ms, member.venue, "deposit", [(wallet, asset, amount)])

    def _minute(self, now_ms: int) -> None:
        for member in self._cast.values():
            member.desk.advance(now_ms)
        if now_ms % HOUR_MS == 0 and now_ms > self.start_ms:
            self._hour(now_ms)
        # The month that is written to files ends with a quiet quarter hour.
        month_end_ms = START_MS + DAYS * DAY_MS
        if self.start_ms == START_MS and month_end_ms - QUIET_MS <= now_ms <= month_end_ms:
            return
        for member in self._cast.values():
            for bot in member.bots:
                bot.minute(now_ms)

    def _hour(self, now_ms: int) -> None:
        for member in self._cast.values():
            self._settle(member.desk, now_ms)
        self._rename_and_delist(now_ms)
        for fate in self._fates:
            fate.hour(now_ms)
        if now_ms % DAY_MS == 0:
            for member in self._cast.values():
                self._move_money(member, now_ms)

    def _settle(self, desk: Desk, now_ms: int) -> None:
        """Let every perpetual position pay or receive, as it stood before this instant."""
        for position in sorted(desk.holdings.positions(), key=lambda held: held.market.symbol):
            market = position.market
            rates = self._rates.get((market.venue, market.symbol))
            if rates is None or now_ms % rates.step_ms:
                continue
            rate = self.rate(market, now_ms)
            owed = -position.qty * self.mark(market, now_ms) * rate
            decimals = 8 if market.venue == BINANCE else 6
            desk.pay(
                SimFunding(
                    market=market,
                    account=desk.account,
                    ts_ms=now_ms,
                    amount=owed.quantize(Decimal(1).scaleb(-decimals), context=EXACT),
                    rate=rate,
                    position=position.qty,
                    position_side=position.position_side,
                )
            )

    def _rename_and_delist(self, now_ms: int) -> None:
        traded = [m for m in LIVE_MARKETS if m.contract == "linear" and m not in self.delisted]
        for market in traded:
            key = f"{market.venue}:{market.symbol}"
            if market not in self.renamed and self.plan.strikes("symbol_renamed", key):
                self.renamed[market] = (now_ms, "X" + market.symbol)
            if self.plan.strikes("symbol_delisted", key):
                self.delisted[market] = now_ms
                for member, fate in zip(self._cast.values(), self._fates, strict=True):
                    member.desk.halted.add(market)
                    fate.delist(now_ms, market)

    def _move_money(self, member: Member, now_ms: int) -> None:
        """Somebody adds, takes out or moves a little money, on some days."""
        dice = Dice(self.seed, f"money:{member.account}:{now_ms}")
        wallet, asset, _ = member.deposits[0]
        amount = Decimal(dice.between(10, 400))
        if dice.chance(300):
            sign, what = (1, "deposit") if dice.chance(600) else (-1, "withdrawal")
            member.desk.transfer(now_ms, member.venue, what, [(wallet, asset, sign * amount)])
        if {"perp", "spot"} == {one for one, held, _ in member.deposits if held == asset}:
            halves: list[tuple[Wallet, str, Decimal]] = [
                ("perp", asset, -amount),
                ("spot", asset, amount),
            ]
            member.desk.transfer(now_ms, member.venue, "between wallets", halves)

    def _gather(self) -> None:
        told: list[SimEvent] = []
        for member in self._cast.values():
            told += member.desk.events
            member.desk.events.clear()
        self.events += sorted(told, key=lambda event: event.ts_ms)
