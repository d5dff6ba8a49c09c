"""Real exports of real accounts, checked against sums taken from the files by other means."""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from fillbook.facts.model import Fill, Funding
from fillbook.ground.clock import parse_ns
from fillbook.journal.store import Journal
from fillbook.marks.series import MarkStore
from fillbook.sources.files.importing import import_paths
from fillbook.sources.files.registry import reparse
from fillbook.sources.source import ReadOptions
from reader_runs import gzipped, read_file

D = Decimal
FILES = (
    ("funding-farmer/trade_history.csv", 841),
    ("funding-farmer/funding_history.csv", 14),
    ("Coinbase-CSV-Parser/fills.csv", 503),
    ("hyperliquid-history/historical_data.csv", 1993),
    ("hyperliquid-python-sdk/decoded/test_get_user_fills.json", 500),
    ("hyperliquid-python-sdk/decoded/test_get_user_fills_by_time.json", 500),
    ("hyperliquid-python-sdk/decoded/test_user_funding_history_with_end_time.json", 13),
    ("freqtrade/backtest_results/backtest-result.json", 358),
)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("name", "events"), FILES)
def test_every_row_is_read_and_every_event_is_one_of_its_own(
    corpus: Path, name: str, events: int
) -> None:
    told = read_file(corpus / name, tz="UTC")
    assert (told.rejected, told.marks) == ([], [])
    assert len(told.claims) == len(set(told.identities)) == events


@pytest.mark.parametrize(("name", "events"), FILES)
def test_stored_raw_text_is_enough_to_read_every_row_again(
    corpus: Path, name: str, events: int
) -> None:
    told = read_file(corpus / name, tz="UTC")
    contexts = {r.whose.account: (r.terms.source, r.terms.context) for r in told.readings}
    for claim in told.claims:
        source, context = contexts[claim.fact.account]
        assert claim.fact in reparse(source, context, claim.raw)


def test_the_web_export_keeps_sums_twins_and_flips(corpus: Path) -> None:
    path = corpus / "funding-farmer" / "trade_history.csv"
    rows, told = rows_of(path), read_file(path, tz="UTC")
    fills = told.only(Fill)
    for field, column in (("px", "px"), ("qty", "sz"), ("fee", "fee"), ("venue_pnl", "closedPnl")):
        read = [getattr(fill, field) for fill in fills]
        assert read == [D(row[column]) for row in rows]
    identical = sum(count - 1 for count in Counter(tuple(r.values()) for r in rows).values())
    assert identical == 20
    # Rows alike but for their words (a close that goes on as an open) share their print too.
    assert sum(claim.ordinal > 0 for claim in told.claims) == 23
    position: dict[str, Decimal] = defaultdict(D)
    for fill in fills:
        position[fill.instrument] += fill.qty if fill.side == "buy" else -fill.qty
    perpetuals = {coin: left for coin, left in position.items() if "/" not in coin}
    assert set(perpetuals.values()) == {D(0)}
    shared = Counter((fill.instrument, fill.ts_ns) for fill in fills)
    ranked = [
        claim.row for claim in told.claims if shared[claim.fact.instrument, claim.fact.ts_ns] > 1
    ]
    assert len(ranked) == 272


def test_the_web_funding_export_adds_up(corpus: Path) -> None:
    path = corpus / "funding-farmer" / "funding_history.csv"
    payments = read_file(path, tz="UTC").only(Funding)
    assert sum(p.amount for p in payments) == sum(D(row["payment"]) for row in rows_of(path))
    assert {p.position_qty > 0 for p in payments if p.position_qty} == {True, False}


def test_coinbase_fees_and_cash_are_exact(corpus: Path) -> None:
    told = read_file(corpus / "Coinbase-CSV-Parser" / "fills.csv")
    fills = told.only(Fill)
    assert sum(f.fee or D(0) for f in fills) == D("996.595780205946300")
    cash = sum(
        (f.px * f.qty * (1 if f.side == "sell" else -1) - (f.fee or D(0)) for f in fills), D(0)
    )
    assert cash == D("-2849.990590377346300")
    assert Counter(f.side for f in fills) == {"buy": 264, "sell": 239}
    assert {d.contract for d in told.described} == {"spot"} and len(told.described) == 21
    crowded = Counter((f.instrument, f.ts_ns) for f in fills)
    assert sum(count for count in crowded.values() if count > 1) == 372


