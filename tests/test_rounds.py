"""Whose turn it is: one stream after the other at first, a few at a time then, deep once a day."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from fillbook.ground.clock import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS
from fillbook.monitor.rounds import AT_ONCE, FIRST_DEEP_NS, Rounds
from fillbook.sources.stream import Answer, Ask
from loopback import Reply
from test_pager import NOW_MS, NOW_NS, Desk, many, run
from toy_venue import MS, ByTime, ToyVenue, fill

COINS = ("BTC", "ETH", "SOL", "ADA", "XRP")
PATIENCE_S = 60.0


class OfCoin(ByTime):
    """The fills of one coin as a stream of its own."""

    def __init__(self, coin: str, every_ns: int, page: int = 50) -> None:
        super().__init__(page=page)
        self.every_ns = every_ns
        self.name = f"trades/{coin}"
        self.instrument = coin

    def ask(self, cursor: str, now_ns: int) -> Ask:
        plain = super().ask(cursor, now_ns)
        body = json.dumps({**json.loads(plain.body), "coin": self.instrument})
        return msgspec.structs.replace(plain, body=body)


class Watched:
    """Rounds over a toy venue; knows which streams are being read right now."""

    def __init__(
        self,
        desk: Desk,
        coins: tuple[str, ...] = COINS,
        every_ns: int = 30 * SECOND_NS,
        page: int = 50,
    ) -> None:
        self.rounds = Rounds(desk.pace, every_ns, lambda: None)
        self.active: Counter[str] = Counter()
        self.most = 0
        self.order: list[str] = []
        self.since: list[tuple[int, int]] = []
        self.hold: Callable[[], Awaitable[None]] = self._go_on
        read = desk.account.read

        async def watched(ask: Ask, *, background: bool = False) -> Answer:
            coin = str(json.loads(ask.body)["coin"])
            self.active[coin] += 1
            self.order.append(coin)
            self.since.append((desk.pace.ticks_ns(), int(json.loads(ask.body)["startTime"]) * MS))
            self.most = max(self.most, self.active.total())
            assert self.active[coin] == 1, "one stream is never pulled twice at a time"
            if self.rounds.is_arriving:
                assert self.active.total() == 1, "history comes one stream after the other"
            try:
                await self.hold()
                return await read(ask, background=background)
            finally:
                self.active[coin] -= 1

        desk.account.read = watched  # type: ignore[method-assign]
        self.rounds.add(desk.pager(OfCoin(coin, every_ns, page)) for coin in coins)

    def deep(self) -> list[int]:
        """Return when days were read again, on the clock of durations."""
        return [at for at, since_ns in self.since if since_ns < NOW_NS + at - 2 * DAY_NS]

    def read_since(self, begun: int) -> list[tuple[str, bool]]:
        """Return what was read since then, and whether it lay days back."""
        read = zip(self.order[begun:], self.since[begun:], strict=True)
        return [(coin, since_ns < NOW_NS - DAY_NS) for coin, (_, since_ns) in read]

    async def _go_on(self) -> None:
        await asyncio.sleep(0)

    async def until(self, done: Callable[[], bool]) -> None:
        """Let everybody work until something is true."""
        workers = [asyncio.create_task(self.rounds.work()) for _ in range(AT_ONCE)]

        async def waiting() -> None:
            while not done():
                for worker in workers:
                    if worker.done():
                        worker.result()
                await asyncio.sleep(0.001)

        try:
            await asyncio.wait_for(waiting(), PATIENCE_S)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)


def states(rounds: Rounds) -> set[str]:
    return {pager.health.state for pager in rounds.pagers.values()}


def rows() -> list[dict[str, Any]]:
    return [fill(NOW_MS - 3_600_000 + n * 1000, n + 1, COINS[n % 5]) for n in range(20)]


def test_streams_come_one_by_one_at_first_and_beside_each_other_then(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        watched = Watched(desk)
        await watched.until(lambda: not watched.rounds.is_arriving)
        assert states(watched.rounds) == {"running"}
        assert watched.order[:5] == list(COINS)
        assert desk.tids() == list(range(1, 21))

        together = asyncio.Event()

        async def hold() -> None:
            if watched.active.total() == AT_ONCE:
                together.set()
            await together.wait()

        watched.hold = hold
        watched.rounds.nudge(())
        await watched.until(together.is_set)
        assert watched.most == AT_ONCE

    run(tmp_path, ToyVenue(rows(), page=50), body)


def test_a_stream_that_hangs_does_not_hold_up_the_others(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        watched = Watched(desk)
        await watched.until(lambda: not watched.rounds.is_arriving)
        hanging = asyncio.Event()

        async def hold() -> None:
            if watched.order[-1] == "BTC":
                await hanging.wait()

        watched.hold = hold
        desk.venue.rows += [fill(NOW_MS + 1, 101, "BTC"), fill(NOW_MS + 1, 103, "XRP")]
        desk.pace.elapsed_ns += HOUR_NS
        watched.rounds.nudge(("trades/BTC",))
        await watched.until(lambda: 103 in desk.tids())
        assert 101 not in desk.tids()
        hanging.set()

    run(tmp_path, ToyVenue(rows(), page=50), body)


def test_what_is_nudged_all_the_time_does_not_starve_what_is_due(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        watched = Watched(desk, ("BTC", "ETH"))
        await watched.until(lambda: not watched.rounds.is_arriving)

        async def hold() -> None:
            watched.rounds.nudge(("trades/BTC",))
            desk.pace.elapsed_ns += SECOND_NS

        watched.hold = hold
        begun = len(watched.order)
        await watched.until(lambda: "ETH" in watched.order[begun:])
        assert len(watched.order) - begun < 120, "every stream has its turn within two minutes"

    run(tmp_path, ToyVenue(rows(), page=50), body)


def test_late_rows_are_read_soon_after_the_start_and_once_a_day(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        watched = Watched(desk, ("BTC",), every_ns=10 * MINUTE_NS)
        (pager,) = watched.rounds.pagers.values()
        await watched.until(lambda: pager.health.state == "running")
        # Older than what every round reads again.
        desk.venue.rows.append(fill(NOW_MS - 3 * 24 * 3_600_000, 1001, "BTC"))
        watched.since.clear()
        await watched.until(lambda: len(watched.deep()) >= 3)
        first_ns, second_ns, third_ns = watched.deep()[:3]
        assert FIRST_DEEP_NS <= first_ns < FIRST_DEEP_NS + HOUR_NS
        assert DAY_NS <= second_ns - first_ns < DAY_NS + HOUR_NS
        assert DAY_NS <= third_ns - second_ns < DAY_NS + HOUR_NS
        assert 1001 in desk.tids()

    run(tmp_path, ToyVenue(many(3), page=50), body)


def test_a_backfill_reads_only_what_could_explain_the_difference(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        watched = Watched(desk)
        await watched.until(lambda: not watched.rounds.is_arriving)
        desk.venue.rows.append(fill(NOW_MS - 3 * 24 * 3_600_000, 1001, "SOL"))
        for components, instrument, deep, read in (
            (("charges",), None, True, []),
            (("fills",), "ETH", True, ["ETH"]),
            (("fills", "charges"), "SOL", False, ["SOL"]),
        ):
            begun = len(watched.order)
            await watched.rounds.backfill(components, instrument, deep=deep)  # type: ignore[arg-type]
            assert watched.order[begun:] == read
        assert 1001 not in desk.tids(), "three days back is not read every time"
        assert await watched.rounds.backfill(("fills",), "SOL", deep=True)
        assert 1001 in desk.tids()
        desk.venue.before = lambda seen: Reply("down", status=503)
        assert not await watched.rounds.backfill(("fills",), "SOL", deep=True)

    run(tmp_path, ToyVenue(rows(), page=50), body)


def test_a_long_deep_pull_holds_up_neither_the_other_streams_nor_the_account(
    tmp_path: Path,
) -> None:
    async def body(desk: Desk) -> None:
        watched = Watched(desk, ("BTC", "ETH", "SOL"), page=4)
        btc = watched.rounds.pagers["trades/BTC"]
        await watched.until(lambda: not watched.rounds.is_arriving)
        desk.venue.rows += [fill(NOW_MS + n, 101 + 2 * n, coin) for n, coin in enumerate(COINS[:3])]
        pages, go_on = 0, asyncio.Event()

        async def hold() -> None:
            nonlocal pages
            is_btc = watched.order[-1] == "BTC"
            pages += is_btc
            if is_btc and pages >= 3:
                await go_on.wait()

        watched.hold = hold
        begun = len(watched.order)
        desk.pace.elapsed_ns += FIRST_DEEP_NS

        def is_beside() -> bool:
            """Say that the others go on while the days of one stream are read again."""
            if pages < 3 or not {103, 105} <= set(desk.tids()):
                return False
            assert 101 not in desk.tids(), "it has not got that far"
            assert btc.health.state == "catching up"
            assert not watched.rounds.is_arriving, "what is read again is here already"
            assert not watched.rounds.is_catching_up
            desk.pace.elapsed_ns += MINUTE_NS
            assert "trades/BTC" not in watched.rounds.overdue()
            assert {c for c, is_deep in watched.read_since(begun) if is_deep} == {"BTC"}
            return watched.order[begun:].count("ETH") >= 20

        await watched.until(is_beside)
        go_on.set()
        await watched.until(
            lambda: {c for c, is_deep in watched.read_since(begun) if is_deep} == set(COINS[:3])
        )
        await watched.until(lambda: {101, 103, 105} <= set(desk.tids()))

    early = [fill(NOW_MS - 5 * 24 * 3_600_000 + n, 501 + 2 * n, "BTC") for n in range(20)]
    run(tmp_path, ToyVenue([*early, *rows()], page=4), body)
