"""Stated positions: opening lots, breaks, and how exactly a venue's number must be met."""

from __future__ import annotations

import csv
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from fillbook.facts.finding import Finding
from fillbook.facts.model import Claim
from fillbook.ground.clock import parse_ns
from fillbook.ground.exact import scaled_text
from fillbook.resolve.claims import resolve
from fillbook.resolve.event import Group, Kind
from strategies import HOUR, SECOND, T0, Import, fill, funding, market, remember

SPOT = market("BTC", "spot")


def resolved(*claims: Claim, spec: Claim | None = None) -> tuple[Group, list[Finding]]:
    """Resolve the claims of one group."""
    everything = resolve(remember(Import([spec or market(), *claims])))
    (group,) = everything.groups
    return group, everything.findings


def derived(group: Group) -> list[tuple[str, str, str, int]]:
    """Return what anchors added: kind, quantity, book, nanoseconds after T0."""
    return [
        (
            event.kind.name.lower(),
            scaled_text(event.qty, group.qty_scale),
            event.book,
            event.ts_ns - T0,
        )
        for event in group.events
        if event.kind in (Kind.OPENING, Kind.ADJUST)
    ]


def keys(group: Group) -> list[str]:
    return [event.key for event in group.events]


def codes(findings: list[Finding]) -> list[str]:
    return [finding.code for finding in findings]


def test_what_stood_before_the_first_fill_is_the_opening() -> None:
    group, findings = resolved(fill(HOUR, "sell", 2, key="a", start_position="5"))
    assert derived(group) == [("opening", "5", "-", HOUR)]
    assert keys(group) == ["opening|a", "a"]
    (finding,) = findings
    assert (finding.code, finding.amount, finding.instrument) == ("opening-unpriced", "5", "BTC")
    assert "made_money" in finding.touches


def test_a_short_opening_is_negative() -> None:
    group, _ = resolved(fill(0, "buy", 2, key="a", start_position="-5"))
    assert derived(group) == [("opening", "-5", "-", 0)]


def test_a_flat_start_needs_no_opening() -> None:
    group, findings = resolved(fill(0, "buy", 2, key="a", start_position="0"))
    assert derived(group) == [] and findings == []


def test_the_opening_is_the_earliest_anchor_less_the_fills_before_it() -> None:
    """A file without positions reaches further back than the venue's history."""
    group, findings = resolved(
        fill(0, "buy", 2, key="a"),
        fill(SECOND, "buy", 1, key="b"),
        fill(HOUR, "sell", 4, key="c", start_position="7"),
    )
    assert derived(group) == [("opening", "4", "-", 0)]
    assert keys(group)[0] == "opening|a"
    assert codes(findings) == ["opening-unpriced"]


def test_an_earlier_import_makes_the_opening_smaller() -> None:
    late = fill(HOUR, "sell", 4, key="c", start_position="7")
    group, _ = resolved(fill(0, "buy", 7, key="a"), late)
    assert derived(group) == []
    group, _ = resolved(fill(0, "buy", 6, key="a"), late)
    assert derived(group) == [("opening", "1", "-", 0)]


def test_an_anchor_of_zero_is_no_licence_to_lose_a_part() -> None:
    """0.3 were bought, the venue says nothing stood: that is 0.3 too many, not a rounding."""
    group, findings = resolved(
        fill(0, "buy", "0.3", key="a"), fill(HOUR, "buy", "0.5", key="b", start_position="0")
    )
    assert derived(group) == [("opening", "-0.3", "-", 0)]
    assert codes(findings) == ["opening-unpriced"]


def test_within_the_print_of_the_anchor_nothing_opened() -> None:
    group, findings = resolved(
        fill(0, "buy", "986.52459548", key="a"),
        fill(HOUR, "buy", "1.5", key="b", start_position="986.5245955"),
    )
    assert derived(group) == [] and findings == []


