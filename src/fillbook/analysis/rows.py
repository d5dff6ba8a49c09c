"""The lists: fills as their venue book folded them, and open positions at marks."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import numpy as np

from fillbook.analysis.answers import FillRow, PositionRow
from fillbook.analysis.valuation import position_value
from fillbook.analysis.view import BookView, Query, parts_of
from fillbook.facts.model import Instrument
from fillbook.ground.clock import iso
from fillbook.ground.exact import (
    EXACT,
    MONEY_SCALE,
    divide_half_even,
    money_text,
    plain_text,
    scaled_text,
)
from fillbook.ledger import layout
from fillbook.ledger.amounts import to_int, to_ints
from fillbook.ledger.columns import MAKER, TAKER, VENUE_PNL
from fillbook.ledger.group import GroupLedger
from fillbook.ledger.states import Held
from fillbook.resolve.assignment import strategy_in

# An average price is shown to this many decimals; money never comes from it.
SHOWN_DECIMALS = 12


def fills(view: BookView, query: Query) -> list[FillRow]:
    """List fills in time order; `realized` is gross, by the venue's own book."""
    found: list[tuple[int, int, FillRow]] = []
    for part in parts_of(view, query):
        group = part.group
        rows = np.arange(len(group))[part.rows]
        rows = rows[group.columns.events.kind[rows] == layout.FILL]
        realised = to_ints(np.ascontiguousarray(group.venue.outputs.realised[rows, 3]))
        fees = to_ints(group.columns.events.fee[rows])
        for row, gross, fee in zip(rows.tolist(), realised, fees, strict=True):
            ts_ns = int(group.columns.ts_ns[row])
            found.append((ts_ns, row, _fill_row(group, row, gross, fee)))
    found.sort(key=lambda item: (item[0], item[2].account, item[2].instrument, item[1]))
    return _whole_fills([row for _, _, row in found])


def _whole_fills(rows: list[FillRow]) -> list[FillRow]:
    """Join the parts of a fill that several strategies share, which stand side by side."""
    whole: list[FillRow] = []
    for row in rows:
        last = whole[-1] if whole else None
        if last is None or last.seq != row.seq:
            whole.append(row)
            continue
        strategies = dict.fromkeys((*last.strategy.split("+"), row.strategy))
        whole[-1] = msgspec.structs.replace(
            row,
            qty=_added(last.qty, row.qty) or "0",
            fee=_added(last.fee, row.fee),
            realized=_added(last.realized, row.realized),
            venue_pnl=_added(last.venue_pnl, row.venue_pnl),
            strategy="+".join(strategies),
        )
    return whole


def _added(one: str | None, other: str | None) -> str | None:
    if one is None or other is None:
        return None
    return plain_text(EXACT.add(Decimal(one), Decimal(other)))


def _fill_row(group: GroupLedger, row: int, gross: int, fee: int) -> FillRow:
    columns, flows = group.columns, group.venue.outputs
    terms, events = columns.terms, columns.events
    unknown = bool(flows.flags[row] & layout.REALISED_UNKNOWN)
    traits, bought = int(columns.traits[row]), bool(events.qty[row] > 0)
    fee_text, fee_asset = _fee(group, row, fee, bought)
    return FillRow(
        seq=int(columns.seq[row]),
        fill_id=columns.fill_id[row],
        order_id=columns.order_id[row],
        ts=iso(int(columns.ts_ns[row])),
        account=columns.key.account,
        venue=columns.key.venue,
        instrument=columns.key.instrument,
        side="buy" if bought else "sell",
        px=scaled_text(int(columns.price[row]), terms.price_scale),
        qty=scaled_text(int(columns.traded_qty[row]), terms.qty_scale),
        fee=fee_text,
        fee_asset=fee_asset,
        liquidity="maker" if traits & MAKER else "taker" if traits & TAKER else None,
        position_after=scaled_text(int(flows.position_after[row]), terms.qty_scale),
        realized=None if unknown else money_text(gross),
        currency=columns.contract.settle,
        strategy=strategy_in(columns.books[int(events.book[row])]),
        position_side=columns.key.position_side,
        venue_pnl=money_text(to_int(columns.venue_pnl[row])) if traits & VENUE_PNL else None,
    )


