"""The shapes of every answer: what `--json` prints, what tables render, what files carry.

Money, prices and quantities are canonical decimal text, never numbers; statistics are floats.
`None` means undefined or unknown and is printed as n/a. Each answer names the `seq` it is true
at. Signs: PnL positive = gain; fees, delay, drift and spread positive = cost; funding positive =
received. docs/schemas/ holds one JSON schema per command, generated from these structs.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from fillbook.facts.finding import Finding

Money = str
MadeMoney = Literal["yes", "no", "incomplete"]
Edge = Literal["yes", "no", "not yet knowable"]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every answer; plain data with no behaviour."""


class Window(Answer, frozen=True, kw_only=True):
    """The half-open period an answer covers, as ISO text; None = from the first / to the last."""

    since: str | None
    until: str | None


class Ladder(Answer, frozen=True, kw_only=True):
    """net = signal + signal_unpriced - delay - drift - spread - fees + funding + rounding
    + residual, exactly; residual is 0 unless the book is wrong."""

    signal: Money
    signal_unpriced: Money
    delay: Money
    drift: Money
    spread: Money
    fees: Money
    funding: Money
    rounding: Money
    residual: Money


class Expectancy(Answer, frozen=True, kw_only=True):
    """Mean net PnL per observation with its anytime-valid interval; None while too early."""

    mean: float | None
    low: float | None
    high: float | None
    n: int
    unit: str


class CurrencyTotals(Answer, frozen=True, kw_only=True):
    """Everything that happened in one settlement currency inside the window.

    `net` is None where fees are unknown. `bound` says what an incomplete figure still proves.
    """

    currency: str
    gross: Money
    fees: Money | None
    funding: Money
    net: Money | None
    realized: Money
    unrealized: Money | None
    ladder: Ladder
    expectancy: Expectancy
    bound: Literal["exact", "at least", "at most", "incomplete"]


class Reason(Answer, frozen=True, kw_only=True):
    """One ladder line that moved the answer: signed effect on net, share of all effects.

    `fills` counts the rows behind it: fills; for fees also other charges; for funding, payments.
    """

    line: str
    amount: Money
    currency: str
    share: float
    fills: int


class SourceSpan(Answer, frozen=True, kw_only=True):
    """What one source covers."""

    source: str
    account: str
    component: str
    instrument: str | None
    since: str
    until: str


class CoverageAnswer(Answer, frozen=True, kw_only=True):
    """How much of the notional has each price known, and which sources stand behind it."""

    decision_px_ratio: float | None
    arrival_px_ratio: float | None
    mid_px_ratio: float | None
    fee_ratio: float | None
    first_event: str | None
    last_event: str | None
    sources: tuple[SourceSpan, ...]


class WhySlice(Answer, frozen=True, kw_only=True):
    """The same totals for one value of `--by`."""

    dimension: str
    value: str
    n_fills: int
    n_trades: int
    currencies: dict[str, CurrencyTotals]


class Why(Answer, frozen=True, kw_only=True):
    """The answer to "are we actually making money, and why?".

    `incomplete_because` says, one sentence each, what keeps `made_money` from being yes or no.
    """

    made_money: MadeMoney
    incomplete_because: tuple[str, ...] = ()
    edge: Edge
    reasons: tuple[Reason, ...]
    seq: int
    head: str
    window: Window
    basis: str
    trade_definition: str
    n_fills: int
    n_trades: int
    n_unpriced: int
    currencies: dict[str, CurrencyTotals]
    expectancy: Expectancy
    coverage: CoverageAnswer
    findings: tuple[Finding, ...]
    by: tuple[WhySlice, ...] = ()


class FillRow(Answer, frozen=True, kw_only=True):
    """One fill as folded in its venue book; `realized` is gross, None where cost is unknown."""

    seq: int
    fill_id: str | None
    order_id: str | None
    ts: str
    account: str
    venue: str
    instrument: str
    side: str
    px: str
    qty: str
    fee: str | None
    fee_asset: str | None
    liquidity: str | None
    position_after: str
    realized: Money | None
    currency: str
    strategy: str
    position_side: str
    venue_pnl: Money | None