def test_a_missing_fill_is_a_break_and_the_venues_number_holds() -> None:
    group, findings = resolved(
        fill(0, "buy", 2, key="a", start_position="0"),
        fill(HOUR, "sell", 1, key="b", start_position="5"),
        fill(2 * HOUR, "sell", 1, key="c", start_position="4"),
    )
    assert derived(group) == [("adjust", "3", "-", HOUR)]
    assert keys(group) == ["a", "adjust|b", "b", "c"]
    (finding,) = findings
    assert (finding.code, finding.severity, finding.amount) == ("anchor-break", "error", "3")


def test_anchors_are_compared_once_in_an_instant() -> None:
    """Inside an instant they only sort: the middle link is impossible, yet no second break."""
    group, findings = resolved(
        fill(0, "buy", 2, key="a", start_position="0"),
        fill(HOUR, "buy", 1, key="b", start_position="2"),
        fill(HOUR, "buy", 1, key="c", start_position="9"),
        fill(2 * HOUR, "buy", 1, key="d", start_position="4"),
    )
    assert derived(group) == [] and findings == []


@pytest.mark.parametrize(
    ("held", "stated", "broken"),
    [
        ("986.52459548", "986.5245955", False),  # ten digits: may be rounded there
        ("986.52459545", "986.5245955", False),  # exactly half of its last digit
        ("986.52459544", "986.5245955", True),
        ("986.52", "986.53", True),  # five digits are not rounded
        ("986.52459551", "986.5246", True),
    ],
)
def test_an_anchor_disagrees_beyond_half_of_its_own_last_digit(
    held: str, stated: str, broken: bool
) -> None:
    group, findings = resolved(
        fill(0, "buy", held, key="a", start_position="0"),
        fill(HOUR, "sell", "1", key="b", start_position=stated),
    )
    assert (codes(findings) == ["anchor-break"]) is broken
    assert bool(derived(group)) is broken


def test_rounded_anchors_do_not_pile_up() -> None:
    """Each is off by less than half a digit; the book keeps its own exact sum."""
    step = Decimal("1111.11111149")
    claims = [fill(0, "buy", step, key="k0", start_position="0")]
    for n in range(1, 10):
        claims.append(fill(n * HOUR, "buy", step, key=f"k{n}", start_position=round(step * n, 6)))
    group, findings = resolved(*claims)
    assert derived(group) == [] and findings == []


def test_funding_before_the_first_fill_does_not_misplace_the_opening() -> None:
    """The only strategy of the group owns the opening, whatever event comes first."""
    group, _ = resolved(
        funding(0, 1),
        fill(HOUR, "sell", 5, key="a", start_position="5", strategy="trend"),
    )
    assert derived(group) == [("opening", "5", "trend", 0)]


def test_an_opening_of_several_strategies_belongs_to_none() -> None:
    group, _ = resolved(
        fill(0, "sell", 1, key="a", start_position="5", strategy="trend"),
        fill(1, "sell", 1, key="b", start_position="4", strategy="fade"),
    )
    assert derived(group) == [("opening", "5", "-", 0)]


# --- spot ------------------------------------------------------------------------------------


def test_more_sold_than_bought_on_spot_proves_an_opening() -> None:
    """The largest shortfall, not the last: coins one sells one must have had."""
    group, findings = resolved(
        fill(0, "sell", 3, key="a"),
        fill(1, "buy", 1, key="b"),
        fill(2, "sell", 4, key="c"),
        fill(3, "buy", 10, key="d"),
        spec=SPOT,
    )
    assert derived(group) == [("opening", "6", "-", 0)]
    (finding,) = findings
    assert (finding.code, finding.amount) == ("opening-unpriced", "6")


def test_a_derivative_without_anchor_may_begin_short() -> None:
    group, findings = resolved(fill(0, "sell", 3, key="a"))
    assert derived(group) == [] and findings == []


def test_a_base_fee_counts_as_coins_that_did_not_arrive() -> None:
    group, _ = resolved(
        fill(0, "buy", "10", key="a", fee="0.5", fee_asset="BTC"),
        fill(1, "sell", "9.5", key="b"),
        spec=SPOT,
    )
    assert derived(group) == []
    group, _ = resolved(
        fill(0, "buy", "10.0", key="a", fee="0.5", fee_asset="BTC"),
        fill(1, "sell", "10.0", key="b"),
        fill(2, "buy", "0.1", key="c"),
        spec=SPOT,
    )
    assert derived(group) == [("opening", "0.5", "-", 0)]


