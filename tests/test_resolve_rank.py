"""Which source is folded where several speak of the same time, and what the others are worth."""

from __future__ import annotations

from decimal import Decimal

from fillbook.facts.model import Claim, Claimed, Coverage
from fillbook.resolve.claims import resolve
from fillbook.resolve.event import Resolved
from strategies import (
    DAY,
    HOUR,
    SECOND,
    T0,
    Import,
    charge,
    covers,
    fill,
    funding,
    market,
    remember,
)

MS = 1_000_000


def api(
    *claims: Claim, covers: tuple[Coverage, ...] = (), batch: str = "api-1", name: str = "api"
) -> Import:
    return Import(claims, batch, name, 3, covers)


def csv(
    *claims: Claim,
    covers: tuple[Coverage, ...] = (),
    batch: str = "csv-1",
    name: str = "csv",
    rank: int = 1,
) -> Import:
    return Import(claims, batch, name, rank, covers)


def keys(claims: list[Claimed]) -> list[str]:
    """Return the keys of all folded money events, in order."""
    return keys_of(resolve(claims))


def keys_of(resolved: Resolved) -> list[str]:
    return [event.key for group in resolved.groups for event in group.events]


def codes(resolved: Resolved) -> list[str]:
    return [finding.code for finding in resolved.findings]


def test_where_the_venue_covers_a_file_is_evidence() -> None:
    book = remember(
        api(
            market(),
            fill(0, "buy", 1, key="a1"),
            fill(HOUR, "sell", 1, key="a2"),
            covers=(covers(),),
        ),
        csv(fill(0, "buy", 1, key="c1"), fill(HOUR, "sell", 1, key="c2"), covers=(covers(),)),
    )
    resolved = resolve(book)
    assert keys_of(resolved) == ["a1", "a2"]
    assert resolved.n_evidence == 2
    assert codes(resolved) == []


def test_outside_the_covered_time_the_file_counts() -> None:
    book = remember(
        api(market(), fill(HOUR, "sell", 1, key="a"), covers=(covers(since=HOUR, until=2 * HOUR),)),
        csv(
            fill(0, "buy", 1, key="before"),
            fill(HOUR, "sell", 1, key="inside"),
            fill(2 * HOUR, "buy", 2, key="after"),
            covers=(covers(),),
        ),
    )
    assert keys(book) == ["before", "a", "after"]


def test_each_component_is_covered_by_itself() -> None:
    book = remember(
        api(market(), fill(0, "buy", 1, key="a"), covers=(covers("fills"),)),
        csv(
            fill(0, "buy", 1, key="c"),
            funding(HOUR, 2, key="f"),
            charge(HOUR, 1, key="x"),
            covers=(covers("fills"), covers("funding"), covers("charges")),
        ),
    )
    assert sorted(keys(book)) == ["a", "f", "x"]


def test_funding_and_charges_have_a_stronger_source_too() -> None:
    both = (covers("funding"), covers("charges"))
    book = remember(
        api(market(), funding(HOUR, 2, key="f1"), charge(HOUR, 1, key="x1"), covers=both),
        csv(funding(HOUR, 2, key="f2"), charge(HOUR, 1, key="x2"), covers=both),
    )
    resolved = resolve(book)
    assert sorted(keys_of(resolved)) == ["f1", "x1"]
    assert codes(resolved) == []


def test_coverage_of_one_instrument_leaves_the_others_to_the_file() -> None:
    book = remember(
        api(
            market(), market("ETH"), fill(0, "buy", 1, key="a"), covers=(covers(instrument="BTC"),)
        ),
        csv(
            fill(0, "buy", 1, key="c-btc"),
            fill(0, "buy", 1, key="c-eth", instrument="ETH"),
            covers=(covers(),),
        ),
    )
    assert keys(book) == ["a", "c-eth"]


