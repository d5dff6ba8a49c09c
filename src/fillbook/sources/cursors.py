"""Cursors of time, for histories without ids: windows, inclusive boundaries, crowded instants.

A page that ends inside an instant is read on from that instant itself, so rows may come twice
and none is jumped over; the journal knows what it has. A page that is full of one instant cannot
be passed that way: it is read part by part (`by_parts`), or in smaller windows (`smaller`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from fillbook.sources.stream import Gap

BEYOND_RETENTION = "older than the venue keeps"


class TimeCursor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a walk through time stands: everything before `from_ns` is journaled.

    The round ends at `until_ns`. `window_ns` is a window made smaller than the venue's own (0: not
    made smaller). `parts` are what is left to read of a crowded instant, the next one first.
    `lost_ns` is where a stretch began that the venue no longer has; it ends at `from_ns`.
    """

    from_ns: int
    until_ns: int
    window_ns: int = 0
    parts: tuple[str, ...] = ()
    lost_ns: int | None = None

    def text(self) -> str:
        """Return the cursor as the journal keeps it."""
        return msgspec.json.encode(self).decode()


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What a page means for a walk: as the fields of `PulledPage` of the same names."""

    next_cursor: str
    more: bool
    covered_from_ns: int | None = None
    covered_until_ns: int | None = None
    stuck: bool = False
    gap: Gap | None = None


def read_cursor(text: str) -> TimeCursor:
    """Read a cursor back; ValueError when it is none.

    >>> read_cursor(TimeCursor(from_ns=5, until_ns=9).text())
    TimeCursor(from_ns=5, until_ns=9, window_ns=0, parts=(), lost_ns=None)
    """
    return msgspec.json.decode(text, type=TimeCursor)


def begin_walk(text: str | None, now_ns: int, overlap_ns: int, oldest_ns: int) -> str:
    """Return the first cursor of a round: `overlap_ns` behind the last, and until now.

    `oldest_ns` is where the venue's retention begins. What an outage left behind it is said to
    be lost.
    """
    if text is None:
        return TimeCursor(from_ns=oldest_ns, until_ns=max(oldest_ns, now_ns)).text()
    last = read_cursor(text)
    from_ns = max(last.from_ns - overlap_ns, oldest_ns)
    lost_ns = last.lost_ns
    if last.from_ns < oldest_ns and lost_ns is None:
        lost_ns = last.from_ns
    return TimeCursor(from_ns=from_ns, until_ns=max(from_ns, now_ns), lost_ns=lost_ns).text()


def window_of(cursor: TimeCursor, most_ns: int, grain_ns: int) -> tuple[int, int]:
    """Return the stretch [start, end) to ask for now; `most_ns` is the venue's longest (0: any).

    It begins on a whole grain, and holds at least one.
    """
    start_ns = cursor.from_ns - cursor.from_ns % grain_ns
    if cursor.parts:
        return start_ns, start_ns + grain_ns
    end_ns = -(-cursor.until_ns // grain_ns) * grain_ns
    for longest_ns in (most_ns, cursor.window_ns):
        if longest_ns:
            end_ns = min(end_ns, start_ns + longest_ns)
    return start_ns, max(end_ns, start_ns + grain_ns)


def step(
    cursor: TimeCursor,
    times_ns: Sequence[int],
    full: bool,
    asked_ns: int,
    *,
    grain_ns: int,
    most_ns: int = 0,
) -> Step:
    """Return where the walk stands after a page, oldest row first, of the cursor's window.

    `full`: the page holds as many rows as the venue sends at most, so there may be more.
    `asked_ns` is the answer's: nothing is complete beyond it.
    """
    start_ns, end_ns = window_of(cursor, most_ns, grain_ns)
    gap = None
    if cursor.lost_ns is not None and cursor.lost_ns < cursor.from_ns:
        gap = Gap(from_ns=cursor.lost_ns, until_ns=cursor.from_ns, cause=BEYOND_RETENTION)
    if full:
        last_ns = max(times_ns)
        last_ns -= last_ns % grain_ns
        if cursor.parts or last_ns <= start_ns:
            return Step(next_cursor=cursor.text(), more=True, stuck=True, gap=gap)
        on = TimeCursor(from_ns=last_ns, until_ns=cursor.until_ns, window_ns=cursor.window_ns)
        return _moved(on, True, start_ns, min(last_ns, asked_ns), gap)
    if len(cursor.parts) > 1:
        rest = msgspec.structs.replace(cursor, parts=cursor.parts[1:], lost_ns=None)
        return Step(next_cursor=rest.text(), more=True, gap=gap)
    # What was not there yet when we asked is not complete, and our clock may be ahead of the
    # venue's: the round ends there, and the next one begins there.
    known_ns = min(end_ns, asked_ns)
    more = known_ns == end_ns and end_ns < cursor.until_ns
    on = TimeCursor(from_ns=known_ns, until_ns=cursor.until_ns)
    return _moved(on, more, start_ns, known_ns, gap)


def _moved(on: TimeCursor, more: bool, start_ns: int, known_ns: int, gap: Gap | None) -> Step:
    is_covered = known_ns > start_ns
    return Step(
        next_cursor=on.text(),
        more=more,
        covered_from_ns=start_ns if is_covered else None,
        covered_until_ns=known_ns if is_covered else None,
        gap=gap,
    )


def by_parts(text: str, parts: Collection[str]) -> str | None:
    """Read a crowded instant part by part; None when that is being done already, or impossible."""
    cursor = read_cursor(text)
    if cursor.parts or len(parts) < 2:
        return None
    return msgspec.structs.replace(cursor, parts=tuple(sorted(parts))).text()


def smaller(text: str, most_ns: int, grain_ns: int) -> str | None:
    """Halve the window, for venues that cut a full page at its old end; None at one grain."""
    cursor = read_cursor(text)
    start_ns, end_ns = window_of(cursor, most_ns, grain_ns)
    half_ns = (end_ns - start_ns) // 2
    half_ns -= half_ns % grain_ns
    if half_ns < grain_ns:
        return None
    return msgspec.structs.replace(cursor, window_ns=half_ns).text()
