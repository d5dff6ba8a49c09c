"""From claims to money, written to be read: what a book amounts to, in fractions and integers.

`oracle.py` folds plain events; this module says what those events are: inventory after base fees,
who gets which part of a fill, who shares which funding, what a spot account must have had before.
It reads the claims' own fields and imports nothing of fillbook, so that both can be wrong only
separately. Books here have one event per instant, and no stated positions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

import oracle

GRID = 10**18
PX_SCALE = 4
NOBODY = "-"


@dataclass
class Group:
    """One instrument of one account: its events for `oracle.fold`, and what values them."""

    spec: Any
    books: list[str] = field(default_factory=list)
    events: list[oracle.Event] = field(default_factory=list)
    qty_scale: int = 0
    dust: int = 1

    @property
    def unit(self) -> Fraction:
        """Return what quantity 1 at price 1, both as integers here, is worth on the grid."""
        multiplier = Fraction(self.spec.multiplier)
        if self.spec.contract == "inverse":
            return multiplier / 10**self.qty_scale
        return multiplier * GRID / 10 ** (self.qty_scale + PX_SCALE)

    def fold(self, method: str, *, as_one: bool = False, exact: bool = False) -> oracle.Result:
        """Fold the sub-books, or everything as the venue's one book."""
        events = self.events
        if as_one:
            events = [_as_one(event) for event in events if event.kind != "share"]
        return oracle.fold(
            events,
            method,
            factor=self.unit.numerator,
            divisor=self.unit.denominator,
            dust=self.dust,
            n_books=1 if as_one else len(self.books),
            exact=exact,
        )


def _as_one(event: oracle.Event) -> oracle.Event:
    fields = {name: getattr(event, name) for name in event.__dataclass_fields__}
    return oracle.Event(**(fields | {"book": 0}))


def groups_of(claims: Iterable[Any], specs: dict[str, Any]) -> dict[str, Group]:
    """Return the groups of a book by instrument; claims are in the order of their time."""
    facts: dict[str, list[Any]] = defaultdict(list)
    for claim in claims:
        if type(claim.fact).__name__ in ("Fill", "Funding", "Charge"):
            facts[claim.fact.instrument].append(claim.fact)
    return {name: _group(specs[name], said) for name, said in facts.items()}


def _group(spec: Any, facts: Sequence[Any]) -> Group:
    group = Group(spec)
    fills = [fact for fact in facts if hasattr(fact, "side")]
    finest = max((_decimals(fact.qty) for fact in fills), default=0)
    based = [_decimals(fact.fee) for fact in fills if _in_base(spec, fact)]
    group.qty_scale = max(finest, *based, 0)
    group.dust = int(10 ** (group.qty_scale - finest))
    moves = [_whole(_moved(spec, fact) * 10**group.qty_scale) for fact in facts]
    pieces = _pieces(spec, facts, moves, group.dust)
    named = {book for _, book, _, _, _ in pieces} - {NOBODY}
    group.books = [NOBODY, *sorted(named)]
    for fact, book, qty, start, stop in pieces:
        group.events += _events(group, fact, book, qty, start, stop)
    return group


def _moved(spec: Any, fact: Any) -> Fraction:
    """Return the signed change of inventory: coins a fee took never arrive."""
    if not hasattr(fact, "side"):
        return Fraction(0)
    signed = Fraction(fact.qty) * (1 if fact.side == "buy" else -1)
    if _in_base(spec, fact):
        signed -= Fraction(fact.fee)
    return signed


def _in_base(spec: Any, fact: Any) -> bool:
    return bool(spec.contract == "spot" and fact.fee and fact.fee_asset == spec.base)


Piece = tuple[Any, str, int, Fraction, Fraction]


def _pieces(spec: Any, facts: Sequence[Any], moves: Sequence[int], dust: int) -> list[Piece]:
    """Cut fills nobody ordered over the books they close: (fact, book, qty, from, to)."""
    held: dict[str, int] = defaultdict(int)
    pieces: list[Piece] = []
    shortfall = _shortfall(moves) if spec.contract == "spot" else 0
    if shortfall >= dust:
        named = {fact.strategy or NOBODY for fact in facts if hasattr(fact, "side")}
        book = named.pop() if len(named) == 1 else NOBODY
        pieces.append((None, book, shortfall, Fraction(0), Fraction(1)))
        held[book] += shortfall
    for fact, qty in zip(facts, moves, strict=True):
        book = fact.strategy or NOBODY
        parts = {book: qty}
        if book == NOBODY and qty and sum(held.values()) * qty < 0:
            parts = _shared(qty, held)
        done = 0
        for each, part in parts.items():
            start, done = done, done + abs(part)
            share = (Fraction(start, abs(qty)), Fraction(done, abs(qty))) if qty else (0, 1)
            pieces.append((fact, each, part, Fraction(share[0]), Fraction(share[1])))
            held[each] += part
    return pieces


