"""Binance's histories walked page by page against a small model of the venue's paging."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fillbook.facts.model import OrderUpdate
from fillbook.ground.clock import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS
from fillbook.sources.binance.income_stream import IncomeStream
from fillbook.sources.binance.rates import RatesStream
from fillbook.sources.binance.streams import (
    AlgoOrdersStream,
    OrdersStream,
    SymbolStream,
    TradesStream,
)
from fillbook.sources.faults import BrokenAnswerError, UnreadableError
from fillbook.sources.source import Draft
from fillbook.sources.stream import Answer, Ask, PulledPage, Stream

MS = 1_000_000
NOW_MS = 1_800_000_000_000
NOW_NS = NOW_MS * MS
WEEK_MS = 7 * 86_400_000
KEPT_MS = 89 * 86_400_000


def trade(number: int, at_ms: int, **cells: object) -> dict[str, object]:
    row = {"symbol": "BTCUSDT", "id": number, "orderId": 5, "side": "BUY", "price": "100"}
    row |= {"qty": "1", "commission": "0.1", "commissionAsset": "USDT", "time": at_ms}
    return {**row, "positionSide": "BOTH", "buyer": True, "maker": False, **cells}


def money(number: int, at_ms: int, kind: str = "COMMISSION", symbol: str = "BTCUSDT") -> Any:
    row = {"symbol": symbol, "incomeType": kind, "income": "-1", "asset": "USDT"}
    return {**row, "time": at_ms, "tranId": number, "tradeId": str(number)}


def order(number: int, at_ms: int, status: str = "FILLED", **cells: object) -> dict[str, object]:
    row = {"symbol": "BTCUSDT", "orderId": number, "clientOrderId": f"c{number}", "side": "BUY"}
    row |= {"positionSide": "BOTH", "origType": "LIMIT", "status": status, "origQty": "1"}
    row |= {"executedQty": "1" if status == "FILLED" else "0", "price": "100"}
    return {**row, "time": at_ms, "updateTime": at_ms + 5, **cells}


@dataclass
class Venue:
    """The venue's own rules of paging, written down once more: oldest first, both ends included."""

    rows: list[dict[str, Any]]
    id_name: str = "fromId"
    id_field: str = "id"
    time_field: str = "time"
    asked: list[Ask] = field(default_factory=list)
    loses: Callable[[dict[str, Any]], bool] = lambda row: False

    def answer(self, ask: Ask) -> list[dict[str, Any]]:
        self.asked.append(ask)
        query = dict(ask.query)
        rows = [row for row in self.rows if not self.loses(row)]
        for name, cell in (("symbol", "symbol"), ("incomeType", "incomeType")):
            if name in query:
                rows = [row for row in rows if row[cell] == query[name]]
        if self.id_name in query:
            assert "startTime" not in query
            rows = [row for row in rows if row[self.id_field] >= int(query[self.id_name])]
            rows.sort(key=lambda row: row[self.id_field])
        else:
            start, end = int(query["startTime"]), int(query["endTime"])
            assert 0 <= end - start < WEEK_MS
            rows = [row for row in rows if start <= row[self.time_field] <= end]
            rows.sort(key=lambda row: (row[self.time_field], row.get(self.id_field, 0)))
        return rows[: int(query["limit"])]


@dataclass
class Round:
    """Everything one round brought."""

    pages: list[PulledPage] = field(default_factory=list)
    cursor: str = ""

    @property
    def facts(self) -> list[Any]:
        drafts = (draft for page in self.pages for row in page.rows for draft in row.drafts)
        return [draft.fact for draft in drafts if isinstance(draft, Draft)]

    @property
    def covered(self) -> list[tuple[int, int]]:
        """What is complete after the round, united."""
        spans = sorted(
            (page.covered_from_ns, page.covered_until_ns)
            for page in self.pages
            if page.covered_from_ns is not None and page.covered_until_ns is not None
        )
        united: list[tuple[int, int]] = []
        for start, end in spans:
            if united and start <= united[-1][1]:
                united[-1] = (united[-1][0], max(end, united[-1][1]))
            else:
                united.append((start, end))
        return united

    @property
    def gaps(self) -> list[tuple[int, int]]:
        return [(page.gap.from_ns, page.gap.until_ns) for page in self.pages if page.gap]


