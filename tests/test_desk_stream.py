"""The user stream in the telemetry desk: every execution once; and positions somebody moved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fillbook.analysis.answers import TradeRow
from fillbook.desks.telemetry import PerformanceTelemetry
from fillbook.desks.telemetry.positions import Difference
from fillbook.facts.model import Report
from fillbook.ground.clock import DAY_NS, HOUR_NS, SECOND_NS, iso, parse_ns
from fillbook.journal.store import Journal, verify_book
from fillbook.sources.files.registry import reparse

T0 = parse_ns("2026-01-01T00:00:00Z")
T0_MS = T0 // 1_000_000

Start = Callable[[], PerformanceTelemetry]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Start the desk, or start it again."""

    def started() -> PerformanceTelemetry:
        return PerformanceTelemetry(simulate=True, log_dir=tmp_path, clock=lambda: T0 + DAY_NS)

    return started


@pytest.fixture
def desk(start: Start, tmp_path: Path) -> Iterator[PerformanceTelemetry]:
    with start() as telemetry:
        yield telemetry
        assert telemetry.refused == []
    assert verify_book(tmp_path / "fillbook.db", reparse) == []


def frame(number: int, side: str, last: str, px: str, **told: Any) -> dict[str, Any]:
    """One TRADE of an order, in the venue's own names; `filled` of `whole` by now."""
    whole, filled = told.pop("whole", last), told.pop("filled", last)
    order = {
        "s": "BTCUSDT",
        "c": "bot-1",
        "S": side,
        "o": "MARKET",
        "ot": "MARKET",
        "q": whole,
        "p": "0",
        "ap": px,
        "x": "TRADE",
        "X": "FILLED" if Decimal(filled) == Decimal(whole) else "PARTIALLY_FILLED",
        "i": 8886774,
        "l": last,
        "z": filled,
        "L": px,
        "N": "USDT",
        "n": "0",
        "T": T0_MS + 1000 * number,
        "t": number,
        "m": False,
        "R": False,
        "ps": "BOTH",
        "cp": False,
        "rp": "0",
    }
    return {"e": "ORDER_TRADE_UPDATE", "E": T0_MS, "T": T0_MS, "o": {**order, **told}}


def stop(number: int, last: str, px: str, kind: str = "STOP_MARKET", **told: Any) -> dict[str, Any]:
    """One TRADE of a reduce-only order that sells."""
    return frame(number, "SELL", last, px, R=True, ot=kind, **{"c": "sl-1", "i": 99, **told})


def opened(desk: PerformanceTelemetry, name: str = "t1", size: str = "1", **told: Any) -> None:
    about = {"trade_id": name, "symbol": "BTCUSDT", "side": "LONG", "quantity": size}
    desk.on_position_opened({**about, "entry_price": "100", "timestamp": iso(T0), **told})


def closed(desk: PerformanceTelemetry, name: str, px: str) -> None:
    about = {"trade_id": name, "symbol": "BTCUSDT", "side": "LONG", "exit_price": px}
    desk.on_position_closed({**about, "quantity": "1", "timestamp": iso(T0 + HOUR_NS)})


def trades(desk: PerformanceTelemetry) -> list[TradeRow]:
    return list(desk.update_metrics().recent_trades)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("STOP_MARKET", "STOP_LOSS"),
        ("TAKE_PROFIT_MARKET", "TAKE_PROFIT"),
        ("LIMIT", "REDUCE_ONLY_EXIT"),
    ],
)
@pytest.mark.parametrize("told", ["0", "0.00000001", "-6"])
def test_a23_v15_a_reduce_only_fill_closes_the_position_with_its_reason_and_its_prices(
    desk: PerformanceTelemetry, kind: str, reason: str, told: str
) -> None:
    opened(desk)
    for _ in range(2):
        desk.on_event(stop(7, "1", "94", kind, rp=told))
    (row,) = trades(desk)
    assert (row.trade_id, row.net, row.exit_reason) == ("t1", "-6", reason)
    assert desk.execution_summary().orders_filled == 0


