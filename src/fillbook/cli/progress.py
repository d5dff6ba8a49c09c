"""A progress bar on standard error, only on a terminal and only when it is worth it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

Report = Callable[[int, int | None], None]
_PATIENCE_SECONDS = 1.0


@contextmanager
def progress(title: str, *, bytes_of: bool = False) -> Iterator[Report]:
    """Yield `report(done, total)`; a bar appears once the work has taken longer than a second.

    Counts are rows, or bytes with `bytes_of`. To a pipe it shows nothing, so that logs and
    scripts stay clean.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TransferSpeedColumn,
    )

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=32),
        DownloadColumn() if bytes_of else MofNCompleteColumn(),
        TransferSpeedColumn() if bytes_of else TextColumn("{task.fields[rate]}"),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task(title, total=None, rate="")
    started = monotonic()

    def report(done: int, total: int | None) -> None:
        elapsed = monotonic() - started
        if elapsed < _PATIENCE_SECONDS:
            return
        if not bar.live.is_started:
            bar.start()
        bar.update(task, completed=done, total=total, rate=f"{done / elapsed:,.0f}/s")

    try:
        yield report
    finally:
        if bar.live.is_started:
            bar.stop()
