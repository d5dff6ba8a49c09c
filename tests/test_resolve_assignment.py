"""Whose fill it is, which prices its decision saw, what corrections undo, what a name means."""

from __future__ import annotations

from decimal import Decimal
from itertools import permutations
from typing import Any

from fillbook.facts.finding import Finding
from fillbook.facts.model import (
    Assignment,
    Claim,
    Correction,
    Decision,
    Fill,
    OrderUpdate,
)
from fillbook.ground.exact import scaled_text
from fillbook.ground.settings import StrategyRule
from fillbook.ledger.ledger import fold_claims
from fillbook.resolve.claims import ResolveRules, resolve
from fillbook.resolve.event import Event, Group, Resolved, Rungs
from fillbook.resolve.standing import Standing
from strategies import (
    ACCOUNT,
    HOUR,
    SECOND,
    T0,
    VENUE,
    Import,
    charge,
    covers,
    fill,
    funding,
    market,
    number,
    other,
    remember,
)

RULES = ResolveRules(
    strategies=(
        StrategyRule(strategy="by-prefix", client_id_prefix="mm-"),
        StrategyRule(strategy="by-instrument", instrument="BTC"),
    )
)


def assign(strategy: str, at: int = 0, **ids: str) -> Claim:
    fact = Assignment(venue=VENUE, account=ACCOUNT, ts_ns=T0 + at, strategy=strategy, **ids)
    return other(fact, f"assign|{at}|{strategy}|{ids}")


def decide(name: str, at: int = 0, **more: Any) -> Claim:
    fields = {"instrument": "BTC", "action": "buy"} | more
    for px in ("decision_px", "arrival_px", "mid_px"):
        if px in fields:
            fields[px] = number(fields[px])
    fact = Decision(venue=VENUE, account=ACCOUNT, ts_ns=T0 + at, decision_id=name, **fields)
    return other(fact, f"decision|{name}|{at}")


def order(at: int = 0, **more: Any) -> Claim:
    fields = {"instrument": "BTC", "status": "placed"} | more
    fact = OrderUpdate(venue=VENUE, account=ACCOUNT, ts_ns=T0 + at, **fields)
    return other(fact, f"order|{at}|{fields}")


def solved(*claims: Claim, rules: ResolveRules | None = None) -> Resolved:
    return resolve(remember(Import([market(), *claims])), rules)


def books(*claims: Claim, rules: ResolveRules | None = None) -> list[str]:
    """Return the sub-book of every event of the only group, in order, however claims arrive."""
    found = set()
    for arrival in permutations(claims) if len(claims) < 6 else [claims]:
        (group,) = solved(*arrival, rules=rules).groups
        found.add(tuple(event.book for event in group.events))
    (only,) = found
    return list(only)


def rungs(*claims: Claim) -> list[Rungs | None]:
    (group,) = solved(*claims).groups
    return [event.rungs for event in group.events]


BUY = {"fill_id": "f1", "order_id": "o1", "client_order_id": "mm-1"}


def buy(**more: Any) -> Claim:
    return fill(HOUR, "buy", 1, key="a", **(BUY | more))


def test_without_any_word_a_fill_belongs_to_no_strategy() -> None:
    assert books(buy()) == ["-"]


def test_the_precedence_of_everything_that_names_a_strategy() -> None:
    """Assignment of the fill, of its order, the fill's own word, the order's, the decision's,
    the first rule that fits."""
    words = [
        assign("by-fill-assignment", fill_id="f1"),
        assign("by-order-assignment", order_id="o1"),
        assign("by-client-assignment", client_order_id="mm-1"),
        buy(strategy="own-word"),
        order(order_id="o1", strategy="by-order"),
        decide("d", order_id="o1", strategy="by-decision"),
    ]
    expected = [
        "by-fill-assignment",
        "by-order-assignment",
        "by-client-assignment",
        "own-word",
        "by-order",
        "by-decision",
        "by-prefix",
    ]
    for start in range(len(words) + 1):
        left = [word for word in words[start:] if not isinstance(word.fact, Fill)]
        own = words[3] if start <= 3 else buy()
        assert books(own, *left, rules=RULES) == [expected[start]]
    assert books(buy(client_order_id="x-1"), rules=RULES) == ["by-instrument"]


