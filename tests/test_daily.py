"""The daily files: fixed shapes, exact rounding, whole files or none."""

from __future__ import annotations

import csv
import io
import json
import os
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillbook.analysis.daily import DailyRecord
from fillbook.ground.clock import DAY_NS, HOUR_NS, day_start_ns
from fillbook.ground.errors import FillbookError
from fillbook.ground.exact import to_money
from fillbook.publish.daily import fixed, to_csv, to_json, to_log_line, write_all, write_daily

ONE = 10**18
HEADER = (
    "date,trades,wins,losses,win_rate_pct,gross_profit,gross_loss,net_pnl,expectancy,"
    "profit_factor,fill_rate_pct,avg_entry_slippage_bps,avg_exit_slippage_bps,fees_paid,"
    "funding_paid,funding_received,net_funding,time_in_market_pct,avg_holding_hours"
)

EMPTY = DailyRecord(
    day="2026-01-01",
    session_start_ns=day_start_ns("2026-01-01"),
    currency="USDT",
    account="desk",
    book="b00c",
    seq=42,
    head="ab12",
    revision=1,
)
V10 = msgspec.structs.replace(
    EMPTY,
    wins=6,
    losses=4,
    gross_profit=120 * ONE,
    gross_loss=40 * ONE,
    net=80 * ONE,
    orders_placed=12,
    orders_filled=10,
    fees=5 * ONE,
    funding_paid=3 * ONE,
    funding_received=2 * ONE,
    in_market_ns=DAY_NS * 455 // 1000,
    hold_ns=45 * HOUR_NS,
)
V11 = msgspec.structs.replace(
    EMPTY,
    wins=3,
    losses=2,
    gross_profit=50 * ONE,
    gross_loss=20 * ONE,
    net=30 * ONE,
    orders_placed=6,
    orders_filled=5,
    entry_slippage_bps=0.0,
    fees=2 * ONE,
    funding_paid=ONE // 2,
    funding_received=ONE,
    in_market_ns=DAY_NS * 30 // 100,
)


def parsed(record: DailyRecord) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(to_json(record))
    return document


def row_of(record: DailyRecord) -> dict[str, str]:
    (row,) = csv.DictReader(io.StringIO(to_csv(record).decode()))
    return row


def test_v10_ten_trades() -> None:
    document = parsed(V10)
    assert document["trades"] == {"total": 10, "wins": 6, "losses": 4, "win_rate_pct": 60.0}
    assert document["performance"] == {
        "gross_profit": 120.0,
        "gross_loss": -40.0,
        "net_pnl": 80.0,
        "expectancy": 8.0,
        "profit_factor": 3.0,
    }
    assert document["execution"]["fill_rate_pct"] == 83.33
    assert document["costs"] == {
        "fees_paid": 5.0,
        "funding_paid": 3.0,
        "funding_received": 2.0,
        "net_funding": -1.0,
        "total_costs": 6.0,
    }
    assert document["time"] == {"time_in_market_pct": 45.5, "avg_holding_hours": 4.5}


def test_json_has_the_fixed_shape_and_names_the_book() -> None:
    document = parsed(V10)
    assert list(document) == [
        "date",
        "session_start",
        "trades",
        "performance",
        "execution",
        "costs",
        "time",
        "fillbook",
    ]
    assert document["date"] == "2026-01-01"
    assert document["session_start"] == "2026-01-01T00:00:00Z"
    assert document["execution"] == {
        "orders_placed": 12,
        "orders_filled": 10,
        "fill_rate_pct": 83.33,
        "avg_entry_slippage_bps": None,
        "avg_exit_slippage_bps": None,
    }
    assert document["fillbook"] == {
        "book": "b00c",
        "seq": 42,
        "head": "ab12",
        "revision": 1,
        "venue": None,
        "account": V10.account,
        "currency": V10.currency,
    }


def test_v11_log_line_to_the_letter() -> None:
    assert to_log_line(V11) == (
        "date=2026-01-01 trades=5 win_rate=60.0% expectancy=6.00 profit_factor=2.50 "
        "fill_rate=83.3% avg_slippage_bps=0.0 fees=2.00 net_funding=0.50 time_in_market=30.0%"
    )


