"""A Binance USD-M account, attached read-only with a key: streams, holdings, rights, nudges."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence

import msgspec

from fillbook.facts.finding import Finding
from fillbook.ground.clock import HOUR_NS, MINUTE_NS, SECOND_NS
from fillbook.ground.errors import ConfigError
from fillbook.ground.live_settings import AttachSettings
from fillbook.marks.series import Mark
from fillbook.sources.attach import Tools
from fillbook.sources.binance.asks import FUTURES_LIMIT, PAGE_ROWS, WEB_LIMIT, answered, state_ask
from fillbook.sources.binance.estimate import Traded, estimate, look_for_symbols
from fillbook.sources.binance.fills import VENUE, instrument_of
from fillbook.sources.binance.holdings import Holdings
from fillbook.sources.binance.income_stream import IncomeStream
from fillbook.sources.binance.manners import BinanceManners, BinanceSigner
from fillbook.sources.binance.rates import RatesStream
from fillbook.sources.binance.socket import UserListener
from fillbook.sources.binance.streams import AlgoOrdersStream, OrdersStream, TradesStream
from fillbook.sources.faults import KeyRefusedError
from fillbook.sources.pace import Pace
from fillbook.sources.redact import EVERYWHERE, Redactor
from fillbook.sources.sockets import SocketDoor
from fillbook.sources.stream import (
    Answer,
    Ask,
    AttachEstimate,
    BudgetUse,
    KeyRights,
    Nudge,
    Snapshot,
    Stream,
)
from fillbook.sources.transport import Transport

_LOOK_AGAIN_NS = HOUR_NS
# So that many symbols stay within a part of the share: each adds this to everybody's interval.
_TRADES_EVERY_NS, _TRADES_EACH_NS = MINUTE_NS, 3 * SECOND_NS
_ORDERS_EVERY_NS, _ORDERS_EACH_NS = 5 * MINUTE_NS, 9 * SECOND_NS
_SKEW_TOLD_NS = SECOND_NS
_WHERE = "[[attach]] binance"


class _Uid(msgspec.Struct):
    uid: int | str


class _Alias(msgspec.Struct, rename="camel"):
    account_alias: str


class _Symbol(msgspec.Struct):
    symbol: str


class BinanceAccount:
    """One account of the venue. `web` is absent on a testnet, whose keys have no rights to read.

    `symbols` are asked for even where the venue does not name them; `page_rows` is how many rows
    a page of a history has at most.
    """

    venue = VENUE

    def __init__(
        self,
        key_hint: str,
        label: str,
        futures: Transport,
        web: Transport | None,
        door: SocketDoor,
        pace: Pace,
        *,
        redactor: Redactor = EVERYWHERE,
        symbols: Collection[str] = (),
        page_rows: int = PAGE_ROWS,
    ) -> None:
        self.account = ""
        self.label = label
        self._key_hint = key_hint
        self._futures = futures
        self._web = web
        self._door = door
        self._pace = pace
        self._redactor = redactor
        self._page_rows = page_rows
        self._symbols = set(symbols)
        self._kinds: set[str] = set()
        self._streams: dict[str, Stream] = {}
        self._traded: Traded | None = None
        self._looked_ticks: int | None = None
        self._holdings = Holdings(self.read, self._note, lambda: self._symbols)

    # -- who it is -------------------------------------------------------------------------

    async def identify(self) -> str:
        """Return the uid; a testnet tells none, there it is the account's alias."""
        await self._futures.read(state_ask("time", "none"))
        if self._web is not None:
            answer = await self._web.read(state_ask("web account", omitZeroBalances="true"))
            self.account = str(answered(answer, _Uid).uid)
        else:
            answer = await self._futures.read(state_ask("balance"))
            told = {each.account_alias for each in answered(answer, list[_Alias])}
            if len(told) != 1:
                raise KeyRefusedError(
                    "the testnet does not say whose key this is", _WHERE, "make a new testnet key"
                )
            self.account = f"testnet-{told.pop()}"
        self._holdings.account = self.account
        return self.account

    async def rights(self) -> KeyRights:
        """Return what the key may do, as the web account's page of keys has it."""
        if self._web is None:
            rights = {"enableReading": True, "enableFutures": True}
            absent = ("InternalTransfer", "SpotAndMarginTrading", "Withdrawals")
            rights |= {f"enable{name}": False for name in absent}
            rights["permitsUniversalTransfer"] = False
            note = "a testnet has no key rights: every key may trade there, with play money"
            return KeyRights(venue=VENUE, subject=self._key_hint, rights=rights, notes=(note,))
        answer = await self._web.read(state_ask("apiRestrictions"))
        told = answered(answer, dict[str, object])
        # Whatever is not a number or a text is a right, also one of another shape.
        plain = {name: v for name, v in told.items() if not _is_figure(v)}
        notes = [f"{name} {v}" for name, v in told.items() if name not in plain]
        return KeyRights(
            venue=VENUE,
            subject=self._key_hint,
            rights={name: v is not False for name, v in plain.items()},
            notes=tuple(notes),
            raw=answer.text,
        )

    async def estimate(self, now_ns: int) -> AttachEstimate:
        """Say what the first attach will take; reads the commissions of three months."""
        traded = await self._look_for_symbols(now_ns)
        return estimate(self.account, self._futures.budget, traded)

    # -- what to pull ----------------------------------------------------------------------

    async def discover(self, known: Collection[str], now_ns: int) -> Sequence[Stream]:
        """Return every stream: income, and the histories of each symbol traded so far."""
        self._symbols |= {name for name in known if _is_symbol(name)}
        if not self._streams:
            self._streams["income"] = IncomeStream(
                self.account,
                traded=lambda: self._symbols,
                note=self._note,
                wonder=self._kinds.add,
                page_rows=self._page_rows,
            )
            if not self._symbols:
                await self._look_for_symbols(now_ns)
        await self._look_around()
        for symbol in sorted(self._symbols):
            self._add_symbol(symbol)
        self._pace_out()
        return tuple(self._streams.values())

    async def read(self, ask: Ask, *, background: bool = False) -> Answer:
        """Send one read through the transport of its host."""
        transport = self._web if ask.host == "sapi" and self._web is not None else self._futures
        return await transport.read(ask, background=background)

    def venue_now_ns(self) -> int:
        """Return the time on the venue's clock, as far as it is known."""
        return self._futures.venue_now_ns()

    async def positions(self, now_ns: int) -> Snapshot:
        """Return all open positions, with one read; the account's equity once an hour."""
        return await self._holdings.snapshot(now_ns)

    async def marks(self, instruments: Collection[str], now_ns: int) -> Sequence[Mark]:
        """Return marks that the positions did not bring, and what BNB is worth."""
        quotes = {quote for name in self._symbols if (quote := _quote_of(name)) is not None}
        return await self._holdings.marks(instruments, quotes, now_ns)

    def trigger(self) -> AsyncIterator[Nudge]:
        """Yield nudges from the private websocket for ever."""
        listener = UserListener(self._futures.read, self._pace, self._redactor, self._note)
        return self._door.nudges(listener)

    # -- what is told ----------------------------------------------------------------------

    def usage(self) -> Sequence[BudgetUse]:
        """Return how much of the limits is in use, the futures' first."""
        doors = (self._futures, self._web)
        return tuple(door.budget.use() for door in doors if door is not None)

    def findings(self) -> Sequence[Finding]:
        """Return a clock that is off, and income of types that this version does not know."""
        found = []
        offset_ns = self._futures.skew.offset_ns
        if abs(offset_ns) > _SKEW_TOLD_NS:
            found.append(
                Finding(
                    code="clock-skew",
                    severity="warning",
                    message=f"this machine's clock is {_seconds(offset_ns)} s "
                    f"{'behind' if offset_ns > 0 else 'ahead of'} the venue's",
                    next_step="set the clock by NTP; until then the venue's time is used",
                    venue=VENUE,
                    account=self.account,
                )
            )
        for kind in sorted(self._kinds):
            found.append(
                Finding(
                    code="income-type-unknown",
                    severity="warning",
                    message=f"income of the type {kind} is counted as a charge; nobody here "
                    "knows what it is",
                    next_step="look it up on the venue's page, and please report it",
                    venue=VENUE,
                    account=self.account,
                )
            )
        return found

    async def close(self) -> None:
        """Close the connections; closing twice is harmless."""
        await self._futures.close()
        if self._web is not None:
            await self._web.close()

    # -- inside ----------------------------------------------------------------------------

    def _note(self, symbol: str) -> None:
        self._symbols.add(symbol)

    async def _look_for_symbols(self, now_ns: int) -> Traded:
        if self._traded is None:
            self._traded = await look_for_symbols(self._futures.read, now_ns, self._page_rows)
            self._symbols |= self._traded.symbols
        return self._traded

    async def _look_around(self) -> None:
        """Note symbols with open orders or positions: they may never have paid a commission."""
        ticks = self._pace.ticks_ns()
        if self._looked_ticks is not None and ticks - self._looked_ticks < _LOOK_AGAIN_NS:
            return
        for name in ("positionRisk", "openOrders"):
            answer = await self._futures.read(state_ask(name))
            self._symbols |= {each.symbol for each in answered(answer, list[_Symbol])}
        self._looked_ticks = ticks

    def _add_symbol(self, symbol: str) -> None:
        for kind in (TradesStream, OrdersStream, AlgoOrdersStream):
            stream = kind(self.account, symbol, every_ns=0, page_rows=self._page_rows)
            self._streams.setdefault(stream.name, stream)
        quote = _quote_of(symbol)
        if quote is not None:
            rates = RatesStream(self.account, quote)
            self._streams.setdefault(rates.name, rates)

    def _pace_out(self) -> None:
        """Give each stream its interval: the more symbols, the longer."""
        more = max(0, len(self._symbols) - 1)
        for stream in self._streams.values():
            if isinstance(stream, OrdersStream):
                stream.every_ns = _ORDERS_EVERY_NS + more * _ORDERS_EACH_NS
            elif isinstance(stream, TradesStream):
                stream.every_ns = _TRADES_EVERY_NS + more * _TRADES_EACH_NS