def test_an_order_that_names_both_ids_lends_its_fill_the_bots_own() -> None:
    both = order(order_id="7", client_order_id="mm-9")
    assert books(buy(client_order_id=None, order_id="7"), both, rules=RULES) == ["by-prefix"]
    assert books(buy(client_order_id=None, order_id="8"), both, rules=RULES) == ["by-instrument"]
    told = order(client_order_id="mm-9", strategy="trend", at=1)
    assert books(buy(client_order_id=None, order_id="7"), both, told) == ["trend"]
    assert books(
        buy(client_order_id=None, order_id="7"),
        both,
        decide("d", client_order_id="mm-9", strategy="x"),
    ) == ["x"]
    assert books(
        buy(client_order_id=None, order_id="7"), both, assign("late", client_order_id="mm-9")
    ) == ["late"]
    # Numbers are given by product: the order of another one is not meant.
    elsewhere = order(order_id="7", client_order_id="mm-9", instrument="ETH")
    assert books(
        market("ETH"),
        buy(client_order_id=None, order_id="7"),
        elsewhere,
        order(client_order_id="mm-9", strategy="trend", instrument="ETH", at=1),
    ) == ["-"]
    unnamed = (market("ETH"), buy(client_order_id=None, order_id="7"), elsewhere)
    assert books(*unnamed, rules=RULES) == ["by-instrument"]
    assert books(*unnamed, assign("late", client_order_id="mm-9")) == ["-"]


def test_a_later_assignment_of_the_same_order_holds() -> None:
    early, late = assign("early", 1, order_id="o1"), assign("late", 2, order_id="o1")
    assert books(buy(), early, late) == ["late"]


def test_an_assignment_of_a_fill_beats_a_later_one_of_its_order() -> None:
    assert books(buy(), assign("narrow", 1, fill_id="f1"), assign("wide", 2, order_id="o1")) == [
        "narrow"
    ]


def test_another_accounts_words_do_not_reach() -> None:
    fact = Assignment(venue=VENUE, account="else", ts_ns=T0, strategy="x", order_id="o1")
    assert books(buy(), other(fact, "assign|x")) == ["-"]


def test_two_contents_of_one_assignment_are_settled_by_content_not_by_arrival() -> None:
    one = other(assign("one", order_id="o1").fact, "assign|same")
    two = other(assign("two", order_id="o1").fact, "assign|same")
    forward = resolve(remember(Import([market(), buy(), one, two])))
    backward = resolve(remember(Import([market(), buy(), two, one])))
    (left,), (right,) = (r.groups[0].events for r in (forward, backward))
    assert left.book == right.book
    assert [f.code for f in forward.findings] == ["claims-conflict"]


def test_an_order_names_the_strategy_through_its_decision() -> None:
    assert books(buy(), order(order_id="o1", decision_id="d"), decide("d", strategy="thinker")) == [
        "thinker"
    ]


def test_rules_know_every_name_of_an_instrument() -> None:
    rules = ResolveRules(strategies=(StrategyRule(strategy="s", instrument="HYPE/USDC"),))
    spec = market("HYPE/USDC", "spot", base="HYPE", aliases=("@107",))
    claims = remember(Import([spec, fill(0, "buy", 1, instrument="@107")]))
    (event,) = resolve(claims, rules).groups[0].events
    assert event.book == "s"


def test_funding_and_charges_follow_their_own_word_then_a_rule() -> None:
    assert books(funding(0, 1, strategy="x"), charge(1, 1), rules=RULES) == ["x", "by-instrument"]
    assert books(funding(0, 1), charge(1, 1)) == ["-", "-"]


# --- decisions and their prices ----------------------------------------------------------------


def test_decision_prices_join_by_fill_order_client_and_decision_id() -> None:
    seen = Rungs(Decimal("99"), Decimal("99.5"), None)
    prices = {"decision_px": "99", "arrival_px": "99.5"}
    for ids in ({"fill_id": "f1"}, {"order_id": "o1"}, {"client_order_id": "mm-1"}, {}):
        assert rungs(buy(decision_id="d"), decide("d", **prices, **ids)) == [seen]
    assert rungs(buy(), decide("d", **prices)) == [None]
    assert rungs(buy(), order(order_id="o1", decision_id="d"), decide("d", **prices)) == [seen]


