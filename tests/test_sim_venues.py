"""What all simulated venues share: the port, limits, the record, and every fault on the wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK
from websockets.sync.client import ClientConnection, connect

from fillbook.ground.clock import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS
from fillbook.sim.clock import SimClock, SimPace
from fillbook.sim.executions import SimEvent, SimFill
from fillbook.sim.faults import BY_NAME, FaultPlan
from fillbook.sim.live import LiveWorld
from fillbook.sim.venues.base import VenueServer
from fillbook.sim.venues.calls import Answer, Call, Key, Read, RefusedError
from fillbook.sim.venues.limits import Limit, Limiter
from fillbook.sim.venues.pages import Pages, Shelf
from fillbook.sim.venues.streams import Line
from fillbook.sim.world import HYPERLIQUID, MAKER, START_MS

START_NS = START_MS * 1_000_000
LONG = [{"n": n} for n in range(3_000)]


class Stall(VenueServer):
    """A venue with three reads and one stream, and limits that are soon used up."""

    venue: ClassVar[str] = HYPERLIQUID
    limit: ClassVar[Limit] = Limit(weight=40, window_ns=MINUTE_NS, fixed=True, ban_after=3)
    capable: ClassVar[frozenset[str]] = frozenset(BY_NAME)

    def reads(self) -> Sequence[Read]:
        listed = (
            ("long", "/long", self._long, 500, ""),
            ("one", "/one/{n}/now", self._one, 0, ""),
            ("mine", "/mine", self._one, 0, "read"),
        )
        return [
            Read(
                name=name,
                method="GET",
                path=path,
                weight=1,
                answer=answer,
                per_rows=per_rows,
                right=right,
            )
            for name, path, answer, per_rows, right in listed
        ]

    def _long(self, call: Call) -> Answer:
        rows = LONG[: int(call.query.get("rows", "3000"))]
        return Answer(body=rows, rows=len(rows), served={"long": [str(row["n"]) for row in rows]})

    def _one(self, call: Call) -> Answer:
        return Answer(body={"n": call.parts.get("n"), "ms": call.now_ms})

    def authorise(self, call: Call, read: Read) -> None:
        key = self.key_now(call.headers.get("x-key", ""), call.now_ns)
        if read.right and (key is None or read.right not in key.rights):
            raise RefusedError(401, {"msg": "no such key"})

    def limit_headers(self, used: int) -> dict[str, str]:
        return {"X-Used": str(used)}

    async def opened(self, line: Line) -> bool:
        line.told["seq"] = 0
        if line.path != "/ws":
            return False
        await line.send({"hello": line.query.get("who")})
        return True

    async def heard(self, line: Line, message: Any) -> None:
        await line.send({"echo": message})

    def frames(self, line: Line, events: Sequence[SimEvent]) -> list[object]:
        fills = [e.what for e in events if e.account == MAKER and isinstance(e.what, SimFill)]
        return [{"fill": fill.fill_id} for fill in fills]

    def snapshot(self, line: Line) -> list[object]:
        return [{"snapshot": True}]

    def mixed(self, line: Line, frames: list[object]) -> list[object]:
        return [{"several": frames}]

    def number(self, line: Line, frame: object) -> object:
        line.told["seq"] += 1
        return {"seq": line.told["seq"], "told": frame}


@contextmanager
def stall(*names: str, **options: Any) -> Iterator[tuple[Stall, httpx.Client]]:
    """Yield a venue on which some faults are armed for the next occasion, and a client of it."""
    plan = FaultPlan(1)
    for name in names:
        plan.arm(name)
    world = LiveWorld(5, accounts=[MAKER])
    world.advance_to(START_NS + DAY_NS)
    venue = Stall(world, SimClock(world.now_ns), plan, patience_s=0.3, **options)
    with venue, httpx.Client(base_url=venue.base_url, timeout=3) as client:
        yield venue, client


def test_listed_reads_answer_and_anything_else_is_a_violation() -> None:
    with stall() as (venue, client):
        reply = client.get("/one/7/now")
        assert reply.json() == {"n": "7", "ms": venue.clock.now_ns() // 1_000_000}
        assert reply.headers["Date"] == "Fri, 02 Jan 2026 00:00:00 GMT", "the simulated day"
        assert client.post("/one/7/now", content=b"buy").status_code == 403
        assert client.delete("/order").status_code == 403
        assert client.get("/one/7/later").status_code == 403
        assert venue.violations == [
            "POST /one/7/now b'buy'",
            "DELETE /order b''",
            "GET /one/7/later b''",
        ]
        assert client.get("/mine").status_code == 401
        assert venue.counted() == {"one": 1, "violation": 3, "mine": 1}


def test_keys_are_revoked_and_widened_for_a_while() -> None:
    key = Key(name="good", secret="", account=MAKER)
    with stall("key_revoked", keys=[key]) as (venue, client):
        mine = {"X-Key": "good"}
        assert [client.get("/mine", headers=mine).status_code for _ in range(2)] == [401, 401]
        venue.clock.step(HOUR_NS)
        assert client.get("/mine", headers=mine).status_code == 200
        assert venue.key_now("good", venue.clock.now_ns()) == key
        venue.plan.arm("key_widened")
        widened = venue.key_now("good", venue.clock.now_ns())
        assert widened is not None and widened.rights == {"read", "trade"}
        assert venue.key_now("good", venue.clock.step(HOUR_NS)) == key
        assert venue.key_now("bad", venue.clock.now_ns()) is None


def test_a_stream_tells_nothing_from_before_it_was_opened() -> None:
    with stall() as (venue, _):
        venue.clock.step(HOUR_NS)
        with connect(venue.ws_url + "/ws") as line:
            venue.settle()
            line.recv(timeout=3)
            assert _heard(line) == []


def test_a_crash_inside_is_told_at_the_end() -> None:
    with pytest.raises(ValueError, match="invalid literal"), stall() as (_, client):
        assert client.get("/long?rows=many").status_code == 500


def test_a_closed_venue_refuses_and_comes_back_on_its_port() -> None:
    with stall() as (venue, client):
        port = venue.base_url
        assert client.get("/one/1/now").status_code == 200
        venue.down()
        with pytest.raises(httpx.ConnectError):
            client.get("/one/2/now")
        venue.up()
        assert venue.base_url == port and client.get("/one/3/now").status_code == 200
        for _ in range(2):
            with connect(venue.ws_url + "/ws?who=me") as line:
                assert json.loads(line.recv(timeout=3)) == {"hello": "me"}
                venue.down()
                with pytest.raises(ConnectionClosed):
                    line.recv(timeout=3)
            venue.up()


def test_the_limit_turns_away_tells_what_is_used_and_bans_who_goes_on() -> None:
    with stall() as (venue, client):
        assert client.get("/long").headers["X-Used"] == "7", "1 + 3000 rows / 500"
        for _ in range(4):
            client.get("/long")
        assert venue.limiter.most_used == 35
        for _ in range(5):
            client.get("/one/1/now")
        reply = client.get("/one/1/now")
        assert reply.status_code == 429 and reply.headers["Retry-After"] == "60"
        assert venue.impatient == 0 and venue.limiter.bans == 0
        statuses = [client.get("/one/1/now").status_code for _ in range(4)]
        assert statuses == [429, 429, 418, 418]
        assert venue.impatient == 4 and venue.limiter.bans == 1
        venue.clock.step(119 * SECOND_NS)
        assert client.get("/one/1/now").status_code == 418
        assert venue.impatient == 5
        venue.clock.step(2 * SECOND_NS)
        assert client.get("/one/1/now").status_code == 200
        assert venue.impatient == 5, "this one has waited"


def test_a_sliding_window_forgets_as_it_goes() -> None:
    limiter = Limiter(Limit(weight=10, window_ns=MINUTE_NS))
    assert limiter.charge(6, 0).status == limiter.charge(4, 30 * SECOND_NS).status == 200
    refused = limiter.charge(1, 40 * SECOND_NS)
    assert (refused.status, refused.used, refused.retry_after_s) == (429, 10, 20)
    assert limiter.charge(6, 60 * SECOND_NS).status == 200
    assert limiter.charge(1, 60 * SECOND_NS).status == 429
    fixed = Limiter(Limit(weight=10, window_ns=MINUTE_NS, fixed=True))
    assert fixed.charge(10, 59 * SECOND_NS).status == 200
    assert fixed.charge(1, 59 * SECOND_NS).retry_after_s == 1
    assert fixed.charge(10, 60 * SECOND_NS).status == 200
    assert (fixed.turned_away, fixed.bans, fixed.most_used) == (1, 0, 10)


def _raises(fault: type[Exception]) -> Callable[[httpx.Client], None]:
    def check(client: httpx.Client) -> None:
        with pytest.raises(fault):
            client.get("/long")

    return check


def _status(*statuses: int) -> Callable[[httpx.Client], None]:
    def check(client: httpx.Client) -> None:
        reply = client.get("/long")
        assert reply.status_code in statuses
        assert ("Retry-After" in reply.headers) == (reply.status_code in (418, 429))

    return check


def _truncated(client: httpx.Client) -> None:
    reply = client.get("/long")
    assert reply.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        reply.json()


def _error_inside(client: httpx.Client) -> None:
    reply = client.get("/long")
    assert reply.status_code == 200 and reply.json() == {"error": "status 200"}


def _slow(client: httpx.Client) -> None:
    with client.stream("GET", "/long") as reply:
        parts = [part for part in reply.iter_raw() if part]
    assert json.loads(b"".join(parts)) == LONG and len(parts) > 3


ON_THE_WIRE: dict[str, Callable[[httpx.Client], None]] = {
    "refuse": _raises(httpx.TransportError),
    "reset": _raises(httpx.TransportError),
    "stall": _raises(httpx.TransportError),
    "bad_gzip": _raises(httpx.DecodingError),
    "truncated_json": _truncated,
    "error_in_200": _error_inside,
    "server_error": _status(500, 501, 502, 503, 504),
    "rate_limited": _status(429),
    "banned": _status(418),
    "maintenance": _status(503),
    "slow_drip": _slow,
}


@pytest.mark.parametrize("name", ON_THE_WIRE)
def test_each_transport_fault_is_what_a_client_sees_and_is_counted(name: str) -> None:
    with stall(name) as (venue, client):
        ON_THE_WIRE[name](client)
        assert venue.plan.injected == {name: 1}
        whole = name == "slow_drip"
        assert bool(venue.served["long"]) == whole, "only whole replies count as served"
        venue.clock.step(HOUR_NS)
        assert client.get("/long").json() == LONG, "and then it is over"
        assert len(venue.served["long"]) == 3_000 and not venue.violations


def test_every_transport_fault_is_tried_above() -> None:
    transport = {f.name for f in BY_NAME.values() if f.family == "transport"}
    assert transport == set(ON_THE_WIRE) - {"maintenance"}


SHELF = Shelf[tuple[int, int]]("rows", key=lambda row: str(row[0]), ts_ms=lambda row: row[1])
ROWS = [(n, START_MS + n // 3 * 1_000) for n in range(30)]


def test_pages_are_plain_without_faults() -> None:
    pages = Pages(FaultPlan(1))
    assert pages.visible(SHELF, ROWS, START_MS) == ROWS
    assert pages.first(SHELF, ROWS, 10) == ROWS[:10]
    assert pages.first(SHELF, ROWS[10:], 100) == ROWS[10:]


def test_late_rows_appear_behind_younger_ones() -> None:
    pages = Pages(FaultPlan(1, ["late_row"], often={"late_row": 200}))
    last_ms = ROWS[-1][1]
    early = pages.visible(SHELF, ROWS, last_ms)
    late = [row for row in ROWS if row not in early]
    assert 1 <= len(late) <= 15 and early[-1][1] > late[0][1]
    for row in late:
        at_ms = pages.appears_ms(SHELF, row)
        assert 60_000 <= at_ms - row[1] <= 8 * 60_000
        assert row not in pages.visible(SHELF, ROWS, at_ms - 1)
        assert row in pages.visible(SHELF, ROWS, at_ms)
    assert pages.visible(SHELF, ROWS, last_ms + 8 * 60_000) == ROWS


def test_a_page_may_end_inside_a_millisecond_and_begin_with_an_old_row() -> None:
    plan = FaultPlan(1)
    pages = Pages(plan)
    plan.arm("split_millisecond")
    page = pages.first(SHELF, ROWS, 9)
    assert page == ROWS[:8] and ROWS[7][1] == ROWS[8][1]
    plan.arm("duplicate_row")
    assert pages.first(SHELF, ROWS[8:], 5) == [ROWS[7], *ROWS[8:13]]
    alone = Pages(FaultPlan(1, ["split_millisecond"], often={"split_millisecond": 1000}))
    assert alone.first(SHELF, ROWS[::3], 5) == ROWS[::3][:5], "nothing to split"


def _heard(line: ClientConnection) -> list[str]:
    """Return what a stream has said so far; one that does not answer any more is silent."""
    line.send('"end"')
    heard: list[str] = []
    try:
        while (text := str(line.recv(timeout=0.5))) != '{"echo":"end"}':
            heard.append(text)
    except TimeoutError:
        assert not heard
    return heard


@contextmanager
def listening(*names: str, hours: int = 3) -> Iterator[tuple[Stall, ClientConnection, list[str]]]:
    """Yield a venue, a stream of it, and what it said of some hours in which faults were armed."""
    with stall(burst_frames=40) as (venue, _), connect(venue.ws_url + "/ws?who=me") as line:
        assert json.loads(line.recv(timeout=3)) == {"hello": "me"}
        for name in names:
            venue.plan.arm(name)
        told = len(venue.world.fills(MAKER))
        venue.clock.step(hours * HOUR_NS)
        venue.settle()
        assert len(venue.world.fills(MAKER)) > told + 3
        yield venue, line, _heard(line)


def test_a_stream_tells_every_event_in_order() -> None:
    with listening() as (venue, line, heard):
        numbers = [json.loads(text)["seq"] for text in heard]
        ids = [json.loads(text)["told"]["fill"] for text in heard]
        assert numbers == list(range(1, len(heard) + 1))
        assert ids == [fill.fill_id for fill in venue.world.fills(MAKER)][-len(ids) :]
        line.send(json.dumps({"method": "ping"}))
        assert json.loads(line.recv(timeout=3)) == {"echo": {"method": "ping"}}
        with connect(venue.ws_url + "/elsewhere") as wrong, pytest.raises(ConnectionClosedError):
            wrong.recv(timeout=3)


def test_each_stream_fault_is_heard_and_counted() -> None:
    with listening() as (_, _, plain):
        whole = len(plain)
    with listening("ws_silent") as (_, line, heard):
        assert heard == [] == _heard(line), "open, and silent"
    with listening("ws_malformed") as (_, _, heard):
        with pytest.raises(json.JSONDecodeError):
            json.loads(heard[0])
        assert len(heard) == whole
    with listening("ws_unknown") as (_, _, heard):
        assert len(heard) == whole + 1 and "wonders" in heard[1]
    with listening("ws_disorder") as (_, _, heard):
        assert [json.loads(text)["seq"] for text in heard[:3]] == [2, 1, 3]
    with listening("ws_snapshot_again") as (_, _, heard):
        assert json.loads(heard[1]) == {"snapshot": True}
    with listening("ws_sequence_jump") as (_, _, heard):
        assert [json.loads(text)["seq"] for text in heard[:2]] == [2, 3]
    with listening("ws_filled_again") as (_, _, heard):
        assert heard[0] == heard[1] != heard[2] and len(heard) == whole + 1
    with listening("ws_burst") as (_, _, heard):
        assert heard.count(heard[0]) == 41
    with listening("ws_mixed_batch") as (_, _, heard):
        assert len(json.loads(heard[0])["told"]["several"]) == whole


def test_a_client_that_says_nothing_is_closed_in_good_order() -> None:
    with (
        stall(idle_ns=MINUTE_NS) as (venue, _),
        connect(venue.ws_url + "/ws") as idle,
        connect(venue.ws_url + "/ws") as alive,
    ):
        idle.recv(timeout=3)
        alive.recv(timeout=3)
        for _ in range(3):
            venue.clock.step(30 * SECOND_NS)
            alive.send('"here"')
            assert json.loads(alive.recv(timeout=3)) == {"echo": "here"}
            venue.settle()
        with pytest.raises(ConnectionClosedOK):
            idle.recv(timeout=3)
        assert _heard(alive) == []


def test_a_dropped_stream_has_no_closing_frame() -> None:
    with stall() as (venue, _), connect(venue.ws_url + "/ws") as line:
        line.recv(timeout=3)
        venue.plan.arm("ws_drop")
        venue.clock.step(3 * HOUR_NS)
        venue.settle()
        with pytest.raises(ConnectionClosedError) as closed:
            line.recv(timeout=3)
        assert closed.value.rcvd is None
        assert venue.plan.injected == {"ws_drop": 1}


def test_an_incapable_venue_injects_nothing_of_that_kind() -> None:
    class Plain(Stall):
        capable: ClassVar[frozenset[str]] = frozenset()

    world = LiveWorld(5, accounts=[MAKER])
    plan = FaultPlan(1, BY_NAME.keys() - {"refuse"}, often=dict.fromkeys(BY_NAME, 1000))
    venue = Plain(world, SimClock(world.now_ns), plan)
    with venue, httpx.Client(base_url=venue.base_url, timeout=3) as client:
        assert client.get("/long").json() == LONG
        assert plan.injected == {}


def test_the_same_questions_get_the_same_answers_and_faults() -> None:
    def run() -> tuple[list[object], object, object]:
        names = ("server_error", "truncated_json", "rate_limited", "reset", "bad_gzip")
        plan = FaultPlan(9, names, often=dict.fromkeys(names, 150))
        world = LiveWorld(5, accounts=[MAKER])
        venue = Stall(world, SimClock(world.now_ns), plan)
        told: list[object] = []
        with venue, httpx.Client(base_url=venue.base_url, timeout=3) as client:
            for n in range(40):
                venue.clock.step(MINUTE_NS)
                try:
                    reply = client.get("/long" if n % 2 else f"/one/{n}/now")
                    told.append((reply.status_code, reply.text))
                except (httpx.TransportError, httpx.DecodingError) as fault:
                    told.append(type(fault))
        return told, plan.injected, venue.seen

    first = run()
    assert first == run() and sum(first[1].values()) > 10  # type: ignore[attr-defined]


def test_a_simulated_pace_waits_on_the_clock() -> None:
    async def waited() -> list[str]:
        clock = SimClock(START_NS)
        pace = SimPace(clock)
        order: list[str] = []

        async def rest(name: str, wait_ns: int) -> None:
            await pace.rest(wait_ns)
            order.append(name)

        tasks = [asyncio.create_task(rest(*one)) for one in (("b", 20), ("a", 10), ("now", 0))]
        for _ in range(3):
            await asyncio.sleep(0.02)
            clock.step(10)
            order.append(str(clock.now_ns() - START_NS))
        await asyncio.gather(*tasks)
        await SimPace(clock, strides=True).rest(HOUR_NS)
        assert clock.now_ns() == START_NS + 30 + HOUR_NS
        return order

    assert asyncio.run(waited()) == ["now", "10", "a", "20", "b", "30"]
    thrown = [SimPace(SimClock(0), seed=3).dice() for _ in range(2)]
    assert thrown[0] == thrown[1] and 0 <= thrown[0] < 1