def _seconds(offset_ns: int) -> int:
    return (abs(offset_ns) + SECOND_NS // 2) // SECOND_NS


def _is_figure(value: object) -> bool:
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def _is_symbol(name: str) -> bool:
    """Say whether an instrument of the book may be a contract of this venue."""
    return name == name.upper() and not set("/-: ") & set(name)


def _quote_of(symbol: str) -> str | None:
    described = instrument_of("", symbol)
    return None if described is None else described.quote


def open_account(settings: AttachSettings, tools: Tools) -> BinanceAccount:
    """Make the account of a key; ConfigError when there is none. Asks nothing yet."""
    credentials = tools.credentials(settings)
    if credentials is None:
        raise ConfigError(
            "a Binance account is attached with a key, not with an address",
            _WHERE,
            "set key_file, or key_env and secret_env; docs/venues/binance.md shows how",
        )
    signer = BinanceSigner(credentials)
    # A testnet has futures only, and its key must not travel to the venue itself.
    on_testnet = "fapi" in settings.urls and "sapi" not in settings.urls

    def transport(scope: str) -> Transport:
        limit = WEB_LIMIT if scope else FUTURES_LIMIT
        manners = BinanceManners(counts_weight=not scope)
        return tools.transport(settings, limit, manners, signer, scope)

    return BinanceAccount(
        credentials.hint,
        settings.label or f"binance {credentials.hint}",
        transport(""),
        None if on_testnet else transport("web"),
        tools.door(settings),
        tools.pace,
        redactor=tools.redactor,
        symbols=settings.symbols,
    )
