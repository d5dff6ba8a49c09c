"""The metrics as Prometheus text, collected when asked from one finished Summary.

    exporter = Exporter("fillbook_", kept=Path("book.db.counters"))
    body, content_type = exporter.exposition(summary, health)

A counter shows what the ledger says plus what was ever taken back from it; the latter has a
counter of its own, `*_revised_total`. So both only rise, their difference is the ledger's figure,
and reading the same rows any number of times adds nothing. What was taken back is kept in a small
file beside the book, so a restart does not look like new costs.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from fillbook.analysis.digest import Summary
from fillbook.publish.counters import Counters
from fillbook.publish.figures import Sample, samples
from fillbook.publish.registry import BY_NAME, REGISTRY, Metric
from fillbook.sources.liveness import MonitorHealth

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class Exporter:
    """Writes the exposition; keep one per book, it remembers what its counters said.

    `prefix` goes before every name; `kept` is the file of what was taken back, None: in memory.
    """

    def __init__(self, prefix: str = "fillbook_", kept: Path | None = None) -> None:
        self._prefix = prefix
        self._counters = Counters(kept)
        self._lock = threading.Lock()

    def exposition(self, summary: Summary, health: MonitorHealth) -> tuple[bytes, str]:
        """Return the text and its content type."""
        with self._lock:
            told = list(self._counters.follow(summary.book_id, samples(summary, health)))
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collected(self._prefix, told))
        return generate_latest(registry), CONTENT_TYPE


def exposition(summary: Summary, health: MonitorHealth, prefix: str = "fillbook_") -> bytes:
    """Return the text of one moment, with nothing remembered from earlier ones."""
    return Exporter(prefix).exposition(summary, health)[0]


class _Collected(Collector):
    """What one scrape found, as prometheus_client wants it."""

    def __init__(self, prefix: str, told: Iterable[Sample]) -> None:
        self._prefix = prefix
        self._by_name: dict[str, list[Sample]] = {}
        for sample in told:
            self._by_name.setdefault(BY_NAME[sample.name].name, []).append(sample)

    def collect(self) -> Iterator[Family]:
        """Yield the families that have samples, in the order of the registry."""
        for metric in REGISTRY:
            if metric.name in self._by_name:
                yield self._family(metric, self._by_name[metric.name])

    def _family(self, metric: Metric, told: list[Sample]) -> Family:
        make = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        family = make(self._prefix + metric.name, metric.help, labels=metric.labels)
        for sample in told:
            family.add_metric(sample.labels, float(sample.value))
        return family
