"""A simulated Coinbase, a portfolio attached to it and a book, put together for tests."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from fillbook.facts.model import AnyFact, Correction, Fill, OrderUpdate, Span
from fillbook.ground.clock import SECOND_NS
from fillbook.ground.live_settings import AttachSettings
from fillbook.journal.store import Journal
from fillbook.marks.series import MarkStore
from fillbook.resolve.claims import resolve
from fillbook.sim.clock import SimClock, SimPace
from fillbook.sim.faults import FaultPlan
from fillbook.sim.live import LiveWorld
from fillbook.sim.venues.calls import Key
from fillbook.sim.venues.coinbase.histories import ORDERS_A_PAGE
from fillbook.sim.venues.coinbase.keys import new_secret
from fillbook.sim.venues.coinbase.rows import client_id_of, entries_of, order_id_of
from fillbook.sim.venues.coinbase.server import CoinbaseServer
from fillbook.sim.world import START_MS
from fillbook.sources.attach import Attached, Tools, attach
from fillbook.sources.coinbase.asks import LIMIT
from fillbook.sources.coinbase.live import CoinbaseAccount
from fillbook.sources.coinbase.manners import CoinbaseManners, CoinbaseSigner
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
CREDENTIALS = Credentials("organizations/o-1/apiKeys/desk-key", new_secret())
# Real time. The venue ends its own stalls sooner, so that a busy machine is not taken for one.
QUICK = Patience(
    connect_ns=5 * SECOND_NS,
    silence_ns=5 * SECOND_NS,
    whole_ns=10 * SECOND_NS,
    first_wait_ns=SECOND_NS,
)
Row = tuple[Any, ...]


class Wall(SimPace):
    """A simulated clock on a machine whose own clock somebody may set."""

    ahead_ns = 0

    def now_ns(self) -> int:
        return super().now_ns() + self.ahead_ns


@dataclass
class Desk:
    """One portfolio of one world, watched into one book."""

    who: str
    world: LiveWorld
    clock: SimClock
    venue: CoinbaseServer
    journal: Journal
    marks: MarkStore
    account: CoinbaseAccount
    settings: AttachSettings
    tools: Tools
    wall: Wall
    told: list[AttachEstimate] = field(default_factory=list)
    attached: Attached | None = None
    pagers: dict[str, Pager] = field(default_factory=dict)

    async def attach(self) -> Attached:
        self.attached = await attach(
            *(self.account, self.settings, self.writer, self.tools.pace), told=self.told.append
        )
        self.pagers = {pager.stream.name: pager for pager in self.attached.pagers}
        return self.attached

    @property
    def writer(self) -> DirectWriter:
        return DirectWriter(self.journal, self.marks, clock=self.clock.now_ns)

    async def pull(self, *, deep: bool = False) -> dict[str, Any]:
        """Pull every stream once; return what each brought."""
        brought = {name: await pager.pull(deep=deep) for name, pager in self.pagers.items()}
        # What contracts are is asked for once they were seen.
        brought["products"] = await self.pagers["products"].pull()
        return brought

    def facts(self, kind: type[F]) -> list[F]:
        return [claim.fact for claim in self.journal.claims() if isinstance(claim.fact, kind)]

    def gaps(self) -> list[Span]:
        return [span for span in self.facts(Span) if span.state == "gap"]

    def findings(self) -> set[str]:
        return {finding.code for finding in resolve(self.journal.claims()).findings}

    # -- the book, as it can be compared with the world's truth ------------------------------

    def fills(self) -> list[Row]:
        """Every fill as it stands: what was undone is gone, what was corrected says the new."""
        events = [event for g in resolve(self.journal.claims()).groups for event in g.events]
        standing = [event.fact for event in events if isinstance(event.fact, Fill)]
        return sorted(
            (
                *(fill.ts_ns // MS, fill.instrument, fill.order_id, fill.side, fill.px, fill.qty),
                *(fill.fee, fill.fee_asset, fill.liquidity),
            )
            for fill in standing
        )

    def true_fills(self) -> list[Row]:
        return sorted(
            (
                *(fill.ts_ms, self.world.name(fill.market, fill.ts_ms)),
                *(order_id_of(fill.order_id), fill.side, fill.px),
                *(fill.qty, fill.fee, fill.fee_asset, fill.liquidity),
            )
            for fill in self.world.truth(self.who).fills
        )

    def rows(self) -> list[Row]:
        """Every row of the history that is in the book, by its own id."""
        fills = [(fill.fill_id, "FILL") for fill in self.facts(Fill)]
        undone = [(claim.key, claim.fact) for claim in self.journal.claims()]
        return sorted(
            [
                *fills,
                *(
                    (key.split("|")[2], str(fact.reason).upper())
                    for key, fact in undone
                    if isinstance(fact, Correction)
                ),
            ]
        )

    def true_rows(self) -> list[Row]:
        desk = self.world.desk(self.who)
        made = entries_of(self.venue.plan, desk.fills, desk.corrections)
        return sorted((entry.entry_id, entry.trade_type) for entry in made)

    def order_ends(self) -> dict[str, Row]:
        """Client id -> the last thing the book knows of an order: status, quantity filled."""
        ends: dict[str, Row] = {}
        ranks = ("placed", "amended", "partially_filled")
        known = sorted(
            self.facts(OrderUpdate),
            key=lambda o: (
                *(o.ts_ns, ranks.index(o.status) if o.status in ranks else len(ranks)),
                o.filled_qty or Decimal(0),
            ),
        )
        for order in known:
            ends[str(order.client_order_id)] = (order.status, order.filled_qty or Decimal(0))
        return ends

    def true_order_ends(self) -> dict[str, Row]:
        return {
            client_id_of(order): (order.state, order.filled)
            for order in self.world.orders(self.who)
        }

    def check_truth(self) -> None:
        """The book holds what happened, each thing once, and can prove every row of it."""
        assert self.rows() == self.true_rows()
        assert self.fills() == self.true_fills()
        assert self.venue.violations == []
        assert self.venue.limiter.turned_away == self.venue.public_limiter.turned_away == 0
        assert self.journal.verify(reparse) == []

    def idle_ns(self) -> int:
        """How long ago the last execution was."""
        return self.world.now_ns - self.world.fills(self.who)[-1].ts_ms * MS

    def refused(self) -> int:
        """How many tokens the venue has not taken."""
        return sum(seen.status == 401 for seen in self.venue.seen)

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
    page_rows: int = ORDERS_A_PAGE,
    share: str = "1",
    crowd: int = 60,
    strides: bool = True,
    patience_s: float = 0.3,
    clock_of: Callable[[int], SimClock] = SimClock,
) -> None:
    """Run a test body on a fresh desk, after the world has gone on for a while."""
    world = LiveWorld(seed, plan=plan, accounts=[who], crowd=crowd)
    world.advance_to(START_NS + days_ns)
    clock = clock_of(world.now_ns)
    key = Key(name=CREDENTIALS.key, secret=CREDENTIALS.secret, account=who)
    venue = CoinbaseServer(
        *(world, clock, plan),
        keys=[key],
        page_rows=page_rows,
        patience_s=patience_s,
        burst_frames=50,
    )

    async def whole() -> None:
        pace = Wall(clock, seed, strides=strides)
        tools = Tools(pace, environ={}, patience=QUICK)
        urls = {"api": venue.base_url, "ws": venue.ws_url}
        settings = AttachSettings(
            venue="coinbase", key_file="-", urls=urls, share=Decimal(share), label="desk"
        )
        signer = CoinbaseSigner(CREDENTIALS)
        transport = Transport(
            *("coinbase", pace, tools.budget("coinbase", LIMIT, settings.share)),
            signer=signer,
            manners=CoinbaseManners(),
            urls=urls,
            patience=QUICK,
        )
        door = SocketDoor("coinbase", pace, urls=urls, patience=QUICK)
        account = CoinbaseAccount(CREDENTIALS.hint, "desk", transport, signer, door, pace)
        path = folder / "book.db"
        with (
            Journal.open(path) if path.exists() else Journal.create(path) as journal,
            MarkStore(folder / "book.marks") as marks,
        ):
            desk = Desk(who, world, clock, venue, journal, marks, account, settings, tools, pace)
            try:
                await body(desk)
            finally:
                await account.close()

    with venue:
        asyncio.run(whole())