def test_a23_what_the_venue_says_it_made_is_evidence_not_the_result(
    desk: PerformanceTelemetry,
) -> None:
    opened(desk)
    desk.on_event(stop(7, "1", "94", rp="-60"))
    (row,) = trades(desk)
    assert row.net == "-6"
    codes = {found.code for found in desk.update_metrics().findings}
    assert {"venue-disagrees", "recorded-pnl-differs"} <= codes


def test_a23_partial_fills_of_an_exit_all_count_in_any_order_also_after_a_restart(
    start: Start,
) -> None:
    parts = [
        stop(7, "0.4", "95", whole="1", filled="0.4", rp="-2", n="0.01"),
        stop(8, "0.6", "94", whole="1", filled="1", rp="-3.6", n="0.02"),
    ]
    with start() as first:
        opened(first)
        first.on_event(parts[1])
    with start() as second:
        for part in (*parts, *parts):
            second.on_event({"stream": "user", "data": part})
        (row,) = trades(second)
        assert (row.realized_pnl, row.net, row.fills) == ("-5.6", "-5.63", 3)


def test_a23_one_exit_order_closes_several_positions_oldest_first(
    desk: PerformanceTelemetry,
) -> None:
    opened(desk, "t1")
    opened(desk, "t2", "2", timestamp=iso(T0 + SECOND_NS))
    desk.on_event(stop(7, "2", "90", n="0.2", rp="-20"))
    done = {row.trade_id: row for row in trades(desk)}
    assert (done["t1"].net, list(done)) == ("-10.1", ["t1"])
    desk.on_event(stop(8, "1", "90", c="sl-2", i=100, n="0.05"))
    done = {row.trade_id: row for row in trades(desk)}
    assert done["t2"].net == "-20.15"
    assert desk.cost_summary().fees_paid == Decimal("0.25")


def test_a24_the_bots_own_exit_is_closed_once_whoever_speaks_first(
    desk: PerformanceTelemetry,
) -> None:
    own = stop(7, "1", "110", "MARKET", c="T_t1_E_17")
    opened(desk, "t1")
    opened(desk, "t2")
    desk.on_event(own)
    closed(desk, "t1", "110")
    desk.on_event(stop(8, "1", "120", "MARKET", c="T_t2_E_18"))
    closed(desk, "t2", "120")
    desk.on_event(own)
    assert [(row.trade_id, row.net) for row in trades(desk)] == [("t1", "10"), ("t2", "20")]


def test_a24_a_stop_that_both_the_stream_and_the_bot_tell_is_one_close(
    desk: PerformanceTelemetry,
) -> None:
    opened(desk)
    desk.on_event(stop(7, "1", "94"))
    closed(desk, "t1", "94")
    opened(desk, "t2")
    closed(desk, "t2", "95")
    desk.on_event(stop(8, "1", "95", c="sl-2"))
    assert [(row.trade_id, row.net) for row in trades(desk)] == [("t1", "-6"), ("t2", "-5")]


def test_executions_of_an_entry_make_one_trade_however_else_it_is_told(start: Start) -> None:
    """Parts on the stream, the whole by polling, the position by the bot, and a restart between."""
    first = frame(1, "BUY", "0.4", "100", whole="1", filled="0.4", n="0.04")
    second = frame(2, "BUY", "0.6", "101", whole="1", filled="1", n="0.06")
    polled = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "1", "client_order_id": "bot-1"}
    with start() as desk:
        desk.on_event(first)
        opened(desk, "t9", client_order_id="bot-1")
    with start() as desk:
        desk.on_order_filled({**polled, "avg_price": "100.6", "timestamp": iso(T0 + SECOND_NS)})
        for part in (second, first, second):
            desk.on_event(part)
        desk.on_event(stop(3, "1", "110"))
        closed(desk, "t9", "110")
        (row,) = trades(desk)
        assert (row.realized_pnl, row.net, row.position_size) == ("9.4", "9.3", "1")
        told = desk.execution_summary()
        assert (told.orders_placed, told.orders_filled) == (1, 1)


