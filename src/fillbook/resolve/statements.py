"""What running sources say of time, where a later statement holds over an earlier one.

A stream speaks for itself only: several of one source may share a component, each with its own
part of it, so what one of them has does not heal what another could not have.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from fillbook.facts.model import Claimed, Span

Interval = tuple[int, int]


class Said(NamedTuple):
    """One statement and the stream (its batch) that made it."""

    stream: str
    span: Span


class Settled(NamedTuple):
    """What holds in the end: complete stretches, and gaps that nothing said later fills."""

    complete: list[Said]
    gaps: list[Said]
    """Each cut to what is left of it, with its own cause."""


def statements(claims: Iterable[Claimed]) -> list[Said]:
    """Return the statements among some claims, each with the stream that made it."""
    return [
        Said(min(each.batch_id for each in claim.assertions) if claim.assertions else "", span)
        for claim in claims
        if isinstance(span := claim.fact, Span)
    ]


def settled(said: Iterable[Said]) -> Settled:
    """Let the later statement of each stream hold; of two at once the gap, to be honest.

    Complete stretches stay whole: what a gap takes from them stands among the gaps.
    """
    streams: dict[tuple[str, ...], list[Said]] = defaultdict(list)
    for each in said:
        span = each.span
        place = (span.venue, span.account, span.component, span.source, span.instrument or "")
        streams[(*place, each.stream)].append(each)
    complete: list[Said] = []
    gaps: list[Said] = []
    for _, spoken in sorted(streams.items()):
        complete += [each for each in spoken if each.span.state == "complete"]
        if any(each.span.state == "gap" for each in spoken):
            gaps += _standing(spoken)
    return Settled(complete, gaps)


def _standing(spoken: Sequence[Said]) -> list[Said]:
    """Return what is left of one stream's gaps, in order of time."""
    later = Stretches()
    left: list[Said] = []
    for each in sorted(spoken, key=_said_at, reverse=True):
        span = each.span
        if span.state == "gap":
            for since, until in uncovered((span.ts_ns, span.until_ns), later.all):
                cut = msgspec.structs.replace(span, ts_ns=since, until_ns=until)
                left.append(Said(each.stream, cut))
        later.add(span.ts_ns, span.until_ns)
    return sorted(left, key=lambda each: (each.span.ts_ns, each.span.until_ns))


def _said_at(each: Said) -> tuple[int, bool, int, int, str]:
    span = each.span
    said_ns = span.until_ns if span.said_ns is None else span.said_ns
    return said_ns, span.state == "gap", span.ts_ns, span.until_ns, span.cause or ""


class Stretches:
    """Half-open intervals, merged where they touch; `all` holds them in order of time."""

    def __init__(self) -> None:
        self.all: list[Interval] = []

    def add(self, start: int, end: int) -> None:
        """Take in one more.

        >>> some = Stretches()
        >>> for start, end in ((0, 2), (5, 7), (2, 3), (6, 9)):
        ...     some.add(start, end)
        >>> some.all
        [(0, 3), (5, 9)]
        """
        if start >= end:
            return
        first = bisect_left(self.all, start, key=lambda part: part[1])
        last = bisect_right(self.all, end, key=lambda part: part[0])
        if first < last:
            start = min(start, self.all[first][0])
            end = max(end, self.all[last - 1][1])
        self.all[first:last] = [(start, end)]


def united(intervals: Iterable[Interval]) -> list[Interval]:
    """Merge half-open intervals that touch or overlap, in order of time.

    >>> united([(5, 7), (0, 2), (2, 3)])
    [(0, 3), (5, 7)]
    """
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def uncovered(stretch: Interval, covered: Sequence[Interval]) -> list[Interval]:
    """Return what of a stretch lies outside `covered` (united intervals).

    >>> uncovered((0, 10), [(2, 4), (8, 20)])
    [(0, 2), (4, 8)]
    """
    start, end = stretch
    open_parts = []
    for since, until in covered[bisect_right(covered, start, key=lambda part: part[1]) :]:
        if since >= end:
            break
        if since > start:
            open_parts.append((start, since))
        start = max(start, until)
    if start < end:
        open_parts.append((start, end))
    return open_parts
