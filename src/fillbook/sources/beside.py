"""Long work in a thread, so that whatever else waits on the event loop goes on meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# A page of so many rows or characters takes a few milliseconds.
LONG_ROWS = 100
LONG_TEXT = 32_000


async def beside(work: Callable[[], T], *, is_long: bool) -> T:
    """Do some work and return what it returns: at once, or in a thread when it is long.

    Cancelled, a thread goes on to its end, and nobody takes its result.
    """
    return await asyncio.to_thread(work) if is_long else work()
