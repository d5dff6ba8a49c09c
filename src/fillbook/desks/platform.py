"""Asks a platform for its positions: anything with `get_portfolio_breakdown()`."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from typing import Any, Protocol

from fillbook.ground.errors import InputError, UsageError
from fillbook.sources.observed_rows import Positions, read_positions

_LISTS = ("futures_positions", "positions")


class Platform(Protocol):
    """What a platform has to offer; the method may be a coroutine function."""

    def get_portfolio_breakdown(self) -> Any:
        """Return a mapping with the list `futures_positions` (or `positions`)."""
        ...


def require_platform(platform: object) -> None:
    """Raise UsageError for what could never tell a position."""
    if not callable(getattr(platform, "get_portfolio_breakdown", None)):
        raise UsageError(
            f"{type(platform).__name__} is no platform: it has no get_portfolio_breakdown()",
            "TradeMonitor(platform=...)",
            "give an object whose get_portfolio_breakdown() returns a mapping with the list "
            "`futures_positions`; it may be a coroutine function",
        )


def ask_positions(platform: Platform) -> Positions:
    """Make the one call of a poll and read its positions.

    InputError where the answer holds no list of positions: an answer that does not speak of them
    is no proof that they are gone.
    """
    answer = platform.get_portfolio_breakdown()
    if inspect.isawaitable(answer):
        answer = asyncio.run(_wait_for(answer))
    return read_positions(_rows(answer))


async def _wait_for(answer: Any) -> Any:
    return await answer


def _rows(answer: object) -> list[Any]:
    if not isinstance(answer, Mapping) or answer.get("error"):
        raise _silent(answer)
    for name in _LISTS:
        rows = answer.get(name)
        if isinstance(rows, list | tuple):
            return list(rows)
    parts = answer.get("platform_breakdowns")
    if isinstance(parts, Mapping) and parts:
        return [row for part in parts.values() for row in _rows(part)]
    raise _silent(answer)


def _silent(answer: object) -> InputError:
    shown = sorted(map(str, answer)) if isinstance(answer, Mapping) else type(answer).__name__
    return InputError(
        "the platform's answer lists no positions",
        f"get_portfolio_breakdown() returned {shown}",
        "the positions count as still open; the next poll asks again",
    )
