"""A commission told by a fill and by a row of its own counts once, in whatever order they come."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from fillbook.facts.model import Charge, Claim, Claimed, Span
from fillbook.resolve.claims import resolve
from fillbook.resolve.standing import Standing
from strategies import ACCOUNT, T0, VENUE, Import, charge, covers, fill, market, other, remember

D = Decimal


def commission(at: int, amount: str, fill_id: str | None, **more: object) -> Claim:
    return charge(
        at,
        amount,
        key=f"commission|{at}|{fill_id}|{more.get('instrument')}",
        what="commission",
        fill_id=fill_id,
        repeats_fills=True,
        **more,
    )


def counted(claims: Sequence[Claimed]) -> Decimal:
    """What charges cost in all, of those that are folded."""
    events = [event.fact for group in resolve(claims).groups for event in group.events]
    return sum((fact.amount for fact in events if isinstance(fact, Charge)), D(0))


def test_a_commission_whose_fill_is_known_is_evidence_and_one_without_counts() -> None:
    claims = remember(
        Import(
            [
                market(),
                fill(10, "buy", 1, fill_id="7", fee="0.5"),
                commission(10, "0.5", "7"),
                commission(20, "0.25", "8"),
                charge(30, "0.125", key="interest"),
            ]
        )
    )
    resolved = resolve(claims)
    assert counted(claims) == D("0.375")
    assert resolved.n_evidence == 1


def test_the_same_number_of_another_instrument_or_account_is_another_fill() -> None:
    claims = remember(
        Import(
            [
                market(),
                market("ETH"),
                fill(10, "buy", 1, fill_id="7", instrument="ETH"),
                fill(10, "buy", 1, fill_id="7", account="someone else"),
                commission(10, "0.5", "7"),
            ]
        )
    )
    assert counted(claims) == D("0.5")


def test_where_fills_are_promised_a_commission_without_its_fill_is_evidence_too() -> None:
    inside, outside = commission(10, "1", None), commission(200, "2", None)
    claims = remember(
        Import([market()], batch_id="t", source="trades", covers=(covers(since=0, until=100),)),
        Import([inside, outside], batch_id="i", source="income"),
    )
    assert counted(claims) == D(2)


def test_the_promise_for_one_instrument_says_nothing_about_another() -> None:
    only_eth = covers(since=0, until=100, instrument="ETH")
    claims = remember(
        Import([market("ETH")], batch_id="t", source="trades", covers=(only_eth,)),
        Import([market(), commission(10, "1", None)], batch_id="i", source="income"),
    )
    assert counted(claims) == D(1)


def test_a_charge_without_an_instrument_always_counts() -> None:
    claims = remember(
        Import([market(), commission(10, "1", "7", instrument=None)], covers=(covers(),))
    )
    assert counted(claims) == D(1)


def test_repeats_that_are_fetched_twelve_times_are_still_one() -> None:
    rows = [market(), commission(1, "10.5", "1"), commission(2, "5", "2")]
    claims = remember(*(Import(rows, batch_id=f"b{n}") for n in range(12)))
    assert counted(claims) == D("15.5")


def promise(since: int, until: int, instrument: str | None) -> Claim:
    fact = Span(
        venue=VENUE,
        account=ACCOUNT,
        ts_ns=T0 + since,
        until_ns=T0 + until,
        source="api",
        rank=3,
        component="fills",
        state="complete",
        instrument=instrument,
    )
    return other(fact, f"span|{since}|{until}|{instrument}")


IDS = st.sampled_from(["1", "2", "3"])
MARKETS = st.sampled_from(["BTC", "ETH"])
EVENTS = st.one_of(
    st.builds(
        lambda at, named, symbol: fill(
            at, "buy", 1, key=f"{symbol}|{at}|{named}", fill_id=named, instrument=symbol
        ),
        st.integers(0, 9),
        IDS,
        MARKETS,
    ),
    st.builds(
        lambda at, named, symbol: commission(at, "1", named, instrument=symbol),
        st.integers(0, 9),
        st.none() | IDS,
        MARKETS,
    ),
    st.builds(promise, st.integers(0, 4), st.integers(5, 9), st.none() | MARKETS),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(EVENTS, max_size=5), max_size=5))
def test_taken_in_one_by_one_they_are_what_they_are_all_at_once(
    pages: list[list[Claim]],
) -> None:
    together = [market(), market("ETH")]
    standing = Standing(remember(Import(together)), ())
    for page in pages:
        seen = len(remember(Import(together))) - 1
        together = [*together, *page]
        now = remember(Import(together))
        if standing.add(now[seen:-1]) is None:
            standing = Standing(now, ())
        whole = Standing(now, ())
        assert standing.keys == whole.keys
        assert standing.n_evidence == whole.n_evidence
        for key in whole.keys:
            assert standing.group(key)[0].events == whole.group(key)[0].events
