"""What a bot imports to tell Fillbook what venues do not know: why it trades.

    from fillbook.client import Client

    book = Client(token="…", venue="hyperliquid", account="swing", spool="fillbook-spool")
    book.decision("d-17", "BTC", "buy", decision_px="50000.1", strategy="fade")
    book.order("placed", "BTC", client_order_id="mm-7", side="buy", expected_px="50000.2",
               decision_id="d-17")

Every call returns at once: it puts a line into a bounded queue that a thread empties. While the
monitor is away lines are kept in the folder `spool`, and sent when it is back; sending one twice
is harmless. Nothing here raises into the bot, whatever happens; `Client.counts` says what became
of its lines, and what is wrong is logged under `fillbook.client`.
"""

from __future__ import annotations

import atexit
import http.client
import logging
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from fillbook.journal.spool import Spool

URL = "http://127.0.0.1:9464"
PATH = "/api/v1/facts"
CAPACITY = 10_000
_AT_ONCE = 500
_BODY_BYTES = 1 << 20
_GATHER_S = 0.05
_LONGEST_GATHER_S = 0.5
_ANSWER_S = 5.0
_LONGEST_PAUSE_S = 30.0
# Less than this before the end of a close, no request is begun.
_LAST_MOMENT_S = 0.1

_log = logging.getLogger("fillbook.client")


class Counts(msgspec.Struct):
    """What became of the lines so far; `dropped` found no room in the queue or on disk."""

    told: int = 0
    sent: int = 0
    spooled: int = 0
    refused: int = 0
    dropped: int = 0


