"""A simulated Hyperliquid, an account attached to it and a book, put together for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from fillbook.facts.model import AnyFact, Fill, Funding, OrderUpdate, Span, Transfer
from fillbook.ground.clock import MINUTE_NS, SECOND_NS
from fillbook.ground.live_settings import AttachSettings
from fillbook.journal.store import Journal
from fillbook.journal.values import BatchState
from fillbook.resolve.claims import resolve
from fillbook.sim.clock import SimClock, SimPace
from fillbook.sim.executions import SimFill
from fillbook.sim.faults import FaultPlan
from fillbook.sim.live import LiveWorld
from fillbook.sim.venues.hyperliquid.rows import fill_key
from fillbook.sim.venues.hyperliquid.server import HyperliquidServer
from fillbook.sim.world import START_MS
from fillbook.sources.attach import Attached, Tools, attach
from fillbook.sources.faults import SourceError
from fillbook.sources.files.registry import reparse
from fillbook.sources.hyperliquid.asks import LIMIT, HyperliquidManners
from fillbook.sources.hyperliquid.live import HyperliquidAccount
from fillbook.sources.sockets import SocketDoor
from fillbook.sources.stream import AttachEstimate
from fillbook.sources.transport import Patience, Transport
from fillbook.sources.writing import DirectWriter

F = TypeVar("F", bound=AnyFact)
MS = 1_000_000
START_NS = START_MS * MS
# Real time. The venue ends its own stalls sooner, so that a busy machine is not taken for one.
QUICK = Patience(
    connect_ns=5 * SECOND_NS,
    silence_ns=5 * SECOND_NS,
    whole_ns=10 * SECOND_NS,
    first_wait_ns=SECOND_NS,
)


@dataclass
class Desk:
    """One address of one world, watched into one book."""

    who: str
    world: LiveWorld
    clock: SimClock
    venue: HyperliquidServer
    journal: Journal
    make: Callable[[], HyperliquidAccount]
    settings: AttachSettings
    tools: Tools
    told: list[AttachEstimate] = field(default_factory=list)
    attached: Attached | None = None

    def __post_init__(self) -> None:
        self.account = self.make()

    async def start_again(self) -> None:
        """Forget everything that is not in the book, as a program that was killed does."""
        await self.account.close()
        self.account = self.make()
        while True:
            try:
                await self.attach()
                return
            except SourceError as fault:  # maintenance may outlast all tries
                assert fault.retriable, fault
                self.clock.step(MINUTE_NS)

    async def attach(self, *known: str) -> Attached:
        writer = DirectWriter(self.journal, clock=self.clock.now_ns)
        self.attached = await attach(
            *(self.account, self.settings, writer, self.tools.pace),
            known=known,
            told=self.told.append,
        )
        return self.attached

    async def pull(self, *, deep: bool = False) -> dict[str, Any]:
        """Pull every stream once; return what each brought."""
        assert self.attached is not None
        return {p.stream.name: await p.pull(deep=deep) for p in self.attached.pagers}

    def facts(self, kind: type[F]) -> list[F]:
        return [claim.fact for claim in self.journal.claims() if isinstance(claim.fact, kind)]

    def gaps(self) -> list[Span]:
        return [span for span in self.facts(Span) if span.state == "gap"]

    def findings(self) -> list[str]:
        return sorted({finding.code for finding in resolve(self.journal.claims()).findings})

    def batch(self, stream: str) -> BatchState:
        wanted = f"live:hyperliquid:{self.who}:{stream}"
        (batch,) = [each for each in self.journal.batches() if each.batch_id == wanted]
        return batch

    # -- the book, as it can be compared with the world's truth ------------------------------

    def fills(self) -> list[tuple[Any, ...]]:
        return sorted(
            (
                *(fill.ts_ns // MS, fill.instrument, fill.fill_id, fill.order_id, fill.side),
                *(fill.px, fill.qty, fill.fee, fill.fee_asset, fill.liquidity),
                *(fill.start_position, fill.venue_pnl, fill.cause or ""),
            )
            for fill in self.facts(Fill)
        )

    def true_fills(self) -> list[tuple[Any, ...]]:
        return sorted(self._told(fill) for fill in self.world.fills(self.who))

    def _told(self, fill: SimFill) -> tuple[Any, ...]:
        tid = fill_key(fill).split(":")[2]
        return (
            *(fill.ts_ms, self.world.name(fill.market, fill.ts_ms), tid, str(fill.order_id)),
            *(fill.side, fill.px, fill.qty, fill.fee, fill.fee_asset, fill.liquidity),
            *(fill.start_position, fill.closed_pnl, fill.cause or ""),
        )

    def payments(self) -> list[tuple[Any, ...]]:
        return sorted(
            (p.ts_ns // MS, p.instrument, p.amount, p.rate, p.position_qty)
            for p in self.facts(Funding)
        )

    def true_payments(self) -> list[tuple[Any, ...]]:
        return sorted(
            (p.ts_ms, self.world.name(p.market, p.ts_ms), p.amount, p.rate, p.position)
            for p in self.world.funding(self.who)
        )

    def order_ends(self) -> dict[str, tuple[str, str]]:
        """Order id -> (the last thing the book knows of it, when)."""
        latest = sorted(self.facts(OrderUpdate), key=lambda o: (o.ts_ns, o.status != "placed"))
        return {str(o.order_id): (o.status, str(o.ts_ns // MS)) for o in latest}

    def true_order_ends(self) -> dict[str, tuple[str, str]]:
        words = {"partially_filled": "placed", "expired": "cancelled"}
        ends = {}
        for order in self.world.orders(self.who):
            status, at_ms = words.get(order.state, order.state), order.changed_ms
            if order.is_open:
                is_hit = order.triggered_ms is not None
                status, at_ms = ("amended", at_ms) if is_hit else ("placed", order.placed_ms)
            ends[str(order.order_id)] = (status, str(at_ms))
        return ends

    def moved(self) -> Decimal:
        return sum((each.amount for each in self.facts(Transfer)), Decimal(0))

    def true_moved(self) -> Decimal:
        transfers = self.world.desk(self.who).transfers
        return sum((each.amount for each in transfers), Decimal(0))

    def check_truth(self) -> None:
        """The book holds what happened, each thing once, and can prove every row of it."""
        assert self.fills() == self.true_fills()
        assert self.payments() == self.true_payments()
        assert self.moved() == self.true_moved()
        assert self.venue.violations == []
        assert self.journal.verify(reparse) == []


def desk_run(
    folder: Path,
    who: str,
    body: Callable[[Desk], Awaitable[None]],
    *,
    days_ns: int = 0,
    seed: int = 5,
    plan: FaultPlan | None = None,
    rows_per_page: int | None = None,
    horizon_rows: int = 10_000,
    share: str = "1",
    crowd: int = 60,
    patience_s: float = 0.3,
    clock_of: Callable[[int], SimClock] = SimClock,
) -> None:
    """Run a test body on a fresh desk, after the world has gone on for a while."""
    world = LiveWorld(seed, plan=plan, accounts=[who], crowd=crowd)
    world.advance_to(START_NS + days_ns)
    clock = clock_of(world.now_ns)
    venue = HyperliquidServer(
        world,
        clock,
        plan,
        page_rows=rows_per_page or 2_000,
        horizon_rows=horizon_rows,
        patience_s=patience_s,
        burst_frames=50,
    )

    async def whole() -> None:
        pace = SimPace(clock, seed, strides=True)
        tools = Tools(pace, environ={}, patience=QUICK)
        urls = {"api": venue.base_url, "ws": venue.ws_url}
        settings = AttachSettings(
            venue="hyperliquid", address=who, urls=urls, share=Decimal(share), label="desk"
        )
        budget = tools.budget("hyperliquid", LIMIT, settings.share)
        door = SocketDoor("hyperliquid", pace, urls=urls, patience=QUICK)

        def make() -> HyperliquidAccount:
            transport = Transport(
                *("hyperliquid", pace, budget),
                manners=HyperliquidManners(),
                urls=urls,
                patience=QUICK,
            )
            return HyperliquidAccount(
                *(who, "desk", transport, door, pace), rows_per_page=rows_per_page
            )

        path = folder / "book.db"
        with Journal.open(path) if path.exists() else Journal.create(path) as journal:
            desk = Desk(who, world, clock, venue, journal, make, settings, tools)
            try:
                await body(desk)
            finally:
                await desk.account.close()

    with venue:
        asyncio.run(whole())