def pull(
    stream: Stream,
    venue: Venue,
    cursor: str | None = None,
    *,
    now_ns: int = NOW_NS,
    overlap_ns: int | None = None,
    most: int = 500,
) -> Round:
    """Walk one round as the pager does."""
    done = Round()
    at = stream.begin(cursor, now_ns, stream.overlap_ns if overlap_ns is None else overlap_ns)
    for _ in range(most):
        rows = venue.answer(stream.ask(at, now_ns))
        text = json.dumps(rows)
        answer = Answer(
            status=200,
            text=text,
            headers={},
            asked_ns=now_ns - SECOND_NS,
            told_ns=now_ns,
            received_ns=now_ns,
        )
        page = stream.parse(answer, at)
        done.pages.append(page)
        done.cursor = at = page.next_cursor
        assert not page.stuck
        if not page.more:
            return done
    raise AssertionError("the walk does not end")


def trades_stream(page_rows: int = 3) -> TradesStream:
    return TradesStream("1", "BTCUSDT", every_ns=MINUTE_NS, page_rows=page_rows)


def income_stream(
    page_rows: int = 3, traded: Sequence[str] = ("BTCUSDT",), noted: set[str] | None = None
) -> IncomeStream:
    kinds = noted if noted is not None else set()
    return IncomeStream(
        "1", traded=lambda: traded, note=kinds.add, wonder=kinds.add, page_rows=page_rows
    )


def test_the_first_round_covers_what_the_venue_keeps() -> None:
    venue = Venue([trade(1, NOW_MS - WEEK_MS * 3), trade(2, NOW_MS - 5_000)])
    done = pull(trades_stream(), venue)
    assert [fill.fill_id for fill in done.facts] == ["1", "2"]
    assert done.covered == [((NOW_MS - KEPT_MS) * MS, NOW_NS - SECOND_NS)]
    assert done.gaps == []
    assert len(venue.asked) == 13
    assert {(ask.path, ask.weight, ask.auth) for ask in venue.asked} == {
        ("/fapi/v1/userTrades", 5, "signed")
    }


def test_a_later_round_is_one_read_and_looks_back_for_late_rows() -> None:
    venue = Venue([trade(2, NOW_MS - 5_000)])
    first = pull(trades_stream(), venue)
    venue.rows.append(trade(1, NOW_MS - 10 * 60_000))
    venue.asked.clear()
    later_ns = NOW_NS + MINUTE_NS
    second = pull(trades_stream(), venue, first.cursor, now_ns=later_ns)
    assert [fill.fill_id for fill in second.facts] == ["1", "2"]
    assert len(venue.asked) == 1
    assert second.covered == [(NOW_NS - SECOND_NS - 15 * MINUTE_NS, later_ns - SECOND_NS)]


def test_an_outage_beyond_retention_is_a_gap_with_the_export_that_fills_it() -> None:
    venue = Venue([])
    first = pull(trades_stream(), venue)
    later_ns = NOW_NS + 100 * DAY_NS
    second = pull(trades_stream(), venue, first.cursor, now_ns=later_ns)
    (gap,) = [page.gap for page in second.pages if page.gap]
    assert (gap.from_ns, gap.until_ns) == (NOW_NS - SECOND_NS, later_ns - KEPT_MS * MS)
    assert "export the trade history on Binance's web page" in gap.cause
    assert second.covered == [(later_ns - KEPT_MS * MS, later_ns - SECOND_NS)]


def test_ids_lead_through_an_instant_with_more_rows_than_pages_hold() -> None:
    crowd = [trade(number, NOW_MS - 1_000) for number in range(10, 30)]
    venue = Venue([trade(1, NOW_MS - 2_000), *crowd, trade(50, NOW_MS - 999)])
    done = pull(trades_stream(4), venue)
    assert {fill.fill_id for fill in done.facts} == {str(row["id"]) for row in venue.rows}
    assert done.covered == [((NOW_MS - KEPT_MS) * MS, NOW_NS - SECOND_NS)]
    assert any("fromId" in dict(ask.query) for ask in venue.asked)


