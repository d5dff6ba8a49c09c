"""Builds the answer: both halves of the verdict, the ladder, the reasons, how sure, coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fillbook.analysis.answers import (
    CoverageAnswer,
    CurrencyTotals,
    Edge,
    Expectancy,
    SourceSpan,
    Why,
    WhySlice,
    Window,
)
from fillbook.analysis.dailymoney import daily_money
from fillbook.analysis.edge import EdgeAssessment, assess, choose_observations
from fillbook.analysis.explain import Totals, explain
from fillbook.analysis.occupancy import concurrent_max
from fillbook.analysis.performance import outcomes
from fillbook.analysis.tradebook import TradeTable, trade_tables
from fillbook.analysis.verdict import Bound, bound_of, doubts_of, made_money, reasons_of, relevant
from fillbook.analysis.view import BookView, Part, Query, definition_of, parts_of, sliced
from fillbook.facts.finding import Finding
from fillbook.ground.clock import DAY_NS, iso
from fillbook.ground.exact import money_text
from fillbook.ledger.amounts import to_floats

NET = "net"
GROSS = "gross, fees unknown"


def why(view: BookView, query: Query) -> Why:
    """Answer the question for a window and a selection.

    Money is exact; where something is unknown, `bound` and `made_money` say so.
    """
    parts, until_ns = parts_of(view, query), view.until_ns(query)
    totals = explain(parts, view.valuer, query.since_ns, until_ns)
    closed, _ = trade_tables(parts, view.valuer, query.since_ns, until_ns)
    found = findings_of(view, parts, query)
    left_out = _left_out(view, query)
    touching = {name: _of_currency(found, parts, name, left_out) for name in totals}
    touching = touching or {"": found}
    bounds = {name: bound_of(each, touching[name]) for name, each in totals.items()}
    doubts = doubts_of(totals, _gaps(view, parts), touching)
    edges = {name: edge_of(view, query, parts, closed[name]) for name in totals}
    return Why(
        made_money=made_money(totals, doubts),
        incomplete_because=doubts,
        edge=_one_edge(edges),
        reasons=reasons_of(totals),
        seq=view.seq,
        head=view.head,
        window=_window(query),
        basis=basis_of(totals),
        trade_definition=definition_of(parts),
        n_fills=sum(each.n_fills for each in totals.values()),
        n_trades=sum(len(table) for table in closed.values()),
        n_unpriced=sum(int(table.unpriced.sum()) for table in closed.values()),
        currencies={
            name: _currency(each, bounds[name], edges[name]) for name, each in totals.items()
        },
        expectancy=_one_expectancy(edges),
        coverage=_coverage(view, parts, totals),
        findings=tuple(found),
        by=tuple(_slices(view, query)),
    )


def _slices(view: BookView, query: Query) -> list[WhySlice]:
    if query.by is None:
        return []
    slices = []
    for value, narrower in sliced(view, query, query.by):
        inner = why(view, narrower)
        if inner.n_fills or any(each.net != "0" for each in inner.currencies.values()):
            slices.append(
                WhySlice(
                    dimension=query.by,
                    value=value,
                    n_fills=inner.n_fills,
                    n_trades=inner.n_trades,
                    currencies=inner.currencies,
                )
            )
    return slices


def basis_of(totals: Mapping[str, Totals]) -> str:
    """Name the basis of wins and sums: net, or gross where a source names no fees."""
    return GROSS if any(not each.fees_known for each in totals.values()) else NET


def _currency(totals: Totals, bound: Bound, edge: EdgeAssessment) -> CurrencyTotals:
    known = totals.fees_known
    unrealised = None if totals.unmarked else money_text(totals.unrealised_change[3])
    return CurrencyTotals(
        currency=totals.currency,
        gross=money_text(totals.gross),
        fees=money_text(totals.fees) if known else None,
        funding=money_text(totals.funding),
        net=money_text(totals.net_known) if known else None,
        realized=money_text(totals.realised[3]),
        unrealized=unrealised,
        ladder=totals.ladder(),
        expectancy=_expectancy(edge, totals.currency),
        bound=bound,
    )


def edge_of(
    view: BookView, query: Query, parts: Sequence[Part], table: TradeTable
) -> EdgeAssessment:
    """Judge one currency's closed trades: is the mean net PnL above zero, whatever luck did?

    Unpriced trades are left out; without fees the judgement is about gross PnL.
    """
    priced = table.pick(~table.unpriced)
    money = priced.gross if priced.fee_unknown.any() else priced.net
    values = np.where(outcomes(money, priced.n_fills) == 0, 0.0, to_floats(money))
    mine = [part for part in parts if part.currency == table.currency]
    if not len(priced) or priced.untimed.any():
        return assess(choose_observations(values))
    hold_ns = float((priced.close_ns - priced.open_ns).mean())
    since = int(priced.open_ns.min()) if query.since_ns is None else query.since_ns
    # The last day is not over yet where the window is open.
    until = view.until_ns(query)
    finished = until - until % DAY_NS if query.until_ns is None else until
    daily = daily_money(mine, view.valuer, since, max(finished, since + 1)).net
    return assess(
        choose_observations(
            values,
            daily,
            concurrent=concurrent_max(priced.open_ns, priced.close_ns),
            mean_hold_ns=hold_ns,
        )
    )


def _expectancy(edge: EdgeAssessment, currency: str) -> Expectancy:
    return Expectancy(
        mean=edge.mean, low=edge.low, high=edge.high, n=edge.n, unit=f"{currency} per {edge.unit}"
    )


def _one_edge(edges: Mapping[str, EdgeAssessment]) -> Edge:
    answers = {edge.edge for edge in edges.values()}
    return answers.pop() if len(answers) == 1 else "not yet knowable"


def _one_expectancy(edges: Mapping[str, EdgeAssessment]) -> Expectancy:
    if len(edges) == 1:
        ((currency, edge),) = edges.items()
        return _expectancy(edge, currency)
    return Expectancy(mean=None, low=None, high=None, n=0, unit="one per currency")


def _window(query: Query) -> Window:
    return Window(
        since=None if query.since_ns is None else iso(query.since_ns),
        until=None if query.until_ns is None else iso(query.until_ns),
    )


def findings_of(view: BookView, parts: Sequence[Part], query: Query) -> list[Finding]:
    """Return the findings about the selected accounts and instruments, worst first.

    What was left out of the ledger is in no part, and concerns whoever would have asked for it.
    Where nothing was selected, what is found is about what was asked for, else about everything.
    """
    accounts = {part.group.columns.key.account for part in parts} | {*query.accounts}
    instruments = {part.group.columns.key.instrument for part in parts} | {*query.instruments}
    is_narrow = parts or query.accounts or query.instruments or query.strategies
    chosen = relevant(view.findings, accounts, instruments) if is_narrow else view.findings
    chosen = [*chosen, *(each for each in _left_out(view, query) if each not in chosen)]
    severity = {"error": 0, "warning": 1, "info": 2}
    return sorted(chosen, key=lambda f: (severity[f.severity], f.code, f.ts_ns or 0, f.message))


def _left_out(view: BookView, query: Query) -> list[Finding]:
    """Return the findings about instruments or accounts that have no group, as far as asked."""
    keys = [group.columns.key for group in view.ledger.groups]
    return [
        finding
        for finding in view.findings
        if (finding.account or finding.instrument)
        and not any(
            finding.account in (None, key.account) and finding.instrument in (None, key.instrument)
            for key in keys
        )
        and (not query.accounts or finding.account in (None, *query.accounts))
        and (not query.instruments or finding.instrument in (None, *query.instruments))
    ]


def _of_currency(
    findings: Sequence[Finding], parts: Sequence[Part], name: str, left_out: Sequence[Finding]
) -> list[Finding]:
    instruments = {p.group.columns.key.instrument for p in parts if p.currency == name}
    return [
        f for f in findings if f.instrument is None or f.instrument in instruments or f in left_out
    ]


def _gaps(view: BookView, parts: Sequence[Part]) -> dict[str, int]:
    gaps: dict[str, int] = {}
    places = {(part.group.columns.key.account, part.currency) for part in parts}
    for (account, currency), gap in view.venue_gaps.items():
        if (account, currency) in places:
            gaps[currency] = gaps.get(currency, 0) + gap
    return gaps


def _coverage(
    view: BookView, parts: Sequence[Part], totals: Mapping[str, Totals]
) -> CoverageAnswer:
    accounts = {(part.group.columns.key.venue, part.group.columns.key.account) for part in parts}
    # Shares of notional are taken per currency and averaged by fills: currencies are not added.
    shares = [_known_ratio(totals, place) for place in range(4)]
    active = [part for part in parts if part.last > part.first]
    firsts = [int(part.group.columns.ts_ns[part.first]) for part in active]
    lasts = [int(part.group.columns.ts_ns[part.last - 1]) for part in active]
    return CoverageAnswer(
        decision_px_ratio=shares[0],
        arrival_px_ratio=shares[1],
        mid_px_ratio=shares[2],
        fee_ratio=shares[3],
        first_event=iso(min(firsts)) if firsts else None,
        last_event=iso(max(lasts)) if lasts else None,
        sources=tuple(
            SourceSpan(
                source=each.source,
                account=each.account,
                component=each.coverage.component,
                instrument=each.coverage.instrument,
                since=iso(each.coverage.from_ns),
                until=iso(each.coverage.until_ns),
            )
            for each in view.ledger.coverage
            if (each.venue, each.account) in accounts
        ),
    )


def _known_ratio(totals: Mapping[str, Totals], place: int) -> float | None:
    weighed = [
        (each.notional_known[place] / each.notional, each.n_fills)
        for each in totals.values()
        if each.notional
    ]
    fills = sum(count for _, count in weighed)
    return sum(ratio * count for ratio, count in weighed) / fills if fills else None
