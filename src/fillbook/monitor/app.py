"""The monitor's HTTP face: health, metrics, and the way in for what bots push.

It listens on this machine only unless told otherwise. What it shows is a finished Summary; nothing
is computed on request but the text.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from fillbook.ground.errors import FillbookError, InputError
from fillbook.sources.liveness import MonitorHealth
from fillbook.sources.reads import is_loopback

MOST_BODY = 8 << 20
# What is compared is cut at the first colon: "[" is what is left of an IPv6 address.
_LOOPBACK = ("127.0.0.1", "localhost", "[")

Metrics = Callable[[MonitorHealth], tuple[bytes, str]]
"""Returns the exposition text and its content type; called in a thread of its own."""

Push = Callable[[bytes], Awaitable[object]]
"""Takes a body of JSON lines and returns what to answer; InputError for one that is refused."""


class Doors:
    """What the routes need, handed in by whoever runs the monitor.

    `metrics` and `push` are None where that part is not offered; `token` is what bots present.
    """

    def __init__(
        self,
        health: Callable[[], MonitorHealth],
        metrics: Metrics | None = None,
        push: Push | None = None,
        token: str | None = None,
    ) -> None:
        self.health = health
        self.metrics = metrics
        self.push = push
        self.token = token

    async def healthz(self, request: Request) -> Response:
        """Answer 200 when all is well, else 503; the body says how everything is doing."""
        health = self.health()
        return _json(health, 200 if health.status == "ok" else 503)

    async def exposition(self, request: Request) -> Response:
        """Answer with the metrics as Prometheus text; 503 until the book is folded once."""
        health = self.health()
        if self.metrics is None or health.summary_ns is None:
            return _json({"error": "there are no metrics yet"}, 503)
        # Thousands of series take a while to write, and pulls wait on this loop.
        body, kind = await asyncio.to_thread(self.metrics, health)
        return Response(body, headers={"Content-Type": kind})

    async def facts(self, request: Request) -> Response:
        """Take facts from a bot: JSON lines, with the token as `Authorization: Bearer`."""
        if self.push is None or not self.token:
            return _json({"error": "pushing is off: no token is set in [monitor]"}, 503)
        offered = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(offered.encode(), self.token.encode()):
            return _json({"error": "the token is wrong or missing"}, 401)
        try:
            body = await _read(request)
        except ClientDisconnect:
            return Response(status_code=400)
        if body is None:
            return _json({"error": f"a body is at most {MOST_BODY} bytes; send it in parts"}, 413)
        try:
            return _json(await self.push(body), 200)
        except InputError as refused:
            return _json({"error": refused.what, "next": refused.next_step}, 422)
        except FillbookError as fault:
            return _json({"error": fault.what, "next": fault.next_step}, 503)


async def _read(request: Request) -> bytes | None:
    """Return the body, None when it is too long; nothing beyond the limit is kept."""
    parts = bytearray()
    async for part in request.stream():
        parts += part
        if len(parts) > MOST_BODY:
            return None
    return bytes(parts)


def _json(answer: object, status: int) -> Response:
    return Response(msgspec.json.encode(answer), status, media_type="application/json")


def make_app(doors: Doors, host: str = "127.0.0.1") -> Starlette:
    """Build the application for the address it listens on.

    On loopback, requests that name another host are refused: a page in a browser could otherwise
    point a name of its own at this machine and read along.
    """
    hosts = _LOOPBACK if is_loopback(host) else ("*",)
    return Starlette(
        routes=[
            Route("/healthz", doors.healthz, methods=["GET"]),
            Route("/metrics", doors.exposition, methods=["GET"]),
            Route("/", doors.exposition, methods=["GET"]),
            Route("/api/v1/facts", doors.facts, methods=["POST"]),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))],
    )
