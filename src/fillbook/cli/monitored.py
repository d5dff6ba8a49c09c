"""`fillbook monitor start` and `stop`: the program around the monitor."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from pathlib import Path

import msgspec

from fillbook.cli.opening import Place, find
from fillbook.cli.page import print_json
from fillbook.ground.errors import ConfigError, FillbookError, UsageError
from fillbook.monitor.app import Metrics
from fillbook.monitor.hook import webhook_folder, webhook_of
from fillbook.monitor.logs import close_log, open_log
from fillbook.monitor.pidfile import Farewell, Holder, PidFile, holder_of, stop_holder
from fillbook.monitor.service import Monitor
from fillbook.monitor.still import keep_still
from fillbook.monitor.token import push_token
from fillbook.publish.counters import counters_path
from fillbook.publish.prometheus import Exporter
from fillbook.sources.attach import Tools
from fillbook.sources.liveness import MonitorHealth
from fillbook.sources.redact import EVERYWHERE

_log = logging.getLogger("fillbook.monitor")


def pid_path(place: Place) -> Path:
    """Return where the pid file of a book's monitor is; a relative name is beside the book."""
    return place.book.parent / place.settings.monitor.pid_file


def holder_for(place: Place) -> Holder | None:
    """Return the running monitor of a book, None where none runs.

    UsageError where the pid file is held for another book: books of one folder share its name.
    """
    holder = holder_of(pid_path(place))
    if holder is not None and holder.book != str(place.book.resolve()):
        raise UsageError(
            f"the monitor that runs here (process {holder.pid}) is that of another book",
            holder.book,
            "name that book with --book, or give each its own pid_file in [monitor]",
        )
    return holder


def run_monitor(book: Path | None, port: int | None) -> int:
    """Run the monitor until it is told to stop; return the exit status."""
    return watch(_placed(find(book), port))


def watch(place: Place, tools: Tools | None = None) -> int:
    """Run the monitor of a place until it is told to stop; return the exit status.

    `tools` bring another clock, as the demo does.
    """
    say("🔍 Starting Live Trade Monitor\n")
    with PidFile(pid_path(place), place.book) as pid_file:
        log = open_log(place.book.parent / place.settings.monitor.log_dir)
        try:
            farewell = asyncio.run(_run(place, pid_file, tools))
        except FillbookError as fault:
            _log.error("%s", fault)
            raise
        finally:
            close_log(log)
    for line in farewell.lines():
        say(line)
    return 1 if farewell.fault else 0


def stop_monitor(book: Path | None, json: bool) -> None:
    """Stop the monitor of a book and say how it ended."""
    place = find(book)
    holder_for(place)
    stopped = stop_holder(pid_path(place))
    if json:
        print_json(stopped)
        return
    for line in stopped.farewell.lines() if stopped.farewell else ():
        print(line)
    if stopped.was_forced:
        print("✓ Monitor ended by force: it did not stop in 10 s; the book is unharmed")
    elif stopped.farewell is None:
        print(f"✓ Monitor stopped (process {stopped.holder.pid})")


def say(line: str) -> None:
    """Print a line at once, cleaned of secrets, and log it; a closed terminal stops nothing."""
    clean = EVERYWHERE.clean(line)
    if clean.strip():
        _log.info("%s", clean.strip())
    with contextlib.suppress(OSError, ValueError):
        print(clean, flush=True)


async def _run(place: Place, pid_file: PidFile, tools: Tools | None) -> Farewell:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for which in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(which, stop.set)
    webhook = webhook_of(place.settings.monitor, os.environ, webhook_folder(place.book))
    monitor = Monitor(place.book, place.settings, place.book.parent, say, tools, webhook)
    if webhook is not None:
        say(f"  Finished trades are posted to {webhook.name}")
    token = push_token(place.settings.monitor, os.environ)
    metrics = _metrics_of(monitor, place)
    running = asyncio.create_task(monitor.run(stop, pid_file, metrics=metrics, token=token))
    still = asyncio.create_task(keep_still(lambda: _rows_of(monitor)))
    await asyncio.wait([running], timeout=0.5)
    if not running.done():
        say("\nMonitor is running (Ctrl+C or `fillbook monitor stop` ends it).")
        say("Use `fillbook monitor status` to check status\n")
    await asyncio.wait([running, asyncio.create_task(stop.wait())], return_when="FIRST_COMPLETED")
    if not running.done():
        say("\nStopping the monitor…")
    still.cancel()
    return await running


def _rows_of(monitor: Monitor) -> int:
    return monitor.watch.summary.seq if monitor.watch.summary else 0


def _metrics_of(monitor: Monitor, place: Place) -> Metrics:
    """Return what writes the exposition; it is asked once there is a summary."""
    exporter = Exporter(place.settings.metrics.prefix, counters_path(place.book))

    def metrics(health: MonitorHealth) -> tuple[bytes, str]:
        assert monitor.watch.summary is not None
        return exporter.exposition(monitor.watch.summary, health)

    return metrics


def _placed(place: Place, port: int | None) -> Place:
    """Check where everything would go, and take the port that was asked for."""
    if sys.stdout is not None and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    try:
        place.book.parent.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise ConfigError(
            f"nothing can be written here: {fault.strerror}",
            str(place.book.parent),
            "choose another folder with --book PATH",
        ) from fault
    if port is None:
        return place
    monitor = msgspec.structs.replace(place.settings.monitor, port=port)
    return Place(place.book, msgspec.structs.replace(place.settings, monitor=monitor))
