"""The generic reader: our own headers, a person's column map, and what neither can tell."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fillbook.facts.model import Decision, Fill, Funding, OrderUpdate, Transfer
from fillbook.ground.clock import parse_ns
from fillbook.ground.errors import ConfigError, InputError
from fillbook.ground.settings import load_settings
from fillbook.sources.files.column_map import ColumnMap, column_maps
from reader_runs import read_text

D = Decimal
NOON_NS = parse_ns("2026-01-05T12:00:00Z")
FILLS = """\
time,instrument,side,px,qty,fee,fee_asset,fee_rate,fill_id,order_id,liquidity,strategy,decision_px
2026-01-05T12:00:00.5Z,BTC/USDT,buy,90000.5,0.01,0.001,BNB,700.25,f1,o1,taker,trend,90000
2026-01-05T12:00:01Z,BTC/USDT,SELL,90010,0.01,0.9,,,f2,o2,Maker,trend,
"""


def fills_map(**changed: Any) -> ColumnMap:
    terms: dict[str, Any] = {
        "name": "desk",
        "kind": "fills",
        "columns": {
            "time": "When",
            "instrument": "Market",
            "side": "B/S",
            "px": "Price",
            "qty": "Size",
        },
        **changed,
    }
    return ColumnMap(**terms)


DESK = "When,Market,B/S,Price,Size\n05.01.2026 13:00,ACME,Kauf,10.5,3\n"


def test_fills_under_our_own_names(tmp_path: Path) -> None:
    told = read_text(tmp_path, FILLS)
    buy, sale = told.only(Fill)
    assert told.format == "generic-fills"
    assert buy == Fill(
        venue="file",
        account="default",
        ts_ns=NOON_NS + 500_000_000,
        printed_ns=100_000_000,
        instrument="BTC/USDT",
        side="buy",
        px=D("90000.5"),
        qty=D("0.01"),
        fee=D("0.001"),
        fee_asset="BNB",
        fill_id="f1",
        order_id="o1",
        liquidity="taker",
        strategy="trend",
        decision_px=D(90000),
    )
    assert (sale.side, sale.fee_asset, sale.liquidity) == ("sell", "USDT", "maker")
    assert [reading.terms.rank for reading in told.readings] == [2]


def test_a_printed_fee_rate_is_kept_as_a_mark_of_that_instant(tmp_path: Path) -> None:
    (rate,) = read_text(tmp_path, FILLS).marks
    assert (rate.venue, rate.instrument, rate.what) == ("file", "BNB/USDT", "rate")
    assert (rate.px, rate.ts_ns) == (D("700.25"), NOON_NS + 500_000_000)


def test_fills_without_ids_rank_lower_and_count_twins(tmp_path: Path) -> None:
    row = "2026-01-05T12:00:00Z,BTC/USDT,buy,90000,0.01\n"
    told = read_text(tmp_path, "time,instrument,side,px,qty\n" + row * 3)
    assert [reading.terms.rank for reading in told.readings] == [1]
    assert [(claim.ordinal, claim.row) for claim in told.claims] == [(0, 0), (1, 1), (2, 2)]
    # A file of some instruments promises nothing about others.
    (covered,) = told.readings[0].coverage()
    assert (covered.instrument, covered.until_ns - covered.from_ns) == ("BTC/USDT", 10**9)


def test_rows_that_name_accounts_are_read_account_by_account(tmp_path: Path) -> None:
    text = (
        "time,instrument,side,px,qty,account,venue\n"
        "2026-01-05T12:00:00Z,BTC/USDT,buy,1,1,a,x\n"
        "2026-01-05T12:00:00Z,BTC/USDT,buy,2,1,b,x\n"
        "2026-01-05T12:00:00Z,BTC/USDT,buy,3,1,a,y\n"
        "2026-01-05T12:00:00Z,BTC/USDT,buy,oops,1,b,x\n"
        "2026-01-05T12:00:00Z,BTC/USDT,buy,4,1,a,x\n"
    )
    told = read_text(tmp_path, text)
    owners = [(reading.whose.venue, reading.whose.account) for reading in told.readings]
    assert owners == [("x", "a"), ("x", "b"), ("y", "a")]
    assert [(reading.rows, reading.rejected) for reading in told.readings] == [
        (2, 0),
        (2, 1),
        (1, 0),
    ]
    assert [fill.px for fill in told.only(Fill)] == [D(1), D(4), D(2), D(3)]
    assert len({reading.terms.fingerprint for reading in told.readings}) == 3


@pytest.mark.parametrize(
    ("columns", "row", "wanted"),
    [
        ("contract,multiplier", "inverse,100", ("inverse", "BTC", "USD", "BTC", D(100))),
        ("contract", "spot", ("spot", "BTC", "USD", "USD", D(1))),
        ("settle", "EUR", ("linear", "BTC", "USD", "EUR", D(1))),
        ("contract,base,quote", "spot,XBT,USDX", ("spot", "XBT", "USDX", "USD", D(1))),
    ],
)
def test_rows_may_describe_their_contract(
    tmp_path: Path, columns: str, row: str, wanted: tuple[object, ...]
) -> None:
    text = f"time,instrument,side,px,qty,{columns}\n2026-01-05T12:00:00Z,BTC-USD,buy,1,1,{row}\n"
    (told,) = read_text(tmp_path, text).described
    assert (told.contract, told.base, told.quote, told.settle, told.multiplier) == wanted


def test_a_currency_is_asked_for_not_guessed(tmp_path: Path) -> None:
    text = "time,instrument,side,px,qty\n2026-01-05T12:00:00Z,ACME,buy,1,1\n"
    (rejected,) = read_text(tmp_path, text).rejected
    assert "'ACME' does not tell its currency" in rejected.reason
    (told,) = read_text(tmp_path, text, settle="USD").described
    assert (told.base, told.quote, told.settle) == ("ACME", "USD", "USD")


def test_round_trips_with_fee_become_two_fills(tmp_path: Path) -> None:
    text = (
        "trade_id,instrument,side,qty,entry_time,entry_px,exit_time,exit_px,fee,pnl,strategy\n"
        "t1,ETH-USD,BUY,2,2026-01-05T12:00:00Z,3000,2026-01-05T13:00:00Z,3200,1.5,400,swing\n"
        "t2,ETH-USD,short,2,2026-01-05T12:00:00Z,3000,,,,,swing\n"
    )
    told = read_text(tmp_path, text)
    entry, left, still_open = told.only(Fill)
    assert (entry.fee, left.fee, left.fee_asset, left.venue_pnl) == (D(0), D("1.5"), "USD", D(400))
    assert (entry.leg, left.leg, entry.strategy) == ("t1", "t1", "swing")
    assert (still_open.side, still_open.leg) == ("sell", "t2")
    assert "round trips as recorded" in told.readings[0].labels


def test_funding_decisions_marks_orders_and_transfers(tmp_path: Path) -> None:
    at = "2026-01-05T12:00:00Z"
    (paid,) = read_text(
        tmp_path, f"time,instrument,amount,rate,position_qty\n{at},BTC-USD,-0.25,0.0001,1\n"
    ).only(Funding)
    assert (paid.amount, paid.asset, paid.position_qty) == (D("-0.25"), "USD", D(1))
    (wanted,) = read_text(
        tmp_path,
        "time,instrument,action,decision_id,decision_px,arrival_px,mid_px,order_id\n"
        f"{at},BTC-USD,BUY,,100,100.5,100.25,o9\n",
    ).only(Decision)
    assert (wanted.decision_id, wanted.order_id, wanted.action) == ("o9", "o9", "buy")
    assert (wanted.decision_px, wanted.arrival_px, wanted.mid_px) == (
        D(100),
        D("100.5"),
        D("100.25"),
    )
    (mark,) = read_text(tmp_path, f"time,instrument,px,what\n{at},BTC-USD,99.5,mid\n").marks
    assert (mark.px, mark.what, mark.ts_ns) == (D("99.5"), "mid", NOON_NS)
    (order,) = read_text(
        tmp_path, f"time,instrument,status,side,expected_px\n{at},BTC-USD,ORDER_FILLED,buy,100\n"
    ).only(OrderUpdate)
    assert (order.status, order.expected_px) == ("filled", D(100))
    (moved,) = read_text(tmp_path, f"time,asset,amount,what\n{at},USDC,-50,withdrawal\n").only(
        Transfer
    )
    assert (moved.amount, moved.asset, moved.what) == (D(-50), "USDC", "withdrawal")


def test_json_lines_are_the_same_events_as_the_table(tmp_path: Path) -> None:
    rows = csv.DictReader(io.StringIO(FILLS))
    lines = "\n".join(json.dumps({k: v for k, v in row.items() if v}) for row in rows)
    table, told = read_text(tmp_path, FILLS), read_text(tmp_path, lines, "fills.jsonl")
    assert told.format == table.format
    assert (told.facts, told.identities, told.marks) == (table.facts, table.identities, table.marks)


def test_a_column_map_reads_a_strangers_file(tmp_path: Path) -> None:
    terms = fills_map(
        sides={"Kauf": "buy", "Verkauf": "sell"},
        time_format="%d.%m.%Y %H:%M",
        tz="Europe/Berlin",
        settle="EUR",
        venue="xetra",
        account="depot",
        contract="spot",
        constants={"strategy": "value"},
    )
    told = read_text(tmp_path, DESK, column_maps=(terms,))
    (fill,) = told.only(Fill)
    assert told.format == "desk"
    assert (fill.venue, fill.account, fill.side, fill.strategy) == (
        "xetra",
        "depot",
        "buy",
        "value",
    )
    assert (fill.ts_ns, fill.printed_ns) == (NOON_NS, 60 * 10**9)
    (described,) = told.described
    assert (described.contract, described.settle) == ("spot", "EUR")


@pytest.mark.parametrize(
    ("form", "text", "ns"),
    [
        ("unix_s", "1767614400.5", NOON_NS + 500_000_000),
        ("unix_ms", "1767614400001", NOON_NS + 1_000_000),
        ("unix_us", "1767614400000001", NOON_NS + 1000),
        ("unix_ns", "1767614400000000001", NOON_NS + 1),
        (None, "2026-01-05T12:00:00.123456789Z", NOON_NS + 123_456_789),
        (None, "2026-01-05T17:30:00+05:30", NOON_NS),
    ],
)
def test_time_formats(tmp_path: Path, form: str | None, text: str, ns: int) -> None:
    terms = fills_map(time_format=form, settle="USD")
    rows = f"When,Market,B/S,Price,Size\n{text},ACME,b,1,1\n"
    (fill,) = read_text(tmp_path, rows, column_maps=(terms,)).only(Fill)
    assert fill.ts_ns == ns


def test_rows_without_times_need_a_start_and_keep_their_order(tmp_path: Path) -> None:
    columns = {"instrument": "Market", "side": "B/S", "px": "Price", "qty": "Size"}
    terms = fills_map(columns=columns, settle="USD")
    rows = "Market,B/S,Price,Size\nACME,b,1,1\nACME,b,1,1\n"
    with pytest.raises(InputError, match="rows have no times"):
        read_text(tmp_path, rows, column_maps=(terms,))
    told = read_text(tmp_path, rows, column_maps=(terms,), start_ns=NOON_NS)
    assert [fact.ts_ns for fact in told.facts] == [NOON_NS, NOON_NS + 1]
    assert "no times" in told.readings[0].labels
    assert len(set(told.identities)) == 2


def test_a_file_that_fits_two_maps_is_not_guessed(tmp_path: Path) -> None:
    maps = (fills_map(settle="USD"), fills_map(name="other", settle="EUR"))
    with pytest.raises(InputError) as told:
        read_text(tmp_path, DESK, column_maps=maps)
    assert "could be desk or other" in told.value.what
    assert "--format desk" in told.value.next_step
    assert read_text(tmp_path, DESK, format="other", column_maps=maps).format == "other"


def test_a_persons_map_speaks_before_our_own_headers(tmp_path: Path) -> None:
    columns = {field: field for field in ("time", "instrument", "side", "px", "qty")}
    terms = fills_map(columns=columns, contract="spot")
    assert read_text(tmp_path, FILLS, column_maps=(terms,)).format == "desk"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "fils"}, "fils"),
        ({"columns": {"time": "t"}}, "need columns for instrument, side, px, qty"),
        ({"constants": {"feee": "0"}}, "no field 'feee'; did you mean fee"),
        ({"colums": {}}, "colums"),
        ({"name": "coinbase-pro"}, "'coinbase-pro' is taken"),
        ({"multiplier": "-1"}, "multiplier must be above zero"),
        ({"contract": "future"}, "future"),
    ],
)
def test_a_wrong_map_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    table = {
        "name": "desk",
        "kind": "fills",
        "columns": {"time": "t", "instrument": "s", "side": "d", "px": "p", "qty": "q"},
    }
    with pytest.raises(ConfigError) as told:
        column_maps([{**table, **change}], reserved=("coinbase-pro",))
    assert message in told.value.what
    assert told.value.where.startswith("[[import.map]]")


def test_maps_come_from_the_configuration(tmp_path: Path) -> None:
    config = tmp_path / "fillbook.toml"
    config.write_text(
        '[[import.map]]\nname = "desk"\nkind = "fills"\nsettle = "EUR"\nmultiplier = 2.5\n'
        'time_format = "%d.%m.%Y %H:%M"\ntz = "UTC"\nsides = { Kauf = "buy" }\n'
        'columns = { time = "When", instrument = "Market", side = "B/S", px = "Price",'
        ' qty = "Size" }\n'
    )
    maps = column_maps(load_settings(config, {}).imports.map)
    told = read_text(tmp_path, DESK, column_maps=maps)
    assert [described.multiplier for described in told.described] == [D("2.5")]
    assert len(told.only(Fill)) == 1


NUMBERS = st.decimals(min_value="1e-18", max_value="1e18", places=18).filter(lambda n: n > 0)
WORDS = st.text(st.characters(min_codepoint=32, exclude_categories=("C", "Z")), max_size=12)


@given(rows=st.lists(st.tuples(NUMBERS, NUMBERS, WORDS), min_size=1, max_size=8), data=st.data())
@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_any_writer_of_csv_is_understood_exactly(
    tmp_path: Path, rows: list[tuple[Decimal, Decimal, str]], data: st.DataObject
) -> None:
    """Delimiters, quoting, line ends and a byte order mark change nothing, and no digit is lost."""
    out = io.StringIO(newline="")
    writer = csv.writer(
        out,
        delimiter=data.draw(st.sampled_from(",;\t")),
        lineterminator=data.draw(st.sampled_from(["\n", "\r\n"])),
        quoting=data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
    )
    writer.writerow(("time", "instrument", "side", "px", "qty", "strategy"))
    for px, qty, word in rows:
        writer.writerow(("2026-01-05T12:00:00Z", "BTC-USD", "buy", px, qty, word))
    mark = data.draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))
    told = read_text(tmp_path, mark + out.getvalue().encode())
    assert told.rejected == []
    assert [(fill.px, fill.qty, fill.strategy or "") for fill in told.only(Fill)] == rows
