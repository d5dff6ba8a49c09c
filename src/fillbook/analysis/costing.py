"""What trading cost, per asset: fees by liquidity, rebates, funding, other charges."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fillbook.analysis.answers import CostRow
from fillbook.analysis.costs import (
    LIQUIDITY_UNKNOWN,
    MAKER,
    TAKER,
    Traded,
    fee_totals,
    funding_totals,
    total_costs,
    traded_values,
)
from fillbook.analysis.view import BookView, Part, Query, parts_of
from fillbook.ground.exact import money_text
from fillbook.ledger import layout
from fillbook.ledger.amounts import Wide, from_ints, negated, products, to_ints, total
from fillbook.ledger.columns import MAKER as IS_MAKER
from fillbook.ledger.columns import TAKER as IS_TAKER


@dataclass
class _Asset:
    """What was paid and received in one asset, collected over groups as columns.

    `is_foreign` says that fills of other settlement currencies paid fees in it.
    """

    fees: list[Wide] = field(default_factory=list)
    liquidity: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    known: list[npt.NDArray[np.bool_]] = field(default_factory=list)
    traded: Traded = field(default_factory=Traded)
    is_foreign: bool = False
    funding: list[Wide] = field(default_factory=list)
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
    columns = part.group.columns
    rows = np.arange(len(columns))[part.rows]
    foreign = columns.foreign[rows]
    own = assets.setdefault(columns.contract.settle, _Asset())
    ours = rows[foreign < 0]
    _add(own, part, ours, columns.events.fee[ours])
    own.traded += _traded(part, ours[columns.events.kind[ours] == layout.FILL])
    for number in np.unique(foreign[foreign >= 0]).tolist():
        theirs = rows[foreign == number]
        asset = assets.setdefault(columns.assets[number], _Asset())
        _add(asset, part, theirs, columns.foreign_amount[theirs], is_foreign=True)


def _add(
    asset: _Asset, part: Part, rows: npt.NDArray[np.int64], amounts: Wide, is_foreign: bool = False
) -> None:
    """Add the rows of a part that were paid in an asset, `amounts` of each."""
    columns = part.group.columns
    kinds = columns.events.kind[rows]
    fills, funding = kinds == layout.FILL, np.isin(kinds, (layout.FUNDING, layout.FUNDING_SHARE))
    asset.fees.append(amounts[fills])
    asset.liquidity.append(_liquidity(columns.traits[rows[fills]]))
    asset.known.append((columns.events.flags[rows[fills]] & layout.FEE_UNKNOWN) == 0)
    asset.charges += total(amounts[kinds == layout.FEE])
    flows = part.group.books.outputs.funding
    asset.funding.append(negated(amounts[funding]) if is_foreign else flows[rows[funding]])
    asset.is_foreign |= is_foreign and bool(fills.any())


def _liquidity(traits: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    made, took = (traits & IS_MAKER) != 0, (traits & IS_TAKER) != 0
    told = np.where(made, MAKER, np.where(took, TAKER, LIQUIDITY_UNKNOWN))
    return told.astype(np.uint8)


def _traded(part: Part, fills: npt.NDArray[np.int64]) -> Traded:
    """Add up the traded value of some fills in the settlement currency."""
    columns, terms = part.group.columns, part.group.columns.terms
    values = products(np.abs(columns.traded_qty[fills]), np.abs(columns.events.px[fills, 3]))
    factor = abs(terms.factor)
    if terms.divisor != 1:
        # Each fill's value loses its own remainder.
        values, factor = from_ints(v * factor // terms.divisor for v in to_ints(values)), 1
    kinds = _liquidity(columns.traits[fills])
    known = (columns.events.flags[fills] & layout.FEE_UNKNOWN) == 0
    return traded_values(values, kinds, known).times(factor)


def _row(name: str, asset: _Asset) -> CostRow:
    fees = fee_totals(
        np.concatenate(asset.fees),
        np.concatenate(asset.liquidity),
        np.concatenate(asset.known),
        None if asset.is_foreign else asset.traded,
    )
    funding = funding_totals(np.concatenate(asset.funding))
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
