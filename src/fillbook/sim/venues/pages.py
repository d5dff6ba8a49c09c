"""How a venue cuts its history into pages, and the ways in which pages lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import msgspec

from fillbook.sim.faults import FaultPlan
from fillbook.sim.prices import MINUTE_MS

Item = TypeVar("Item")
# Rows that are late appear this long after they happened.
_LATE_MS = (MINUTE_MS, 8 * MINUTE_MS)


class Shelf(msgspec.Struct, Generic[Item], frozen=True):
    """One history: its name, the identity of a row and when it happened."""

    name: str
    key: Callable[[Item], str]
    ts_ms: Callable[[Item], int]


class Pages:
    """Applies the paging faults of a plan to one venue's histories.

    `altered` names rows (`shelf:key`) that the venue tells otherwise, or never (None).
    """

    def __init__(self, plan: FaultPlan) -> None:
        self.altered: dict[str, object] = {}
        self._plan = plan
        self._last: dict[str, object] = {}

    def visible(self, shelf: Shelf[Item], rows: Sequence[Item], now_ms: int) -> list[Item]:
        """Return the rows that have appeared by now; a late one stays away for some minutes."""
        if self.altered:
            told = [self.altered.get(f"{shelf.name}:{shelf.key(row)}", row) for row in rows]
            rows = [row for row in told if row is not None]  # type: ignore[misc]
        if "late_row" not in self._plan.names:
            return list(rows)
        return [row for row in rows if now_ms >= self.appears_ms(shelf, row)]

    def appears_ms(self, shelf: Shelf[Item], row: Item) -> int:
        """Return when a row can first be read."""
        key = f"{shelf.name}:{shelf.key(row)}"
        if not self._plan.strikes_on("late_row", key):
            return shelf.ts_ms(row)
        return shelf.ts_ms(row) + self._plan.amount("late_row", key, *_LATE_MS)

    def first(self, shelf: Shelf[Item], rows: Sequence[Item], most: int) -> list[Item]:
        """Return a page of the first `most` rows, as the plan would have it.

        It may end between two rows of one millisecond, and begin with a row of the page before.
        """
        page = list(rows[:most])
        split = [
            nth
            for nth in range(1, len(page))
            if shelf.ts_ms(page[nth - 1]) == shelf.ts_ms(page[nth])
        ]
        if split and self._plan.strikes("split_millisecond", shelf.name):
            page = page[: split[-1]]
        before = self._last.get(shelf.name)
        if page:
            self._last[shelf.name] = page[-1]
        again = before is not None and before not in page
        if page and again and self._plan.strikes("duplicate_row", shelf.name):
            return [before, *page]  # type: ignore[list-item]
        return page
