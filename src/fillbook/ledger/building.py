"""Turns a resolved group into columns: scaled integers and money on the grid."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context

import numpy as np
import numpy.typing as npt

from fillbook.facts.model import Charge, Fill, Funding
from fillbook.ground.exact import INT64_MAX, INT128_MAX, all_money, all_scaled, to_money
from fillbook.ledger import amounts, layout
from fillbook.ledger.bundles import EventColumns
from fillbook.ledger.columns import (
    APPROXIMATE,
    ARRIVAL_KNOWN,
    I32,
    I64,
    MAKER,
    MID_KNOWN,
    SHARED,
    TAKER,
    VENUE_PNL,
    VENUE_PNL_NET,
    GroupColumns,
    Text,
)
from fillbook.ledger.terms import DoesNotFitError, Terms, all_ladder_px, terms_of
from fillbook.resolve.event import NO_STRATEGY, Event, Group, Kind, PartOf
from fillbook.resolve.grouping import base_fee

Flags = npt.NDArray[np.bool_]

_CHUNK = 1024
_UNFIT = (ValueError, ArithmeticError)
_WIDE = Context(prec=120)
_LIQUIDITY = {None: 0, "maker": MAKER, "taker": TAKER}

# The kernel's word for each kind of event, by number
_KERNEL_KIND = np.array(
    [layout.ADJUST, layout.FUNDING, layout.FEE, layout.FILL, layout.ADJUST], np.uint8
)


def columns_of(group: Group) -> GroupColumns:
    """Build the columns of a group; raises DoesNotFitError with the claim that does not fit."""
    terms = terms_of(group)
    books = [NO_STRATEGY, *sorted({event.book for event in group.events} - {NO_STRATEGY})]
    try:
        return _Builder(group, terms, books).columns(group.events)
    except _UNFIT as fault:
        unfit = next(each for each in group.events if not _fits(group, terms, books, each))
        raise DoesNotFitError(unfit.seq) from fault


def _fits(group: Group, terms: Terms, books: list[str], event: Event) -> bool:
    try:
        _Builder(group, terms, books).columns([event])
    except _UNFIT:
        return False
    return True


class _Builder:
    """Turns events into columns, some rows at a time and each field of them at once.

    A million fills are more than any cache holds, and waiting for memory costs more than all the
    arithmetic: so a chunk of them goes through every step before the next one is touched.
    """

    def __init__(self, group: Group, terms: Terms, books: list[str]) -> None:
        self.group = group
        self.terms = terms
        # "-" is book 0: what no open book can take stays there.
        self.books = books
        self.settle = group.instrument.settle
        self.foreign: list[tuple[int, str, int]] = []
        self.texts: tuple[list[Text], ...] = ([], [], [], [], [])

    def columns(self, events: Sequence[Event]) -> GroupColumns:
        """Return the columns of some of the group's events."""
        rows, shares = self._rows(events)
        n = len(rows)
        self.out = EventColumns.allocate(n)
        self.ts_ns, self.seq, self.traded, self.price = (np.zeros(n, np.int64) for _ in range(4))
        self.traits, self.venue_pnl = np.zeros(n, np.uint8), np.zeros((n, 2), np.int64)
        for start in range(0, n, _CHUNK):
            self._add(slice(start, min(n, start + _CHUNK)), rows[start : start + _CHUNK])
        self.out.book[list(shares)] = list(shares.values())
        self.out.kind[list(shares)] = layout.FUNDING_SHARE
        foreign, foreign_amount, assets = self._foreign(n)
        fill_id, order_id, decision_id, exit_reason, cause = self.texts
        return GroupColumns(
            key=self.group.key,
            contract=self.group.instrument,
            terms=self.terms,
            books=self.books,
            events=self.out,
            ts_ns=self.ts_ns,
            seq=self.seq,
            traded_qty=self.traded,
            price=self.price,
            traits=self.traits,
            foreign=foreign,
            foreign_amount=foreign_amount,
            venue_pnl=self.venue_pnl,
            assets=assets,
            event_key=[event.key for event in rows],
            fill_id=fill_id,
            order_id=order_id,
            decision_id=decision_id,
            exit_reason=exit_reason,
            cause=cause,
            written_as_floats=self.group.written_as_floats,
            without_times=self.group.without_times,
        )

    def _rows(self, events: Sequence[Event]) -> tuple[Sequence[Event], dict[int, int]]:
        """Return one event per row, and the book of rows that share a payment with others."""
        if len(self.books) == 1:
            return events, {}
        rows: list[Event] = []
        shares: dict[int, int] = {}
        for event in events:
            paid = event.fact
            if isinstance(paid, Funding) and not paid.strategy and paid.asset == self.settle:
                shares |= {len(rows) + book: book for book in range(len(self.books))}
                rows += [event] * len(self.books)
            else:
                rows.append(event)
        return rows, shares

    def _add(self, span: slice, events: Sequence[Event]) -> None:
        kinds = np.array([event.kind for event in events], np.uint8)
        self.out.kind[span] = _KERNEL_KIND[kinds]
        self.out.qty[span] = _int64([event.qty for event in events])
        self.ts_ns[span] = _int64([event.ts_ns for event in events])
        self.seq[span] = _int64([event.seq for event in events])
        self.out.flags[span][kinds == Kind.OPENING] = layout.OPENING
        if len(self.books) > 1:
            index = {name: place for place, name in enumerate(self.books)}
            self.out.book[span] = [index[event.book] for event in events]
        at = np.flatnonzero(kinds == Kind.FILL)
        fills = [fact for event in events if isinstance(fact := event.fact, Fill)]
        chosen = events if len(fills) == len(events) else [events[place] for place in at.tolist()]
        self._add_fills(span.start + at, chosen, fills)
        self._add_texts(len(events), at, fills)
        if len(fills) < len(events):
            numbered = [(span.start + place, event.fact) for place, event in enumerate(events)]
            self._add_money([(row, f) for row, f in numbered if isinstance(f, Funding)], -1)
            self._add_money([(row, f) for row, f in numbered if isinstance(f, Charge)], 1)

    def _add_fills(self, at: I64, events: Sequence[Event], fills: Sequence[Fill]) -> None:
        """Fill in the rows `at`; places below count these fills."""
        price = _int64(all_scaled([fill.px for fill in fills], self.terms.price_scale))
        self.price[at] = price
        self.out.px[at], (decision, arrival, mid) = self._ladder(events, fills, price)
        self.out.flags[at] |= decision * np.uint8(layout.DECISION_KNOWN)
        self.traits[at] = arrival * np.uint8(ARRIVAL_KNOWN) | mid * np.uint8(MID_KNOWN)
        self.traits[at] |= np.array([_traits(fill) for fill in fills], np.uint8)
        self.traded[at] = np.abs(self.out.qty[at])
        parts = {place: part for place, event in enumerate(events) if (part := event.part)}
        self.traits[at[list(parts)]] |= SHARED
        based = self._base_fees(fills)
        odd = sorted({*parts, *based})
        whole = all_scaled([fills[place].qty for place in odd], self.terms.qty_scale)
        self.traded[at[odd]] = _int64(_shared(odd, whole, parts))
        self._add_fees(at, fills, parts, based)
        told = [
            (place, pnl) for place, fill in enumerate(fills) if (pnl := fill.venue_pnl) is not None
        ]
        places = [place for place, _ in told]
        money = _shared(places, all_money([pnl for _, pnl in told]), parts)
        self.venue_pnl[at[places]] = _int128(money)

    def _base_fees(self, fills: Sequence[Fill]) -> dict[int, int]:
        """Return what the fees taken out of the coins themselves are worth, by place."""
        contract = self.group.instrument
        if contract.contract != "spot":
            return {}
        return {
            place: to_money(_WIDE.multiply(fill.fee, fill.px))
            for place, fill in enumerate(fills)
            if fill.fee is not None and base_fee(fill, contract)
        }

    def _add_fees(
        self, at: I64, fills: Sequence[Fill], parts: dict[int, PartOf], based: dict[int, int]
    ) -> None:
        known = [(place, fee) for place, fill in enumerate(fills) if (fee := fill.fee) is not None]
        places = [place for place, _ in known]
        unknown = np.ones(len(fills), bool)
        unknown[places] = False
        self.out.flags[at[unknown]] |= layout.FEE_UNKNOWN
        paid = all_money([fee for _, fee in known])
        if based:
            paid = [based.get(place, fee) for place, fee in zip(places, paid, strict=True)]
        paid = _shared(places, paid, parts)
        # Nearly always all fees are paid in the settlement currency.
        others = {fill.fee_asset for fill in fills} - {self.settle, "", None}
        for number, place in enumerate(places if others else ()):
            asset = fills[place].fee_asset
            if asset and asset != self.settle and place not in based and paid[number]:
                self.foreign.append((int(at[place]), asset, paid[number]))
                paid[number] = 0
        self.out.fee[at[places]] = _int128(paid)

    def _ladder(
        self, events: Sequence[Event], fills: Sequence[Fill], price: I64
    ) -> tuple[I64, list[Flags]]:
        """Return the four rungs of fills, shape (n, 4), and where the upper three are known."""
        last = self._fill_rung(fills, price)
        rungs = [(place, each) for place, event in enumerate(events) if (each := event.rungs)]
        prices = (
            [(place, px) for place, each in rungs if (px := each.decision) is not None],
            [(place, px) for place, each in rungs if (px := each.arrival) is not None],
            [(place, px) for place, each in rungs if (px := each.mid) is not None],
        )
        steps: list[tuple[Flags, I64]] = []
        for told in prices:
            known, step = np.zeros(len(fills), bool), np.zeros(len(fills), np.int64)
            known[[place for place, _ in told]] = True
            step[known] = _int64(all_ladder_px([px for _, px in told], self.terms))
            steps.append((known, step))
        # Leading unknown rungs take the first known one, later gaps the one before; no mid means
        # that all slippage stands in the spread line.
        before = last
        for known, step in reversed(steps):
            before = np.where(known, step, before)
        ladder = []
        for known, step in steps:
            before = np.where(known, step, before)
            ladder.append(before)
        return np.stack([*ladder, last], axis=1), [known for known, _ in steps]

    def _fill_rung(self, fills: Sequence[Fill], price: I64) -> I64:
        if self.terms.inverse:
            return _int64(all_ladder_px([fill.px for fill in fills], self.terms))
        finer = 10 ** (self.terms.px_scale - self.terms.price_scale)
        if int(np.abs(price).max(initial=0)) * finer > INT64_MAX:
            raise OverflowError("a price leaves 64 bits on the ladder's scale")
        lifted: I64 = price * np.int64(min(finer, INT64_MAX))
        return lifted

    def _add_money(self, told: Sequence[tuple[int, Funding | Charge]], cost: int) -> None:
        """Put the money of charges (`cost` 1) or funding (-1) in its column, or aside."""
        money = all_money([each.amount for _, each in told])
        for number, (row, each) in enumerate(told):
            if each.asset and each.asset != self.settle and money[number]:
                self.foreign.append((row, each.asset, cost * money[number]))
                money[number] = 0
        column = self.out.fee if cost > 0 else self.out.amount
        column[[row for row, _ in told]] = _int128(money)

    def _add_texts(self, count: int, at: I64, fills: Sequence[Fill]) -> None:
        fill_id, order_id, decision_id, exit_reason, cause = self.texts
        fill_id += [fill.fill_id for fill in fills]
        order_id += [fill.order_id for fill in fills]
        decision_id += [fill.decision_id for fill in fills]
        exit_reason += [fill.exit_reason for fill in fills]
        cause += [fill.cause for fill in fills]
        if len(fills) < count:
            for column in self.texts:
                _spread(column, at.tolist(), count)

    def _foreign(self, n: int) -> tuple[I32, I64, list[str]]:
        """Return which rows hold money in other assets, how much, and the assets in order."""
        self.foreign.sort()
        assets = list(dict.fromkeys(asset for _, asset, _ in self.foreign))
        index = {asset: number for number, asset in enumerate(assets)}
        numbers, amount = np.full(n, -1, np.int32), np.zeros((n, 2), np.int64)
        rows = [row for row, _, _ in self.foreign]
        numbers[rows] = [index[asset] for _, asset, _ in self.foreign]
        amount[rows] = _int128([paid for _, _, paid in self.foreign])
        return numbers, amount, assets


