"""Real fills through the whole road, held against the venues' own figures.

Every number here was published by a venue, or recomputed from its file by hand.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from fillbook.analysis import summary
from fillbook.analysis.answers import FillRow, Why
from fillbook.analysis.summary import BookView, Query
from fillbook.ground.clock import parse_ns
from fillbook.ground.settings import FoldSettings, Settings
from fillbook.journal.store import Journal
from fillbook.marks.series import MarkStore, marks_path
from fillbook.sources.files.importing import import_paths
from fillbook.sources.files.report import ImportReport
from fillbook.sources.source import ReadOptions

EVERYTHING = Query()


class Desk(AbstractContextManager["Desk"]):
    """A fresh book, what was imported into it, and its answers."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.journal = Journal.create(folder / "book.db")
        self.marks = MarkStore(marks_path(folder / "book.db"))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.marks.close()
        self.journal.close()

    def take(self, *paths: Path, **options: Any) -> ImportReport:
        report = import_paths(self.journal, self.marks, paths, ReadOptions(**options))
        assert [(file.path, file.error) for file in report.files if file.error] == []
        assert [file.rejected for file in report.files if file.rejected] == []
        return report

    def view(self, method: str = "average") -> BookView:
        return summary.load(
            self.journal,
            self.marks,
            Settings(fold=FoldSettings(method)),  # type: ignore[arg-type]
        )

    def why(self, query: Query = EVERYTHING) -> Why:
        return summary.why(self.view(), query)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "desk")


def exact(text: str | None) -> Decimal:
    assert text is not None
    return Decimal(text)


def codes(answer: Why) -> Counter[str]:
    return Counter(finding.code for finding in answer.findings)


# -- funding-farmer: a Hyperliquid web export whose closedPnl is net of each row's fee -----------


def test_every_perpetual_row_gives_what_the_venue_printed(desk: Desk, corpus: Path) -> None:
    with desk:
        desk.take(corpus / "funding-farmer", tz="UTC")
        view = desk.view()
        rows = summary.fills(view, EVERYTHING)
        perpetual = [row for row in rows if "/" not in row.instrument]
        assert (len(rows), len(perpetual)) == (841, 839)
        worst = max(
            abs(exact(row.realized) - exact(row.fee) - exact(row.venue_pnl)) for row in perpetual
        )
        assert worst <= Decimal("0.0021")
        assert summary.positions(view, EVERYTHING) == []


def test_real_twins_count(corpus: Path, desk: Desk) -> None:
    with (corpus / "funding-farmer" / "trade_history.csv").open() as file:
        printed = Counter(tuple(row) for row in csv.reader(file))
    assert sum(count - 1 for count in printed.values() if count > 1) == 20
    with desk:
        desk.take(corpus / "funding-farmer" / "trade_history.csv", tz="UTC")
        assert desk.why().n_fills == 841


def test_coins_that_left_and_came_back_keep_the_verdict_open(desk: Desk, corpus: Path) -> None:
    with desk:
        desk.take(corpus / "funding-farmer", tz="UTC")
        answer = desk.why()
        assert answer.made_money == "incomplete"
        (finding,) = [f for f in answer.findings if f.code == "venue-disagrees"]
        assert finding.instrument == "HYPE/USDC"
        net = exact(answer.currencies["USDC"].net) - exact(answer.currencies["USDC"].funding)
        assert round(net, 2) == Decimal("258.89")
        assert round(net - exact(finding.amount), 2) == Decimal("-20.34")


def api_fill(number: int, row: dict[str, str]) -> dict[str, Any]:
    """Write a web export's row as the API would print it, half a second into its second."""
    day, month, rest = row["time"].split("/", 2)
    year, clock = rest.split(" ")
    stamp = milliseconds(f"{year}-{month}-{day}T{clock}Z") + 500
    buys = row["dir"] in ("Buy", "Open Long", "Close Short", "Short > Long") or row[
        "dir"
    ].startswith("Open Long")
    gross = Decimal(row["closedPnl"]) + Decimal(row["fee"])
    return {
        "coin": row["coin"],
        "px": row["px"],
        "sz": row["sz"],
        "side": "B" if buys else "A",
        "time": stamp,
        "dir": row["dir"],
        "closedPnl": str(gross),
        "hash": "0x0",
        "oid": 1000 + number,
        "crossed": True,
        "fee": row["fee"],
        "tid": 5000 + number,
        "feeToken": "USDC",
    }


def milliseconds(text: str) -> int:
    return parse_ns(text) // 1_000_000


def test_a_history_from_csv_and_again_from_the_api_counts_once(
    tmp_path: Path, corpus: Path
) -> None:
    address = "0x" + "ab" * 20
    source = corpus / "funding-farmer" / "trade_history.csv"
    with source.open() as file:
        perpetual = [row for row in csv.DictReader(file) if "/" not in row["coin"]]
    exported = tmp_path / "trade_history.csv"
    with exported.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(perpetual[0]))
        writer.writeheader()
        writer.writerows(perpetual)
    pulled = tmp_path / "fills.json"
    pulled.write_text(json.dumps([api_fill(n, row) for n, row in enumerate(perpetual)]))
    answers = []
    for name, paths in (("csv", [exported]), ("api", [pulled]), ("both", [exported, pulled])):
        with Desk(tmp_path / name) as desk:
            for path in paths:
                desk.take(path, tz="UTC", account=address)
            answers.append(desk.why())
    by_csv, by_api, by_both = answers
    assert by_both.n_fills == by_api.n_fills == by_csv.n_fills == 839
    assert by_both.currencies == by_api.currencies
    assert by_both.currencies["USDC"].net == by_csv.currencies["USDC"].net
    assert "sources-disagree" not in codes(by_both)