def test_a_venue_that_hides_the_crowded_instant_from_ids_stops_the_stream() -> None:
    crowd = [trade(number, NOW_MS - 1_000) for number in range(10, 30)]

    class Forgetful(Venue):
        def answer(self, ask: Ask) -> list[dict[str, Any]]:
            return [] if "fromId" in dict(ask.query) else super().answer(ask)

    with pytest.raises(UnreadableError, match="does not show id 13 again") as told:
        pull(trades_stream(4), Forgetful(crowd))
    assert told.value.at_ns == (NOW_MS - 1_000) * MS


def test_a_round_cut_off_anywhere_misses_nothing_afterwards() -> None:
    rows = [trade(n, NOW_MS - 40_000 + 1_000 * (n // 3)) for n in range(30)]
    whole = pull(trades_stream(2), Venue(rows))
    for cut in range(len(whole.pages)):
        rest = pull(trades_stream(2), Venue(rows), whole.pages[cut].next_cursor, overlap_ns=0)
        seen = {
            draft.fact.fill_id  # type: ignore[union-attr]
            for page in (*whole.pages[: cut + 1], *rest.pages)
            for row in page.rows
            for draft in row.drafts
        }
        assert seen == {str(row["id"]) for row in rows}


TIMES = st.lists(st.integers(0, 12), max_size=40)


@settings(max_examples=150, deadline=None)
@given(times=TIMES, page_rows=st.integers(3, 6), unordered=st.booleans())
def test_every_trade_is_walked_past_once_at_least(
    times: list[int], page_rows: int, unordered: bool
) -> None:
    """Ids normally grow with time; sometimes two of different instants have changed places."""
    numbers = list(range(100, 100 + len(times)))
    times.sort()
    if unordered:
        for n in range(0, len(numbers) - 1, 3):
            if times[n] != times[n + 1]:
                numbers[n], numbers[n + 1] = numbers[n + 1], numbers[n]
    rows = [trade(i, NOW_MS - 100_000 + at) for i, at in zip(numbers, times, strict=True)]
    done = pull(trades_stream(page_rows), Venue(rows))
    assert {fill.fill_id for fill in done.facts} == {str(number) for number in numbers}
    assert done.covered == [((NOW_MS - KEPT_MS) * MS, NOW_NS - SECOND_NS)]


# -- income ------------------------------------------------------------------------------------

# One that nobody has heard of among them; on its first page, as it is sorted.
KINDS = ["A_NEW_KIND", "COMMISSION", "FUNDING_FEE", "REALIZED_PNL", "TRANSFER"]


@settings(max_examples=200, deadline=None)
@given(
    drawn=st.lists(
        st.tuples(st.integers(0, 1), st.sampled_from(KINDS), st.sampled_from("ABCDEFGHIJ")),
        min_size=20,
        max_size=80,
    ),
    page_rows=st.integers(5, 12),
)
def test_every_income_row_is_seen_whatever_crowds(
    drawn: list[tuple[int, str, str]], page_rows: int
) -> None:
    """At most one row of a kind, symbol and instant: the finest part there is fits a page."""
    cells = sorted({(at, kind, f"{name}USDT") for at, kind, name in drawn})
    rows = [money(n, NOW_MS - 50_000 + at, k, s) for n, (at, k, s) in enumerate(cells)]
    noted: set[str] = set()
    traded = [f"{name}USDT" for name in "ABCDEFGHIJ"]
    done = pull(income_stream(page_rows, traded=traded, noted=noted), Venue(rows))
    wanted = {str(row["tranId"]) for row in rows}
    told = {
        getattr(f, "charge_id", None)
        or getattr(f, "funding_id", None)
        or getattr(f, "transfer_id", None)
        for f in done.facts
    }
    assert told == wanted
    assert done.covered == [((NOW_MS - KEPT_MS) * MS, NOW_NS - SECOND_NS)]
    assert noted == {row["symbol"] for row in rows} | (
        {"A_NEW_KIND"} & {row["incomeType"] for row in rows}
    )


def test_an_instant_is_read_by_type_then_by_symbol() -> None:
    rows = [money(n, NOW_MS - 9, "FUNDING_FEE", f"S{n}USDT") for n in range(5)]
    rows += [money(90, NOW_MS - 9, "COMMISSION")]
    venue = Venue(rows)
    done = pull(income_stream(4, traded=("S4USDT",)), venue)
    assert len({f.funding_id for f in done.facts if hasattr(f, "funding_id")}) == 5
    asked = [dict(ask.query) for ask in venue.asked]
    assert {q["symbol"] for q in asked if "symbol" in q} == {f"S{n}USDT" for n in range(5)}
    assert {ask.weight for ask in venue.asked} == {30}


def test_more_rows_of_one_type_and_symbol_than_a_page_holds_stop_the_stream() -> None:
    rows = [money(n, NOW_MS - 9) for n in range(5)]
    with pytest.raises(UnreadableError, match="rows of COMMISSION BTCUSDT in one millisecond"):
        pull(income_stream(4), Venue(rows))


def test_rows_without_a_symbol_are_never_taken_for_read_by_symbol() -> None:
    rows = [money(n, NOW_MS - 9, "TRANSFER", "") for n in range(5)]
    with pytest.raises(UnreadableError, match="rows of TRANSFER"):
        pull(income_stream(4), Venue(rows))


def test_rows_of_which_some_name_no_symbol_are_not_read_by_symbol_either() -> None:
    rows = [money(n, NOW_MS - 9, "TRANSFER", "BTCUSDT" if n < 2 else "") for n in range(5)]
    with pytest.raises(UnreadableError, match="rows of TRANSFER"):
        pull(income_stream(4), Venue(rows))


# -- orders ------------------------------------------------------------------------------------


def orders_stream(kind: type[SymbolStream] = OrdersStream, page_rows: int = 50) -> Any:
    return kind("1", "BTCUSDT", every_ns=MINUTE_NS, page_rows=page_rows)  # type: ignore[call-arg]


def order_venue(rows: list[dict[str, Any]]) -> Venue:
    return Venue(rows, id_name="orderId", id_field="orderId")


def test_orders_promise_only_the_days_in_which_nothing_vanishes() -> None:
    done = pull(orders_stream(), order_venue([order(1, NOW_MS - 20 * 86_400_000)]))
    assert [update.status for update in done.facts] == ["placed", "filled"]
    assert done.covered == [(NOW_NS - 3 * DAY_NS, NOW_NS - SECOND_NS)]
    assert done.gaps == []


def test_an_order_that_was_open_is_looked_at_until_it_is_not() -> None:
    opened = order(1, NOW_MS - 3_600_000, "NEW")
    venue = order_venue([opened])
    first = pull(orders_stream(), venue)
    for days in (1, 5):
        opened["status"] = "NEW" if days == 1 else "CANCELED"
        later_ns = NOW_NS + days * DAY_NS
        first = pull(orders_stream(), venue, first.cursor, now_ns=later_ns)
        assert [u.status for u in first.facts] == (
            ["placed"] if days == 1 else ["placed", "cancelled"]
        )
    venue.asked.clear()
    again = pull(orders_stream(), venue, first.cursor, now_ns=NOW_NS + 5 * DAY_NS + HOUR_NS)
    assert again.facts == []
    assert len(venue.asked) == 1


def test_an_order_open_for_weeks_is_looked_at_daily_and_not_forgotten() -> None:
    opened = order(1, NOW_MS - 20 * 86_400_000, "NEW")
    venue = order_venue([opened])
    done = pull(orders_stream(), venue)
    for hours in (1, 2):
        done = pull(orders_stream(), venue, done.cursor, now_ns=NOW_NS + hours * HOUR_NS)
        assert done.facts == []
    opened["status"] = "FILLED"
    stream = orders_stream()
    deep = pull(stream, venue, done.cursor, now_ns=NOW_NS + DAY_NS, overlap_ns=stream.deep_ns)
    assert [update.status for update in deep.facts] == ["placed", "filled"]


def test_after_more_than_three_days_away_unfilled_orders_may_be_gone() -> None:
    venue = order_venue([])
    first = pull(orders_stream(), venue)
    later_ns = NOW_NS + 5 * DAY_NS
    second = pull(orders_stream(), venue, first.cursor, now_ns=later_ns)
    assert second.gaps == [(NOW_NS - SECOND_NS, later_ns - 3 * DAY_NS)]
    assert second.covered == [(later_ns - 3 * DAY_NS, later_ns - SECOND_NS)]
    third = pull(orders_stream(), venue, second.cursor, now_ns=later_ns + HOUR_NS)
    assert third.gaps == []


def test_a_first_round_cut_off_promised_nothing_and_has_no_gap() -> None:
    rows = [order(n, NOW_MS - 30 * 86_400_000 + n) for n in range(9)]
    first = pull(orders_stream(page_rows=3), order_venue(rows))
    for page in first.pages[:-1]:
        again = pull(orders_stream(page_rows=3), order_venue(rows), page.next_cursor)
        assert again.gaps == []


def test_conditional_orders_are_walked_by_their_own_names() -> None:
    row = {"algoId": 7, "clientAlgoId": "s", "algoType": "CONDITIONAL", "orderType": "STOP_MARKET"}
    row |= {"symbol": "BTCUSDT", "side": "SELL", "positionSide": "BOTH", "quantity": "1"}
    row |= {"algoStatus": "NEW", "actualOrderId": "", "triggerPrice": "90", "price": "0"}
    rows = [{**row, "algoId": n, "createTime": NOW_MS - 50, "updateTime": NOW_MS} for n in range(9)]
    venue = Venue(rows, id_name="algoId", id_field="algoId", time_field="createTime")
    done = pull(orders_stream(AlgoOrdersStream, 4), venue)
    assert {u.order_id for u in done.facts if isinstance(u, OrderUpdate)} == {
        f"algo-{n}" for n in range(9)
    }
    assert {ask.path for ask in venue.asked} == {"/fapi/v1/allAlgoOrders"}


# -- rows that cannot be read --------------------------------------------------------------------


def answer_of(text: str) -> Answer:
    return Answer(
        status=200, text=text, headers={}, asked_ns=NOW_NS, told_ns=NOW_NS, received_ns=NOW_NS
    )


@pytest.mark.parametrize("text", ['{"rows": []}', "null", "[1, 2]", '"no"', '[["a"]]'])
def test_an_answer_of_another_shape_is_no_history(text: str) -> None:
    for stream in (trades_stream(), income_stream()):
        cursor = stream.begin(None, NOW_NS, 0)
        try:
            page = stream.parse(answer_of(text), cursor)
        except BrokenAnswerError:
            continue
        assert page.rows and all(row.fault for row in page.rows)


def test_a_row_that_cannot_be_read_keeps_its_text_and_its_fault() -> None:
    rows = [trade(1, NOW_MS - 9), trade(2, NOW_MS - 8, side="HOLD"), trade(3, NOW_MS - 7)]
    stream = trades_stream()
    page = stream.parse(answer_of(json.dumps(rows)), stream.begin(None, NOW_NS, 0))
    good, bad, other = page.rows
    assert (good.fault, other.fault) == (None, None)
    assert bad.fault is not None and bad.fault.field == "side"
    assert json.loads(bad.raw)["side"] == "HOLD"


@pytest.mark.parametrize("text", ["", "{}", "7", '{"walk": 3}', "null"])
def test_a_cursor_of_another_form_is_refused(text: str) -> None:
    for stream in (trades_stream(), income_stream(), orders_stream()):
        with pytest.raises(ValueError):
            stream.begin(text, NOW_NS, 0)


# -- what BNB was worth ------------------------------------------------------------------------


def test_rates_are_the_closes_of_bars_that_have_closed() -> None:
    bars = [
        [NOW_MS - 1_800_000, "600", "601", "599", "600.5", "0", NOW_MS - 900_001, "0", 5, "0", "0"],
        [NOW_MS - 900_000, "600.5", "602", "600", "601.25", "0", NOW_MS - 1, "0", 5, "0", "0"],
        [NOW_MS, "601.25", "602", "600", "601.5", "0", NOW_MS + 899_999, "0", 5, "0", "0"],
    ]
    stream = RatesStream("1", "USDT")
    cursor = stream.begin(None, NOW_NS, 0)
    ask = stream.ask(cursor, NOW_NS)
    assert (dict(ask.query)["pair"], ask.auth) == ("BNBUSDT", "none")
    page = stream.parse(answer_of(json.dumps(bars)), cursor)
    marks = [draft for row in page.rows for draft in row.drafts]
    assert [(m.instrument, str(m.px), m.ts_ns // MS) for m in marks] == [  # type: ignore[union-attr]
        ("BNB/USDT", "600.5", NOW_MS - 900_001),
        ("BNB/USDT", "601.25", NOW_MS - 1),
    ]
    assert page.covered_from_ns is None
