"""A ledger that follows a journal equals one folded from the beginning, whatever arrives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fillbook.facts.model import Assignment, Claim, Correction, Decision, Span
from fillbook.journal.store import Journal
from fillbook.journal.values import BatchOpen, Page
from fillbook.ledger.following import Following
from fillbook.ledger.ledger import Ledger, fold_claims
from strategies import ACCOUNT, SECOND, T0, VENUE, fill, funding, market, other, stated

MINUTE = 60 * SECOND
LIVE, FILE = "live", "file"


class Book:
    """A real journal with two sources, and the ledger that follows it."""

    def __init__(self, path: Path) -> None:
        self.journal = Journal.create(path)
        self.following = Following()
        for name, rank in ((LIVE, 3), (FILE, 1)):
            self.journal.begin(
                BatchOpen(
                    batch_id=name,
                    source=name,
                    rank=rank,
                    venue=VENUE,
                    account=ACCOUNT,
                    fingerprint="",
                    name=name,
                ),
                T0,
            )

    def append(self, claims: Sequence[Claim], batch: str = LIVE) -> None:
        self.journal.append(Page(batch_id=batch, claims=claims, cursor="-"), T0)

    def both(self) -> tuple[Ledger, Ledger]:
        quick = self.following.refresh(self.journal)
        return quick, fold_claims(self.journal.claims())

    def agree(self) -> None:
        quick, whole = self.both()
        assert quick.digest() == whole.digest()
        assert [f for f in quick.findings if f not in whole.findings] == []
        assert [f for f in whole.findings if f not in quick.findings] == []
        assert quick.coverage == whole.coverage
        assert (quick.orders, quick.n_evidence) == (whole.orders, whole.n_evidence)


def span(
    since: int, until: int, state: str = "complete", source: str = LIVE, said: int | None = None
) -> Claim:
    fact = Span(
        venue=VENUE,
        account=ACCOUNT,
        ts_ns=T0 + since,
        until_ns=T0 + until,
        source=source,
        rank=3 if source == LIVE else 1,
        component="fills",
        state=state,  # type: ignore[arg-type]
        said_ns=None if said is None else T0 + said,
    )
    return other(fact, f"span|{source}|{since}|{until}|{state}|{said}")


def decision(order: str) -> Claim:
    fact = Decision(
        venue=VENUE,
        account=ACCOUNT,
        ts_ns=T0,
        decision_id=f"d{order}",
        instrument="BTC",
        action="buy",
        decision_px=None,
        strategy="late",
        order_id=order,
    )
    return other(fact, f"decision|{order}")


def assignment(order: str, strategy: str) -> Claim:
    fact = Assignment(venue=VENUE, account=ACCOUNT, ts_ns=T0, strategy=strategy, order_id=order)
    return other(fact, f"assignment|{order}|{strategy}")


def correction(key: str) -> Claim:
    fact = Correction(venue=VENUE, account=ACCOUNT, ts_ns=T0 + 1, target_key=key, action="reverse")
    return other(fact, f"correction|{key}")


def test_new_fills_fold_only_what_they_touch(tmp_path: Path) -> None:
    book = Book(tmp_path / "book.db")
    book.append(
        [
            market("BTC"),
            market("ETH"),
            fill(1, "buy", 2),
            fill(1, "buy", 3, key="e1", instrument="ETH"),
            span(0, 10),
        ]
    )
    book.agree()
    untouched = book.following.refresh(book.journal).groups[1]
    book.append([fill(5, "sell", 1, 110), funding(4, "0.5"), span(10, 20)])
    book.agree()
    assert book.following.full_folds == 1
    assert book.following.refresh(book.journal).groups[1] is untouched


def test_a_late_fill_a_decision_and_an_assignment_take_the_quick_way(tmp_path: Path) -> None:
    book = Book(tmp_path / "book.db")
    book.append([market(), fill(50, "buy", 2, order_id="7"), fill(90, "sell", 2, 120)])
    book.agree()
    for later in (fill(20, "sell", 1, 90), decision("7"), assignment("7", "mine")):
        book.append([later])
        book.agree()
    assert book.following.full_folds == 1
    assert book.following.refresh(book.journal).groups[0].columns.books == ["-", "mine"]


def test_what_could_change_older_claims_folds_everything(tmp_path: Path) -> None:
    book = Book(tmp_path / "book.db")
    book.append([market(), fill(10, "buy", 2, key="k"), fill(20, "sell", 1), span(0, 100)])
    book.agree()
    others = (
        [fill(10, "buy", 2, 101, key="k")],  # a conflict
        [correction("k")],
        [market("ETH"), fill(30, "buy", 1, key="eth", instrument="ETH")],
        [market("BTC", multiplier=10)],
    )
    for count, claims in enumerate(others, start=2):
        book.append(claims)
        book.agree()
        assert book.following.full_folds == count


def test_a_gap_ahead_takes_the_quick_way_and_one_that_takes_back_does_not(tmp_path: Path) -> None:
    book = Book(tmp_path / "book.db")
    book.append([market(), fill(10, "buy", 2), span(0, 50)])
    book.append([fill(20, "buy", 1, key="csv"), span(0, 100, source=FILE)], FILE)
    book.agree()
    book.append([span(50, 60, "gap", said=60)])
    book.agree()
    assert book.following.full_folds == 1
    assert book.following.refresh(book.journal).n_evidence == 1
    book.append([span(15, 30, "gap", said=70)])
    book.agree()
    # What the stream no longer vouches for, the file tells.
    assert book.following.refresh(book.journal).n_evidence == 0
    assert book.following.full_folds == 2


def test_a_second_source_and_a_retraction_fold_everything(tmp_path: Path) -> None:
    book = Book(tmp_path / "book.db")
    book.append([market(), fill(10, "buy", 2), span(0, 50)])
    book.agree()
    book.append([fill(11, "buy", 2, key="csv")], FILE)
    book.agree()
    book.append([span(0, 50, source=FILE)], FILE)
    book.agree()
    book.journal.retract(LIVE, None, T0)
    book.agree()
    assert book.following.full_folds == 4


def observed(at: int, side: str, left: int, px: int) -> Claim:
    return fill(
        at,
        side,
        1,
        px,
        key=f"observed|{at}|{side}|{left}|{px}",
        approximate=True,
        reduce_only=True,
        start_position=left,
        venue_seq=1,
    )


def test_an_observed_close_and_the_late_fill_for_it_take_the_quick_way(tmp_path: Path) -> None:
    book = Book(tmp_path / "book.db")
    book.append([market(), fill(10, "buy", 2), span(0, 50)])
    book.agree()
    for later in (observed(40, "sell", 0, 105), fill(39, "sell", 2, 104), span(50, 60)):
        book.append([later])
        book.agree()
    assert book.following.full_folds == 1


def test_a_statement_and_the_promise_behind_it_take_the_quick_way(tmp_path: Path) -> None:
    """What is stated open has a group of its own as soon as the fills up to there are complete."""
    book = Book(tmp_path / "book.db")
    sold = fill(10 * MINUTE, "sell", 2)
    book.append([market("BTC"), market("ETH"), sold, span(0, 20 * MINUTE)])
    book.agree()
    for later in (
        stated(30 * MINUTE, ("BTC", 3), ("ETH", -4), until=35 * MINUTE),
        [span(20 * MINUTE, 34 * MINUTE)],
        [span(34 * MINUTE, 50 * MINUTE)],
        [fill(60 * MINUTE, "sell", 3), span(50 * MINUTE, 70 * MINUTE)],
        [fill(61 * MINUTE, "buy", 4, instrument="ETH")],
    ):
        book.append(later)
        book.agree()
    assert book.following.full_folds == 1
    held = [group.venue.outputs.position_after[-1] for group in book.both()[0].groups]
    assert held == [0, 0]


def minutes(least: int, most: int) -> st.SearchStrategy[int]:
    return st.integers(least, most).map(lambda count: count * MINUTE)


EVENTS = st.one_of(
    st.builds(
        stated,
        minutes(0, 40),
        st.tuples(st.sampled_from(["BTC", "ETH"]), st.integers(-3, 3)),
        until=minutes(41, 50),
        listed=st.sampled_from([["BTC"], ["BTC", "ETH"]]),
    ),
    st.builds(
        fill,
        minutes(0, 60),
        st.sampled_from(["buy", "sell"]),
        st.integers(1, 4),
        st.integers(90, 110),
        instrument=st.sampled_from(["BTC", "ETH"]),
        order_id=st.sampled_from([None, "1", "2"]),
        strategy=st.sampled_from([None, "s"]),
        position_side=st.sampled_from(["net", "net", "net", "long"]),
    ),
    st.builds(funding, minutes(0, 60), st.integers(-3, 3)),
    st.builds(
        observed,
        minutes(0, 60),
        st.sampled_from(["buy", "sell"]),
        st.integers(0, 1),
        st.sampled_from([0, 95]),
    ),
    st.builds(decision, st.sampled_from(["1", "2"])),
    st.builds(assignment, st.sampled_from(["1", "2"]), st.sampled_from(["x", "y"])),
    st.builds(
        span,
        minutes(0, 30),
        minutes(31, 60),
        st.sampled_from(["complete", "gap"]),
        st.sampled_from([LIVE, LIVE, FILE]),
        st.none() | minutes(30, 90),
    ),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    pages=st.lists(
        st.tuples(st.sampled_from([LIVE, LIVE, LIVE, FILE]), st.lists(EVENTS, max_size=8)),
        max_size=6,
    )
)
def test_any_pages_of_any_sources(
    tmp_path_factory: object, pages: list[tuple[str, list[Claim | list[Claim]]]]
) -> None:
    book = Book(tmp_path_factory.mktemp("following") / "book.db")  # type: ignore[attr-defined]
    book.append([market("BTC"), market("ETH")])
    book.agree()
    for batch, drawn in pages:
        book.append(list(flat(drawn)), batch)
        book.agree()


def flat(drawn: Iterable[Claim | list[Claim]]) -> Iterator[Claim]:
    for each in drawn:
        yield from each if isinstance(each, list) else [each]