# -- Coinbase Pro: no PnL column, but sums; the history starts with a sale ----------------------


def test_coinbase_fees_and_cash_to_the_last_digit(desk: Desk, corpus: Path) -> None:
    with desk:
        desk.take(corpus / "Coinbase-CSV-Parser" / "fills.csv")
        rows = summary.fills(desk.view(), EVERYTHING)
        assert len(rows) == 503
        assert sum((exact(row.fee) for row in rows), Decimal(0)) == Decimal("996.595780205946300")
        assert cash(rows) == Decimal("-2849.990590377346300")
        assert exact(desk.why().currencies["USD"].fees) == Decimal("996.595780205946300")


def cash(rows: Sequence[FillRow]) -> Decimal:
    flows = (
        (1 if row.side == "sell" else -1) * exact(row.px) * exact(row.qty) - exact(row.fee)
        for row in rows
    )
    return sum(flows, Decimal(0))


def test_coins_sold_that_were_never_bought_here_are_unpriced(desk: Desk, corpus: Path) -> None:
    with desk:
        desk.take(corpus / "Coinbase-CSV-Parser" / "fills.csv")
        ada = Query(instruments=("ADA-USD",))
        answer = desk.why(ada)
        assert answer.currencies["USD"].realized == "-652.674756"
        assert (answer.n_unpriced, answer.made_money) == (1, "incomplete")
        (finding,) = [f for f in answer.findings if f.code == "opening-unpriced"]
        assert finding.amount == "1233.4"
        (unpriced,) = [t for t in summary.trades(desk.view(), ada) if t.outcome == "unpriced"]
        assert (unpriced.net, unpriced.position_size) == (None, "1233.4")
        sold = [row for row in summary.fills(desk.view(), ada) if row.realized is None]
        proceeds = sum((exact(row.px) * exact(row.qty) for row in sold), Decimal(0))
        assert proceeds == Decimal("2101.569338")


# -- Hyperliquid API rows of the official SDK: same fills from two calls ------------------------


def test_the_same_fills_from_two_calls_are_500(desk: Desk, corpus: Path) -> None:
    decoded = corpus / "hyperliquid-python-sdk" / "decoded"
    with desk:
        desk.take(
            decoded / "test_get_user_fills.json", decoded / "test_get_user_fills_by_time.json"
        )
        answer = desk.why()
        assert answer.n_fills == 500
        breaks = [f.instrument for f in answer.findings if f.code == "anchor-break"]
        assert breaks == ["SUI"]


# -- hyperliquid-history: two accounts, start positions rounded by a spreadsheet ----------------


@pytest.mark.parametrize("times", [1, 2])
def test_the_course_history_once_or_twice(desk: Desk, corpus: Path, times: int) -> None:
    with desk:
        for _ in range(times):
            desk.take(corpus / "hyperliquid-history" / "historical_data.csv")
        answer = desk.why()
        rows = summary.fills(desk.view(), EVERYTHING)
        assert (answer.n_fills, len(rows)) == (1993, 1993)
        assert codes(answer)["anchor-break"] == 1
        unpriced = [row.venue_pnl for row in rows if row.realized is None]
        assert unpriced == ["573.585288"]
        priced = [row for row in rows if row.realized is not None]
        ours = sum((exact(row.realized) for row in priced), Decimal(0))
        theirs = sum((exact(row.venue_pnl) for row in priced), Decimal(0))
        assert abs(ours - theirs) <= abs(theirs) / 10_000


# -- freqtrade: recorded round trips, written from floats ---------------------------------------


def test_recorded_trades_before_and_after_fees(desk: Desk, corpus: Path) -> None:
    with desk:
        desk.take(corpus / "freqtrade" / "backtest_results" / "backtest-result.json")
        (card,) = summary.performance(desk.view(), EVERYTHING)
        assert card.n == 179
        assert card.profit_factor_gross == pytest.approx(2.4223, abs=5e-5)
        assert card.profit_factor == pytest.approx(1.1860, abs=5e-5)
        assert round(exact(card.net), 9) == Decimal("0.000144298")
        assert (card.wins, card.breakeven, card.losses) == (48, 122, 9)
        assert card.trade_definition == "as recorded"


@pytest.mark.parametrize("method", ["average", "fifo", "lifo"])
def test_the_ladder_sums_to_net_on_every_real_book(
    tmp_path: Path, corpus: Path, method: str
) -> None:
    with Desk(tmp_path / "desk") as desk:
        desk.take(corpus / "funding-farmer", tz="UTC")
        desk.take(corpus / "Coinbase-CSV-Parser" / "fills.csv")
        desk.take(corpus / "hyperliquid-history" / "historical_data.csv")
        answer = summary.why(desk.view(method), EVERYTHING)
        assert set(answer.currencies) == {"USD", "USDC"}
        for totals in answer.currencies.values():
            line = totals.ladder
            gains = exact(line.signal) + exact(line.signal_unpriced) + exact(line.funding)
            costs = exact(line.delay) + exact(line.drift) + exact(line.spread) + exact(line.fees)
            assert gains - costs == exact(totals.net)
            assert (line.residual, line.rounding) == ("0", "0")
