"""Net money per UTC day: what Sharpe, Sortino, Omega and the edge of overlapping trades need.

Positions count at marks where every day's end has one; otherwise only closed results, fees and
funding count on their own day, and the answer says so. Floats: these are statistics.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fillbook.analysis.equity import utc_day_edges
from fillbook.analysis.explain import fill_values
from fillbook.analysis.valuation import Valuer, position_value
from fillbook.analysis.view import Part
from fillbook.ground.exact import MONEY_ONE
from fillbook.ledger import layout
from fillbook.ledger.amounts import to_floats

Days = npt.NDArray[np.float64]
MARKED = "daily net money at marks"
# Parts whose rows are turned into floats together.
_AT_ONCE = 256
CLOSED_ONLY = "daily net money of closed results (positions not marked)"


@dataclass(frozen=True)
class DailyMoney:
    """Net money per day of one currency; shape (days,), idle days are zeros."""

    net: Days
    basis: str


def daily_money(parts: Sequence[Part], valuer: Valuer, since_ns: int, until_ns: int) -> DailyMoney:
    """Return the net of every day touched by [since, until), of parts in one currency."""
    edges = utc_day_edges(since_ns, until_ns)
    clipped = np.clip(edges, since_ns, until_ns)
    closed = np.zeros(len(edges) - 1)
    marked: Days | None = np.zeros(len(edges) - 1)
    for part, flows in zip(parts, _flows(parts, valuer), strict=True):
        # Most positions of a large book neither moved in a window nor were held in it.
        if part.last == part.first and not (part.first and any(_carried(part))):
            continue
        cuts = part.group.columns.ts_ns[part.rows].searchsorted(edges)
        costs, realised, traded = _per_day(flows, cuts)
        closed += realised + costs
        if marked is not None:
            worth = _worth(part, cuts, clipped, valuer)
            marked = None if worth is None else marked + (np.diff(worth) - traded) + costs
    return DailyMoney(closed, CLOSED_ONLY) if marked is None else DailyMoney(marked, MARKED)


def _flows(parts: Sequence[Part], valuer: Valuer) -> Iterator[Days]:
    """Yield of each part, row by row: funding less fees, realised, and what its fills cost.

    Shape (3, rows). Foreign fees are valued; an unvalued one counts as nothing. Groups are turned
    into floats many at a time: most of them are short.
    """
    for start in range(0, len(parts), _AT_ONCE):
        chosen = parts[start : start + _AT_ONCE]
        told = [(part.group.books.outputs, part.group.columns, part.rows) for part in chosen]
        net = to_floats(np.concatenate([flows.funding[rows] for flows, _, rows in told]))
        net -= to_floats(np.concatenate([columns.events.fee[rows] for _, columns, rows in told]))
        realised = to_floats(np.concatenate([flows.realised[rows, 3] for flows, _, rows in told]))
        traded = np.concatenate([fill_values(part, part.rows) for part in chosen])
        together, first = np.stack([net, realised, traded]), 0
        for _, columns, rows in told:
            mine = together[:, first : first + len(columns.ts_ns[rows])]
            if columns.assets:
                mine[0] -= to_floats(valuer.foreign_money(columns).values[rows])
            first += mine.shape[1]
            yield mine


def _per_day(flows: Days, cuts: npt.NDArray[np.int64]) -> Days:
    """Sum each row of flows per day."""
    running = np.zeros((len(flows), flows.shape[1] + 1))
    np.cumsum(flows, axis=1, out=running[:, 1:])
    until: Days = running[:, cuts]
    return until[:, 1:] - until[:, :-1]


def _carried(part: Part) -> tuple[int, int]:
    """Return the quantity carried into a window, and that of it whose cost is unknown."""
    held = [part.group.held_before(part.first)[book] for book in part.books]
    return sum(each.priced_qty for each in held), sum(abs(each.unpriced_qty) for each in held)


def _worth(
    part: Part, cuts: npt.NDArray[np.int64], edges: npt.NDArray[np.int64], valuer: Valuer
) -> Days | None:
    """Return what is held at each edge at marks, None where a position has no mark or no cost."""
    columns, events = part.group.columns, part.group.columns.events
    if (events.kind[part.rows] == layout.ADJUST).any():
        return None
    carried, unpriced = _carried(part) if part.first else (0, 0)
    if unpriced:
        return None
    running = np.zeros(cuts[-1] + 1, np.int64)
    np.cumsum(events.qty[part.rows][: cuts[-1]], out=running[1:])
    held = running[cuts] + carried
    worth = np.zeros(len(edges))
    for place in np.flatnonzero(held).tolist():
        mark = valuer.mark(columns.key.venue, columns.key.instrument, int(edges[place]) - 1)
        if mark is None:
            if abs(int(held[place])) < columns.terms.dust:
                continue
            return None
        value = position_value(columns.contract, int(held[place]), columns.terms.qty_scale, mark.px)
        worth[place] = value / MONEY_ONE
    return worth
