"""A simulated Binance, an account attached to it and a book, put together for tests."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from fillbook.facts.model import AnyFact, Charge, Fill, Funding, OrderUpdate, Span, Transfer
from fillbook.ground.clock import SECOND_NS
from fillbook.ground.live_settings import AttachSettings
from fillbook.journal.store import Journal
from fillbook.marks.series import MarkStore
from fillbook.resolve.claims import resolve
from fillbook.sim.clock import SimClock, SimPace
from fillbook.sim.faults import FaultPlan
from fillbook.sim.live import LiveWorld
from fillbook.sim.orders import SimOrder
from fillbook.sim.venues.binance.rows import CONDITIONAL, client_id
from fillbook.sim.venues.binance.server import BinanceServer
from fillbook.sim.venues.calls import Key
from fillbook.sim.world import START_MS
from fillbook.sources.attach import Attached, Tools, attach, pager_of
from fillbook.sources.binance.asks import FUTURES_LIMIT, PAGE_ROWS, WEB_LIMIT
from fillbook.sources.binance.live import BinanceAccount
from fillbook.sources.binance.manners import BinanceManners, BinanceSigner
from fillbook.sources.binance.orders import cause_of
from fillbook.sources.credentials import Credentials
from fillbook.sources.files.registry import reparse
from fillbook.sources.pager import Pager
from fillbook.sources.sockets import SocketDoor
from fillbook.sources.stream import AttachEstimate
from fillbook.sources.transport import Patience, Transport
from fillbook.sources.writing import DirectWriter

F = TypeVar("F", bound=AnyFact)
MS = 1_000_000
START_NS = START_MS * MS
CREDENTIALS = Credentials("desk-key-" + "k" * 40, "desk-secret-" + "s" * 40)
# Real time. The venue ends its own stalls sooner, so that a busy machine is not taken for one.
QUICK = Patience(
    connect_ns=5 * SECOND_NS,
    silence_ns=5 * SECOND_NS,
    whole_ns=10 * SECOND_NS,
    first_wait_ns=SECOND_NS,
)
Row = tuple[Any, ...]


@dataclass
class Desk:
    """One account of one world, watched into one book."""

    who: str
    world: LiveWorld
    clock: SimClock
    venue: BinanceServer
    journal: Journal
    marks: MarkStore
    account: BinanceAccount
    settings: AttachSettings
    tools: Tools
    told: list[AttachEstimate] = field(default_factory=list)
    attached: Attached | None = None
    pagers: dict[str, Pager] = field(default_factory=dict)

    async def attach(self, *known: str) -> Attached:
        self.attached = await attach(
            *(self.account, self.settings, self.writer, self.tools.pace),
            known=known,
            told=self.told.append,
        )
        self.pagers = {pager.stream.name: pager for pager in self.attached.pagers}
        return self.attached

    @property
    def writer(self) -> DirectWriter:
        return DirectWriter(self.journal, self.marks, clock=self.clock.now_ns)

    async def discover(self) -> set[str]:
        """Look for new streams as the monitor does; return the names of those found."""
        known = {fact.instrument for fact in self.facts(Fill)}
        found = set()
        for stream in await self.account.discover(known, self.clock.now_ns()):
            if stream.name not in self.pagers:
                self.pagers[stream.name] = pager_of(
                    self.account, stream, self.writer, self.tools.pace
                )
                found.add(stream.name)
        return found

    async def pull(self, *, deep: bool = False) -> dict[str, Any]:
        """Look for streams, and pull every one once; return what each brought."""
        await self.discover()
        brought = {name: await pager.pull(deep=deep) for name, pager in self.pagers.items()}
        if await self.discover():
            brought |= {
                name: await pager.pull()
                for name, pager in self.pagers.items()
                if name not in brought
            }
        return brought

    def facts(self, kind: type[F]) -> list[F]:
        return [claim.fact for claim in self.journal.claims() if isinstance(claim.fact, kind)]

    def gaps(self) -> list[Span]:
        return [span for span in self.facts(Span) if span.state == "gap"]

    def findings(self) -> set[str]:
        return {finding.code for finding in resolve(self.journal.claims()).findings}

    # -- the book, as it can be compared with the world's truth ------------------------------

    def fills(self) -> list[Row]:
        return sorted(
            (
                *(fill.ts_ns // MS, fill.instrument, fill.fill_id, fill.order_id, fill.side),
                *(fill.px, fill.qty, fill.fee, fill.fee_asset, fill.liquidity),
                *(fill.position_side, fill.venue_pnl),
            )
            for fill in self.facts(Fill)
        )

    def true_fills(self) -> list[Row]:
        return sorted(
            (
                *(fill.ts_ms, self.world.name(fill.market, fill.ts_ms), str(fill.fill_id)),
                *(str(fill.order_id), fill.side),
                *(fill.px, fill.qty, fill.fee, fill.fee_asset, fill.liquidity),
                *(fill.position_side, fill.closed_pnl),
            )
            for fill in self.world.fills(self.who)
        )

    def payments(self) -> list[Row]:
        return sorted((p.ts_ns // MS, p.instrument, p.amount, p.asset) for p in self.facts(Funding))

    def true_payments(self) -> list[Row]:
        return sorted(
            (p.ts_ms, self.world.name(p.market, p.ts_ms), p.amount, p.market.quote)
            for p in self.world.funding(self.who)
        )

    def charges(self) -> list[Row]:
        assert all(charge.repeats_fills for charge in self.facts(Charge))
        return sorted(
            (c.ts_ns // MS, c.what, c.instrument, c.fill_id, c.amount, c.asset)
            for c in self.facts(Charge)
        )

    def true_charges(self) -> list[Row]:
        told: list[Row] = []
        for fill in self.world.fills(self.who):
            place = (self.world.name(fill.market, fill.ts_ms), str(fill.fill_id))
            if fill.fee:
                told.append((fill.ts_ms, "commission", *place, fill.fee, fill.fee_asset))
            if fill.closed_pnl:
                quote = fill.market.quote
                told.append((fill.ts_ms, "realized pnl", *place, -fill.closed_pnl, quote))
        return sorted(told)

    def moved(self) -> list[Row]:
        return sorted((t.ts_ns // MS, t.asset, t.amount) for t in self.facts(Transfer))

    def true_moved(self) -> list[Row]:
        transfers = self.world.desk(self.who).transfers
        return sorted((t.ts_ms, t.asset, t.amount) for t in transfers if t.wallet == "perp")

    def order_ends(self) -> dict[str, Row]:
        """Client id -> the last thing the book knows of an order: status, quantity filled."""
        ends: dict[str, Row] = {}
        ranks = ("placed", "amended", "partially_filled")
        known = sorted(
            self.facts(OrderUpdate),
            key=lambda o: (o.ts_ns, ranks.index(o.status) if o.status in ranks else len(ranks)),
        )
        for order in known:
            if cause_of(order.client_order_id) is None:
                ends[str(order.client_order_id)] = (order.status, order.filled_qty or Decimal(0))
        return ends

    def true_order_ends(self) -> dict[str, Row]:
        """What every order came to, of symbols that anything but the order itself ever named."""
        return {
            client_id(order): self._end(order)
            for order in self.world.orders(self.who)
            if order.cause is None and f"orders/{order.market.symbol}" in self.pagers
        }

    def _end(self, order: SimOrder) -> Row:
        went_off = order.kind in CONDITIONAL and order.triggered_ms is not None
        if order.is_open and went_off and not order.filled:
            return ("amended", Decimal(0))
        return (order.state, order.filled)

    def check_truth(self) -> None:
        """The book holds what happened, each thing once, and can prove every row of it."""
        assert self.fills() == self.true_fills()
        assert self.payments() == self.true_payments()
        assert self.charges() == self.true_charges()
        assert self.moved() == self.true_moved()
        assert self.venue.violations == []
        assert self.venue.limiter.bans == 0
        assert self.journal.verify(reparse) == []

    def asked(self) -> Counter[str]:
        """How often each read was asked for."""
        return self.venue.counted()


def desk_run(
    folder: Path,
    who: str,
    body: Callable[[Desk], Awaitable[None]],
    *,
    days_ns: int = 0,
    seed: int = 5,
    plan: FaultPlan | None = None,
    page_rows: int = PAGE_ROWS,
    share: str = "1",
    crowd: int = 60,
    patience_s: float = 0.3,
    clock_of: Callable[[int], SimClock] = SimClock,
    strides: bool = True,
) -> None:
    """Run a test body on a fresh desk, after the world has gone on for a while."""
    world = LiveWorld(seed, plan=plan, accounts=[who], crowd=crowd)
    world.advance_to(START_NS + days_ns)
    clock = clock_of(world.now_ns)
    key = Key(name=CREDENTIALS.key, secret=CREDENTIALS.secret, account=who)
    venue = BinanceServer(
        *(world, clock, plan),
        keys=[key],
        page_rows=page_rows,
        patience_s=patience_s,
        burst_frames=50,
    )

    async def whole() -> None:
        pace = SimPace(clock, seed, strides=strides)
        tools = Tools(pace, environ={}, patience=QUICK)
        urls = {"fapi": venue.base_url, "sapi": venue.base_url, "ws": venue.ws_url}
        settings = AttachSettings(
            venue="binance", key_file="-", urls=urls, share=Decimal(share), label="desk"
        )

        def transport(scope: str) -> Transport:
            limit = WEB_LIMIT if scope else FUTURES_LIMIT
            return Transport(
                *("binance", pace, tools.budget("binance", limit, settings.share, scope)),
                signer=BinanceSigner(CREDENTIALS),
                manners=BinanceManners(counts_weight=not scope),
                urls=urls,
                patience=QUICK,
            )

        door = SocketDoor("binance", pace, urls=urls, patience=QUICK)
        account = BinanceAccount(
            *(CREDENTIALS.hint, "desk", transport(""), transport("web"), door, pace),
            page_rows=page_rows,
        )
        path = folder / "book.db"
        with (
            Journal.open(path) if path.exists() else Journal.create(path) as journal,
            MarkStore(folder / "book.marks") as marks,
        ):
            desk = Desk(who, world, clock, venue, journal, marks, account, settings, tools)
            try:
                await body(desk)
            finally:
                await account.close()

    with venue:
        asyncio.run(whole())
