"""Did it make money? The half of the verdict that is a fact of the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from fillbook.analysis.answers import MadeMoney, Reason
from fillbook.analysis.explain import Totals
from fillbook.facts.finding import Finding
from fillbook.ground.exact import divide_half_even, money_text

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


def doubts_of(
    by_currency: Mapping[str, Totals],
    venue_gaps: Mapping[str, int],
    findings: Mapping[str, Sequence[Finding]],
) -> tuple[str, ...]:
    """Say, one sentence each, what keeps the answer from being complete; empty if nothing does.

    `venue_gaps` is ours less the venue's realised PnL per currency: a gap matters where the
    venue's figure would change the sign of net. Several currencies are never added. Findings
    under another name than a currency of the ledger count too: then nothing could be folded.
    """
    doubts = []
    for name in findings.keys() - by_currency.keys():
        doubts += _by_code([f for f in findings[name] if "made_money" in f.touches])
    for currency, totals in by_currency.items():
        doubts += _unknown_money(totals)
        doubts += _by_code([f for f in findings[currency] if "made_money" in f.touches])
        net, gap = totals.net_known, venue_gaps.get(currency, 0)
        if _sign(net) != _sign(net - gap):
            doubts.append(
                f"by the venue's own realised figures net would be {rounded(net - gap)} "
                f"{currency} instead of {rounded(net)}"
            )
    signs = {_sign(totals.net_known) for totals in by_currency.values()} - {0}
    if len(signs) > 1:
        doubts.append("some currencies gained and others lost, and currencies are never added")
    return tuple(doubts)


def _by_code(findings: Sequence[Finding]) -> list[str]:
    """Tell a lone finding in full, several of one kind in one sentence."""
    by_code: dict[str, list[Finding]] = {}
    for finding in findings:
        by_code.setdefault(finding.code, []).append(finding)
    told = []
    for code, alike in sorted(by_code.items()):
        if len(alike) == 1:
            told.append(alike[0].message)
            continue
        named = sorted({each.instrument for each in alike if each.instrument})
        told.append(f"{len(alike)} findings {code} touch {', '.join(named) or 'the book'}")
    return told


def rounded(amount: int) -> str:
    """Write money for a sentence, rounded half-even to four decimals; figures stay exact.

    >>> rounded(-20_351_772_504_220_000_040)
    '-20.3518'
    """
    return money_text(divide_half_even(amount, 10**14) * 10**14)


def _fills(count: int) -> str:
    return "1 fill" if count == 1 else f"{count:,} fills"


def _unknown_money(totals: Totals) -> list[str]:
    doubts = []
    if totals.unmarked:
        named = ", ".join(sorted(set(totals.unmarked)))
        doubts.append(f"what is open or was carried in has no mark or no cost: {named}")
    if totals.n_unpriced_closes:
        doubts.append(f"{_fills(totals.n_unpriced_closes)} closed quantity of unknown cost")
    if totals.n_fee_unknown:
        doubts.append(f"no fee is known of {_fills(totals.n_fee_unknown)}")
    if totals.n_unvalued:
        doubts.append(f"no rate is known for what {totals.n_unvalued:,} rows paid in other assets")
    return doubts


def made_money(by_currency: Mapping[str, Totals], doubts: Sequence[str]) -> MadeMoney:
    """Return yes or no where nothing is in doubt, else incomplete; nothing traded is a no."""
    if doubts:
        return "incomplete"
    return "yes" if any(totals.net_known > 0 for totals in by_currency.values()) else "no"


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
