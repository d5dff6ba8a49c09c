"""Net money per UTC day: what Sharpe, Sortino, Omega and the edge of overlapping trades need.

Positions count at marks where every day's end has one; otherwise only closed results, fees and
funding count on their own day, and the answer says so. Floats: these are statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
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
CLOSED_ONLY = "daily net money of closed results (positions not marked)"


@dataclass(frozen=True)
class DailyMoney:
    """Net money per day of one currency; shape (days,), idle days are zeros."""

    net: Days
    basis: str


def daily_money(parts: Sequence[Part], valuer: Valuer, since_ns: int, until_ns: int) -> DailyMoney:
    """Return the net of every day touched by [since, until), of parts in one currency."""
    edges = utc_day_edges(since_ns, until_ns)
    closed = np.zeros(len(edges) - 1)
    marked: Days | None = np.zeros(len(edges) - 1)
    for part in parts:
        rows = np.arange(len(part.group))[part.rows]
        cuts = np.searchsorted(part.group.columns.ts_ns[rows], edges)
        costs = _per_day(_costs(part, valuer)[rows], cuts)
        realised = to_floats(np.ascontiguousarray(part.group.books.outputs.realised[rows, 3]))
        closed += _per_day(realised, cuts) + costs
        if marked is not None:
            gross = _marked(part, rows, cuts, np.clip(edges, since_ns, until_ns), valuer)
            marked = None if gross is None else marked + gross + costs
    return DailyMoney(closed, CLOSED_ONLY) if marked is None else DailyMoney(marked, MARKED)


def _per_day(flows: Days, cuts: npt.NDArray[np.int64]) -> Days:
    running = np.concatenate(([0.0], np.cumsum(flows)))
    return running[cuts[1:]] - running[cuts[:-1]]


def _costs(part: Part, valuer: Valuer) -> Days:
    """Return funding less fees per row, foreign fees valued; an unvalued one counts as nothing."""
    columns, flows = part.group.columns, part.group.books.outputs
    net = to_floats(flows.funding[: len(columns)]) - to_floats(columns.events.fee)
    if columns.assets:
        net -= to_floats(valuer.foreign_money(columns).values)
    return net


def _marked(
    part: Part,
    rows: npt.NDArray[np.int64],
    cuts: npt.NDArray[np.int64],
    edges: npt.NDArray[np.int64],
    valuer: Valuer,
) -> Days | None:
    """Return gross money per day at marks, None where a position has no mark or no cost."""
    group, columns = part.group, part.group.columns
    if (columns.events.kind[rows] == layout.ADJUST).any():
        return None
    carried = 0
    if part.first:
        states = group.states_before(part.first)
        carried = sum(int(states[book]["priced_qty"]) for book in part.books)
        if any(int(states[book]["unpriced_qty"]) for book in part.books):
            return None
    held = np.concatenate(([0], np.cumsum(columns.events.qty[rows])))[cuts] + carried
    worth = np.zeros(len(edges))
    for place in np.flatnonzero(held).tolist():
        mark = valuer.mark(columns.key.venue, columns.key.instrument, int(edges[place]) - 1)
        if mark is None:
            if abs(int(held[place])) < columns.terms.dust:
                continue
            return None
        value = position_value(columns.contract, int(held[place]), columns.terms.qty_scale, mark.px)
        worth[place] = value / MONEY_ONE
    return np.diff(worth) - _per_day(fill_values(part)[rows], cuts)
