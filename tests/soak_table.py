"""The table at the end of `make soak`: what the kill runs of each venue came to, all seeds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

_COLUMNS = (
    *("seeds", "kills", "busy", "wanted", "had", "doubled", "lost", "bans", "late"),
    *("positions", "astray"),
)
_TITLES = {
    "busy": "amid pulls",
    "wanted": "facts wanted",
    "doubled": "duplicated",
    "lost": "lost without finding",
    "late": "found by deep read",
    "astray": "not the world's",
}


def runs_in(reports: Iterable[Any]) -> list[dict[str, Any]]:
    """Return the outcomes that tests left in their reports."""
    return [
        json.loads(text)
        for report in reports
        for name, text in getattr(report, "user_properties", ())
        if name == "kill run" and report.when == "call"
    ]


def table(runs: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines: one row a venue, then the faults that struck it, by kind."""
    sums: dict[str, Counter[str]] = {}
    faults: dict[str, Counter[str]] = {}
    for run in runs:
        sums.setdefault(run["venue"], Counter()).update({n: run[n] for n in _COLUMNS})
        faults.setdefault(run["venue"], Counter()).update(run["faults"])
    heads = [_TITLES.get(name, name) for name in _COLUMNS]
    yield "  ".join([f"{'venue':<12}", *heads, "faults struck"])
    for venue, counts in sorted(sums.items()):
        told = [f"{counts[n]:>{len(head)},}" for n, head in zip(_COLUMNS, heads, strict=True)]
        struck = f"{faults[venue].total():,} of {len(faults[venue])} kinds"
        yield "  ".join([f"{venue:<12}", *told, struck])
    for venue, struck_by in sorted(faults.items()):
        yield f"{venue}: " + ", ".join(f"{name} {n:,}" for name, n in sorted(struck_by.items()))
