"""Every claim once, in whatever order, pages and files it comes; contradictions kept or refused."""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fillbook.facts.codec import content_hash, encode
from fillbook.facts.model import Claim
from fillbook.ground.errors import BookError, InputError, UsageError
from fillbook.journal.store import Journal, Page, Resume
from journal_books import (
    START_NS,
    batch,
    book_of,
    fill,
    final,
    funding,
    live,
    printed_fill,
    put,
)


def page(name: str, *claims: Claim, cursor: str = "x") -> Page:
    return Page(batch_id=name, claims=claims, cursor=cursor)


def test_claims_come_back_in_order_with_what_was_said(tmp_path: Path) -> None:
    claims = [fill(number, row=number % 2) for number in range(2500)]
    with Journal.create(tmp_path / "b.db") as journal:
        done = put(journal, "march", claims, size=700)
        assert (done.new, done.known, done.conflicts, done.head.seq) == (400, 0, 0, 2500)
    with Journal.open(tmp_path / "b.db", readonly=True) as journal:
        found = list(journal.claims())
        assert [claimed.seq for claimed in found] == list(range(1, 2501))
        assert [claimed.fact for claimed in found] == [claim.fact for claim in claims]
        assert [claimed.key for claimed in found] == [claim.key for claim in claims]
        assert [claimed.content for claimed in found] == [
            content_hash(encode(claim.fact)) for claim in claims
        ]
        assert [claimed.assertions[0].row for claimed in found] == [c.row for c in claims]
        only = found[0].assertions[0]
        assert (only.batch_id, only.source, only.rank) == ("march", "hyperliquid-csv", 2)
        assert journal.head() == done.head
        assert (journal.findings, journal.verify()) == ([], [])


def test_the_same_again_is_known_and_changes_no_live_claim(tmp_path: Path) -> None:
    claims = [fill(number) for number in range(30)]
    with Journal.create(tmp_path / "b.db") as journal:
        put(journal, "march", claims, size=7)
        before, head = live(journal), journal.head()
        for size in (1, 30, 11):
            journal.begin(batch("march"), START_NS)
            for at in range(0, 30, size):
                again = journal.append(page("march", *claims[at : at + size], cursor="5"), START_NS)
                assert (again.new, again.conflicts) == (0, 0)
                assert again.known == len(claims[at : at + size])
        assert live(journal) == before
        assert journal.head() == head


def test_another_batch_that_says_the_same_is_kept_as_a_reference(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "b.db") as journal:
        put(journal, "march", [fill(1, row=0), fill(2, row=1)])
        done = put(journal, "spring", [fill(2, row=7), fill(2, row=8), fill(3, row=9)])
        assert (done.new, done.known, done.head.seq) == (1, 2, 4)
        assert sorted(live(journal).values()) == [
            [("march", 0)],
            [("march", 1), ("spring", 7)],
            [("spring", 9)],
        ]
        assert journal.verify() == []


def test_twins_inside_one_file_both_count_and_once_each(tmp_path: Path) -> None:
    twins = [printed_fill(9, 0), printed_fill(9, 0, ordinal=1)]
    with Journal.create(tmp_path / "b.db") as journal:
        put(journal, "march", twins)
        done = put(journal, "longer", [*twins, printed_fill(9, 0, ordinal=2)])
        assert (done.new, done.known) == (1, 2)
        keys = [claimed.key for claimed in journal.claims()]
        assert len(set(keys)) == 3
        assert [key.rsplit("#")[1:] for key in keys] == [[], ["2"], ["3"]]


def test_one_key_with_two_contents_is_a_conflict_and_both_stay(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "b.db") as journal:
        put(journal, "march", [fill(1, "10"), fill(2, "10")])
        done = put(journal, "spring", [fill(1, "11"), fill(2, "10"), fill(1, "12"), fill(3)])
        assert (done.new, done.known, done.conflicts) == (3, 1, 2)
        prices = sorted(
            (claimed.key, str(claimed.fact.px))  # type: ignore[union-attr]
            for claimed in journal.claims()
        )
        assert prices == sorted(
            [
                (fill(1).key, "10"),
                (fill(1).key, "11"),
                (fill(1).key, "12"),
                (fill(2).key, "10"),
                (fill(3).key, "4.3"),
            ]
        )
        assert journal.verify() == []


