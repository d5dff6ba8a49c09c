"""Positions that went away while nobody told of a fill: closed by what was observed.

An observed close is the last resort. It closes what the reported fills leave open when it happens,
so a fill that comes late takes its place by itself, wholly or in part.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from fillbook.facts.finding import Finding
from fillbook.facts.model import Fill
from fillbook.ground.clock import iso
from fillbook.ground.exact import from_scaled, plain_text, scaled_text, to_scaled
from fillbook.resolve.event import Event, GroupKey, Kind


def closed_down(event: Event, fill: Fill, position: int, qty_scale: int) -> Event | None:
    """Return the part of an observed close that a position leaves to it, None where it is nothing.

    Without a price it is an adjustment: what it closes has no known result.
    """
    left = to_scaled(fill.start_position or Decimal(0), qty_scale)
    step = left - position
    closes = position > left >= 0 if fill.side == "sell" else position < left <= 0
    if not closes:
        return None
    if not fill.px:
        return msgspec.structs.replace(event, kind=Kind.ADJUST, qty=step, fact=None)
    told = msgspec.structs.replace(fill, qty=from_scaled(abs(step), qty_scale))
    return msgspec.structs.replace(event, qty=step, fact=told)


def vanished_finding(key: GroupKey, fill: Fill, closing: Event, qty_scale: int) -> Finding:
    """Say that a position went away without a fill, and at which price it counts as closed."""
    qty = scaled_text(abs(closing.qty), qty_scale)
    price = (
        f"it counts as closed at {plain_text(fill.px)}, the last observed price"
        if fill.px
        else "no price of that time is known, so what it made is unknown"
    )
    return Finding(
        code="position-vanished",
        severity="error",
        message=f"{qty} {key.instrument} was gone at {iso(fill.ts_ns)} and no fill tells how: "
        f"{price}",
        next_step="import the fills of that time; they take its place",
        venue=key.venue,
        account=key.account,
        instrument=key.instrument,
        ts_ns=fill.ts_ns,
        amount=qty,
        seqs=(closing.seq,),
        touches=("realized", "net", "made_money"),
    )
