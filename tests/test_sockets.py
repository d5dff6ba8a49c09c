"""Websockets on real connections: nudges keep coming whatever the venue does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from fillbook.ground.clock import MINUTE_NS, SECOND_NS
from fillbook.sources.faults import ForbiddenRequestError
from fillbook.sources.pace import SystemPace
from fillbook.sources.sockets import Opening, ReopenError, Socket, SocketDoor
from fillbook.sources.stream import Nudge
from fillbook.sources.transport import Patience

QUICK = Patience(connect_ns=SECOND_NS, first_wait_ns=SECOND_NS // 50)
Serving = Callable[[ServerConnection], Awaitable[None]]


class Fills:
    """Listens to one kind of message."""

    def __init__(self, silence_ns: int = MINUTE_NS, keep_ns: int = MINUTE_NS) -> None:
        self.silence_ns = silence_ns
        self.keep_ns = keep_ns
        self.first: dict[str, Any] = {"method": "subscribe", "subscription": {"type": "userFills"}}

    async def opening(self) -> Opening:
        return Opening(path="/ws", says=(self.first,))

    async def keep(self, socket: Socket) -> None:
        await socket.say({"method": "ping"})

    def heard(self, text: str) -> Nudge | None:
        if text == "expired":
            raise ReopenError("the key has expired")
        if text == "chatter":
            return None
        if not text.startswith("{"):
            raise ValueError("not JSON")
        return Nudge(streams=("fills",), why=text)


def nudges_of(serving: Serving, count: int, listener: Fills | None = None) -> list[Nudge]:
    async def whole() -> list[Nudge]:
        async with serve(serving, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            urls = {"ws": f"ws://127.0.0.1:{port}"}
            door = SocketDoor("hyperliquid", SystemPace(), urls=urls, patience=QUICK)
            found: list[Nudge] = []
            stream = door.nudges(listener or Fills())
            async with asyncio.timeout(20):
                async for nudge in stream:
                    found.append(nudge)
                    if len(found) == count:
                        break
            await stream.aclose()  # type: ignore[attr-defined]
            return found

    return asyncio.run(whole())


def test_a_message_names_the_stream_to_pull_after_one_nudge_for_everything() -> None:
    said: list[str | bytes] = []

    async def serving(connection: ServerConnection) -> None:
        said.append(await connection.recv())
        await connection.send("chatter")
        await connection.send('{"a":1}')
        await connection.wait_closed()

    first, second = nudges_of(serving, 2)
    assert first.streams == ()
    assert second == Nudge(streams=("fills",), why='{"a":1}')
    assert said == ['{"method":"subscribe","subscription":{"type":"userFills"}}']


def test_a_message_that_is_not_on_the_list_is_never_sent() -> None:
    arrived: list[str | bytes] = []

    async def serving(connection: ServerConnection) -> None:
        async for message in connection:
            arrived.append(message)

    listener = Fills()
    listener.first = {"method": "post", "id": 1, "request": {"type": "action"}}
    with pytest.raises(ForbiddenRequestError):
        nudges_of(serving, 1, listener)
    assert arrived == []