def _shared(qty: int, held: dict[str, int]) -> dict[str, int]:
    """Share a reducing quantity over the books against it by size; the rest is nobody's."""
    sign = 1 if qty > 0 else -1
    against = [(book, abs(held[book])) for book in sorted(held) if held[book] * sign < 0]
    standing = sum(size for _, size in against)
    closing = min(abs(qty), standing)
    parts: dict[str, int] = {}
    reached = 0
    for book, size in against:
        before, reached = reached, reached + size
        parts[book] = round(Fraction(closing * reached, standing)) - round(
            Fraction(closing * before, standing)
        )
    parts[NOBODY] = parts.get(NOBODY, 0) + abs(qty) - closing
    return {book: sign * part for book, part in parts.items() if part}


def _shortfall(moves: Sequence[int]) -> int:
    held = lowest = 0
    for moved in moves:
        held += moved
        lowest = min(lowest, held)
    return -lowest


def _events(
    group: Group, fact: Any, book: str, qty: int, start: Fraction, stop: Fraction
) -> list[oracle.Event]:
    number = group.books.index(book)
    if fact is None:
        return [oracle.Event("adjust", book=number, qty=qty, opening=True)]
    kind = type(fact).__name__
    if kind == "Charge":
        return [oracle.Event("fee", book=number, fee=_money(fact.amount))]
    if kind == "Funding":
        amount = _money(fact.amount)
        if fact.strategy or len(group.books) == 1:
            return [oracle.Event("funding", book=number, amount=amount)]
        return [oracle.Event("share", book=each, amount=amount) for each in range(len(group.books))]
    fee = _fee(group.spec, fact)
    return [
        oracle.Event(
            "fill",
            book=number,
            qty=qty,
            px=_rungs(group.spec, fact),
            fee=round(fee * stop) - round(fee * start),
            decision_known=fact.decision_px is not None,
            fee_unknown=fact.fee is None,
        )
    ]


def _fee(spec: Any, fact: Any) -> int:
    """Return the fee in the settlement currency; one in a third asset is valued elsewhere."""
    if fact.fee is None:
        return 0
    if _in_base(spec, fact):
        return round(Fraction(fact.fee) * Fraction(fact.px) * GRID)
    return _money(fact.fee) if fact.fee_asset == spec.settle else 0


def _rungs(spec: Any, fact: Any) -> tuple[int, int, int, int]:
    given = (fact.decision_px, fact.arrival_px, fact.mid_px)
    known = [px for px in given if px is not None]
    filled: list[Decimal] = []
    for px in given:
        filled.append(px if px is not None else (filled or known or [fact.px])[-1 if filled else 0])
    return tuple(_px(spec, px) for px in (*filled, fact.px))  # type: ignore[return-value]


def _px(spec: Any, px: Decimal) -> int:
    if spec.contract == "inverse":
        return -round(Fraction(GRID) / Fraction(px))
    return _whole(Fraction(px) * 10**PX_SCALE)


def _money(amount: Decimal) -> int:
    return round(Fraction(amount) * GRID)


def _whole(number: Fraction) -> int:
    assert number.denominator == 1, f"{number} is finer than this oracle counts"
    return number.numerator


def _decimals(number: Decimal) -> int:
    exact = Fraction(number)
    places = 0
    while (exact * 10**places).denominator != 1:
        places += 1
    return places


# --- money without any lots ----------------------------------------------------------------------


@dataclass
class Cash:
    """What one currency amounts to, counted without positions' cost: only cash and marks."""

    gross: Fraction = Fraction(0)
    fees: Fraction = Fraction(0)
    funding: Fraction = Fraction(0)

    @property
    def net(self) -> Fraction:
        """Return gross less fees plus funding."""
        return self.gross - self.fees + self.funding


def cash_of(
    claims: Iterable[Any],
    specs: dict[str, Any],
    marks: dict[str, Decimal],
    rates: dict[tuple[str, str], Decimal],
) -> dict[str, Cash]:
    """Count net per currency: cash out of the fills, what is still held at marks, fees, funding.

    `rates` price a third asset in a settlement currency.
    """
    totals: dict[str, Cash] = defaultdict(Cash)
    held: dict[str, Fraction] = defaultdict(Fraction)
    for claim in claims:
        fact, kind = claim.fact, type(claim.fact).__name__
        if kind not in ("Fill", "Funding", "Charge"):
            continue
        spec = specs[fact.instrument]
        total = totals[spec.settle]
        if kind == "Funding":
            total.funding += Fraction(fact.amount)
        elif kind == "Charge":
            total.fees += Fraction(fact.amount)
        else:
            qty = _moved(spec, fact)
            total.gross -= qty * _worth(spec, fact.px)
            held[fact.instrument] += qty
            if fact.fee is not None:
                rate = rates.get((fact.fee_asset, spec.settle))
                if rate is not None:
                    total.fees += Fraction(fact.fee) * Fraction(rate)
                else:
                    total.fees += Fraction(_fee(spec, fact), GRID)
    for name, qty in held.items():
        totals[specs[name].settle].gross += qty * _worth(specs[name], marks[name])
    return totals


def _worth(spec: Any, px: Decimal) -> Fraction:
    if spec.contract == "inverse":
        return Fraction(spec.multiplier) * Fraction(_px(spec, px), GRID)
    return Fraction(spec.multiplier) * Fraction(px)
