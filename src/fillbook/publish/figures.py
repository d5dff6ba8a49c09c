"""What the metrics say now: plain numbers out of one Summary and the monitor's health.

Nothing is computed here that has a currency; an undefined figure is left out, never zero.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

import msgspec

from fillbook.analysis.answers import CurrencyTotals, Ladder
from fillbook.analysis.daily import DailyRecord
from fillbook.analysis.digest import Summary
from fillbook.analysis.reconcile.book import DIFFERENCES
from fillbook.ground.clock import SECOND_NS
from fillbook.ground.exact import MONEY_ONE
from fillbook.sources.liveness import AccountHealth, MonitorHealth

Number = int | float | Fraction | Decimal
_HEAD_DIGITS = 12
# Money that the venue tells otherwise; results are realised, so no mark moves them.
_DRIFT = frozenset({"venue-disagrees", "commission-disagrees", "result-disagrees"})


class Sample(msgspec.Struct, frozen=True):
    """One series now: the metric's name, the values of its labels in order, and the number."""

    name: str
    labels: tuple[str, ...]
    value: Number


def samples(summary: Summary, health: MonitorHealth) -> Iterator[Sample]:
    """Yield every defined figure, each series once."""
    yield from _of_records(summary)
    yield from _of_money(summary)
    yield from _of_findings(summary)
    yield from _of_book(summary)
    yield from _of_monitor(health)


def _known(name: str, labels: tuple[str, ...], value: Number | None) -> Iterator[Sample]:
    if value is not None:
        yield Sample(name, labels, value)


def _of_records(summary: Summary) -> Iterator[Sample]:
    for orders in summary.orders:
        yield Sample("orders_placed_total", (orders.account,), orders.placed)
        yield Sample("orders_filled_total", (orders.account,), orders.filled)
        yield from _known("fill_rate_pct", (orders.account,), orders.fill_rate_pct)
    for record in summary.records:
        place = (record.account, record.currency)
        yield Sample("trades_closed_total", place, record.trades + record.unpriced)
        yield Sample("trades_unpriced", place, record.unpriced)
        for name, value in (
            ("avg_entry_slippage_bps", record.entry_slippage_bps),
            ("avg_exit_slippage_bps", record.exit_slippage_bps),
            ("expectancy_per_trade", record.expectancy),
            ("win_rate_pct", record.win_rate_pct),
            ("time_in_market_pct", record.time_in_market_pct),
            ("avg_holding_time_hours", record.avg_holding_hours),
        ):
            yield from _known(name, place, value)
    for window, records in summary.window_records.items():
        for record in records:
            place = (record.account, record.currency)
            yield from _known(f"profit_factor_{window}", place, _factor(record))


def _factor(record: DailyRecord) -> Number | None:
    return float("inf") if record.unbeaten else record.profit_factor


def _of_money(summary: Summary) -> Iterator[Sample]:
    for split in summary.fees:
        place = (split.account, split.asset)
        for name, amount in (
            ("fees_paid_total", split.fees),
            ("fees_rebates_total", split.rebates),
            ("funding_received_total", split.funding_received),
            ("funding_paid_total", split.funding_paid),
            ("net_funding", split.funding_received - split.funding_paid),
        ):
            yield Sample(name, place, Fraction(amount, MONEY_ONE))
        yield Sample("fills_fee_unknown", place, split.n_fee_unknown)
    why = summary.why
    for name, verdict in (("made_money", why.made_money), ("edge", why.edge)):
        if verdict in ("yes", "no"):
            yield Sample(name, (), int(verdict == "yes"))
    for currency, totals in why.currencies.items():
        yield from _of_currency(currency, totals)
    for part, ratio in (
        ("decision_px", why.coverage.decision_px_ratio),
        ("arrival_px", why.coverage.arrival_px_ratio),
        ("mid_px", why.coverage.mid_px_ratio),
        ("fee", why.coverage.fee_ratio),
    ):
        yield from _known("coverage_ratio", (part,), ratio)


