"""What was known when: retraction, restoration and `as_of`, against a model of plain dicts."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fillbook.facts.codec import content_hash, encode
from fillbook.facts.model import Retraction
from fillbook.ground.errors import UsageError
from fillbook.journal.store import Head, Journal, Page
from journal_books import START_NS, Live, batch, fill, final, live, put


def seqs(journal: Journal, as_of: int | None = None) -> list[int]:
    return [claimed.seq for claimed in journal.claims(as_of, kinds=["fill"])]


def test_retracting_one_of_two_overlapping_files_removes_only_its_own(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "b.db") as journal:
        put(journal, "march", [fill(n) for n in range(10)])
        put(journal, "spring", [fill(n) for n in range(5, 15)])
        done = journal.retract("march", "two accounts mixed", START_NS)
        assert done.new == 1
        left = {claimed.fact: claimed.assertions for claimed in journal.claims(kinds=["fill"])}
        assert set(left) == {fill(n).fact for n in range(5, 15)}
        assert {one.batch_id for own in left.values() for one in own} == {"spring"}
        assert [state.retracted for state in journal.batches()] == [True, False]


def test_importing_again_after_retraction_restores_every_claim(tmp_path: Path) -> None:
    claims = [fill(n) for n in range(6)]
    with Journal.create(tmp_path / "b.db") as journal:
        put(journal, "march", claims, done=True)
        before = live(journal)
        for generation in (2, 3):
            journal.retract("march", None, START_NS)
            assert seqs(journal) == []
            assert journal.begin(batch("march"), START_NS).cursor is None
            done = put(journal, "march", claims, done=True)
            assert (done.new, done.known) == (0, 7)
            back = {key: own for key, own in live(journal).items() if "|retraction|" not in key[0]}
            assert back == before
            state = journal.batches()[-1]
            assert (state.generation, state.complete, state.rows) == (generation, True, 6)
            assert state.fact == final("march", 6)
        assert journal.verify() == []


def test_a_retraction_is_itself_remembered(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "b.db") as journal:
        put(journal, "march", [fill(1)])
        journal.retract("march", "wrong account", START_NS + 5)
        (claimed,) = journal.claims(kinds=["retraction"])
        fact = claimed.fact
        assert isinstance(fact, Retraction)
        assert (fact.batch_id, fact.reason, fact.ts_ns) == ("march", "wrong account", START_NS + 5)
        assert claimed.assertions[0].source == "journal"


def test_only_a_standing_batch_can_be_retracted(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "b.db") as journal:
        with pytest.raises(UsageError, match="knows no batch 'march'"):
            journal.retract("march", None, START_NS)
        put(journal, "march", [fill(1)])
        journal.retract("march", None, START_NS)
        head = journal.head()
        with pytest.raises(UsageError, match="retracted already"):
            journal.retract("march", None, START_NS)
        with pytest.raises(UsageError, match="retracted"):
            journal.append(Page(batch_id="march", claims=[fill(2)], cursor=""), START_NS)
        assert journal.head() == head


def test_a_retraction_by_another_process_stops_an_import_in_flight(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "b.db") as journal:
        put(journal, "march", [fill(1)])
        with Journal.open(tmp_path / "b.db") as other:
            other.retract("march", None, START_NS)
        with pytest.raises(UsageError, match="retracted"):
            journal.append(Page(batch_id="march", claims=[fill(2)], cursor=""), START_NS)
        assert seqs(journal) == []


def test_the_past_does_not_learn_from_the_future(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "b.db") as journal:
        put(journal, "march", [fill(n, row=n) for n in range(4)], size=2)
        put(journal, "spring", [fill(n, row=n + 50) for n in range(2, 6)], size=2)
        journal.retract("march", None, START_NS)
        put(journal, "march", [fill(0, row=9)])
        assert seqs(journal) == [1, 3, 4, 7, 8]
        assert seqs(journal, 8) == [1, 2, 3, 4, 7, 8]
        assert seqs(journal, 4) == [1, 2, 3, 4]
        rows = {claimed.seq: claimed.assertions for claimed in journal.claims(8)}
        assert [(one.batch_id, one.row) for one in rows[3]] == [("march", 2), ("spring", 52)]
        rows = {claimed.seq: claimed.assertions for claimed in journal.claims(5)}
        assert [len(rows[seq]) for seq in (1, 2, 3, 4)] == [1, 1, 2, 1]
        states = [(s.batch_id, s.generation, s.retracted, s.rows) for s in journal.batches()]
        assert states == [("march", 1, True, 4), ("spring", 1, False, 4), ("march", 2, False, 1)]
        states = [(s.batch_id, s.generation, s.retracted, s.rows) for s in journal.batches(5)]
        assert states == [("march", 1, False, 4), ("spring", 1, False, 1)]
        assert [s.rows for s in journal.batches(3)] == [3]


def test_touched_tells_when_old_claims_gained_or_lost_an_assertion(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "b.db") as journal:
        put(journal, "march", [fill(n) for n in range(4)])
        assert not journal.touched(4)
        put(journal, "april", [fill(n) for n in range(4, 8)])
        assert not journal.touched(4)
        put(journal, "spring", [fill(6), fill(9)])
        assert (journal.touched(4), journal.touched(8), journal.touched(8, as_of=8)) == (
            False,
            True,
            False,
        )
        journal.retract("april", None, START_NS)
        assert journal.touched(4)
        assert not journal.touched(journal.head().seq)


def test_the_head_at_a_point_seals_everything_up_to_it(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "b.db") as journal:
        nothing = journal.head()
        heads = [nothing]
        for number in range(3):
            done = put(journal, "march", [fill(number * 2), fill(number * 2 + 1)])
            heads.append(done.head)
        assert [head.seq for head in heads] == [0, 2, 4, 6]
        assert len({head.hash for head in heads}) == 4
        assert [journal.head(seq) for seq in (0, 2, 4, 6, 99)] == [*heads, heads[-1]]
        assert journal.head(3) == Head(book_id=nothing.book_id, seq=3, hash=heads[2].hash)


class Histories(RuleBasedStateMachine):
    """Random imports, repeats, retractions and restarts; every past answer must stay the same.

    The model: per batch name its standing assertions, a dict from claim to row, and whether it
    is complete; per past head what was live then.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(mkdtemp())
        self.journal = Journal.create(self.folder / "b.db")
        self.standing: dict[str, dict[int, int]] = {}
        self.past: dict[int, Live] = {}

    def teardown(self) -> None:
        self.journal.close()
        shutil.rmtree(self.folder)

    def expected(self) -> Live:
        found: Live = {}
        for name, rows in self.standing.items():
            for variant, row in rows.items():
                claim = fill(variant // 2, px=str(variant % 2 + 1))
                identity = (claim.key, content_hash(encode(claim.fact)))
                found.setdefault(identity, []).append((name, row))
        return {identity: sorted(own, key=repr) for identity, own in found.items()}

    @rule(
        name=st.sampled_from(["a", "b", "c"]),
        variants=st.lists(st.integers(0, 11), max_size=6),
        row=st.integers(0, 3),
    )
    def append(self, name: str, variants: list[int], row: int) -> None:
        self.journal.begin(batch(name), START_NS)
        own = self.standing.setdefault(name, {})
        claims = [fill(v // 2, px=str(v % 2 + 1), row=row) for v in variants]
        self.journal.append(Page(batch_id=name, claims=claims, cursor=""), START_NS)
        for variant in variants:
            own.setdefault(variant, row)

    @precondition(lambda self: self.standing)
    @rule(data=st.data())
    def retract(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.standing)))
        self.journal.retract(name, None, START_NS)
        del self.standing[name]

    @rule()
    def restart(self) -> None:
        self.journal.close()
        self.journal = Journal.open(self.folder / "b.db")

    @invariant()
    def the_present_is_what_the_model_says(self) -> None:
        now = {k: own for k, own in live(self.journal).items() if "|retraction|" not in k[0]}
        assert now == self.expected()
        self.past.setdefault(self.journal.head().seq, now)

    @invariant()
    def the_past_stays_what_it_was(self) -> None:
        for seq, then in self.past.items():
            found = live(self.journal, seq)
            assert {k: own for k, own in found.items() if "|retraction|" not in k[0]} == then

    @invariant()
    def the_book_verifies(self) -> None:
        assert self.journal.verify() == []


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
