"""Coinbase Pro's fills export, against rows written by hand."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from fillbook.facts.model import Fill
from fillbook.ground.clock import parse_ns
from fillbook.ground.errors import InputError
from reader_runs import CASES, read_file, read_text

FILLS = CASES / "coinbase_fills.csv"
D = Decimal


def test_a_row_is_a_spot_fill_with_its_fee_in_the_quote() -> None:
    sale, buy, euro = read_file(FILLS).only(Fill)
    assert (sale.account, sale.side, sale.qty, sale.px) == ("main", "sell", D(100), D("1.25"))
    assert (sale.fee, sale.fee_asset, euro.fee_asset) == (D("0.3125"), "USD", "EUR")
    assert sale.ts_ns == parse_ns("2026-01-05T10:00:00.5Z")
    assert sale.printed_ns == 1_000_000
    # Two executions of one millisecond: the venue's own number says which came first.
    assert (buy.venue_seq, sale.venue_seq) == (501, 502)


def test_the_trade_id_of_a_product_is_the_identity(tmp_path: Path) -> None:
    told = read_file(FILLS)
    assert [claim.key for claim in told.claims] == [
        "2026-01-05|ADA-USD|502",
        "2026-01-05|ADA-USD|501",
        "2026-01-05|BTC-EUR|77",
    ]
    assert [reading.terms.rank for reading in told.readings] == [2]


def test_a_total_that_does_not_follow_from_the_row_is_rejected(tmp_path: Path) -> None:
    told = read_text(tmp_path, FILLS.read_text().replace("124.6875", "124.6876"))
    (rejected,) = told.rejected
    assert (rejected.line, rejected.field, len(told.claims)) == (2, "total", 2)


def test_the_account_given_names_the_one_portfolio_but_not_several(tmp_path: Path) -> None:
    assert {fact.account for fact in read_file(FILLS, account="uid-1").facts} == {"uid-1"}
    two = FILLS.read_text().replace("main,77", "savings,77")
    with pytest.raises(InputError, match="rows name the accounts main, savings"):
        read_text(tmp_path, two, account="uid-1")
    told = read_text(tmp_path, two)
    assert [reading.whose.account for reading in told.readings] == ["main", "savings"]