def test_v12_two_files_nineteen_columns_same_bytes_twice(tmp_path: Path) -> None:
    first = write_daily(V10, tmp_path)
    assert first.json == tmp_path / "daily_summary_2026-01-01.json"
    assert first.csv == tmp_path / "daily_summary_2026-01-01.csv"
    before = first.json.read_bytes(), first.csv.read_bytes()
    lines = before[1].decode().splitlines()
    assert len(lines) == 2
    assert lines[0] == HEADER
    assert lines[1] == (
        "2026-01-01,10,6,4,60.0,120.0,-40.0,80.0,8.0,3.0,83.33,,,5.0,3.0,2.0,-1.0,45.5,4.5"
    )
    again = write_daily(V10, tmp_path)
    assert (again.json.read_bytes(), again.csv.read_bytes()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [first.csv.name, first.json.name]


def test_v04_profit_factor_in_every_form() -> None:
    def with_sums(profit: int, loss: int) -> DailyRecord:
        return msgspec.structs.replace(EMPTY, wins=1, gross_profit=profit, gross_loss=loss)

    both, unbeaten, neither = with_sums(100, 50), with_sums(100, 0), with_sums(0, 0)
    values = [
        parsed(record)["performance"]["profit_factor"] for record in (both, unbeaten, neither)
    ]
    assert values == [2.0, "inf", None]
    assert [row_of(r)["profit_factor"] for r in (both, unbeaten, neither)] == ["2.0", "inf", ""]
    assert "profit_factor=inf " in to_log_line(unbeaten)
    assert "profit_factor=n/a " in to_log_line(neither)
    assert b"Infinity" not in to_json(unbeaten)


@pytest.mark.parametrize(
    ("placed", "filled", "in_json", "in_line"),
    [
        (20, 16, 80.0, "80.0%"),
        (12, 10, 83.33, "83.3%"),
        (6, 5, 83.33, "83.3%"),
        (0, 0, None, "n/a"),
    ],
)
def test_v05_fill_rate(placed: int, filled: int, in_json: float | None, in_line: str) -> None:
    record = msgspec.structs.replace(EMPTY, orders_placed=placed, orders_filled=filled)
    assert parsed(record)["execution"]["fill_rate_pct"] == in_json
    assert f"fill_rate={in_line} " in to_log_line(record)


def test_v02_a_day_without_trades() -> None:
    document = parsed(EMPTY)
    assert document["trades"] == {"total": 0, "wins": 0, "losses": 0, "win_rate_pct": None}
    assert document["performance"]["gross_loss"] == 0.0
    assert b"-0.0" not in to_json(EMPTY) and b"NaN" not in to_json(EMPTY)
    assert row_of(EMPTY)["expectancy"] == ""
    assert to_log_line(EMPTY) == (
        "date=2026-01-01 trades=0 win_rate=n/a expectancy=n/a profit_factor=n/a fill_rate=n/a "
        "avg_slippage_bps=n/a fees=0.00 net_funding=0.00 time_in_market=0.0%"
    )


def test_unknown_fees_and_times_are_said_not_guessed() -> None:
    record = msgspec.structs.replace(V10, fees=None, net=None, in_market_ns=None, hold_ns=None)
    document = parsed(record)
    assert (document["performance"]["net_pnl"], document["performance"]["expectancy"]) == (
        None,
    ) * 2
    assert (document["costs"]["fees_paid"], document["costs"]["total_costs"]) == (None,) * 2
    assert document["time"] == {"time_in_market_pct": None, "avg_holding_hours": None}
    assert document["performance"]["gross_profit"] == 120.0
    assert "fees=n/a " in to_log_line(record)


def test_break_even_trades_are_in_the_total_only() -> None:
    record = msgspec.structs.replace(V10, breakeven=2)
    assert parsed(record)["trades"] == {"total": 12, "wins": 6, "losses": 4, "win_rate_pct": 50.0}


def test_rounding_is_half_to_even_on_exact_values() -> None:
    amounts = ["0.005", "0.015", "-2.675", "1234567890123456789.985"]
    texts = [fixed(Fraction(to_money(Decimal(a)), ONE), 2) for a in amounts]
    assert texts == ["0.00", "0.02", "-2.68", "1234567890123456789.98"]
    large = msgspec.structs.replace(EMPTY, gross_profit=to_money(Decimal("90071992547409931.07")))
    assert row_of(large)["gross_profit"] == "90071992547409931.07"
    assert b'"gross_profit": 90071992547409931.07,' in to_json(large)


@given(st.decimals(-(10**9), 10**9, places=6), st.integers(1, 4))
def test_fixed_equals_decimal_rounding(value: Decimal, places: int) -> None:
    expected = value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN)
    text = fixed(Fraction(value), places)
    assert Decimal(text) == expected
    assert len(text.split(".")[1]) == places
    assert not (text.startswith("-") and expected == 0)


