"""A small HTTP server on loopback that misbehaves on request, and a clock that tests turn.

It speaks HTTP by hand, so that answers can be cut, dripped, stalled and broken at any byte. Any
request that its script does not expect is remembered and fails the test at the end.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query))

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """What to answer. `cut_at`: close after so many bytes of the body; `stall_s`: wait first."""

    body: bytes | str = b"[]"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    gzipped: bool = False
    cut_at: int | None = None
    chop: int = 0
    """So many bytes are missing at the end, and the length does not say so."""
    stall_s: float = 0.0
    drip_s: float = 0.0
    reset: bool = False


Script = Callable[[Seen], "Reply | None"]


class Loopback:
    """Serves a script; None from the script means: this request must not happen."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.seen: list[Seen] = []
        self.unexpected: list[Seen] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Loopback:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        if fault is None:
            assert not self.unexpected, f"must not be sent: {self.unexpected}"

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._exchange(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        seen = Seen(method, target, headers, body)
        self.seen.append(seen)
        reply = self.script(seen)
        if reply is None:
            self.unexpected.append(seen)
            reply = Reply(b'{"msg":"unexpected"}', status=400)
        await asyncio.sleep(reply.stall_s)
        if reply.reset:
            # Closing without lingering sends a reset instead of an orderly end.
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            if reply.cut_at is None:
                writer.transport.abort()
                return False
        return await self._send(writer, reply)

    async def _send(self, writer: asyncio.StreamWriter, reply: Reply) -> bool:
        content = reply.body.encode() if isinstance(reply.body, str) else reply.body
        headers = {"content-type": "application/json", **reply.headers}
        if reply.gzipped:
            content = gzip.compress(content)
            headers["content-encoding"] = "gzip"
        content = content[: len(content) - reply.chop]
        headers["content-length"] = str(len(content))
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {reply.status} said\r\n{head}\r\n".encode())
        sent = content if reply.cut_at is None else content[: reply.cut_at]
        if reply.drip_s:
            for byte in sent:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(reply.drip_s)
        else:
            writer.write(sent)
        await writer.drain()
        return reply.cut_at is None


class TestPace:
    """A clock that moves only when somebody rests on it, and dice that always show a half."""

    __test__ = False

    def __init__(self, now_ns: int = 1_800_000_000_000_000_000) -> None:
        self.start_ns = now_ns
        self.elapsed_ns = 0
        self.wrong_ns = 0
        self.rests: list[int] = []

    def now_ns(self) -> int:
        return self.start_ns + self.elapsed_ns + self.wrong_ns

    def ticks_ns(self) -> int:
        return self.elapsed_ns

    async def rest(self, wait_ns: int) -> None:
        self.rests.append(wait_ns)
        self.elapsed_ns += max(0, wait_ns)
        await asyncio.sleep(0)

    def dice(self) -> float:
        return 0.5
