"""Positions that the venue no longer states: looked for, closed as a last resort, taken back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from fillbook.analysis.answers import TradeRow
from fillbook.analysis.summary import load, trades
from fillbook.analysis.view import BookView, Query
from fillbook.facts.model import Claim, PositionSide, Report
from fillbook.ground.clock import MINUTE_NS, SECOND_NS
from fillbook.ground.settings import Settings
from fillbook.journal.store import Journal, verify_book
from fillbook.journal.values import BatchOpen, Page
from fillbook.marks.series import Mark, MarkStore, marks_path
from fillbook.monitor.journaling import JournalThread
from fillbook.monitor.vanished import Vanished
from fillbook.sources.files.registry import reparse
from strategies import ACCOUNT, T0, VENUE, fill, market

AFTER_NS = 2 * MINUTE_NS


class Account:
    """Who is watched."""

    venue, account, label = VENUE, ACCOUNT, "main"


class Desk:
    """A book with one live account; every step happens `at` some seconds after the beginning."""

    def __init__(self, folder: Path) -> None:
        self.book = folder / "book.db"
        self.told: list[str] = []
        self.late: list[Claim] = []
        self.looked_for = 0
        self.fills_until = T0
        Journal.create(self.book).close()
        self.put(market("ETH"), market("BTC"))

    def put(self, *claims: Claim) -> None:
        with Journal.open(self.book) as journal:
            live = BatchOpen(
                batch_id="live", source="api", rank=3, venue=VENUE, account=ACCOUNT,
                fingerprint="", name="live",
            )  # fmt: skip
            journal.begin(live, T0)
            journal.append(Page(batch_id="live", claims=list(claims), cursor="-"), T0)

    def mark(self, at: int, px: str, instrument: str = "ETH") -> None:
        with MarkStore(marks_path(self.book)) as marks:
            marks.put([Mark(VENUE, instrument, T0 + at * SECOND_NS, Decimal(px))])

    async def fresh(self) -> BookView:
        with Journal.open(self.book, readonly=True) as journal:
            view = load(journal, None, Settings())
            assert view.ledger
            return view

    async def backfill(self, instrument: str) -> None:
        self.looked_for += 1
        if self.late:
            self.put(*self.late)

    def watch(self, *looks: tuple[int, Sequence[Report]]) -> None:
        """Start a watcher of its own and let it see these statements."""
        asyncio.run(self._watch(looks))

    async def _watch(self, looks: Sequence[tuple[int, Sequence[Report]]]) -> None:
        writer = JournalThread(self.book, marks_path(self.book), lambda: T0)
        writer.start()
        vanished = Vanished(
            Account(),  # type: ignore[arg-type]
            writer,
            lambda _: self.fills_until,
            self.backfill,
            self.fresh,
            AFTER_NS,
            self.told.append,
        )
        for at, said in looks:
            self.fills_until = T0 + at * SECOND_NS
            await vanished.look(await self.fresh(), said, T0 + at * SECOND_NS)
        assert writer.stop()

    @property
    def rows(self) -> list[TradeRow]:
        with (
            Journal.open(self.book, readonly=True) as journal,
            MarkStore(marks_path(self.book), readonly=True) as marks,
        ):
            return trades(load(journal, marks, Settings()), Query())

    @property
    def findings(self) -> list[str]:
        with Journal.open(self.book, readonly=True) as journal:
            return [found.code for found in load(journal, None, Settings()).ledger.findings]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def states(qty: str, instrument: str = "ETH", side: PositionSide = "net") -> Report:
    return Report(
        venue=VENUE,
        account=ACCOUNT,
        ts_ns=T0,
        what="position",
        instrument=instrument,
        position_side=side,
        qty=Decimal(qty),
    )


def traded(at: int, side: str, qty: str, px: str, **more: str) -> Claim:
    return fill(at * SECOND_NS, side, qty, px, instrument="ETH", fee="0", **more)


GONE: Sequence[Report] = ()


def test_v23_gone_without_a_fill_it_closes_at_the_last_observed_price(desk: Desk) -> None:
    desk.put(traded(1, "buy", "0.1", "3500"))
    desk.mark(50, "3515")
    desk.mark(70, "3600")  # after it was gone
    desk.watch((10, [states("0.1")]), (60, GONE), (120, GONE), (180, GONE), (240, GONE))
    (row,) = desk.rows
    assert (row.realized_pnl, row.exit_price, row.final_status) == ("1.5", "3515", "completed")
    assert (row.approximate, row.exit_price_source, row.net) == (True, "last observed", None)
    assert (desk.looked_for, desk.findings) == (1, ["position-vanished"])
    assert desk.told == ["! main: ETH: 0.1 went away without a fill; closed at 3515, last observed"]
    assert verify_book(desk.book, reparse) == []


def test_a_fill_of_the_moment_between_question_and_answer_takes_the_place(desk: Desk) -> None:
    """The venue may have filled after it was asked and before it answered."""
    desk.put(traded(1, "buy", "0.1", "3500"))
    desk.mark(50, "3515")
    desk.watch((10, [states("0.1")]), (60, GONE), (120, GONE), (180, GONE), (240, GONE))
    assert desk.findings == ["position-vanished"]
    desk.put(traded(61, "sell", "0.1", "3510"))
    (row,) = desk.rows
    assert (row.realized_pnl, row.exit_price, row.approximate) == ("1", "3510", False)
    assert desk.findings == []


def test_v21_gone_at_a_price_nobody_saw_it_is_closed_unpriced_and_listed(desk: Desk) -> None:
    desk.put(traded(1, "sell", "2", "3500"))
    desk.watch((10, [states("-2")]), (60, GONE), (180, GONE))
    (row,) = desk.rows
    assert (row.final_status, row.outcome) == ("completed", "unpriced")
    assert (row.realized_pnl, row.exit_price_source) == (None, None)
    assert desk.findings == ["position-vanished"]


def test_a_fill_that_can_be_had_is_had_before_anything_is_closed(desk: Desk) -> None:
    desk.put(traded(1, "buy", "0.1", "3500"))
    desk.mark(50, "3515")
    desk.late = [traded(55, "sell", "0.1", "3512")]
    desk.watch((10, [states("0.1")]), (60, GONE), (180, GONE), (300, GONE))
    (row,) = desk.rows
    assert (row.realized_pnl, row.approximate, desk.told) == ("1.2", False, [])


def test_a_late_fill_overrules_the_observed_close(desk: Desk) -> None:
    desk.put(traded(1, "buy", "0.1", "3500"))
    desk.mark(50, "3515")
    desk.watch((10, [states("0.1")]), (60, GONE), (180, GONE))
    (estimate,) = desk.rows
    desk.put(traded(55, "sell", "0.1", "3512"))
    (row,) = desk.rows
    assert (row.trade_id, row.realized_pnl, row.approximate) == (estimate.trade_id, "1.2", False)
    assert desk.findings == []


@pytest.mark.parametrize(
    ("looks", "why"),
    [
        ([(10, [states("0.1")]), (60, GONE), (100, GONE)], "too early"),
        ([(10, [states("0.1")]), (60, GONE), (70, [states("0.1")]), (190, GONE)], "it was there"),
        ([(10, GONE), (60, GONE), (1000, GONE)], "the venue never stated it"),
        ([(10, [states("0.2")]), (60, [states("0.2")]), (1000, [states("0.2")])], "it is more"),
        ([(10, [states("0.1")]), (60, [states("-1")]), (1000, [states("-1")])], "it is another"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nothing_is_closed_that_may_be_there(
    desk: Desk, looks: list[tuple[int, Sequence[Report]]], why: str
) -> None:
    desk.put(traded(1, "buy", "0.1", "3500"))
    desk.mark(50, "3515")
    desk.watch(*looks)
    assert [row.final_status for row in desk.rows] == ["open"]
    assert desk.told == []


def test_where_fills_cannot_be_had_it_waits_longer(desk: Desk) -> None:
    desk.put(traded(1, "buy", "0.1", "3500"))
    desk.mark(50, "3515")

    async def look(*looks: int) -> None:
        writer = JournalThread(desk.book, marks_path(desk.book), lambda: T0)
        writer.start()
        vanished = Vanished(
            Account(),  # type: ignore[arg-type]
            writer, lambda _: 0, desk.backfill, desk.fresh, AFTER_NS, desk.told.append,
        )  # fmt: skip
        await vanished.look(await desk.fresh(), [states("0.1")], T0)
        for at in looks:
            await vanished.look(await desk.fresh(), GONE, T0 + at * SECOND_NS)
        assert writer.stop()

    asyncio.run(look(60, 200, 600))
    assert [row.final_status for row in desk.rows] == ["open"]
    asyncio.run(look(60, 200, 660))
    assert [row.final_status for row in desk.rows] == ["completed"]


def test_a_position_that_shrank_without_a_fill_is_closed_in_part(desk: Desk) -> None:
    desk.put(traded(1, "sell", "2", "3500"))
    desk.mark(50, "3400")
    desk.watch((10, [states("-2")]), (60, [states("-1")]), (180, [states("-1")]))
    (row,) = desk.rows
    assert (row.final_status, row.realized_pnl, row.approximate) == ("open", "100", True)


def test_a_position_that_is_stated_again_was_never_gone(desk: Desk) -> None:
    desk.put(traded(1, "buy", "0.1", "3500"))
    desk.mark(50, "3515")
    desk.watch((10, [states("0.1")]), (60, GONE), (180, GONE))
    assert [row.final_status for row in desk.rows] == ["completed"]
    # Another program, the same memory.
    desk.watch((300, [states("0.1")]))
    assert [row.final_status for row in desk.rows] == ["completed"]
    desk.watch((330, [states("0.1")]), (360, [states("0.1")]))
    assert [(row.final_status, row.approximate) for row in desk.rows] == [("open", False)]
    assert desk.told[-1] == ("! main: ETH: the venue states it again; its close is taken back")
    desk.watch((400, GONE), (600, GONE))
    assert [row.final_status for row in desk.rows] == ["completed"]


def test_a_restart_remembers_what_the_venue_stated(desk: Desk) -> None:
    desk.put(traded(1, "buy", "0.1", "3500"))
    desk.mark(50, "3515")
    desk.watch((10, [states("0.1")]))
    desk.watch((60, GONE), (180, GONE))
    assert [row.realized_pnl for row in desk.rows] == ["1.5"]


def test_the_other_leg_of_a_hedged_account_stays_open(desk: Desk) -> None:
    desk.put(
        traded(1, "buy", "1", "3500", position_side="long"),
        traded(2, "sell", "1", "3500", position_side="short", key="short"),
    )
    desk.mark(50, "3400")
    both = [states("1", side="long"), states("-1", side="short")]
    desk.watch((10, both), (60, both[:1]), (180, both[:1]))
    by_side = {row.side: (row.final_status, row.realized_pnl) for row in desk.rows}
    assert by_side == {"LONG": ("open", "0"), "SHORT": ("completed", "100")}
