"""How a venue behaves on the wire: what its answers mean before anybody parses a row.

The defaults follow HTTP. A venue's module derives a class where it has ways of its own: error
bodies with status 200, used-weight headers, costs that depend on the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Protocol, TypeVar
from urllib.parse import urlencode

import msgspec

from fillbook.ground.clock import SECOND_NS
from fillbook.ground.exact import parse_decimal
from fillbook.sources.faults import (
    BrokenAnswerError,
    KeyRefusedError,
    RateLimitedError,
    RefusedError,
    SourceError,
    VenueFailedError,
)
from fillbook.sources.skew import DATE_GRAIN_NS, date_header_ns
from fillbook.sources.stream import Answer, Ask, Headers

T = TypeVar("T")


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as it arrived: complete and decoded, but perhaps a refusal."""

    status: int
    text: str
    headers: Headers


class ServerTime(msgspec.Struct, frozen=True):
    """The venue's clock as it printed it: somewhere in [at_ns, at_ns + grain_ns)."""

    at_ns: int
    grain_ns: int


class Manners:
    """Plain HTTP. `where` in the methods is what a fault's message names as its place."""

    def fault(self, ask: Ask, received: Received, where: str) -> SourceError | None:
        """Return the fault an answer stands for, or None when it is a good one."""
        status, words = received.status, words_of(received)
        if status in (418, 429):
            return RateLimitedError(
                f"the venue limits our requests (status {status}){words}",
                where,
                "nothing to do: pulling goes on by itself, more slowly",
                retry_after_ns=retry_after_ns(received.headers),
                banned=status == 418,
            )
        if status in (401, 403):
            return KeyRefusedError(
                f"the venue refuses the key (status {status}){words}",
                where,
                "check that the key exists, is not expired, may read, and allows this address",
            )
        if status >= 500 or status == 408:
            return VenueFailedError(
                f"the venue failed (status {status}){words}",
                where,
                "nothing to do: it is tried again",
            )
        if status >= 300:
            return RefusedError(
                f"the venue refuses this read (status {status}){words}",
                where,
                "if its words do not help, a newer Fillbook may be needed",
            )
        return None

    def cost(self, ask: Ask, received: Received) -> int | None:
        """Return what the request did weigh, where that shows only in the answer."""
        return None

    def used(self, received: Received) -> int | None:
        """Return the weight the venue says this address has used in the current window."""
        return None

    def server_time(self, received: Received) -> ServerTime | None:
        """Return the venue's clock, from its Date header unless it prints it better."""
        at_ns = date_header_ns(received.headers)
        return None if at_ns is None else ServerTime(at_ns, DATE_GRAIN_NS)


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """What a signature adds to a request: the whole new query, and headers."""

    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str] = {}


class Signer(Protocol):
    """Proves to a venue whose account is asked about. Holds the key; prints nothing."""

    def sign(self, ask: Ask, base_url: str, now_ns: int) -> Signed:
        """Return query and headers for one sending of an ask at `now_ns` (the venue's clock).

        For `auth="key"` only the key's header; for "signed" all of it. Called anew for every
        try, because signatures age.
        """
        ...


def words_of(received: Received) -> str:
    """Return what the venue said, to stand behind a fault's own words.

    >>> words_of(Received(status=400, text='{"msg":"no"}', headers={}))
    ': {"msg":"no"}'
    """
    return f": {received.text}" if received.text.strip() else ""


def query_text(query: Iterable[tuple[str, str]]) -> str:
    """Write a query exactly as it is sent; a signature is made over this text.

    >>> query_text([("symbol", "BTCUSDT"), ("limit", "1000")])
    'symbol=BTCUSDT&limit=1000'
    """
    return urlencode(tuple(query))


def retry_after_ns(headers: Headers) -> int | None:
    """Return how long a venue asks us to stay away, when it says so in seconds.

    >>> retry_after_ns({"retry-after": "1.5"}), retry_after_ns({"retry-after": "soon"})
    (1500000000, None)
    """
    try:
        seconds = parse_decimal(headers.get("retry-after", ""))
    except ValueError:
        return None
    return int(min(max(seconds, Decimal(0)), Decimal(86_400)) * SECOND_NS)


def decoded(answer: Answer, kind: type[T], venue: str) -> T:
    """Return an answer decoded; BrokenAnswerError, naming the venue, when of another shape."""
    try:
        return msgspec.json.decode(answer.text, type=kind)
    except msgspec.DecodeError as fault:
        raise BrokenAnswerError(
            f"the venue sent an answer of another shape ({fault})",
            venue,
            "nothing to do if it passes: it is tried again",
        ) from None