def _fee(group: GroupLedger, row: int, fee: int, bought: bool) -> tuple[str | None, str | None]:
    """Return the fee in its own asset; a base fee is the coins that did not arrive."""
    columns = group.columns
    events, terms = columns.events, columns.terms
    if events.flags[row] & layout.FEE_UNKNOWN:
        return None, None
    foreign = int(columns.foreign[row])
    if foreign >= 0:
        return money_text(to_int(columns.foreign_amount[row])), columns.assets[foreign]
    withheld = int(columns.traded_qty[row]) * (1 if bought else -1) - int(events.qty[row])
    if withheld:
        return scaled_text(withheld, terms.qty_scale), columns.contract.base
    return money_text(fee), columns.contract.settle


def positions(view: BookView, query: Query) -> list[PositionRow]:
    """List what is open at the window's end: venue books, or sub-books when strategies are asked.

    Residues below the lot step are dust and not listed.
    """
    until_ns = view.until_ns(query)
    listed = []
    for part in parts_of(view, query):
        group = part.group
        if not query.strategies and query.by != "strategy":
            whole = group.venue_held_before(part.last)
            listed.append(_position(view, group, whole, None, until_ns))
            continue
        held = group.held_before(part.last)
        for book in part.books:
            strategy = strategy_in(group.columns.books[book])
            listed.append(_position(view, group, held[book], strategy, until_ns))
    return [row for row in listed if row is not None]


def _position(
    view: BookView,
    group: GroupLedger,
    held: Held,
    strategy: str | None,
    until_ns: int,
) -> PositionRow | None:
    columns, terms = group.columns, group.columns.terms
    priced, unpriced = held.priced_qty, held.unpriced_qty
    qty = priced + unpriced
    if abs(qty) < terms.dust:
        return None
    cost = held.cost[-1]
    mark = view.valuer.mark(columns.key.venue, columns.key.instrument, until_ns - 1)
    worth = None
    if mark is not None:
        worth = position_value(columns.contract, priced, terms.qty_scale, mark.px)
    return PositionRow(
        account=columns.key.account,
        venue=columns.key.venue,
        instrument=columns.key.instrument,
        position_side=columns.key.position_side,
        strategy=strategy,
        qty=scaled_text(qty, terms.qty_scale),
        qty_unpriced=scaled_text(unpriced, terms.qty_scale),
        entry_price=average_price(columns.contract, priced, terms.qty_scale, cost),
        mark=None if mark is None else format(mark.px.normalize(), "f"),
        mark_time=None if mark is None else iso(mark.ts_ns),
        notional=None if worth is None else money_text(abs(worth)),
        unrealized=None if worth is None or unpriced else money_text(worth - cost),
        currency=columns.contract.settle,
        opened=_opened(group, held.trade, held.open_event),
    )


def _opened(group: GroupLedger, trade: int, event: int) -> str | None:
    if trade < 0 or group.columns.without_times:
        return None
    return iso(int(group.columns.ts_ns[event]))


def average_price(contract: Instrument, qty: int, qty_scale: int, value: int) -> str | None:
    """Return the average price behind a value (qty x g(p) x multiplier), for display.

    Inverse averages are harmonic and good to 1e-8. None without quantity.
    """
    multiplier = contract.multiplier
    scale = max(0, -int(multiplier.normalize().as_tuple().exponent))
    units = qty * int(multiplier.scaleb(scale))
    if not units or not value:
        return None
    if contract.contract == "inverse":
        shown = 8
        top = abs(units) * 10 ** (MONEY_SCALE + shown)
        return scaled_text(divide_half_even(top, abs(value) * 10 ** (qty_scale + scale)), shown)
    top = value * 10 ** (qty_scale + scale + SHOWN_DECIMALS)
    sign = 1 if units > 0 else -1
    bottom = abs(units) * 10**MONEY_SCALE
    return scaled_text(divide_half_even(sign * top, bottom), SHOWN_DECIMALS)
