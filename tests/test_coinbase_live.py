"""Coinbase attached over real connections to a simulated venue that knows the truth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from coinbase_desk import CREDENTIALS, MS, Desk, desk_run
from fillbook.analysis.reconcile.book import reconcile
from fillbook.analysis.reconcile.stated import Stated
from fillbook.analysis.summary import Query, load, why
from fillbook.facts.model import Report
from fillbook.ground.clock import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS, iso
from fillbook.ground.settings import Settings
from fillbook.journal.store import Journal
from fillbook.marks.series import Mark, MarkStore
from fillbook.sim.cast import COINBASE_BOT, PERPS
from fillbook.sim.faults import BY_NAME, FAULTS, FaultPlan
from fillbook.sim.live import LiveWorld
from fillbook.sim.venues.coinbase.rows import order_id_of
from fillbook.sim.venues.coinbase.server import CoinbaseServer
from fillbook.sources.coinbase.asks import ask_of
from fillbook.sources.coinbase.manners import CoinbaseSigner
from fillbook.sources.faults import KeyRefusedError
from fillbook.sources.files.importing import import_paths
from fillbook.sources.source import ReadOptions
from fillbook.sources.stream import Nudge

D = Decimal


@pytest.mark.parametrize("who", [COINBASE_BOT, PERPS])
@pytest.mark.parametrize("page_rows", [100, 13])
def test_a_history_is_pulled_whole_and_goes_on(tmp_path: Path, who: str, page_rows: int) -> None:
    async def body(desk: Desk) -> None:
        await desk.attach()
        (estimate,) = desk.told
        assert any("funding" in words for words in estimate.beyond)
        assert all(brought.fault is None for brought in (await desk.pull()).values())
        desk.check_truth()
        for _ in range(3):
            desk.clock.step(5 * HOUR_NS)
            assert all(brought.fault is None for brought in (await desk.pull()).values())
        desk.check_truth()
        again = await desk.pull()
        assert {name: brought.new for name, brought in again.items()} == dict.fromkeys(again, 0)
        assert len(desk.true_fills()) > 30
        assert desk.order_ends() == desk.true_order_ends()
        assert not {"gap", "claims-conflict"} & desk.findings()

    desk_run(tmp_path, who, body, days_ns=2 * DAY_NS, page_rows=page_rows)


def is_passing(fault: BaseException | None) -> bool:
    """Say whether waiting helps: the venue is away, or the key is, for a while."""
    return fault is None or getattr(fault, "retriable", False) or isinstance(fault, KeyRefusedError)


@pytest.mark.parametrize(("who", "seed"), [(COINBASE_BOT, 21), (PERPS, 22)])
def test_three_days_of_every_fault_end_with_the_truth(tmp_path: Path, who: str, seed: int) -> None:
    three_days(tmp_path, who, seed, step_ns=2 * HOUR_NS)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 120))
def test_three_days_of_every_fault_under_many_seeds(tmp_path: Path, seed: int) -> None:
    three_days(tmp_path, PERPS if seed % 2 else COINBASE_BOT, seed, step_ns=20 * MINUTE_NS)


def three_days(folder: Path, who: str, seed: int, step_ns: int) -> None:
    often = {"correction": 250, "repeated_trade_id": 150, "cursor_expired": 30}
    plan = FaultPlan(seed, BY_NAME.keys() - {"symbol_renamed"}, often=often)

    async def body(desk: Desk) -> None:
        until_ns = desk.clock.now_ns() + 3 * DAY_NS
        while desk.clock.now_ns() < until_ns:
            try:
                if desk.attached is None:
                    await desk.attach()
                brought = await desk.pull()
            except Exception as fault:  # before it is attached: the monitor waits as well
                assert is_passing(fault), fault
                brought = {}
            assert all(is_passing(one.fault) for one in brought.values())
            desk.clock.step(step_ns)
        plan.calm("transport", "rest")
        desk.clock.step(HOUR_NS)
        assert all(one.fault is None for one in (await desk.pull(deep=True)).values())
        desk.check_truth()
        assert desk.order_ends() == desk.true_order_ends()
        # Whatever was missing for a while has been found, and the book says so.
        assert not {"gap", "claims-conflict"} & desk.findings()
        assert len(plan.injected) > 15, plan.injected

    desk_run(folder, who, body, seed=seed, plan=plan, page_rows=40)


def test_an_empty_page_is_no_end(tmp_path: Path) -> None:
    plan = FaultPlan(8, ["empty_page"], often={"empty_page": 300})

    async def body(desk: Desk) -> None:
        await desk.attach()
        for _ in range(12):
            brought = await desk.pull()
            desk.clock.step(5 * MINUTE_NS)
            if all(one.fault is None for one in brought.values()):
                break
        desk.check_truth()
        assert plan.injected["empty_page"] > 3

    desk_run(tmp_path, COINBASE_BOT, body, days_ns=2 * DAY_NS, plan=plan, page_rows=13)


# -- what it came to -------------------------------------------------------------------------------


def test_what_was_made_is_what_the_world_says_it_was(tmp_path: Path) -> None:
    """Net of spot and of futures in contracts: cash, and positions at their marks."""

    async def body(desk: Desk) -> None:
        kinds: set[str] = set()
        while kinds != {"spot", "linear"}:
            desk.clock.step(20 * MINUTE_NS)
            desk.venue.settle()
            kinds = {p.market.contract for p in desk.world.positions(desk.who)}
        await desk.attach()
        await desk.pull()
        mark_all(desk)
        truth = desk.world.truth(desk.who)
        ((_, cash),) = truth.cash.items()
        worth = sum(
            p.qty * p.market.multiplier * desk.world.mark(p.market)
            for p in desk.world.positions(desk.who)
        )
        told = why(load(desk.journal, desk.marks, Settings()), Query())
        usd = told.currencies["USD"]
        assert (D(usd.net or 0), usd.bound) == (cash + worth, "exact")
        assert told.incomplete_because == ()
        assert D(usd.fees) == truth.fees[desk.who, "USD"]

    desk_run(tmp_path, COINBASE_BOT, body, days_ns=2 * DAY_NS)


def test_orders_that_count_a_fill_too_many_are_named_and_no_others(tmp_path: Path) -> None:
    faults = ("miscounted_fills", "correction", "repeated_trade_id", "quote_sized")
    plan = FaultPlan(12, faults, often=dict.fromkeys(faults, 150))

    async def body(desk: Desk) -> None:
        await desk.attach()
        await desk.pull()
        corrected = {order_id_of(c.target.order_id) for c in desk.world.desk(desk.who).corrections}
        wrong = {
            order_id_of(order.order_id)
            for order in desk.world.orders(desk.who)
            if order.n_fills
            and not order.is_open
            and plan.strikes_on("miscounted_fills", f"{desk.who}:{order.order_id}")
        }
        view = load(desk.journal, desk.marks, Settings())
        told = reconcile(view, Stated(desk.journal.claims()), Query())
        off = {check.check: set[str]() for check in told.rows if check.state == "differs"}
        for check in told.rows:
            if check.state == "differs":
                off[check.check] |= set(check.ids)
        # The venue goes on telling what it told before of an order it has corrected.
        assert off == {"fill count": wrong - corrected}
        assert wrong - corrected and corrected

    desk_run(tmp_path, COINBASE_BOT, body, days_ns=DAY_NS, plan=plan)


def mark_all(desk: Desk) -> None:
    now_ns = desk.clock.now_ns()
    desk.marks.put(
        Mark("coinbase", p.market.symbol, now_ns, desk.world.mark(p.market), "mark", "test")
        for p in desk.world.positions(desk.who)
    )


def test_funding_that_no_read_tells_is_said_to_be_missing_settlement_by_settlement(
    tmp_path: Path,
) -> None:
    async def body(desk: Desk) -> None:
        # Settlements count too that came after the last fill of a position that is still open.
        while not desk.world.positions(desk.who) or desk.idle_ns() < 2 * HOUR_NS + 5 * MINUTE_NS:
            desk.clock.step(10 * MINUTE_NS)
            desk.venue.settle()
        now_ns = desk.clock.now_ns()
        await desk.attach()
        await desk.pull()
        mark_all(desk)
        told = why(load(desk.journal, desk.marks, Settings()), Query())
        assert told.made_money == "incomplete" and told.currencies["USDC"].bound == "incomplete"
        (finding,) = (f for f in told.findings if f.code == "funding-uncovered")
        # The last hour has not been waited for yet.
        paid = [p for p in desk.world.funding(desk.who) if p.ts_ms * MS < now_ns - HOUR_NS]
        assert paid[-1].ts_ms > desk.world.fills(desk.who)[-1].ts_ms
        assert f"open at {len(paid)} funding settlements" in finding.message
        assert iso(paid[0].ts_ms * MS) in finding.message
        assert iso(paid[-1].ts_ms * MS) in finding.message
        cash = desk.world.truth(desk.who).cash[desk.who, "USDC"]
        worth = sum(p.qty * desk.world.mark(p.market) for p in desk.world.positions(desk.who))
        funding = sum((p.amount for p in desk.world.funding(desk.who)), D(0))
        # All but the funding is known.
        assert D(told.currencies["USDC"].net or 0) == cash + worth - funding

    desk_run(tmp_path, PERPS, body, days_ns=2 * DAY_NS)


def test_a_revoked_key_is_a_gap_that_heals(tmp_path: Path) -> None:
    plan = FaultPlan(3)

    async def body(desk: Desk) -> None:
        await desk.attach()
        await desk.pull()
        plan.arm("key_revoked")
        desk.clock.step(HOUR_NS // 2)
        gone = await desk.pull()
        assert all(isinstance(gone[name].fault, KeyRefusedError) for name in ("fills", "orders"))
        causes = {gap.component: gap.cause or "" for gap in desk.gaps()}
        assert set(causes) == {"fills", "orders"}
        assert all("401" in cause for cause in causes.values())
        assert "gap" in desk.findings()
        desk.clock.step(HOUR_NS)
        assert all(brought.fault is None for brought in (await desk.pull()).values())
        assert "gap" not in desk.findings()
        desk.check_truth()

    desk_run(tmp_path, COINBASE_BOT, body, days_ns=DAY_NS, plan=plan)


@pytest.mark.parametrize("by_ns", [DAY_NS, -DAY_NS])
def test_a_clock_that_was_set_costs_a_second_asking_and_no_gap(tmp_path: Path, by_ns: int) -> None:
    """A token of another time is refused like a key that is gone; the time comes with it."""

    async def body(desk: Desk) -> None:
        await desk.attach()
        await desk.pull()
        desk.wall.ahead_ns = by_ns
        desk.clock.step(HOUR_NS)
        brought = await desk.pull()
        assert {name: one.fault for name, one in brought.items()} == dict.fromkeys(brought)
        assert desk.refused() == 1
        # A round that began in the past ends there; the next one knows better.
        await desk.pull()
        assert desk.gaps() == []
        desk.check_truth()

    desk_run(tmp_path, COINBASE_BOT, body, days_ns=DAY_NS)


def test_a_widened_key_is_refused_before_anything_is_pulled(tmp_path: Path) -> None:
    plan = FaultPlan(3)

    async def body(desk: Desk) -> None:
        plan.arm("key_widened")
        with pytest.raises(KeyRefusedError, match="may can_trade"):
            await desk.attach()
        assert desk.asked().keys() == {"time", "key_permissions"}

    desk_run(tmp_path, COINBASE_BOT, body, days_ns=DAY_NS, plan=plan)


def test_a_crowded_millisecond_is_walked_by_its_cursor(tmp_path: Path) -> None:
    plan = FaultPlan(4, ["crowded_millisecond"], often={"crowded_millisecond": 400})

    async def body(desk: Desk) -> None:
        await desk.attach()
        assert all(brought.fault is None for brought in (await desk.pull()).values())
        desk.check_truth()
        assert plan.injected["crowded_millisecond"] > 0

    desk_run(tmp_path, PERPS, body, days_ns=DAY_NS // 2, plan=plan, page_rows=13)


def test_what_undoes_an_old_fill_is_found_by_the_daily_round(tmp_path: Path) -> None:
    """A reversal may come under the time of the fill it undoes, long behind the cursor."""
    plan = FaultPlan(6, ["correction"], often={"correction": 700})

    async def body(desk: Desk) -> None:
        await desk.attach()
        await desk.pull()
        told = desk.world.desk(desk.who).corrections
        for _ in range(300):
            known = len(told)
            desk.clock.step(10 * MINUTE_NS)
            await desk.pagers["fills"].pull()
            if len(told) > known and desk.rows() != desk.true_rows():
                break
        else:
            raise AssertionError("every reversal came under a time that is read again anyway")
        await desk.pull(deep=True)
        desk.check_truth()
        assert "correction-without-target" not in desk.findings()

    desk_run(tmp_path, COINBASE_BOT, body, days_ns=DAY_NS, plan=plan)


# -- one claim, wherever it was read -------------------------------------------------------------


def saved(desk: Desk, folder: Path, history: str) -> list[Path]:
    """The pages of a history as somebody else would save them."""
    paths: list[Path] = []
    cursor = ""
    while cursor or not paths:
        asked = [("cursor", cursor)] if cursor else []
        ask = ask_of(f"orders/historical/{history}", asked)
        signed = CoinbaseSigner(CREDENTIALS).sign(ask, desk.venue.base_url, desk.clock.now_ns())
        url = f"{desk.venue.base_url}{ask.path}"
        answer = httpx.get(url, params=[*signed.query], headers=dict(signed.headers))
        paths.append(folder / f"{history}-{len(paths)}.json")
        paths[-1].write_text(answer.text)
        cursor = answer.json()["cursor"]
    return paths


def test_a_file_imported_first_leaves_nothing_new_to_attach(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        paths = [path for name in ("fills", "batch") for path in saved(desk, tmp_path, name)]
        options = ReadOptions(account=desk.who)
        with (
            Journal.create(tmp_path / "alone.db") as journal,
            MarkStore(tmp_path / "alone.marks") as marks,
        ):
            import_paths(journal, marks, paths, options)
            alone = why(load(journal, marks, Settings()), Query(instruments=("BTC-USD",)))
        import_paths(desk.journal, desk.marks, paths, options)
        await desk.attach()
        brought = await desk.pull()
        assert (brought["fills"].new, brought["fills"].conflicts) == (0, 0)
        assert (brought["orders"].new, brought["orders"].conflicts) == (0, 0)
        both = load(desk.journal, desk.marks, Settings())
        told = why(both, Query(instruments=("BTC-USD",)))
        assert told.n_fills == alone.n_fills
        assert told.currencies["USD"].realized == alone.currencies["USD"].realized
        assert not {"sources-disagree", "claims-conflict"} & {f.code for f in both.findings}
        desk.check_truth()

    desk_run(tmp_path, COINBASE_BOT, body, days_ns=DAY_NS)


# -- now: positions, marks, nudges ---------------------------------------------------------------


@pytest.mark.parametrize("who", [COINBASE_BOT, PERPS])
def test_positions_cost_one_read(tmp_path: Path, who: str) -> None:
    async def body(desk: Desk) -> None:
        await desk.attach()
        seen = set()
        for _ in range(30):
            desk.clock.step(HOUR_NS)
            before = desk.asked()
            snapshot = await desk.account.positions(desk.clock.now_ns())
            asked = desk.asked() - before
            assert sum(asked[name] for name in asked if "positions" in name) == 1
            drafts = [draft for row in snapshot.rows for draft in row.drafts]
            reports = [d.fact for d in drafts if isinstance(d.fact, Report)]  # type: ignore[union-attr]
            held = [p for p in desk.world.positions(desk.who) if p.market.contract == "linear"]
            assert {(r.instrument, r.qty, r.px) for r in reports if r.what == "position"} == {
                (p.market.symbol, p.qty, desk.world.mark(p.market)) for p in held
            }
            seen |= {p.qty > 0 for p in held}
        assert seen == {True, False}

    desk_run(tmp_path, who, body, days_ns=HOUR_NS)


@asynccontextmanager
async def going_on(desk: Desk, seconds: int = 3) -> AsyncIterator[None]:
    """Let the world go on meanwhile, so many seconds at a time."""

    async def go_on() -> None:
        while True:
            await asyncio.sleep(0.01)
            desk.clock.step(seconds * SECOND_NS)

    going = asyncio.ensure_future(go_on())
    try:
        async with asyncio.timeout(60):
            yield
    finally:
        going.cancel()


async def nudges_until(desk: Desk, enough: Callable[[list[Nudge]], bool]) -> list[Nudge]:
    """Listen until that is enough."""
    heard: list[Nudge] = []
    async with aclosing(desk.account.trigger()) as nudges:  # type: ignore[type-var]
        async for nudge in nudges:
            heard.append(nudge)
            if enough(heard):
                break
    return heard


def test_an_order_that_fills_asks_for_the_fills_and_brings_them(tmp_path: Path) -> None:
    def enough(heard: list[Nudge]) -> bool:
        return any("fills" in nudge.streams for nudge in heard)

    async def body(desk: Desk) -> None:
        async with going_on(desk):
            await desk.attach()
            await desk.pull()
            desk.clock.step_to(next_fill_ns(desk) - 30 * SECOND_NS)
            heard = await nudges_until(desk, enough)
            assert heard[0] == Nudge(why="websocket connected")
            assert all(set(nudge.streams) <= {"fills", "orders", "orders/named"} for nudge in heard)
            brought = await desk.pagers["fills"].pull()
            assert brought.fault is None and brought.new > 0
        await desk.pagers["fills"].pull()
        desk.check_truth()

    desk_run(tmp_path, COINBASE_BOT, body, days_ns=DAY_NS, strides=False)


def next_fill_ns(desk: Desk) -> int:
    """Return when the next execution will be, from a world of the same seed that is ahead."""
    ahead = LiveWorld(desk.world.seed, accounts=[desk.who])
    ahead.advance_to(desk.clock.now_ns() + DAY_NS)
    now_ms = desk.clock.now_ns() // MS
    return next(f.ts_ms for f in ahead.fills(desk.who) if f.ts_ms > now_ms + 60_000) * MS


def test_a_number_that_is_missing_asks_for_everything(tmp_path: Path) -> None:
    plan = FaultPlan(5)

    def enough(heard: list[Nudge]) -> bool:
        plan.arm("ws_sequence_jump", 1 - plan.injected["ws_sequence_jump"])
        return any(nudge.why == "messages are missing" for nudge in heard)

    async def body(desk: Desk) -> None:
        async with going_on(desk):
            await desk.attach()
            await desk.pull()
            desk.clock.step_to(next_fill_ns(desk) - 30 * SECOND_NS)
            heard = await nudges_until(desk, enough)
        assert [nudge.streams for nudge in heard if nudge.why == "messages are missing"] == [()]

    desk_run(tmp_path, COINBASE_BOT, body, days_ns=DAY_NS, plan=plan, strides=False)


def test_whatever_befalls_the_stream_it_goes_on_asking(tmp_path: Path) -> None:
    names = {f.name for f in FAULTS if f.family == "ws"} & CoinbaseServer.capable
    plan = FaultPlan(9)
    struck: list[int] = []

    def enough(heard: list[Nudge]) -> bool:
        if not struck and names <= plan.injected.keys():
            struck.append(len(heard))
        # It is still heard, on a connection that nothing befalls any more.
        return bool(struck) and any("fills" in nudge.streams for nudge in heard[struck[0] :])

    async def body(desk: Desk) -> None:
        async with going_on(desk, seconds=6):
            await desk.attach()
            await desk.pull()
            for name in names:
                plan.arm(name)
            heard = await nudges_until(desk, enough)
            # Silent and broken connections were left for new ones.
            assert heard.count(Nudge(why="websocket connected")) > 2
            await desk.pull()
        await desk.pull()
        desk.check_truth()

    desk_run(tmp_path, COINBASE_BOT, body, days_ns=DAY_NS, plan=plan, strides=False)


# -- limits --------------------------------------------------------------------------------------


def test_a_fifth_of_the_limit_is_never_exceeded(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        await desk.attach()
        # A pull takes its time at this share, and the world goes on meanwhile.
        for _ in range(5):
            await desk.pull()
            if desk.rows() == desk.true_rows():
                break
        desk.check_truth()
        times = [seen.ts_ns for seen in desk.venue.seen]
        for nth, ts_ns in enumerate(times):
            assert sum(ts_ns <= later < ts_ns + HOUR_NS for later in times[nth:]) <= 2_000
        assert desk.venue.limiter.most_used <= 6
        (use,) = desk.account.usage()
        assert (use.limit, use.allowance) == (25, 5)

    desk_run(tmp_path, COINBASE_BOT, body, days_ns=DAY_NS, share="0.2", page_rows=10)
