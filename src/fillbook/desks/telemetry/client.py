"""Calls the bot's own REST client: plain methods in a thread, coroutines awaited."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from fillbook.ground.errors import InputError

POSITION_METHODS = (
    "get_position_risk",
    "get_positions",
    "position_risk",
    "futures_position_information",
)


async def called(method: Callable[..., Any], **arguments: Any) -> Any:
    """Call a client's method without holding up the event loop, and return its answer."""
    if inspect.iscoroutinefunction(method):
        return await method(**arguments)
    answer = await asyncio.to_thread(method, **arguments)
    return await answer if inspect.isawaitable(answer) else answer


class PositionSource:
    """Asks a client for all its positions; one that has no method for it is asked nothing."""

    def __init__(self, client: object | None) -> None:
        found = (getattr(client, name, None) for name in POSITION_METHODS)
        self._ask = next((method for method in found if _needs_nothing(method)), None)

    async def rows(self) -> list[object] | None:
        """Return every position as the client prints it; None where it cannot be asked.

        InputError where its answer is no list: that is no proof that nothing is held.
        """
        if self._ask is None:
            return None
        answer = await called(self._ask)
        if not isinstance(answer, list | tuple):
            raise InputError(
                "the client's positions are no list", type(answer).__name__, "return a list"
            )
        return list(answer)


def _needs_nothing(method: object) -> bool:
    if not callable(method):
        return False
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    told = inspect.signature(method).parameters.values()
    return all(each.default is not each.empty or each.kind in optional for each in told)
