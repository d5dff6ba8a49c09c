"""A Hyperliquid account, attached by its public address: no key exists, and none is taken."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence

import msgspec

from fillbook.facts.finding import Finding
from fillbook.ground.clock import DAY_NS
from fillbook.ground.live_settings import AttachSettings
from fillbook.marks.series import Mark
from fillbook.sources.attach import Tools
from fillbook.sources.credentials import public_address
from fillbook.sources.faults import KeyRefusedError
from fillbook.sources.hyperliquid.asks import (
    LIMIT,
    ROLE_WEIGHT,
    USUAL_WEIGHT,
    HyperliquidManners,
    answered,
    ask_of,
)
from fillbook.sources.hyperliquid.estimate import estimate
from fillbook.sources.hyperliquid.fills import VENUE
from fillbook.sources.hyperliquid.holdings import Holdings
from fillbook.sources.hyperliquid.markets import Markets, PerpMeta, SpotMeta, dex_of
from fillbook.sources.hyperliquid.order_streams import OpenOrdersStream, OrdersStream
from fillbook.sources.hyperliquid.socket import UserListener
from fillbook.sources.hyperliquid.streams import (
    HORIZON_ROWS,
    OTHERS_A_PAGE,
    FillsStream,
    FundingStream,
    LedgerStream,
)
from fillbook.sources.hyperliquid.walk import MS_NS
from fillbook.sources.pace import Pace
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

_ALARM_ROWS = HORIZON_ROWS // 2
_NEEDS_MARKETS = frozenset({"userFillsByTime", "userFunding"})
_WHERE = "[[attach]] address"


class _Role(msgspec.Struct):
    role: str
    told: dict[str, str] = msgspec.field(default_factory=dict, name="data")


class _Alarm(msgspec.Struct, frozen=True):
    rows: int
    at_ns: int


class HyperliquidAccount:
    """One address of the venue. `rows_per_page` is set where a venue cuts pages shorter."""

    venue = VENUE

    def __init__(
        self,
        address: str,
        label: str,
        transport: Transport,
        door: SocketDoor,
        pace: Pace,
        *,
        rows_per_page: int | None = None,
    ) -> None:
        self.account = address
        self.label = label
        self._transport = transport
        self._door = door
        self._pace = pace
        self._markets = Markets()
        self._holdings = Holdings(address, self._markets, transport.read)
        self._learned_ticks: int | None = None
        self._in_vain: set[str] = set()
        self._alarm: _Alarm | None = None
        self._streams = self._lasting_streams(rows_per_page)

    def _lasting_streams(self, rows_per_page: int | None) -> dict[str, Stream]:
        address, markets = self.account, self._markets
        cut = {} if rows_per_page is None else {"full_rows": rows_per_page}
        orders_cut = {} if rows_per_page is None else {"page_rows": rows_per_page}
        streams: tuple[Stream, ...] = (
            FillsStream(address, markets, behind=self._fell_behind, **cut),
            FundingStream(address, markets, **cut),
            LedgerStream(address, markets, **cut),
            OrdersStream(address, markets, **orders_cut),
            OpenOrdersStream(address, markets),
        )
        return {stream.name: stream for stream in streams}

    # -- who it is -------------------------------------------------------------------------

    async def identify(self) -> str:
        """Return the address; KeyRefusedError where it is no account with fills of its own."""
        answer = await self._ask_role()
        role = answered(answer, _Role)
        if role.role == "agent":
            master = role.told.get("user", "its master account")
            raise KeyRefusedError(
                f"{self.account} is the address of an API wallet (agent) of {master}; it has no "
                "fills of its own, and the venue shows nothing for it",
                _WHERE,
                f"set address = {master!r}",
            )
        if role.role == "missing":
            raise KeyRefusedError(
                f"the venue knows no account {self.account}",
                _WHERE,
                "copy the address again from the venue's page; a testnet account needs "
                'urls.api = "https://api.hyperliquid-testnet.xyz"',
            )
        return self.account

    async def rights(self) -> KeyRights:
        """Return the role of the address; there is no key, so there are no rights to judge."""
        answer = await self._ask_role()
        role = answered(answer, _Role)
        notes = [f"{name} {address}" for name, address in sorted(role.told.items())]
        return KeyRights(
            venue=VENUE,
            subject=self.account,
            rights={},
            role=role.role,
            notes=tuple(notes),
            raw=answer.text,
        )

    async def estimate(self, now_ns: int) -> AttachEstimate:
        """Say what the first attach will take; reads the oldest page of funding."""
        ask = ask_of("userFunding", USUAL_WEIGHT, OTHERS_A_PAGE, user=self.account, startTime=0)
        first = await self._transport.read(ask)
        return estimate(self.account, self._transport.budget, first, now_ns // MS_NS)

    # -- what to pull ----------------------------------------------------------------------

    async def discover(self, known: Collection[str], now_ns: int) -> Sequence[Stream]:
        """Return every stream; a dex traded on for the first time adds its open orders."""
        self._holdings.known = frozenset(known)
        ticks = self._pace.ticks_ns()
        is_old = self._learned_ticks is None or ticks - self._learned_ticks >= DAY_NS
        if is_old:
            self._in_vain.clear()
            await self._learn_spot()
            self._learned_ticks = ticks
        await self._learn(set(known) | self._markets.wanted)
        for dex in sorted({dex_of(name) for name in known} - {""}):
            stream = OpenOrdersStream(self.account, self._markets, dex=dex)
            self._streams.setdefault(stream.name, stream)
        return tuple(self._streams.values())

    async def read(self, ask: Ask, *, background: bool = False) -> Answer:
        """Send one read; markets that a history has just named are looked up before it goes on."""
        if self._markets.wanted and ask.name in _NEEDS_MARKETS:
            await self._learn(set(self._markets.wanted), background=background)
        return await self._transport.read(ask, background=background)

    def venue_now_ns(self) -> int:
        """Return the time on the venue's clock, as far as it is known."""
        return self._transport.venue_now_ns()

    async def positions(self, now_ns: int) -> Snapshot:
        """Return all open positions: one read for each dex traded on, one for spot if any."""
        return await self._holdings.snapshot(now_ns)

    async def marks(self, instruments: Collection[str], now_ns: int) -> Sequence[Mark]:
        """Return mids of the instruments whose mark the positions did not bring."""
        return await self._holdings.marks(instruments)

    def trigger(self) -> AsyncIterator[Nudge]:
        """Yield nudges from the websocket for ever."""
        return self._door.nudges(UserListener(self.account, self._pace))

    # -- what is told ----------------------------------------------------------------------

    def usage(self) -> Sequence[BudgetUse]:
        """Return how much of the venue's limit is in use."""
        return (self._transport.budget.use(),)

    def findings(self) -> Sequence[Finding]:
        """Return how near the venue's horizon the fills came within a day."""
        alarm = self._alarm
        if alarm is None or self._pace.now_ns() - alarm.at_ns >= DAY_NS:
            return ()
        return (
            Finding(
                code="horizon-near",
                severity="warning",
                message=f"{alarm.rows:,} fills happened between two pulls; the venue keeps only "
                f"the newest {HORIZON_ROWS:,}, and older ones would be lost",
                next_step="keep the monitor running, or attach it on a machine that does",
                venue=VENUE,
                account=self.account,
                ts_ns=alarm.at_ns,
            ),
        )

    async def close(self) -> None:
        """Close the connections; closing twice is harmless."""
        await self._transport.close()

    # -- inside ----------------------------------------------------------------------------

    async def _ask_role(self) -> Answer:
        return await self._transport.read(ask_of("userRole", ROLE_WEIGHT, user=self.account))

    async def _learn(self, coins: set[str], *, background: bool = False) -> None:
        """Look up markets that nobody has told us about; what stays unknown is asked once a day."""
        untold = {coin for coin in coins if not self._markets.is_told(coin)} - self._in_vain
        self._markets.wanted.clear()
        if any(coin.startswith("@") for coin in untold):
            await self._learn_spot(background=background)
        for dex in sorted({dex_of(coin) for coin in untold} - {""}):
            ask = ask_of("meta", USUAL_WEIGHT, 0, dex=dex)
            answer = await self._transport.read(ask, background=background)
            self._markets.learn_dex(dex, answered(answer, PerpMeta))
        self._in_vain |= {coin for coin in untold if not self._markets.is_told(coin)}

    async def _learn_spot(self, *, background: bool = False) -> None:
        ask = ask_of("spotMeta", USUAL_WEIGHT)
        answer = await self._transport.read(ask, background=background)
        self._markets.learn_spot(answered(answer, SpotMeta))

    def _fell_behind(self, rows: int) -> None:
        if rows > _ALARM_ROWS:
            self._alarm = _Alarm(rows, self._pace.now_ns())


def open_account(settings: AttachSettings, tools: Tools) -> HyperliquidAccount:
    """Make the account of an address; ConfigError when it is none. Asks nothing yet."""
    address = public_address(settings, tools.redactor)
    transport = tools.transport(settings, LIMIT, HyperliquidManners())
    label = settings.label or f"{address[:6]}…{address[-4:]}"
    return HyperliquidAccount(address, label, transport, tools.door(settings), tools.pace)