def _of_currency(currency: str, totals: CurrencyTotals) -> Iterator[Sample]:
    place = (currency,)
    gross, fees = Decimal(totals.gross), _decimal(totals.fees)
    yield Sample("gross_pnl", place, gross)
    yield from _known("net_pnl", place, _decimal(totals.net))
    yield Sample("realized_pnl", place, Decimal(totals.realized))
    yield from _known("unrealized_pnl", place, _decimal(totals.unrealized))
    for part in msgspec.structs.fields(Ladder):
        yield Sample("ladder", (currency, part.name), Decimal(getattr(totals.ladder, part.name)))
    if fees is not None and gross > 0:
        yield Sample("fee_drag_ratio", place, Fraction(fees) / Fraction(gross))
    expectancy = totals.expectancy
    yield from _known("expectancy_mean", place, expectancy.mean)
    yield from _known("expectancy_low", place, expectancy.low)
    yield from _known("expectancy_high", place, expectancy.high)
    yield Sample("expectancy_observations", place, expectancy.n)


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _of_findings(summary: Summary) -> Iterator[Sample]:
    severities = Counter(found.severity for found in summary.findings)
    for severity in ("error", "warning", "info"):
        yield Sample("findings", (severity,), severities[severity])
    gaps = Counter(found.account for found in summary.findings if found.code == "gap")
    keys = Counter(found.account for found in summary.findings if found.code == "key-can-trade")
    differ = Counter(found.account for found in summary.findings if found.code in DIFFERENCES)
    drift: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for found in summary.findings:
        if found.code in _DRIFT and found.account and found.currency:
            drift[found.account, found.currency] += abs(Decimal(found.amount or 0))
    places = sorted({(record.account, record.currency) for record in summary.records})
    accounts = {account for account, _ in places}
    for account in sorted(accounts):
        yield Sample("gaps", (account,), gaps[account])
        yield Sample("reconciliation_differences", (account,), differ[account])
    for account in sorted(accounts | {account for account in keys if account}):
        yield Sample("key_can_trade", (account,), keys[account])
    for place in places:
        yield Sample("reconciliation_drift", place, drift[place])


def _of_book(summary: Summary) -> Iterator[Sample]:
    yield Sample("journal_seq", (), summary.seq)
    if summary.head:
        yield Sample("journal_head_prefix", (), int(summary.head[:_HEAD_DIGITS], 16))
    yield Sample("book_info", (summary.book_id,), 1)
    yield Sample("computed_timestamp_seconds", (), Fraction(summary.at_ns, SECOND_NS))


def _of_monitor(health: MonitorHealth) -> Iterator[Sample]:
    yield Sample("healthy", (), int(health.status == "ok"))
    yield Sample("start_timestamp_seconds", (), Fraction(health.started_ns, SECOND_NS))
    yield Sample("journal_waiting", (), health.journal_waiting)
    yield Sample("tracked_trades", (), health.tracked)
    yield Sample("pending_trades", (), health.pending)
    for account in health.accounts:
        # A key refused at the start has told no account: its label stands for it.
        owner = (account.venue, account.account or account.label)
        yield Sample("key_refused", owner, int(account.state == "refused"))
        if account.account:
            yield from _of_account(account, health.at_ns)
    usage: dict[str, list[Fraction]] = defaultdict(list)
    limited: Counter[str] = Counter()
    banned: Counter[str] = Counter()
    for use in (use for account in health.accounts for use in account.usage):
        usage[use.venue].append(Fraction(use.spent, use.allowance or 1))
        limited[use.venue] += use.limited_count
        banned[use.venue] += use.banned_count
    for venue, shares in usage.items():
        yield Sample("rate_budget_use_ratio", (venue,), max(shares))
        yield Sample("rate_limited_total", (venue,), limited[venue])
        yield Sample("rate_banned_total", (venue,), banned[venue])


def _of_account(account: AccountHealth, now_ns: int) -> Iterator[Sample]:
    place = (account.venue, account.account)
    yield Sample("account_info", (*place, account.label), 1)
    yield Sample("account_up", place, int(account.state == "running"))
    yield Sample("open_positions", place, account.open_positions)
    yield Sample("position_calls_total", place, account.position_calls)
    states = Counter(stream.state for stream in account.streams)
    for state, count in sorted(states.items()):
        yield Sample("streams", (*place, state.replace(" ", "_")), count)
    facts: dict[str, int] = {}
    answers: dict[str, int] = {}
    for stream in account.streams:
        # One series per kind: streams of single instruments are too many to label.
        kind = stream.stream.split("/")[0]
        if stream.last_fact_ns is not None:
            facts[kind] = max(stream.last_fact_ns, facts.get(kind, 0))
        if stream.last_answer_ns is not None:
            answers[kind] = min(stream.last_answer_ns, answers.get(kind, now_ns))
    for name, newest in (("fact", facts), ("answer", answers)):
        for kind, at_ns in sorted(newest.items()):
            age = Fraction(now_ns - at_ns, SECOND_NS)
            yield Sample(f"seconds_since_last_{name}", (*place, kind), age)
