"""Files as they arrive: cut short, mis-saved, half right. What is wrong is told, the rest read."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from fillbook.facts.model import Fill
from fillbook.ground.errors import InputError
from reader_runs import CASES, gzipped, read_file, read_text

HEADER = "time,instrument,side,px,qty,strategy\n"
OBJECT = '{"time": "2026-01-05T12:00:00Z", "instrument": "A-B", "side": "buy", "px": %s, "qty": 1}'
GOOD = "2026-01-05T12:00:00Z,BTC-USD,buy,100,1,s\n"


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        ("2026-01-05T12:00:00Z,BTC-USD,buy,NaN,1,s", "px", "'NaN' is not a decimal number"),
        ("2026-01-05T12:00:00Z,BTC-USD,buy,inf,1,s", "px", "'inf' is not a decimal number"),
        ("2026-01-05T12:00:00Z,BTC-USD,buy,-100,1,s", "px", "-100 is not above zero"),
        ("2026-01-05T12:00:00Z,BTC-USD,buy,100,-1,s", "qty", "-1 is not above zero"),
        ("2026-01-05T12:00:00Z,BTC-USD,buy,0.0,1,s", "px", "0.0 is not above zero"),
        ('2026-01-05T12:00:00Z,BTC-USD,buy,"1,000",1,s', "px", "thousands separators"),
        ("2026-01-05T12:00:00Z,BTC-USD,buy,,1,s", "px", "is blank"),
        ("2026-01-05T12:00:00Z,BTC-USD,hold,100,1,s", "side", "'hold' is none of"),
        ("2026-13-05T12:00:00Z,BTC-USD,buy,100,1,s", "time", "is not an ISO 8601 time"),
        ("1969-12-31T23:59:59Z,BTC-USD,buy,100,1,s", "time", "outside 1970 to 2262"),
        ("2026-01-05T12:00:00,BTC-USD,buy,100,1,s", "time", "names no time zone"),
        ("2026-01-05T12:00:00Z,BTC-USD,buy,100", None, "has 4 cells where the header has 6"),
        ("2026-01-05T12:00:00Z,BTC-USD,buy,100,1,s,extra", None, "has 7 cells"),
        ("2026-01-05T12:00:00Z,BTC-USD,buy,100,1,a\x00b", "strategy", "control characters"),
        ('2026-01-05T12:00:00Z,BTC-USD,buy,100,1,"a"b', None, "cannot be split into cells"),
        (f"2026-01-05T12:00:00Z,BTC-USD,buy,{'9' * 61},1,s", "px", "more than 60 digits"),
    ],
)
def test_one_wrong_row_is_told_and_the_others_are_read(
    tmp_path: Path, row: str, field: str | None, reason: str
) -> None:
    told = read_text(tmp_path, HEADER + GOOD + row + "\n" + GOOD)
    (rejected,) = told.rejected
    assert (rejected.line, rejected.field) == (3, field)
    assert reason in rejected.reason
    assert rejected.text == row
    assert rejected.file.endswith("file.csv")
    assert len(told.only(Fill)) == 2
    assert "1 row rejected" in told.readings[0].labels


def test_a_line_that_is_not_utf8_is_rejected(tmp_path: Path) -> None:
    bad = b"2026-01-05T12:00:00Z,BTC-USD,buy,100,1,M\xfcnchen\n"
    told = read_text(tmp_path, HEADER.encode() + bad + GOOD.encode())
    assert [(r.line, r.reason) for r in told.rejected] == [(2, "the line is not UTF-8 text")]
    assert len(told.claims) == 1


def test_quotes_commas_and_line_breaks_inside_cells_are_read(tmp_path: Path) -> None:
    text = HEADER + '2026-01-05T12:00:00Z,BTC-USD,buy,100,1,"a, ""b"""\n' + GOOD
    told = read_text(tmp_path, text)
    assert [fill.strategy for fill in told.only(Fill)] == ['a, "b"', "s"]
    assert [claim.line for claim in told.claims] == [2, 3]