def test_coverage_holds_for_every_name_of_an_instrument() -> None:
    spot = {"base": "HYPE", "quote": "USDC", "settle": "USDC", "aliases": ("@107",)}
    book = remember(
        api(
            market("HYPE/USDC", "spot", **spot),
            fill(0, "buy", 1, key="a", instrument="@107"),
            covers=(covers(instrument="@107"),),
        ),
        csv(fill(0, "buy", 1, key="c", instrument="HYPE/USDC"), covers=(covers(),)),
    )
    resolved = resolve(book)
    assert keys_of(resolved) == ["a"]
    assert codes(resolved) == [], "both names are one instrument: nothing disagrees"


def test_another_account_is_not_covered() -> None:
    other = Import(
        [market(account="b"), fill(0, "buy", 1, key="c", account="b")],
        "csv-b",
        "csv",
        1,
        (covers(),),
        account="b",
    )
    book = remember(api(market(), fill(0, "buy", 1, key="a"), covers=(covers(),)), other)
    assert sorted(keys(book)) == ["a", "c"]


def test_a_second_that_one_source_prints_whole_is_told_by_one_source() -> None:
    """The venue's promise begins and ends inside a second, that of the file does not."""
    whole = {"printed_ns": SECOND}
    book = remember(
        api(
            market(),
            fill(10 * SECOND + 400 * MS, "buy", 1, key="a1"),
            fill(20 * SECOND + 700 * MS, "sell", 1, key="a2"),
            covers=(covers(since=10 * SECOND + 400 * MS, until=20 * SECOND + 700 * MS + 1),),
        ),
        csv(
            fill(9 * SECOND, "buy", 5, key="before", **whole),
            fill(10 * SECOND, "buy", 1, key="c1", **whole),
            fill(20 * SECOND, "sell", 1, key="c2", **whole),
            fill(21 * SECOND, "sell", 5, key="after", **whole),
            covers=(covers(since=9 * SECOND, until=22 * SECOND),),
        ),
    )
    resolved = resolve(book)
    assert keys_of(resolved) == ["before", "c1", "c2", "after"]
    assert codes(resolved) == []


def test_what_the_venue_knows_just_outside_its_own_promise_counts_once() -> None:
    """A page that begins in the middle of an instant promises only what comes after it."""
    since = 10 * SECOND + 900 * MS
    venue = api(
        market(),
        fill(since - MS, "buy", 1, key="a1"),
        fill(12 * SECOND, "sell", 1, key="a2"),
        covers=(covers(since=since, until=20 * SECOND),),
    )
    whole = {"printed_ns": SECOND}
    file = csv(
        fill(10 * SECOND, "buy", 1, key="c1", **whole),
        fill(12 * SECOND, "sell", 1, key="c2", **whole),
        covers=(covers(since=10 * SECOND, until=13 * SECOND),),
    )
    assert keys(remember(venue, file)) == ["c1", "a2"]
    assert keys(remember(venue)) == ["a1", "a2"]


def test_a_row_before_the_covered_second_is_not() -> None:
    """[9 s, 10 s) and a span from 10 s on do not touch; nor do [20 s, 21 s) and one to 20 s."""
    span = covers(since=10 * SECOND, until=20 * SECOND)
    book = remember(
        api(market(), fill(12 * SECOND, "buy", 1, key="a"), covers=(span,)),
        csv(
            fill(9 * SECOND, "buy", 1, key="c1", printed_ns=SECOND),
            fill(20 * SECOND, "sell", 1, key="c2", printed_ns=SECOND),
        ),
    )
    assert keys(book) == ["c1", "a", "c2"]


def test_batches_of_one_source_are_united() -> None:
    """Two overlapping exports of one reader: what both print counts once, nothing is evidence."""
    shared = fill(HOUR, "sell", 1, key="shared")
    first = csv(market(), fill(0, "buy", 1, key="x"), shared, covers=(covers(until=2 * HOUR),))
    second = csv(
        shared, fill(3 * HOUR, "buy", 1, key="y"), covers=(covers(since=HOUR),), batch="csv-2"
    )
    resolved = resolve(remember(first, second))
    assert keys_of(resolved) == ["x", "shared", "y"]
    assert resolved.n_evidence == 0
    (united,) = resolved.coverage
    assert (united.coverage.from_ns, united.coverage.until_ns) == (T0, T0 + DAY)


