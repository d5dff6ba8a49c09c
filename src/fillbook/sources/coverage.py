"""What one stream says about time: stretches that are complete, and gaps with their cause.

Spoken as Span facts in the same transaction as the rows they speak of, so a book can never claim
more than it holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from fillbook.facts.identity import key_of
from fillbook.facts.model import Claim, Span
from fillbook.resolve.statements import united
from fillbook.sources.source import RANK_API
from fillbook.sources.stream import Gap, Stream

_MOST_CAUSE = 2000


class Spoken(msgspec.Struct, frozen=True):
    """Whose stretches these are."""

    venue: str
    account: str
    stream: Stream


class CoverageLog:
    """Collects stretches until they are written.

    `until_ns` is the latest instant up to which a written stretch is complete, None before the
    first; `open_gap` what is missing in front of a stream that stands still, until it is healed.
    """

    def __init__(self, spoken: Spoken) -> None:
        self._spoken = spoken
        self._pending: list[tuple[int, int]] = []
        self._written_gaps: set[Gap] = set()
        self.until_ns: int | None = None
        self.open_gap: Gap | None = None

    @property
    def is_pending(self) -> bool:
        """Say whether there are stretches that are not written yet."""
        return bool(self._pending)

    def cover(self, from_ns: int, until_ns: int) -> None:
        """Note a stretch whose rows are journaled, or are about to be."""
        self._pending = united([*self._pending, (from_ns, until_ns)])

    @contextmanager
    def covering(self, stretch: tuple[int, int] | None) -> Iterator[None]:
        """Note a stretch whose rows are journaled inside; taken back where they are not."""
        known = self._pending
        if stretch is not None:
            self.cover(*stretch)
        try:
            yield
        except BaseException:  # whatever it is, nothing was read that is not in the book
            self._pending = known
            raise

    def heals(self) -> bool:
        """Say whether what is pending fills any of the open gap."""
        gap = self.open_gap
        return gap is not None and any(
            start <= gap.from_ns < end or start < gap.until_ns <= end
            for start, end in self._pending
        )

    def is_news(self, gap: Gap | None) -> bool:
        """Say whether a gap is yet to be written."""
        return gap is not None and gap not in self._written_gaps

    def claims(self, said_ns: int, gap: Gap | None = None) -> list[Claim]:
        """Return what there is to say now, as claims for the page; nothing is forgotten yet."""
        claims = [
            claim
            for start, end in self._pending
            for claim in self._spans(start, end, None, said_ns)
        ]
        if gap is not None and self.is_news(gap):
            claims += self._spans(gap.from_ns, gap.until_ns, gap.cause, said_ns)
        return claims

    def reached_ns(self) -> int | None:
        """Return how far the stream is complete, with what is about to be written."""
        return self.when_written()[0]

    def when_written(self) -> tuple[int | None, Gap | None]:
        """Return `until_ns` and `open_gap` as they will be once everything pending is written."""
        until_ns, gap = self.until_ns, self.open_gap
        for start, end in self._pending:
            until_ns = max(end, until_ns or end)
            gap = _without(gap, start, end)
        return until_ns, gap

    def written(self, gap: Gap | None = None) -> None:
        """Note that everything `claims` said is in the book."""
        self.until_ns, self.open_gap = self.when_written()
        self._pending = []
        if gap is not None:
            self._written_gaps.add(gap)

    def _spans(self, start: int, end: int, cause: str | None, said_ns: int) -> list[Claim]:
        spoken, stream = self._spoken, self._spoken.stream
        claims = []
        for component in stream.components:
            span = Span(
                venue=spoken.venue,
                account=spoken.account,
                ts_ns=start,
                source=stream.source,
                rank=RANK_API,
                component=component,
                until_ns=end,
                state="complete" if cause is None else "gap",
                instrument=stream.instrument,
                cause=None if cause is None else cause[:_MOST_CAUSE],
                said_ns=said_ns,
            )
            key = key_of(start, "span", stream.name, component, span.state, end, said_ns)
            claims.append(Claim(span, key))
        return claims


def _without(gap: Gap | None, start: int, end: int) -> Gap | None:
    """Return what is left of a gap that was filled from one of its ends."""
    if gap is None or end <= gap.from_ns or start >= gap.until_ns:
        return gap
    if start <= gap.from_ns:
        return None if end >= gap.until_ns else msgspec.structs.replace(gap, from_ns=end)
    return msgspec.structs.replace(gap, until_ns=start) if end >= gap.until_ns else gap