def test_a_shortfall_below_the_lot_step_is_dust_and_no_opening() -> None:
    group, findings = resolved(
        fill(0, "buy", "10", key="a", fee="0.004", fee_asset="BTC"),
        fill(1, "sell", "10", key="b"),
        spec=SPOT,
    )
    assert derived(group) == [] and findings == []


def test_spot_cannot_open_below_nothing() -> None:
    """Coins left between the file and the venue's history: a break there, not a short opening."""
    group, findings = resolved(
        fill(0, "buy", 5, key="a"),
        fill(1, "sell", 2, key="b"),
        fill(HOUR, "sell", 1, key="c", start_position="1"),
        spec=SPOT,
    )
    assert derived(group) == [("adjust", "-2", "-", HOUR)]
    assert codes(findings) == ["anchor-break"]


def test_a_recorded_round_trip_is_outside_the_venues_count() -> None:
    """Rows that tell whole round trips stand beside the fills that anchors are about."""
    group, findings = resolved(
        fill(0, "buy", 2, key="a", start_position="0"),
        fill(1, "buy", 7, key="t1", leg="trade-1"),
        fill(HOUR, "sell", 1, key="b", start_position="2"),
        fill(2 * HOUR, "sell", 7, key="t2", leg="trade-1"),
    )
    assert derived(group) == [] and findings == []


def test_recorded_spot_fills_that_begin_with_a_sale(corpus: Path) -> None:
    """ADA-USD sold 1,233.4 more than it ever bought before: the opening, to the last digit."""
    claims: list[Claim] = [market("ADA-USD", "spot", base="ADA")]
    (file,) = (corpus / "Coinbase-CSV-Parser").glob("*.csv")
    with file.open() as rows:
        for row in csv.DictReader(rows):
            if row["product"] == "ADA-USD":
                claims.append(
                    fill(
                        parse_ns(row["created at"]) - T0,
                        row["side"].lower(),
                        row["size"],
                        row["price"],
                        key=row["trade id"],
                        instrument="ADA-USD",
                        venue_seq=int(row["trade id"]),
                    )
                )
    group, findings = resolved(*claims[1:], spec=claims[0])
    assert [(kind, qty) for kind, qty, _, _ in derived(group)] == [("opening", "1233.4")]
    assert codes(findings) == ["opening-unpriced"]


def test_recorded_positions_with_ten_digits_break_once(corpus: Path) -> None:
    """1,993 fills of a spreadsheet: at the one real break 195.98 HYPE had left."""
    with (corpus / "hyperliquid-history" / "historical_data.csv").open() as file:
        rows = list(csv.DictReader(file))
    coins = sorted({row["Coin"] for row in rows})
    claims = [market(coin, "spot" if coin[0] == "@" else "linear") for coin in coins]
    ranks: Counter[tuple[str, str, str]] = Counter()
    for place, row in enumerate(rows):
        printed = row["Timestamp IST"]
        instant = (row["Account"], row["Coin"], printed)
        bought = row["Side"] == "BUY"
        claims.append(
            fill(
                parse_ns(f"{printed} +0530", pattern="%d-%m-%Y %H:%M %z") - T0,
                "buy" if bought else "sell",
                row["Size Tokens"],
                row["Execution Price"],
                key=f"{place}",
                row=ranks[instant],
                account=row["Account"],
                instrument=row["Coin"],
                start_position=row["Start Position"],
                fee=row["Fee"],
                fee_asset=row["Coin"] if row["Coin"][0] == "@" and bought else "USD",
                dust=row["Direction"] == "Spot Dust Conversion",
            )
        )
        ranks[instant] += 1
    found = resolve(remember(Import(claims))).findings
    breaks = [finding for finding in found if finding.code == "anchor-break"]
    assert [finding.instrument for finding in breaks] == ["@107"]
    assert breaks[0].amount is not None and breaks[0].amount.startswith("-195.98")