def test_a_gap_in_the_venues_coverage_is_filled_by_the_file() -> None:
    book = remember(
        api(market(), fill(0, "buy", 1, key="a1"), covers=(covers(until=HOUR),)),
        api(
            fill(5 * HOUR, "buy", 1, key="a2"),
            covers=(covers(since=5 * HOUR, until=6 * HOUR),),
            batch="api-2",
        ),
        csv(
            fill(0, "buy", 1, key="c1"),
            fill(3 * HOUR, "sell", 2, key="c2"),
            fill(5 * HOUR, "buy", 1, key="c3"),
            covers=(covers(),),
        ),
    )
    resolved = resolve(book)
    assert keys_of(resolved) == ["a1", "c2", "a2"]
    assert codes(resolved) == [], "the file's own rows of the gap are no disagreement"


def test_an_import_that_never_finished_does_not_count_beside_one_that_covers() -> None:
    """Half of the venue's rows arrived, without a promise; the file promises all of the time."""
    book = remember(
        api(market(), fill(0, "buy", 1, key="a1")),
        csv(fill(0, "buy", 1, key="c1"), fill(HOUR, "sell", 1, key="c2"), covers=(covers(),)),
    )
    assert keys(book) == ["c1", "c2"]


def test_without_any_promise_everything_counts() -> None:
    book = remember(
        api(market(), fill(0, "buy", 1, key="a1")), csv(fill(HOUR, "sell", 1, key="c1"))
    )
    assert keys(book) == ["a1", "c1"]


def test_a_claim_that_the_covering_source_asserts_too_is_folded_once() -> None:
    """The file names the venue's own ids, so both sources assert one claim."""
    shared = fill(0, "buy", 1, key="id-1")
    book = remember(
        api(market(), shared), csv(shared, fill(HOUR, "sell", 1, key="id-2"), covers=(covers(),))
    )
    assert keys(book) == ["id-1", "id-2"]


def test_sources_of_equal_rank_are_settled_by_name_in_any_order() -> None:
    left = csv(market(), fill(0, "buy", 1, key="l"), covers=(covers(),), name="export", batch="1")
    right = csv(fill(0, "buy", 1, key="r"), covers=(covers(),), name="history", batch="2")
    assert keys(remember(left, right)) == keys(remember(right, left)) == ["r"]


def test_the_strongest_of_three_is_folded() -> None:
    three = [
        Import([fill(0, "buy", 1, key=f"k{rank}")], f"b{rank}", f"s{rank}", rank, (covers(),))
        for rank in (0, 1, 2)
    ]
    assert keys(remember(api(market()), *three)) == ["k2"]


def test_sums_that_differ_are_told() -> None:
    book = remember(
        api(
            market(),
            fill(0, "buy", 1, key="a1"),
            fill(HOUR, "sell", 1, key="a2"),
            covers=(covers(),),
        ),
        csv(fill(0, "buy", 1, key="c1"), fill(HOUR, "sell", "0.4", key="c2"), covers=(covers(),)),
    )
    resolved = resolve(book)
    (finding,) = resolved.findings
    assert (finding.code, finding.instrument) == ("sources-disagree", "BTC")
    assert "sold 0.4" in finding.message and "sold 1" in finding.message


def test_a_source_that_misses_an_instrument_altogether_disagrees() -> None:
    eth = fill(0, "buy", 1, key="e", instrument="ETH")
    book = remember(
        api(market(), market("ETH"), fill(0, "buy", 1, key="a1"), eth, covers=(covers(),)),
        csv(eth, covers=(covers(),)),
    )
    (finding,) = resolve(book).findings
    assert (finding.code, finding.instrument) == ("sources-disagree", "BTC")


