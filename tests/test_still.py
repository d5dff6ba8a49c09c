"""While a monitor runs, what its book holds is no concern of the search for garbage."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
from collections.abc import Callable

from fillbook.monitor.still import keep_still


async def aside_when(rows: Callable[[], int], grown: Callable[[], bool]) -> list[int]:
    """Return how much was set aside, at first and once something has happened."""
    still = asyncio.create_task(keep_still(rows))
    while not gc.get_freeze_count():
        await asyncio.sleep(0.01)
    aside = [gc.get_freeze_count()]
    while not grown():
        await asyncio.sleep(0.05)
    aside.append(gc.get_freeze_count())
    assert sys.getswitchinterval() < 0.004
    still.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await still
    return aside


def test_what_has_grown_is_set_aside_and_given_back_at_the_end() -> None:
    usual_s, looks = sys.getswitchinterval(), [0]
    held: list[list[int]] = []

    def rows() -> int:
        looks[0] += 1
        if looks[0] == 3:
            held.extend([] for _ in range(20_000))
        return 2_000 if looks[0] < 3 else 4_000

    first, last = asyncio.run(aside_when(rows, lambda: looks[0] >= 4))
    assert last >= first + 19_000
    assert (gc.get_freeze_count(), sys.getswitchinterval()) == (0, usual_s)


def test_a_book_that_hardly_grows_is_left_as_it_is() -> None:
    held: list[list[int]] = []
    looks = [0]

    def rows() -> int:
        looks[0] += 1
        if looks[0] == 2:
            held.extend([] for _ in range(20_000))
        return 10_000 + looks[0]

    first, last = asyncio.run(aside_when(rows, lambda: looks[0] >= 3))
    assert 0 < last < first + len(held) // 2