def test_a_price_the_fill_names_itself_beats_its_decisions() -> None:
    decision = decide("d", order_id="o1", decision_px="99", arrival_px="99.5", mid_px="99.7")
    assert rungs(buy(arrival_px="100"), decision) == [
        Rungs(Decimal("99"), Decimal("100"), Decimal("99.7"))
    ]


def test_an_amended_order_shows_each_fill_the_decision_of_its_time() -> None:
    """The second decision was taken after the first fill: it did not cause it."""
    claims = [
        decide("d1", 0, order_id="o1", decision_px="99"),
        fill(HOUR, "buy", 1, key="a", order_id="o1"),
        decide("d2", 2 * HOUR, order_id="o1", decision_px="105"),
        fill(3 * HOUR, "buy", 1, key="b", order_id="o1"),
    ]
    for arrival in permutations(claims):
        found = rungs(*arrival)
        assert [r.decision for r in found if r is not None] == [Decimal(99), Decimal(105)]


def test_a_single_decision_joins_even_where_its_clock_runs_late() -> None:
    decision = decide("d", HOUR + SECOND, order_id="o1", decision_px="99")
    assert rungs(buy(), decision) == [Rungs(Decimal("99"), None, None)]


def test_an_id_that_two_instruments_share_joins_only_its_own() -> None:
    """Some venues number fills and orders by product."""
    claims = [
        market("ETH"),
        fill(0, "buy", 1, key="e", instrument="ETH", fill_id="7", order_id="7"),
        fill(0, "buy", 1, key="b", fill_id="7", order_id="7"),
        decide("d", order_id="7", decision_px="99", strategy="s"),
        order(order_id="7", strategy="t", instrument="ETH"),
    ]
    groups = {g.key.instrument: g for g in solved(*claims).groups}
    assert groups["BTC"].events[0].rungs == Rungs(Decimal("99"), None, None)
    assert groups["ETH"].events[0].rungs is None
    assert (groups["BTC"].events[0].book, groups["ETH"].events[0].book) == ("s", "t")


def test_a_bots_own_name_for_the_market_does_not_break_the_join() -> None:
    decision = decide("d", order_id="o1", decision_px="99", instrument="btc-perp")
    assert rungs(buy(), decision) == [Rungs(Decimal("99"), None, None)]


# --- fills nobody ordered ----------------------------------------------------------------------


def shares(*claims: Claim) -> list[tuple[str, str, str]]:
    """Return (key, book, signed quantity) of every event of the only group."""
    (group,) = solved(*claims).groups
    return [(e.key, e.book, scaled_text(e.qty, group.qty_scale)) for e in group.events]


def test_a_reducing_fill_without_strategy_closes_the_books_against_it_pro_rata() -> None:
    assert shares(
        fill(0, "buy", 6, key="a", strategy="trend"),
        fill(1, "buy", 4, key="b", strategy="breakout"),
        fill(2, "sell", 5, key="c"),
        fill(3, "sell", 7, key="d"),
    )[2:] == [
        ("c", "breakout", "-2"),
        ("c", "trend", "-3"),
        ("d", "breakout", "-2"),
        ("d", "trend", "-3"),
        ("d", "-", "-2"),
    ]


def test_parts_of_a_fill_sum_to_it_in_every_digit() -> None:
    found = shares(
        fill(0, "buy", "0.1", key="a", strategy="x"),
        fill(1, "buy", "0.1", key="b", strategy="y"),
        fill(2, "buy", "0.1", key="c", strategy="z"),
        fill(3, "sell", "0.2", key="d"),
    )
    assert sum(Decimal(qty) for key, _, qty in found if key == "d") == Decimal("-0.2")


