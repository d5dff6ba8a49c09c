"""One monitor per book: a locked file names the running one, and its last words stay behind."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from pathlib import Path
from types import TracebackType

import msgspec

from fillbook.ground.errors import UsageError

STOP_WITHIN_S = 10.0
_LOOK_S = 0.05
_KILLED_WITHIN_S = 5.0


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a pid file: the process, when it started (clock ticks since boot), where it is.

    `url` is where its health and metrics are served.
    """

    pid: int
    started: int
    book: str
    url: str = ""


class Farewell(msgspec.Struct, frozen=True, kw_only=True):
    """What a monitor said last: how many writes still waited and are in the book now.

    `is_written` is False when time was too short; what is missing is pulled again at the next
    start. `still_open` names the trades that were open, which stay open in the book.
    """

    pid: int
    started: int
    drained: int
    is_written: bool
    seq: int
    still_open: tuple[str, ...]
    fault: str = ""

    def lines(self) -> list[str]:
        """Return it as lines for people.

        >>> Farewell(pid=1, started=1, drained=2, is_written=True, seq=7,
        ...          still_open=("BTC_LONG",)).lines()
        ['✓ Monitor stopped: 2 waiting writes drained, the book is at seq 7', \
'  still open, and not closed by this: BTC_LONG']
        """
        drained = f"{self.drained} waiting write{'' if self.drained == 1 else 's'} drained"
        lines = [f"✓ Monitor stopped: {drained}, the book is at seq {self.seq:,}"]
        if not self.is_written:
            lines.append("  not all of it was written in time; the next start pulls the rest again")
        lines += [f"  still open, and not closed by this: {name}" for name in self.still_open]
        return lines + ([f"✗ {self.fault}"] if self.fault else [])


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """How stopping went: `farewell` is None where the monitor said nothing (it was killed)."""

    holder: Holder
    is_gone: bool
    was_forced: bool
    farewell: Farewell | None


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


def killed(path: Path) -> Holder | None:
    """Return the last holder of a pid file where it ended without a word: killed, or a power cut.

    One that stops in order, also by a fault, empties the file.
    """
    try:
        holder = msgspec.json.decode(path.read_bytes(), type=Holder)
    except (OSError, msgspec.DecodeError):
        return None
    return None if started_of(holder.pid) == holder.started else holder


class PidFile:
    """Holds the pid file of this process while the monitor runs. UsageError when another does.

    The lock on it ends with the process, however that ends.
    """

    def __init__(self, path: Path, book: Path) -> None:
        self._path = path
        self._book = book
        self._file = -1
        self.own = Holder(
            pid=os.getpid(), started=started_of(os.getpid()) or 0, book=str(book.resolve())
        )

    def __enter__(self) -> PidFile:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            holder = holder_of(self._path)
            who = f" (process {holder.pid})" if holder else ""
            raise UsageError(
                f"a monitor is running already{who}",
                str(self._path),
                "stop it with `fillbook monitor stop`, or name another pid file in [monitor]",
            ) from None
        _last_words(self._path).unlink(missing_ok=True)
        self._write(msgspec.json.encode(self.own))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The file stays: removing it could take away the lock of one that starts just now.
        self._write(b"")
        os.close(self._file)

    def serves(self, url: str) -> None:
        """Say where this monitor's health and metrics are."""
        self.own = msgspec.structs.replace(self.own, url=url)
        self._write(msgspec.json.encode(self.own))

    def leave(self, farewell: Farewell) -> None:
        """Leave last words for whoever asked this monitor to stop."""
        draft = self._path.with_name(f".{self._path.name}.{self.own.pid}")
        draft.write_bytes(msgspec.json.encode(farewell))
        draft.replace(_last_words(self._path))

    def _write(self, content: bytes) -> None:
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, content, 0)


def last_words(path: Path) -> Farewell | None:
    """Return what the last monitor said when it stopped; None where it said nothing."""
    try:
        return msgspec.json.decode(_last_words(path).read_bytes(), type=Farewell)
    except (OSError, msgspec.DecodeError):
        return None


def stop_holder(path: Path, within_s: float = STOP_WITHIN_S) -> Stopped:
    """Ask the running monitor to stop, and end it when it does not; UsageError when none runs.

    Ending it by force harms nothing: what is not in the book is pulled again.
    """
    holder = holder_of(path)
    if holder is None:
        raise UsageError("no monitor is running", str(path), "start one: `fillbook monitor start`")
    _send(holder, signal.SIGTERM)
    was_forced = not _is_gone(holder, within_s)
    if was_forced:
        _send(holder, signal.SIGKILL)
    is_gone = _is_gone(holder, _KILLED_WITHIN_S)
    return Stopped(
        holder=holder,
        is_gone=is_gone,
        was_forced=was_forced,
        farewell=_farewell_of(path, holder),
    )


def _send(holder: Holder, which: signal.Signals) -> None:
    if started_of(holder.pid) == holder.started:
        os.kill(holder.pid, which)


def _is_gone(holder: Holder, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while started_of(holder.pid) == holder.started:
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOOK_S)
    return True


def _last_words(path: Path) -> Path:
    return path.with_name(f"{path.name}.last")


def _farewell_of(path: Path, holder: Holder) -> Farewell | None:
    farewell = last_words(path)
    is_his = farewell and (farewell.pid, farewell.started) == (holder.pid, holder.started)
    return farewell if is_his else None
