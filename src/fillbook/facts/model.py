"""Every kind of claim a source can make. A fact is immutable: it is what somebody *said*.

Signs: `qty` is positive and `side` gives the direction; `fee` positive = cost (a rebate is
negative) and stands in its own `fee_asset`; `Funding.amount` positive = received;
`Transfer.amount` positive = into the account. Prices and quantities are Decimals from text.
`None` means the source did not say; it never means zero.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

Side = Literal["buy", "sell"]
PositionSide = Literal["net", "long", "short"]
Liquidity = Literal["maker", "taker"]
Basis = Literal["gross", "net"]
ContractKind = Literal["spot", "linear", "inverse"]
OrderStatus = Literal[
    "placed", "partially_filled", "filled", "cancelled", "rejected", "expired", "amended"
]
Component = Literal["fills", "funding", "charges", "orders", "decisions", "transfers"]

SCHEMA_VERSION = 1


class Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """What every claim has: whose account it is about, and when it happened there.

    `account` is the venue's uid or address; names are labels. `ts_ns` is the event's time as the
    source printed it, and `printed_ns` how coarse that print is: an event printed as 10:08:56
    happened somewhere in [ts_ns, ts_ns + 1 s).
    """

    venue: str
    account: str
    ts_ns: int
    printed_ns: int = 1


class Fill(Fact, frozen=True, kw_only=True, tag="fill"):
    """One execution.

    `venue_seq` is the venue's own order inside an instant; `start_position` the signed position
    the venue says stood before this fill; `venue_pnl` its realised PnL on `venue_pnl_basis`.
    `trade_id` is the venue's id of the match, where it is not the fill's own id: several rows may
    carry it, so it identifies nothing, but corrections name it.
    `leg` names the recorded round trip a fill was taken from: such fills fold in a sub-book of
    their own. `decision_px`, `arrival_px`, `mid_px` are the upper rungs of the ladder.
    `cause` is the venue's own word for a fill nobody ordered (liquidation, adl, settlement).
    `approximate` marks a fill that was inferred from observed positions, not reported. One that is
    `reduce_only` besides tells only what reported fills leave open: it closes down to its
    `start_position`, what the venue says is left, and no further (price 0: at an unknown price).
    `from_floats` marks numbers that a program wrote from binary floats.
    """

    instrument: str
    side: Side
    px: Decimal
    qty: Decimal
    fee: Decimal | None = None
    fee_asset: str | None = None
    fill_id: str | None = None
    trade_id: str | None = None
    order_id: str | None = None
    client_order_id: str | None = None
    liquidity: Liquidity | None = None
    position_side: PositionSide = "net"
    strategy: str | None = None
    decision_id: str | None = None
    leg: str | None = None
    venue_seq: int | None = None
    start_position: Decimal | None = None
    venue_pnl: Decimal | None = None
    venue_pnl_basis: Basis = "gross"
    decision_px: Decimal | None = None
    arrival_px: Decimal | None = None
    mid_px: Decimal | None = None
    exit_reason: str | None = None
    cause: str | None = None
    reduce_only: bool | None = None
    approximate: bool = False
    from_floats: bool = False
    dust: bool = False


class OrderUpdate(Fact, frozen=True, kw_only=True, tag="order"):
    """A change in the life of an order, with the price its sender expected, where known.

    `filled_qty` and `n_fills` are what the sender says was executed so far.
    """

    instrument: str
    status: OrderStatus
    side: Side | None = None
    order_id: str | None = None
    client_order_id: str | None = None
    order_type: str | None = None
    qty: Decimal | None = None
    px: Decimal | None = None
    stop_px: Decimal | None = None
    filled_qty: Decimal | None = None
    average_px: Decimal | None = None
    expected_px: Decimal | None = None
    reduce_only: bool = False
    strategy: str | None = None
    decision_id: str | None = None
    trade_id: str | None = None
    reason: str | None = None
    n_fills: int | None = None


class Decision(Fact, frozen=True, kw_only=True, tag="decision"):
    """What a strategy wanted, and the prices it saw; joined to fills by the ids it names."""

    decision_id: str
    instrument: str
    action: Literal["buy", "sell", "hold"]
    decision_px: Decimal | None = None
    arrival_px: Decimal | None = None
    mid_px: Decimal | None = None
    qty: Decimal | None = None
    confidence: Decimal | None = None
    strategy: str | None = None
    fill_id: str | None = None
    order_id: str | None = None
    client_order_id: str | None = None
    reason: str | None = None


class Vote(Fact, frozen=True, kw_only=True, tag="vote"):
    """One agent's opinion inside a decision; `confidence` is P(direction right) in [0, 1]."""

    decision_id: str
    agent: str
    signal: Literal["buy", "sell", "hold"]
    confidence: Decimal | None = None
    weight: Decimal | None = None


class Funding(Fact, frozen=True, kw_only=True, tag="funding"):
    """A funding payment at its settlement instant; `amount` positive = received."""

    instrument: str
    amount: Decimal
    asset: str
    funding_id: str | None = None
    rate: Decimal | None = None
    position_qty: Decimal | None = None
    position_side: PositionSide = "net"
    strategy: str | None = None


class Charge(Fact, frozen=True, kw_only=True, tag="charge"):
    """Money taken outside fills and funding (interest, insurance, gas); positive = cost.

    `repeats_fills`: the venue tells the same money with a fill too (a commission, a realised
    result), so this row counts only where that fill is not known.
    """

    amount: Decimal
    asset: str
    what: str
    instrument: str | None = None
    charge_id: str | None = None
    fill_id: str | None = None
    strategy: str | None = None
    repeats_fills: bool = False


