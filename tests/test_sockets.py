"""Websockets on real connections: nudges keep coming whatever the venue does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from fillbook.ground.clock import MINUTE_NS, SECOND_NS
from fillbook.sources.faults import ForbiddenRequestError, KeyRefusedError
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


def test_a_closed_socket_is_opened_again_and_says_pull_everything() -> None:
    connections: list[int] = []

    async def serving(connection: ServerConnection) -> None:
        connections.append(1)
        await connection.recv()
        await connection.send('{"a":1}')
        if len(connections) == 1:
            connection.transport.abort()  # without a closing frame
        elif len(connections) == 2:
            await connection.close(1012, "maintenance")
        else:
            await connection.wait_closed()

    nudges = nudges_of(serving, 6)
    assert [nudge.streams for nudge in nudges] == [(), ("fills",)] * 3
    assert len(connections) == 3


def test_a_silent_socket_is_not_a_healthy_one() -> None:
    connections: list[int] = []

    async def serving(connection: ServerConnection) -> None:
        connections.append(1)
        await connection.wait_closed()

    nudges = nudges_of(serving, 3, Fills(silence_ns=SECOND_NS // 20))
    assert [nudge.streams for nudge in nudges] == [(), (), ()]
    assert len(connections) == 3


def test_chatter_counts_as_life() -> None:
    connections: list[int] = []

    async def serving(connection: ServerConnection) -> None:
        connections.append(1)
        for _ in range(12):
            await connection.send("chatter")
            await asyncio.sleep(0.05)
        await connection.send('{"a":1}')
        await connection.wait_closed()

    first, second = nudges_of(serving, 2, Fills(silence_ns=SECOND_NS // 3))
    assert (first.streams, second.streams) == ((), ("fills",))
    assert len(connections) == 1


@pytest.mark.parametrize("odd", ["not JSON", b"\xff\xfe", ""])
def test_a_message_nobody_understands_asks_for_everything_and_the_loop_goes_on(
    odd: str | bytes,
) -> None:
    async def serving(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send(odd)
        await connection.send('{"a":1}')
        await connection.wait_closed()

    nudges = nudges_of(serving, 3)
    assert [nudge.streams for nudge in nudges] == [(), (), ("fills",)]


def test_a_listener_may_ask_for_a_new_socket() -> None:
    connections: list[int] = []

    async def serving(connection: ServerConnection) -> None:
        connections.append(1)
        await connection.recv()
        if len(connections) == 1:
            await connection.send("expired")
        await connection.wait_closed()

    assert [nudge.streams for nudge in nudges_of(serving, 2)] == [(), ()]
    assert len(connections) == 2


def test_a_session_is_kept_alive_as_often_as_its_listener_says() -> None:
    pings: list[str | bytes] = []

    async def serving(connection: ServerConnection) -> None:
        await connection.recv()
        for _ in range(3):
            pings.append(await connection.recv())
        await connection.send('{"a":1}')
        await connection.wait_closed()

    nudges_of(serving, 2, Fills(keep_ns=SECOND_NS // 50))
    assert pings == ['{"method":"ping"}'] * 3


def test_a_burst_of_thousands_arrives_whole() -> None:
    async def serving(connection: ServerConnection) -> None:
        await connection.recv()
        for n in range(5000):
            await connection.send(f'{{"n":{n}}}')
        await connection.wait_closed()

    nudges = nudges_of(serving, 5001)
    assert [nudge.why for nudge in nudges[1:]] == [f'{{"n":{n}}}' for n in range(5000)]


def test_a_venue_that_opens_no_socket_is_tried_with_growing_pauses() -> None:
    class Counting(Fills):
        openings = 0

        async def opening(self) -> Opening:
            self.openings += 1
            if self.openings < 4:
                raise KeyRefusedError("no listen key")
            return await super().opening()

    async def serving(connection: ServerConnection) -> None:
        await connection.wait_closed()

    listener = Counting()
    (nudge,) = nudges_of(serving, 1, listener)
    assert nudge.streams == ()
    assert listener.openings == 4


def test_cancelling_whoever_waits_closes_the_socket() -> None:
    closed = asyncio.Event()

    async def serving(connection: ServerConnection) -> None:
        await connection.wait_closed()
        closed.set()

    async def whole() -> None:
        async with serve(serving, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            urls = {"ws": f"ws://127.0.0.1:{port}"}
            door = SocketDoor("hyperliquid", SystemPace(), urls=urls, patience=QUICK)
            connected = asyncio.Event()

            async def wait() -> None:
                async for _ in door.nudges(Fills()):
                    connected.set()

            task = asyncio.create_task(wait())
            await connected.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            async with asyncio.timeout(5):
                await closed.wait()

    asyncio.run(whole())