def test_a_fill_that_adds_to_the_account_closes_nobody() -> None:
    """The account is long 6 in all; a manual purchase adds to that, whoever is short inside."""
    assert shares(
        fill(0, "buy", 10, key="a", strategy="trend"),
        fill(1, "sell", 4, key="b", strategy="fade"),
        fill(2, "buy", 3, key="c"),
    )[2:] == [("c", "-", "3")]


def test_a_fill_from_flat_opens_for_nobody_and_closes_nobody() -> None:
    assert shares(
        fill(0, "buy", 4, key="a", strategy="trend"),
        fill(1, "sell", 4, key="b", strategy="fade"),
        fill(2, "sell", 3, key="c"),
    )[2:] == [("c", "-", "-3")]


def test_a_break_that_takes_quantity_away_takes_it_from_the_books_that_hold_it() -> None:
    found = shares(
        fill(0, "buy", 6, key="a", strategy="trend", start_position="0"),
        fill(1, "buy", 4, key="b", strategy="breakout", start_position="6"),
        fill(HOUR, "buy", 1, key="c", strategy="trend", start_position="5"),
    )
    assert found[2:] == [
        ("adjust|c", "breakout", "-2"),
        ("adjust|c", "trend", "-3"),
        ("c", "trend", "1"),
    ]


def test_a_purchase_that_its_own_fee_ate_up_is_still_there() -> None:
    coin = {"fee": "0.5", "fee_asset": "BTC"}
    bought = fill(0, "buy", 2, key="a", strategy="trend")
    claims = remember(
        Import([market("BTC", "spot"), bought, fill(1, "buy", "0.5", key="b", **coin)])
    )
    (group,) = resolve(claims).groups
    assert [(event.key, event.qty) for event in group.events] == [("a", 20), ("b", 0)]


def test_a_recorded_round_trip_is_closed_by_its_own_fills_only() -> None:
    assert shares(
        fill(0, "buy", 6, key="a", leg="t1"),
        fill(1, "buy", 2, key="b", strategy="trend"),
        fill(2, "sell", 2, key="c"),
    )[2:] == [("c", "trend", "-2")]


# --- corrections -------------------------------------------------------------------------------


def correct(target: str, at: int = 5 * HOUR, by: Claim | None = None, name: str = "") -> Claim:
    fact = Correction(
        venue=VENUE,
        account=ACCOUNT,
        ts_ns=T0 + at,
        target_key=target,
        action="reverse" if by is None else "replace",
        replacement=None if by is None else by.fact,  # type: ignore[arg-type]
    )
    return other(fact, name or f"correction|{target}|{at}")


def events(*claims: Claim) -> tuple[list[Event], list[Finding]]:
    everything = solved(*claims)
    found: list[Group] = everything.groups
    return [event for group in found for event in group.events], everything.findings


THREE = [fill(n * HOUR, "buy", n + 1, 100 + n, key="abc"[n]) for n in range(3)]


def test_a_reversed_fill_is_gone_at_its_own_place() -> None:
    found, findings = events(*THREE, correct("b"))
    assert [event.key for event in found] == ["a", "c"] and findings == []


def test_a_replacement_stands_where_the_original_stood() -> None:
    found, findings = events(*THREE, correct("b", by=fill(5 * HOUR, "sell", 9, 111)))
    assert [(e.key, e.ts_ns - T0) for e in found] == [("a", 0), ("b", HOUR), ("c", 2 * HOUR)]
    fact = found[1].fact
    assert isinstance(fact, Fill) and (fact.side, fact.qty, fact.px) == ("sell", 9, 111)
    assert findings == []


def test_a_replacement_keeps_its_place_inside_the_instant() -> None:
    claims = [
        fill(0, "buy", 1, key="c", venue_seq=1, start_position="0"),
        fill(0, "buy", 2, key="b", venue_seq=2, start_position="1"),
        fill(0, "buy", 1, key="a", venue_seq=3, start_position="3"),
    ]
    found, _ = events(*claims, correct("b", by=fill(5 * HOUR, "buy", 2, 111)))
    assert [event.key for event in found] == ["c", "b", "a"]


