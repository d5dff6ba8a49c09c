"""Saved answers of Coinbase Advanced, in every form somebody may have saved them in."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from fillbook.facts.model import Charge, Correction, Fill, Instrument, OrderUpdate
from fillbook.ground.errors import InputError
from fillbook.sources.files.opened import SourceFile
from fillbook.sources.files.registry import READERS, detect, reparse
from fillbook.sources.reading import Reading
from fillbook.sources.source import ACCOUNT_NOT_NAMED, ReadOptions, Rejected

CASES = Path(__file__).parent / "cases" / "readers"
ME = "0f3c2b1a-0000-4000-8000-00000000c0de"
FILLS = json.loads((CASES / "coinbase_advanced_fills.json").read_text())
ORDERS = json.loads((CASES / "coinbase_advanced_orders.json").read_text())


def readings(path: Path, **options: Any) -> list[Reading]:
    file = SourceFile(path)
    return list(detect(file).read(file, ReadOptions(**options)))


def claims_of(reading: Reading) -> list[Any]:
    entries = list(reading.entries())
    assert not [entry for entry in entries if isinstance(entry, Rejected)]
    return [entry for entry in entries if not isinstance(getattr(entry, "fact", None), Instrument)]


def told(path: Path, **options: Any) -> dict[tuple[str, str], Any]:
    """(account, key) -> fact, of every claim in a file."""
    return {
        (reading.whose.account, claim.key): claim.fact
        for reading in readings(path, **options)
        for claim in claims_of(reading)
    }


@pytest.mark.parametrize(
    ("name", "source"),
    [("fills", "coinbase-fills"), ("orders", "coinbase-orders"), ("products", "coinbase-products")],
)
def test_each_answer_is_recognised_by_one_reader(name: str, source: str) -> None:
    file = SourceFile(CASES / f"coinbase_advanced_{name}.json")
    assert [r.name for r in READERS if r.recognises(file.sample())] == [source]


def forms(rows: list[Any], part: str, **more: Any) -> dict[str, str]:
    """The same rows as an answer, as pages of it, as a list, and one a line."""
    pages = [{part: rows[:1], "cursor": "5", **more}, {part: rows[1:], "cursor": "", **more}]
    return {
        "answer": json.dumps({part: rows, "cursor": "", **more}),
        "printed answer": json.dumps({part: rows, **more}, indent=2),
        "pages": json.dumps(pages, indent=1),
        "list": json.dumps(rows),
        "lines": "\n".join(json.dumps(row) for row in rows) + "\n",
    }


@pytest.mark.parametrize("form", ["answer", "printed answer", "pages", "list", "lines"])
@pytest.mark.parametrize("part", ["fills", "orders"])
def test_the_form_makes_no_difference(tmp_path: Path, form: str, part: str) -> None:
    rows = FILLS["fills"] if part == "fills" else ORDERS["orders"]
    path = tmp_path / "saved.json.gz"
    path.write_bytes(gzip.compress(forms(rows, part)[form].encode()))
    wanted = told(CASES / f"coinbase_advanced_{part}.json")
    assert told(path) == wanted
    kinds = {type(fact) for fact in wanted.values()}
    assert kinds == ({Fill, Correction} if part == "fills" else {OrderUpdate})
    assert {account for account, _ in wanted} == {ME}


def test_an_order_asked_for_by_its_id_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "order.json"
    path.write_text(json.dumps({"order": ORDERS["orders"][0]}))
    wanted = told(CASES / "coinbase_advanced_orders.json")
    assert told(path).items() <= wanted.items()
    assert len(told(path)) == 2


def test_the_rest_of_a_size_in_quote_promises_nothing_about_charges(tmp_path: Path) -> None:
    row = {**FILLS["fills"][0], "size_in_quote": True, "size": "10", "price": "3"}
    path = tmp_path / "quote.json"
    path.write_text(json.dumps({"fills": [row]}))
    (reading,) = readings(path)
    assert [type(claim.fact) for claim in claims_of(reading)] == [Fill, Charge]
    assert [(each.component, each.instrument) for each in reading.coverage()] == [
        ("fills", "BTC-USD")
    ]


def test_portfolios_of_one_file_are_accounts(tmp_path: Path) -> None:
    other = {**FILLS["fills"][0], "entry_id": "e-9", "retail_portfolio_id": "another"}
    path = tmp_path / "two.json"
    path.write_text(json.dumps([*FILLS["fills"], other]))
    mine, theirs = readings(path)
    assert [r.whose.account for r in (mine, theirs)] == [ME, "another"]
    assert len(claims_of(mine)) == 3 and len(claims_of(theirs)) == 1
    assert mine.terms.fingerprint != theirs.terms.fingerprint
    assert mine.labels == theirs.labels == ()
    with pytest.raises(InputError, match="portfolio another, --account says"):
        readings(path, account=ME)


def test_rows_that_name_no_portfolio_are_the_accounts(tmp_path: Path) -> None:
    bare = [
        {name: value for name, value in row.items() if name != "retail_portfolio_id"}
        for row in FILLS["fills"]
    ]
    path = tmp_path / "bare.json"
    path.write_text(json.dumps({"fills": bare}))
    (unnamed,) = readings(path)
    assert (unnamed.whose.account, unnamed.labels) == ("default", (ACCOUNT_NOT_NAMED,))
    assert told(path, account=ME) == told(CASES / "coinbase_advanced_fills.json")


@pytest.mark.parametrize("name", ["fills", "orders", "products"])
def test_every_row_is_read_again_from_the_text_it_left(name: str) -> None:
    (reading,) = readings(CASES / f"coinbase_advanced_{name}.json")
    for claim in [entry for entry in reading.entries() if not isinstance(entry, Rejected)]:
        again = reparse(reading.terms.source, reading.terms.context, claim.raw)  # type: ignore[union-attr]
        assert claim.fact in again  # type: ignore[union-attr]


def test_a_row_that_cannot_be_read_is_listed_and_the_rest_is_not_lost(tmp_path: Path) -> None:
    rows = [{**FILLS["fills"][0], "trade_type": "WONDER"}, *FILLS["fills"][1:]]
    path = tmp_path / "wonder.json"
    path.write_text(json.dumps({"fills": rows}, indent=1))
    (reading,) = readings(path)
    entries = list(reading.entries())
    (rejected,) = [entry for entry in entries if isinstance(entry, Rejected)]
    assert (rejected.field, rejected.line) == ("trade_type", 3)
    assert reading.rejected == 1 and reading.rows == 3
