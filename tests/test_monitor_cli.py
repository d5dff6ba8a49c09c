"""`fillbook monitor status` and `metrics` read the book, whether a monitor runs or not."""

from __future__ import annotations

import signal
from pathlib import Path

import jsonschema
import pytest

from cli_run import book_of, fillbook
from fillbook.cli.shapes import schema_of
from fillbook.monitor.pidfile import PidFile
from monitor_runs import running

HEADER = "time,instrument,side,px,qty,fee,fee_asset,fill_id\n"
# Nine wins and six losses of one unit each; together +4250.
MOVES = (1800, 900, 750, 600, 500, 450, 400, 350, 500, -650, -400, -300, -250, -200, -200)


def fifteen_trades() -> str:
    lines = []
    for nth, move in enumerate(MOVES):
        day = f"2026-01-{nth + 1:02d}"
        lines.append(f"{day}T10:00:00Z,BTC,buy,95000,1,0,USDT,a{nth}")
        lines.append(f"{day}T15:12:00Z,BTC,sell,{95000 + move},1,0,USDT,b{nth}")
    return HEADER + "\n".join(lines) + "\n"


def test_metrics_are_totals_and_recent_trades(tmp_path: Path) -> None:
    assert sum(MOVES) == 4250
    book_of(tmp_path, fifteen_trades())
    told = fillbook(tmp_path, "monitor", "metrics", "--json").json
    jsonschema.validate(told, schema_of("monitor-metrics"))
    total = told["totals"][0]
    assert (total["n"], total["wins"], total["losses"]) == (15, 9, 6)
    assert total["win_rate_ratio"] == 0.6
    assert (total["net"], total["best"], total["worst"]) == ("4250", "1800", "-650")
    assert total["avg_hold_hours"] == pytest.approx(5.2)
    assert [row["net"] for row in told["recent"]] == [str(move) for move in MOVES[-10:]]

    text = fillbook(tmp_path, "monitor", "metrics").out
    for line in (
        "Total trades:     15",
        "Winning / losing: 9 / 6",
        "Win rate:         60.0 %",
        "Total PnL:        +4,250.00",
        "Average PnL:      +283.33",
        "Best trade:       +1,800.00",
        "Worst trade:      -650.00",
        "Average holding:  5h 12m",
    ):
        assert f"  {line}\n" in text, text
    assert "Recent trades" in text


def test_metrics_as_csv_are_the_totals(tmp_path: Path) -> None:
    book_of(tmp_path, fifteen_trades())
    (total,) = fillbook(tmp_path, "monitor", "metrics", "--csv").rows
    assert (total["currency"], total["n"], total["net"]) == ("USDT", "15", "4250")
    assert fillbook(tmp_path, "performance", "--csv").rows == [total]


def test_metrics_take_a_window(tmp_path: Path) -> None:
    book_of(tmp_path, fifteen_trades())
    window = ("--since", "2026-01-01", "--until", "2026-01-03")
    told = fillbook(tmp_path, "monitor", "metrics", "--json", *window).json
    assert (told["totals"][0]["n"], told["totals"][0]["net"]) == (2, "2700")


def test_status_lists_what_is_open_without_a_monitor(tmp_path: Path) -> None:
    fills = HEADER + (
        "2026-01-05T10:00:00Z,BTC,buy,95000,1.5,0,USDT,f1\n"
        "2026-01-05T11:00:00Z,ETH,sell,3500,2,0,USDT,f2\n"
        "2026-01-05T11:30:00Z,BTC,sell,96000,0.5,0,USDT,f3\n"
    )
    book_of(tmp_path, fills)
    told = fillbook(tmp_path, "monitor", "status", "--json").json
    jsonschema.validate(told, schema_of("monitor-status"))
    assert (told["running"], told["pid"], told["health"]) == (False, None, None)
    assert [
        (p["product_id"], p["side"], p["size"], p["entry_price"], p["current_price"])
        for p in told["positions"]
    ] == [("BTC", "LONG", "1", "95000", None), ("ETH", "SHORT", "2", "3500", None)]
    text = fillbook(tmp_path, "monitor", "status").out
    assert "No monitor is running for this book" in text
    assert "SHORT" in text and "n/a" in text


