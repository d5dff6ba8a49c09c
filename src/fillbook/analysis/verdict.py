"""Did it make money? The half of the verdict that is a fact of the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from fillbook.analysis.answers import MadeMoney, Reason
from fillbook.analysis.explain import Totals
from fillbook.facts.finding import Finding
from fillbook.ground.exact import money_text

Bound = Literal["exact", "at least", "at most", "incomplete"]
# What each line of the ladder does to net.
EFFECT = {
    "signal": 1,
    "signal_unpriced": 1,
    "delay": -1,
    "drift": -1,
    "spread": -1,
    "fees": -1,
    "funding": 1,
}
N_REASONS = 3


def bound_of(totals: Totals, findings: Iterable[Finding]) -> Bound:
    """Say what the known part of a currency's net still proves."""
    if totals.unmarked or totals.n_unpriced_closes or _touched(findings):
        return "incomplete"
    return "exact" if totals.fees_known else "at most"


def _touched(findings: Iterable[Finding]) -> bool:
    return any("made_money" in finding.touches for finding in findings)


def made_money(
    by_currency: Mapping[str, Totals],
    bounds: Mapping[str, Bound],
    venue_gaps: Mapping[str, int],
) -> MadeMoney:
    """Return yes, no, or incomplete; `venue_gaps` is ours less the venue's per currency.

    Several currencies agree or the answer is incomplete: they are never added.
    """
    answers: set[MadeMoney] = set()
    for currency, totals in by_currency.items():
        net = totals.net_known
        doubted = _sign(net) != _sign(net - venue_gaps.get(currency, 0))
        if bounds[currency] != "exact" or doubted:
            return "incomplete"
        if net or len(by_currency) == 1:
            answers.add("yes" if net > 0 else "no")
    return answers.pop() if len(answers) == 1 else "incomplete"


def _sign(amount: int) -> int:
    return (amount > 0) - (amount < 0)


def reasons_of(by_currency: Mapping[str, Totals]) -> tuple[Reason, ...]:
    """Return the three ladder lines that moved the answer most, by share of their currency."""
    reasons: list[Reason] = []
    for currency, totals in by_currency.items():
        lines = {name: EFFECT[name] * totals.lines()[name] for name in EFFECT}
        whole = sum(abs(amount) for amount in lines.values())
        for name, amount in lines.items():
            if amount:
                reasons.append(
                    Reason(
                        line=name,
                        amount=money_text(amount),
                        currency=currency,
                        share=abs(amount) / whole,
                        fills=_behind(name, totals),
                    )
                )
    return tuple(sorted(reasons, key=_weight)[:N_REASONS])


def _weight(reason: Reason) -> tuple[float, str, str]:
    return (-reason.share, reason.currency, reason.line)


def _behind(line: str, totals: Totals) -> int:
    """Count the rows a line was summed over."""
    if line == "fees":
        return totals.n_fees
    return totals.n_fundings if line == "funding" else totals.n_fills


def relevant(
    findings: Sequence[Finding], accounts: set[str], instruments: set[str]
) -> list[Finding]:
    """Keep the findings that speak of the selected accounts and instruments, or of the book."""
    return [
        finding
        for finding in findings
        if finding.account in (None, *accounts) and finding.instrument in (None, *instruments)
    ]
