"""What late facts do to trades that were told: counted, named, remembered."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fillbook.analysis.answers import TradeRow
from fillbook.analysis.summary import findings, load, trades
from fillbook.analysis.traderows import trades as trade_rows
from fillbook.analysis.valuation import Valuer
from fillbook.analysis.view import BookView, Query
from fillbook.facts.model import Claim
from fillbook.ground.settings import FoldSettings, Settings
from fillbook.journal.store import BatchOpen, Journal, Page
from fillbook.ledger.group import trade_ids
from fillbook.ledger.ledger import Ledger, fold_claims
from fillbook.ledger.prints import GONE
from fillbook.ledger.revisions import Revision, Revisions, revise, revision_findings
from strategies import ACCOUNT, HOUR, T0, VENUE, Import, books, fill, funding, market, remember


def ledger(*claims: Claim, seq: int = 0) -> Ledger:
    return fold_claims(remember(Import([market(), *claims])), seq=seq)


def told_in_turn(*ledgers: Ledger) -> list[list[Revision]]:
    """Tell several ledgers one after the other; return what each of them brought."""
    known, news = Revisions.none(), []
    for each in ledgers:
        known, brought = revise(known, each)
        news.append(brought)
    return news


BUY = fill(0, "buy", 1, 100, fee="0.1", fill_id="b")
SELL = fill(HOUR, "sell", 1, 110, fee="0.1", fill_id="s")
DEARER = fill(HOUR, "sell", 1, 110, fee="0.3", fill_id="s")


def test_a_first_telling_and_the_same_again_bring_nothing() -> None:
    assert told_in_turn(ledger(BUY, SELL), ledger(BUY, SELL)) == [[], []]


def test_a_dearer_fee_is_a_revision_that_names_fees_and_net() -> None:
    _, (news,) = told_in_turn(ledger(BUY, SELL), ledger(BUY, DEARER, seq=9))
    assert (news.revision, news.supersedes, news.kind) == (1, 0, "changed")
    assert news.what == "fees; net 9.8 → 9.6"
    assert (news.seq, news.closed_ns) == (9, T0 + HOUR)
    (row,) = trade_rows(view(ledger(BUY, SELL)), Query())
    assert news.trade_id == row.trade_id


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        (
            [BUY, SELL],
            [BUY, fill(HOUR, "sell", 1, 111, fee="0.1")],
            "prices, gross; net 9.8 → 10.8",
        ),
        ([BUY, SELL], [BUY, fill(2 * HOUR, "sell", 1, 110, fee="0.1")], "exit time"),
        ([BUY, SELL], [BUY, SELL, funding(1, "0.25")], "funding; net 9.8 → 10.05"),
        (
            [BUY, SELL],
            [fill(0, "buy", 2, 100, fee="0.1", key=BUY.key), fill(HOUR, "sell", 2, 110, fee="0.1")],
            "size, prices, gross; net 9.8 → 19.8",
        ),
        ([BUY, SELL], [BUY, fill(HOUR, "sell", 1, 110, fee=None)], "fees, fills"),
        (
            [BUY, fill(HOUR, "sell", 1, 110, fee="1", fee_asset="BNB")],
            [BUY, fill(HOUR, "sell", 1, 110, fee="2", fee_asset="BNB")],
            "fees",
        ),
        (
            [BUY, fill(HOUR, "sell", 1, 110, fee="1", fee_asset="BNB")],
            [BUY, fill(HOUR, "sell", 1, 110, fee="1", fee_asset="CAKE")],
            "fees",
        ),
    ],
)
def test_what_changed_is_named(before: list[Claim], after: list[Claim], what: str) -> None:
    _, (news,) = told_in_turn(ledger(*before), ledger(*after))
    assert news.what == what


def test_an_open_trade_goes_on_without_a_revision() -> None:
    more = fill(1, "buy", 3, 90, fee="0.2")
    closes = fill(HOUR, "sell", 4, 95, fee="0.2")
    assert told_in_turn(ledger(BUY), ledger(BUY, more), ledger(BUY, more, closes)) == [[]] * 3


def test_a_closed_trade_that_opens_again_is_told_anew() -> None:
    late = fill(HOUR - 1, "buy", 1, 100, fee="0.1")
    _, (news,) = told_in_turn(ledger(BUY, SELL), ledger(BUY, late, SELL))
    assert news.what.startswith("exit time, size, prices, ")
    assert (news.kind, news.closed_ns) == ("changed", None)


def test_a_late_opening_makes_another_trade_and_the_old_one_vanishes() -> None:
    late = fill(-5, "buy", 1, 100, fee="0.1")
    _, gone, back, still = told_in_turn(
        ledger(BUY, SELL), ledger(late, BUY, SELL), ledger(BUY, SELL), ledger(BUY, SELL)
    )
    (news,) = gone
    assert (news.kind, news.revision, news.supersedes) == ("vanished", 1, 0)
    # what opened with the late fill was open and is no more; the first one is back
    assert [(each.kind, each.revision) for each in sorted(back, key=lambda r: r.kind)] == [
        ("changed", 2),
        ("vanished", 1),
    ]
    assert next(each for each in back if each.kind == "changed").trade_id == news.trade_id
    assert next(each for each in back if each.kind == "changed").what == "it is back, as it was"
    assert still == []


def test_finer_numbers_elsewhere_change_no_trade() -> None:
    finer = [
        fill(2 * HOUR, "buy", "0.00125", "100.12345", fee="0.001", decision_px="100.1"),
        fill(3 * HOUR, "sell", "0.00125", "100.5", fee="0.001"),
    ]
    coarse, fine = ledger(BUY, SELL), ledger(BUY, SELL, *finer)
    assert coarse.groups[0].columns.terms != fine.groups[0].columns.terms
    assert told_in_turn(coarse, fine) == [[], []]


def test_an_earlier_trade_only_renumbers_the_later_ones() -> None:
    early = [fill(-9, "buy", 1, 50, fee="0"), fill(-8, "sell", 1, 60, fee="0")]
    both = ledger(*early, BUY, SELL)
    assert both.groups[0].books.trades["number"].tolist() == [0, 1]
    assert told_in_turn(ledger(BUY, SELL), both) == [[], []]


def test_a_memory_survives_its_bytes_and_refuses_others() -> None:
    known, _ = revise(Revisions.none(), ledger(BUY, SELL))
    known, _ = revise(known, ledger(BUY, DEARER))
    raw = known.to_bytes()
    again = Revisions.from_bytes(raw)
    assert (again.rows.tobytes(), again.places) == (known.rows.tobytes(), known.places)
    assert again.latest == known.latest and len(known.latest) == 1
    for broken in (raw[:-1], raw[:40] + b"x" + raw[41:], b""):
        with pytest.raises(ValueError, match="not what was written"):
            Revisions.from_bytes(broken)


def test_many_revisions_of_a_group_are_told_together() -> None:
    def book(fee: str) -> Ledger:
        claims = []
        for n in range(5):
            claims += [
                fill(n * HOUR, "buy", 1, 100, fee="0"),
                fill(n * HOUR + 9, "sell", 1, 110, fee=fee),
            ]
        return ledger(*claims)

    known, _ = revise(Revisions.none(), book("0"))
    known, news = revise(known, book("1"))
    assert len(news) == 5
    told = revision_findings(known.latest)
    assert [each.code for each in told] == ["trade-revised"] * 4
    assert {each.severity for each in told} == {"info"} and not any(e.touches for e in told)
    assert told[-1].message.startswith("2 more trades of BTC")


# --- laws ---------------------------------------------------------------------------------------

SHOWN = (
    *("entry_time", "exit_time", "entry_price", "exit_price", "position_size", "realized_pnl"),
    *("fees", "funding", "net", "fills", "approximate", "side"),
)


def view(folded: Ledger) -> BookView:
    return BookView(lambda: folded, Valuer(None, 0), Settings())


def shown(folded: Ledger) -> dict[str, tuple[Any, ...]]:
    """What a person was told of each closed trade, by its id."""
    rows = trade_rows(view(folded), Query())
    return {
        row.trade_id: tuple(getattr(row, name) for name in SHOWN)
        for row in rows
        if row.final_status == "completed"
    }


@settings(max_examples=60, deadline=None)
@given(books(), st.data())
def test_a_trade_is_told_anew_exactly_when_its_figures_change(
    claims: Sequence[Claim], draw: st.DataObject
) -> None:
    everything = remember(Import(claims))
    foreign = {claim.fact.fee_asset for claim in everything if hasattr(claim.fact, "fee_asset")}
    exact = "BNB" not in foreign
    known, seen, numbers = Revisions.none(), dict[str, tuple[Any, ...]](), dict[str, int]()
    seqs = [claim.seq for claim in everything]
    for _ in range(4):
        missing = draw.draw(st.sets(st.sampled_from(seqs), max_size=3))
        folded = fold_claims([claim for claim in everything if claim.seq not in missing])
        known, news = revise(known, folded)
        told, now = {each.trade_id: each for each in news}, shown(folded)
        for name, figures in now.items():
            if name in seen and seen[name] != figures:
                assert told[name].kind == "changed"
            if name in told and exact and "None" not in repr((figures, seen.get(name))):
                came_back = told[name].what == "it is back, as it was"
                assert came_back or seen.get(name) != figures
        assert seen.keys() <= {f"{row['trade_id']:016x}" for row in known.rows}
        for each in news:
            assert each.revision == each.supersedes + 1 == numbers.get(each.trade_id, 0) + 1
            numbers[each.trade_id] = each.revision
        assert {k: v for k, v in known.numbers().items() if v} == numbers
        ids = {name for group in folded.groups for name in trade_ids(group)}
        gone = {f"{row['trade_id']:016x}" for row in known.rows if row["state"] == GONE}
        assert not gone & ids and len(gone | ids) == len(known)
        seen = now
        assert revise(known, folded)[1] == []


# --- beside a book ------------------------------------------------------------------------------


class Desk:
    """A real book with its cache, and someone who asks for trades now and then."""

    def __init__(self, folder: Path) -> None:
        self.book, self.cache = folder / "book.db", folder / "cache"
        Journal.create(self.book).close()
        self.batches = 0

    def learn(self, *claims: Claim) -> int:
        """Import claims as a batch of their own; return the book's seq."""
        self.batches += 1
        name = f"b{self.batches}"
        opening = BatchOpen(
            batch_id=name,
            source="api",
            rank=3,
            venue=VENUE,
            account=ACCOUNT,
            fingerprint=name,
            name=name,
        )
        with Journal.open(self.book) as journal:
            journal.begin(opening, T0)
            return journal.append(Page(batch_id=name, claims=claims, cursor="1"), T0).head.seq

    def asks(self, settings: Settings | None = None, as_of: int | None = None) -> list[TradeRow]:
        with Journal.open(self.book, readonly=True) as journal:
            opened = load(journal, None, settings or Settings(), as_of=as_of, cache=self.cache)
            return trades(opened, Query())

    def hears(self, as_of: int | None = None) -> list[str]:
        """Return the messages about revised trades."""
        with Journal.open(self.book, readonly=True) as journal:
            opened = load(journal, None, Settings(), as_of=as_of, cache=self.cache)
            found = findings(opened, Query())
        return [each.message for each in found if each.code == "trade-revised"]