class Transfer(Fact, frozen=True, kw_only=True, tag="transfer"):
    """Money or coins moved into (+) or out of (-) the account; never PnL."""

    amount: Decimal
    asset: str
    transfer_id: str | None = None
    what: str | None = None


class Held(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An open position inside a snapshot; `qty` signed."""

    instrument: str
    qty: Decimal
    position_side: PositionSide = "net"


class Report(Fact, frozen=True, kw_only=True, tag="report"):
    """What a venue states about the account: evidence to compare with, never a source of PnL.

    A `snapshot` states all positions at once, as they were somewhere in
    [ts_ns, ts_ns + printed_ns): what is `listed` and not `held` was flat. Of other instruments
    the venue was not asked.
    """

    what: Literal["position", "equity", "realized", "unrealized", "snapshot"]
    instrument: str | None = None
    position_side: PositionSide = "net"
    qty: Decimal | None = None
    px: Decimal | None = None
    amount: Decimal | None = None
    asset: str | None = None
    held: tuple[Held, ...] = ()
    listed: tuple[str, ...] = ()


class Correction(Fact, frozen=True, kw_only=True, tag="correction"):
    """A venue undoes or replaces an earlier fill; it acts at the original's place.

    The fill is the one of `target_key`. A venue that does not tell which row it corrects names the
    match (`target_trade_id`, of `target_order_id`) instead, and what was filled at which price
    (`target_qty`, `target_px`) where it undoes it; `target_key` is empty then.
    """

    target_key: str
    action: Literal["reverse", "replace"]
    replacement: Fill | None = None
    reason: str | None = None
    target_trade_id: str | None = None
    target_order_id: str | None = None
    target_qty: Decimal | None = None
    target_px: Decimal | None = None


class Assignment(Fact, frozen=True, kw_only=True, tag="assignment"):
    """Says which strategy an order or a single fill belongs to, possibly long afterwards."""

    strategy: str
    order_id: str | None = None
    client_order_id: str | None = None
    fill_id: str | None = None


class Instrument(Fact, frozen=True, kw_only=True, tag="instrument"):
    """How an instrument turns prices into money: linear PnL = qty x multiplier x price move.

    `aliases` are other names the venue prints for it (UI "HYPE/USDC" and API "@107").
    """

    symbol: str
    contract: ContractKind
    base: str
    quote: str
    settle: str
    multiplier: Decimal = Decimal(1)
    aliases: tuple[str, ...] = ()


class Coverage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A source's promise: it has everything of `component` in [from_ns, until_ns).

    `instrument` None means account-wide.
    """

    component: Component
    from_ns: int
    until_ns: int
    instrument: str | None = None


class Span(Fact, frozen=True, kw_only=True, tag="span"):
    """What a running source says of one stretch of time: complete, or a gap with its cause.

    The stretch is [ts_ns, until_ns); `instrument` None means account-wide. Of one stream's
    statements about an instant the later one holds: a `complete` said after a gap heals it.
    `said_ns` is when it was said; without it, the end of the stretch.
    """

    source: str
    rank: int
    component: Component
    until_ns: int
    state: Literal["complete", "gap"]
    instrument: str | None = None
    cause: str | None = None
    said_ns: int | None = None


class Batch(Fact, frozen=True, kw_only=True, tag="batch"):
    """One import or pull session, said complete: what it read and what it covers.

    `rank` orders sources: 3 venue API, 2 file with venue ids, 1 file without ids, 0 push.
    `source` is the reader class; batches of one source are united by key.
    """

    batch_id: str
    source: str
    rank: int
    fingerprint: str
    name: str
    rows: int
    coverage: tuple[Coverage, ...] = ()
    labels: tuple[str, ...] = ()
    tz: str | None = None


class Retraction(Fact, frozen=True, kw_only=True, tag="retraction"):
    """Undoes a batch: its claims live on only where another batch asserts them too."""

    batch_id: str
    reason: str | None = None


class Epoch(Fact, frozen=True, kw_only=True, tag="epoch"):
    """A book found behind its outside anchor goes on, naming the sequence range it lost."""

    lost_from_seq: int
    lost_until_seq: int
    anchored_hash: str


AnyFact = (
    Fill
    | OrderUpdate
    | Decision
    | Vote
    | Funding
    | Charge
    | Transfer
    | Report
    | Correction
    | Assignment
    | Instrument
    | Span
    | Batch
    | Retraction
    | Epoch
)


class Claim(msgspec.Struct, frozen=True):
    """A fact as a reader hands it to the journal.

    `key` is its identity without the ordinal of id-less twins (the journal's page carries that
    in `ordinal`); `row` its rank in file order inside (account, instrument, printed instant);
    `raw` the source's own text and `line` where it stood, for `verify` and for messages.
    """

    fact: AnyFact
    key: str
    raw: str = ""
    row: int | None = None
    ordinal: int = 0
    line: int | None = None


class Assertion(msgspec.Struct, frozen=True):
    """One live batch that asserts a claim, and the row it printed it at."""

    batch_id: str
    source: str
    rank: int
    row: int | None = None


class Claimed(msgspec.Struct, frozen=True):
    """A claim as the journal remembers it, with every live batch that still asserts it.

    Two claims with one (venue, account, kind, key) and different `content` are a conflict: both
    are kept, and resolve decides (higher rank, then the smaller content hash).
    """

    seq: int
    key: str
    content: bytes
    fact: AnyFact
    assertions: tuple[Assertion, ...]
