"""Reconciliation: simulated venues lose, alter and delay rows, and every difference is named."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

import binance_desk
import coinbase_desk
import hyperliquid_desk
from fillbook.analysis.reconcile.answer import Check, Reconciliation
from fillbook.analysis.reconcile.book import finding_of, reconcile
from fillbook.analysis.reconcile.stated import KINDS, Stated
from fillbook.analysis.summary import load, why
from fillbook.analysis.view import Query
from fillbook.cli.app import app
from fillbook.facts.model import (
    Charge,
    Claim,
    Correction,
    Fill,
    Instrument,
    OrderUpdate,
    Report,
    Span,
    Transfer,
)
from fillbook.ground.clock import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS
from fillbook.ground.errors import UsageError
from fillbook.ground.settings import FoldSettings, Settings
from fillbook.journal.store import Journal
from fillbook.journal.values import BatchOpen, Page
from fillbook.marks.series import Mark, MarkStore
from fillbook.monitor.snapshots import SnapshotBook
from fillbook.sim.cast import COINBASE_BOT, HEDGE, SWING
from fillbook.sim.executions import SimFill
from fillbook.sim.orders import SimOrder
from fillbook.sim.venues.binance.rows import commission_row, fill_key, income_key
from fillbook.sim.venues.coinbase.rows import entries_of, order_id_of
from fillbook.sim.venues.hyperliquid.rows import fill_key as hyperliquid_key
from fillbook.sources.writing import DirectWriter

T0 = 1_767_225_600 * SECOND_NS
VENUE, ACCOUNT = "binance", "1001"
BTC = Instrument(
    venue=VENUE,
    account=ACCOUNT,
    ts_ns=T0,
    symbol="BTCUSDT",
    contract="linear",
    base="BTC",
    quote="USDT",
    settle="USDT",
)


def checks(answer: Reconciliation, name: str) -> list[Check]:
    return [row for row in answer.rows if row.check == name]


def differing(answer: Reconciliation) -> dict[tuple[str, str | None], Check]:
    return {(r.check, r.instrument): r for r in answer.rows if r.state == "differs"}


# -- venues that lose and alter rows ---------------------------------------------------------------


class Watched:
    """A desk of either venue with its positions looked at, and its book reconciled."""

    def __init__(self, desk: Any, marks: MarkStore) -> None:
        self.desk = desk
        self.marks = marks
        self.writer = DirectWriter(desk.journal, marks, clock=desk.clock.now_ns)
        self.positions = SnapshotBook(desk.account, self.writer)

    async def look(self) -> None:
        """Pull everything, look at the positions, and keep what they are worth."""
        await self.desk.pull()
        await self.positions.look(self.desk.clock.now_ns())
        held = {each.instrument or "" for each in self.positions.open_positions}
        told = await self.desk.account.marks(held, self.desk.clock.now_ns())
        await self.writer.put_marks(told)

    def go_on(self, step_ns: int = 20 * MINUTE_NS) -> list[SimFill]:
        """Let time pass until something was traded; return the new executions."""
        before = len(self.desk.world.fills(self.desk.who))
        for _ in range(500):
            self.desk.clock.step(step_ns)
            self.desk.venue.settle()
            fills = self.desk.world.fills(self.desk.who)[before:]
            if fills:
                return list(fills)
        raise AssertionError("nothing was traded in a week")

    def reconciled(self) -> Reconciliation:
        view = load(self.desk.journal, self.marks, Settings())
        stated = Stated(self.desk.journal.claims(kinds=KINDS))
        return reconcile(view, stated, Query())


def signed(fill: SimFill) -> Decimal:
    return fill.qty if fill.side == "buy" else -fill.qty


def test_binance_lost_and_altered_rows_are_named_with_their_amounts(tmp_path: Path) -> None:
    async def body(desk: binance_desk.Desk) -> None:
        watched = Watched(desk, desk.marks)
        await desk.attach()
        await watched.look()
        watched.go_on()
        await watched.look()
        lost, *others = watched.go_on(2 * HOUR_NS)
        wrong = next(fill for fill in others if fill.market != lost.market)
        bare = next(f for f in others if f.market == lost.market and f.fill_id != lost.fill_id)
        altered = desk.venue.pages.altered
        shelf = f"trades:{HEDGE}:"
        altered[shelf + fill_key(lost)] = None
        too_much = msgspec.structs.replace(wrong, fee=wrong.fee + Decimal("0.5"))
        altered[shelf + fill_key(wrong)] = too_much
        altered[f"income:{HEDGE}:" + income_key(commission_row(desk.world, bare))] = None
        await watched.look()
        desk.clock.step(30 * MINUTE_NS)
        await desk.pull()

        told = watched.reconciled()
        off = differing(told)
        symbol = lost.market.symbol
        position = off["position", symbol]
        assert Decimal(position.difference or 0) == -signed(lost)
        assert position.position_side == lost.position_side and position.unit == symbol[:-4]
        assert position.fills, "the fills around it are named"
        size = off["filled size", symbol]
        assert size.ids == (str(lost.order_id),)
        assert Decimal(size.difference or 0) == -lost.qty
        fees = off["commission", symbol]
        assert set(fees.ids) == {str(lost.fill_id), str(bare.fill_id)}
        assert Decimal(fees.difference or 0) == bare.fee - lost.fee
        assert "1 fills that the venue charged are missing here" in fees.next_step
        assert "1 fills have no row" in fees.next_step
        other = off["commission", wrong.market.symbol]
        assert (other.ids, other.difference, other.unit) == ((str(wrong.fill_id),), "0.5", "USDC")
        assert [near.fill_id for near in other.fills] == [str(wrong.fill_id)]
        codes = {found.code for row in told.rows if (found := finding_of(row))}
        assert codes >= {"position-disagrees", "commission-disagrees", "order-size-disagrees"}

        # The venue shows the fill again: reading days back mends what it was the cause of.
        del altered[shelf + fill_key(lost)]
        await desk.pull(deep=True)
        mended = differing(watched.reconciled())
        assert {place[0] for place in mended} == {"commission"}
        assert mended["commission", symbol].ids == (str(bare.fill_id),)

    binance_desk.desk_run(tmp_path, HEDGE, body, days_ns=DAY_NS)


def test_a_fill_hyperliquid_never_shows_breaks_the_chain_by_its_quantity(tmp_path: Path) -> None:
    async def body(desk: hyperliquid_desk.Desk) -> None:
        with MarkStore(tmp_path / "book.marks") as marks:
            watched = Watched(desk, marks)
            await desk.attach()
            await watched.look()
            assert differing(watched.reconciled()) == {}
            lost = watched.go_on()[0]
            desk.venue.pages.altered[f"fills:{SWING}:{hyperliquid_key(lost)}"] = None
            coin = lost.market.symbol
            await watched.look()
            # Nothing but the venue's own statement shows it so far.
            desk.clock.step(15 * MINUTE_NS)
            await desk.pull()
            while not any(fill.market == lost.market for fill in watched.go_on()):
                pass
            await watched.look()
            desk.clock.step(30 * MINUTE_NS)
            await desk.pull()
            broken = differing(watched.reconciled())["start position", coin]
            assert Decimal(broken.difference or 0) == -signed(lost)
            assert len(broken.fills) == 2 and broken.unit == coin
            desk.venue.pages.altered.clear()
            await desk.pull(deep=True)
            assert differing(watched.reconciled()) == {}

    hyperliquid_desk.desk_run(tmp_path, SWING, body, days_ns=DAY_NS)


def test_coinbase_orders_count_their_fills_and_miss_the_lost_one(tmp_path: Path) -> None:
    async def body(desk: coinbase_desk.Desk) -> None:
        watched = Watched(desk, desk.marks)
        await desk.attach()
        await watched.look()
        fills = list(watched.go_on())
        while not (ended := _ended(desk.world.orders(COINBASE_BOT), fills)):
            fills += watched.go_on()
        lost = ended[0]
        entries = entries_of(desk.world.plan, [lost], [])
        desk.venue.pages.altered[f"fills:{COINBASE_BOT}:{entries[0].entry_id}"] = None
        await watched.look()
        desk.clock.step(30 * MINUTE_NS)
        await desk.pull()
        off = differing(watched.reconciled())
        symbol, order_id = lost.market.symbol, order_id_of(lost.order_id)
        size, count = off["filled size", symbol], off["fill count", symbol]
        assert (size.ids, count.ids) == ((order_id,), (order_id,))
        assert Decimal(size.difference or 0) == -lost.qty
        assert (count.difference, count.unit) == ("-1", "fills")
        desk.venue.pages.altered.clear()
        await desk.pull(deep=True)
        assert differing(watched.reconciled()) == {}

    coinbase_desk.desk_run(tmp_path, COINBASE_BOT, body, days_ns=DAY_NS)


def _ended(orders: Sequence[SimOrder], fills: Sequence[SimFill]) -> list[SimFill]:
    """Return the fills of orders that have ended."""
    done = {order.order_id for order in orders if not order.is_open}
    return [fill for fill in fills if fill.order_id in done]


# -- a book by hand --------------------------------------------------------------------------------


def fill(at_ns: int, side: str, qty: str, px: str, **told: Any) -> Fill:
    return Fill(
        **{
            "venue": VENUE,
            "account": ACCOUNT,
            "ts_ns": T0 + at_ns,
            "printed_ns": 1_000_000,
            "instrument": "BTCUSDT",
            "side": side,
            "qty": Decimal(qty),
            "px": Decimal(px),
            "fee": Decimal(0),
            "fee_asset": "USDT",
            "fill_id": f"f{at_ns // MINUTE_NS}",
            **told,
        }
    )


def held(at_ns: int, qty: str, **told: Any) -> Report:
    known = {"venue": VENUE, "account": ACCOUNT, "what": "position", "instrument": "BTCUSDT"}
    return Report(**{**known, "ts_ns": T0 + at_ns, "qty": Decimal(qty), **told})


def worth(at_ns: int, amount: str) -> Report:
    return Report(
        venue=VENUE,
        account=ACCOUNT,
        ts_ns=T0 + at_ns,
        what="equity",
        amount=Decimal(amount),
        asset="USDT",
    )


def complete(until_ns: int, *components: str, from_ns: int = 0) -> list[Span]:
    return [
        Span(
            venue=VENUE,
            account=ACCOUNT,
            ts_ns=T0 + from_ns,
            source="live",
            rank=3,
            component=component,  # type: ignore[arg-type]
            until_ns=T0 + until_ns,
            state="complete",
        )
        for component in components or ("fills", "funding", "charges", "transfers")
    ]


def book_of(folder: Path, facts: Sequence[Any], marks: Sequence[Mark] = ()) -> Path:
    """Write a book of live claims; return its path."""
    path = folder / "fillbook.db"
    with Journal.create(path) as journal, MarkStore(Path(f"{path}.marks")) as store:
        batch = BatchOpen(
            batch_id="live:binance:1001:fills",
            source="live",
            rank=3,
            venue=VENUE,
            account=ACCOUNT,
            fingerprint="",
            name="by hand",
        )
        journal.begin(batch, T0)
        claims = [Claim(fact, f"2026-01-01|{nth}") for nth, fact in enumerate([BTC, *facts])]
        journal.append(Page(batch_id=batch.batch_id, claims=claims, cursor="1"), T0)
        store.put(marks)
    return path


def reconciled(folder: Path, facts: Sequence[Any], marks: Sequence[Mark] = ()) -> Reconciliation:
    path = book_of(folder, facts, marks)
    with Journal.open(path) as journal, MarkStore(Path(f"{path}.marks")) as store:
        view = load(journal, store, Settings())
        return reconcile(view, Stated(journal.claims()), Query())


HOURS = 24 * HOUR_NS
OPENED = [fill(0, "buy", "2", "100"), fill(60 * MINUTE_NS, "sell", "0.5", "110")]


@pytest.mark.parametrize(
    ("at_ns", "qty", "state", "difference"),
    [
        (59 * MINUTE_NS, "2", "agrees", "0"),
        (59 * MINUTE_NS, "1.5", "differs", "0.5"),
        # A fill of the very millisecond may be in the statement or not.
        (60 * MINUTE_NS, "2", "agrees", "0"),
        (60 * MINUTE_NS, "1.5", "agrees", "0"),
        (60 * MINUTE_NS, "1.6", "differs", "-0.1"),
        (61 * MINUTE_NS, "1.5", "agrees", "0"),
        (61 * MINUTE_NS, "2", "differs", "-0.5"),
    ],
)
def test_a_position_is_compared_at_the_instant_of_the_statement(
    tmp_path: Path, at_ns: int, qty: str, state: str, difference: str
) -> None:
    facts = [*OPENED, held(at_ns, qty, printed_ns=1_000_000), *complete(HOURS)]
    (check,) = checks(reconciled(tmp_path, facts), "position")
    assert (check.state, check.difference, check.unit) == (state, difference, "BTC")
    assert bool(check.fills) == (state == "differs")


def test_a_difference_that_late_fills_may_explain_is_not_checked_yet(tmp_path: Path) -> None:
    late = [*OPENED, held(2 * HOUR_NS, "1"), *complete(2 * HOUR_NS + 9 * MINUTE_NS)]
    (check,) = checks(reconciled(tmp_path, late), "position")
    assert check.state == "not checked"
    assert "complete until 2026-01-01T02:09:00Z" in check.missing
    unproven = [*OPENED, held(2 * HOUR_NS, "1")]
    (tmp_path / "b").mkdir()
    (check,) = checks(reconciled(tmp_path / "b", unproven), "position")
    assert (check.state, check.missing) == (
        "not checked",
        "no source says that the fills of this position are complete",
    )


def test_while_the_newest_statement_is_young_an_older_one_is_judged(tmp_path: Path) -> None:
    facts = [
        *OPENED,
        *(held(at * MINUTE_NS, qty) for at, qty in ((70, "1.5"), (90, "1.25"), (118, "1"))),
        *complete(2 * HOUR_NS),
    ]
    (check,) = checks(reconciled(tmp_path, facts), "position")
    assert (check.state, check.theirs, check.difference) == ("differs", "1.25", "0.25")
    assert check.at == "2026-01-01T01:30:00Z"


def test_the_difference_is_dated_by_the_last_statement_that_agreed(tmp_path: Path) -> None:
    facts = [
        *OPENED,
        *(held(at * MINUTE_NS, "1.5") for at in (70, 90)),
        *(held(at * MINUTE_NS, "1.25") for at in (110, 130)),
        fill(120 * MINUTE_NS, "buy", "1", "100"),
        fill(125 * MINUTE_NS, "sell", "1", "100"),
        *complete(HOURS),
    ]
    (check,) = checks(reconciled(tmp_path, facts), "position")
    assert check.difference == "0.25"
    assert "since 2026-01-01T01:30:00Z, when both agreed" in check.next_step
    # The last one before both agreed, and everything up to the statement.
    assert [near.fill_id for near in check.fills] == ["f60", "f120", "f125"]


def test_a_position_nobody_traded_here_differs_by_all_of_it(tmp_path: Path) -> None:
    facts = [held(HOUR_NS, "3"), *complete(HOURS)]
    (check,) = checks(reconciled(tmp_path, facts), "position")
    assert (check.ours, check.theirs, check.difference) == ("0", "3", "-3")


def test_a_wrong_result_does_not_hide_behind_a_large_sum(tmp_path: Path) -> None:
    facts: list[Fill] = []
    for nth in range(20):
        facts.append(fill(2 * nth * MINUTE_NS, "buy", "1", "100"))
        pnl = Decimal(1000) + (3 if nth == 7 else 0)
        facts.append(fill((2 * nth + 1) * MINUTE_NS, "sell", "1", "1100", venue_pnl=pnl))
    (check,) = checks(reconciled(tmp_path, [*facts, *complete(HOURS)]), "realised")
    # 0.1 % of 20,003 would allow 20; the row itself is off by 3 of 1,003.
    assert (check.state, check.difference, check.ids) == ("differs", "-3", ("f15",))
    assert [near.fill_id for near in check.fills] == ["f15"]


def test_v17_a_result_that_prices_contradict_is_told_and_not_taken(tmp_path: Path) -> None:
    facts = [
        fill(0, "buy", "1", "100"),
        fill(MINUTE_NS, "sell", "1", "110", venue_pnl=Decimal(999)),
        *complete(HOURS),
    ]
    (check,) = checks(reconciled(tmp_path, facts), "realised")
    told = (check.state, check.ours, check.theirs, check.difference)
    assert told == ("differs", "10", "999", "-989")
    assert [near.fill_id for near in check.fills] == ["f1"]


def test_the_method_of_the_book_does_not_make_it_differ(tmp_path: Path) -> None:
    """Venues show average cost; a book folded first in, first out agrees all the same."""
    facts = [
        fill(0, "buy", "1", "100"),
        fill(MINUTE_NS, "buy", "1", "200"),
        fill(2 * MINUTE_NS, "sell", "1", "160", venue_pnl=Decimal(10)),
        *complete(HOURS),
    ]
    settings = Settings(fold=FoldSettings(method="fifo"))
    with Journal.open(book_of(tmp_path, facts)) as journal:
        view = load(journal, None, settings)
        told = reconcile(view, Stated(journal.claims()), Query())
        assert why(view, Query()).currencies["USDT"].realized == "60"
    (check,) = checks(told, "realised")
    assert (check.state, check.ours) == ("agrees", "10")
    assert not [found for found in view.findings if found.code == "venue-disagrees"]


def test_orders_that_have_ended_are_compared_with_their_fills(tmp_path: Path) -> None:
    def order(number: int, status: str, filled: str, n_fills: int, at_ns: int) -> OrderUpdate:
        return OrderUpdate(
            venue=VENUE,
            account=ACCOUNT,
            ts_ns=T0 + at_ns,
            instrument="BTCUSDT",
            status=status,  # type: ignore[arg-type]
            order_id=f"o{number}",
            qty=Decimal(5),
            filled_qty=Decimal(filled),
            n_fills=n_fills,
        )

    facts = [
        fill(0, "buy", "2", "100", order_id="o1"),
        fill(MINUTE_NS, "buy", "1", "100", order_id="o1"),
        order(1, "cancelled", "3", 2, 2 * MINUTE_NS),
        fill(3 * MINUTE_NS, "buy", "1", "100", order_id="o2"),
        order(2, "cancelled", "2.5", 2, 4 * MINUTE_NS),
        fill(5 * MINUTE_NS, "buy", "1", "100", order_id="o3"),
        order(3, "partially_filled", "4", 3, 5 * MINUTE_NS),
        order(4, "filled", "5", 1, 6 * MINUTE_NS),
        *complete(5 * MINUTE_NS + 30 * SECOND_NS, "fills"),
    ]
    answer = reconciled(tmp_path, facts)
    (size,) = checks(answer, "filled size")
    # Order 3 goes on, order 4 ended where nobody says that the fills are complete.
    assert (size.n, size.ids, size.ours, size.theirs) == (2, ("o2",), "4", "5.5")
    (count,) = checks(answer, "fill count")
    assert (count.ids, count.difference, count.unit) == (("o2",), "-1", "fills")


def test_asked_about_one_instrument_nothing_is_said_of_others(tmp_path: Path) -> None:
    eth = {"instrument": "ETHUSDT"}
    told = {"venue": VENUE, "account": ACCOUNT, "ts_ns": T0 + MINUTE_NS, **eth}
    facts = [
        msgspec.structs.replace(BTC, symbol="ETHUSDT", base="ETH"),
        fill(0, "buy", "1", "100", fee=Decimal("0.1")),
        fill(MINUTE_NS, "buy", "1", "100", fee=Decimal("0.1"), order_id="o2", **eth),
        OrderUpdate(status="filled", order_id="o2", filled_qty=Decimal(1), **told),  # type: ignore[arg-type]
        Charge(
            amount=Decimal("0.1"),
            asset="USDT",
            what="commission",
            fill_id="f1",
            repeats_fills=True,
            **told,  # type: ignore[arg-type]
        ),
        *complete(HOURS),
    ]
    with Journal.open(book_of(tmp_path, facts)) as journal:
        view, stated = load(journal, None, Settings()), Stated(journal.claims())
        for instrument, states in (("ETHUSDT", ["agrees"] * 2), ("BTCUSDT", ["differs"])):
            answer = reconcile(view, stated, Query(instruments=(instrument,)))
            compared = [row for row in answer.rows if row.state != "not checked"]
            # The fee of the other one has no row of the venue, which others have.
            assert [row.state for row in compared] == states
            assert {row.instrument for row in compared} == {instrument}


def test_a_row_a_moment_after_its_fill_is_cut_from_it_by_no_window(tmp_path: Path) -> None:
    def row(at_ns: int, fill_id: str) -> Charge:
        return Charge(
            venue=VENUE,
            account=ACCOUNT,
            ts_ns=T0 + at_ns,
            amount=Decimal("0.1"),
            asset="USDT",
            what="commission",
            instrument="BTCUSDT",
            fill_id=fill_id,
            repeats_fills=True,
        )

    facts = [
        *(fill(at * MINUTE_NS, "buy", "1", "100", fee=Decimal("0.1")) for at in range(3)),
        *(row(at * MINUTE_NS + 1_000_000, f"f{at}") for at in range(3)),
        *complete(HOURS),
    ]
    edge_ns = T0 + MINUTE_NS + 1
    with Journal.open(book_of(tmp_path, facts)) as journal:
        view, stated = load(journal, None, Settings()), Stated(journal.claims())
        for query, n in ((Query(since_ns=edge_ns), 1), (Query(until_ns=edge_ns), 2)):
            (check,) = checks(reconcile(view, stated, query), "commission")
            assert (check.state, check.n) == ("agrees", n)


def test_two_statements_of_one_instant_are_judged_alike_in_any_order(tmp_path: Path) -> None:
    told = []
    for name, sizes in (("a", ("1", "2")), ("b", ("2", "1"))):
        (tmp_path / name).mkdir()
        facts = [fill(0, "buy", "1", "100"), *(held(HOUR_NS, qty) for qty in sizes)]
        (check,) = checks(reconciled(tmp_path / name, [*facts, *complete(HOURS)]), "position")
        told.append((check.state, check.theirs))
    assert told[0] == told[1]


def test_a_window_takes_no_fills_from_an_order_first_heard_of_inside(tmp_path: Path) -> None:
    """Some sources tell only how an order ended; what it filled before is part of it."""
    told = {"venue": VENUE, "account": ACCOUNT, "instrument": "BTCUSDT", "status": "filled"}
    facts = [
        fill(0, "buy", "2", "100", order_id="o1"),
        fill(2 * MINUTE_NS, "buy", "1", "100", order_id="o1"),
        OrderUpdate(ts_ns=T0 + 2 * MINUTE_NS, order_id="o1", filled_qty=Decimal(3), **told),  # type: ignore[arg-type]
        *complete(HOURS),
    ]
    with Journal.open(book_of(tmp_path, facts)) as journal:
        view, stated = load(journal, None, Settings()), Stated(journal.claims())
        for since_ns in (None, T0 + MINUTE_NS):
            (size,) = checks(reconcile(view, stated, Query(since_ns=since_ns)), "filled size")
            assert (size.state, size.n, size.ours) == ("agrees", 1, "3")


MARKS = [
    Mark(VENUE, "BTCUSDT", T0 + at * HOUR_NS, Decimal(px), "mark", "test")
    for at, px in ((1, "100"), (5, "120"), (9, "90"))
]


def moved(at_ns: int, amount: str) -> Transfer:
    return Transfer(
        venue=VENUE, account=ACCOUNT, ts_ns=T0 + at_ns, amount=Decimal(amount), asset="USDT"
    )


def test_worth_changes_by_net_and_transfers(tmp_path: Path) -> None:
    facts = [
        fill(2 * HOUR_NS, "buy", "1", "100", fee=Decimal("0.25")),
        moved(3 * HOUR_NS, "50"),
        worth(1 * HOUR_NS, "1000"),
        worth(5 * HOUR_NS, "1069.75"),
        worth(9 * HOUR_NS, "1039.75"),
        *complete(HOURS),
    ]
    (check,) = checks(reconciled(tmp_path, facts, MARKS), "equity")
    # 50 came in, 10 were lost by the marks, 0.25 were paid.
    assert (check.state, check.ours, check.theirs) == ("agrees", "39.75", "39.75")
    assert (check.unit, check.tolerance) == ("USDT", "0.14")  # 0.05 and 0.1 % of 90


def test_a_transfer_that_is_told_in_other_words_later_moved_money_once(tmp_path: Path) -> None:
    facts = [worth(1 * HOUR_NS, "1000"), worth(5 * HOUR_NS, "1050"), *complete(HOURS)]
    path = book_of(tmp_path, [fill(0, "buy", "1", "100"), *facts], MARKS)
    with Journal.open(path) as journal, MarkStore(Path(f"{path}.marks")) as store:
        came = moved(3 * HOUR_NS, "30")
        told = (msgspec.structs.replace(came, what=word) for word in ("deposit", "DEPOSIT"))
        page = [Claim(one, "2026-01-01|transfer") for one in told]
        journal.append(Page(batch_id="live:binance:1001:fills", claims=page, cursor="2"), T0)
        view, stated = load(journal, store, Settings()), Stated(journal.claims())
        (check,) = checks(reconcile(view, stated, Query()), "equity")
    # 30 came in, 20 were made by the marks.
    assert (check.state, check.ours) == ("agrees", "50")


def test_a_balance_of_zero_changes_no_figure_of_money(tmp_path: Path) -> None:
    """A venue's balance is compared and never used: 0.00 from a broken API moves nothing."""
    facts = [
        fill(2 * HOUR_NS, "buy", "1", "100", fee=Decimal("0.25")),
        fill(4 * HOUR_NS, "sell", "0.5", "120", fee=Decimal("0.25")),
        worth(1 * HOUR_NS, "1000"),
        worth(5 * HOUR_NS, "1019.5"),
        *complete(HOURS),
    ]
    broken = [*facts, worth(9 * HOUR_NS, "0.00"), held(9 * HOUR_NS, "0.5")]
    told = []
    for name, known in (("good", facts), ("broken", broken)):
        (tmp_path / name).mkdir()
        path = book_of(tmp_path / name, known, MARKS)
        with Journal.open(path) as journal, MarkStore(Path(f"{path}.marks")) as store:
            view = load(journal, store, Settings())
            answer = msgspec.to_builtins(why(view, Query()))
            told.append({k: v for k, v in answer.items() if k not in ("seq", "head")})
            (check,) = checks(reconcile(view, Stated(journal.claims()), Query()), "equity")
            assert check.state == ("agrees" if name == "good" else "differs")
    assert told[0] == told[1]
    assert check.difference == "1004.5"  # 4.5 by our count, -1000 by the venue's
    assert "between 2026-01-01T05:00:00Z and 2026-01-01T09:00:00Z" in check.next_step
    found = finding_of(check)
    assert found is not None and (found.severity, found.touches) == ("warning", ())