def test_accounts_and_currencies_get_their_own_folders(tmp_path: Path) -> None:
    other = msgspec.structs.replace(V10, account="0xab/..", currency="BTC")
    written = write_all([V10, other], tmp_path)
    assert written[0].json == tmp_path / "desk" / "USDT" / "daily_summary_2026-01-01.json"
    assert written[1].json == tmp_path / "0xab%2F.." / "BTC" / "daily_summary_2026-01-01.json"
    assert written[1].csv.read_bytes() == to_csv(other)
    escaping = msgspec.structs.replace(V10, account="..")
    inside = write_daily(escaping, tmp_path / "out", nested=True)
    assert inside.json.resolve().is_relative_to(tmp_path / "out")
    (alone,) = write_all([V10], tmp_path)
    assert alone.json.parent == tmp_path


def test_a_failing_disk_keeps_the_old_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_daily(V10, tmp_path)
    before = files.json.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FillbookError, match="No space left on device"):
        write_daily(V11, tmp_path)
    assert files.json.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [files.csv.name, files.json.name]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "taken"
    blocked.write_text("a file")
    with pytest.raises(FillbookError) as caught:
        write_daily(V10, blocked / "daily")
    assert str(blocked) in caught.value.where
    assert caught.value.next_step


# --- written again ------------------------------------------------------------------------------


def later(record: DailyRecord, **changed: Any) -> DailyRecord:
    """The same day as a book that has grown since would tell it."""
    return msgspec.structs.replace(record, seq=record.seq + 7, head="cd34", revision=0, **changed)


def test_a_day_without_new_figures_is_left_alone_byte_for_byte(tmp_path: Path) -> None:
    first = write_daily(V10, tmp_path)
    before = first.json.read_bytes(), first.csv.read_bytes(), first.json.stat().st_mtime_ns
    again = write_daily(later(V10), tmp_path)
    assert (again.changed, again.revision) == (False, 1)
    assert before == (
        first.json.read_bytes(),
        first.csv.read_bytes(),
        first.json.stat().st_mtime_ns,
    )


def test_new_figures_are_the_next_revision_of_the_file(tmp_path: Path) -> None:
    write_daily(msgspec.structs.replace(V10, revision=0), tmp_path)
    dearer = later(V10, fees=6 * ONE, net=79 * ONE)
    for revision in (1, 1):
        files = write_daily(dearer, tmp_path)
        assert files.revision == revision
        assert files.json.read_bytes() == to_json(msgspec.structs.replace(dearer, revision=1))
        assert files.csv.read_bytes() == to_csv(dearer)
    assert not files.changed
    back = write_daily(later(V10), tmp_path)
    assert (back.changed, back.revision) == (True, 2)
    document = json.loads(back.json.read_bytes())
    told = {name: document["fillbook"][name] for name in ("book", "seq", "head", "revision")}
    assert told == {"book": "b00c", "seq": 49, "head": "cd34", "revision": 2}
    assert document["costs"]["fees_paid"] == 5.0


def test_another_book_supersedes_the_file_even_with_the_same_figures(tmp_path: Path) -> None:
    write_daily(V10, tmp_path)
    files = write_daily(later(V10, book="other"), tmp_path)
    assert (files.changed, files.revision) == (True, 2)
    assert json.loads(files.json.read_bytes())["fillbook"]["book"] == "other"


@pytest.mark.parametrize("other", [{"account": "B"}, {"currency": "USDC"}])
def test_another_account_or_currency_supersedes_the_file_too(
    tmp_path: Path, other: dict[str, str]
) -> None:
    write_daily(V10, tmp_path)
    files = write_daily(later(V10, **other), tmp_path)
    assert (files.changed, files.revision) == (True, 2)


def test_a_file_of_before_records_said_whose_they_are_is_left_alone(tmp_path: Path) -> None:
    files = write_daily(V10, tmp_path)
    document = json.loads(files.json.read_bytes())
    for name in ("venue", "account", "currency"):
        del document["fillbook"][name]
    files.json.write_text(json.dumps(document))
    assert not write_daily(later(V10), tmp_path).changed


def test_a_lost_half_is_written_again_under_the_same_revision(tmp_path: Path) -> None:
    files = write_daily(V10, tmp_path)
    before = files.json.read_bytes()
    for content in (None, b"date\n2026-01-01\n"):
        files.csv.unlink() if content is None else files.csv.write_bytes(content)
        again = write_daily(later(V10), tmp_path)
        assert (again.changed, again.revision) == (True, 1)
        assert files.csv.read_bytes() == to_csv(V10)
    assert files.json.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"date": "2026-01-01"}', b'{"fillbook": 3}']
)
def test_a_file_that_is_none_of_ours_is_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "daily_summary_2026-01-01.json"
    path.write_bytes(content)
    files = write_daily(V10, tmp_path)
    assert files.changed and json.loads(path.read_bytes())["trades"]["total"] == 10
