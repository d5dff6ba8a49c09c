"""Order inside a group: time, venue sequence, start positions, row, key; never arrival."""

from __future__ import annotations

import json
from itertools import pairwise, permutations
from pathlib import Path

import pytest

from fillbook.facts.model import Claim, Claimed, Fill
from fillbook.resolve.claims import resolve
from fillbook.resolve.order import tolerance
from fillbook.sources.hyperliquid.fills import draft_fill
from fillbook.sources.rows import Row
from strategies import SECOND, Import, charge, fill, funding, market, number, remember

MARKET = Import([market()], "markets")


def order(claims: list[Claimed]) -> list[str]:
    """Return the keys of a book's only group in their final order."""
    (group,) = resolve(claims).groups
    return [event.key for event in group.events]


def told(*claims: Claim) -> list[str]:
    """Return the one order that these claims have, whatever order they arrive in."""
    orders = {tuple(order(remember(MARKET, Import(p)))) for p in permutations(claims)}
    (only,) = orders
    return list(only)


def test_time_comes_first() -> None:
    early = fill(0, "buy", 1, key="z", venue_seq=9)
    late = fill(1, "buy", 1, key="a", venue_seq=1)
    assert told(late, early) == ["z", "a"]


def test_funding_and_charges_come_before_the_fills_of_their_instant() -> None:
    assert told(
        fill(0, "buy", 1, key="a-fill"),
        funding(0, 1, key="z-funding"),
        charge(0, 1, key="y-charge"),
    ) == ["z-funding", "y-charge", "a-fill"]


def test_the_venues_own_sequence_orders_an_instant_as_a_number() -> None:
    first = fill(0, "buy", 1, key="c", venue_seq=9)
    second = fill(0, "buy", 1, key="b", venue_seq=10)
    third = fill(0, "buy", 1, key="a", venue_seq=100)
    assert told(first, second, third) == ["c", "b", "a"]


def test_the_venues_sequence_outranks_rows_and_start_positions() -> None:
    first = fill(0, "sell", 1, key="b", venue_seq=1, row=5, start_position="1")
    second = fill(0, "buy", 1, key="a", venue_seq=2, row=0, start_position="0")
    assert [key for key in told(first, second) if len(key) == 1] == ["b", "a"]


def test_start_positions_chain_an_instant() -> None:
    chain = [
        fill(0, "buy", 2, key="d", start_position="0"),
        fill(0, "buy", 1, key="b", start_position="2"),
        fill(0, "sell", 4, key="c", start_position="3"),
        fill(0, "buy", 1, key="a", start_position="-1"),
    ]
    assert told(*chain) == ["d", "b", "c", "a"]


def test_the_chain_begins_where_the_last_instant_ended() -> None:
    """A loop 5 -> 6 -> 5: only the position that stood before tells where it starts."""
    up = fill(SECOND, "buy", 1, key="b", start_position="5")
    down = fill(SECOND, "sell", 1, key="a", start_position="6")
    assert told(up, down, fill(0, "buy", 5, key="x", start_position="0")) == ["x", "b", "a"]
    assert told(up, down, fill(0, "buy", 6, key="x", start_position="0")) == ["x", "a", "b"]


def test_rows_of_one_start_position_follow_the_chain_and_not_the_row() -> None:
    """Newest first, as venues print: the chain turns it round."""
    newest_first = [
        fill(0, "buy", 1, key="a", start_position="2", row=0),
        fill(0, "buy", 1, key="b", start_position="1", row=1),
        fill(0, "buy", 1, key="c", start_position="0", row=2),
    ]
    assert told(*newest_first) == ["c", "b", "a"]


def test_of_the_two_legs_of_a_self_trade_the_opening_one_goes_first() -> None:
    legs = [
        fill(SECOND, "sell", 2, key="a", start_position="10", fill_id="7"),
        fill(SECOND, "buy", 2, key="b", start_position="10", fill_id="7"),
    ]
    before = fill(0, "buy", 10, key="x", start_position="0")
    assert told(before, *legs) == ["x", "b", "a"]
    shorts = [
        fill(SECOND, "sell", 2, key="b", start_position="-10", fill_id="7"),
        fill(SECOND, "buy", 2, key="a", start_position="-10", fill_id="7"),
    ]
    before = fill(0, "sell", 10, key="x", start_position="0")
    assert told(before, *shorts) == ["x", "b", "a"]


def test_after_a_self_trade_the_chain_goes_on_from_where_it_stood() -> None:
    """Both legs start at 10 and leave 10; the sale to 8 and the purchase from 8 come after."""
    claims = [
        fill(SECOND, "buy", 2, key="leg-in", start_position="10", fill_id="7"),
        fill(SECOND, "sell", 2, key="leg-out", start_position="10", fill_id="7"),
        fill(SECOND, "sell", 2, px=99, key="z-down", start_position="10", fill_id="8"),
        fill(SECOND, "buy", 1, key="a-up", start_position="8", fill_id="9"),
    ]
    before = fill(0, "buy", 10, key="x", start_position="0")
    found = told(before, *claims)
    assert found.index("leg-out") == found.index("leg-in") + 1
    assert found.index("z-down") < found.index("a-up")
    anchored = resolve(remember(MARKET, Import([before, *claims])))
    assert anchored.findings == []


def test_a_start_position_printed_with_ten_digits_still_links() -> None:
    chain = [
        fill(0, "buy", "0.12345678", key="b", start_position="986.5245955"),
        fill(0, "buy", "1", key="a", start_position="986.6480523"),
    ]
    assert told(*chain)[1:] == ["b", "a"]


