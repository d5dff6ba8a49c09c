"""How far a book reaches, what it lacks, and how old its prices are, told as checks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator

from fillbook.analysis.rows import positions
from fillbook.analysis.view import BookView, Query
from fillbook.facts.finding import Finding
from fillbook.ground.checks import Check
from fillbook.ground.clock import DAY_NS, HOUR_NS, MINUTE_NS, iso, parse_ns

# A running source writes how far it is complete at least once an hour.
BEHIND_NS = 2 * HOUR_NS

Place = tuple[str, str]
"""(venue, account)."""
Label = Callable[[str], str]


def coverage_checks(
    view: BookView, now_ns: int, live: Collection[Place], label: Label = str
) -> Iterator[Check]:
    """Say for every account how far it is complete, and what could not be had.

    `live` are the accounts that are attached and were once: those should reach up to now.
    """
    reach = _reach(view)
    gaps: dict[str | None, list[Finding]] = defaultdict(list)
    for found in view.findings:
        if found.code == "gap":
            gaps[found.account].append(found)
    for place in sorted({*reach, *live}):
        known, whose = reach.get(place, {}), label(place[1])
        fills = known.get("fills")
        if fills is None:
            what = "no source says how far its fills are complete"
            step = "import its fills, or attach it"
            yield Check(area="coverage", state="warn", what=what, next_step=step, about=whose)
        elif place in live and now_ns - fills[1] > BEHIND_NS:
            what = f"{_told(known, now_ns)}; it should reach up to now"
            step = "start the monitor: `fillbook monitor start`"
            yield Check(area="coverage", state="warn", what=what, next_step=step, about=whose)
        else:
            yield Check(area="coverage", state="ok", what=_told(known, now_ns), about=whose)
    for account, found_here in sorted(gaps.items(), key=lambda item: item[0] or ""):
        yield _gaps(label(account or ""), found_here)


def _reach(view: BookView) -> dict[Place, dict[str, tuple[int, int]]]:
    """Return per account and component from when until when it is complete.

    Of histories of single instruments the one that lags most counts.
    """
    spans: dict[tuple[Place, str], dict[str | None, list[tuple[int, int]]]]
    spans = defaultdict(lambda: defaultdict(list))
    for each in view.ledger.coverage:
        part = each.coverage
        place = (each.venue, each.account)
        spans[place, part.component][part.instrument].append((part.from_ns, part.until_ns))
    found: dict[Place, dict[str, tuple[int, int]]] = defaultdict(dict)
    for (place, component), named in spans.items():
        since = min(start for pairs in named.values() for start, _ in pairs)
        until = min(max(end for _, end in pairs) for pairs in named.values())
        found[place][component] = (since, until)
    return found


def _told(known: dict[str, tuple[int, int]], now_ns: int) -> str:
    """Say how far components reach, most important first.

    >>> _told({"fills": (0, 90 * 10**9)}, 100 * 10**9)
    'fills complete to 1970-01-01 00:01:30 (now)'
    """
    parts = []
    for component in ("fills", "funding"):
        if component in known:
            until = known[component][1]
            when = iso(until)[:19].replace("T", " ").removesuffix("Z")
            parts.append(f"{component} complete to {when} ({_ago(now_ns - until)})")
    return ", ".join(parts)


def _ago(age_ns: int) -> str:
    for size_ns, unit in ((DAY_NS, "d"), (HOUR_NS, "h"), (MINUTE_NS, "min")):
        if age_ns >= size_ns:
            return f"{age_ns // size_ns} {unit} ago"
    return "now"


def _gaps(whose: str, found: list[Finding]) -> Check:
    worst = next((one for one in found if one.severity == "error"), found[0])
    more = f"; and {len(found) - 1} more (`fillbook findings`)" if len(found) > 1 else ""
    return Check(
        area="gaps",
        state="fail" if worst.severity == "error" else "warn",
        what=f"{worst.message}{more}",
        next_step=worst.next_step,
        about=whose or None,
    )


def findings_check(view: BookView) -> Check:
    """Count what else the book says is wrong with its numbers."""
    others = [found for found in view.findings if found.code != "gap"]
    errors = sum(found.severity == "error" for found in others)
    warnings = sum(found.severity == "warning" for found in others)
    if not errors and not warnings:
        return Check(area="numbers", state="ok", what="nothing is known to be wrong with them")
    codes = sorted({found.code for found in others if found.severity != "info"})
    return Check(
        area="numbers",
        state="warn",
        what=f"{_many(errors, 'error')} and {_many(warnings, 'warning')} about them: "
        + ", ".join(codes),
        next_step="`fillbook findings` says what each touches and what to do",
    )


def _many(count: int, noun: str) -> str:
    """Count things in words.

    >>> _many(1, "error"), _many(0, "warning")
    ('1 error', '0 warnings')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def marks_check(view: BookView, now_ns: int, is_watched: bool) -> Check:
    """Say whether open positions have a price, and a fresh one where somebody watches them."""
    rows = [row for row in positions(view, Query()) if row.strategy is None]
    if not rows:
        return Check(area="marks", state="ok", what="nothing is open that would need a price")
    within_ns = view.valuer.max_age_ns
    unknown = [row.instrument for row in rows if row.mark is None]
    old = [
        row.instrument
        for row in rows
        if row.mark_time is not None and now_ns - parse_ns(row.mark_time) > within_ns
    ]
    if unknown or (old and is_watched):
        few = ", ".join(sorted({*unknown, *(old if is_watched else ())})[:5])
        return Check(
            area="marks",
            state="warn",
            what=f"{len(unknown)} of {len(rows)} open positions have no price, "
            f"{len(old)} an old one: {few}",
            next_step="start the monitor, or import marks; [marks] max_age says how old is old",
        )
    what = f"all {len(rows)} open positions have a price" + (", an old one" if old else "")
    return Check(area="marks", state="ok", what=what)