LATE = funding(1, "0.25")
OTHER = fill(5 * HOUR, "buy", 1, 100, fee="0.1")


def test_the_memory_lies_beside_the_book_and_survives_new_seals(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    first = desk.learn(market(), BUY, SELL)
    assert [row.revision for row in desk.asks()] == [0]
    seq = desk.learn(LATE)
    (row,) = desk.asks()
    assert (row.revision, row.funding) == (1, "0.25")
    (message,) = desk.hears()
    assert message == (
        f"trade {row.trade_id} of BTC is told anew since seq {seq} (revision 1): "
        "funding; net 9.8 → 10.05"
    )
    # a new head, a new seal: the number and the finding stay
    desk.learn(OTHER)
    assert [each.revision for each in desk.asks()] == [1, 0]
    assert desk.hears() == [message]
    # what was known before counts no revisions, however often it is asked
    assert [each.revision for each in desk.asks(as_of=first)] == [0]
    assert desk.hears(as_of=first) == []
    assert [each.revision for each in desk.asks()] == [1, 0]


def test_asking_as_of_now_is_asking_now(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.learn(market(), BUY, SELL)
    desk.asks()
    now = desk.learn(LATE)
    assert [row.revision for row in desk.asks(as_of=now)] == [1]
    assert desk.hears(as_of=now) == desk.hears() != []


@pytest.mark.parametrize("how", ["deleted", "damaged"])
def test_without_its_memory_counting_starts_again(tmp_path: Path, how: str) -> None:
    desk = Desk(tmp_path)
    desk.learn(market(), BUY, SELL)
    desk.asks()
    desk.learn(LATE)
    assert [row.revision for row in desk.asks()] == [1]
    if how == "deleted":
        shutil.rmtree(desk.cache)
    else:
        (memory,) = (desk.cache / "revisions").iterdir()
        memory.write_bytes(memory.read_bytes()[:-7])
        desk.learn(OTHER)
    assert {row.revision for row in desk.asks()} == {0}
    assert desk.hears() == []


def test_another_method_is_another_telling(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    # one trade of which FIFO and AVERAGE think differently
    desk.learn(market(), BUY, fill(1, "buy", 1, 120, fee="0"), fill(HOUR, "sell", 1, 130, fee="0"))
    desk.learn(fill(2 * HOUR, "sell", 2, 125, fee="0"), fill(3 * HOUR, "buy", 1, 125, fee="0"))
    fifo = Settings(fold=FoldSettings(method="fifo"))
    assert [row.revision for row in desk.asks()] == [0, 0]
    assert [row.revision for row in desk.asks(fifo)] == [0, 0]
    assert [row.revision for row in desk.asks()] == [0, 0]
    assert len(list((desk.cache / "revisions").iterdir())) == 2
