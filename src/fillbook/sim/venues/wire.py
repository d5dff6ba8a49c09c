"""The wire of a simulated venue: one loopback port, one thread, and the ways to break a reply."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import uvicorn
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

HOST = "127.0.0.1"
_DRIPS = 12
_JOIN_S = 10.0
T = TypeVar("T")


class Wire:
    """Serves an application on a free loopback port from a thread of its own, until stopped.

    `beside` runs next to the server, in its event loop. `refuses` is asked about every new
    connection; one that it refuses is reset.
    """

    def __init__(
        self,
        app: ASGIApp,
        beside: Callable[[], Coroutine[Any, Any, None]],
        refuses: Callable[[], bool],
    ) -> None:
        self._app = app
        self._beside = beside
        self._refuses = refuses
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        self.port = 0

    def up(self) -> None:
        """Open the port: the same one again after `down`. Returns once it answers."""
        if self._thread is not None:
            return
        # Told to be TCP, or else the event loop leaves small packets to wait for each other.
        door = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind((HOST, self.port))
        door.listen(128)
        self.port = door.getsockname()[1]
        config = uvicorn.Config(
            self._app,
            http=_door_class(self._refuses),
            ws="websockets-sansio",
            loop="asyncio",
            interface="asgi3",
            lifespan="off",
            proxy_headers=False,
            log_config=None,
            log_level="critical",
            access_log=False,
            date_header=False,
            server_header=False,
            ws_ping_interval=None,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._ready.clear()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(door)), name="sim-venue", daemon=True
        )
        self._thread.start()
        self._ready.wait(_JOIN_S)

    def down(self) -> None:
        """Close the port and every connection; nobody listens until `up`."""
        if self._thread is None or self._server is None:
            return
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(_JOIN_S)
        self._thread = self._server = self._loop = None

    def run(self, task: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the server's loop and return its result."""
        if self._loop is None:
            task.close()
            raise RuntimeError("the venue is not running")
        return asyncio.run_coroutine_threadsafe(task, self._loop).result(_JOIN_S)

    async def _serve(self, door: socket.socket) -> None:
        assert self._server is not None
        self._loop = asyncio.get_running_loop()
        beside = asyncio.create_task(self._beside())
        serving = asyncio.create_task(self._server.serve(sockets=[door]))
        while not self._server.started and not serving.done():
            await asyncio.sleep(0.002)
        self._ready.set()
        server = self._server
        await serving
        # A forced exit leaves connections to the garbage collector, and clients waiting.
        for connection in list(server.server_state.connections):
            if (transport := getattr(connection, "transport", None)) is not None:
                transport.abort()
        await asyncio.sleep(0)
        beside.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beside


def _door_class(refuses: Callable[[], bool]) -> type[H11Protocol]:
    class Door(H11Protocol):
        """Resets a connection that is refused, and lets its requests reach their transport."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            self.app_state = {**self.app_state, "transport": transport}
            super().connection_made(transport)
            if refuses():
                cut(transport)

    return Door


def cut(transport: asyncio.Transport) -> None:
    """Reset a connection: no more bytes, no closing handshake."""
    plug = transport.get_extra_info("socket")
    if plug is not None:
        with contextlib.suppress(OSError):
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class Reset(Response):
    """Sends the head and half of the body, then resets the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        half = bytes(self.body[: len(self.body) // 2])
        await send({"type": "http.response.body", "body": half, "more_body": True})
        # Let the half arrive before the reset overtakes it.
        await asyncio.sleep(0.01)
        cut(scope["state"]["transport"])


class Silence(Response):
    """Answers nothing for so many real seconds, then resets the connection."""

    def __init__(self, for_s: float) -> None:
        super().__init__()
        self._for_s = for_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(self._for_s)
        cut(scope["state"]["transport"])


class Drip(Response):
    """Sends the body in small parts, spread over so many real seconds."""

    def __init__(self, answer: Response, over_s: float) -> None:
        super().__init__(bytes(answer.body), answer.status_code)
        self.raw_headers = answer.raw_headers
        self._over_s = over_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        size = max(1, -(-len(self.body) // _DRIPS))
        for start in range(0, len(self.body), size):
            await asyncio.sleep(self._over_s / _DRIPS)
            part = bytes(self.body[start : start + size])
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
