"""Where the pull of one timed history stands, and what a page of it means.

Pages run forward through windows of time, both ends included. Three proofs stand behind what is
said to be complete: a page that is not full holds all of its window; the newest row known before
a round must be seen again in it, else the venue has dropped what lies between; and fills must
continue each other's positions, else some are missing, and are looked for again before that is
said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import msgspec

from fillbook.ground.clock import MINUTE_NS
from fillbook.sources.hyperliquid.chain import Break, Link, Place, follow, newest
from fillbook.sources.stream import Gap

MS_NS = 1_000_000
# The venue cuts answers at 500 rows or more, whatever it says about the page.
SHORTEST_FULL_PAGE = 500
_MOST_PLACES = 64
# Missing fills are looked for with every pull for so long, afterwards once a day.
_PATIENCE_MS = 30 * MINUTE_NS // MS_NS


class Window(msgspec.Struct, frozen=True, array_like=True):
    """A stretch to ask for, in milliseconds, both ends included."""

    since_ms: int
    until_ms: int


class Walk(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A cursor: what is known for good, and what is left of the round it was written in.

    Before `done_ms` everything is journaled or said to be missing; `newest_ms` is the newest row
    up to there. `places` are positions behind the newest fills by coin, `missing` the breaks that
    a second look has not mended.

    Of the round: `windows` are left to ask, `again` those of a second look, which go first, on
    account of `suspects`. `known_ms` is `newest_ms` as the round began, `low_ms` the oldest row
    seen in it, `since_ms` where it began and `reach_ms` how far it has come, `floor_ms` the end of
    what it could not read, `fresh` how many rows were news.
    """

    done_ms: int = 0
    newest_ms: int | None = None
    places: dict[str, Place] = {}
    missing: dict[str, Break] = {}
    windows: tuple[Window, ...] = ()
    again: tuple[Window, ...] = ()
    suspects: dict[str, Break] = {}
    known_ms: int | None = None
    low_ms: int | None = None
    since_ms: int = 0
    reach_ms: int = 0
    floor_ms: int = 0
    fresh: int = 0

    @property
    def is_first(self) -> bool:
        """Say whether nothing was known before this round."""
        return self.since_ms == 0

    def text(self) -> str:
        """Return the cursor as the journal keeps it."""
        return msgspec.json.encode(self).decode()

    @property
    def window(self) -> Window:
        """Return what to ask for now."""
        return (self.again or self.windows)[0]


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """What is special about one history: the venue's page, and why rows may have gone."""

    page_rows: int
    full_rows: int = SHORTEST_FULL_PAGE
    gone: str


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A page in short: the times of its rows in the order they came, and links of a chain."""

    times_ms: Sequence[int]
    links: Sequence[Link] = ()


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """What a page means: where the walk stands, and as the fields of `PulledPage`."""

    walk: Walk
    more: bool
    covered_from_ns: int | None = None
    covered_until_ns: int | None = None
    gap: Gap | None = None


def read_walk(text: str) -> Walk:
    """Read a cursor back; ValueError when it is none."""
    return msgspec.json.decode(text, type=Walk)


def begin(text: str | None, now_ms: int, overlap_ms: int) -> Walk:
    """Return the walk of a new round: `overlap_ms` behind the last one, and until now.

    It reaches back to the newest row known, to see it again, and to breaks young enough to mend.
    """
    last = Walk() if text is None else read_walk(text)
    since_ms = max(0, last.done_ms - overlap_ms)
    if last.newest_ms is not None:
        since_ms = min(since_ms, last.newest_ms)
    places = dict(last.places)
    for coin, gone in last.missing.items():
        if last.done_ms - gone.until_ms <= _PATIENCE_MS:
            since_ms = max(0, min(since_ms, gone.since_ms - overlap_ms))
        if since_ms <= gone.since_ms:
            places[coin] = Place(gone.since_ms, gone.position)
    return Walk(
        done_ms=last.done_ms,
        newest_ms=last.newest_ms,
        places=places,
        missing=last.missing,
        windows=(Window(since_ms, max(since_ms, now_ms)),),
        known_ms=last.newest_ms,
        since_ms=since_ms,
    )


def advance(walk: Walk, seen: Seen, asked_ns: int, kind: Kind) -> Turn:
    """Return where a walk stands after the page of its window."""
    window = walk.window
    times = [at for at in seen.times_ms if window.since_ms <= at <= window.until_ms]
    left, crowded = _left_of(window, seen.times_ms, times, kind)
    reached_ms = left[0].since_ms if left else window.until_ms + 1
    # The last instant of a cut page may be incomplete: it is read with the next one.
    whole = Seen(
        times_ms=[at for at in times if at < reached_ms],
        links=[link for link in seen.links if window.since_ms <= link.at_ms < reached_ms],
    )
    gaps = []
    if crowded is not None:
        gaps.append(crowded)
        # Nobody knows what it did to the positions.
        walk = msgspec.structs.replace(walk, floor_ms=reached_ms, places={})
        whole = Seen(times_ms=whole.times_ms)
    if walk.again:
        walk, found = _look_again(walk, whole.links, left)
    else:
        known_until_ms = min(reached_ms, asked_ns // MS_NS)
        walk, found = _look(walk, whole, left, reached_ms, known_until_ms, kind.gone)
    from_ms, until_ms = _covered(walk)
    return Turn(
        walk=walk,
        more=bool(walk.windows or walk.again),
        covered_from_ns=None if from_ms is None else from_ms * MS_NS,
        covered_until_ns=None if until_ms is None else until_ms * MS_NS,
        gap=_joined([*gaps, *found]),
    )


def _left_of(
    window: Window, order: Sequence[int], times: Sequence[int], kind: Kind
) -> tuple[tuple[Window, ...], Gap | None]:
    """Return what is left of a window after its page, and an instant too crowded to be read."""
    since_ms, until_ms = window.since_ms, window.until_ms
    if len(order) < kind.full_rows or not times:
        return (), None
    last_ms = times[-1]
    if len(set(times)) > 1:
        if last_ms > since_ms and _is_forward(order):
            return (Window(last_ms, until_ms),), None
        # Cut at its old end, or in no order at all: read it in halves.
        middle_ms = (since_ms + until_ms) // 2
        return (Window(since_ms, middle_ms), Window(middle_ms + 1, until_ms)), None
    if last_ms > since_ms:
        # All of one instant: nothing says at which end the page was cut.
        return (Window(since_ms, last_ms - 1), Window(last_ms, until_ms)), None
    crowded = None
    if len(times) >= kind.page_rows:
        cause = f"more than {kind.page_rows} rows in one millisecond: the venue shows no more"
        crowded = Gap(from_ns=last_ms * MS_NS, until_ns=(last_ms + 1) * MS_NS, cause=cause)
    return ((Window(last_ms + 1, until_ms),) if last_ms < until_ms else ()), crowded


def _is_forward(order: Sequence[int]) -> bool:
    """Say whether rows run forward in time; the first may be one that came before."""
    body = order[1:]
    return body[0] < body[-1] and all(one <= other for one, other in pairwise(body))


def _look(
    walk: Walk,
    whole: Seen,
    left: tuple[Window, ...],
    reached_ms: int,
    known_until_ms: int,
    gone: str,
) -> tuple[Walk, list[Gap]]:
    """Take in a page of the round itself."""
    gaps: list[Gap] = []
    low_ms, floor_ms, from_places = walk.low_ms, walk.floor_ms, walk.places
    if whole.times_ms:
        oldest_ms = min(whole.times_ms)
        low_ms = oldest_ms if low_ms is None else min(low_ms, oldest_ms)
        is_cut = walk.known_ms is not None and oldest_ms > walk.known_ms
        if walk.low_ms is None:
            # Older rows of this very instant may have gone; if not, an earlier round said so.
            floor_ms = max(floor_ms, oldest_ms + 1)
        if walk.low_ms is None and is_cut:
            since_ns = ((walk.known_ms or 0) + 1) * MS_NS
            gaps.append(Gap(from_ns=since_ns, until_ns=(oldest_ms + 1) * MS_NS, cause=gone))
            from_places = {}
    places, broken = follow(from_places, whole.links)
    missing, suspects = _judged(walk, places, broken)
    again: tuple[Window, ...] = ()
    if suspects:
        # Read once more from where the chains were whole, before anything is said.
        again = (Window(min(each.since_ms for each in suspects.values()), reached_ms - 1),)
        places |= {coin: Place(each.since_ms, each.position) for coin, each in suspects.items()}
    # A venue that does not even show the row it showed before proves nothing.
    proven = walk.known_ms is None or low_ms is not None
    # A row as young as the question leads no round: the next one begins in front of it.
    settled_ms = [at for at in whole.times_ms if at < known_until_ms]
    newest_ms = walk.newest_ms
    fresh = sum(1 for at in settled_ms if newest_ms is None or at > newest_ms)
    reached = msgspec.structs.replace(
        walk,
        done_ms=max(walk.done_ms, known_until_ms) if proven else walk.done_ms,
        reach_ms=known_until_ms if proven else 0,
        newest_ms=max((*settled_ms, newest_ms or 0)) if settled_ms else newest_ms,
        places=newest(places, _MOST_PLACES),
        missing=missing,
        suspects=suspects,
        windows=(*left, *walk.windows[1:]),
        again=again,
        low_ms=low_ms,
        floor_ms=floor_ms,
        fresh=walk.fresh + fresh,
    )
    return reached, gaps


def _judged(
    walk: Walk, places: Mapping[str, Place], broken: Mapping[str, Break]
) -> tuple[dict[str, Break], dict[str, Break]]:
    """Return which breaks are still missing fills, and which are new and looked at again."""
    missing: dict[str, Break] = {}
    for coin, gone in walk.missing.items():
        before, found = walk.places.get(coin), broken.get(coin)
        if before is None or before.at_ms >= gone.until_ms:
            missing[coin] = gone  # this round does not reach back to it
        elif found is not None and found.since_ms < gone.until_ms:
            missing[coin] = found
        elif coin not in places or places[coin].at_ms < gone.until_ms:
            missing[coin] = gone
    suspects = {
        coin: each
        for coin, each in broken.items()
        if coin not in missing or each.since_ms >= missing[coin].until_ms
    }
    return missing, suspects


def _look_again(
    walk: Walk, links: Sequence[Link], left: tuple[Window, ...]
) -> tuple[Walk, list[Gap]]:
    """Take in a page of a second look; what is still broken at its end is missing."""
    places, broken = follow(walk.places, links)
    still = {coin: gone for coin, gone in broken.items() if coin in walk.suspects}
    again = (*left, *walk.again[1:])
    gaps = [
        Gap(
            from_ns=(gone.since_ms + 1) * MS_NS,
            until_ns=gone.until_ms * MS_NS,
            cause=f"fills of {coin} are missing: its positions do not follow from one another",
        )
        for coin, gone in sorted(still.items())
    ]
    kept = msgspec.structs.replace(
        walk,
        places=newest(places, _MOST_PLACES),
        missing={**walk.missing, **still},
        suspects=walk.suspects if again else {},
        again=again,
    )
    return kept, gaps


def _covered(walk: Walk) -> tuple[int | None, int | None]:
    """Return what the round has proven complete so far, in milliseconds; None for nothing."""
    from_ms: int | None = walk.since_ms
    if walk.is_first or walk.known_ms is not None:
        # What is older than the oldest row was said in earlier rounds, or is not known at all.
        from_ms = walk.low_ms
    if from_ms is None or walk.again:
        return None, None
    floors = [walk.floor_ms, *(gone.until_ms for gone in walk.missing.values())]
    from_ms = max(from_ms, *floors)
    return (from_ms, walk.reach_ms) if from_ms < walk.reach_ms else (None, None)


def _joined(gaps: Sequence[Gap]) -> Gap | None:
    if not gaps:
        return None
    return Gap(
        from_ns=min(gap.from_ns for gap in gaps),
        until_ns=max(gap.until_ns for gap in gaps),
        cause="; ".join(dict.fromkeys(gap.cause for gap in gaps)),
    )
