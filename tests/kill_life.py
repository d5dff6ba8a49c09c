"""Starts monitors that can be killed: imports once, then forks one life after the other.

Run as a program: `kill_life.py FOLDER`. It reads lines from standard input and answers each with
one: "start" forks a monitor of the folder's fillbook.toml, "kill" ends it with SIGKILL, "stop"
with SIGTERM; the answer is its process, or how it ended.
"""

from __future__ import annotations

import mmap
import os
import signal
import sys
from pathlib import Path

from fillbook.cli import monitored
from fillbook.cli.opening import find
from fillbook.ground.clock import SECOND_NS
from fillbook.ledger.kernel import compiled_fold, compiled_snapshot
from fillbook.sim.clock import SimClock, SimPace
from fillbook.sources.attach import Tools
from fillbook.sources.binance import live as _binance  # noqa: F401 (found by name later)
from fillbook.sources.coinbase import live as _coinbase  # noqa: F401
from fillbook.sources.hyperliquid import live as _hyperliquid  # noqa: F401
from fillbook.sources.transport import Patience

CLOCK, SAID = "clock", "said.txt"
# Real time. The venue ends its own stalls sooner, so that a busy machine is not taken for one.
PATIENCE = Patience(
    connect_ns=5 * SECOND_NS,
    silence_ns=5 * SECOND_NS,
    whole_ns=10 * SECOND_NS,
    first_wait_ns=SECOND_NS,
)


class SharedClock(SimClock):
    """A stepped clock in a file, so that it is one clock for several processes.

    Only the process that made it may step it.
    """

    def __init__(self, path: Path, start_ns: int | None = None) -> None:
        super().__init__(start_ns or 0)
        if start_ns is not None:
            path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            # One aligned word: it is read and written whole.
            self._word = memoryview(mmap.mmap(file.fileno(), 8)).cast("q")
        if start_ns is not None:
            self._word[0] = start_ns

    def now_ns(self) -> int:
        return self._word[0]

    def step(self, by_ns: int) -> int:
        self._word[0] += by_ns
        return self._word[0]

    def step_to(self, at_ns: int) -> int:
        self._word[0] = max(at_ns, self._word[0])
        return self._word[0]


def live(folder: Path) -> int:
    """Be a monitor until the end; return the exit status."""
    pace = SimPace(SharedClock(folder / CLOCK), os.getpid())
    return monitored.watch(find(None), Tools(pace, environ={}, patience=PATIENCE))


def forked(folder: Path) -> int:
    """Fork a life and return its process."""
    if len([*Path("/proc/self/task").iterdir()]) != 1:
        raise RuntimeError("a fork beside other threads may take their locks along")
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        said = os.open(folder / SAID, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(said, 1)
        os.dup2(said, 2)
        status = live(folder)
    except BaseException:  # it must end here, whatever it is
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def main() -> None:
    folder = Path(sys.argv[1])
    os.chdir(folder)
    # No life has to load compiled code.
    compiled_fold()
    compiled_snapshot()
    print("ready", flush=True)
    pid = 0
    for line in sys.stdin:
        word = line.strip()
        if word == "start":
            pid = forked(folder)
            print(pid, flush=True)
            continue
        # Not reaped until now, so the number is still its own.
        os.kill(pid, signal.SIGKILL if word == "kill" else signal.SIGTERM)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
        pid = 0
    if pid:  # whoever asked is gone
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
