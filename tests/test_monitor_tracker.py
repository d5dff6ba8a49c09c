"""What is told of trades: each begins once and ends once, whatever order the fills come in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from fillbook.analysis.summary import load
from fillbook.analysis.view import BookView
from fillbook.facts.model import Claim
from fillbook.ground.clock import DAY_NS, HOUR_NS
from fillbook.ground.settings import Settings
from fillbook.journal.store import Journal
from fillbook.journal.values import BatchOpen, Page
from fillbook.monitor.tracker import Tracker
from fillbook.monitor.watch import Watch
from fillbook.sources.observed import vanished_claim
from strategies import ACCOUNT, T0, VENUE, fill, market

NEW, STARTED, DONE = "🔔 New trade detected:", "✅ Started tracking trade:", "📊 Trade completed:"


LIVE = BatchOpen(
    batch_id="live",
    source="live",
    rank=3,
    venue=VENUE,
    account=ACCOUNT,
    fingerprint="",
    name="live",
)


class Book:
    """A real journal that fills are put into; `view` folds what is there."""

    def __init__(self, path: Path) -> None:
        self.journal = Journal.create(path)
        self.journal.begin(LIVE, T0)
        self.put(market("BTC"), market("ETH"), market("SOL"))

    def put(self, *claims: Claim, batch: str = "live") -> None:
        if batch != "live":
            self.journal.begin(msgspec.structs.replace(LIVE, batch_id=batch, rank=0), T0)
        self.journal.append(Page(batch_id=batch, claims=list(claims), cursor="-"), T0)

    @property
    def view(self) -> BookView:
        return load(self.journal, None, Settings())


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    book = Book(tmp_path / "book.db")
    yield book
    book.journal.close()


def vanished(at: int, px: int) -> Claim:
    return vanished_claim(
        VENUE, ACCOUNT, "BTC", "net",
        held=Decimal(1), left=Decimal(0), px=Decimal(px), at_ns=T0 + at,
    )  # fmt: skip


def traded(at: int, side: str, qty: int, px: int, instrument: str = "BTC") -> Claim:
    return fill(at, side, qty, px, fee="0.5", instrument=instrument)


def test_a_trade_is_told_when_it_opens_and_when_it_closes_and_never_again(book: Book) -> None:
    tracker = Tracker(T0)
    book.put(traded(1, "buy", 1, 95_000))
    assert tracker.feed(book.view) == [f"{NEW} BTC_LONG", f"{STARTED} BTC_LONG"]
    book.put(traded(2, "buy", 1, 95_000))
    assert tracker.feed(book.view) == []
    book.put(traded(3, "sell", 2, 95_750))
    assert tracker.feed(book.view) == [f"{DONE} BTC_LONG | PnL: $1,498.50"]
    assert tracker.feed(book.view) == []
    # Adding and closing is one trade; opening again is another.
    book.put(traded(4, "sell", 1, 95_000))
    assert tracker.feed(book.view) == [f"{NEW} BTC_SHORT", f"{STARTED} BTC_SHORT"]
    assert tracker.completed == 1


def test_a_partial_close_is_not_the_end(book: Book) -> None:
    tracker = Tracker(T0)
    book.put(traded(1, "sell", 2, 68_000))
    tracker.feed(book.view)
    book.put(traded(2, "buy", 1, 67_500))
    assert tracker.feed(book.view) == []
    assert [row.realized_pnl for row in tracker.tracked.values()] == ["500"]


def test_a_trade_that_lived_between_two_looks_is_told_whole(book: Book) -> None:
    tracker = Tracker(T0)
    book.put(traded(1, "buy", 1, 100), traded(2, "sell", 1, 101))
    assert tracker.feed(book.view) == [f"{NEW} BTC_LONG", f"{DONE} BTC_LONG | PnL: $0.00"]


def test_what_late_facts_change_is_told(book: Book) -> None:
    tracker = Tracker(T0)
    book.put(traded(1, "buy", 1, 95_000), vanished(9, 95_500))
    assert tracker.feed(book.view) == [
        f"{NEW} BTC_LONG",
        f"{DONE} BTC_LONG | PnL: $500.00 before fees (unknown), estimated exit price "
        "(last observed)",
    ]
    book.put(traded(5, "sell", 1, 95_400))
    assert tracker.feed(book.view) == ["♻ Trade revised: BTC_LONG | PnL: $399.00"]
    book.put(market("XRP"))
    assert tracker.feed(book.view) == []
    assert tracker.completed == 1


def test_a_close_that_is_taken_back_leaves_the_trade_open(book: Book) -> None:
    tracker = Tracker(T0)
    book.put(traded(1, "buy", 1, 95_000))
    book.put(vanished(9, 95_500), batch="gone")
    assert len(tracker.feed(book.view)) == 2
    book.journal.retract("gone", None, T0)
    assert tracker.feed(book.view) == [
        "↩ Trade is open after all: BTC_LONG",
        f"{STARTED} BTC_LONG",
    ]
    book.put(traded(11, "sell", 1, 95_100))
    assert tracker.feed(book.view) == [f"{DONE} BTC_LONG | PnL: $99.00"]
    assert tracker.completed == 1


def test_history_is_not_told(book: Book) -> None:
    book.put(traded(1, "buy", 1, 100), traded(2, "sell", 1, 90))
    book.put(traded(3, "buy", 1, 100, "ETH"))
    tracker = Tracker(T0 + 10)
    assert tracker.feed(book.view) == [f"{NEW} ETH_LONG", f"{STARTED} ETH_LONG"]


def test_a_close_that_arrives_very_late_ends_its_trade(book: Book) -> None:
    tracker = Tracker(T0)
    book.put(traded(1, "buy", 1, 100))
    tracker.feed(book.view)
    # Elsewhere time goes on for days before the fill that closed it is seen.
    book.put(traded(2 * DAY_NS, "buy", 1, 100, "ETH"))
    tracker.feed(book.view)
    book.put(traded(HOUR_NS, "sell", 1, 90))
    assert tracker.feed(book.view) == [f"{DONE} BTC_LONG | PnL: -$11.00"]
    assert tracker.feed(book.view) == []


def test_after_a_restart_a_known_trade_goes_on_and_one_that_ended_meanwhile_is_told(
    book: Book,
) -> None:
    book.put(traded(1, "buy", 1, 100), traded(2, "buy", 1, 100, "ETH"))
    tracker = Tracker(T0 + DAY_NS)
    tracker.remember(book.view)
    book.put(traded(3, "sell", 1, 110), traded(4, "buy", 1, 10, "SOL"))
    assert tracker.feed(book.view) == [
        f"{DONE} BTC_LONG | PnL: $9.00",
        f"{NEW} SOL_LONG",
        f"{STARTED} ETH_LONG",
        f"{STARTED} SOL_LONG",
    ]


def test_with_a_cap_trades_wait_their_turn_and_none_is_lost(book: Book) -> None:
    tracker = Tracker(T0, max_concurrent=2)
    book.put(*(traded(n, "buy", 1, 100, name) for n, name in ((1, "BTC"), (2, "ETH"), (3, "SOL"))))
    lines = tracker.feed(book.view)
    assert [line for line in lines if line.startswith(STARTED)] == [
        f"{STARTED} BTC_LONG",
        f"{STARTED} ETH_LONG",
    ]
    assert len(tracker.pending) == 1
    # The waiting one closes while it waits: told all the same.
    book.put(traded(4, "sell", 1, 105, "SOL"))
    assert tracker.feed(book.view) == [f"{DONE} SOL_LONG | PnL: $4.00"]
    book.put(traded(5, "sell", 1, 10, "SOL"))
    assert tracker.feed(book.view) == [f"{NEW} SOL_SHORT"]
    book.put(traded(6, "sell", 1, 105))
    assert tracker.feed(book.view) == [
        f"{DONE} BTC_LONG | PnL: $4.00",
        f"{STARTED} SOL_SHORT",
    ]


def test_a_fill_that_turns_out_to_be_earlier_gives_the_trade_its_place(book: Book) -> None:
    tracker = Tracker(T0)
    book.put(traded(10, "buy", 1, 100))
    tracker.feed(book.view)
    book.put(traded(5, "buy", 1, 90))
    lines = tracker.feed(book.view)
    assert len(tracker.tracked) == 1 and not tracker.pending
    assert all(not line.startswith(DONE) for line in lines)


def test_a_day_that_cannot_be_written_is_said_and_watching_goes_on(
    book: Book, tmp_path: Path
) -> None:
    lines: list[str] = []
    now_ns = [T0 + 2 * DAY_NS]
    (tmp_path / "logs").write_text("in the way")
    watch = Watch(tmp_path / "logs", lambda: now_ns[0], lambda: True, lines.append)
    watch.look(book.view, True)
    now_ns[0] += HOUR_NS
    book.put(traded(1, "buy", 1, 100))
    watch.look(book.view, True)
    assert lines[:2] == [f"{NEW} BTC_LONG", f"{STARTED} BTC_LONG"]
    assert len(lines) == 3 and lines[2].startswith("✗ cannot write the daily summary")
    book.put(traded(2, "sell", 1, 100))
    watch.look(book.view, True)
    assert len(lines) == 4 and watch.summary is not None
    (tmp_path / "logs").unlink()
    now_ns[0] += HOUR_NS
    watch.look(book.view, False)
    assert [line[:15] for line in lines[4:]] == ["date=2026-01-05", "date=2026-01-06"]


def test_history_is_not_told_before_it_has_arrived(book: Book, tmp_path: Path) -> None:
    lines: list[str] = []
    arrived = [False]
    watch = Watch(tmp_path / "logs", lambda: T0 + HOUR_NS, lambda: arrived[0], lines.append)
    watch.look(book.view, True)
    book.put(traded(1, "buy", 1, 100))
    watch.look(book.view, True)
    assert lines == [] and watch.summary is not None
    book.put(traded(2, "sell", 1, 90), traded(3, "buy", 1, 80, "ETH"))
    arrived[0] = True
    watch.look(book.view, True)
    assert lines == [f"{NEW} ETH_LONG", f"{STARTED} ETH_LONG"]


def test_days_are_caught_up_after_downtime_and_written_again_only_when_they_changed(
    book: Book, tmp_path: Path
) -> None:
    def watched(now_ns: int) -> list[str]:
        lines: list[str] = []
        watch = Watch(tmp_path / "logs", lambda: now_ns, lambda: True, lines.append)
        watch.look(book.view, True)
        return [line for line in lines if line.startswith("date=")]

    book.put(traded(1, "buy", 1, 100), traded(HOUR_NS, "sell", 1, 110))
    # The day ended a minute ago: late fills and the funding of midnight may still come.
    assert watched(T0 + DAY_NS + 60_000_000_000) == []
    assert [line[:23] for line in watched(T0 + DAY_NS + HOUR_NS)] == ["date=2026-01-05 trades="]
    # Nobody watched for three days.
    told = watched(T0 + 4 * DAY_NS + HOUR_NS)
    assert [line[5:15] for line in told] == ["2026-01-06", "2026-01-07", "2026-01-08"]
    assert watched(T0 + 4 * DAY_NS + 2 * HOUR_NS) == []
    # A trade of the first day arrives late.
    book.put(traded(2 * HOUR_NS, "buy", 1, 100, "ETH"), traded(3 * HOUR_NS, "sell", 1, 90, "ETH"))
    told = watched(T0 + 4 * DAY_NS + 3 * HOUR_NS)
    assert len(told) == 1
    assert told[0].startswith("date=2026-01-05 trades=2 ") and told[0].endswith("(revision 1)")
    path = tmp_path / "logs" / "daily_summary_2026-01-05.json"
    document = json.loads(path.read_bytes())
    assert (document["trades"]["total"], document["fillbook"]["revision"]) == (2, 1)


def test_a_month_caught_up_is_said_in_one_line(book: Book, tmp_path: Path) -> None:
    lines: list[str] = []
    logs = tmp_path / "logs"
    watch = Watch(logs, lambda: T0 + 20 * DAY_NS + HOUR_NS, lambda: True, lines.append)
    book.put(traded(1, "buy", 1, 100), traded(HOUR_NS, "sell", 1, 110))
    watch.look(book.view, True)
    assert lines == [
        f"Daily summaries 2026-01-05 to 2026-01-24: 20 written, 0 revised, in {logs}",
    ]
    assert len(list(logs.glob("daily_summary_*.json"))) == 20
