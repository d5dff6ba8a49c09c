"""The venue's positions against the bot's own: what somebody else opened, closed or changed.

Nothing is corrected from it: a person has to look. What the venue stated is kept in the book.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from decimal import Decimal
from typing import Literal

import msgspec

from fillbook.desks.telemetry.facts import DeskAccount
from fillbook.desks.telemetry.trips import KnownTrips
from fillbook.facts.model import Claim, Claimed, PositionSide, Report
from fillbook.sources.observed_rows import Place as HeldAt
from fillbook.sources.observed_rows import Position, read_positions

Kind = Literal[
    "POSITION_OPENED_EXTERNALLY", "POSITION_CLOSED_EXTERNALLY", "POSITION_SIZE_CHANGED_EXTERNALLY"
]
OPENED: Kind = "POSITION_OPENED_EXTERNALLY"
CLOSED: Kind = "POSITION_CLOSED_EXTERNALLY"
CHANGED: Kind = "POSITION_SIZE_CHANGED_EXTERNALLY"

# Bots compute sizes in floats.
TOLERANCE = Decimal("1e-8")

_log = logging.getLogger(__name__)

Place = tuple[str, PositionSide]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A position that is not what the bot told: signed quantities, negative = short.

    `side` is net, or long and short where the venue keeps them apart.
    """

    kind: Kind
    symbol: str
    side: PositionSide
    ours: Decimal
    theirs: Decimal


class PositionCheck:
    """Compares with what `known` has open; says each difference once, until it changes."""

    def __init__(self, whose: DeskAccount, known: KnownTrips) -> None:
        self._whose = whose
        self._known = known
        self._stated: dict[str, Decimal] = {}
        self._said: set[Difference] = set()

    def remember(self, claim: Claimed) -> None:
        """Take up what the venue stated in an earlier run."""
        fact = claim.fact
        mine = (fact.venue, fact.account) == (self._whose.venue, self._whose.account)
        if mine and isinstance(fact, Report) and fact.instrument and fact.qty is not None:
            self._stated[fact.instrument] = fact.qty

    def compare(
        self, rows: Sequence[object], now_ns: int
    ) -> tuple[list[Difference], list[Claim], list[str]]:
        """Return the differences, what to write down, and what could not be read.

        A product with a row that cannot be read is not compared.
        """
        seen = read_positions([_named(row) for row in rows])
        apart = _apart(rows, seen.held)
        theirs = _signed(seen.held.values(), apart)
        ours = self._ours(apart)
        unread = {bad.instrument for bad in seen.unreadable}
        if None in unread:
            # What it speaks of is not even known.
            theirs, ours, unread = {}, {}, unread | set(self._stated)
        places = [at for at in sorted(theirs.keys() | ours.keys()) if at[0] not in unread]
        found = []
        for symbol, side in places:
            here, there = (held.get((symbol, side), Decimal(0)) for held in (ours, theirs))
            kind = _kind(here, there)
            if kind is not None:
                told = Difference(kind=kind, symbol=symbol, side=side, ours=here, theirs=there)
                found.append(told)
        self._say(found)
        claims = self._claims(theirs, unread, now_ns)
        return found, claims, [f"{bad.instrument}: {bad.reason}" for bad in seen.unreadable]

    def _ours(self, apart: set[str]) -> dict[Place, Decimal]:
        """Return what is open here, by side where the venue keeps sides apart."""
        ours: dict[Place, Decimal] = defaultdict(Decimal)
        for (symbol, opening), qty in self._known.held().items():
            side: PositionSide = "long" if opening == "buy" else "short"
            ours[symbol, side if symbol in apart else "net"] += qty if side == "long" else -qty
        return dict(ours)

    def _claims(
        self, theirs: Mapping[Place, Decimal], unread: Set[str | None], now_ns: int
    ) -> list[Claim]:
        """Write down what the venue states anew, net: the bot's own fills tell no side."""
        nets: dict[str, Decimal] = defaultdict(Decimal)
        for (symbol, _), qty in theirs.items():
            nets[symbol] += qty
        claims = []
        for symbol in sorted((nets.keys() | self._stated.keys()) - unread):
            qty = nets.get(symbol, Decimal(0))
            if qty == self._stated.get(symbol, Decimal(0)):
                continue
            self._stated[symbol] = qty
            stated = Report(
                venue=self._whose.venue,
                account=self._whose.account,
                ts_ns=now_ns,
                what="position",
                instrument=symbol,
                qty=qty,
            )
            claims += self._whose.claims_of(stated)
        return claims

    def _say(self, found: Sequence[Difference]) -> None:
        for each in found:
            if each not in self._said:
                _log.warning(
                    "telemetry: %s: %s %s is %s at the venue and %s here; look at it",
                    *(each.kind, each.symbol, each.side, each.theirs, each.ours),
                )
        self._said = set(found)


def _kind(ours: Decimal, theirs: Decimal) -> Kind | None:
    if abs(theirs - ours) <= TOLERANCE:
        return None
    if abs(ours) <= TOLERANCE:
        return OPENED
    return CLOSED if abs(theirs) <= TOLERANCE else CHANGED


def _named(row: object) -> object:
    """Bring a venue's own names to those that positions are read by."""
    if not isinstance(row, Mapping):
        return row
    plain = {re.sub("(?<=[a-z])(?=[A-Z])", "_", str(name)).lower(): row[name] for name in row}
    plain.setdefault("size", plain.get("position_amt"))
    plain.setdefault("side", plain.get("position_side"))
    return plain


def _apart(rows: Iterable[object], held: Iterable[HeldAt]) -> set[str]:
    """Return the products whose long and short the venue keeps apart: it says so, or holds both."""
    named = [row for row in map(_named, rows) if isinstance(row, dict)]
    told = {str(row.get("symbol")) for row in named if _is_sided(row.get("position_side"))}
    places = list(held)
    longs, shorts = ({p.instrument for p in places if p.side == s} for s in ("long", "short"))
    return told | (longs & shorts)


def _is_sided(told: object) -> bool:
    return str(told).upper() in ("LONG", "SHORT")


def _signed(held: Iterable[Position], apart: set[str]) -> dict[Place, Decimal]:
    signed: dict[Place, Decimal] = {}
    for position in held:
        name, side = position.place.instrument, position.place.side
        kept: PositionSide = side if name in apart else "net"
        signed[name, kept] = position.qty if side == "long" else -position.qty
    return signed
