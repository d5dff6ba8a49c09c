"""The share of a venue's rate limit is kept, and a venue that limits us is left alone."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillbook.ground.clock import MINUTE_NS, SECOND_NS
from fillbook.sources.budget import Budget, Limit
from fillbook.sources.faults import (
    RateLimitedError,
)
from fillbook.sources.stream import Ask
from loopback import Loopback, Reply, Seen, TestPace
from transport_runs import FILLS, Spoken, fields_of, read_once, run, transport_to


def test_the_share_is_kept_in_every_window_and_the_true_cost_counts() -> None:
    pace = TestPace()
    sent: list[int] = []

    def script(request: Seen) -> Reply:
        sent.append(pace.elapsed_ns)
        return Reply()

    async def body(server: Loopback) -> None:
        # 20 % of 100 is 20 a minute; each read costs 2 although it could cost 20.
        transport = transport_to(server, pace, limit=100, manners=Spoken())
        for _ in range(35):
            await transport.read(FILLS)
        await transport.close()

    run(script, body)
    for start in sent:
        within = [at for at in sent if start <= at < start + MINUTE_NS]
        assert 2 * len(within) <= 20
    assert sent[-1] >= 2 * MINUTE_NS


@given(
    st.lists(
        st.tuples(st.integers(1, 60), st.integers(0, 40 * SECOND_NS), st.booleans()),
        min_size=1,
        max_size=60,
    ),
    st.sampled_from(["0.05", "0.2", "0.5"]),
)
def test_no_window_holds_more_than_the_allowance(
    reads: list[tuple[int, int, bool]], share: str
) -> None:
    pace = TestPace()
    budget = Budget("x", Limit(weight=400), Decimal(share), pace)
    taken: list[tuple[int, int, bool]] = []

    async def spend() -> None:
        for weight, later_ns, background in reads:
            pace.elapsed_ns += later_ns
            await budget.take(weight, background=background)
            taken.append((pace.elapsed_ns, weight, background))

    asyncio.run(spend())
    allowed = int(400 * Decimal(share))
    for place, (at, weight, background) in enumerate(taken):
        # What was taken up to and with this read; a live read may follow in the same instant.
        window = [w for when, w, _ in taken[: place + 1] if at - MINUTE_NS < when]
        limit = allowed * 3 // 4 if background else allowed
        # A read too heavy for the allowance goes alone.
        assert sum(window) <= max(limit, weight)


def test_a_read_heavier_than_the_allowance_is_followed_by_silence() -> None:
    pace = TestPace()
    budget = Budget("x", Limit(weight=100), Decimal("0.2"), pace)

    async def spend() -> None:
        await budget.take(70)
        await budget.take(1)

    asyncio.run(spend())
    assert pace.elapsed_ns == 4 * MINUTE_NS


def test_the_bot_comes_first_when_the_venue_says_that_much_is_used() -> None:
    pace = TestPace()
    used = iter(["84", "10"])

    async def body(server: Loopback) -> None:
        transport = transport_to(server, pace, limit=100, manners=Spoken())
        light = Ask(**{**fields_of(FILLS), "weight": 2})
        await transport.read(light)
        assert transport.budget.use().seen == 84
        await transport.read(light)
        assert pace.elapsed_ns == MINUTE_NS
        await transport.close()

    run(lambda seen: Reply(headers={"x-used": next(used)}), body)


@pytest.mark.parametrize(("after", "least_s"), [("7", 7), (None, 5)])
def test_a_429_is_waited_out(after: str | None, least_s: int) -> None:
    pace = TestPace()
    headers = {} if after is None else {"Retry-After": after}
    replies = iter([Reply(status=429, headers=headers), Reply("[]")])
    assert read_once(lambda seen: next(replies), pace=pace).text == "[]"
    assert least_s * SECOND_NS <= pace.elapsed_ns <= (least_s + 2) * SECOND_NS


def test_nothing_is_sent_during_a_ban_and_whoever_asks_is_told_at_once() -> None:
    pace = TestPace()

    async def body(server: Loopback) -> None:
        transport = transport_to(server, pace)
        for _ in range(3):
            with pytest.raises(RateLimitedError) as caught:
                await transport.read(FILLS)
            assert (caught.value.retry_after_ns or 0) > 0
        assert len(server.seen) == 1
        use = transport.budget.use()
        assert (use.limited_count, use.banned_count) == (1, 1)
        assert use.paused_ns >= 590 * SECOND_NS
        pace.elapsed_ns += 602 * SECOND_NS
        assert (await transport.read(FILLS)).text == "[]"
        await transport.close()

    replies = iter([Reply(status=418, headers={"Retry-After": "600"}), Reply("[]")])
    run(lambda seen: next(replies), body)


def test_limits_without_a_stated_time_double_the_pause() -> None:
    pace = TestPace()
    budget = Budget("x", Limit(weight=100), Decimal("0.2"), pace)
    pauses = []
    for _ in range(9):
        budget.limited(RateLimitedError("slow down"))
        pauses.append(budget.use().paused_ns // SECOND_NS)
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 600, 600]
    budget.succeeded(None)
    pace.elapsed_ns += 11 * MINUTE_NS
    budget.limited(RateLimitedError("slow down"))
    assert budget.use().paused_ns // SECOND_NS == 5


def test_background_reads_leave_room_for_live_ones() -> None:
    pace = TestPace()
    budget = Budget("x", Limit(weight=100), Decimal("0.2"), pace)

    async def spend() -> None:
        for _ in range(15):
            await budget.take(1, background=True)
        filling = asyncio.create_task(budget.take(1, background=True))
        await budget.take(5)
        assert pace.elapsed_ns == 0
        await filling

    asyncio.run(spend())
    assert pace.elapsed_ns >= MINUTE_NS
