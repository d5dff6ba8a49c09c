"""Positions that differ from what the venue stated: every reading command tells them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cli_run import fillbook
from fillbook.analysis.answers import FindingRow
from fillbook.analysis.summary import findings, load, trades
from fillbook.analysis.view import Query
from fillbook.ground.clock import HOUR_NS, MINUTE_NS, SECOND_NS
from fillbook.ground.settings import Settings
from fillbook.journal.store import Journal
from test_reconcile import BTC, HOURS, OPENED, book_of, complete, fill, held

WRONG = held(2 * HOUR_NS, "1.75")


def told(book: Path, **asked: Any) -> list[FindingRow]:
    with Journal.open(book, readonly=True) as journal:
        rows = findings(load(journal, None, Settings(), **asked), Query())
        return [row for row in rows if row.code == "position-disagrees"]


def test_findings_and_why_say_what_reconcile_says(tmp_path: Path) -> None:
    book_of(tmp_path, [*OPENED, held(60 * MINUTE_NS + SECOND_NS, "1.5"), WRONG, *complete(HOURS)])
    (row,) = [
        row
        for row in fillbook(tmp_path, "findings", "--json").json["rows"]
        if row["code"] == "position-disagrees"
    ]
    assert (row["severity"], row["instrument"], row["amount"]) == ("error", "BTCUSDT", "-0.25")
    assert row["ts"] == "2026-01-01T02:00:00Z"
    why = fillbook(tmp_path, "why", "--json").json
    assert "position-disagrees" in [each["code"] for each in why["findings"]]
    assert why["made_money"] == "incomplete"
    (check,) = [
        check
        for check in fillbook(tmp_path, "reconcile", "--json").json["rows"]
        if check["check"] == "position"
    ]
    assert (check["state"], check["difference"]) == ("differs", row["amount"])
    assert check["next_step"] == row["next_step"]
    # Before it was stated, nobody could know.
    window = ("--until", "2026-01-01T02:00:00Z", "--json")
    assert fillbook(tmp_path, "findings", *window).json["rows"] == []


SPOT = msgspec.structs.replace(
    BTC, symbol="ETH/USDT", base="ETH", contract="spot", multiplier=Decimal(1)
)
IN_COINS = {"instrument": "ETH/USDT"}
BOUGHT = fill(0, "buy", "2", "9", **IN_COINS, fill_id="e")


@pytest.mark.parametrize(
    ("facts", "amounts"),
    [
        ([*OPENED, held(2 * HOUR_NS, "1.5"), *complete(HOURS)], []),
        ([*OPENED, WRONG, *complete(HOURS)], ["-0.25"]),
        # A fill may appear minutes late: nothing is proven before then.
        ([*OPENED, WRONG, *complete(2 * HOUR_NS + 9 * MINUTE_NS)], []),
        ([*OPENED, WRONG], []),
        # What is filled while the question is on its way is in the answer.
        ([*OPENED, held(60 * MINUTE_NS - SECOND_NS, "1.5"), *complete(HOURS)], []),
        ([*OPENED, held(59 * MINUTE_NS, "1.5"), *complete(HOURS)], ["0.5"]),
        # Nobody traded it here.
        ([*OPENED, held(2 * HOUR_NS, "3", instrument="ETHUSDT"), *complete(HOURS)], ["-3"]),
        # Coins come and go by deposits; reconcile knows those too.
        ([held(2 * HOUR_NS, "3", **IN_COINS), *complete(HOURS)], []),
        ([SPOT, BOUGHT, held(2 * HOUR_NS, "1", **IN_COINS), *complete(HOURS)], []),
    ],
)
def test_only_what_is_proven_is_told(
    tmp_path: Path, facts: Sequence[Any], amounts: list[str]
) -> None:
    assert [row.amount for row in told(book_of(tmp_path, facts))] == amounts


def test_it_is_told_as_of_any_time(tmp_path: Path) -> None:
    facts = [*OPENED, WRONG, *complete(HOURS), held(3 * HOUR_NS, "1.5")]
    book = book_of(tmp_path, facts)
    assert told(book) == []
    assert [row.amount for row in told(book, as_of=len(facts))] == ["-0.25"]
    assert told(book, as_of=3) == []


def refuse(*args: object, **kinds: object) -> None:
    raise AssertionError("the pages of the book are read again")


def test_a_folded_book_is_not_walked_through_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = book_of(tmp_path, [*OPENED, WRONG, *complete(HOURS)])
    cache = tmp_path / "cache"
    with Journal.open(book, readonly=True) as journal:
        assert len(trades(load(journal, None, Settings(), cache=cache), Query())) == 1
    ask: Callable[[], list[FindingRow]] = lambda: told(book, cache=cache)  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "claims", refuse)
        assert [row.amount for row in ask()] == ["-0.25"]
    # Where what was found is gone, the statements are read, and it is found again.
    shutil.rmtree(cache / "answers")
    assert [row.amount for row in ask()] == ["-0.25"]
    assert Decimal(ask()[0].amount or 0) == Decimal("-0.25")
