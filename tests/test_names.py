"""Names in questions: a slip of the finger is said, and a known name without fills is none."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from cli_run import FILLS, book_of, fillbook
from fillbook.analysis import summary
from fillbook.analysis.view import Query
from fillbook.facts.model import Decision
from fillbook.ground.settings import Settings
from fillbook.journal.store import Journal
from test_reconcile import ACCOUNT, BTC, OPENED, T0, VENUE, held
from test_reconcile import book_of as book_of_facts

# One row that nobody can fold keeps every answer that is about it incomplete.
ODD = (
    "time,instrument,side,px,qty,fee,fee_asset,fill_id\n"
    "2026-01-05T10:00:00Z,DOGE,sell,100000000000,90000000000000,0,USDT,d1\n"
    "2026-01-05T11:00:00Z,DOGE,sell,100000000000,90000000000000,0,USDT,d2\n"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a book of six fills of BTC and ETH, by trend and maker."""
    return book_of(tmp_path_factory.mktemp("book"))


@pytest.mark.parametrize("command", ["why", "fills", "performance", "findings"])
@pytest.mark.parametrize(
    ("option", "slip", "known"),
    [("instrument", "BCT", "BTC, ETH"), ("strategy", "tredn", "trend, -, maker")],
)
def test_a_name_that_is_misspelt_is_not_one_without_fills(
    folder: Path, command: str, option: str, slip: str, known: str
) -> None:
    ran = fillbook(folder, *command.split(), f"--{option}", slip)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.splitlines() == [
        f"fillbook: the book knows no such {option}",
        f"  where: --{option} {slip}",
        f"  next:  it has {known}",
    ]


def test_a_slip_beside_a_right_name_is_said_too(folder: Path) -> None:
    ran = fillbook(folder, "why", "--instrument", "BTC", "--instrument", "BCT")
    assert (ran.status, ran.out) == (2, "")
    assert "--instrument BCT" in ran.err


def test_a_known_name_without_fills_in_the_window_is_answered(folder: Path) -> None:
    asked = ("--instrument", "ETH", "--strategy", "maker", "--until", "2026-01-06")
    ran = fillbook(folder, "why", *asked)
    assert ran.status == 0 and "NO FILLS" in ran.out


def test_a_book_that_knows_nothing_yet_refuses_no_name(tmp_path: Path) -> None:
    fillbook(tmp_path, "init")
    for option in ("--instrument", "--strategy"):
        ran = fillbook(tmp_path, "why", option, "BTC")
        assert ran.status == 0 and "NO FILLS" in ran.out


def test_names_that_no_fill_has_are_known_where_something_tells_them(tmp_path: Path) -> None:
    """By a rule, a decision or a statement of the venue; and an alias stands for its symbol."""
    (tmp_path / "fillbook.toml").write_text(
        '[strategies]\nrules = [{ strategy = "grid", instrument = "SOLUSDT" }]\n'
    )
    perp = msgspec.structs.replace(BTC, aliases=("BTC/USDT:USDT",))
    sure = Decision(
        venue=VENUE, account=ACCOUNT, ts_ns=T0, decision_id="d1", instrument="XRPUSDT",
        action="buy", decision_px=Decimal(2), strategy="scalp",
    )  # fmt: skip
    facts = [perp, *OPENED, sure, held(0, "1", instrument="ADAUSDT")]
    book_of_facts(tmp_path, facts)
    names = ("--strategy grid", "--strategy scalp", "--instrument XRPUSDT", "--instrument ADAUSDT")
    for name in names:
        ran = fillbook(tmp_path, "fills", *name.split(), "--json")
        assert (ran.status, ran.json["rows"]) == (0, []), ran
    rows = fillbook(tmp_path, "fills", "--instrument", "BTC/USDT:USDT", "--json").json["rows"]
    assert [row["instrument"] for row in rows] == ["BTCUSDT", "BTCUSDT"]


def test_a_name_that_was_told_later_is_no_slip_about_earlier_times(tmp_path: Path) -> None:
    book_of(tmp_path, FILLS.replace("BTC", "SOL"))
    then = fillbook(tmp_path, "why", "--json").json["seq"]
    book_of(tmp_path, FILLS)
    for name in ("BTC", "SOL"):
        asked = ("fills", "--as-of", str(then), "--instrument", name, "--json")
        assert len(fillbook(tmp_path, *asked).json["rows"]) == (5 if name == "SOL" else 0)
    assert fillbook(tmp_path, "fills", "--as-of", str(then), "--instrument", "BCT").status == 2


def test_what_is_found_about_others_is_no_part_of_a_filtered_answer(tmp_path: Path) -> None:
    """An account that was asked for and has no fills keeps what was found about it."""
    book_of(tmp_path)
    (tmp_path / "odd.csv").write_text(ODD)
    odd = fillbook(
        tmp_path, "import", "odd.csv", "--account", "B", "--venue", "test", "--settle", "USDT"
    )
    assert odd.status == 0, odd

    def codes(*asked: str) -> set[str]:
        return {f["code"] for f in fillbook(tmp_path, "why", "--json", *asked).json["findings"]}

    assert "number-does-not-fit" in codes()
    assert codes("--account", "B") == {"number-does-not-fit"}
    assert codes("--account", "A", "--instrument", "DOGE") == set()
    assert codes("--strategy", "maker", "--account", "A") == set()


def test_a_warm_question_is_asked_without_the_ledger(folder: Path) -> None:
    query = Query(instruments=("BTC",), strategies=("trend",))
    for warm in (False, True):
        with Journal.open(folder / "fillbook.db", readonly=True) as journal:
            view = summary.load(journal, None, Settings(), cache=folder / "cache")
            names = summary.names(view, query)
            assert names.instruments["BTC"] == ("BTC",)
            assert "trend" in names.strategies
            assert ("ledger" in vars(view)) is not warm
