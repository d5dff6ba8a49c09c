"""Fills inferred from successive snapshots of positions, where nothing better can be seen.

A position that appears was opened at its entry price; one that shrinks or vanishes was closed at
the last price seen. Prices that were not a venue's are `approximate`; a source of any higher rank
that covers the time overrules all of it. A price nobody knows is not made up: a fill of quantity
0 then states the position before it, and the ledger keeps an unpriced adjustment.

Each inferred fill carries how it came about in `fill_id` and the quantity held before it, so that
the book continues where an earlier run was killed.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Literal

import msgspec

from fillbook.facts.identity import key_of
from fillbook.facts.model import AnyFact, Claim, Fill, PositionSide
from fillbook.ground.exact import decimals_of
from fillbook.marks.series import Mark
from fillbook.sources.observed_rows import Place, Position, Positions
from fillbook.sources.reading import instrument_key
from fillbook.sources.symbols import describe

SOURCE = "observed"
RANK_OBSERVED = 0

How = Literal["opened", "added", "partial_reduce", "same_key_reopen", "vanished"]
_NO_PRICE = Decimal(0)
_ADDED_DECIMALS = 8
_MOST_DECIMALS = 12
_SAME_PX = Decimal("1e-9")

DecisionFor = Callable[[str, int], str | None]
"""(instrument, now) -> the decision announced for it, once."""
ExitPrice = Callable[[Place], tuple[Decimal, str] | None]
"""Who may know what a position closed at: the price and who says so."""


class Held(msgspec.Struct, kw_only=True):
    """An open position as the book has it."""

    place: Place
    qty: Decimal
    entry_px: Decimal | None
    entry_ns: int | None
    decision_id: str | None = None
    strategy: str | None = None
    from_floats: bool = False
    px: Decimal | None = None
    seen_ns: int = 0


class ObservedState(msgspec.Struct):
    """All that one account's observation has to remember; journaled with every page."""

    count: int = 0
    held: list[Held] = msgspec.field(default_factory=list)
    newest: list[tuple[Place, int]] = msgspec.field(default_factory=list)


class Observer:
    """Turns one account's snapshots into claims; `multipliers` are contract sizes by product.

    `decision_for` and `exit_price` are asked when a position opens or closes.
    """

    def __init__(
        self,
        venue: str,
        account: str,
        *,
        currency: str = "USD",
        multipliers: dict[str, Decimal] | None = None,
        decision_for: DecisionFor | None = None,
        exit_price: ExitPrice | None = None,
    ) -> None:
        self.venue = venue
        self.account = account
        self._currency = currency
        self._multipliers = multipliers or {}
        self._decision_for = decision_for
        self._exit_price = exit_price
        self._count = 0
        # The time of the newest claim about a place: its next one is later.
        self._newest_ns: dict[Place, int] = {}
        self.held: dict[Place, Held] = {}

    def state(self) -> str:
        """Return what to remember, as JSON text; `restore` takes it back."""
        newest = list(self._newest_ns.items())
        kept = ObservedState(self._count, list(self.held.values()), newest)
        return msgspec.json.encode(kept).decode()

    def restore(self, state: str | None, last_px: Callable[[str], Decimal | None]) -> None:
        """Continue from a remembered state (None: from nothing).

        `last_px` knows the newest price by product.
        """
        kept = ObservedState() if state is None else msgspec.json.decode(state, type=ObservedState)
        self._count = kept.count
        self._newest_ns = dict(kept.newest)
        self.held = {each.place: each for each in kept.held}
        for each in self.held.values():
            each.px = last_px(each.place.instrument) or each.px

    def observe(self, seen: Positions, now_ns: int) -> tuple[list[Claim], list[Mark]]:
        """Take in one snapshot: the claims it makes, in order, and the prices it shows."""
        claims: list[Claim] = []
        for place in sorted(set(self.held) - set(seen.held)):
            if not _maybe_there(place, seen):
                claims += self._end(self.held[place], now_ns, "vanished")
        for place, position in sorted(seen.held.items()):
            claims += self._compare(position, now_ns)
            held = self.held[place]
            held.px = position.px if position.px is not None else held.px
            held.seen_ns = now_ns
        marks = [
            Mark(self.venue, place.instrument, now_ns, position.px, "mark", SOURCE)
            for place, position in seen.held.items()
            if position.px is not None
        ]
        return claims, marks

    def _compare(self, position: Position, now_ns: int) -> list[Claim]:
        held = self.held.get(position.place)
        if held is None:
            return self._begin(position, now_ns)
        if _is_another(held, position):
            # It was closed before it was opened anew, and after it was last seen.
            until_ns = max(min(now_ns, position.entry_ns or now_ns), held.seen_ns)
            ended = self._end(held, until_ns, "same_key_reopen")
            return ended + self._begin(position, now_ns)
        step = position.qty - held.qty
        if not step:
            return []
        how: How = "added" if step > 0 else "partial_reduce"
        px = _added_px(held, position) if step > 0 else position.px or held.px
        if step > 0 and position.entry_px is not None:
            held.entry_px = position.entry_px
        return self._move(held, step, px, now_ns, how)

    def _begin(self, position: Position, now_ns: int) -> list[Claim]:
        # An entry time ahead of the clock cannot be.
        entry_ns = min(position.entry_ns or now_ns, now_ns)
        decision_id = position.decision_id
        if decision_id is None and self._decision_for is not None:
            decision_id = self._decision_for(position.place.instrument, now_ns)
        held = Held(
            place=position.place,
            qty=Decimal(0),
            entry_px=position.entry_px,
            entry_ns=position.entry_ns,
            decision_id=decision_id,
            strategy=position.strategy,
            from_floats=position.from_floats,
            px=position.px,
        )
        self.held[position.place] = held
        told = self._describe(position.place.instrument)
        return [told, *self._move(held, position.qty, position.entry_px, entry_ns, "opened")]

    def _end(self, held: Held, now_ns: int, how: How) -> list[Claim]:
        px, source = held.px, ""
        known = None if self._exit_price is None else self._exit_price(held.place)
        if known is not None:
            px, source = known
        del self.held[held.place]
        return self._move(held, -held.qty, px, now_ns, how, source)

    def _move(
        self, held: Held, step: Decimal, px: Decimal | None, ts_ns: int, how: How, source: str = ""
    ) -> list[Claim]:
        """Claim that a position grew (step > 0) or shrank; quantities count in its direction."""
        sign = 1 if held.place.side == "long" else -1
        before, after = held.qty, held.qty + step
        newest_ns = max(ts_ns, self._newest_ns.get(held.place, 0) + 1)
        self._newest_ns[held.place] = newest_ns
        held.qty = after
        self._count += 1
        stated = before if px is not None else after
        traded = step if px is not None else Decimal(0)
        name = how if px is not None else f"{how}_unpriced"
        fill = Fill(
            venue=self.venue,
            account=self.account,
            ts_ns=newest_ns,
            instrument=held.place.instrument,
            side="buy" if step * sign > 0 else "sell",
            px=_NO_PRICE if px is None else px,
            qty=abs(traded),
            fill_id=f"{self._count}/{name}" + (f"/{source}" if source else ""),
            position_side=held.place.side,
            strategy=held.strategy,
            # Who decided to open has not decided to close.
            decision_id=held.decision_id if step > 0 else None,
            venue_seq=self._count,
            start_position=sign * stated,
            approximate=how != "opened",
            from_floats=held.from_floats,
        )
        key = key_of(fill.ts_ns, SOURCE, fill.instrument, fill.position_side, self._count)
        return [Claim(fill, key, msgspec.json.encode(fill).decode())]

    def _describe(self, instrument: str) -> Claim:
        contract = describe(
            self.venue,
            self.account,
            instrument,
            base=instrument,
            quote=self._currency,
            settle=self._currency,
            multiplier=self._multipliers.get(instrument, Decimal(1)),
        )
        return Claim(contract, instrument_key(contract), "")


