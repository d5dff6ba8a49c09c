"""Every metric there is: name, kind, unit, labels and help. Nothing else may be emitted.

The table in docs/prometheus.md is written from here. Names are without the prefix.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["counter", "gauge"]
Labels = tuple[str, ...]

TOTAL = "_total"
REVISED = "_revised_total"


class Metric(msgspec.Struct, frozen=True):
    """One metric; a counter's name ends in `_total`, `unit` is what one of it is."""

    name: str
    kind: Kind
    unit: str
    labels: Labels
    help: str


_BOTH: Labels = ("account", "currency")
_MONEY = "currency"


def _counter(name: str, unit: str, labels: Labels, help: str) -> Metric:
    return Metric(name, "counter", unit, labels, help)


def _gauge(name: str, unit: str, labels: Labels, help: str) -> Metric:
    return Metric(name, "gauge", unit, labels, help)


_TRADING = (
    _counter("orders_placed_total", "orders", ("account",), "Entry orders placed."),
    _counter("orders_filled_total", "orders", ("account",), "Entry orders filled."),
    _gauge("fill_rate_pct", "per cent", ("account",), "Entry orders filled of those placed."),
    _gauge(
        "avg_entry_slippage_bps",
        "basis points",
        _BOTH,
        "Mean slippage of opening fills against the arrival price; positive = cost.",
    ),
    _gauge(
        "avg_exit_slippage_bps",
        "basis points",
        _BOTH,
        "Mean slippage of closing fills against the arrival price; positive = cost.",
    ),
    _counter("fees_paid_total", _MONEY, _BOTH, "Fees and other charges paid, each in its asset."),
    _counter("fees_rebates_total", _MONEY, _BOTH, "Fees given back, each in its own asset."),
    _counter("funding_received_total", _MONEY, _BOTH, "Funding received."),
    _counter("funding_paid_total", _MONEY, _BOTH, "Funding paid."),
    _gauge("net_funding", _MONEY, _BOTH, "Funding received less funding paid."),
    _counter(
        "trades_closed_total", "trades", _BOTH, "Closed trades, those of unknown cost included."
    ),
    _gauge("trades_unpriced", "trades", _BOTH, "Closed trades with a part of unknown cost."),
    _gauge("expectancy_per_trade", _MONEY, _BOTH, "Mean net PnL of a closed trade."),
    _gauge(
        "profit_factor_session",
        "ratio",
        _BOTH,
        "Gross profit / gross loss since the monitor started; +Inf without losses.",
    ),
    _gauge("profit_factor_7d", "ratio", _BOTH, "The same over the last 7 days."),
    _gauge("profit_factor_30d", "ratio", _BOTH, "The same over the last 30 days."),
    _gauge("win_rate_pct", "per cent", _BOTH, "Winning trades of all closed trades."),
    _gauge("time_in_market_pct", "per cent", _BOTH, "Share of time with an open trade."),
    _gauge("avg_holding_time_hours", "hours", _BOTH, "Mean holding time of a closed trade."),
)

_WHY = (
    _gauge("made_money", "0 or 1", (), "1 yes, 0 no; absent while incomplete."),
    _gauge("edge", "0 or 1", (), "1 yes, 0 no; absent while not yet knowable."),
    _gauge("gross_pnl", _MONEY, ("currency",), "PnL before fees and funding, open trades marked."),
    _gauge("net_pnl", _MONEY, ("currency",), "PnL after fees and funding; absent if fees unknown."),
    _gauge("realized_pnl", _MONEY, ("currency",), "Gross PnL of what was closed."),
    _gauge("unrealized_pnl", _MONEY, ("currency",), "Gross PnL of what is open, at marks."),
    _gauge(
        "ladder",
        _MONEY,
        ("currency", "part"),
        "The lines that sum to net: signal - delay - drift - spread - fees + funding + rest.",
    ),
    _gauge(
        "fee_drag_ratio", "ratio", ("currency",), "Fees / gross PnL; absent unless gross is gained."
    ),
    _gauge("expectancy_mean", _MONEY, ("currency",), "Mean net PnL of one observation."),
    _gauge("expectancy_low", _MONEY, ("currency",), "Lower end of its anytime-valid interval."),
    _gauge("expectancy_high", _MONEY, ("currency",), "Upper end of its anytime-valid interval."),
    _gauge("expectancy_observations", "count", ("currency",), "How many stand behind it."),
    _gauge("coverage_ratio", "ratio", ("part",), "Share of traded value whose price is known."),
    _gauge("fills_fee_unknown", "fills", _BOTH, "Fills whose fee no source names."),
    _gauge("findings", "findings", ("severity",), "What was found about the book."),
    _gauge(
        "key_can_trade",
        "keys",
        ("account",),
        "Keys that could trade and were accepted for the account, then or now; never falls.",
    ),
    _gauge("gaps", "gaps", ("account",), "Stretches that could not be had and nobody covered."),
    _gauge(
        "reconciliation_drift",
        _MONEY,
        _BOTH,
        "Results and fees by fills against the venue's, where they differ; absolute, 0 if nowhere.",
    ),
    _gauge(
        "reconciliation_differences",
        "differences",
        ("account",),
        "Where the book differs from what the venue states though it was pulled again.",
    ),
)

