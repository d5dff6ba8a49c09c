"""/metrics at ten thousand series, beside prometheus_client writing as many gauges of its own."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import msgspec
from bench.books import START_NS, STEP_NS, write_book
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from fillbook.analysis.digest import Summary, digest
from fillbook.analysis.summary import load
from fillbook.ground.settings import Settings
from fillbook.journal.store import Journal
from fillbook.publish.prometheus import Exporter
from fillbook.sources.liveness import MonitorHealth

SERIES, FILLS, ROUNDS, LABELLED = 10_000, 2_000, 15, 25


def run() -> Iterator[tuple[str, str, str]]:
    """Yield the time of a scrape and of its rival, taking turns; a few seconds."""
    with tempfile.TemporaryDirectory(prefix="fillbook-bench-") as name:
        summary = _summary(Path(name, "book.db"))
        health = MonitorHealth(
            status="ok",
            reasons=(),
            at_ns=summary.at_ns,
            started_ns=START_NS,
            seq=summary.seq,
            head=summary.head,
            summary_ns=summary.at_ns,
            journal_waiting=0,
            tracked=0,
            pending=0,
            accounts=(),
        )
        exporter = Exporter(kept=Path(name, "counters"))
        one = _count(exporter.exposition(_crowded(summary, 1), health)[0])
        two = _count(exporter.exposition(_crowded(summary, 2), health)[0])
        crowd = _crowded(summary, -(-(SERIES - one) // (two - one)) + 1)
        count = _count(exporter.exposition(crowd, health)[0])
        rival = _gauges(count)
        ours, theirs = [], []
        for _ in range(ROUNDS):
            theirs.append(_timed(lambda: generate_latest(rival)))
            ours.append(_timed(lambda: exporter.exposition(crowd, health)))
    ratio = median(o / t for o, t in zip(ours, theirs, strict=True))
    yield "prometheus_client", f"{median(theirs) * 1e3:.0f} ms", f"{count:,} gauges"
    yield "/metrics", f"{median(ours) * 1e3:.0f} ms", f"{count:,} series, {ratio:.2f}x of it"


def _summary(path: Path) -> Summary:
    write_book(path, FILLS)
    until_ns = START_NS + FILLS * STEP_NS
    with Journal.open(path, readonly=True) as journal:
        return digest(load(journal, None, Settings()), until_ns, START_NS)


def _crowded(summary: Summary, accounts: int) -> Summary:
    """Return a summary in which every account of a book stands so many times."""

    def times(rows: tuple[object, ...]) -> tuple[object, ...]:
        return tuple(
            msgspec.structs.replace(row, account=f"{row.account}{nth}")  # type: ignore[attr-defined, type-var]
            for nth in range(accounts)
            for row in rows
        )

    return msgspec.structs.replace(
        summary,
        records=times(summary.records),
        window_records={name: times(rows) for name, rows in summary.window_records.items()},
        fees=times(summary.fees),
        orders=times(summary.orders),
    )


def _gauges(count: int) -> CollectorRegistry:
    registry = CollectorRegistry()
    for nth in range(LABELLED):
        gauge = Gauge(f"gauge_{nth}", "help", ["account", "currency"], registry=registry)
        for account in range(count // LABELLED):
            gauge.labels(f"account{account}", "USD").set(account * 1.5)
    return registry


def _count(body: bytes) -> int:
    return sum(not line.startswith(b"#") for line in body.splitlines())


def _timed(work: Callable[[], object]) -> float:
    begun_s = time.perf_counter()
    work()
    return time.perf_counter() - begun_s
