"""Hears from a venue's websocket when to pull, for ever: connects, keeps alive, reconnects.

A message is never a fact, only a hint, so losing one costs a moment and no more. Silence is not
health: a socket that says nothing for longer than its listener allows is closed and opened anew.
A frame nobody understands asks for a pull of everything instead of ending the loop. What may be
said on a socket is on the list of reads, as requests are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any, Protocol

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from fillbook.ground.clock import SECOND_NS
from fillbook.sources.faults import ForbiddenRequestError, SourceError, UnreachableError
from fillbook.sources.pace import Pace
from fillbook.sources.reads import VenueReads, check_message, check_socket, reads_of, urls_of
from fillbook.sources.redact import EVERYWHERE, Redactor, guard_loggers
from fillbook.sources.stream import Nudge
from fillbook.sources.transport import Patience

_log = logging.getLogger(__name__)
_MOST_BYTES = 16 << 20


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """Where to connect, and what to say first."""

    host: str = "ws"
    path: str = "/"
    says: tuple[Mapping[str, Any], ...] = ()


class ReopenError(Exception):
    """A listener's way to say that this socket will tell it nothing more."""


class Socket:
    """One open websocket. Everything said on it is judged first."""

    def __init__(self, reads: VenueReads, connection: ClientConnection, redactor: Redactor) -> None:
        self._reads = reads
        self._connection = connection
        self._redactor = redactor

    async def say(self, message: Mapping[str, Any]) -> None:
        """Send a message; ForbiddenRequestError when it is not on the list."""
        check_message(self._reads, message)
        try:
            await self._connection.send(msgspec.json.encode(message).decode())
        except (WebSocketException, OSError) as fault:
            raise self._lost(fault) from None

    async def hear(self) -> str:
        """Return the next message; UnreachableError when the connection is gone."""
        try:
            frame = await self._connection.recv()
        except (WebSocketException, OSError) as fault:
            raise self._lost(fault) from None
        return frame if isinstance(frame, str) else frame.decode("utf-8", "replace")

    def _lost(self, fault: Exception) -> UnreachableError:
        why = "closed" if isinstance(fault, ConnectionClosed) else type(fault).__name__
        return UnreachableError(
            self._redactor.snippet(f"the websocket is gone ({why}: {fault})"),
            f"{self._reads.venue} websocket",
            "nothing to do: it is opened again, and history is pulled meanwhile",
        )


class Listener(Protocol):
    """What a venue knows about its websocket; the loop around it is `nudges`."""

    @property
    def silence_ns(self) -> int:
        """Return how long the socket may say nothing at all and still be alive."""
        ...

    @property
    def keep_ns(self) -> int:
        """Return how often to call `keep`."""
        ...

    async def opening(self) -> Opening:
        """Say where to connect; called anew for every connection. May raise SourceError."""
        ...

    async def keep(self, socket: Socket) -> None:
        """Keep the session alive: a ping, or a longer life for a listen key."""
        ...

    def heard(self, text: str) -> Nudge | None:
        """Say what a message asks for; None for chatter.

        ReopenError when this socket will say nothing more. Any ValueError (not JSON, not the
        expected fields) makes the loop ask for everything.
        """
        ...


class SocketDoor:
    """The one way to open a websocket to a venue."""

    def __init__(
        self,
        venue: str,
        pace: Pace,
        *,
        urls: Mapping[str, str] | None = None,
        patience: Patience | None = None,
        redactor: Redactor = EVERYWHERE,
    ) -> None:
        self._reads = reads_of(venue)
        self._urls = urls_of(self._reads.sockets, urls or {}, f"[[attach]] {venue}")
        self._pace = pace
        self._patience = patience or Patience()
        self._redactor = redactor
        guard_loggers(redactor)

    @asynccontextmanager
    async def connected(self, opening: Opening) -> AsyncIterator[Socket]:
        """Open a socket, say what is to be said first, and close it at the end."""
        check_socket(self._reads, opening.host, opening.path)
        try:
            connection = await connect(
                f"{self._urls[opening.host]}{opening.path}",
                open_timeout=self._patience.connect_ns / SECOND_NS,
                close_timeout=1,
                max_size=_MOST_BYTES,
                proxy=None,
            )
        except (WebSocketException, OSError, TimeoutError) as fault:
            raise UnreachableError(
                self._redactor.snippet(f"the websocket cannot be opened ({fault})"),
                f"{self._reads.venue} websocket",
                "nothing to do if it passes: history is pulled meanwhile",
            ) from None
        try:
            socket = Socket(self._reads, connection, self._redactor)
            for message in opening.says:
                await socket.say(message)
            yield socket
        finally:
            await connection.close()

    async def nudges(self, listener: Listener) -> AsyncGenerator[Nudge, None]:
        """Yield nudges for ever. Each new connection is a nudge for everything.

        Only ForbiddenRequestError ends it: that is a fault of the program.
        """
        failed = 0
        while True:
            try:
                async with self.connected(await listener.opening()) as socket:
                    yield Nudge(why="websocket connected")
                    async with aclosing(self._session(socket, listener)) as session:
                        async for nudge in session:
                            failed = 0
                            if nudge is not None:
                                yield nudge
            except ForbiddenRequestError:
                raise
            except ReopenError as fault:
                _log.info("%s websocket: %s", self._reads.venue, fault)
            except SourceError as fault:
                _log.warning("%s websocket: %s", self._reads.venue, fault.what)
            failed += 1
            await self._pace.rest(self._patience.wait_ns(failed, self._pace.dice()))

    async def _session(
        self, socket: Socket, listener: Listener
    ) -> AsyncGenerator[Nudge | None, None]:
        """Yield what one connection says, None for chatter; UnreachableError when it is silent."""
        heard_ns = kept_ns = self._pace.ticks_ns()
        hearing: asyncio.Task[str] | None = None
        try:
            while True:
                hearing = hearing or asyncio.ensure_future(socket.hear())
                now = self._pace.ticks_ns()
                due_ns = min(heard_ns + listener.silence_ns, kept_ns + listener.keep_ns)
                if await self._within(hearing, due_ns - now):
                    text = hearing.result()
                    hearing, heard_ns = None, self._pace.ticks_ns()
                    yield self._meaning(listener, text)
                    continue
                now = self._pace.ticks_ns()
                if now - heard_ns >= listener.silence_ns:
                    raise UnreachableError(
                        f"the websocket was silent for {(now - heard_ns) // SECOND_NS} s",
                        f"{self._reads.venue} websocket",
                        "nothing to do: it is opened again, and history is pulled meanwhile",
                    )
                if now - kept_ns >= listener.keep_ns:
                    kept_ns = now
                    await listener.keep(socket)
        finally:
            if hearing is not None:
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)

    async def _within(self, hearing: asyncio.Task[str], wait_ns: int) -> bool:
        """Wait for a message no longer than this; say whether one came."""
        if hearing.done():
            return True
        resting = asyncio.ensure_future(self._pace.rest(wait_ns))
        try:
            await asyncio.wait((hearing, resting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            resting.cancel()
            await asyncio.gather(resting, return_exceptions=True)
        return hearing.done()

    def _meaning(self, listener: Listener, text: str) -> Nudge | None:
        try:
            return listener.heard(text)
        except (ValueError, KeyError, TypeError) as fault:
            _log.warning(
                "%s websocket: a message is not understood (%s): %s",
                self._reads.venue,
                self._redactor.snippet(str(fault)),
                self._redactor.snippet(text),
            )
            return Nudge(why="a message was not understood")
