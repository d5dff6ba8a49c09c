"""A venue small enough to know by heart: fills by time, fills by page token, and their account.

It speaks through the real transport to a loopback server; its rows are Hyperliquid's, so that a
real reader parses what the book keeps.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from fillbook.facts.finding import Finding
from fillbook.facts.model import Component
from fillbook.ground.clock import DAY_NS, MINUTE_NS
from fillbook.marks.series import Mark
from fillbook.sources.cursors import begin_walk, by_parts, read_cursor, step, window_of
from fillbook.sources.faults import CursorExpiredError, SourceError
from fillbook.sources.files.records import parse_object
from fillbook.sources.hyperliquid.fills import draft_fill
from fillbook.sources.manners import Manners, Received
from fillbook.sources.source import RowError
from fillbook.sources.stream import (
    Answer,
    Ask,
    AttachEstimate,
    BudgetUse,
    KeyRights,
    Nudge,
    PulledPage,
    PulledRow,
    Snapshot,
    Stream,
)
from fillbook.sources.transport import Transport
from loopback import Reply, Seen, TestPace

ACCOUNT = "0x31ca8395cf837de08b24da3f660e77761dfb974b"
MS = 1_000_000


def fill(at_ms: int, tid: int, coin: str = "BTC", **changes: Any) -> dict[str, Any]:
    return {
        "coin": coin,
        "px": "100.5",
        "sz": "1",
        "side": "B" if tid % 2 else "A",
        "time": at_ms,
        "dir": "Open Long" if tid % 2 else "Close Long",
        "oid": tid * 10,
        "tid": tid,
        "fee": "0.01",
        "feeToken": "USDC",
        **changes,
    }


@dataclass
class ToyVenue:
    """What the server holds and how it misbehaves. `hidden` rows appear when taken out of it."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    page: int = 4
    hidden: set[int] = field(default_factory=set)
    before: Callable[[Seen], Reply | None] = lambda seen: None
    expired: set[str] = field(default_factory=set)
    empties: int = 0

    def script(self, seen: Seen) -> Reply | None:
        if (seen.method, seen.path) != ("POST", "/info"):
            return None
        special = self.before(seen)
        if special is not None:
            return special
        asked = seen.json()
        if asked["type"] == "userFillsByTime":
            return Reply(json.dumps(self._by_time(asked)))
        return self._by_token(asked) if asked["type"] == "userFills" else None

    def visible(self) -> list[dict[str, Any]]:
        return sorted(
            (row for row in self.rows if row["tid"] not in self.hidden), key=lambda row: row["time"]
        )

    def _by_time(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        found = [
            row
            for row in self.visible()
            if asked["startTime"] <= row["time"] <= asked["endTime"]
            and asked.get("coin") in (None, row["coin"])
        ]
        return found[: self.page]

    def _by_token(self, asked: dict[str, Any]) -> Reply:
        token = asked.get("token", "")
        if token in self.expired:
            self.expired.discard(token)
            return Reply('{"error":"unknown cursor"}', status=400)
        at, _, empty = (token or "0").partition("e")
        if len(empty) < self.empties:
            answer: dict[str, Any] = {"rows": [], "next": f"{at}e{empty}x"}
        else:
            newest_first = self.visible()[::-1]
            start = int(at)
            end = start + self.page
            answer = {"rows": newest_first[start:end], "next": ""}
            if end < len(newest_first):
                answer["next"] = str(end)
        return Reply(json.dumps(answer))


class _Fills:
    """What both streams of fills share."""

    source = "hyperliquid-api"
    context = json.dumps({"account": ACCOUNT, "quotes": {}})
    components: tuple[Component, ...] = ("fills",)
    instrument: str | None = None
    every_ns = 30 * 10**9
    overlap_ns = 10 * MINUTE_NS
    deep_ns = 7 * DAY_NS

    def narrow(self, cursor: str) -> str | None:
        return None


def _pulled(raw: str) -> PulledRow:
    try:
        return PulledRow(raw=raw, drafts=(draft_fill(parse_object(raw), ACCOUNT),))
    except RowError as fault:
        return PulledRow(raw=raw, fault=fault)


def _raws(rows: Iterable[msgspec.Raw]) -> list[str]:
    return [bytes(row).decode() for row in rows]


class ByTime(_Fills):
    """Fills paged by time, oldest first, boundaries included."""

    name = "fills"

    def __init__(self, page: int = 4, oldest_ns: int = 0, coins: Collection[str] = ()) -> None:
        self.page = page
        self.oldest_ns = oldest_ns
        self.coins = coins

    def begin(self, cursor: str | None, now_ns: int, overlap_ns: int) -> str:
        return begin_walk(cursor, now_ns, overlap_ns, self.oldest_ns)

    def ask(self, cursor: str, now_ns: int) -> Ask:
        walk = read_cursor(cursor)
        start_ns, end_ns = window_of(walk, 0, MS)
        body: dict[str, Any] = {
            "type": "userFillsByTime",
            "user": ACCOUNT,
            "startTime": start_ns // MS,
            "endTime": end_ns // MS - 1,
        }
        if walk.parts:
            body["coin"] = walk.parts[0]
        return Ask(name="fills", method="POST", path="/info", body=json.dumps(body), weight=20)

    def parse(self, answer: Answer, cursor: str) -> PulledPage:
        raws = _raws(msgspec.json.decode(answer.text, type=list[msgspec.Raw]))
        times = [json.loads(raw)["time"] * MS for raw in raws]
        full = len(raws) >= self.page
        on = step(read_cursor(cursor), times, full, answer.asked_ns, grain_ns=MS)
        fields = {name: getattr(on, name) for name in on.__struct_fields__}
        return PulledPage(rows=tuple(map(_pulled, raws)), **fields)

    def narrow(self, cursor: str) -> str | None:
        return by_parts(cursor, self.coins)


class _Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """Everything before `mark_ns` is journaled; the round reads back to `low_ns`."""

    mark_ns: int
    low_ns: int
    until_ns: int
    token: str = ""


class ByToken(_Fills):
    """Fills newest first behind page tokens: the watermark moves only when the round is whole."""

    name = "fills-by-token"

    def begin(self, cursor: str | None, now_ns: int, overlap_ns: int) -> str:
        mark_ns = 0 if cursor is None else msgspec.json.decode(cursor, type=_Tokens).mark_ns
        low_ns = max(0, mark_ns - overlap_ns)
        return _text(_Tokens(mark_ns=mark_ns, low_ns=low_ns, until_ns=now_ns))

    def ask(self, cursor: str, now_ns: int) -> Ask:
        body = {"type": "userFills", "token": msgspec.json.decode(cursor, type=_Tokens).token}
        return Ask(name="fills", method="POST", path="/info", body=json.dumps(body), weight=20)

    def parse(self, answer: Answer, cursor: str) -> PulledPage:
        at = msgspec.json.decode(cursor, type=_Tokens)
        told = msgspec.json.decode(answer.text, type=dict[str, msgspec.Raw])
        raws = _raws(msgspec.json.decode(told["rows"], type=list[msgspec.Raw]))
        token = msgspec.json.decode(told["next"], type=str)
        oldest = min((json.loads(raw)["time"] * MS for raw in raws), default=at.until_ns)
        if token and oldest >= at.low_ns:
            on = msgspec.structs.replace(at, token=token)
            return PulledPage(rows=tuple(map(_pulled, raws)), next_cursor=_text(on), more=True)
        until_ns = min(at.until_ns, answer.asked_ns)
        done = _Tokens(mark_ns=until_ns, low_ns=0, until_ns=until_ns)
        return PulledPage(
            rows=tuple(map(_pulled, raws)),
            next_cursor=_text(done),
            more=False,
            covered_from_ns=at.low_ns,
            covered_until_ns=until_ns,
        )


def _text(cursor: _Tokens) -> str:
    return msgspec.json.encode(cursor).decode()


class ToyManners(Manners):
    """A forgotten page token is a fault of its own."""

    def fault(self, ask: Ask, received: Received, where: str) -> SourceError | None:
        if received.status == 400 and "unknown cursor" in received.text:
            return CursorExpiredError("the page token is unknown by now", where)
        return super().fault(ask, received, where)


class ToyAccount:
    """A live account over a transport."""

    venue = "hyperliquid"
    account = ACCOUNT
    label = "toy"

    def __init__(self, transport: Transport, pace: TestPace) -> None:
        self._transport = transport
        self._pace = pace
        self.told = KeyRights(venue=self.venue, subject=ACCOUNT, rights={}, role="user")
        self.streams: Sequence[Stream] = (ByTime(),)

    async def identify(self) -> str:
        return self.account

    async def rights(self) -> KeyRights:
        return self.told

    async def estimate(self, now_ns: int) -> AttachEstimate:
        duration_ns = self._transport.budget.duration_ns(600)
        return AttachEstimate(
            venue=self.venue,
            account=self.account,
            asks=5,
            weight=600,
            duration_ns=duration_ns,
            share_ratio=0.2,
        )

    async def discover(self, known: Collection[str], now_ns: int) -> Sequence[Stream]:
        return self.streams

    async def read(self, ask: Ask, *, background: bool = False) -> Answer:
        return await self._transport.read(ask, background=background)

    def venue_now_ns(self) -> int:
        return self._transport.venue_now_ns()

    async def positions(self, now_ns: int) -> Snapshot:
        return Snapshot(
            source="hyperliquid-api", context="{}", asked_ns=now_ns, told_ns=now_ns, rows=()
        )

    async def marks(self, instruments: Collection[str], now_ns: int) -> Sequence[Mark]:
        return ()

    async def _no_nudges(self) -> AsyncIterator[Nudge]:
        return
        yield

    def trigger(self) -> AsyncIterator[Nudge]:
        return self._no_nudges()

    def usage(self) -> Sequence[BudgetUse]:
        return (self._transport.budget.use(),)

    def findings(self) -> Sequence[Finding]:
        return ()

    async def close(self) -> None:
        await self._transport.close()
