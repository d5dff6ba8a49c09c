"""One HTTP server inside the monitor's event loop; signals stay with the monitor."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from fillbook.ground.errors import UsageError

_CLOSE_WITHIN_S = 1


class _Server(uvicorn.Server):
    """Leaves the signals of the program alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture nothing."""
        yield


class Serving:
    """Binds a port at once and serves an application on it; `url` is where."""

    def __init__(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._door = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._door.bind((host, port))
            self._door.listen(128)
        except OSError as fault:
            self._door.close()
            raise UsageError(
                f"the monitor cannot listen on {host} port {port}: {fault.strerror}",
                "[monitor] host, port",
                "choose another port (0 lets the system choose), or end what uses this one",
            ) from None
        bound = self._door.getsockname()[1]
        self.url = f"http://[{host}]:{bound}" if ":" in host else f"http://{host}:{bound}"
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, app: ASGIApp) -> None:
        """Serve from now on."""
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_CLOSE_WITHIN_S,
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[self._door]))

    async def stop(self) -> None:
        """Stop serving; what is being answered is finished within a second."""
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await asyncio.wait([self._task], timeout=_CLOSE_WITHIN_S + 1)
        self._door.close()
