"""Coinbase's chains of pages: what is complete when, and where a round begins."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from fillbook.ground.clock import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS, iso, parse_ns
from fillbook.sources.coinbase.order_streams import NamedOrdersStream, OrdersStream
from fillbook.sources.coinbase.owed import Owed, Unshown
from fillbook.sources.coinbase.products import ProductsStream
from fillbook.sources.coinbase.streams import FillsStream, read_place
from fillbook.sources.faults import BrokenAnswerError
from fillbook.sources.stream import Answer, PulledPage

ME = "p-1"
NOW = parse_ns("2026-01-05T12:00:00Z")
OLDEST = parse_ns("2015-01-01T00:00:00Z")


def fills() -> FillsStream:
    return FillsStream(ME, note=lambda _: None, seen=lambda order, entry: None)


def answer(told: Any, asked_ns: int = NOW) -> Answer:
    text = json.dumps(told)
    return Answer(
        status=200, text=text, headers={}, asked_ns=asked_ns, told_ns=asked_ns, received_ns=asked_ns
    )


def a_fill(n: int, at: str = "2026-01-05T11:00:00Z") -> dict[str, Any]:
    more = {"price": "2", "size": "1", "commission": "0", "side": "BUY", "product_id": "A-USD"}
    return {"entry_id": f"e-{n}", "trade_id": f"t-{n}", "order_id": "o", "trade_time": at, **more}


def page(cursor: str, *numbers: int) -> dict[str, Any]:
    return {"fills": [a_fill(n) for n in numbers], "cursor": cursor}


def query_of(stream: Any, cursor: str) -> dict[str, str]:
    return dict(stream.ask(cursor, NOW).query)


def first_walk(at: str, oldest: str | None) -> tuple[list[tuple[int, int]], str]:
    """Read all stretches, two pages each, newest first; return what is complete, and the end."""
    stream = fills()
    last = stream.begin(None, NOW, stream.overlap_ns)
    covered, asked = [], []
    for _ in range(10):
        cursor = last
        first = query_of(stream, cursor)
        since, until = first.pop("start_sequence_timestamp"), first.pop("end_sequence_timestamp")
        asked.append((parse_ns(since), parse_ns(until)))
        assert first == {"limit": "250"}
        rows = [a_fill(1, at), a_fill(2, oldest)] if oldest and until > at else []
        told = stream.parse(answer({"fills": rows[:1], "cursor": "c1"}), cursor)
        assert told.more and told.covered_until_ns is None
        assert query_of(stream, told.next_cursor) == {**query_of(stream, cursor), "cursor": "c1"}
        # The second comes ten seconds later.
        end = {"fills": rows[1:], "cursor": ""}
        told = stream.parse(answer(end, NOW + 10 * SECOND_NS), told.next_cursor)
        if told.covered_from_ns is not None and told.covered_until_ns is not None:
            covered.append((told.covered_from_ns, told.covered_until_ns))
        last = told.next_cursor
        if not told.more:
            break
    # The stretches asked for leave no hole from the oldest day on.
    assert asked[0][0] < OLDEST and asked[-1][1] > NOW
    assert all(one[1] > other[0] for one, other in pairwise(asked))
    assert read_place(last).from_ns == NOW
    return covered, last


def test_a_chain_asks_the_same_but_for_the_cursor_and_is_complete_at_its_end() -> None:
    covered, _ = first_walk("2020-03-01T00:00:00Z", "2020-02-01T00:00:00Z")
    # From the oldest row on, without a hole, and never beyond the first page's asking.
    assert covered[0][0] == parse_ns("2020-02-01T00:00:00Z") and covered[-1][1] == NOW
    assert len(covered) == 2 and covered[0][1] == covered[1][0]


def test_nothing_is_promised_of_a_time_the_venue_may_not_keep() -> None:
    """Older fills may be in an export of another product, and must not be called repetitions."""
    covered, end = first_walk("", None)
    assert covered == []
    stream = fills()
    at = stream.begin(end, NOW + HOUR_NS, stream.overlap_ns)
    told = stream.parse(answer(page(""), NOW + HOUR_NS), at)
    assert (told.covered_from_ns, told.covered_until_ns) == (NOW, NOW + HOUR_NS)
    # A row that appears late is older than that, and so is what is promised from then on.
    late = "2026-01-05T11:55:00Z"
    told = stream.parse(answer({"fills": [a_fill(1, late)], "cursor": ""}, NOW + HOUR_NS), at)
    assert told.covered_from_ns == parse_ns(late)


def test_a_round_begins_behind_the_last_and_looks_ahead_of_the_clock() -> None:
    stream = fills()
    stream.begin(None, NOW, 0)
    cursor = stream.begin(done_at(NOW), NOW + HOUR_NS, 15 * MINUTE_NS)
    query = query_of(stream, cursor)
    assert parse_ns(query["start_sequence_timestamp"]) == NOW - 15 * MINUTE_NS - 2 * SECOND_NS
    assert parse_ns(query["end_sequence_timestamp"]) == NOW + HOUR_NS + 7 * SECOND_NS


def done_at(ns: int) -> str:
    return json.dumps({"from_ns": ns, "until_ns": ns, "end_ns": ns})


def test_a_chain_of_an_earlier_run_is_taken_up_once() -> None:
    stream = fills()
    begun = stream.begin(done_at(NOW - DAY_NS), NOW, 0)
    left = stream.parse(answer(page("c1", 1)), begun).next_cursor
    again = fills()
    assert again.begin(left, NOW + MINUTE_NS, 0) == left
    # Its cursor was forgotten: the same chain from its beginning, and until now.
    anew = read_place(again.begin(left, NOW + MINUTE_NS, 0))
    assert (anew.after, anew.from_ns) == ("", NOW - DAY_NS)
    assert anew.until_ns > NOW + MINUTE_NS
    # Left too long ago, what appeared meanwhile could be missed.
    assert read_place(fills().begin(left, NOW + DAY_NS, 0)).after == ""


def test_a_cursor_that_leads_nowhere_is_no_end() -> None:
    stream = fills()
    on = stream.parse(answer(page("c1", 1)), stream.begin(None, NOW, 0)).next_cursor
    with pytest.raises(BrokenAnswerError, match="leads back"):
        stream.parse(answer(page("c1", 1)), on)
    for _ in range(8):
        told = stream.parse(answer(page("c1")), on)
        assert told.more and told.next_cursor != on
        on = told.next_cursor
    with pytest.raises(BrokenAnswerError, match="leads back"):
        stream.parse(answer(page("c1")), on)
    # An empty page with another cursor leads on.
    assert stream.parse(answer(page("c2")), on).more


@pytest.mark.parametrize(
    "told", [{}, [], {"fills": None}, {"error": "INTERNAL"}, {"fills": {}}, {"orders": []}]
)
def test_an_answer_of_another_shape_is_no_end_either(told: Any) -> None:
    stream = fills()
    with pytest.raises(BrokenAnswerError):
        stream.parse(answer(told), stream.begin(None, NOW, 0))


def test_a_row_that_cannot_be_read_carries_its_fault() -> None:
    stream = fills()
    told = {"fills": [a_fill(1), {**a_fill(2), "size": "x"}, 5], "cursor": ""}
    rows = stream.parse(answer(told), stream.begin(None, NOW, 0)).rows
    assert [row.fault is not None for row in rows] == [False, True, True]
    assert rows[1].fault is not None and rows[1].fault.field == "size"


# -- orders --------------------------------------------------------------------------------------


def orders() -> OrdersStream:
    return OrdersStream(ME, note=lambda _: None, shown=lambda _: None, over=lambda: None)


def an_order(n: int, created_ns: int, status: str = "FILLED") -> dict[str, Any]:
    more = {"product_id": "A-USD", "side": "BUY", "order_type": "LIMIT", "filled_size": "0"}
    return {"order_id": f"o-{n}", "created_time": iso(created_ns), "status": status, **more}


def whole_round(
    stream: OrdersStream, cursor: str | None, rows: list[Any], **how: int
) -> PulledPage:
    """Read a round in which every row stands in its last stretch."""
    at = stream.begin(cursor, how.get("now_ns", NOW), how.get("overlap_ns", stream.overlap_ns))
    while True:
        place = read_place(at)
        is_last = place.end_ns == place.until_ns
        told = {"orders": rows if is_last else [], "has_next": False, "cursor": "77"}
        done = stream.parse(answer(told, how.get("now_ns", NOW)), at)
        if not done.more:
            return done
        at = done.next_cursor


def test_orders_that_are_open_are_read_again_within_a_week_and_daily_however_old() -> None:
    stream = orders()
    fresh, old = NOW - 2 * DAY_NS, NOW - 40 * DAY_NS
    rows = [an_order(1, old, "OPEN"), an_order(2, fresh, "PENDING"), an_order(3, NOW - HOUR_NS)]
    done = whole_round(stream, None, rows)
    assert read_place(done.next_cursor).open_ns == old
    # They were all just read; the next rounds look at what is new.
    soon = read_place(stream.begin(done.next_cursor, NOW + MINUTE_NS, stream.overlap_ns))
    assert (soon.from_ns, soon.open_ns) == (NOW - stream.overlap_ns, old)
    done = whole_round(stream, done.next_cursor, [], now_ns=NOW + MINUTE_NS)
    # After a while a week back, and the older one is not forgotten.
    later = NOW + 21 * MINUTE_NS
    look = read_place(stream.begin(done.next_cursor, later, stream.overlap_ns))
    assert (look.from_ns, look.open_ns) == (NOW + MINUTE_NS - 7 * DAY_NS, old)
    done = whole_round(stream, done.next_cursor, rows[1:], now_ns=later)
    assert read_place(done.next_cursor).open_ns == old
    again = read_place(stream.begin(done.next_cursor, later + MINUTE_NS, stream.overlap_ns))
    assert again.from_ns == later - stream.overlap_ns
    # Once a day all the way; there it is filled, and the next oldest takes its place.
    deep = read_place(stream.begin(done.next_cursor, NOW + HOUR_NS, stream.deep_ns))
    assert (deep.from_ns, deep.open_ns) == (old, None)
    ended = [an_order(1, old), *rows[1:]]
    done = whole_round(
        stream, done.next_cursor, ended, now_ns=NOW + HOUR_NS, overlap_ns=stream.deep_ns
    )
    assert read_place(done.next_cursor).open_ns == fresh
    # None open any more: only the usual overlap.
    at = NOW + HOUR_NS + 11 * MINUTE_NS
    done = whole_round(stream, done.next_cursor, [an_order(2, fresh)], now_ns=at)
    last = read_place(stream.begin(done.next_cursor, at + HOUR_NS, stream.overlap_ns))
    assert (last.from_ns, last.open_ns) == (at - stream.overlap_ns, None)


def test_a_look_at_open_orders_that_takes_many_pages_is_taken_less_often() -> None:
    stream = orders()
    at = stream.begin(None, NOW, 0)
    while read_place(at).end_ns != read_place(at).until_ns:
        nothing = {"orders": [], "has_next": False}
        at = stream.parse(answer(nothing), at).next_cursor
    rows = [an_order(1, NOW - 2 * DAY_NS, "OPEN")]
    for n in range(9):
        told = {"orders": rows, "has_next": True, "cursor": f"c{n}"}
        at = stream.parse(answer(told), at).next_cursor
    done = stream.parse(answer({"orders": [], "has_next": False}), at).next_cursor
    pages = read_place(done).looked_pages
    assert pages == 3 + 9
    for minutes, from_ns in ((5 * pages - 1, NOW), (5 * pages + 1, NOW - 2 * DAY_NS)):
        place = read_place(stream.begin(done, NOW + minutes * MINUTE_NS, 0))
        assert place.from_ns == from_ns


def test_a_look_that_was_cut_short_is_taken_again() -> None:
    stream = orders()
    rows = [an_order(1, NOW - 2 * DAY_NS, "OPEN")]
    done = whole_round(stream, None, rows).next_cursor
    later = NOW + 21 * MINUTE_NS
    at = stream.begin(done, later, stream.overlap_ns)
    told = {"orders": rows, "has_next": True, "cursor": "c1"}
    left = stream.parse(answer(told, later), at).next_cursor
    place = read_place(stream.begin(left, later + MINUTE_NS, stream.overlap_ns))
    assert place.from_ns <= NOW - 2 * DAY_NS and place.looking == 1


def test_orders_that_no_list_shows_are_asked_for_by_their_ids() -> None:
    unshown, named = Unshown(), NamedOrdersStream(ME)
    stream = OrdersStream(
        ME,
        note=lambda _: None,
        shown=unshown.shown,
        over=lambda: unshown.ask_for(named.note),
    )
    owed = Owed()
    for order_id, entry_id in (("o-1", "e-1"), ("o-2", "e-2"), ("o-2", "e-3"), ("", "e-4")):
        assert owed.seen(order_id, entry_id)
        unshown.filled(order_id)
    assert not owed.seen("o-2", "e-3")
    whole_round(stream, None, [an_order(1, NOW)])
    at = named.begin(None, NOW, 0)
    assert named.ask(at, NOW).path.endswith("/o-2")
    # Once only, whatever becomes of it.
    whole_round(stream, None, [])
    assert named.ask(named.begin(at, NOW, 0), NOW).path.endswith("/time")
    # Very many are asked for in several rounds.
    for n in range(120):
        unshown.filled(f"p-{n}")
    asked = []
    for _ in range(3):
        whole_round(stream, None, [])
        asked.append(len(json.loads(named.begin(at, NOW, 0))["ids"]))
    assert asked == [50, 50, 20]


def test_a_named_order_is_asked_for_once_and_alone() -> None:
    stream = NamedOrdersStream(ME)
    empty = stream.begin(None, NOW, 0)
    assert stream.ask(empty, NOW).path == "/api/v3/brokerage/time"
    assert not stream.parse(answer({"iso": "x"}), empty).rows
    for order_id in ("o-1", "o-2", "o-1"):
        stream.note(order_id)
    at = stream.begin(empty, NOW, 0)
    asked = []
    while True:
        ask = stream.ask(at, NOW)
        # The name of a read holds nothing of the account.
        assert ask.name == "order"
        asked.append(ask.path.rpartition("/")[2])
        done = stream.parse(answer({"order": an_order(1, NOW)}), at)
        assert len(done.rows) == 1 and done.rows[0].fault is None
        at = done.next_cursor
        if not done.more:
            break
    assert asked == ["o-1", "o-2"]
    assert stream.ask(stream.begin(at, NOW, 0), NOW).path.endswith("/time")
    with pytest.raises(BrokenAnswerError):
        stream.note("o-3")
        stream.parse(answer({"orders": []}), stream.begin(at, NOW, 0))


def test_more_orders_without_a_cursor_are_not_an_end() -> None:
    stream = orders()
    at = stream.begin(None, NOW, 0)
    with pytest.raises(BrokenAnswerError, match="but not where"):
        stream.parse(answer({"orders": [], "has_next": True, "cursor": ""}), at)
    with pytest.raises(BrokenAnswerError):
        stream.parse(answer({"orders": []}), at)
    # The end is told by `has_next`; a cursor may stand beside it.
    assert stream.parse(answer({"orders": [], "has_next": False, "cursor": "9"}), at).rows == ()


# -- products ------------------------------------------------------------------------------------


def test_contracts_are_asked_for_a_hundred_at_a_time_and_spot_never() -> None:
    names = {f"C{n:03}-27MAR26-CDE" for n in range(150)} | {"BTC-USD"}
    stream = ProductsStream(ME, lambda: names)
    at = stream.begin(None, NOW, 0)
    first = [value for name, value in stream.ask(at, NOW).query if name == "product_ids"]
    details = {"contract_size": "0.01", "contract_root_unit": "C"}
    rows = [{"product_id": name, "price": "5", "future_product_details": details} for name in first]
    told = stream.parse(answer({"products": rows}), at)
    assert told.more and len(told.rows) == 100 and len(told.rows[0].drafts) == 2
    # What is named meanwhile waits for the next round.
    names.add("A-27MAR26-CDE")
    rest = [value for name, value in stream.ask(told.next_cursor, NOW).query if value != "true"]
    assert len(rest) == 50 and not stream.parse(answer({"products": []}), told.next_cursor).more
    assert sorted(names - {"BTC-USD", "A-27MAR26-CDE"}) == first + rest


def test_without_contracts_the_time_is_asked_for_and_nothing_else() -> None:
    stream = ProductsStream(ME, lambda: {"BTC-USD"})
    at = stream.begin(None, NOW, 0)
    ask = stream.ask(at, NOW)
    assert (ask.path, ask.auth, ask.query) == ("/api/v3/brokerage/time", "none", ())
    told = stream.parse(answer({"epochMillis": "5"}), at)
    assert (told.rows, told.more) == ((), False)