def test_a_quote_that_is_never_closed_takes_the_rest_and_says_so(tmp_path: Path) -> None:
    told = read_text(tmp_path, HEADER + GOOD + '2026-01-05T12:00:00Z,"BTC-USD,buy\n' + GOOD * 3)
    (rejected,) = told.rejected
    assert rejected.line == 3
    assert "unexpected end of data" in rejected.reason
    assert len(told.claims) == 1


def test_blank_lines_and_trailing_commas_are_harmless(tmp_path: Path) -> None:
    told = read_text(tmp_path, "\n" + HEADER + "\n" + GOOD.rstrip() + ",,\n\n" + GOOD + "\n\n")
    assert told.rejected == []
    assert [claim.line for claim in told.claims] == [4, 6]


def test_windows_and_excel_habits_change_nothing(tmp_path: Path) -> None:
    plain = (CASES / "trade_history.csv").read_bytes()
    habits = b"\xef\xbb\xbf" + plain.replace(b"\n", b"\r\n")
    told = read_text(tmp_path, habits, tz="UTC")
    assert told.format == "hyperliquid-web"
    assert told.facts == read_file(CASES / "trade_history.csv", tz="UTC").facts


@pytest.mark.parametrize("name", ["trade_history.csv", "hyperliquid_fills.json", "freqtrade.json"])
def test_gzip_is_read_as_if_it_were_not_there(tmp_path: Path, name: str) -> None:
    plain = read_file(CASES / name, tz="UTC")
    packed = read_file(gzipped(CASES / name, tmp_path), tz="UTC")
    assert (packed.format, packed.facts) == (plain.format, plain.facts)
    assert [r.terms.fingerprint for r in packed.readings] == [
        r.terms.fingerprint for r in plain.readings
    ]


@pytest.mark.parametrize(
    ("content", "name", "what"),
    [
        (b"", "empty.csv", "the file is empty"),
        (b"  \n \n", "blank.csv", "the file is empty"),
        (b"a,b,c\n1,2,3\n", "other.csv", "no reader recognises this file"),
        (b"\xff\xfet\x00i\x00", "utf16.csv", "the file is UTF-16 text"),
        (gzip.compress(b"time,coin\n" * 5000)[:-40], "cut.csv.gz", "damaged or cut short"),
        (b"\x1f\x8bnot gzip at all", "fake.csv.gz", "damaged or cut short"),
        (b"PK\x03\x04nor a zip", "fake.zip", "damaged or cut short"),
    ],
)
def test_a_file_nobody_can_read_is_refused_whole(
    tmp_path: Path, content: bytes, name: str, what: str
) -> None:
    with pytest.raises(InputError, match=what) as told:
        read_text(tmp_path, content, name)
    assert name in told.value.where
    assert told.value.next_step


def test_json_cut_short_is_refused_whole(tmp_path: Path) -> None:
    text = (CASES / "hyperliquid_fills.json").read_text()
    with pytest.raises(InputError, match="not the JSON that was expected"):
        read_text(tmp_path, text[: len(text) // 2], "fills.json")


def test_json_lines_cut_short_lose_the_last_line_only(tmp_path: Path) -> None:
    line = OBJECT % "1"
    told = read_text(tmp_path, f"{line}\n{line}\n{line[:40]}", "fills.jsonl")
    assert [(r.line, r.reason.partition(":")[0]) for r in told.rejected] == [(3, "is not JSON")]
    assert len(told.claims) == 2


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity"])
def test_json_words_that_are_no_numbers_are_rejected(tmp_path: Path, literal: str) -> None:
    text = OBJECT % "1" + "\n" + OBJECT % literal
    told = read_text(tmp_path, text, "fills.jsonl")
    assert [(r.line, r.reason) for r in told.rejected] == [(2, f"{literal} is not a number")]


def test_missing_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="need the columns fee, total"):
        text = (CASES / "coinbase_fills.csv").read_text().replace("fee,total,", "a,b,")
        read_text(tmp_path, text, format="coinbase-pro")


def test_a_column_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'px' occurs twice"):
        read_text(tmp_path, "time,instrument,side,px,qty,px\n", format="generic-fills")