def test_the_historical_set_keeps_its_sums_account_by_account(corpus: Path) -> None:
    path = corpus / "hyperliquid-history" / "historical_data.csv"
    rows, told = rows_of(path), read_file(path)
    assert [reading.rows for reading in told.readings] == [1430, 563]
    by_account: dict[str, list[Fill]] = defaultdict(list)
    for fill in told.only(Fill):
        by_account[fill.account].append(fill)
    for account, fills in by_account.items():
        mine = [row for row in rows if row["Account"] == account]
        assert [f.venue_pnl for f in fills] == [D(row["Closed PnL"]) for row in mine]
        assert [f.fee for f in fills] == [D(row["Fee"]) for row in mine]
        assert [f.start_position for f in fills] == [D(row["Start Position"]) for row in mine]
    assert sum(f.dust for f in told.only(Fill)) == 1
    first = next(f for f in told.only(Fill) if f.account.startswith("0xae5e"))
    assert first.ts_ns == parse_ns("2024-12-02T22:50:00+05:30")
    assert sum(len(row["Timestamp IST"]) == 15 for row in rows) == 173


def test_both_cassettes_hold_the_same_500_fills(corpus: Path) -> None:
    folder = corpus / "hyperliquid-python-sdk" / "decoded"
    one = read_file(folder / "test_get_user_fills.json")
    other = read_file(folder / "test_get_user_fills_by_time.json")
    assert (one.identities, one.facts) == (other.identities, other.facts)
    wire = json.loads((folder / "test_get_user_fills.json").read_text())[0]["response"]
    assert [f.start_position for f in one.only(Fill)] == [D(row["startPosition"]) for row in wire]
    assert [f.ts_ns for f in one.only(Fill)] == [row["time"] * 10**6 for row in wire]
    assert sum(f.venue_pnl or D(0) for f in one.only(Fill)) == sum(D(r["closedPnl"]) for r in wire)


def test_a_back_test_is_as_recorded_gross_and_what_its_fees_leave_net(corpus: Path) -> None:
    """Recorded profit factor 2.4223 is gross; with 0.25 % a side 48 win, 9 lose, 122 break even."""
    path = corpus / "freqtrade" / "backtest_results" / "backtest-result.json"
    told = read_file(path)
    assert [reading.rows for reading in told.readings] == [179]
    recorded = json.loads(path.read_text())["strategy"]["StrategyTestV3"]
    gross: dict[str, Fraction] = defaultdict(Fraction)
    fees: dict[str, Fraction] = defaultdict(Fraction)
    reported: dict[str, Fraction] = {}
    for fill in told.only(Fill):
        assert fill.leg is not None
        sign = 1 if fill.side == "sell" else -1
        gross[fill.leg] += sign * Fraction(fill.px) * Fraction(fill.qty)
        fees[fill.leg] += Fraction(fill.fee or 0)
        if fill.venue_pnl is not None:
            reported[fill.leg] = Fraction(fill.venue_pnl)
    assert len(gross) == len(reported) == 179
    assert round(profit_factor(gross.values()), 4) == round(recorded["profit_factor"], 4) == 2.4223
    assert max(abs(gross[leg] - reported[leg]) for leg in gross) < Fraction(1, 10**18)
    net = {leg: gross[leg] - fees[leg] for leg in gross}
    assert round(profit_factor(net.values()), 4) == 1.1860
    assert f"{float(sum(net.values())):.9f}" == "0.000144298"
    grain = Fraction(2 * 2, 10**18)  # two fills a trade, 2e-18 each
    classes = Counter((value > grain) - (value < -grain) for value in net.values())
    assert (classes[1], classes[0], classes[-1]) == (48, 122, 9)
    assert (recorded["wins"], recorded["draws"], recorded["losses"]) == (48, 122, 9)


def profit_factor(results: Iterable[Fraction]) -> float:
    values = list(results)
    return float(sum(v for v in values if v > 0) / -sum(v for v in values if v < 0))


def test_the_whole_corpus_twice_and_packed_is_the_corpus_once(corpus: Path, tmp_path: Path) -> None:
    paths = [corpus / name for name, _ in FILES]
    packed = [gzipped(path, tmp_path) for path in paths]
    book = tmp_path / "fillbook.db"
    with Journal.create(book) as journal, MarkStore(book.with_suffix(".marks")) as marks:
        for wave in (paths, packed, paths):
            report = import_paths(journal, marks, wave, ReadOptions(tz="UTC"))
            assert report.failed == ()
        kinds = Counter(type(claim.fact).__name__ for claim in journal.claims())
        # 841 + 503 + 1,993 + 500 + 358 fills, each once; 14 + 13 payments.
        assert (kinds["Fill"], kinds["Funding"]) == (4195, 27)
        assert journal.verify(reparse) == []