def test_a_book_with_a_gap_in_the_chain_still_has_one_order() -> None:
    claims = [
        fill(0, "buy", 1, key="c", start_position="0"),
        fill(0, "buy", 1, key="b", start_position="7"),
        fill(0, "buy", 1, key="a", start_position="8"),
    ]
    found = [key for key in told(*claims) if len(key) == 1]
    assert found.index("b") + 1 == found.index("a")


def test_one_order_that_sweeps_a_book_is_one_long_chain() -> None:
    """Thousands of links inside one instant, printed newest first."""
    n = 5_000
    claims = [fill(0, "buy", 1, key=f"k{n - i:06}", start_position=i) for i in reversed(range(n))]
    keys = order(remember(MARKET, Import(claims)))
    assert keys == [f"k{n - i:06}" for i in range(n)]


def test_without_ids_or_positions_the_rows_of_the_file_hold() -> None:
    claims = [fill(0, "buy", 1, px=100 + n, key="cab"[n], row=n) for n in range(3)]
    assert told(*claims) == ["c", "a", "b"]


def test_a_claim_without_row_comes_after_those_with_one_and_then_by_key() -> None:
    assert told(
        fill(0, "buy", 1, key="b"), fill(0, "buy", 1, key="a"), fill(0, "buy", 1, key="z", row=3)
    ) == ["z", "a", "b"]


def test_of_two_batches_the_one_with_more_rows_of_the_instant_holds() -> None:
    """The first export stops inside the instant; the second has all of it, in its own order."""
    one = [fill(0, "buy", 1, key="p", row=0), fill(0, "buy", 2, key="q", row=1)]
    two = [
        fill(0, "buy", 3, key="r", row=0),
        fill(0, "buy", 2, key="q", row=1),
        fill(0, "buy", 1, key="p", row=2),
    ]
    first = Import(one, "a-batch", "csv", 1)
    second = Import(two, "b-batch", "csv", 1)
    assert order(remember(MARKET, first, second)) == ["r", "q", "p"]
    assert order(remember(MARKET, second, first)) == ["r", "q", "p"]


def test_of_two_batches_with_as_many_rows_the_smaller_id_holds() -> None:
    forward = [fill(0, "buy", 1, key="p", row=0), fill(0, "buy", 2, key="q", row=1)]
    backward = [fill(0, "buy", 2, key="q", row=0), fill(0, "buy", 1, key="p", row=1)]
    for smaller, wanted in ((forward, ["p", "q"]), (backward, ["q", "p"])):
        larger = backward if smaller is forward else forward
        a, b = Import(smaller, "a", "csv", 1), Import(larger, "b", "csv", 1)
        assert order(remember(MARKET, a, b)) == wanted
        assert order(remember(MARKET, b, a)) == wanted


def test_rows_count_by_instant_and_not_over_the_whole_file() -> None:
    """The longer file says less about this instant, so it does not decide it."""
    long = [fill(SECOND * n, "buy", 1, key=f"n{n}", row=0) for n in range(1, 9)]
    partly = [fill(0, "buy", 1, key="p", row=0)]
    full = [fill(0, "buy", 2, key="q", row=0), fill(0, "buy", 1, key="p", row=1)]
    a = Import([*partly, *long], "a", "csv", 1)
    b = Import(full, "b", "csv", 1)
    assert order(remember(MARKET, a, b))[:2] == ["q", "p"]


@pytest.mark.parametrize(
    ("stated", "lot_decimals", "wanted"),
    [
        ("986.5245955", 2, "0.00000005"),  # ten digits: half of the last one printed
        ("98652459.55", 2, "0.005"),
        ("5", 2, "0.005"),  # a short number is exact to the lot step
        ("0", 3, "0.0005"),
        ("1.25", 1, "0.005"),
    ],
)
def test_a_stated_position_is_as_exact_as_its_last_digit(
    stated: str, lot_decimals: int, wanted: str
) -> None:
    assert tolerance(number(stated), lot_decimals) == number(wanted)  # type: ignore[arg-type]


def test_recorded_fills_form_one_chain_per_coin(corpus: Path) -> None:
    """Real self-trades, printed newest instant first, without trade ids: one link is broken."""
    claims: dict[str, Claim] = {}
    for name in ("user_fills", "user_fills_by_time"):
        file = corpus / "hyperliquid-python-sdk" / "decoded" / f"test_get_{name}.json"
        for call in json.loads(file.read_text(), parse_float=str):
            for row, cells in enumerate(call["response"]):
                draft = draft_fill(Row(cells), "0xa")
                claims[draft.key] = Claim(draft.fact, draft.key, row=row)
                assert draft.instrument is not None
                claims[draft.instrument.symbol] = Claim(draft.instrument, draft.instrument.symbol)
    resolved = resolve(remember(Import(list(claims.values()), account="0xa")))
    links = legs = 0
    broken: list[str] = []
    for group in resolved.groups:
        fills = [event.fact for event in group.events if isinstance(event.fact, Fill)]
        position = fills[0].start_position
        for before, said in pairwise([None, *fills]):
            assert said is not None and said.start_position is not None and position is not None
            leg = before is not None and before.start_position == said.start_position
            links, legs = links + 1, legs + leg
            if not leg and position != said.start_position:
                broken.append(said.instrument)
                position = said.start_position
            position += said.qty if said.side == "buy" else -said.qty
    assert (links, broken) == (500, ["SUI"])
    assert legs > 80
    assert [f.code for f in resolved.findings].count("anchor-break") == 1
