"""One monitor per book: a pid file that a living process holds, and the way to stop it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from types import TracebackType

import msgspec

from fillbook.ground.errors import UsageError

STOP_WITHIN_S = 10.0
_LOOK_S = 0.05


class Holder(msgspec.Struct, frozen=True):
    """Who holds a pid file: the process and when it started, in clock ticks since boot."""

    pid: int
    started: int
    book: str


def started_of(pid: int) -> int | None:
    """Return the start time of a living process in ticks since boot; None when it is gone.

    A pid alone may have been given to another program since; with its start time it is unique.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name may hold spaces and brackets; the fields are counted behind its last bracket.
    state, *fields = text[text.rindex(")") + 2 :].split()
    return None if state == "Z" else int(fields[18])


def holder_of(path: Path) -> Holder | None:
    """Return the living holder of a pid file; a left-behind file has none."""
    try:
        holder = msgspec.json.decode(path.read_bytes(), type=Holder)
    except (OSError, msgspec.DecodeError):
        return None
    return holder if started_of(holder.pid) == holder.started else None


class PidFile:
    """Holds the pid file of this process while the monitor runs. UsageError when another does."""

    def __init__(self, path: Path, book: Path) -> None:
        self._path = path
        self._book = book

    def __enter__(self) -> PidFile:
        holder = holder_of(self._path)
        if holder is not None:
            raise UsageError(
                f"a monitor is running already (process {holder.pid})",
                str(self._path),
                "stop it with `fillbook monitor stop`, or name another pid file in [monitor]",
            )
        own = Holder(os.getpid(), started_of(os.getpid()) or 0, str(self._book))
        fresh = self._path.with_name(f"{self._path.name}.{own.pid}")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(msgspec.json.encode(own))
        fresh.rename(self._path)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._path.unlink(missing_ok=True)


def stop_holder(path: Path, within_s: float = STOP_WITHIN_S) -> tuple[Holder, bool]:
    """Ask the running monitor to stop and wait; returns who it was and whether it is gone.

    UsageError when none runs.
    """
    holder = holder_of(path)
    if holder is None:
        raise UsageError("no monitor is running", str(path), "start one: `fillbook monitor start`")
    os.kill(holder.pid, signal.SIGTERM)
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if started_of(holder.pid) != holder.started:
            return holder, True
        time.sleep(_LOOK_S)
    return holder, False