def vanished_claim(
    venue: str,
    account: str,
    instrument: str,
    position_side: PositionSide,
    *,
    held: Decimal,
    left: Decimal,
    px: Decimal | None,
    at_ns: int,
) -> Claim:
    """Claim that a position went from `held` to what the venue says is `left`, both signed.

    It closes only what reported fills leave open, at `px`, the last price seen; None: unknown.
    """
    fill = Fill(
        venue=venue,
        account=account,
        ts_ns=at_ns,
        instrument=instrument,
        side="sell" if held > left else "buy",
        px=_NO_PRICE if px is None else px,
        qty=abs(held - left),
        fill_id=f"{at_ns}/vanished" if px is not None else f"{at_ns}/vanished_unpriced",
        position_side=position_side,
        # Behind every fill of its instant.
        venue_seq=1,
        start_position=left,
        reduce_only=True,
        approximate=True,
    )
    key = key_of(at_ns, SOURCE, instrument, position_side, at_ns)
    return Claim(fill, key, msgspec.json.encode(fill).decode())


def reparse(context: str, raw: str) -> list[AnyFact]:
    """Read an inferred fill again from the text kept beside it; the context says nothing."""
    return [msgspec.json.decode(raw, type=Fill)]


def exit_source(fill_id: str | None) -> str | None:
    """Tell where the price of an inferred close came from; None where there was none.

    >>> exit_source("7/vanished"), exit_source("7/vanished/broker")
    ('state:last_price', 'provider:broker')
    """
    how, _, provider = (fill_id or "").partition("/")[2].partition("/")
    if provider:
        return f"provider:{provider}"
    if not how or how.endswith("_unpriced"):
        return None
    return "state:last_price" + ("" if how == "vanished" else f"_{how}")


def _maybe_there(place: Place, seen: Positions) -> bool:
    return any(bad.instrument in (None, place.instrument) for bad in seen.unreadable)


def _is_another(held: Held, position: Position) -> bool:
    """Say whether the position under a known name is a new one, not the old one changed."""
    old, new = held.entry_px, position.entry_px
    # An average computed in binary floats wanders in its last digits.
    if old is None or new is None or abs(new - old) <= _SAME_PX * old:
        return False
    if held.entry_ns is None or position.entry_ns is None:
        # Without times: the average of an unchanged quantity does not move by itself.
        return held.qty == position.qty
    return held.entry_ns != position.entry_ns


def _added_px(held: Held, position: Position) -> Decimal | None:
    """Return the price that moved the average entry to where it is now.

    The last price seen where the averages tell nothing sensible.
    """
    old, new = held.entry_px, position.entry_px
    if old is not None and new is not None:
        step = position.qty - held.qty
        px = (position.qty * new - held.qty * old) / step
        if px > 0:
            places = min(_MOST_DECIMALS, max(_ADDED_DECIMALS, decimals_of(new)))
            return px.quantize(Decimal(1).scaleb(-places))
    return position.px or held.px
