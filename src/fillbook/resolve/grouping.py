"""Builds the groups: inventory quantities in scaled integers, strategies, prices, order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal

from fillbook.facts.finding import Finding
from fillbook.facts.model import Charge, Claimed, Fill, Funding, Instrument
from fillbook.ground.exact import (
    INT64_MAX,
    MONEY_SCALE,
    all_scaled,
    decimals_of,
    most_decimals,
)
from fillbook.resolve.anchors import with_anchors
from fillbook.resolve.assignment import Assigner
from fillbook.resolve.coverage import Moved
from fillbook.resolve.event import Event, Group, GroupKey, Kind
from fillbook.resolve.instruments import InstrumentBook, unknown_instrument
from fillbook.resolve.order import chained, in_order, settle_rows
from fillbook.resolve.prorata import shared_out
from fillbook.resolve.snapshots import Anchor
from fillbook.resolve.stretches import agree, starts

ACCOUNT_WIDE = "-"
# As many claims as stay near the processor while they are looked at from all sides.
_CHUNK = 1024
_KIND_OF: dict[type, Kind] = {Fill: Kind.FILL, Funding: Kind.FUNDING, Charge: Kind.CHARGE}


def group_claims(
    claims: Iterable[Claimed], instruments: InstrumentBook
) -> tuple[dict[GroupKey, list[Claimed]], list[Finding]]:
    """Split claims by group; claims about instruments nobody described become findings."""
    groups: dict[GroupKey, list[Claimed]] = defaultdict(list)
    unknown: dict[tuple[str, str], list[int]] = defaultdict(list)
    keys: dict[tuple[str, str, str | tuple[str, ...], str], GroupKey | None] = {}
    for claim in claims:
        fact = claim.fact
        assert isinstance(fact, Fill | Funding | Charge)
        side = "net" if isinstance(fact, Charge) else fact.position_side
        # Money of an account as a whole is grouped by its asset.
        place = (fact.venue, fact.account, fact.instrument or _asset(fact), side)
        if place not in keys:
            keys[place] = _key_of(fact, side, instruments)
        key = keys[place]
        if key is None:
            unknown[fact.venue, fact.instrument or ACCOUNT_WIDE].append(claim.seq)
        else:
            groups[key].append(claim)
    findings = [unknown_instrument(*place, seqs) for place, seqs in sorted(unknown.items())]
    return groups, findings


def _asset(fact: Fill | Funding | Charge) -> tuple[str, ...]:
    return (fact.asset,) if isinstance(fact, Charge) else ()


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
    anchors: Sequence[Anchor] = (),
) -> tuple[Group, list[Finding]]:
    """Turn one group's claims into ordered events; a number that does not fit is a finding.

    `anchors` are what the venue stated of the position where the fills before it are complete.
    """
    draft = _Draft(contract, assigner)
    for start in range(0, len(claims) or 1, _CHUNK):
        draft.add(claims[start : start + _CHUNK])
    anchors = draft.with_room_for(anchors)
    events = draft.events(claims)
    group = Group(
        key=key,
        instrument=contract,
        events=[],
        qty_scale=draft.qty_scale,
        px_scale=draft.px_scale,
        lot_decimals=draft.lot_decimals,
        has_rungs=draft.has_rungs,
        written_as_floats=draft.written_as_floats,
        without_times=without_times,
    )
    for claim, event in zip(claims, events, strict=True):
        if abs(event.qty) > INT64_MAX:
            return group, [_does_not_fit(key, claim)]
    ordered, findings = in_order(events), list[Finding]()
    if draft.is_anchored:
        ordered = chained(ordered, draft.lot_decimals, draft.qty_scale)
    stated = starts(ordered, anchors, draft.qty_scale)
    if draft.is_anchored or contract.contract == "spot" or not agree(ordered, stated):
        ordered, findings = with_anchors(
            key, contract.contract, ordered, draft.qty_scale, draft.lot_decimals, stated
        )
    group.events = shared_out(ordered)
    return group, findings


class _Draft:
    """A group's events while its scales are still being found, a chunk of claims at a time.

    Each chunk is scaled as finely as it needs and lifted to the group's scale in the end: so every
    claim is looked at once, and is near while it is.
    """

    def __init__(self, contract: Instrument, assigner: Assigner) -> None:
        self._contract = contract
        self._assigner = assigner
        self._events: list[Event] = []
        self._chunks: list[tuple[int, int]] = []
        self._contested = False
        self._largest = Decimal(0)
        self.qty_scale = self.lot_decimals = self.px_scale = 0
        self.has_rungs = self.written_as_floats = self.is_anchored = False

    def add(self, claims: Sequence[Claimed]) -> None:
        """Draft the events of some claims."""
        facts = [fact for claim in claims if isinstance(fact := claim.fact, Moved)]
        fills = [fact for fact in facts if isinstance(fact, Fill)]
        rungs = self._assigner.all_rungs(fills)
        books = self._assigner.books_of(facts)
        moved = zip(self._quantities(fills), rungs, strict=True)
        for claim, fact, book in zip(claims, facts, books, strict=True):
            said = claim.assertions
            self._contested = self._contested or len(said) != 1
            kind, row = _KIND_OF[type(fact)], said[0].row if said else None
            qty, seen = next(moved) if kind is Kind.FILL else (0, None)
            self._events.append(
                Event(kind, fact.ts_ns, claim.seq, claim.key, book, qty, fact, seen, row)
            )
        self.has_rungs = self.has_rungs or any(each is not None for each in rungs)
        self.written_as_floats = self.written_as_floats or any(f.from_floats for f in fills)
        self.px_scale = max(self.px_scale, most_decimals([fill.px for fill in fills]))

    def _quantities(self, fills: Sequence[Fill]) -> list[int]:
        """Return signed quantities, base fees taken off, at the chunk's own scale."""
        sizes = [fill.qty for fill in fills]
        lots = [fill.qty for fill in fills if not fill.dust]
        stated = [start for fill in fills if (start := fill.start_position) is not None]
        based = [
            (place, fill.fee)
            for place, fill in enumerate(fills)
            if base_fee(fill, self._contract) and fill.fee is not None
        ]
        fees = [fee for _, fee in based]
        scale = most_decimals([*sizes, *stated, *fees])
        self.is_anchored = self.is_anchored or bool(stated)
        self.lot_decimals = max(self.lot_decimals, most_decimals(lots))
        self.qty_scale = max(self.qty_scale, scale)
        self._largest = max([self._largest, *sizes])
        self._chunks.append((len(self._events), scale))
        bought = [fill.side == "buy" for fill in fills]
        whole = all_scaled(sizes, scale)
        signed = [qty if is_buy else -qty for qty, is_buy in zip(whole, bought, strict=True)]
        for (place, _), fee in zip(based, all_scaled(fees, scale), strict=True):
            signed[place] -= fee
        return signed

    def with_room_for(self, anchors: Sequence[Anchor]) -> list[Anchor]:
        """Return the anchors that fit beside the fills, and take on the scale they need.

        What a venue states must cost the money of the fills no digit, and no fill its place.
        """
        exact = MONEY_SCALE - self.px_scale - decimals_of(self._contract.multiplier)
        room = max(self.qty_scale, exact)
        exact_ones = [anchor for anchor in anchors if decimals_of(anchor.qty) <= room]
        scale = max(self.qty_scale, most_decimals([anchor.qty for anchor in exact_ones]))
        if scale > self.qty_scale and not _fits(self._largest, scale):
            return []
        self.qty_scale = scale
        return [anchor for anchor in exact_ones if _fits(anchor.qty, scale)]

    def events(self, claims: Sequence[Claimed]) -> list[Event]:
        """Return all events in the order of their claims, quantities at the group's scale."""
        ends = [*(start for start, _ in self._chunks[1:]), len(self._events)]
        for (start, scale), end in zip(self._chunks, ends, strict=True):
            if scale < self.qty_scale:
                for event in self._events[start:end]:
                    event.qty *= 10 ** (self.qty_scale - scale)
        if self._contested:
            rows = settle_rows(claims)
            for event in self._events:
                event.row = rows.get(event.seq)
        return self._events


def base_fee(fill: Fill, contract: Instrument) -> bool:
    """Say whether the fee was taken out of the coins themselves."""
    return contract.contract == "spot" and bool(fill.fee) and fill.fee_asset == contract.base


def _fits(qty: Decimal, scale: int) -> bool:
    return abs(qty.scaleb(scale)) <= INT64_MAX


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
