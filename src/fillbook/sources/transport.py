"""The one door to a venue over HTTP: judged, budgeted, signed, sent, checked, and retried.

Nothing else in Fillbook asks a venue over HTTP. An ask that is not on the list of reads raises
before a byte is sent; the signed request is compared with the ask once more. What comes back is
either a complete answer or one typed fault; no fault, log line or traceback carries a secret.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping
from functools import cache
from urllib.parse import urlsplit

import httpx
import msgspec

from fillbook.ground.clock import MINUTE_NS, SECOND_NS
from fillbook.sources.budget import PATIENCE_NS, Budget
from fillbook.sources.faults import (
    BrokenAnswerError,
    ClockSkewError,
    ForbiddenRequestError,
    KeyRefusedError,
    RateLimitedError,
    SourceError,
    UnreachableError,
)
from fillbook.sources.manners import Manners, Received, Signed, Signer, query_text
from fillbook.sources.pace import Pace
from fillbook.sources.reads import check, reads_of, urls_of
from fillbook.sources.redact import EVERYWHERE, Redactor, guard_loggers
from fillbook.sources.skew import Skew, measure
from fillbook.sources.stream import Answer, Ask

_log = logging.getLogger(__name__)
_MOST_WORDS = 300
# A signature so far off may have been refused for its time.
_MOVED_NS = 30 * SECOND_NS


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait for a venue, how often to try, and how much to take from it."""

    connect_ns: int = 10 * SECOND_NS
    silence_ns: int = 20 * SECOND_NS
    whole_ns: int = MINUTE_NS
    tries: int = 4
    first_wait_ns: int = SECOND_NS // 2
    longest_wait_ns: int = 30 * SECOND_NS
    most_bytes: int = 32 << 20

    def wait_ns(self, failed: int, dice: float) -> int:
        """Return the pause after so many failed tries: doubled each time, capped, half random.

        >>> [Patience().wait_ns(n, 0.0) / 10**9 for n in (1, 2, 3, 20)]
        [0.25, 0.5, 1.0, 15.0]
        """
        full_ns = min(self.longest_wait_ns, self.first_wait_ns << min(failed - 1, 32))
        return full_ns // 2 + int(full_ns // 2 * dice)


