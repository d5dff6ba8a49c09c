"""Builds the groups: inventory quantities in scaled integers, strategies, prices, order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal

from fillbook.facts.finding import Finding
from fillbook.facts.model import Charge, Claimed, Fill, Funding, Instrument
from fillbook.ground.exact import INT64_MAX, decimals_of, to_scaled
from fillbook.resolve.anchors import with_anchors
from fillbook.resolve.assignment import Assigner
from fillbook.resolve.event import Event, Group, GroupKey, Kind
from fillbook.resolve.instruments import InstrumentBook, unknown_instrument
from fillbook.resolve.order import chained, in_order, settle_rows
from fillbook.resolve.prorata import shared_out

ACCOUNT_WIDE = "-"
_KIND_OF = {Fill: Kind.FILL, Funding: Kind.FUNDING, Charge: Kind.CHARGE}


def group_claims(
    claims: Iterable[Claimed], instruments: InstrumentBook
) -> tuple[dict[GroupKey, list[Claimed]], list[Finding]]:
    """Split claims by group; claims about instruments nobody described become findings."""
    groups: dict[GroupKey, list[Claimed]] = defaultdict(list)
    unknown: dict[tuple[str, str], list[int]] = defaultdict(list)
    keys: dict[tuple[str, str, str | None, str], GroupKey | None] = {}
    for claim in claims:
        fact = claim.fact
        assert isinstance(fact, Fill | Funding | Charge)
        side = "net" if isinstance(fact, Charge) else fact.position_side
        place = (fact.venue, fact.account, fact.instrument, side)
        if place not in keys:
            keys[place] = _key_of(fact, side, instruments)
        key = keys[place]
        if key is None:
            unknown[fact.venue, fact.instrument or ACCOUNT_WIDE].append(claim.seq)
        else:
            groups[key].append(claim)
    findings = [unknown_instrument(*place, seqs) for place, seqs in sorted(unknown.items())]
    return groups, findings


def _key_of(
    fact: Fill | Funding | Charge, side: str, instruments: InstrumentBook
) -> GroupKey | None:
    if fact.instrument is None:
        assert isinstance(fact, Charge)
        return GroupKey(fact.venue, fact.account, f"{ACCOUNT_WIDE}{fact.asset}")
    settled = instruments.find(fact.venue, fact.instrument)
    if settled is None:
        return None
    return GroupKey(fact.venue, fact.account, settled.symbol, side)  # type: ignore[arg-type]


def contract_of(key: GroupKey, instruments: InstrumentBook) -> Instrument:
    """Return a group's contract; charges without instrument settle in their own asset."""
    settled = instruments.find(key.venue, key.instrument)
    if settled is not None:
        return settled
    asset = key.instrument.removeprefix(ACCOUNT_WIDE)
    return Instrument(
        venue=key.venue,
        account=key.account,
        ts_ns=0,
        symbol=key.instrument,
        contract="linear",
        base=asset,
        quote=asset,
        settle=asset,
    )


def build_group(
    key: GroupKey,
    contract: Instrument,
    claims: Sequence[Claimed],
    assigner: Assigner,
    *,
    without_times: bool,
) -> tuple[Group, list[Finding]]:
    """Turn one group's claims into ordered events; a number that does not fit is a finding."""
    facts = [claim.fact for claim in claims]
    fills = [fact for fact in facts if isinstance(fact, Fill)]
    lot_decimals = max((decimals_of(f.qty) for f in fills if not f.dust), default=0)
    qty_scale = max((lot_decimals, *(_qty_decimals(f, contract) for f in fills)))
    group = Group(
        key=key,
        instrument=contract,
        events=[],
        qty_scale=qty_scale,
        px_scale=max((decimals_of(f.px) for f in fills), default=0),
        lot_decimals=lot_decimals,
        has_rungs=False,
        written_as_floats=any(f.from_floats for f in fills),
        without_times=without_times,
    )
    rows = settle_rows(claims)
    events = []
    for claim in claims:
        event = _event(claim, contract, qty_scale, assigner, rows.get(claim.seq))
        if abs(event.qty) > INT64_MAX:
            return group, [_does_not_fit(key, claim)]
        group.has_rungs = group.has_rungs or event.rungs is not None
        events.append(event)
    ordered = chained(in_order(events), lot_decimals, qty_scale)
    placed, findings = with_anchors(key, contract.contract, ordered, qty_scale, lot_decimals)
    group.events = shared_out(placed)
    return group, findings


def _qty_decimals(fill: Fill, contract: Instrument) -> int:
    decimals = decimals_of(fill.qty)
    if fill.start_position is not None:
        decimals = max(decimals, decimals_of(fill.start_position))
    if base_fee(fill, contract):
        assert fill.fee is not None
        decimals = max(decimals, decimals_of(fill.fee))
    return decimals


def base_fee(fill: Fill, contract: Instrument) -> bool:
    """Say whether the fee was taken out of the coins themselves."""
    return contract.contract == "spot" and bool(fill.fee) and fill.fee_asset == contract.base


def _event(
    claim: Claimed, contract: Instrument, qty_scale: int, assigner: Assigner, row: int | None
) -> Event:
    fact = claim.fact
    assert isinstance(fact, Fill | Funding | Charge)
    event = Event(
        kind=_KIND_OF[type(fact)],
        ts_ns=fact.ts_ns,
        seq=claim.seq,
        key=claim.key,
        book=assigner.book_of(fact),
        fact=fact,
        row=row,
    )
    if isinstance(fact, Fill):
        signed = fact.qty if fact.side == "buy" else -fact.qty
        if base_fee(fact, contract):
            signed -= fact.fee or Decimal(0)
        event.qty = to_scaled(signed, qty_scale)
        event.rungs = assigner.rungs_of(fact)
    return event


def _does_not_fit(key: GroupKey, claim: Claimed) -> Finding:
    return Finding(
        code="number-does-not-fit",
        severity="error",
        message=f"the quantities of {key.instrument} need more digits than the ledger holds; "
        "this instrument is left out",
        next_step="check the quantities of the rows around this claim",
        venue=key.venue,
        account=key.account,
        instrument=key.instrument,
        ts_ns=claim.fact.ts_ns,
        seqs=(claim.seq,),
        touches=("realized", "net", "made_money"),
    )
