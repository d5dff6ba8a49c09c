"""A Coinbase Advanced Trade portfolio, attached read-only with a key that can only view."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence

from fillbook.facts.finding import Finding
from fillbook.ground.clock import SECOND_NS
from fillbook.ground.errors import ConfigError
from fillbook.ground.live_settings import AttachSettings
from fillbook.marks.series import Mark
from fillbook.sources.attach import Tools
from fillbook.sources.coinbase.asks import LIMIT, PAGE_ROWS, answered, ask_of
from fillbook.sources.coinbase.estimate import estimate
from fillbook.sources.coinbase.fills import VENUE
from fillbook.sources.coinbase.holdings import Holdings
from fillbook.sources.coinbase.manners import KEY_STEPS, CoinbaseManners, CoinbaseSigner
from fillbook.sources.coinbase.order_streams import ONE_ORDER, NamedOrdersStream, OrdersStream
from fillbook.sources.coinbase.owed import Owed, Unshown
from fillbook.sources.coinbase.products import ProductsStream
from fillbook.sources.coinbase.socket import Heard, UserListener
from fillbook.sources.coinbase.streams import FillsStream
from fillbook.sources.faults import KeyRefusedError, RefusedError
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

_SKEW_TOLD_NS = SECOND_NS
_WHERE = "[[attach]] coinbase"
_RIGHT = "can_"


class CoinbaseAccount:
    """One portfolio of the venue. `page_rows` is how many rows a page of fills has at most.

    `products` are priced even where the book does not know them yet.
    """

    venue = VENUE

    def __init__(
        self,
        key_hint: str,
        label: str,
        transport: Transport,
        signer: CoinbaseSigner,
        door: SocketDoor,
        pace: Pace,
        *,
        products: Collection[str] = (),
        page_rows: int = PAGE_ROWS,
    ) -> None:
        self.account = ""
        self.label = label
        self._key_hint = key_hint
        self._transport = transport
        self._signer = signer
        self._door = door
        self._pace = pace
        self._page_rows = page_rows
        self._products = set(products)
        self._streams: tuple[Stream, ...] = ()
        self._named_orders: NamedOrdersStream | None = None
        self._owed, self._unshown = Owed(), Unshown()
        self._holdings = Holdings(self.read, self._products.add)

    # -- who it is -------------------------------------------------------------------------

    async def identify(self) -> str:
        """Return the portfolio that the key belongs to; a rotated key belongs to the same."""
        await self._transport.read(ask_of("time", auth="none"))
        told = await self._permissions()
        portfolio = told.get("portfolio_uuid")
        if not isinstance(portfolio, str) or not portfolio:
            raise KeyRefusedError(
                "the venue does not say which portfolio the key belongs to", _WHERE, KEY_STEPS
            )
        self.account = self._holdings.account = portfolio
        self._holdings.kind = str(told.get("portfolio_type", ""))
        return portfolio

    async def rights(self) -> KeyRights:
        """Return what the key may do; whatever is called `can_…` is a right, known or not."""
        answer = await self._transport.read(ask_of("key_permissions"))
        told = answered(answer, dict[str, object])
        rights = {n: v is not False for n, v in told.items() if _is_right(n, v)}
        notes = tuple(f"{name} {value}" for name, value in told.items() if name not in rights)
        return KeyRights(
            venue=VENUE, subject=self._key_hint, rights=rights, notes=notes, raw=answer.text
        )

    async def estimate(self, now_ns: int) -> AttachEstimate:
        """Say what the first attach will take; looks whether a page holds all."""
        return await estimate(self.account, self.read, self._transport.budget, now_ns)

    # -- what to pull ----------------------------------------------------------------------

    async def discover(self, known: Collection[str], now_ns: int) -> Sequence[Stream]:
        """Return every stream: fills and orders are the whole portfolio's."""
        self._products.update(known)
        if not self._streams:
            self._named_orders = NamedOrdersStream(self.account)
            self._streams = (
                FillsStream(
                    self.account,
                    note=self._products.add,
                    seen=self._saw_fill,
                    page_rows=self._page_rows,
                ),
                OrdersStream(
                    self.account,
                    note=self._products.add,
                    shown=self._unshown.shown,
                    over=self._ask_for_unshown,
                ),
                self._named_orders,
                # Behind those that name the contracts it describes.
                ProductsStream(self.account, lambda: self._products),
            )
        return self._streams

    async def read(self, ask: Ask, *, background: bool = False) -> Answer:
        """Send one read; a single order that the venue does not have is answered by null."""
        try:
            return await self._transport.read(ask, background=background)
        except RefusedError:
            if ask.name != ONE_ORDER:
                raise
        now_ns = self.venue_now_ns()
        gone = '{"order":null}'
        return Answer(
            status=200, text=gone, headers={}, asked_ns=now_ns, told_ns=now_ns, received_ns=now_ns
        )

    def venue_now_ns(self) -> int:
        """Return the time on the venue's clock, as far as it is known."""
        return self._transport.venue_now_ns()

    async def positions(self, now_ns: int) -> Snapshot:
        """Return all open positions with one read, and with another what spot coins cost."""
        return await self._holdings.snapshot(self._products, now_ns)

    async def marks(self, instruments: Collection[str], now_ns: int) -> Sequence[Mark]:
        """Return none: positions bring their prices, and those of spot products."""
        return ()

    def trigger(self) -> AsyncIterator[Nudge]:
        """Yield nudges from the websocket of the user for ever."""
        heard = Heard(
            token=self._token,
            note=self._products.add,
            name_order=self._name_order,
            now_ns=self.venue_now_ns,
        )
        listener = UserListener(heard, self._pace, self._owed)
        return self._door.nudges(listener)

    # -- what is told ----------------------------------------------------------------------

    def usage(self) -> Sequence[BudgetUse]:
        """Return how much of the venue's limit is in use."""
        return (self._transport.budget.use(),)

    def findings(self) -> Sequence[Finding]:
        """Return a clock that is off."""
        offset_ns = self._transport.skew.offset_ns
        if abs(offset_ns) <= _SKEW_TOLD_NS:
            return ()
        seconds = (abs(offset_ns) + SECOND_NS // 2) // SECOND_NS
        return (
            Finding(
                code="clock-skew",
                severity="warning",
                message=f"this machine's clock is {seconds} s "
                f"{'behind' if offset_ns > 0 else 'ahead of'} the venue's",
                next_step="set the clock by NTP; until then the venue's time is used",
                venue=VENUE,
                account=self.account,
            ),
        )

    async def close(self) -> None:
        """Close the connections; closing twice is harmless."""
        await self._transport.close()

    # -- inside ----------------------------------------------------------------------------

    async def _permissions(self) -> dict[str, object]:
        answer = await self._transport.read(ask_of("key_permissions"))
        return answered(answer, dict[str, object])

    def _saw_fill(self, order_id: str, entry_id: str) -> None:
        if self._owed.seen(order_id, entry_id):
            self._unshown.filled(order_id)

    def _ask_for_unshown(self) -> None:
        self._unshown.ask_for(self._name_order)

    def _name_order(self, order_id: str) -> bool:
        return self._named_orders is not None and self._named_orders.note(order_id)

    def _token(self) -> str:
        return self._signer.token(self.venue_now_ns())


def _is_right(name: str, value: object) -> bool:
    # Whatever is not a number or a text may be a right, also one of another shape.
    is_plain = isinstance(value, int | float | str | None) and not isinstance(value, bool)
    return name.startswith(_RIGHT) or not is_plain


def open_account(settings: AttachSettings, tools: Tools) -> CoinbaseAccount:
    """Make the account of a key; ConfigError when there is none. Asks nothing yet."""
    credentials = tools.credentials(settings)
    if credentials is None:
        raise ConfigError(
            "a Coinbase account is attached with a key, not with an address",
            _WHERE,
            "set key_file, or key_env and secret_env; docs/venues/coinbase.md shows how",
        )
    signer = CoinbaseSigner(credentials)
    # The limit is the key's.
    transport = tools.transport(settings, LIMIT, CoinbaseManners(), signer, credentials.hint)
    return CoinbaseAccount(
        credentials.hint,
        settings.label or f"coinbase {credentials.hint}",
        transport,
        signer,
        tools.door(settings),
        tools.pace,
        products=settings.symbols,
    )
