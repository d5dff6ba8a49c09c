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
    Traded,
    fee_totals,
    funding_totals,
    total_costs,
    traded_values,
)
from fillbook.analysis.view import BookView, Part, Query, Rows, parts_of
from fillbook.ground.exact import money_text
from fillbook.ledger import layout
from fillbook.ledger.amounts import Wide, from_ints, negated, products, to_ints, total
from fillbook.ledger.columns import I64, U8
from fillbook.ledger.columns import MAKER as IS_MAKER
from fillbook.ledger.columns import TAKER as IS_TAKER

_FUNDING = (layout.FUNDING, layout.FUNDING_SHARE)


@dataclass
class _Traded:
    """Rows of groups whose quantity times price is lifted alike, as pieces of columns."""

    qty: list[I64] = field(default_factory=list)
    px: list[I64] = field(default_factory=list)
    traits: list[U8] = field(default_factory=list)
    flags: list[U8] = field(default_factory=list)
    kinds: list[U8] = field(default_factory=list)


@dataclass
class _Asset:
    """What was paid and received in one asset, collected over groups as pieces of columns.

    `is_foreign` says that fills of other settlement currencies paid fees in it. `traded` is by
    factor and divisor.
    """

    kinds: list[U8] = field(default_factory=list)
    amounts: list[Wide] = field(default_factory=list)
    funding: list[Wide] = field(default_factory=list)
    traits: list[U8] = field(default_factory=list)
    flags: list[U8] = field(default_factory=list)
    traded: dict[tuple[int, int], _Traded] = field(default_factory=dict)
    is_foreign: bool = False


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
    own = assets.setdefault(columns.contract.settle, _Asset())
    if not columns.assets:
        _add(own, part, part.rows, columns.events.fee[part.rows])
        _add_traded(own, part, part.rows)
        return
    rows = np.arange(len(columns))[part.rows]
    foreign = columns.foreign[rows]
    ours = rows[foreign < 0]
    _add(own, part, ours, columns.events.fee[ours])
    _add_traded(own, part, ours)
    for number in np.unique(foreign[foreign >= 0]).tolist():
        theirs = rows[foreign == number]
        asset = assets.setdefault(columns.assets[number], _Asset())
        _add(asset, part, theirs, columns.foreign_amount[theirs], is_foreign=True)


def _add(asset: _Asset, part: Part, rows: Rows, amounts: Wide, is_foreign: bool = False) -> None:
    """Add the rows of a part that were paid in an asset, `amounts` of each."""
    columns = part.group.columns
    funding = negated(amounts) if is_foreign else part.group.books.outputs.funding[rows]
    asset.kinds.append(columns.events.kind[rows])
    asset.amounts.append(amounts)
    asset.funding.append(funding)
    asset.traits.append(columns.traits[rows])
    asset.flags.append(columns.events.flags[rows])
    if is_foreign and not asset.is_foreign:
        asset.is_foreign = bool((asset.kinds[-1] == layout.FILL).any())


def _add_traded(asset: _Asset, part: Part, rows: Rows) -> None:
    """Add what the fills among some rows traded, apart for every factor it has to be lifted by."""
    columns, terms = part.group.columns, part.group.columns.terms
    pieces = asset.traded.setdefault((abs(terms.factor), terms.divisor), _Traded())
    pieces.qty.append(columns.traded_qty[rows])
    pieces.px.append(columns.events.px[rows, 3])
    pieces.traits.append(columns.traits[rows])
    pieces.flags.append(columns.events.flags[rows])
    pieces.kinds.append(columns.events.kind[rows])


def _liquidity(traits: U8) -> U8:
    made, took = (traits & IS_MAKER) != 0, (traits & IS_TAKER) != 0
    told = np.where(made, MAKER, np.where(took, TAKER, LIQUIDITY_UNKNOWN))
    return told.astype(np.uint8)


def _traded(pieces: _Traded, factor: int, divisor: int) -> Traded:
    """Add up the traded value of fills in the settlement currency."""
    is_fill = np.concatenate(pieces.kinds) == layout.FILL
    qty, px = np.concatenate(pieces.qty)[is_fill], np.concatenate(pieces.px)[is_fill]
    values = products(np.abs(qty), np.abs(px))
    if divisor != 1:
        # Each fill's value loses its own remainder.
        values, factor = from_ints(v * factor // divisor for v in to_ints(values)), 1
    liquidity = _liquidity(np.concatenate(pieces.traits)[is_fill])
    known = (np.concatenate(pieces.flags)[is_fill] & layout.FEE_UNKNOWN) == 0
    return traded_values(values, liquidity, known).times(factor)


def _row(name: str, asset: _Asset) -> CostRow:
    kinds, amounts = np.concatenate(asset.kinds), np.concatenate(asset.amounts)
    is_fill, is_funding = kinds == layout.FILL, np.isin(kinds, _FUNDING)
    charges = total(amounts[kinds == layout.FEE])
    volume = sum((_traded(each, *lift) for lift, each in asset.traded.items()), Traded())
    fees = fee_totals(
        amounts[is_fill],
        _liquidity(np.concatenate(asset.traits)[is_fill]),
        (np.concatenate(asset.flags)[is_fill] & layout.FEE_UNKNOWN) == 0,
        None if asset.is_foreign else volume,
    )
    funding = funding_totals(np.concatenate(asset.funding)[is_funding])
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
        charges=money_text(charges),
        total_costs=money_text(total_costs(fees.fees, funding, charges)),
        n_fills=fees.n_fills,
        n_fee_unknown=fees.n_fee_unknown,
        volume=None if fees.volume is None else money_text(fees.volume),
        fee_bps=fees.fee_bps,
        maker_ratio=fees.maker_ratio,
    )


def split_funding(parts: Iterable[Part]) -> tuple[int, int]:
    """Return funding received and paid over some parts in one currency, both positive."""
    columns = [part.group.books.outputs.funding[part.rows] for part in parts]
    if not columns:
        return 0, 0
    told = funding_totals(np.concatenate(columns))
    return told.received, told.paid
