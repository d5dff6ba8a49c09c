"""Running sources: what they cover counts, and the gaps they admit stay until healed."""

from __future__ import annotations

from itertools import permutations
from typing import Literal

import pytest

from fillbook.facts.finding import Finding
from fillbook.facts.model import Batch, Coverage, Span
from fillbook.resolve.coverage import united_coverage
from fillbook.resolve.gaps import gap_findings
from fillbook.resolve.statements import Said, settled, uncovered


def span(
    start: int,
    until: int,
    state: Literal["complete", "gap"],
    instrument: str | None = None,
    component: Literal["fills", "funding", "orders", "transfers"] = "fills",
    said: int | None = None,
    source: str = "live",
) -> Span:
    return Span(
        venue="v",
        account="a",
        ts_ns=start,
        until_ns=until,
        source=source,
        rank=3,
        component=component,
        state=state,
        instrument=instrument,
        cause="the venue keeps 10,000 fills" if state == "gap" else None,
        said_ns=said,
    )


def told(*spans: Span | Said, files: tuple[Batch, ...] = ()) -> list[Finding]:
    said = settled(
        each if isinstance(each, Said) else Said("live:v:a:fills", each) for each in spans
    )
    return gap_findings(said, united_coverage(files, said), files)


def gaps_of(*spans: Span | Said, files: tuple[Batch, ...] = ()) -> list[tuple[int | None, str]]:
    return [(each.ts_ns, each.code) for each in told(*spans, files=files)]


def covered_by(*spans: Span | Said) -> list[tuple[int, int]]:
    said = settled(
        each if isinstance(each, Said) else Said("live:v:a:fills", each) for each in spans
    )
    return [(e.coverage.from_ns, e.coverage.until_ns) for e in united_coverage((), said)]


def export(start: int, until: int, source: str = "live") -> Batch:
    return Batch(
        venue="v",
        account="a",
        ts_ns=0,
        batch_id="export",
        source=source,
        rank=2,
        fingerprint="f",
        name="export.csv",
        rows=1,
        coverage=(Coverage(component="fills", from_ns=start, until_ns=until),),
    )


def test_neighbouring_stretches_are_one() -> None:
    assert covered_by(span(0, 5, "complete"), span(5, 9, "complete")) == [(0, 9)]


def test_a_gap_is_told_until_something_covers_it() -> None:
    assert gaps_of(span(10, 20, "gap")) == [(10, "gap")]
    assert gaps_of(span(10, 20, "gap"), span(0, 30, "complete")) == []


def test_a_half_healed_gap_keeps_the_other_half() -> None:
    assert gaps_of(span(10, 20, "gap"), span(0, 15, "complete", said=30)) == [(15, "gap")]


def test_only_the_same_component_and_instrument_heal() -> None:
    assert gaps_of(span(10, 20, "gap"), span(0, 30, "complete", component="funding")) != []
    assert gaps_of(span(10, 20, "gap", "BTC"), span(0, 30, "complete", "ETH")) != []
    assert gaps_of(span(10, 20, "gap", "BTC"), span(0, 30, "complete", "BTC")) == []
    assert gaps_of(span(10, 20, "gap", "BTC"), span(0, 30, "complete", source="other")) == []


@pytest.mark.parametrize(
    ("statements", "gaps", "covered"),
    [
        # What was complete once is not, when the source says so afterwards: whoever asked again
        # found rows that cannot be read.
        (
            [span(0, 30, "complete", said=30), span(10, 20, "gap", said=40)],
            [10],
            [(0, 10), (20, 30)],
        ),
        ([span(0, 30, "complete", said=40), span(10, 20, "gap", said=30)], [], [(0, 30)]),
        # An older stretch of time may be the later word.
        ([span(10, 20, "gap", said=30), span(0, 15, "complete", said=40)], [15], [(0, 15)]),
        # At one instant, the gap.
        (
            [span(0, 30, "complete", said=30), span(10, 20, "gap", said=30)],
            [10],
            [(0, 10), (20, 30)],
        ),
        # A gap told again and again is one gap.
        ([span(10, 20, "gap", said=20), span(10, 30, "gap", said=30)], [10], []),
        # Without a word on when it was said, a stretch was said at its end.
        ([span(0, 30, "complete"), span(10, 20, "gap")], [], [(0, 30)]),
        ([span(0, 30, "complete"), span(10, 40, "gap")], [10], [(0, 10)]),
    ],
)
def test_the_later_statement_holds(
    statements: list[Span], gaps: list[int], covered: list[tuple[int, int]]
) -> None:
    for order in permutations(statements):
        assert [at for at, _ in gaps_of(*order)] == gaps
        assert covered_by(*order) == covered


def test_a_stream_heals_its_own_gaps_only() -> None:
    plain, triggered = "live:v:a:orders", "live:v:a:trigger-orders"
    gap = Said(triggered, span(10, 20, "gap", component="orders", said=20))
    other = Said(plain, span(0, 30, "complete", component="orders", said=30))
    own = Said(triggered, span(0, 30, "complete", component="orders", said=31))
    assert gaps_of(gap, other) == [(10, "gap")]
    assert covered_by(gap, other) == [(0, 10), (20, 30)]
    assert gaps_of(gap, other, own) == []


def test_an_import_fills_a_gap_whenever_it_was_made() -> None:
    gap = span(10, 20, "gap", said=40)
    assert gaps_of(gap, files=(export(0, 15),)) == [(15, "gap")]
    assert gaps_of(gap, files=(export(0, 15, "another"), export(15, 20))) == []


def test_only_missing_money_makes_figures_of_money_incomplete() -> None:
    def weight(component: Literal["fills", "funding", "orders", "transfers"]) -> tuple[str, bool]:
        (finding,) = told(span(10, 20, "gap", component=component))
        return finding.severity, "made_money" in finding.touches

    assert weight("fills") == weight("funding") == ("error", True)
    assert weight("orders") == weight("transfers") == ("warning", False)


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