_BOOK = (
    _gauge("journal_seq", "number", (), "The last fact in the figures."),
    _gauge(
        "journal_head_prefix",
        "number",
        (),
        "The first 12 hex digits of the head's hash, as a number: an anchor outside the book.",
    ),
    _gauge("book_info", "1", ("book",), "Which book this is."),
    _gauge("computed_timestamp_seconds", "seconds", (), "When the figures were computed."),
)

_MONITOR = (
    _gauge("healthy", "0 or 1", (), "1 while /healthz says ok."),
    _gauge("start_timestamp_seconds", "seconds", (), "When the monitor started."),
    _gauge("journal_waiting", "writes", (), "Writes in the queue before the book."),
    _gauge("tracked_trades", "trades", (), "Open trades that are tracked."),
    _gauge("pending_trades", "trades", (), "Open trades that wait behind the cap."),
    _gauge(
        "account_info",
        "1",
        ("venue", "account", "label"),
        "Always 1; joins the label a person gave an account to the account.",
    ),
    _gauge("account_up", "0 or 1", ("venue", "account"), "1 while the account is attached."),
    _gauge(
        "key_refused",
        "0 or 1",
        ("venue", "account"),
        "1 while nothing is pulled because the key may do more than read, or is refused.",
    ),
    _gauge("open_positions", "positions", ("venue", "account"), "Open positions by the venue."),
    _counter("position_calls_total", "calls", ("venue", "account"), "Times positions were asked."),
    _gauge(
        "streams", "streams", ("venue", "account", "state"), "Streams of an account by their state."
    ),
    _gauge(
        "seconds_since_last_fact",
        "seconds",
        ("venue", "account", "stream"),
        "Age of the newest fact of a kind of stream.",
    ),
    _gauge(
        "seconds_since_last_answer",
        "seconds",
        ("venue", "account", "stream"),
        "Time since the venue last answered the longest unanswered stream of a kind.",
    ),
    _gauge(
        "rate_budget_use_ratio",
        "ratio",
        ("venue",),
        "Part of our share of the venue's rate limit that is in use.",
    ),
    _counter("rate_limited_total", "answers", ("venue",), "Times the venue said slow down."),
    _counter("rate_banned_total", "answers", ("venue",), "Times the venue shut us out."),
)


def revised_name(name: str) -> str:
    """Return the counter of what was taken back from a counter.

    >>> revised_name("fees_paid_total")
    'fees_paid_revised_total'
    """
    return name.removesuffix(TOTAL) + REVISED


def _revised(metric: Metric) -> Metric:
    return Metric(
        revised_name(metric.name),
        "counter",
        metric.unit,
        metric.labels,
        f"Taken back from {metric.name} by late facts: the book says the difference of both.",
    )


# Only what follows from the ledger can be taken back; the rest counts what this program did.
DERIVED = tuple(metric for metric in _TRADING if metric.kind == "counter")
REGISTRY = (*_TRADING, *(_revised(metric) for metric in DERIVED), *_WHY, *_BOOK, *_MONITOR)
BY_NAME = {metric.name: metric for metric in REGISTRY}


def table(prefix: str = "fillbook_") -> str:
    """Return the registry as a Markdown table, in the order of the registry."""
    lines = ["| name | kind | unit | labels | what it says |", "|---|---|---|---|---|"]
    for metric in REGISTRY:
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "-"
        lines.append(
            f"| `{prefix}{metric.name}` | {metric.kind} | {metric.unit} | {labels} | "
            f"{metric.help} |"
        )
    return "\n".join(lines) + "\n"