class Transport:
    """Reads one venue on behalf of one account (or of nobody, for public reads).

    `urls` replaces hosts by role, within what the list of reads allows. The budget is shared by
    all transports of a venue; the transport is this account's alone.
    """

    def __init__(
        self,
        venue: str,
        pace: Pace,
        budget: Budget,
        *,
        signer: Signer | None = None,
        manners: Manners | None = None,
        urls: Mapping[str, str] | None = None,
        patience: Patience | None = None,
        redactor: Redactor = EVERYWHERE,
    ) -> None:
        self._reads = reads_of(venue)
        self._urls = urls_of(self._reads.hosts, urls or {}, f"[[attach]] {venue}")
        self._pace = pace
        self._budget = budget
        self._signer = signer
        self._manners = manners or Manners()
        self._patience = patience or Patience()
        self._redactor = redactor
        self.skew = Skew()
        guard_loggers(redactor)
        self._client: httpx.AsyncClient | None = None

    @property
    def budget(self) -> Budget:
        """Return the budget this transport spends from."""
        return self._budget

    def venue_now_ns(self) -> int:
        """Return the time on the venue's clock, as far as it is known."""
        return self._pace.now_ns() + self.skew.offset_ns

    async def read(self, ask: Ask, *, background: bool = False) -> Answer:
        """Send one read and return its answer; retriable faults are tried again, with pauses.

        Raises ForbiddenRequestError before a byte is sent, otherwise the last SourceError.
        `background` leaves room in the budget for live reads.
        """
        check(self._reads, ask)
        failed = 0
        while True:
            try:
                return await self._once(ask, background)
            except SourceError as fault:
                failed += 1
                if not fault.retriable or failed >= self._patience.tries or _is_long(fault):
                    raise
                _log.info("%s: %s; trying again", self._where(ask), fault.what)
            await self._pace.rest(self._patience.wait_ns(failed, self._pace.dice()))

    async def close(self) -> None:
        """Close the connections; closing twice is harmless."""
        if (client := self._client) is not None:
            self._client = None
            await client.aclose()

    # -- one try ---------------------------------------------------------------------------

    async def _once(self, ask: Ask, background: bool) -> Answer:
        ticket = await self._budget.take(ask.weight, background=background)
        client = await self._opened()
        offset_ns = self.skew.offset_ns
        request = self._request(client, ask)
        asked_ns = self._pace.now_ns()
        received = await self._send(client, ask, request)
        received_ns = self._pace.now_ns()
        self._measure(received, asked_ns, received_ns)
        cost = self._manners.cost(ask, received)
        if cost is not None:
            self._budget.settle(ticket, cost)
        off_ns = max(abs(self.skew.offset_ns - offset_ns), received_ns - asked_ns)
        self._refuse_faulty(ask, received, off_ns)
        self._budget.succeeded(self._manners.used(received))
        return Answer(
            status=received.status,
            text=received.text,
            headers=received.headers,
            asked_ns=self.skew.earliest_ns(asked_ns),
            told_ns=self.skew.latest_ns(received_ns),
            received_ns=received_ns,
        )

    def _refuse_faulty(self, ask: Ask, received: Received, off_ns: int) -> None:
        """Raise the fault of an answer whose signature may have been `off_ns` off in time."""
        fault = self._manners.fault(ask, received, self._where(ask))
        if isinstance(fault, KeyRefusedError) and off_ns > _MOVED_NS and ask.auth != "none":
            # Some venues refuse a signature of another time as if the key were gone.
            raise ClockSkewError(
                "the clock was set, or the machine slept: a signature was of another time",
                self._where(ask),
                "nothing to do: it is signed again by the venue's time",
            )
        if fault is not None:
            if isinstance(fault, RateLimitedError):
                self._budget.limited(fault)
            raise self._cleaned(fault)
        try:
            msgspec.json.decode(received.text, type=msgspec.Raw)
        except msgspec.DecodeError as wrong:
            raise self._broken(ask, f"an answer that is not JSON ({wrong})") from None

    def _measure(self, received: Received, asked_ns: int, received_ns: int) -> None:
        told = self._manners.server_time(received)
        if told is not None and received_ns >= asked_ns:
            at = self._pace.ticks_ns()
            self.skew.observe(measure(told.at_ns, told.grain_ns, asked_ns, received_ns, at))

    # -- the request -----------------------------------------------------------------------

    def _request(self, client: httpx.AsyncClient, ask: Ask) -> httpx.Request:
        base = self._urls[ask.host]
        signed = Signed(query=ask.query)
        if ask.auth != "none":
            if self._signer is None:
                raise ForbiddenRequestError(
                    "this read needs a key, and there is none; nothing was sent",
                    self._where(ask),
                    "this is a fault of Fillbook, please report it",
                )
            signed = self._signer.sign(ask, base, self.venue_now_ns())
        extra = {name.lower(): value for name, value in signed.headers.items()}
        if not self._reads.headers.issuperset(extra):
            raise ForbiddenRequestError(
                "a signature wants to add a header that is not on the list; nothing was sent",
                self._where(ask),
                "this is a fault of Fillbook, please report it",
            )
        headers = {"user-agent": "fillbook", "accept": "application/json", **extra}
        if ask.body:
            headers["content-type"] = "application/json"
        query = query_text(signed.query)
        request = client.build_request(
            ask.method,
            f"{base}{ask.path}" + (f"?{query}" if query else ""),
            headers=headers,
            content=ask.body.encode(),
        )
        self._compare(ask, base, query, request)
        return request

    def _compare(self, ask: Ask, base: str, query: str, request: httpx.Request) -> None:
        """Hold the finished request against the ask: nothing on the way may have changed it."""
        url, wanted = request.url, urlsplit(base)
        same = (
            request.method == ask.method
            and url.scheme == wanted.scheme
            and url.host == wanted.hostname
            and url.port == wanted.port
            and url.raw_path.split(b"?")[0] == ask.path.encode()
            and url.query == query.encode()
            and request.content == ask.body.encode()
        )
        if not same:
            raise ForbiddenRequestError(
                "the finished request is not the one that was asked for; nothing was sent",
                self._where(ask),
                "this is a fault of Fillbook, please report it",
            )

    async def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            made = await asyncio.to_thread(self._made)  # the first takes a fifth of a second
            self._client = self._client or made
        return self._client

    def _made(self) -> httpx.AsyncClient:
        times_ns = self._patience.silence_ns, self._patience.connect_ns
        return httpx.AsyncClient(
            timeout=httpx.Timeout(times_ns[0] / SECOND_NS, connect=times_ns[1] / SECOND_NS),
            verify=_tls(),
            follow_redirects=False,
            headers={"accept-encoding": "gzip, deflate"},
            limits=httpx.Limits(max_connections=8, max_keepalive_connections=4),
            # Neither proxies nor a .netrc of the machine may see or add credentials.
            trust_env=False,
        )

    # -- the answer ------------------------------------------------------------------------

    async def _send(self, client: httpx.AsyncClient, ask: Ask, request: httpx.Request) -> Received:
        is_answered = False
        try:
            async with asyncio.timeout(self._patience.whole_ns / SECOND_NS):
                response = await client.send(request, stream=True)
                is_answered = True
                try:
                    content = await self._content(ask, response)
                finally:
                    await response.aclose()
        except (TimeoutError, httpx.TimeoutException):
            raise self._unreachable(ask, "the venue did not answer in time") from None
        except httpx.DecodingError:
            raise self._broken(ask, "an answer whose compression is broken") from None
        except (httpx.TransportError, OSError) as fault:
            # The library's own fault may name the URL, signature and all; it is not chained.
            if is_answered and isinstance(fault, httpx.RemoteProtocolError):
                raise self._broken(ask, f"an answer that was cut short ({fault})") from None
            what = f"the venue cannot be reached ({fault or type(fault).__name__})"
            raise self._unreachable(ask, what) from None
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Received(status=response.status_code, text=content, headers=headers)

    async def _content(self, ask: Ask, response: httpx.Response) -> str:
        content = bytearray()
        async for part in response.aiter_bytes():
            content += part
            if len(content) > self._patience.most_bytes:
                raise self._broken(ask, f"more than {self._patience.most_bytes} bytes")
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            raise self._broken(ask, "an answer that is not UTF-8 text") from None

    # -- faults ----------------------------------------------------------------------------

    def _where(self, ask: Ask) -> str:
        return f"{self._reads.venue} {ask.name}"

    def _unreachable(self, ask: Ask, what: str) -> UnreachableError:
        next_step = "nothing to do if it passes; otherwise check the network and the venue's status"
        return UnreachableError(self._redactor.clean(what), self._where(ask), next_step)

    def _broken(self, ask: Ask, what: str) -> BrokenAnswerError:
        next_step = "nothing to do if it passes: it is tried again"
        return BrokenAnswerError(
            self._redactor.clean(f"the venue sent {what}"), self._where(ask), next_step
        )

    def _cleaned(self, fault: SourceError) -> SourceError:
        # The venue's own words may echo the request; they are cut only after they are clean.
        fault.what = self._redactor.snippet(fault.what, _MOST_WORDS)
        fault.args = (fault.what,)
        return fault


@cache
def _tls() -> ssl.SSLContext:
    """Load the certificates once: fifty accounts would hold fifty copies."""
    return httpx.create_ssl_context(trust_env=False)


def _is_long(fault: SourceError) -> bool:
    return isinstance(fault, RateLimitedError) and (fault.retry_after_ns or 0) > PATIENCE_NS
