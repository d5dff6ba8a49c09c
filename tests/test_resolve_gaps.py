"""Running sources: what they cover counts, and the gaps they admit stay until healed."""

from __future__ import annotations

from typing import Literal

import pytest

from fillbook.facts.model import Span
from fillbook.resolve.coverage import united_coverage
from fillbook.resolve.gaps import gap_findings, uncovered


def span(
    start: int,
    until: int,
    state: Literal["complete", "gap"],
    instrument: str | None = None,
    component: Literal["fills", "funding", "orders", "transfers"] = "fills",
) -> Span:
    return Span(
        venue="v",
        account="a",
        ts_ns=start,
        until_ns=until,
        source="live",
        rank=3,
        component=component,
        state=state,
        instrument=instrument,
        cause="the venue keeps 10,000 fills" if state == "gap" else None,
    )


def gaps_of(*spans: Span) -> list[tuple[int | None, str]]:
    return [(each.ts_ns, each.code) for each in gap_findings(spans, united_coverage((), spans))]


def test_neighbouring_stretches_are_one() -> None:
    (only,) = united_coverage((), [span(0, 5, "complete"), span(5, 9, "complete")])
    assert (only.coverage.from_ns, only.coverage.until_ns, only.rank) == (0, 9, 3)


def test_a_gap_is_told_until_something_covers_it() -> None:
    assert gaps_of(span(10, 20, "gap")) == [(10, "gap")]
    assert gaps_of(span(10, 20, "gap"), span(0, 30, "complete")) == []


def test_a_half_healed_gap_keeps_the_other_half() -> None:
    assert gaps_of(span(10, 20, "gap"), span(0, 15, "complete")) == [(15, "gap")]


def test_only_the_same_component_and_instrument_heal() -> None:
    assert gaps_of(span(10, 20, "gap"), span(0, 30, "complete", component="funding")) != []
    assert gaps_of(span(10, 20, "gap", "BTC"), span(0, 30, "complete", "ETH")) != []
    assert gaps_of(span(10, 20, "gap", "BTC"), span(0, 30, "complete", "BTC")) == []
    assert gaps_of(span(10, 20, "gap", "BTC"), span(0, 30, "complete")) == []


def test_only_missing_money_makes_figures_of_money_incomplete() -> None:
    def told(component: Literal["fills", "funding", "orders", "transfers"]) -> tuple[str, bool]:
        (finding,) = gap_findings([span(10, 20, "gap", component=component)], [])
        return finding.severity, "made_money" in finding.touches

    assert told("fills") == told("funding") == ("error", True)
    assert told("orders") == told("transfers") == ("warning", False)


@pytest.mark.parametrize(
    ("stretch", "covered", "left"),
    [
        ((0, 10), [], [(0, 10)]),
        ((0, 10), [(0, 10)], []),
        ((0, 10), [(3, 5)], [(0, 3), (5, 10)]),
        ((5, 10), [(0, 6), (9, 20)], [(6, 9)]),
        ((5, 10), [(0, 5), (10, 20)], [(5, 10)]),
    ],
)
def test_uncovered(
    stretch: tuple[int, int], covered: list[tuple[int, int]], left: list[tuple[int, int]]
) -> None:
    assert uncovered(stretch, covered) == left
