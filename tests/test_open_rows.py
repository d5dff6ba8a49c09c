"""Open trades are listed once in a view, and always as a fresh view lists them."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from fillbook.analysis.traderows import trades
from fillbook.analysis.valuation import Valuer
from fillbook.analysis.view import BookView, Query
from fillbook.facts.model import Claim
from fillbook.ground.settings import Settings
from fillbook.ledger.ledger import Ledger, fold_claims
from strategies import HOUR, Import, books, fill, market, remember


def view_of(ledger: Ledger) -> BookView:
    return BookView(lambda: ledger, Valuer(None, HOUR), Settings())


@settings(max_examples=30, deadline=None)
@given(books(max_events=30), st.randoms())
def test_a_view_that_was_asked_before_answers_as_a_fresh_one(
    claims: Sequence[Claim], dice: random.Random
) -> None:
    ledger = fold_claims(remember(Import(claims)))
    times = [int(ts) for group in ledger.groups for ts in group.columns.ts_ns] or [0]
    asked = view_of(ledger)
    for _ in range(4):
        since, until = sorted(dice.choices([*times, times[-1] + 1], k=2))
        for query in (Query(), Query(since_ns=since), Query(since_ns=since, until_ns=until)):
            assert trades(asked, query) == trades(view_of(ledger), query)


def test_a_trade_that_closes_later_is_open_only_in_the_windows_before() -> None:
    claims = [market(), fill(HOUR, "buy", "1", "100"), fill(3 * HOUR, "sell", "1", "110")]
    ledger = fold_claims(remember(Import(claims)))
    view = view_of(ledger)
    first, last = ledger.groups[0].columns.ts_ns.tolist()
    (early,) = trades(view, Query(until_ns=first + 1))
    (late,) = trades(view, Query(until_ns=last + 1))
    assert (early.final_status, late.final_status) == ("open", "completed")
    assert early.exit_time is None and late.exit_time is not None
    again = trades(view, Query(until_ns=first + 1))
    assert again == [early] and again[0] is early
