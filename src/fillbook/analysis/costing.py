"""What trading cost, per asset: fees by liquidity, rebates, funding, other charges."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from fillbook.analysis.answers import CostRow
from fillbook.analysis.costs import (
    LIQUIDITY_UNKNOWN,
    MAKER,
    TAKER,
    fee_totals,
    funding_totals,
    total_costs,
)
from fillbook.analysis.view import BookView, Part, Query, parts_of
from fillbook.ground.exact import money_text
from fillbook.ledger import layout
from fillbook.ledger.amounts import to_int, to_ints, total
from fillbook.ledger.columns import MAKER as IS_MAKER
from fillbook.ledger.columns import TAKER as IS_TAKER


@dataclass
class _Asset:
    """Rows of one asset, collected over groups."""

    fees: list[int] = field(default_factory=list)
    liquidity: list[int] = field(default_factory=list)
    known: list[bool] = field(default_factory=list)
    traded: list[int] | None = field(default_factory=list)
    funding: list[int] = field(default_factory=list)
    charges: int = 0


def costs(view: BookView, query: Query) -> list[CostRow]:
    """Return one row per asset that fees, funding or charges were paid in.

    Volume is the traded value in the settlement currency; it is None for other fee assets.
    """
    assets: dict[str, _Asset] = {}
    for part in parts_of(view, query):
        _collect(part, assets)
    return [_row(name, assets[name]) for name in sorted(assets)]


def _collect(part: Part, assets: dict[str, _Asset]) -> None:
    columns, events = part.group.columns, part.group.columns.events
    settle = assets.setdefault(columns.contract.settle, _Asset())
    rows = np.arange(len(columns))[part.rows]
    fees = to_ints(events.fee[rows])
    foreign = to_ints(columns.foreign_amount[rows])
    funding = part.group.books.outputs.funding
    for place, row in enumerate(rows.tolist()):
        kind = int(events.kind[row])
        other = int(columns.foreign[row])
        paid_in = settle
        amount = fees[place]
        if other >= 0:
            paid_in, amount = assets.setdefault(columns.assets[other], _Asset()), foreign[place]
            if paid_in.traded is not None and kind == layout.FILL:
                paid_in.traded = None
        if kind == layout.FILL:
            _add_fill(paid_in, part, row, amount)
        elif kind == layout.FEE:
            paid_in.charges += amount
        elif kind in (layout.FUNDING, layout.FUNDING_SHARE):
            paid_in.funding.append(-amount if other >= 0 else to_int(funding[row]))


def _add_fill(asset: _Asset, part: Part, row: int, fee: int) -> None:
    columns = part.group.columns
    traits = int(columns.traits[row])
    asset.fees.append(fee)
    asset.liquidity.append(
        MAKER if traits & IS_MAKER else TAKER if traits & IS_TAKER else LIQUIDITY_UNKNOWN
    )
    asset.known.append(not columns.events.flags[row] & layout.FEE_UNKNOWN)
    if asset.traded is not None:
        terms = columns.terms
        value = int(columns.traded_qty[row]) * int(columns.events.px[row, 3]) * terms.factor
        asset.traded.append(abs(value) // terms.divisor)


def _row(name: str, asset: _Asset) -> CostRow:
    fees = fee_totals(asset.fees, asset.liquidity, asset.known, asset.traded)
    funding = funding_totals(asset.funding)
    return CostRow(
        asset=name,
        fees=money_text(fees.fees),
        fees_maker=money_text(fees.fees_maker),
        fees_taker=money_text(fees.fees_taker),
        fees_unknown_liquidity=money_text(fees.fees_unknown_liquidity),
        rebates=money_text(fees.rebates),
        funding_received=money_text(funding.received),
        funding_paid=money_text(funding.paid),
        net_funding=money_text(funding.net),
        charges=money_text(asset.charges),
        total_costs=money_text(total_costs(fees.fees, funding, asset.charges)),
        n_fills=fees.n_fills,
        n_fee_unknown=fees.n_fee_unknown,
        volume=None if fees.volume is None else money_text(fees.volume),
        fee_bps=fees.fee_bps,
        maker_ratio=fees.maker_ratio,
    )


def split_funding(parts: Iterable[Part]) -> tuple[int, int]:
    """Return funding received and paid over some parts in one currency, both positive."""
    received = paid = 0
    for part in parts:
        column = np.ascontiguousarray(part.group.books.outputs.funding[part.rows])
        negative = column[:, 0] < 0
        received += total(column[~negative])
        paid -= total(column[negative])
    return received, paid