def test_decimals_that_print_differently_are_one_claim(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "b.db") as journal:
        put(journal, "march", [fill(1, "10.50")])
        done = put(journal, "spring", [fill(1, "10.5"), fill(1, "105E-1"), fill(1, "10.500000")])
        assert (done.new, done.known, done.conflicts) == (0, 3, 0)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_order_any_pages_any_repeats_give_the_same_live_set(data: st.DataObject) -> None:
    numbers = data.draw(st.lists(st.integers(0, 25), min_size=1, max_size=60))
    priced = [fill(n, px=str(n % 3 + 1) if n < 5 else None) for n in numbers]
    shuffled = data.draw(st.permutations(priced))
    with (
        TemporaryDirectory() as folder,
        Journal.create(Path(folder) / "a.db") as one,
        Journal.create(Path(folder) / "b.db") as other,
    ):
        put(one, "march", priced, size=len(priced))
        at = 0
        other.begin(batch("march"), START_NS)
        while at < len(shuffled):
            size = data.draw(st.integers(1, 9))
            back = data.draw(st.integers(0, 3))
            rows = shuffled[max(0, at - back) : at + size]
            other.append(page("march", *rows, cursor=str(at)), START_NS)
            at += size
        assert live(one) == live(other)
        assert other.verify() == []


def test_kinds_and_ranges_select(tmp_path: Path) -> None:
    claims = [claim for number in range(20) for claim in (fill(number), funding(number))]
    with Journal.create(tmp_path / "b.db") as journal:
        put(journal, "march", claims, size=6)
        everything = list(journal.claims())
        assert [c.fact for c in everything] == [c.fact for c in claims]
        for after in (0, 1, 5, 6, 7, 39, 40):
            for as_of in (0, 1, 6, 12, 13, 40, 99):
                for kinds in (None, ["fill"], ["funding"], ["fill", "funding"], ["order"], []):
                    expected = [
                        claimed.seq
                        for claimed in everything
                        if after < claimed.seq <= as_of
                        and (kinds is None or type(claimed.fact).__name__.lower() in kinds)
                    ]
                    found = journal.claims(as_of, after, kinds)
                    assert [claimed.seq for claimed in found] == expected


def test_begin_says_where_a_batch_stopped(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "b.db") as journal:
        assert journal.begin(batch("march"), START_NS) == Resume(cursor=None, complete=False)
        assert journal.begin(batch("march"), START_NS) == Resume(cursor=None, complete=False)
        journal.append(page("march", fill(1), cursor="row 1"), START_NS)
        assert journal.begin(batch("march"), START_NS) == Resume(cursor="row 1", complete=False)
        journal.append(page("march", cursor="row 9"), START_NS)  # nothing but progress
        assert journal.begin(batch("march"), START_NS) == Resume(cursor="row 9", complete=False)
        journal.append(
            Page(batch_id="march", claims=[fill(2)], cursor="end", final=final("march", 2)),
            START_NS,
        )
        assert journal.begin(batch("march"), START_NS) == Resume(cursor="end", complete=True)
        with pytest.raises(UsageError, match="complete"):
            journal.append(page("march", fill(3)), START_NS)
        (state,) = journal.batches()
        assert (state.rows, state.complete, state.first_seq, state.last_seq) == (2, True, 1, 3)
        assert state.fact == final("march", 2)
        assert journal.verify() == []


def test_a_page_without_news_writes_nothing(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "b.db") as journal:
        put(journal, "march", [fill(1)])
        head = journal.head()
        anchored = (tmp_path / "b.db.head").read_bytes()
        again = journal.append(page("march", fill(1), cursor="1"), START_NS)
        assert (again.new, again.known, again.head) == (0, 1, head)
        assert (tmp_path / "b.db.head").read_bytes() == anchored


def test_a_page_needs_a_batch_that_was_begun(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "b.db") as journal:
        with pytest.raises(UsageError, match="no batch 'march'"):
            journal.append(page("march", fill(1)), START_NS)
        assert list(journal.claims()) == []
        put(journal, "march", [fill(1)])


def test_one_file_under_two_accounts_is_refused_by_name(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "b.db") as journal:
        put(journal, "march", [fill(1)])
        twin = batch("march2", fingerprint="sha-march", account="0xother")
        with pytest.raises(InputError) as caught:
            journal.begin(twin, START_NS)
        assert "march" in caught.value.what and "0xab12" in caught.value.what
        assert caught.value.next_step.endswith("`fillbook retract march` first")
        journal.retract("march", "wrong account", START_NS)
        assert journal.begin(twin, START_NS) == Resume(cursor=None, complete=False)