def test_an_order_polled_before_its_executions_arrive_counts_once(
    desk: PerformanceTelemetry,
) -> None:
    polled = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "1", "client_order_id": "bot-1"}
    desk.on_order_filled({**polled, "avg_price": "100", "timestamp": iso(T0)})
    desk.on_event(frame(1, "BUY", "1", "100"))
    (row,) = desk.update_metrics().open_trades
    assert row.position_size == "1"


def test_orders_of_two_symbols_may_share_their_number(desk: PerformanceTelemetry) -> None:
    desk.on_event(frame(1, "BUY", "1", "100", c=None))
    desk.on_event(frame(1, "BUY", "2", "50", c=None, s="ETHUSDT"))
    held = {row.product_id: row.position_size for row in desk.update_metrics().open_trades}
    assert held == {"BTCUSDT": "1", "ETHUSDT": "2"}


def test_what_the_bot_expected_joins_what_the_stream_tells(desk: PerformanceTelemetry) -> None:
    placed = {"symbol": "BTCUSDT", "side": "BUY", "client_order_id": "bot-1", "quantity": 1}
    desk.on_order_placed({**placed, "expected_price": "100", "timestamp": iso(T0)})
    desk.on_event(frame(1, "BUY", "0.5", "100.05", whole="1", filled="0.5"))
    desk.on_event(frame(2, "BUY", "0.5", "100.15", whole="1", filled="1"))
    assert desk.trade_summary().avg_entry_slippage_bps == pytest.approx(10.0)


def test_closing_a_hedged_side_needs_no_reduce_only_flag(desk: PerformanceTelemetry) -> None:
    opened(desk)
    desk.on_event(frame(5, "SELL", "1", "97", ps="LONG", c="x", i=3))
    assert [(row.side, row.net) for row in trades(desk)] == [("LONG", "-3")]


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("autoclose-1701", "liquidation"),
        ("adl_autoclose", "adl"),
        ("settlement_autoclose-7", "settlement"),
    ],
)
def test_the_venues_own_orders_close_and_open_nothing(
    desk: PerformanceTelemetry, name: str, cause: str
) -> None:
    opened(desk)
    desk.on_event(frame(5, "SELL", "1", "60", x="CALCULATED", c=name, i=3, rp="-40"))
    (row,) = trades(desk)
    assert (row.net, row.exit_cause, row.exit_cause_certain) == ("-40", cause, True)
    assert desk.update_metrics().open_trades == ()


def test_states_of_an_order_that_are_no_trade_fill_nothing(desk: PerformanceTelemetry) -> None:
    for number, (what, state) in enumerate(
        (("NEW", "NEW"), ("CANCELED", "CANCELED"), ("EXPIRED", "EXPIRED_IN_MATCH"))
    ):
        told = {"x": what, "X": state, "l": "0", "z": "0", "L": "0", "t": 0, "c": f"o{number}"}
        desk.on_event(frame(number, "BUY", "1", "100", **told))
    assert desk.update_metrics().open_trades == ()
    assert desk.execution_summary().orders_placed == 1


# -- positions that somebody moved ----------------------------------------------------------


def difference(kind: str, ours: str, theirs: str, side: str = "net") -> Difference:
    told: dict[str, Any] = {"kind": f"POSITION_{kind}_EXTERNALLY", "side": side}
    return Difference(symbol="BTCUSDT", ours=Decimal(ours), theirs=Decimal(theirs), **told)


def risk(amount: object, side: str = "BOTH") -> dict[str, Any]:
    """A position as Binance's positionRisk prints it."""
    about = {"symbol": "BTCUSDT", "positionSide": side, "entryPrice": "100", "markPrice": "101"}
    return {**about, "positionAmt": amount, "unRealizedProfit": "0"}