def doctor_says(folder: Path) -> str:
    told = fillbook(folder, "doctor", "--offline", "--json").json["checks"]
    return " | ".join(check["what"] for check in told if check["area"] == "monitor")


def test_what_is_said_of_a_monitor_that_was_killed_hung_or_stopped(tmp_path: Path) -> None:
    book_of(tmp_path, fifteen_trades())
    (tmp_path / "fillbook.toml").write_text("[monitor]\nport = 0\n")
    ended = "ended without a word: killed, or a power"
    with running(tmp_path) as monitor:
        monitor.heard("Health and metrics:")
        monitor.program.send_signal(signal.SIGSTOP)
        assert "does not answer" in fillbook(tmp_path, "monitor", "status").out
        assert "does not answer" in doctor_says(tmp_path)
        monitor.program.send_signal(signal.SIGKILL)
        monitor.program.wait(60)
    told = fillbook(tmp_path, "monitor", "status", "--json").json
    jsonschema.validate(told, schema_of("monitor-status"))
    assert (told["running"], told["pid"], told["ended_without_word"]) == (False, None, True)
    assert told["until"] == "2026-01-15T15:12:00Z"
    text = fillbook(tmp_path, "monitor", "status").out
    assert "No monitor is running" in text and ended in text
    assert "nothing later than 2026-01-15 15:12:00" in text
    assert ended in doctor_says(tmp_path)
    with running(tmp_path) as monitor:
        monitor.heard("Health and metrics:")
        told = fillbook(tmp_path, "monitor", "status", "--json").json
        assert (told["running"], told["ended_without_word"]) == (True, False)
        assert fillbook(tmp_path, "monitor", "stop").status == 0
        assert monitor.program.wait(60) == 0
    told = fillbook(tmp_path, "monitor", "status", "--json").json
    assert (told["running"], told["ended_without_word"]) == (False, False)
    assert "none is needed" in doctor_says(tmp_path)


def test_a_monitor_of_another_book_is_neither_shown_nor_stopped(tmp_path: Path) -> None:
    book_of(tmp_path, fifteen_trades())
    other = ("--book", "other.db")
    fillbook(tmp_path, "import", "fills.csv", *other, "--account", "A", "--venue", "test",
             "--settle", "USDT")  # fmt: skip
    with PidFile(tmp_path / "fillbook.pid", tmp_path / "fillbook.db") as held:
        assert "Monitor is starting" in fillbook(tmp_path, "monitor", "status").out
        assert "starting (process" in doctor_says(tmp_path)
        held.serves("http://127.0.0.1:9")
        assert fillbook(tmp_path, "monitor", "status", "--json").json["running"]
        told = fillbook(tmp_path, "monitor", "status", *other, "--json").json
        assert (told["running"], told["pid"]) == (False, None)
        stop = fillbook(tmp_path, "monitor", "stop", *other)
        assert stop.status == 2 and "is that of another book" in stop.err
        assert str(tmp_path / "fillbook.db") in stop.err


def test_an_empty_book_has_neither(tmp_path: Path) -> None:
    fillbook(tmp_path, "init")
    assert "No open position." in fillbook(tmp_path, "monitor", "status").out
    assert "No trade has been completed." in fillbook(tmp_path, "monitor", "metrics").out
    stop = fillbook(tmp_path, "monitor", "stop")
    assert stop.status == 2 and "no monitor is running" in stop.err


def test_a_wrong_account_is_said_before_anything_begins(tmp_path: Path) -> None:
    (tmp_path / "fillbook.toml").write_text('[[attach]]\nvenue = "hyperliquid"\naddress = "0x12"\n')
    started = fillbook(tmp_path, "monitor", "start", "--port", "0")
    assert started.status == 2 and "40 hexadecimal digits" in started.err


@pytest.mark.parametrize("port", ["-1", "65536", "99999999"])
def test_a_port_that_is_none_is_wrong_usage(tmp_path: Path, port: str) -> None:
    told = fillbook(tmp_path, "monitor", "start", "--port", port)
    assert told.status == 2
    assert "--port" in told.err and "or equal to" in told.err
    assert "fault of its own" not in told.err and not list(tmp_path.glob("fillbook.*"))