def test_sessions_without_fingerprint_never_collide(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "b.db") as journal:
        journal.begin(batch("live-1", fingerprint=""), START_NS)
        journal.begin(batch("live-2", fingerprint="", account="0xother"), START_NS)
        assert [state.batch_id for state in journal.batches()] == ["live-1", "live-2"]


def test_one_name_for_two_batches_is_refused(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "b.db") as journal:
        put(journal, "march", [fill(1)])
        with pytest.raises(InputError, match="stands for something else"):
            journal.begin(batch("march", fingerprint="other bytes"), START_NS)


def test_the_same_file_in_another_zone_is_refused(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "b.db") as journal:
        journal.begin(batch("march", tz="UTC"), START_NS)
        journal.append(page("march", printed_fill(9, 0)), START_NS)
        with pytest.raises(InputError, match="read with time zone UTC"):
            journal.begin(batch("again", fingerprint="sha-march", tz="Europe/Berlin"), START_NS)


def test_the_same_rows_in_another_zone_are_refused_and_nothing_of_them_stays(
    tmp_path: Path,
) -> None:
    with Journal.create(tmp_path / "b.db") as journal:
        journal.begin(batch("march", tz="UTC"), START_NS)
        journal.append(page("march", *(printed_fill(hour, 0) for hour in range(9, 12))), START_NS)
        before, head = live(journal), journal.head()
        journal.begin(batch("longer", tz="+01:00"), START_NS)
        shifted = [printed_fill(hour, 1) for hour in range(5, 12)]
        with pytest.raises(InputError) as caught:
            journal.append(page("longer", *shifted), START_NS)
        assert "march.csv" in caught.value.what and "UTC, not +01:00" in caught.value.what
        assert caught.value.where == "longer.csv:11"
        assert (live(journal), journal.head()) == (before, head)
        # Restated money in the same zone is a conflict, not a contradiction.
        journal.begin(batch("restated", tz="UTC"), START_NS)
        done = journal.append(page("restated", printed_fill(9, 0, "1.6")), START_NS)
        assert (done.new, done.conflicts) == (1, 1)
        # And once the wrong one is retracted, the other may be right.
        for name in ("march", "restated"):
            journal.retract(name, "wrong zone", START_NS)
        done = journal.append(page("longer", *shifted), START_NS)
        assert (done.new, done.conflicts) == (7, 3)
        assert journal.verify() == []


@pytest.mark.parametrize(
    "claim",
    [
        Claim(fill(1).fact, "key", raw="torn \ud800 text"),
        Claim(fill(1).fact, "key \udfff"),
        Claim(fill(1).fact, "key", row=2**70),
    ],
)
def test_what_cannot_be_stored_is_an_input_error_and_writing_goes_on(
    tmp_path: Path, claim: Claim
) -> None:
    with Journal.create(tmp_path / "b.db") as journal:
        journal.begin(batch("march"), START_NS)
        with pytest.raises(InputError):
            journal.append(page("march", fill(5), claim), START_NS)
        assert list(journal.claims()) == []
        assert journal.append(page("march", fill(5)), START_NS).new == 1
        assert journal.verify() == []


def test_raw_text_comes_back_by_row(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "b.db") as journal:
        put(journal, "march", [fill(number) for number in range(150)], size=70)
        put(journal, "spring", [fill(3)])
        for seq in (1, 70, 71, 150):
            record = journal.raw(seq)
            assert record is not None
            expected = fill(seq - 1)
            assert (record.text, record.line, record.name) == (expected.raw, seq, "march.csv")
        referring = journal.raw(151)
        assert referring is not None
        assert (referring.text, referring.batch_id) == (fill(3).raw, "spring")
        assert journal.raw(152) is None


def test_a_book_is_not_made_over_anything(tmp_path: Path) -> None:
    book_of(tmp_path / "b.db", 3)
    before = (tmp_path / "b.db").read_bytes()
    with pytest.raises(InputError, match="already a file"):
        Journal.create(tmp_path / "b.db")
    assert (tmp_path / "b.db").read_bytes() == before
    (tmp_path / "b.db").unlink()
    with pytest.raises(BookError, match="is gone"):
        Journal.create(tmp_path / "b.db")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.db.head"]


def test_many_live_pages_of_one_row(tmp_path: Path) -> None:
    order = list(range(300))
    random.Random(1).shuffle(order)
    with Journal.create(tmp_path / "b.db") as journal:
        put(journal, "live", [fill(number) for number in order], size=1)
        assert [c.fact for c in journal.claims()] == [fill(number).fact for number in order]
        assert [c.seq for c in journal.claims(as_of=290, after_seq=280)] == list(range(281, 291))
        assert journal.verify() == []