class Client:
    """Tells one monitor; safe to call from any thread. Close it, or use it in `with`.

    `venue` and `account` go with every line that names none; `account` may be the label of an
    attached account. `spool` is a folder of its own; without one, lines wait in memory only.
    """

    def __init__(
        self,
        url: str = URL,
        token: str = "",
        *,
        venue: str | None = None,
        account: str | None = None,
        spool: str | Path | None = None,
        capacity: int = CAPACITY,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.counts = Counts()
        self._url = url
        self._token = token
        self._place = {"venue": venue, "account": account}
        self._clock = clock
        self._capacity = capacity
        self._folder = None if spool is None else Path(spool)
        self._complained: set[str] = set()
        self._begin()
        atexit.register(self.close, 1.0)

    def _begin(self) -> None:
        """Make a queue and its thread; a forked child has neither, only locks nobody opens."""
        self._program = os.getpid()
        self._queue: queue.Queue[bytes] = queue.Queue(self._capacity)
        self._spool = None if self._folder is None else Spool(self._folder)
        self._stop = threading.Event()
        self._until_s = float("inf")
        self._pause_s = self._again_s = 0.0
        self._asked: http.client.HTTPConnection | None = None
        self._thread = threading.Thread(target=self._run, name="fillbook", daemon=True)
        self._thread.start()

    # -- what a bot says -------------------------------------------------------------------

    def decision(self, decision_id: str, instrument: str, action: str, **more: Any) -> None:
        """Tell a decision: buy, sell or hold, with the prices it saw (decision_px, mid_px…)."""
        self.tell("decision", decision_id=decision_id, instrument=instrument, action=action, **more)

    def vote(self, decision_id: str, agent: str, signal: str, **more: Any) -> None:
        """Tell one agent's opinion inside a decision."""
        self.tell("vote", decision_id=decision_id, agent=agent, signal=signal, **more)

    def order(self, status: str, instrument: str, **more: Any) -> None:
        """Tell a change in the life of an order: placed, filled, cancelled…; it needs an id."""
        self.tell("order", status=status, instrument=instrument, **more)

    def assignment(self, strategy: str, **more: Any) -> None:
        """Tell which strategy an order or a fill belongs to, now or long afterwards."""
        self.tell("assignment", strategy=strategy, **more)

    def tell(self, kind: str, **fields: Any) -> None:
        """Tell any fact of the schema; `time` is now unless given. Never raises."""
        try:
            line = self._line(kind, fields)
            if self._program != os.getpid():
                self._begin()
            self.counts.told += 1
            self._queue.put_nowait(line)
        except queue.Full:
            self.counts.dropped += 1
            self._complain("the queue is full: lines are dropped")
        except Exception as fault:  # a bot is never harmed by what it says about itself
            self.counts.dropped += 1
            self._complain(f"a line cannot be written: {type(fault).__name__}: {fault}")

    def close(self, timeout_s: float = 2.0) -> bool:
        """Send or spool what waits and stop; returns whether that was done in time."""
        if self._program != os.getpid():
            return True
        try:
            self._until_s = min(self._until_s, time.monotonic() + timeout_s)
            self._stop.set()
            self._thread.join(timeout_s / 2)
            # A server that says nothing must not cost the lines it was sent.
            asked = self._asked
            if asked is not None and asked.sock is not None:
                asked.sock.shutdown(socket.SHUT_RDWR)
            self._thread.join(timeout_s / 2)
            atexit.unregister(self.close)
        except Exception as fault:  # a bot is never harmed by what it says about itself
            self._complain(f"closing failed: {type(fault).__name__}")
        return not self._thread.is_alive()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _line(self, kind: str, fields: dict[str, Any]) -> bytes:
        told: dict[str, Any] = {name: at for name, at in self._place.items() if at is not None}
        told |= {"kind": kind, "time": self._clock()}
        told |= {name: _plain(value) for name, value in fields.items() if value is not None}
        return msgspec.json.encode(told)

    # -- the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            self._step(self._gathered())
        # One last time for whatever is left, then nothing is waited for.
        while lines := self._gathered():
            self._step(lines)
        if self._spool is not None:
            self._guarded(self._send_last)
            self._guarded(self._spool.seal)

    def _step(self, lines: list[bytes]) -> None:
        self._guarded(lambda: self._deliver(lines))

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as fault:  # the thread must outlive whatever a disk or a server does
            self._complain(f"{type(fault).__name__}: {fault}")

    def _gathered(self) -> list[bytes]:
        """Return lines that wait, at most so many and so long; empty after a short while."""
        lines: list[bytes] = []
        size = 0
        until_s = time.monotonic() + _LONGEST_GATHER_S
        try:
            while len(lines) < _AT_ONCE and size < _BODY_BYTES:
                is_late = self._stop.is_set() or time.monotonic() >= until_s
                wait_s = 0.0 if is_late else _GATHER_S
                lines.append(self._queue.get(timeout=wait_s) if wait_s else self._queue.get(False))
                size += len(lines[-1])
        except queue.Empty:
            pass
        return lines

    def _deliver(self, lines: list[bytes]) -> None:
        has_old = self._spool is not None and not self._spool.is_empty()
        if not lines and not has_old:
            return
        if time.monotonic() < self._again_s and not (self._spool is None and self._stop.is_set()):
            self._keep(lines)
            return
        old_ones_wait = (
            has_old and not self._stop.is_set() and not self._send_spooled(self._stop.is_set)
        )
        if old_ones_wait or (lines and not self._sent(lines)):
            self._keep(lines)

    def _send_last(self) -> None:
        """Send what a run before this one kept: a bot that ends at once has no other moment."""
        if time.monotonic() >= self._again_s:
            self._send_spooled(lambda: time.monotonic() >= self._until_s - _LAST_MOMENT_S)

    def _send_spooled(self, is_late: Callable[[], bool]) -> bool:
        assert self._spool is not None
        for file in self._spool.waiting():
            for start in range(0, len(file.lines), _AT_ONCE):
                if is_late() or not self._sent(file.lines[start : start + _AT_ONCE]):
                    return False
            file.done()
        return True

    def _keep(self, lines: list[bytes]) -> None:
        """Keep lines that cannot be sent now: on disk, else in the queue while there is room."""
        if not lines:
            return
        if self._spool is not None:
            try:
                kept = self._spool.add(lines)
            except OSError as fault:
                self._complain(f"the spool cannot be written: {fault.strerror}")
                kept = 0
            self.counts.spooled += kept
            self._drop(len(lines) - kept)
            return
        if self._stop.is_set():
            self._drop(len(lines))
            return
        for place, line in enumerate(lines):
            try:
                self._queue.put_nowait(line)
            except queue.Full:
                self._drop(len(lines) - place)
                break
        self._stop.wait(_GATHER_S)

    def _drop(self, count: int) -> None:
        self.counts.dropped += count
        if count:
            self._complain("lines were dropped: the monitor is away and there is no room")

    def _sent(self, lines: Sequence[bytes]) -> bool:
        """Post lines; False when the monitor cannot take them now."""
        try:
            status, body = self._post(b"\n".join(lines))
        except (OSError, ValueError, http.client.HTTPException) as fault:
            self._rest(f"the monitor is away: {type(fault).__name__}")
            return False
        if status == 200:
            return self._answered(body, len(lines))
        if status in (413, 422):
            self.counts.refused += len(lines)
            self._complain(f"the monitor refuses the lines ({status}): {body[:200]!r}")
            return True
        self._rest(f"the monitor answers {status}: {body[:200]!r}")
        return False

    def _answered(self, body: bytes, count: int) -> bool:
        try:
            answer = msgspec.json.decode(body, type=_Answer)
        except msgspec.DecodeError:
            self._rest("something answers there that is not the monitor")
            return False
        self._pause_s = 0.0
        self.counts.sent += answer.accepted
        self.counts.refused += count - answer.accepted
        for one in answer.rejected:
            self._complain(f"a line was refused: {one.field}: {one.reason}")
        return True

    def _post(self, body: bytes) -> tuple[int, bytes]:
        left_s = max(0.05, min(_ANSWER_S, (self._until_s - time.monotonic()) / 2))
        url = urlsplit(self._url)
        secure = url.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        line = kind(url.hostname or "", url.port, timeout=left_s)
        self._asked = line
        try:
            headers = {
                "Authorization": f"Bearer {self._token}",
                "Content-Type": "application/x-ndjson",
            }
            line.request("POST", url.path.rstrip("/") + PATH, body, headers)
            answer = line.getresponse()
            return answer.status, answer.read(_BODY_BYTES)
        finally:
            self._asked = None
            line.close()

    def _rest(self, why: str) -> None:
        self._complain(why)
        self._pause_s = min(_LONGEST_PAUSE_S, self._pause_s * 2 or 0.5)
        self._again_s = time.monotonic() + self._pause_s

    def _complain(self, what: str) -> None:
        """Log each complaint once."""
        if what not in self._complained and len(self._complained) < 100:
            self._complained.add(what)
            _log.warning("%s", what)


class _Refusal(msgspec.Struct):
    field: str | None = None
    reason: str = ""


class _Answer(msgspec.Struct):
    accepted: int
    rejected: list[_Refusal] = []


def _plain(value: Any) -> Any:
    """Write a number by its digits; a float as Python prints it."""
    if isinstance(value, bool | str | int):
        return value
    return str(value) if isinstance(value, Decimal) else repr(value)
