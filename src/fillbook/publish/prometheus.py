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
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.utils import floatToGoString

from fillbook.analysis.digest import Summary
from fillbook.publish.counters import Counters
from fillbook.publish.figures import Sample, samples
from fillbook.publish.registry import REGISTRY, Metric
from fillbook.sources.liveness import MonitorHealth

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_IN_LABELS = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_IN_HELP = str.maketrans({"\\": r"\\", "\n": r"\n"})


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
        return text_of(told, self._prefix), CONTENT_TYPE


def exposition(summary: Summary, health: MonitorHealth, prefix: str = "fillbook_") -> bytes:
    """Return the text of one moment, with nothing remembered from earlier ones."""
    return Exporter(prefix).exposition(summary, health)[0]


def text_of(told: Iterable[Sample], prefix: str = "fillbook_") -> bytes:
    """Write samples as Prometheus text, the metrics that have some in the order of the registry.

    Byte for byte what prometheus_client writes, in a fifth of its time.
    """
    by_name: dict[str, list[Sample]] = {}
    for sample in told:
        by_name.setdefault(sample.name, []).append(sample)
    lines: list[str] = []
    for metric in REGISTRY:
        if metric.name in by_name:
            lines += _family(metric, by_name[metric.name], prefix)
    return "".join(lines).encode()


def _family(metric: Metric, told: Sequence[Sample], prefix: str) -> Iterator[str]:
    name = prefix + metric.name
    yield f"# HELP {name} {metric.help.translate(_IN_HELP)}\n"
    yield f"# TYPE {name} {metric.kind}\n"
    places = sorted(range(len(metric.labels)), key=metric.labels.__getitem__)
    opening = [f'{metric.labels[place]}="' for place in places]
    for sample in told:
        value: str = floatToGoString(float(sample.value))  # type: ignore[no-untyped-call]
        if not places:
            yield f"{name} {value}\n"
            continue
        labels = [
            f'{begun}{sample.labels[place].translate(_IN_LABELS)}"'
            for begun, place in zip(opening, places, strict=True)
        ]
        yield f"{name}{{{','.join(labels)}}} {value}\n"