def test_a_source_without_a_single_row_contradicts_nobody() -> None:
    book = remember(
        api(market(), fill(0, "buy", 1, key="a1"), covers=(covers(),)), csv(covers=(covers(),))
    )
    assert codes(resolve(book)) == []


def test_funding_is_compared_by_its_money() -> None:
    book = remember(
        api(market(), funding(0, "1.5", key="a"), covers=(covers("funding"),)),
        csv(funding(0, "1.4", key="c"), covers=(covers("funding"),)),
    )
    assert codes(resolve(book)) == ["sources-disagree"]


def test_another_fee_alone_is_no_disagreement_about_fills() -> None:
    book = remember(
        api(market(), fill(0, "buy", 1, key="a", fee="0.1"), covers=(covers(),)),
        csv(fill(0, "buy", 1, key="c", fee="0.11"), covers=(covers(),)),
    )
    assert codes(resolve(book)) == []


def test_a_push_without_promise_is_evidence_where_the_venue_covers() -> None:
    push = Import([fill(0, "buy", 1, key="p")], "push-1", "push", 0)
    venue = api(market(), fill(0, "buy", 1, key="a"), covers=(covers(),))
    assert keys(remember(venue, push)) == ["a"]
    assert keys(remember(api(market()), push)) == ["p"]


def _rivals(*said: Import) -> tuple[Decimal | None, list[str]]:
    resolved = resolve(remember(api(market()), *said))
    (group,) = resolved.groups
    (event,) = group.events
    fact = event.fact
    return getattr(fact, "fee", None), codes(resolved)


def test_of_two_contents_under_one_key_the_higher_rank_holds() -> None:
    weak = Import([fill(0, "buy", 1, key="k", fee="0.2")], "w", "file", 2)
    strong = Import([fill(0, "buy", 1, key="k", fee="0.1")], "s", "api", 3)
    assert _rivals(weak, strong) == _rivals(strong, weak) == (Decimal("0.1"), ["claims-conflict"])


def test_at_equal_rank_the_smaller_content_hash_holds_in_any_order() -> None:
    one = Import([fill(0, "buy", 1, key="k", fee="0.2")], "1", "api", 3)
    two = Import([fill(0, "buy", 1, key="k", fee="0.1")], "2", "api", 3)
    claims = [c for c in remember(one, two) if c.key == "k"]
    smaller = min(claims, key=lambda c: c.content).fact
    assert _rivals(one, two) == _rivals(two, one) == (smaller.fee, ["claims-conflict"])  # type: ignore[union-attr]


def test_a_conflict_names_both_claims_and_keeps_them_out_of_each_others_way() -> None:
    one = Import([fill(0, "buy", 1, key="k", fee="0.2")], "1", "api", 3)
    two = Import([fill(0, "buy", 1, key="k", fee="0.1")], "2", "api", 3)
    claims = remember(one, two)
    (finding,) = resolve([*claims, *remember(api(market()))]).findings
    assert finding.seqs == tuple(c.seq for c in claims if c.key == "k")
    assert finding.instrument == "BTC"


def test_a_contradicted_claim_is_not_lost_where_the_weaker_source_covers() -> None:
    """The venue's unfinished import holds the key; the file that covers it still asserts it."""
    book = remember(
        api(market(), fill(0, "buy", 1, key="k", fee="0.1")),
        csv(fill(0, "buy", 1, key="k", fee="0.2"), covers=(covers(),), rank=2),
    )
    assert keys(book) == ["k"]


def test_the_same_claim_handed_over_twice_is_one_claim() -> None:
    claims = remember(api(market(), fill(0, "buy", 1, key="a"), fill(HOUR, "sell", 1, key="b")))
    resolved = resolve([*claims, *claims])
    assert keys_of(resolved) == ["a", "b"]
    assert codes(resolved) == []


def test_twins_of_one_file_both_count() -> None:
    twin = fill(0, "buy", 1, key="t", row=0)
    other = fill(0, "buy", 1, key="t", row=1, ordinal=1)
    assert keys(remember(csv(market(), twin, other))) == ["t", "t#2"]
