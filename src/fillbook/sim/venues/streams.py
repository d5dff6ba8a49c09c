"""WebSocket streams of a simulated venue: who listens, what is told, and what goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from fillbook.sim.venues.wire import cut

if TYPE_CHECKING:
    from fillbook.sim.venues.base import VenueServer

# How often a running clock is looked at, in real seconds.
_LOOK_S = 0.02
# How long a client may leave its socket unread, in real seconds.
_SLOW_S = 3.0


class Line:
    """One open stream. `told` is the venue's notebook: subscriptions, keys, sequence numbers.

    `position` is how many of the world's events lie behind it: none from before it was opened are
    told. `heard_ns` is when the client last said something.
    """

    def __init__(self, socket: WebSocket, transport: asyncio.Transport) -> None:
        self.path: str = socket.url.path
        self.query: Mapping[str, str] = dict(socket.query_params)
        self.told: dict[str, Any] = {}
        self.position = 0
        self.heard_ns = 0
        self.silent = False
        self.over = False
        self.held: object | None = None
        self._socket = socket
        self._transport = transport

    async def send(self, frame: object) -> None:
        """Send a frame as JSON, or text as it is; nothing once the stream is silent or over."""
        if self.silent or self.over:
            return
        text = frame if isinstance(frame, str) else msgspec.json.encode(frame).decode()
        try:
            async with asyncio.timeout(_SLOW_S):
                await self._socket.send_text(text)
        except TimeoutError:
            self.drop()  # a client that does not read must not hold up the others
        except (WebSocketDisconnect, RuntimeError):
            self.over = True

    async def close(self, code: int = 1000) -> None:
        """End the connection in good order."""
        self.over = True
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await self._socket.close(code)

    def drop(self) -> None:
        """End the connection without a closing frame."""
        self.over = True
        cut(self._transport)


class Streams:
    """Every stream of one venue, and the faults between an event and its frame."""

    def __init__(self, venue: VenueServer, burst_frames: int) -> None:
        self._venue = venue
        self._burst_frames = burst_frames
        self._lines: list[Line] = []
        self._pushing = asyncio.Lock()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hold one stream until either side ends it."""
        socket = WebSocket(scope, receive, send)
        await socket.accept()
        line = Line(socket, scope["state"]["transport"])
        try:
            if not await self._open(line):
                await socket.close(1008)
                return
            while not line.over:
                line.heard_ns = self._venue.clock.now_ns()
                text = await socket.receive_text()
                await self._venue.heard(line, json.loads(text))
        except (WebSocketDisconnect, json.JSONDecodeError):
            pass  # a client that leaves or talks nonsense loses its stream
        except Exception as fault:  # told at the end, like a crash in a reply
            self._venue.crashes.append(fault)
        finally:
            line.over = True
            if line in self._lines:
                self._lines.remove(line)

    async def pump(self) -> None:
        """Push whatever happens for as long as the venue is up."""
        # A lock belongs to one event loop, and every opening of the port has its own.
        self._pushing = asyncio.Lock()
        while True:
            await asyncio.sleep(_LOOK_S)
            await self.push()

    async def push(self) -> None:
        """Bring the world to the clock and tell every stream what is new."""
        async with self._pushing:
            world = self._venue.world
            until = self._catch_up()
            accounts = set(world.accounts(self._venue.venue))
            for line in list(self._lines):
                idle_ns = self._venue.clock.now_ns() - line.heard_ns
                if self._venue.idle_ns is not None and idle_ns > self._venue.idle_ns:
                    await line.close()
                    continue
                events = world.events[line.position : until]
                line.position = until
                ours = [event for event in events if event.account in accounts]
                frames = self._venue.frames(line, ours) if ours else []
                if len(frames) > 1 and self._venue.strikes("ws_mixed_batch"):
                    frames = self._venue.mixed(line, frames)
                for frame in frames:
                    await self._tell(line, frame)
                await self._venue.beat(line)

    def _catch_up(self) -> int:
        """Bring the world to the clock and return how many events there are."""
        world = self._venue.world
        with world.lock:
            world.advance_to(self._venue.clock.now_ns())
            return len(world.events)

    async def _open(self, line: Line) -> bool:
        """Greet a stream; what happens meanwhile is told to it afterwards."""
        async with self._pushing:
            line.position = self._catch_up()
            welcome = await self._venue.opened(line)
            if welcome:
                self._lines.append(line)
            return welcome

    async def _tell(self, line: Line, frame: object) -> None:
        """Send one frame, or what the plan makes of it."""
        venue = self._venue
        if line.silent or line.over:
            return
        frame = venue.number(line, frame)
        if venue.strikes("ws_sequence_jump"):
            return  # its number is used up, and nobody will hear of it
        if venue.strikes("ws_silent"):
            line.silent = True
        elif venue.strikes("ws_drop"):
            line.drop()
        elif venue.strikes("ws_malformed"):
            text = msgspec.json.encode(frame).decode()
            await line.send(text[: len(text) * 2 // 3])
        elif line.held is None and venue.strikes("ws_disorder"):
            line.held = frame
        else:
            await line.send(frame)
            if line.held is not None:
                held, line.held = line.held, None
                await line.send(held)
            await self._repeat(line, frame)

    async def _repeat(self, line: Line, frame: object) -> None:
        venue = self._venue
        if venue.strikes("ws_unknown"):
            await line.send(venue.unknown_frame())
        if venue.strikes("ws_filled_again"):
            await line.send(frame)
        if venue.strikes("ws_snapshot_again"):
            for old in venue.snapshot(line):
                await line.send(old)
        if venue.strikes("ws_burst"):
            for _ in range(self._burst_frames):
                await line.send(frame)
