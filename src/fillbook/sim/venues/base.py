"""What every simulated venue shares: listed reads, limits, permissions, faults, and the record.

A venue is a subclass of `VenueServer` that lists its reads (`reads`), turns world objects into
its own JSON, and says what its streams tell (`heard`, `frames`). Everything else is here: a
request that is no listed read is turned away and recorded as a violation, weights are charged
before an answer is given, and the faults of the plan are injected around it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from email.utils import formatdate
from types import TracebackType
from typing import Any, ClassVar, Self

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from fillbook.ground.clock import SECOND_NS
from fillbook.sim.clock import SimClock
from fillbook.sim.executions import SimEvent
from fillbook.sim.faults import TRANSPORT, FaultPlan
from fillbook.sim.live import LiveWorld
from fillbook.sim.venues.calls import Answer, Call, Key, Read, RefusedError, Seen
from fillbook.sim.venues.limits import Limit, Limiter
from fillbook.sim.venues.pages import Pages
from fillbook.sim.venues.streams import Line, Streams
from fillbook.sim.venues.wire import HOST, Drip, Reset, Silence, Wire

_IN_REPLIES = [name for name in TRANSPORT if name != "refuse"]
_STALL_NS = 30 * SECOND_NS
_BACK_OFF_S = {429: (1, 5), 418: (10, 60)}


class VenueServer:
    """One simulated venue on a loopback port, over a live world.

    Time is the clock's: every request first lets the world advance to it. `patience_s` bounds in
    real seconds how long a stall or a slow reply may take; a stream on which the client says
    nothing for `idle_ns` of simulated time is closed, None = never. Used as a context manager, a
    venue is up inside and down after.

    The record says what a test wants to know: `seen`, `violations` (requests that are no listed
    read), `impatient` (requests that came before a Retry-After was over), `served` (row keys that
    left in whole replies, by stream), and the limiter's figures.

    Subclasses set `venue`, `limit` and `capable` (the faults that make sense there), and define
    `reads`; streams are `heard` and `frames`. What `reads` needs they set before they call
    `__init__` here.
    """

    venue: ClassVar[str]
    limit: ClassVar[Limit]
    capable: ClassVar[frozenset[str]]

    def __init__(
        self,
        world: LiveWorld,
        clock: SimClock,
        plan: FaultPlan | None = None,
        *,
        keys: Iterable[Key] = (),
        patience_s: float = 1.0,
        burst_frames: int = 5_000,
        idle_ns: int | None = None,
    ) -> None:
        self.world = world
        self.clock = clock
        self.plan = plan or FaultPlan(world.seed)
        self.keys = {key.name: key for key in keys}
        self.patience_s = patience_s
        self.idle_ns = idle_ns
        self.limiter = Limiter(self.limit)
        self.pages = Pages(self.plan)
        self.seen: list[Seen] = []
        self.violations: list[str] = []
        self.crashes: list[Exception] = []
        self.impatient = 0
        self.served: dict[str, set[str]] = defaultdict(set)
        self._retry_at_ns = 0
        self._listed = [(re.compile(_pattern(read.path)), read) for read in self.reads()]
        self._streams = Streams(self, burst_frames)
        self._wire = Wire(self._app, self._streams.pump, self._refuses)

    def reads(self) -> Sequence[Read]:
        """Return every read the venue offers; whatever is not listed is a violation."""
        raise NotImplementedError

    def find(self, call: Call) -> tuple[Read, Call] | None:
        """Return the listed read a request asks for, with the parts of its path."""
        for pattern, read in self._listed:
            matched = pattern.fullmatch(call.path)
            if matched and read.method == call.method:
                return read, msgspec.structs.replace(call, parts=matched.groupdict())
        return None

    def authorise(self, call: Call, read: Read) -> None:
        """Check the request's key against the read's right; `RefusedError` where it lacks it."""

    def limiter_of(self, read: Read) -> Limiter:
        """Return what counts a read; some venues count what is public apart."""
        return self.limiter

    def problem(self, status: int, call: Call) -> object:
        """Return the body of a refusal with a status, in the venue's own shape."""
        return {"error": f"status {status}"}

    def limit_headers(self, used: int) -> dict[str, str]:
        """Return the headers that tell a client what it has used."""
        return {}

    async def heard(self, line: Line, message: Any) -> None:
        """Take a client's message on a stream; `line.told` is the venue's own notebook."""

    async def opened(self, line: Line) -> bool:
        """Greet a new stream; False closes it. `line.path` and `line.query` say what it wants."""
        return True

    def frames(self, line: Line, events: Sequence[SimEvent]) -> list[object]:
        """Return what a stream is told of some new events, one frame each."""
        return []

    def snapshot(self, line: Line) -> list[object]:
        """Return the frames that a stream begins with, for a snapshot that comes again."""
        return []

    def mixed(self, line: Line, frames: list[object]) -> list[object]:
        """Return the frames put together into fewer ones with events of several kinds."""
        return frames

    def number(self, line: Line, frame: object) -> object:
        """Return a frame with the line's next sequence number."""
        return frame

    async def beat(self, line: Line) -> None:
        """Do what is due on a stream whether or not anything has happened."""

    def unknown_frame(self) -> object:
        """Return an event of a kind that nobody has heard of."""
        return {"channel": "wonders", "data": {"never": "seen"}}

    @property
    def base_url(self) -> str:
        """Return where the venue is asked, without a slash at the end."""
        return f"http://{HOST}:{self._wire.port}"

    @property
    def ws_url(self) -> str:
        """Return where streams are opened, without a path."""
        return f"ws://{HOST}:{self._wire.port}"

    def up(self) -> Self:
        """Open the port, the same one as before; connections are refused while it is down."""
        self._wire.up()
        return self

    def down(self) -> None:
        """Close the port and all connections; raise what crashed inside, if anything did."""
        self._wire.down()
        if self.crashes:
            raise self.crashes[0]

    def __enter__(self) -> Self:
        return self.up()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()

    def settle(self) -> None:
        """Bring the world to the clock, and return when every stream has been told."""
        self._wire.run(self._streams.push())

    def strikes(self, name: str, occasion: str = "") -> bool:
        """Say whether one of the plan's faults strikes here now; never one that makes no sense."""
        return name in self.capable and self.plan.strikes(name, f"{self.venue}:{occasion}")

    def holds(self, name: str, now_ns: int, whose: str = "") -> bool:
        """Say whether a lasting fault holds here now."""
        whose = f"{self.venue}:{whose}"
        return name in self.capable and self.plan.holds(name, now_ns, whose)

    def key_now(self, name: str, now_ns: int) -> Key | None:
        """Return a key as it is now: None where it is unknown or revoked, perhaps widened."""
        key = self.keys.get(name)
        if key is None or self.holds("key_revoked", now_ns, key.account):
            return None
        if self.holds("key_widened", now_ns, key.account):
            return msgspec.structs.replace(key, rights=key.rights | {"trade"})
        return key

    def counted(self) -> Counter[str]:
        """Return how many requests of each read have been seen."""
        return Counter(one.name for one in self.seen)

    def _refuses(self) -> bool:
        return self.plan.first(["refuse"], f"{self.venue}:connection") is not None

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._streams.serve(scope, receive, send)
            return
        request = Request(scope, receive)
        body = await request.body()
        try:
            call = Call(
                method=request.method,
                path=request.url.path,
                query=dict(request.query_params),
                headers={name.lower(): text for name, text in request.headers.items()},
                body=body,
                asked=tuple(request.query_params.multi_items()),
                now_ns=self.clock.now_ns(),
            )
            with self.world.lock:
                self.world.advance_to(call.now_ns)
                reply = self._reply(call)
        except Exception as fault:  # the client sees a 500; the test sees the cause at the end
            self.crashes.append(fault)
            reply = Response(status_code=500)
        await reply(scope, receive, send)

    def _reply(self, call: Call) -> Response:
        found = self.find(call)
        if found is None:
            self.violations.append(f"{call.method} {call.path} {call.body[:200]!r}")
            self.seen.append(Seen(call.now_ns, "violation", 0, 403))
            return self._wrap(Answer(body=self.problem(403, call), status=403), 0, call)
        read, call = found
        self.impatient += call.now_ns < self._retry_at_ns
        limiter = self.limiter_of(read)
        verdict = limiter.charge(read.weight, call.now_ns)
        if verdict.status != 200:
            return self._turn_away(verdict.status, verdict.retry_after_s, read, call)
        possible = [name for name in _IN_REPLIES if name in self.capable]
        fault = self.plan.first(possible, f"{self.venue}:{read.name}")
        if fault in ("rate_limited", "banned"):
            status = 429 if fault == "rate_limited" else 418
            nth = str(len(self.seen))
            wait_s = self.plan.amount(fault, nth, *_BACK_OFF_S[status])
            return self._turn_away(status, wait_s, read, call, fault)
        if fault is None and self.holds("maintenance", call.now_ns):
            self.seen.append(Seen(call.now_ns, read.name, read.weight, 503, "maintenance"))
            return self._wrap(Answer(body=self.problem(503, call), status=503), 0, call)
        try:
            self.authorise(call, read)
            answer = read.answer(call)
        except RefusedError as refused:
            answer = refused.answer
        extra = answer.rows // read.per_rows if read.per_rows else 0
        if extra:
            limiter.add(extra, call.now_ns)
        weight = read.weight + extra
        self.seen.append(Seen(call.now_ns, read.name, weight, answer.status, fault or ""))
        return self._broken(fault, answer, verdict.used + extra, call)

    def _turn_away(
        self, status: int, wait_s: int, read: Read, call: Call, fault: str = ""
    ) -> Response:
        self._retry_at_ns = max(self._retry_at_ns, call.now_ns + wait_s * SECOND_NS)
        self.seen.append(Seen(call.now_ns, read.name, read.weight, status, fault))
        headers = {"Retry-After": str(wait_s)}
        answer = Answer(body=self.problem(status, call), status=status, headers=headers)
        return self._wrap(answer, self.limiter_of(read).used(call.now_ns), call)

    def _wrap(self, answer: Answer, used: int, call: Call) -> Response:
        body = answer.body if isinstance(answer.body, bytes) else msgspec.json.encode(answer.body)
        headers = {
            "Date": formatdate(call.now_ns // SECOND_NS, usegmt=True),
            **self.limit_headers(used),
            **answer.headers,
        }
        return Response(body, answer.status, headers, media_type=answer.kind)

    def _broken(self, fault: str | None, answer: Answer, used: int, call: Call) -> Response:
        """Return a reply as a transport fault leaves it; None leaves it whole."""
        if fault == "server_error":
            status = 500 + self.plan.amount(fault, str(len(self.seen)), 0, 4)
            page = f"<html><body><h1>{status}</h1></body></html>".encode()
            return self._wrap(Answer(body=page, status=status, kind="text/html"), used, call)
        if fault == "error_in_200":
            return self._wrap(Answer(body=self.problem(200, call)), used, call)
        whole = self._wrap(answer, used, call)
        if fault == "truncated_json":
            short = bytes(whole.body[: len(whole.body) * 2 // 3])
            return self._wrap(Answer(body=short, headers=answer.headers), used, call)
        if fault == "bad_gzip":
            whole.headers["Content-Encoding"] = "gzip"
            return whole
        if fault == "reset":
            return Reset(whole.body, whole.status_code, dict(whole.headers))
        if fault == "stall":
            return Silence(self.clock.real_seconds(_STALL_NS, self.patience_s))
        for stream, keys in answer.served.items():
            self.served[stream].update(keys)
        if fault == "slow_drip":
            return Drip(whole, self.clock.real_seconds(_STALL_NS // 10, self.patience_s / 2))
        return whole


def _pattern(path: str) -> str:
    """Turn a path with {names} into a regular expression."""
    pieces = re.split(r"\{(\w+)\}", path)
    return "".join(
        f"(?P<{piece}>[^/]+)" if nth % 2 else re.escape(piece) for nth, piece in enumerate(pieces)
    )