class TradeRow(Answer, frozen=True, kw_only=True):
    """One round trip of a sub-book. `realized_pnl` is gross; `net` None where unknown.

    `exit_reason` is what its source recorded, else the rule of thumb over the watched path.
    `exit_cause` is the venue's or the bot's word where `exit_cause_certain`, else a guess from the
    path; both None where nothing is known. `exit_price_source` is "fills", "last observed" or
    "provider:NAME"; None where a close has no price.
    `revision` counts how often late facts changed it since it was first told; 0 as of an earlier
    seq.
    """

    trade_id: str
    seq: int
    account: str
    venue: str
    product_id: str
    side: str
    entry_time: str
    exit_time: str | None
    holding_duration_seconds: float | None
    holding_duration_hours: float | None
    entry_price: str | None
    exit_price: str | None
    position_size: str
    realized_pnl: Money | None
    fees: Money | None
    funding: Money
    net: Money | None
    currency: str
    outcome: Literal["win", "loss", "break-even", "unpriced", "open"]
    mfe: Money | None
    mae: Money | None
    peak_pnl: Money | None
    max_drawdown: Money | None
    path: str
    exit_reason: str | None
    final_status: Literal["open", "completed"]
    strategy: str
    decision_id: str | None
    definition: str
    approximate: bool
    fills: int
    first_fill: str | None
    last_fill: str | None
    revision: int = 0
    exit_cause: str | None = None
    exit_cause_certain: bool | None = None
    exit_price_source: str | None = None


class PositionRow(Answer, frozen=True, kw_only=True):
    """One open venue book, or the part of one strategy (`strategy` set)."""

    account: str
    venue: str
    instrument: str
    position_side: str
    strategy: str | None
    qty: str
    qty_unpriced: str
    entry_price: str | None
    mark: str | None
    mark_time: str | None
    notional: Money | None
    unrealized: Money | None
    currency: str
    opened: str | None


class Performance(Answer, frozen=True, kw_only=True):
    """Statistics over closed trades of one currency, by close time, and over daily money.

    `basis` says whether wins and sums are net, or gross where fees are unknown. Ratios are
    fractions (0.25 = 25 %). `gross_loss` is positive. `part` is the value of `--by`.
    """

    currency: str
    basis: str
    trade_definition: str
    n: int
    wins: int
    losses: int
    breakeven: int
    n_unpriced: int
    n_open: int
    win_rate_ratio: float | None
    win_rate_decisive_ratio: float | None
    gross_profit: Money
    gross_loss: Money
    net: Money
    expectancy: float | None
    avg_win: float | None
    avg_loss: float | None
    profit_factor: float | None
    profit_factor_gross: float | None
    payoff_ratio: float | None
    kelly_binary: float | None
    sqn: float | None
    best: Money | None
    worst: Money | None
    avg_hold_hours: float | None
    median_hold_hours: float | None
    max_consecutive_wins: int
    max_consecutive_losses: int
    time_in_market_ratio: float | None
    max_drawdown: Money | None
    max_drawdown_ratio: float | None
    max_drawdown_days: int | None
    drawdown_recovered: bool | None
    ratios_basis: str
    sharpe: float | None
    sortino: float | None
    omega: float | None
    calmar: float | None
    ulcer: float | None
    cagr: float | None
    days: int
    notes: tuple[str, ...] = ()
    part: str | None = None


class CostRow(Answer, frozen=True, kw_only=True):
    """What trading cost in one asset: fees by maker / taker, funding, other charges.

    `part` is the value of `--by`.
    """

    asset: str
    fees: Money
    fees_maker: Money
    fees_taker: Money
    fees_unknown_liquidity: Money
    rebates: Money
    funding_received: Money
    funding_paid: Money
    net_funding: Money
    charges: Money
    total_costs: Money
    n_fills: int
    n_fee_unknown: int
    volume: Money | None
    fee_bps: float | None
    maker_ratio: float | None
    part: str | None = None


class FindingRow(Answer, frozen=True, kw_only=True):
    """A finding as listed: what, how much, where, what to do."""

    code: str
    severity: str
    message: str
    next_step: str
    account: str | None
    instrument: str | None
    ts: str | None
    amount: Money | None
    currency: str | None
    seqs: tuple[int, ...]
    touches: tuple[str, ...]