def test_years_of_statements_cost_no_comparison_of_each_with_each(tmp_path: Path) -> None:
    """Worth is stated with every poll; without complete transfers no two can be compared."""
    facts = [
        fill(0, "buy", "1", "100"),
        *(worth(at * SECOND_NS, str(1000 + at)) for at in range(20_000)),
        *complete(HOURS, "fills", "funding", "charges"),
    ]
    with Journal.open(book_of(tmp_path, facts)) as journal:
        view, stated = load(journal, None, Settings()), Stated(journal.claims())
        begun_ns = time.process_time_ns()
        (check,) = checks(reconcile(view, stated, Query()), "equity")
        assert time.process_time_ns() - begun_ns < 20 * SECOND_NS
    assert (check.state, check.n) == ("not checked", 20_000)


def run(*arguments: str) -> tuple[int, str]:
    ran = CliRunner().invoke(app, ["reconcile", *arguments], env={"COLUMNS": "120"})
    assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
    return ran.exit_code, ran.stdout


def test_an_order_whose_fills_were_corrected_is_not_held_against_them(tmp_path: Path) -> None:
    told = {"venue": VENUE, "account": ACCOUNT, "instrument": "BTCUSDT", "status": "filled"}
    facts = [
        fill(0, "buy", "1", "100", order_id="o1"),
        fill(MINUTE_NS, "buy", "1", "100", order_id="o2"),
        *(
            OrderUpdate(ts_ns=T0 + MINUTE_NS, order_id=name, filled_qty=Decimal(2), **told)  # type: ignore[arg-type]
            for name in ("o1", "o2")
        ),
        Correction(
            venue=VENUE,
            account=ACCOUNT,
            ts_ns=T0 + HOUR_NS,
            target_key="",
            target_trade_id="t9",
            target_order_id="o1",
            action="reverse",
        ),
        *complete(HOURS),
    ]
    (size,) = checks(reconciled(tmp_path, facts), "filled size")
    assert (size.n, size.ids) == (1, ("o2",))