def test_the_latest_correction_of_a_fill_holds() -> None:
    first = correct("b", 5 * HOUR, by=fill(0, "buy", 7, 111))
    last = correct("b", 6 * HOUR, by=fill(0, "buy", 8, 112))
    for arrival in ([first, last], [last, first]):
        found, _ = events(*THREE, *arrival)
        fact = found[1].fact
        assert isinstance(fact, Fill) and fact.qty == 8


def test_two_contents_of_one_correction_do_not_depend_on_arrival() -> None:
    one = correct("b", by=fill(0, "buy", 7, 111), name="correction|same")
    two = correct("b", by=fill(0, "buy", 8, 112), name="correction|same")
    forward, findings = events(*THREE, one, two)
    backward, _ = events(*THREE, two, one)
    assert forward[1].qty == backward[1].qty
    assert [finding.code for finding in findings] == ["claims-conflict"]


def test_a_correction_of_nothing_is_a_finding() -> None:
    found, findings = events(*THREE, correct("nowhere"))
    assert [event.key for event in found] == ["a", "b", "c"]
    assert [finding.code for finding in findings] == ["correction-without-target"]


def test_a_correction_that_came_first_still_finds_its_fill() -> None:
    """A late fill that a known correction undoes is not taken in as if it were new."""
    known = [market(), THREE[0], correct("b")]
    standing = Standing(remember(Import(known)), ())
    everything = remember(Import([*known, THREE[1]]))
    assert standing.add([claim for claim in everything if claim.key == "b"]) is None
    (group,) = resolve(everything).groups
    assert [event.key for event in group.events] == ["a"]


def test_a_correction_acts_on_the_source_that_is_folded_whoever_is_evidence() -> None:
    """The venue corrects its own fill; the file's version of it is evidence and stays so."""
    venue = Import(
        [market(), THREE[0], correct("a", by=fill(0, "buy", 5, 90))], "v", "api", 3, (covers(),)
    )
    file = Import([fill(0, "buy", 1, 100, key="csv")], "f", "csv", 1, (covers(),))
    resolved = resolve(remember(venue, file))
    (event,) = resolved.groups[0].events
    assert (event.key, event.qty) == ("a", 5)


# --- instruments -------------------------------------------------------------------------------


def names(*claims: Claim) -> tuple[dict[str, list[str]], list[str]]:
    """Return the keys per group and the finding codes."""
    resolved = resolve(remember(Import(list(claims))))
    grouped = {g.key.instrument: [e.key for e in g.events] for g in resolved.groups}
    return grouped, [finding.code for finding in resolved.findings]


def spot(symbol: str, *aliases: str, **more: Any) -> Claim:
    return market(symbol, "spot", **({"base": "HYPE", "aliases": aliases} | more))


BOTH = (
    fill(0, "buy", 1, key="ui", instrument="HYPE/USDC"),
    fill(1, "buy", 1, key="api", instrument="@107"),
)


def test_an_alias_is_the_same_instrument() -> None:
    for spec in (spot("@107", "HYPE/USDC"), spot("HYPE/USDC", "@107")):
        grouped, codes = names(spec, *BOTH)
        assert list(grouped.values()) == [["ui", "api"]] and codes == []


def test_an_alias_that_another_source_uses_as_the_name_is_the_same_instrument() -> None:
    """The page only knows "HYPE/USDC"; the interface says that @107 is called that, too."""
    page = Import([spot("HYPE/USDC"), BOTH[0]], "p", "page", 1)
    interface = Import([spot("@107", "HYPE/USDC"), BOTH[1]], "i", "api", 3)
    for arrival in ((page, interface), (interface, page)):
        resolved = resolve(remember(*arrival))
        (group,) = resolved.groups
        assert group.key.instrument == "@107", "the stronger source names it"
        assert [event.key for event in group.events] == ["ui", "api"]
        assert resolved.findings == []


def test_an_alias_that_two_instruments_claim_belongs_to_neither() -> None:
    specs = [spot("@107", "HYPE/USDC"), spot("@999", "HYPE/USDC", base="FAKE")]
    grouped, codes = names(*specs, *BOTH)
    assert grouped == {"@107": ["api"]}
    assert codes == ["instrument-unknown"]


