"""The ladder: why the money is what it is, in lines that sum exactly to net.

For each rung k (decision, arrival, mid, fill) the total is realised_k plus the change of
unrealised_k; PnL is linear in prices, so the differences of neighbouring rungs telescope
(docs/metrics.md, "The ladder").
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fillbook.analysis.answers import Ladder
from fillbook.analysis.valuation import Valuer, position_value
from fillbook.analysis.view import Part, Rows
from fillbook.ground.exact import MONEY_ONE, divide_half_even, money_text
from fillbook.ledger import layout
from fillbook.ledger.amounts import products, total
from fillbook.ledger.columns import ARRIVAL_KNOWN, MID_KNOWN
from fillbook.ledger.states import Held

Numbers = npt.NDArray[np.int64]

N_RUNGS = 4


@dataclass
class Totals:
    """Additive totals of one currency over a window, all money in grid units.

    `opened` and `closed_at` are the unrealised PnL per rung at the window's start and end.
    `signal_unpriced` is the part of the signal whose decision price is unknown. `cash_gap` is the
    difference between the ladder and an independent cash count: 0 unless the book is wrong.
    """

    currency: str
    realised: list[int] = field(default_factory=lambda: [0] * N_RUNGS)
    unrealised_change: list[int] = field(default_factory=lambda: [0] * N_RUNGS)
    signal_unpriced: int = 0
    fees: int = 0
    funding: int = 0
    n_fills: int = 0
    n_fees: int = 0
    n_fundings: int = 0
    n_fee_unknown: int = 0
    n_unvalued: int = 0
    n_unpriced_closes: int = 0
    unmarked: list[str] = field(default_factory=list)
    notional: float = 0.0
    notional_known: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0, 0.0])
    cash_gap: int = 0

    def add(self, other: Totals) -> None:
        """Add another part's totals; both are in one currency."""
        assert self.currency == other.currency
        for rung in range(N_RUNGS):
            self.realised[rung] += other.realised[rung]
            self.unrealised_change[rung] += other.unrealised_change[rung]
            self.notional_known[rung] += other.notional_known[rung]
        for name in (
            *("signal_unpriced", "fees", "funding", "n_fills", "n_fees", "n_fundings"),
            *("n_fee_unknown", "n_unvalued", "n_unpriced_closes", "notional", "cash_gap"),
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.unmarked += other.unmarked

    def rung(self, place: int) -> int:
        """Return the gross result at one rung of the ladder."""
        return self.realised[place] + self.unrealised_change[place]

    @property
    def gross(self) -> int:
        """Return gross PnL at the prices actually filled."""
        return self.rung(3)

    @property
    def net_known(self) -> int:
        """Return gross less known fees plus funding; the whole net where nothing is unknown."""
        return self.gross - self.fees + self.funding

    @property
    def fees_known(self) -> bool:
        """Say whether every fee is known and valued."""
        return not (self.n_fee_unknown or self.n_unvalued)

    def lines(self) -> dict[str, int]:
        """Return the ladder's lines in grid units; costs positive = lost."""
        signal = self.rung(0) - self.signal_unpriced
        parts = {
            "signal": signal,
            "signal_unpriced": self.signal_unpriced,
            "delay": self.rung(0) - self.rung(1),
            "drift": self.rung(1) - self.rung(2),
            "spread": self.rung(2) - self.rung(3),
            "fees": self.fees,
            "funding": self.funding,
            "rounding": 0,
        }
        return parts | {"residual": self.cash_gap}

    def ladder(self) -> Ladder:
        """Return the ladder as decimal text."""
        return Ladder(**{name: money_text(amount) for name, amount in self.lines().items()})


def totals_of(part: Part, valuer: Valuer, since_ns: int | None, until_ns: int) -> Totals:
    """Total one part of a group over its window; positions are carried in and out at marks."""
    totals = Totals(part.currency)
    _add_part(totals, part, valuer, since_ns, until_ns)
    return totals


def _add_part(
    totals: Totals, part: Part, valuer: Valuer, since_ns: int | None, until_ns: int
) -> None:
    if part.last > part.first:
        if part.whole:
            _add_group(totals, part, valuer)
        else:
            _add_books(totals, part, valuer)
    _unrealised(totals, part, valuer, since_ns, until_ns)


def _add_group(totals: Totals, part: Part, valuer: Valuer) -> None:
    """Add a window of a whole group, from its running totals."""
    flows, terms = part.group.flows, part.group.columns.terms
    told = flows.window(part.first, part.last)
    for rung, amount in enumerate(told.realised):
        totals.realised[rung] += amount
    totals.signal_unpriced += told.signal_unpriced
    totals.fees += told.fees
    totals.funding += told.funding
    totals.n_fills += told.n_fills
    totals.n_fees += told.n_fees
    totals.n_fundings += told.n_fundings
    totals.n_fee_unknown += told.n_fee_unknown
    totals.n_unpriced_closes += told.n_unpriced_closes
    notional, known = flows.weights(part.first, part.last)
    unit = terms.factor / terms.divisor / MONEY_ONE
    totals.notional += notional * unit
    for place, weight in enumerate(known):
        totals.notional_known[place] += weight * unit
    _add_foreign(totals, part, flows.foreign(part.first, part.last), valuer)
    if not (told.n_unpriced_closes or told.n_adjusted):
        totals.cash_gap += _cash_gap(part, told.realised[-1])


def _add_books(totals: Totals, part: Part, valuer: Valuer) -> None:
    """Add a window of some sub-books, row by row."""
    mine = Totals(part.currency)
    foreign = _picked_flows(mine, part, part.rows)
    _count_known(mine, part, part.rows)
    _add_foreign(mine, part, foreign, valuer)
    if not (mine.n_unpriced_closes or _adjusted(part)):
        mine.cash_gap = _cash_gap(part, mine.realised[-1])
    totals.add(mine)


def _picked_flows(totals: Totals, part: Part, rows: Rows) -> Numbers:
    """Total the rows of some sub-books; return those paid in other assets."""
    columns, flows = part.group.columns, part.group.books.outputs
    events = columns.events
    realised, flags = flows.realised[rows], flows.flags[rows]
    for rung in range(N_RUNGS):
        totals.realised[rung] = total(np.ascontiguousarray(realised[:, rung]))
    unpriced = (flags & layout.SIGNAL_UNPRICED) != 0
    totals.signal_unpriced = total(np.ascontiguousarray(realised[unpriced, 0]))
    fee, funding = events.fee[rows], flows.funding[rows]
    totals.fees, totals.funding = total(fee), total(funding)
    kind, given = events.kind[rows], events.flags[rows]
    is_fill = kind == layout.FILL
    totals.n_fills = len(np.unique(columns.seq[rows][is_fill]))
    totals.n_fees = int(fee.any(axis=1).sum())
    is_funding = (kind == layout.FUNDING) | (kind == layout.FUNDING_SHARE)
    totals.n_fundings = len(np.unique(columns.seq[rows][is_funding]))
    totals.n_fee_unknown = int((is_fill & ((given & layout.FEE_UNKNOWN) != 0)).sum())
    totals.n_unpriced_closes = int((is_fill & ((flags & layout.REALISED_UNKNOWN) != 0)).sum())
    return np.arange(len(columns))[rows][columns.foreign[rows] >= 0]


def _add_foreign(totals: Totals, part: Part, rows: Numbers, valuer: Valuer) -> None:
    if not len(rows):
        return
    columns = part.group.columns
    values, known = valuer.foreign_money(columns)
    valued = rows[known[rows]]
    funded = columns.events.kind[valued] == layout.FUNDING
    totals.n_unvalued += len(rows) - len(valued)
    totals.funding -= total(values[valued[funded]])
    totals.fees += total(values[valued[~funded]])
    totals.n_fees += int((~funded).sum())


def _unrealised(
    totals: Totals, part: Part, valuer: Valuer, since_ns: int | None, until_ns: int
) -> None:
    # A mark printed at the very edge belongs to the window that begins there, for both windows
    # that meet there: so what one carries out the next carries in.
    start_ns = None if since_ns is None else since_ns - 1
    for row, at_ns, sign in ((part.first, start_ns, -1), (part.last, until_ns - 1, 1)):
        if at_ns is None or (row == 0 and sign < 0):
            continue
        held = part.group.held_before(row)
        for book in part.books:
            _value_book(totals, part, held[book], valuer, at_ns, sign)


def _value_book(
    totals: Totals, part: Part, held: Held, valuer: Valuer, at_ns: int, sign: int
) -> None:
    qty, unpriced = held.priced_qty, held.unpriced_qty
    if not qty and not unpriced:
        return
    columns = part.group.columns
    mark = valuer.mark(columns.key.venue, columns.key.instrument, at_ns)
    # Dust is worth its mark like anything held; without one it stays at cost and nobody minds.
    is_dust = abs(qty + unpriced) < columns.terms.dust
    if (mark is None or unpriced) and not is_dust:
        totals.unmarked.append(columns.key.instrument)
    if mark is None:
        return
    value = position_value(columns.contract, qty, columns.terms.qty_scale, mark.px)
    for rung, cost in enumerate(held.cost):
        totals.unrealised_change[rung] += sign * (value - cost)
    if held.is_signal_unpriced:
        totals.signal_unpriced += sign * (value - held.cost[0])


def _count_known(totals: Totals, part: Part, rows: Rows) -> None:
    """Weigh by notional how often each price of the ladder, and the fee, is known."""
    columns = part.group.columns
    events = columns.events
    picked = events.kind[rows] == layout.FILL
    notional = np.abs(fill_values(part, rows))[picked]
    totals.notional = float(notional.sum())
    given = events.flags[rows][picked]
    traits = columns.traits[rows][picked]
    for place, known in enumerate(
        (
            (given & layout.DECISION_KNOWN) != 0,
            (traits & ARRIVAL_KNOWN) != 0,
            (traits & MID_KNOWN) != 0,
            (given & layout.FEE_UNKNOWN) == 0,
        )
    ):
        totals.notional_known[place] = float(notional[known].sum())


def fill_values(part: Part, rows: Rows) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return signed qty x px of some rows as floats in the settlement currency, for weights."""
    columns = part.group.columns
    terms, events = columns.terms, columns.events
    unit = terms.factor / terms.divisor / 1e18
    return events.qty[rows].astype(np.float64) * events.px[rows, 3].astype(np.float64) * unit


def _cash_gap(part: Part, realised: int) -> int:
    """Count the same money without any lots: cash out of the fills plus what is still held.

    Where cost is unknown (an unpriced position, an adjustment) no such count exists: 0.
    """
    group = part.group
    end = group.held_before(part.last)
    start = group.held_before(part.first) if part.first else None
    cost = 0
    for book in part.books:
        before = None if start is None else start[book]
        if end[book].unpriced_qty or (before and before.unpriced_qty):
            return 0
        cost += end[book].cost[-1] - (before.cost[-1] if before else 0)
    paid = group.flows.paid(part.first, part.last) if part.whole else _paid(part)
    return (cost - paid) - realised


def _adjusted(part: Part) -> bool:
    return bool((part.group.columns.events.kind[part.rows] == layout.ADJUST).any())


def _paid(part: Part) -> int:
    """Return the money paid for the fills of some sub-books."""
    terms, events = part.group.columns.terms, part.group.columns.events
    quantities, prices = events.qty[part.rows], events.px[part.rows][:, 3]
    if terms.divisor == 1:
        return terms.factor * total(products(quantities, prices))
    pairs = zip(quantities.tolist(), prices.tolist(), strict=True)
    return sum(divide_half_even(qty * px * terms.factor, terms.divisor) for qty, px in pairs)


def explain(
    parts: list[Part], valuer: Valuer, since_ns: int | None, until_ns: int
) -> dict[str, Totals]:
    """Total all parts per settlement currency; currencies are never added."""
    by_currency: dict[str, Totals] = {}
    for part in parts:
        currency = part.currency
        if currency not in by_currency:
            by_currency[currency] = Totals(currency)
        _add_part(by_currency[currency], part, valuer, since_ns, until_ns)
    return dict(sorted(by_currency.items()))