# -- the command -----------------------------------------------------------------------------------


def test_the_command_says_what_differs_and_what_is_not_checked(tmp_path: Path) -> None:
    pnl = {"venue_pnl": Decimal("5")}
    facts = [OPENED[0], fill(60 * MINUTE_NS, "sell", "0.5", "110", **pnl), *complete(HOURS)]
    good = book_of(tmp_path, [*facts, held(2 * HOUR_NS, "1.5")])
    status, text = run("--book", str(good))
    assert status == 0
    assert "2 checks: 2 agree; 6 could not be made." in text
    assert "not checked: commission [1001]: the venue tells no commission in rows of its" in text
    (tmp_path / "b").mkdir()
    bad = book_of(tmp_path / "b", [*facts, held(2 * HOUR_NS, "1.75")])
    status, text = run("--book", str(bad))
    assert status == 1
    assert (
        "ours 1.5, the venue's 1.75, difference -0.25 BTC; allowed 0 (contracts are exact)" in text
    )
    assert "fill f60 2026-01-01 01:00:00 sell 0.5 at 110 (seq 3)" in text
    assert "next: it is there since the first statement, 2026-01-01T02:00:00Z" in text

    status, text = run("--book", str(bad), "--json")
    answer = msgspec.json.decode(text, type=Reconciliation)
    assert (status, answer.n_differ, answer.rows[0].difference) == (1, 1, "-0.25")
    assert answer.seq == json.loads(text)["seq"]
    status, text = run("--book", str(bad), "--csv")
    assert text.splitlines()[1].startswith("position,differs,binance,1001,BTCUSDT,net,1.5,1.75,")
    # Before that statement, nothing had been stated.
    assert run("--book", str(bad), "--until", "2026-01-01T02:00:00Z")[0] == 0
    asked = ["reconcile", "--book", str(bad), "--account", "other"]
    with pytest.raises(UsageError, match="no such account"):
        CliRunner().invoke(app, asked, catch_exceptions=False)