def _traits(fill: Fill) -> int:
    traits = _LIQUIDITY[fill.liquidity]
    if fill.approximate:
        traits |= APPROXIMATE
    if fill.venue_pnl is not None:
        traits |= VENUE_PNL | (VENUE_PNL_NET if fill.venue_pnl_basis == "net" else 0)
    return traits


def _spread(column: list[Text], at: list[int], count: int) -> None:
    """Give the last texts of a column to the rows `at` of the last `count`, the others none."""
    texts: list[Text] = [None] * count
    if at:
        for place, text in zip(at, column[-len(at) :], strict=True):
            texts[place] = text
        del column[-len(at) :]
    column += texts


def _shared(places: list[int], amounts: list[int], parts: dict[int, PartOf]) -> list[int]:
    """Cut the amounts of fills that several sub-books share to their part."""
    if not parts:
        return amounts
    return [
        parts[place].of(amount) if place in parts else amount
        for place, amount in zip(places, amounts, strict=True)
    ]


def _int64(numbers: Sequence[int]) -> I64:
    """Return an int64 column; OverflowError for what does not fit with either sign."""
    column = np.array(numbers, np.int64)
    if (column < -INT64_MAX).any():
        raise OverflowError("-2**63 has no opposite in 64 bits")
    return column


def _int128(numbers: list[int]) -> I64:
    """Return a column of 128-bit money; OverflowError for what does not fit with either sign."""
    if numbers and min(numbers) < -INT128_MAX:
        raise OverflowError("an amount leaves 128 bits")
    return amounts.from_ints(numbers)
