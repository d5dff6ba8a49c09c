"""Turns a resolved group into the kernel's columns: scaled integers and money on the grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context

import numpy as np
import numpy.typing as npt

from fillbook.facts.model import Charge, Fill, Funding, Instrument
from fillbook.ground.exact import INT64_MAX, INT128_MAX, to_money, to_scaled
from fillbook.ledger import amounts, layout
from fillbook.ledger.bundles import EventColumns
from fillbook.ledger.terms import DoesNotFitError, Terms, ladder_px, terms_of
from fillbook.resolve.event import NO_STRATEGY, Event, Group, GroupKey, Kind
from fillbook.resolve.grouping import base_fee

I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
U8 = npt.NDArray[np.uint8]
Text = str | None

# what else is known of a row, in `traits`
ARRIVAL_KNOWN = 1
MID_KNOWN = 2
MAKER = 4
TAKER = 8
VENUE_PNL = 16
VENUE_PNL_NET = 32
APPROXIMATE = 64


@dataclass
class GroupColumns:
    """One group as columns, one row per event; money columns have shape (n, 2): hi, lo bits.

    `events` is what the kernel reads; a funding payment of a group with several sub-books is one
    row per book there (the kernel splits it). `price` and `traded_qty` are the fill's own, at
    `terms.price_scale` and `terms.qty_scale`. `foreign` names the asset of money that is not the
    settlement currency, by index into `assets` (-1: none); such money stands in `foreign_amount`,
    positive = cost.
    """

    key: GroupKey
    contract: Instrument
    terms: Terms
    books: list[str]
    events: EventColumns
    ts_ns: I64
    seq: I64
    traded_qty: I64
    price: I64
    traits: U8
    foreign: I32
    foreign_amount: I64
    venue_pnl: I64
    assets: list[str]
    event_key: Sequence[str]
    fill_id: Sequence[Text]
    order_id: Sequence[Text]
    decision_id: Sequence[Text]
    exit_reason: Sequence[Text]
    written_as_floats: bool = False
    without_times: bool = False

    def __len__(self) -> int:
        return len(self.ts_ns)


def columns_of(group: Group) -> GroupColumns:
    """Build the columns of a group; raises DoesNotFitError with the claim that does not fit."""
    terms = terms_of(group)
    books = sorted({event.book for event in group.events} | {NO_STRATEGY})
    builder = _Builder(group, terms, books)
    for event in group.events:
        try:
            builder.add(event)
        except (ValueError, OverflowError) as fault:
            raise DoesNotFitError(event.seq) from fault
    return builder.finish()


class _Builder:
    """Collects rows as Python ints, then makes arrays once."""

    def __init__(self, group: Group, terms: Terms, books: list[str]) -> None:
        self.group = group
        self.terms = terms
        # "-" is book 0: what no open book can take stays there.
        books.remove(NO_STRATEGY)
        self.books = [NO_STRATEGY, *books]
        self.index = {name: place for place, name in enumerate(self.books)}
        self.settle = group.instrument.settle
        self.assets: list[str] = []
        self.rows: list[tuple[int, ...]] = []
        self.money: list[tuple[int, int, int, int]] = []
        self.texts: list[tuple[str, Text, Text, Text, Text]] = []

    def add(self, event: Event) -> None:
        if event.kind == Kind.FUNDING:
            self._add_funding(event)
        elif event.kind == Kind.CHARGE:
            charge = event.fact
            assert isinstance(charge, Charge)
            self._add(event, fee=to_money(charge.amount), asset=charge.asset)
        elif event.kind == Kind.FILL:
            self._add_fill(event)
        else:
            self._add(event, qty=event.qty)

    def _add_funding(self, event: Event) -> None:
        funding = event.fact
        assert isinstance(funding, Funding)
        amount = to_money(funding.amount)
        if funding.asset != self.settle:
            self._add(event, fee=-amount, asset=funding.asset)
        elif funding.strategy or len(self.books) == 1:
            self._add(event, amount=amount)
        else:
            for book in range(len(self.books)):
                self._add(event, amount=amount, book=book)

    def _add_fill(self, event: Event) -> None:
        fill = event.fact
        assert isinstance(fill, Fill)
        fee, asset = 0, self.settle
        if base_fee(fill, self.group.instrument):
            assert fill.fee is not None
            fee = to_money(_EXACT.multiply(fill.fee, fill.px))
        elif fill.fee is not None:
            fee, asset = to_money(fill.fee), fill.fee_asset or self.settle
        venue_pnl = 0 if fill.venue_pnl is None else to_money(fill.venue_pnl)
        traded = to_scaled(fill.qty, self.terms.qty_scale)
        if event.part is not None:
            fee, traded, venue_pnl = (event.part.of(n) for n in (fee, traded, venue_pnl))
        px, flags, known = self._rungs(event, fill)
        self._add(
            event,
            qty=event.qty,
            traded=traded,
            price=to_scaled(fill.px, self.terms.price_scale),
            px=px,
            fee=fee,
            asset=asset,
            flags=flags | (layout.FEE_UNKNOWN if fill.fee is None else 0),
            traits=known | _traits(fill),
            venue_pnl=venue_pnl,
        )

    def _rungs(self, event: Event, fill: Fill) -> tuple[tuple[int, int, int, int], int, int]:
        """Return the four rungs, the kernel's flags and the traits that say what is known."""
        last = ladder_px(fill.px, self.terms)
        rungs = event.rungs
        if rungs is None:
            return (last, last, last, last), 0, 0
        given = (rungs.decision, rungs.arrival, rungs.mid)
        flags = layout.DECISION_KNOWN if rungs.decision is not None else 0
        known = ARRIVAL_KNOWN if rungs.arrival is not None else 0
        known |= MID_KNOWN if rungs.mid is not None else 0
        steps = [None if px is None else ladder_px(px, self.terms) for px in given]
        # Leading unknown rungs take the first known one, later gaps the one before; no mid means
        # that all slippage stands in the spread line.
        step = next((px for px in steps if px is not None), last)
        filled = []
        for px in steps:
            step = step if px is None else px
            filled.append(step)
        return (filled[0], filled[1], filled[2], last), flags, known

    def _add(
        self,
        event: Event,
        *,
        qty: int = 0,
        traded: int = 0,
        price: int = 0,
        px: tuple[int, int, int, int] = (0, 0, 0, 0),
        fee: int = 0,
        asset: str = "",
        amount: int = 0,
        flags: int = 0,
        traits: int = 0,
        venue_pnl: int = 0,
        book: int | None = None,
    ) -> None:
        foreign, foreign_amount = -1, 0
        if asset and asset != self.settle and fee:
            foreign, foreign_amount, fee = self._asset(asset), fee, 0
        _fits(INT64_MAX, qty, traded, price, *px)
        _fits(INT128_MAX, fee, amount, foreign_amount, venue_pnl)
        split = event.kind == Kind.FUNDING and book is not None
        self.rows.append(
            (
                layout.FUNDING_SHARE if split else KERNEL_KIND[event.kind],
                event.ts_ns,
                event.seq,
                self.index[event.book] if book is None else book,
                qty,
                traded,
                price,
                *px,
                flags | (layout.OPENING if event.kind == Kind.OPENING else 0),
                traits,
                foreign,
            )
        )
        self.money.append((fee, amount, foreign_amount, venue_pnl))
        fact = event.fact
        if isinstance(fact, Fill):
            ids = (fact.fill_id, fact.order_id, fact.decision_id, fact.exit_reason)
            self.texts.append((event.key, *ids))
        else:
            self.texts.append((event.key, None, None, None, None))

    def _asset(self, asset: str) -> int:
        if asset not in self.assets:
            self.assets.append(asset)
        return self.assets.index(asset)

    def finish(self) -> GroupColumns:
        table = np.array(self.rows, dtype=np.int64).reshape(-1, 14)
        fee, amount, foreign_amount, venue_pnl = (
            amounts.from_ints([row[place] for row in self.money]) for place in range(4)
        )
        texts: Sequence[list[Text]] = [list(column) for column in zip(*self.texts, strict=True)]
        if not texts:
            texts = [[], [], [], [], []]
        return GroupColumns(
            key=self.group.key,
            contract=self.group.instrument,
            terms=self.terms,
            books=self.books,
            events=EventColumns(
                kind=table[:, 0].astype(np.uint8),
                book=table[:, 3].astype(np.int32),
                qty=np.ascontiguousarray(table[:, 4]),
                px=np.ascontiguousarray(table[:, 7:11]),
                fee=fee,
                amount=amount,
                flags=table[:, 11].astype(np.uint8),
            ),
            ts_ns=np.ascontiguousarray(table[:, 1]),
            seq=np.ascontiguousarray(table[:, 2]),
            traded_qty=np.ascontiguousarray(table[:, 5]),
            price=np.ascontiguousarray(table[:, 6]),
            traits=table[:, 12].astype(np.uint8),
            foreign=table[:, 13].astype(np.int32),
            foreign_amount=foreign_amount,
            venue_pnl=venue_pnl,
            assets=self.assets,
            event_key=[key or "" for key in texts[0]],
            fill_id=texts[1],
            order_id=texts[2],
            decision_id=texts[3],
            exit_reason=texts[4],
            written_as_floats=self.group.written_as_floats,
            without_times=self.group.without_times,
        )


_EXACT = Context(prec=120)

KERNEL_KIND = {
    Kind.OPENING: layout.ADJUST,
    Kind.FUNDING: layout.FUNDING,
    Kind.CHARGE: layout.FEE,
    Kind.FILL: layout.FILL,
    Kind.ADJUST: layout.ADJUST,
}


def _traits(fill: Fill) -> int:
    traits = APPROXIMATE if fill.approximate else 0
    if fill.liquidity is not None:
        traits |= MAKER if fill.liquidity == "maker" else TAKER
    if fill.venue_pnl is not None:
        traits |= VENUE_PNL | (VENUE_PNL_NET if fill.venue_pnl_basis == "net" else 0)
    return traits


def _fits(limit: int, *numbers: int) -> None:
    for number in numbers:
        if abs(number) > limit:
            raise OverflowError(number)
