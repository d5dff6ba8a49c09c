"""What venues state of all positions anchors the stretches of complete fills, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fillbook.facts.finding import Finding
from fillbook.facts.model import Claim, Coverage
from fillbook.ground.exact import scaled_text
from fillbook.ledger.group import trade_ids
from fillbook.ledger.ledger import fold_claims
from fillbook.resolve.claims import resolve
from fillbook.resolve.event import Group, Kind
from strategies import HOUR, SECOND, T0, Import, covers, fill, funding, market, remember, stated

Derived = list[tuple[str, str, int]]


def resolved(claims: Sequence[Claim], *covered: Coverage) -> tuple[list[Group], list[Finding]]:
    """Resolve the claims of one source, whose fills are complete for a day unless said."""
    told = Import([market(), *claims], covers=covered or (covers(),))
    everything = resolve(remember(told))
    return everything.groups, everything.findings


def derived(claims: Sequence[Claim], *covered: Coverage) -> Derived:
    """Return what statements added to the only group: kind, quantity, nanoseconds after T0."""
    groups, _ = resolved(claims, *covered)
    return [
        (event.kind.name.lower(), scaled_text(event.qty, group.qty_scale), event.ts_ns - T0)
        for group in groups
        for event in group.events
        if event.kind in (Kind.OPENING, Kind.ADJUST)
    ]


def test_what_is_stated_and_was_never_traded_is_a_position() -> None:
    groups, findings = resolved(stated(HOUR, ("BTC", "-0.25")))
    (event,) = groups[0].events
    assert (event.kind, scaled_text(event.qty, groups[0].qty_scale)) == (Kind.OPENING, "-0.25")
    assert event.ts_ns == T0 + HOUR
    (finding,) = findings
    assert (finding.code, finding.amount, finding.ts_ns) == (
        *("opening-unpriced", "-0.25"),
        T0 + HOUR,
    )


def test_it_stood_before_the_first_fill_and_before_its_funding() -> None:
    said = stated(2 * HOUR, ("BTC", 3))
    assert derived([funding(SECOND, 1), fill(HOUR, "sell", 2), *said]) == [("opening", "5", SECOND)]


def test_seen_before_the_first_fill_it_begins_when_it_was_seen() -> None:
    said = stated(HOUR, ("BTC", 3))
    assert derived([*said, fill(2 * HOUR, "sell", 2)]) == [("opening", "3", HOUR)]


def test_where_fills_tell_what_stood_before_them_the_statement_tells_only_since_when() -> None:
    said = stated(HOUR, ("BTC", 3))
    sold = fill(2 * HOUR, "sell", 2, start_position=3)
    assert derived([*said, sold]) == [("opening", "3", HOUR)]
    assert derived([*said, fill(SECOND, "sell", 2, start_position=3)]) == [("opening", "3", SECOND)]
    assert derived([*stated(HOUR, ("BTC", 9)), sold]) == [("opening", "3", 2 * HOUR)]


def test_a_statement_of_flat_is_no_beginning_of_what_a_later_fill_tells() -> None:
    said = stated(HOUR // 2)
    opened = fill(6 * HOUR, "sell", 1, start_position=3)
    assert derived([*said, opened], covers(until=HOUR)) == [("opening", "3", 6 * HOUR)]


def test_a_statement_after_a_hole_is_heard_where_no_fill_behind_it_tells() -> None:
    bought = fill(HOUR, "buy", 2, start_position=0)
    holed = covers(until=2 * HOUR), covers(since=5 * HOUR)
    assert derived([bought, *stated(6 * HOUR)], *holed) == [("adjust", "-2", 6 * HOUR)]
    told = fill(7 * HOUR, "sell", 1, start_position=2)
    assert derived([bought, *stated(6 * HOUR, ("BTC", 2)), told], *holed) == []


def test_what_the_fills_explain_needs_no_opening() -> None:
    said = stated(2 * HOUR, ("BTC", 2))
    assert derived([fill(HOUR, "buy", 2), *said]) == []


def test_what_is_not_stated_was_flat() -> None:
    assert derived([fill(HOUR, "buy", 2), *stated(2 * HOUR, ("ETH", 1))]) == [
        ("opening", "-2", HOUR)
    ]


def test_what_the_venue_was_not_asked_for_is_not_taken_for_flat() -> None:
    """Another dex, a family of contracts with answers of its own: absence says nothing there."""
    bought = fill(HOUR, "buy", 2)
    assert derived([bought, *stated(2 * HOUR, ("ETH", 1), listed=["ETH"])]) == []
    later = stated(3 * HOUR, ("BTC", 5), listed=["ETH"])
    assert derived([bought, *stated(2 * HOUR, listed=["ETH"]), *later]) == [("opening", "3", HOUR)]


def test_fills_told_without_their_leg_leave_both_ways_of_counting_alone() -> None:
    """A file knows no legs, the venue does: their sum is right, and which is which is unknown."""
    whole, leg = fill(HOUR, "buy", 2), fill(2 * HOUR, "sell", 2, position_side="long")
    assert derived([whole, leg, *stated(3 * HOUR)]) == []
    assert derived([whole, *stated(3 * HOUR)]) == [("opening", "-2", HOUR)]


def test_an_answer_from_a_copy_that_lags_behind_is_no_opening() -> None:
    bought = fill(HOUR, "buy", 1)
    assert derived([bought, *stated(HOUR + 5 * SECOND), *stated(9 * HOUR, ("BTC", 1))]) == []


def test_the_legs_of_hedge_mode_are_stated_apart() -> None:
    opened = fill(HOUR, "sell", 1, position_side="short")
    groups, _ = resolved([opened, *stated(2 * HOUR, ("BTC", -3), side="short")])
    (group,) = groups
    assert group.key.position_side == "short"
    assert [event.qty for event in group.events] == [-2, -1]


@pytest.mark.parametrize(
    "covered",
    [covers("funding"), covers(until=HOUR), covers(since=2 * HOUR), covers(instrument="ETH")],
    ids=["other facts", "ends before", "begins after", "another instrument"],
)
def test_where_the_fills_are_not_complete_a_statement_proves_nothing(covered: Coverage) -> None:
    said = stated(HOUR, ("BTC", 3), until=HOUR + SECOND)
    assert derived([fill(SECOND, "buy", 1), *said], covered) == []


def test_coins_of_a_spot_market_are_moved_by_deposits_too() -> None:
    told = Import([market("BTC", "spot"), *stated(HOUR, ("BTC", 3))], covers=(covers(),))
    assert resolve(remember(told)).groups == []


def test_after_a_hole_in_the_fills_the_book_goes_on_from_what_is_stated() -> None:
    claims = [
        fill(HOUR, "buy", 2),
        *stated(2 * HOUR, ("BTC", 2)),
        fill(9 * HOUR, "sell", 1),
        *stated(10 * HOUR, ("BTC", 4)),
    ]
    before, after = covers(until=3 * HOUR), covers(since=8 * HOUR)
    assert derived(claims, before, after) == [("adjust", "3", 9 * HOUR)]
    _, findings = resolved(claims, before, after)
    (finding,) = findings
    assert (finding.code, finding.amount) == ("anchor-break", "3")
    assert "so 5 stood at 2026-01-05T08:00:00Z" in finding.message
    # Once the hole is filled, so is the adjustment.
    missing = fill(5 * HOUR, "buy", 3)
    assert derived([*claims, missing], covers()) == []


def test_nothing_later_in_a_stretch_is_judged_by_a_statement() -> None:
    claims = [
        *stated(HOUR, ("BTC", 2)),
        fill(2 * HOUR, "sell", 1),
        *stated(3 * HOUR, ("BTC", 7)),
    ]
    assert derived(claims) == [("opening", "2", HOUR)]


def test_a_fill_that_comes_late_makes_the_opening_smaller() -> None:
    claims = [fill(2 * HOUR, "sell", 1), *stated(3 * HOUR, ("BTC", 4))]
    assert derived(claims) == [("opening", "5", 2 * HOUR)]
    assert derived([fill(HOUR, "buy", 5), *claims]) == []


def test_amid_fills_the_next_statement_decides() -> None:
    """Asked for while two fills happened: 6, 4 or 3 stood before; asked again, it was 4."""
    amid = [
        *stated(HOUR, ("BTC", 6), until=HOUR + 9 * SECOND),
        fill(HOUR + SECOND, "buy", 2),
        fill(HOUR + 2 * SECOND, "buy", 1),
    ]
    assert derived(amid) == []
    again = stated(2 * HOUR, ("BTC", 7))
    assert derived([*amid, *again]) == [("opening", "4", HOUR)]


def test_amid_fills_no_opening_is_made_up() -> None:
    amid = [fill(HOUR + n * SECOND, "buy", 1) for n in range(5)]
    said = stated(HOUR, ("BTC", 3), until=HOUR + 4 * SECOND)
    assert derived([*amid, *said]) == []


def test_a_print_to_the_second_may_have_been_before_or_after() -> None:
    coarse = fill(HOUR, "buy", 1, printed_ns=SECOND)
    assert derived([coarse, *stated(HOUR + SECOND // 2, ("BTC", 1))]) == []
    assert derived([coarse, *stated(HOUR + SECOND // 2)]) == []
    assert derived([coarse, *stated(HOUR + 11 * SECOND)]) == [("opening", "-1", HOUR)]


def test_a_trade_that_was_open_keeps_its_id_whatever_is_learnt_of_its_beginning() -> None:
    said, later = stated(HOUR, ("BTC", 3)), fill(2 * HOUR, "sell", 3)
    names = set()
    for claims in (said, [*said, later], [*said, later, fill(SECOND, "sell", 1)]):
        ledger = fold_claims(remember(Import([market(), *claims], covers=(covers(),))))
        names.add(trade_ids(ledger.groups[0])[0])
    assert len(names) == 1


@pytest.mark.parametrize("absurd", ["1e30", "0.0000000000000000000001"])
def test_a_statement_that_no_ledger_can_hold_costs_no_fill(absurd: str) -> None:
    groups, findings = resolved([fill(HOUR, "buy", 2), *stated(2 * HOUR, ("BTC", absurd))])
    assert [(event.kind, event.qty) for event in groups[0].events] == [(Kind.FILL, 2)]
    assert findings == []


# --- against what really happened -----------------------------------------------------------------


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Claim], list[Coverage], dict[int, Decimal]]:
    """Draw what happened to an account, and hide some of it.

    Returns what became known, where fills are complete, and the true position after every known
    fill of a stretch that a statement speaks of.
    """
    hours = draw(st.lists(st.sampled_from(range(40)), min_size=1, max_size=20, unique=True))
    moved = {hour: Decimal(draw(st.integers(-5, 5).filter(bool))) for hour in sorted(hours)}
    edges = sorted(draw(st.lists(st.integers(0, 41), min_size=2, max_size=6, unique=True)))
    stretches = [(a * HOUR, b * HOUR) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    minutes = draw(st.lists(st.integers(0, 40), max_size=6, unique=True))
    claims: list[Claim] = []
    for hour, qty in moved.items():
        if any(since <= hour * HOUR < until for since, until in stretches):
            side = "buy" if qty > 0 else "sell"
            claims.append(fill(hour * HOUR, side, abs(qty), key=f"k{hour}"))

    def held(at: int) -> Decimal:
        return sum((qty for hour, qty in moved.items() if hour * HOUR <= at), Decimal(0))

    looks = [hour * HOUR + HOUR // 2 for hour in minutes]
    for at in looks:
        claims += stated(at, *([("BTC", held(at))] if held(at) else []))
    anchored = [
        (since, until)
        for since, until in stretches
        if any(since <= at and at + 1 <= until for at in looks)
    ]
    truth = {
        hour * HOUR: held(hour * HOUR)
        for hour in moved
        if any(since <= hour * HOUR < until for since, until in anchored)
    }
    return claims, [covers(since=a, until=b) for a, b in stretches], truth


@settings(max_examples=200, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_positions_are_true_wherever_a_statement_speaks(
    told: tuple[list[Claim], list[Coverage], dict[int, Decimal]], dice: object
) -> None:
    claims, stretches, truth = told
    dice.shuffle(claims)  # type: ignore[attr-defined]
    groups, _ = resolved(claims, *stretches)
    found: dict[int, Decimal] = {}
    for group in groups:
        position = 0
        for event in group.events:
            position += event.qty
            if event.kind is Kind.FILL:
                found[event.ts_ns - T0] = Decimal(scaled_text(position, group.qty_scale))
    assert {at: found[at] for at in truth} == truth


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(-3, 3).filter(bool)), max_size=20),
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20), st.data()), max_size=5),
)
def test_where_everything_is_known_nothing_is_added(
    moved: list[tuple[int, int]], looks: list[tuple[int, int, st.DataObject]]
) -> None:
    """However wide the moment of a statement, and wherever in it the venue looked."""
    claims = [
        fill(at * SECOND, "buy" if qty > 0 else "sell", abs(qty), key=f"k{place}", venue_seq=place)
        for place, (at, qty) in enumerate(moved)
    ]
    for at, width, data in looks:
        # A few fills of the moment itself may be in the statement, in their order.
        told = sorted(moved, key=lambda each: each[0])
        before = sum(each[0] < at for each in told)
        inside = sum(at <= each[0] < at + width for each in told)
        held = sum(qty for _, qty in told[: before + data.draw(st.integers(0, inside))])
        claims += stated(
            at * SECOND, *([("BTC", held)] if held else []), until=(at + width) * SECOND
        )
    assert derived(claims) == []