def test_an_instrument_nobody_described_is_a_finding_and_left_out() -> None:
    resolved = solved(fill(0, "buy", 1, key="a"), fill(0, "buy", 1, key="x", instrument="WHAT"))
    assert [g.key.instrument for g in resolved.groups] == ["BTC"]
    (finding,) = resolved.findings
    assert (finding.code, finding.instrument) == ("instrument-unknown", "WHAT")
    assert "made_money" in finding.touches


def test_two_descriptions_that_disagree_are_settled_by_rank_and_told() -> None:
    weak = Import([market(multiplier="10"), fill(0, "buy", 1)], "w", "csv", 1)
    strong = Import([market(multiplier="0.1")], "s", "api", 3)
    for arrival in ((weak, strong), (strong, weak)):
        resolved = resolve(remember(*arrival))
        assert resolved.groups[0].instrument.multiplier == Decimal("0.1")
        (finding,) = resolved.findings
        assert (finding.code, finding.severity) == ("instrument-disagrees", "error")


def test_a_charge_without_instrument_settles_in_its_own_asset() -> None:
    resolved = solved(charge(0, 3, key="x", instrument=None, asset="USDC"))
    (group,) = resolved.groups
    assert (group.key.instrument, group.instrument.settle) == ("-USDC", "USDC")
    assert resolved.findings == []


def test_another_accounts_description_changes_nothing_of_this_ones_ledger() -> None:
    """A contract is the venue's: who else trades it does not matter to a group."""
    mine = Import([market(account="acct"), fill(0, "buy", 1, fee="0")], "m", "api", 3)
    for other_account in ("aaaa", "zzzz"):
        theirs = Import([market(account=other_account)], "t", "api", 3, account=other_account)
        alone, both = fold_claims(remember(mine)), fold_claims(remember(mine, theirs))
        assert both.digest() == alone.digest()


def test_a_new_name_that_makes_two_groups_one_is_not_taken_in_quickly() -> None:
    known = [spot("@107"), spot("HYPE/USDC"), *BOTH]
    standing = Standing(remember(Import(known)), ())
    assert len(standing.keys) == 2
    joining = other(spot("@107", "HYPE/USDC").fact, "instrument|joining")
    everything = remember(Import([*known, joining]))
    assert len(resolve(everything).groups) == 1
    assert standing.add([claim for claim in everything if claim.key == joining.key]) is None


def test_a_description_that_says_nothing_new_is_taken_in_quickly() -> None:
    known = [market(), fill(0, "buy", 1, key="a")]
    standing = Standing(remember(Import(known)), ())
    again = remember(Import([*known, market(account="else"), fill(1, "buy", 1, key="b")]))
    fresh = [claim for claim in again if claim.seq > 3]
    touched = standing.add(fresh)
    assert touched is not None and [key.instrument for key in touched] == ["BTC"]


def test_the_price_an_order_expected_stands_for_an_unknown_arrival() -> None:
    expected = order(0, order_id="o1", expected_px=Decimal("99.5"))
    assert rungs(buy(), expected) == [Rungs(None, Decimal("99.5"), None)]
    assert rungs(buy(arrival_px="99.7"), expected) == [Rungs(None, Decimal("99.7"), None)]
    decided = decide("d", order_id="o1", decision_px="99", arrival_px="99.6")
    assert rungs(buy(), expected, decided) == [Rungs(Decimal(99), Decimal("99.6"), None)]
    only_decided = decide("d", order_id="o1", decision_px="99")
    assert rungs(buy(), expected, only_decided) == [Rungs(Decimal(99), Decimal("99.5"), None)]


def test_the_last_price_expected_before_the_fill_counts() -> None:
    said = [
        order(0, order_id="o1", expected_px=Decimal("99.5")),
        order(HOUR - 1, client_order_id="mm-1", status="amended", expected_px=Decimal("99.8")),
        order(HOUR + SECOND, order_id="o1", status="filled", expected_px=Decimal("98")),
    ]
    for claims in permutations(said):
        assert rungs(buy(), *claims) == [Rungs(None, Decimal("99.8"), None)]
    assert rungs(buy(), said[2]) == [Rungs(None, Decimal(98), None)]