def test_a26_positions_that_differ_are_raised_and_the_book_stays_the_bots(
    desk: PerformanceTelemetry, caplog: pytest.LogCaptureFixture
) -> None:
    assert desk.check_positions([risk("0")]) == []
    assert desk.check_positions([risk("-0.5")]) == [difference("OPENED", "0", "-0.5")]
    opened(desk, size="0.3")
    assert desk.check_positions([risk("0.3")]) == []
    assert desk.check_positions([risk("0.30000001")]) == []
    changed = [difference("SIZE_CHANGED", "0.3", "0.30000002")]
    for _ in range(3):
        assert desk.check_positions([risk("0.30000002")]) == changed
    assert caplog.text.count("POSITION_SIZE_CHANGED_EXTERNALLY") == 1
    assert desk.check_positions([]) == [difference("CLOSED", "0.3", "0")]
    (row,) = desk.update_metrics().open_trades
    assert (row.position_size, row.approximate) == ("0.3", False)


def test_a26_what_the_venue_stated_stays_in_the_book_and_is_written_when_it_changes(
    start: Start, tmp_path: Path
) -> None:
    hedged = [risk("1", "LONG"), risk("-0.5", "SHORT")]
    for rows in ([risk("-0.5")], [risk("-0.5")], ["nonsense"], [], [], hedged):
        with start() as desk:
            desk.check_positions(rows)
    with Journal.open(tmp_path / "fillbook.db", readonly=True) as journal:
        stated = [claim.fact for claim in journal.claims(kinds=("report",))]
    assert [fact.qty for fact in stated if isinstance(fact, Report)] == [
        *(Decimal("-0.5"), 0),
        Decimal("0.5"),
    ]


class Client:
    """A bot's REST client that can tell its positions, or whatever else it is given."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def get_income_history(self, income_type: str) -> list[Any]:
        return []

    async def get_position_risk(self, symbol: str | None = None) -> Any:
        return self.answer


class TimeUpError(Exception):
    """Ends a loop that otherwise runs for ever."""


def test_a26_the_loop_checks_positions_where_the_client_can_tell_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    answers = iter([[risk("1")], {"error": "busy"}, [], [risk("1")]])
    client = Client([risk("1")])

    async def sleep(seconds: float) -> None:
        client.answer = next(answers, None)
        if client.answer is None:
            raise TimeUpError

    with PerformanceTelemetry(
        client, log_dir=tmp_path, clock=lambda: T0 + DAY_NS, sleep=sleep
    ) as desk:
        opened(desk)
        with pytest.raises(TimeUpError):
            asyncio.run(desk.telemetry_loop())
    said = [record.message for record in caplog.records if "EXTERNALLY" in record.message]
    assert len(said) == 1 and "POSITION_CLOSED_EXTERNALLY: BTCUSDT" in said[0]
    assert "positions not checked: tried again soon" in caplog.text


def test_a26_hedged_sides_are_compared_apart(desk: PerformanceTelemetry) -> None:
    opened(desk)
    opened(desk, "t2", side="SHORT")
    assert desk.check_positions([risk("1", "LONG"), risk("-1", "SHORT")]) == []
    assert desk.check_positions([risk("1", "LONG"), risk("0", "SHORT")]) == [
        difference("CLOSED", "-1", "0", "short")
    ]
    plain = {"product_id": "BTCUSDT", "side": "LONG", "contracts": 1}
    assert desk.check_positions([plain, {**plain, "side": "SHORT"}]) == []


def test_a26_what_cannot_be_read_is_no_proof_that_a_position_is_gone(start: Start) -> None:
    with start() as desk:
        opened(desk)
        assert desk.check_positions([risk("many")]) == []
        assert desk.check_positions(["nonsense"]) == []
        assert len(desk.refused) == 2
        assert desk.check_positions([]) == [difference("CLOSED", "1", "0")]
