"""Brings fees and funding into a desk's book, from where the last fetch stopped."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from fillbook.desks.telemetry.book import OpenBook
from fillbook.desks.telemetry.costs import (
    COMMISSION,
    FIRST_FETCH_NS,
    FUNDING_FEE,
    IncomeRow,
    IncomeSource,
    income_batch,
    income_claims,
    to_ms,
)
from fillbook.ground.clock import HOUR_NS

# Funding rows come minutes after their instant.
_OVERLAP_NS = HOUR_NS


class Ask(Protocol):
    """Runs work in the book's thread and waits for it."""

    def __call__(self, work: Callable[[OpenBook], Any]) -> Awaitable[Any]:
        """Return what the work returns."""
        ...


class CostFetch:
    """One fetch of COMMISSION and FUNDING_FEE rows into the book."""

    def __init__(self, income: IncomeSource, account: str, ask: Ask) -> None:
        self._income = income
        self._account = account
        self._ask = ask

    async def run(self, since_ns: int | None, until_ns: int) -> list[str]:
        """Read since the last fetch, or since an instant; returns rows that cannot be read.

        The rows and where the next fetch begins are written together.
        """
        batch = income_batch(self._account)
        resume = await self._ask(lambda book: book.begin(batch))
        if since_ns is None:
            since_ns = until_ns - FIRST_FETCH_NS
            if resume.cursor:
                since_ns = int(resume.cursor) - _OVERLAP_NS
        rows: list[IncomeRow] = []
        for kind in (COMMISSION, FUNDING_FEE):
            rows += await self._income.rows(kind, None, to_ms(since_ns), to_ms(until_ns))
        claims, refused = income_claims(rows, self._account)
        await self._ask(lambda book: book.append(batch, claims, str(until_ns)))
        return [f"income: {line}" for line in refused]
