"""Requests and replies of a simulated venue, and the listed reads between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request: `query` has each name's last value, `asked` every one in the order it came.

    `parts` is what the path's braces matched.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    now_ns: int
    parts: Mapping[str, str] = {}
    asked: tuple[tuple[str, str], ...] = ()

    @property
    def now_ms(self) -> int:
        """Return the simulated time in milliseconds."""
        return self.now_ns // 1_000_000

    def every(self, name: str) -> list[str]:
        """Return all values of a name that was sent several times, in order."""
        return [value for sent, value in self.asked if sent == name]


class Answer(msgspec.Struct, kw_only=True):
    """A reply: any JSON value, or raw bytes.

    `rows` is how many items it holds, for weights that depend on it; `served` names them as
    {stream: row keys}, and counts once the reply has left whole.
    """

    body: object
    status: int = 200
    kind: str = "application/json"
    headers: dict[str, str] = {}
    rows: int = 0
    served: dict[str, list[str]] = {}


class RefusedError(Exception):
    """A request that the venue turns away: status, body in the venue's shape, headers."""

    def __init__(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status}: {body}")
        self.answer = Answer(body=body, status=status, headers=dict(headers or {}))


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """One listed read: where it is asked, what it weighs, who may ask, and what answers.

    `path` may hold {names}; `per_rows` adds one to the weight for so many items returned; `right`
    is what the asking key must be allowed, "" = anybody.
    """

    name: str
    method: str
    path: str
    weight: int
    answer: Callable[[Call], Answer]
    per_rows: int = 0
    right: str = ""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One API key: how it is named and proved, whose account it opens, and what it may do."""

    name: str
    secret: str
    account: str
    rights: frozenset[str] = frozenset({"read"})


class Seen(msgspec.Struct, frozen=True):
    """One request as the venue remembers it: when, which read, its weight, what came of it.

    `fault` names the transport fault that struck it, "" = none.
    """

    ts_ns: int
    name: str
    weight: int
    status: int
    fault: str = ""
