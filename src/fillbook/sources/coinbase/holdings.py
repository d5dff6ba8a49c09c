"""What a Coinbase portfolio holds now: one read for all positions, one for all spot prices.

A portfolio of perpetuals (INTX) is asked for those, any other for its futures (CFM); many have
none, and the venue may refuse the question then. Spot coins are no positions here: what lies in a
wallet was not all traded.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

import msgspec

from fillbook.ground.clock import DAY_NS, HOUR_NS
from fillbook.marks.series import Mark
from fillbook.sources.coinbase.asks import MOST_PRODUCTS, answered, ask_of
from fillbook.sources.coinbase.fills import VENUE, is_contract
from fillbook.sources.coinbase.rows import ORDERS, RowContext, drafts_of
from fillbook.sources.coinbase.state import mid_of, timed_text
from fillbook.sources.faults import BrokenAnswerError, KeyRefusedError, RefusedError
from fillbook.sources.files.records import parse_object
from fillbook.sources.source import RowError
from fillbook.sources.stream import Answer, Ask, PulledRow, Snapshot

Read = Callable[[Ask], Awaitable[Answer]]
MARKS = "coinbase-marks"
INTX = "INTX"
_LOOK_AGAIN_NS = HOUR_NS


class _Positions(msgspec.Struct):
    positions: list[msgspec.Raw]


class _Books(msgspec.Struct):
    pricebooks: list[msgspec.Raw]


class Holdings:
    """Asks for positions and prices of one portfolio. `note` is told every product held."""

    def __init__(self, read: Read, note: Callable[[str], None]) -> None:
        self.account = ""
        self.kind = ""
        """The venue's word for the portfolio (DEFAULT, CONSUMER, INTX)."""
        self._read = read
        self._note = note
        self._has_futures = False
        self._refused_ns: int | None = None
        self._in_vain: dict[str, int] = {}

    async def snapshot(self, products: Collection[str], now_ns: int) -> Snapshot:
        """Return every open position, and the middle price of the spot among these products.

        A portfolio that has traded a contract has futures, whoever saw that.
        """
        name = "intx" if self.kind == INTX else "cfm"
        self._has_futures |= any("-" in name and is_contract(name) for name in products)
        answer = await self._positions(now_ns)
        rows: list[PulledRow] = []
        if answer is not None:
            for item in answered(answer, _Positions).positions:
                row = self._row(timed_text(answer.asked_ns, name, item))
                if row is not None:
                    rows.append(row)
        marks = await self.mids(products, now_ns)
        return Snapshot(
            source=ORDERS,
            context=RowContext(self.account).text(),
            asked_ns=now_ns if answer is None else answer.asked_ns,
            told_ns=now_ns if answer is None else answer.told_ns,
            rows=tuple(rows),
            marks=tuple(marks),
            listed=frozenset(filter(self._lists, products)) if answer is not None else frozenset(),
        )

    def _lists(self, product: str) -> bool:
        """Say whether an open position in a product stands among this portfolio's answers."""
        return is_contract(product) and product.endswith(f"-{INTX}") == (self.kind == INTX)

    async def mids(self, products: Collection[str], now_ns: int) -> list[Mark]:
        """Return the middle of best bid and ask of spot products, a hundred at a time.

        One that the venue does not have any more is left out for a day.
        """
        names = sorted(
            name
            for name in products
            if not is_contract(name) and now_ns >= self._in_vain.get(name, 0)
        )
        marks: list[Mark] = []
        for start in range(0, len(names), MOST_PRODUCTS):
            marks += await self._mids(names[start : start + MOST_PRODUCTS], now_ns)
        return marks

    async def _mids(self, names: list[str], now_ns: int) -> list[Mark]:
        query = [("product_ids", name) for name in names]
        try:
            return self._mids_in(await self._read(ask_of("best_bid_ask", query)))
        except RefusedError:
            if len(names) == 1:
                self._in_vain[names[0]] = now_ns + DAY_NS
                return []
        half = len(names) // 2
        return [*await self._mids(names[:half], now_ns), *await self._mids(names[half:], now_ns)]

    async def _positions(self, now_ns: int) -> Answer | None:
        """Return the answer about positions; None from a portfolio that has no futures."""
        if self.kind == INTX:
            return await self._read(ask_of(f"intx/positions/{self.account}", name="intx/positions"))
        if self._refused_ns is not None and now_ns - self._refused_ns < _LOOK_AGAIN_NS:
            return None
        try:
            answer = await self._read(ask_of("cfm/positions"))
        except (RefusedError, KeyRefusedError):
            # An account that never had futures is refused, and so is one whose key is gone: only
            # where futures were never seen may the refusal mean that there are none.
            if self._has_futures:
                raise
            self._refused_ns = now_ns
            return None
        self._refused_ns = None
        return answer

    def _row(self, text: str) -> PulledRow | None:
        """Return the row of an open position, None where nothing is open."""
        try:
            drafts = drafts_of(ORDERS, parse_object(text), self.account)
        except RowError as fault:
            raise BrokenAnswerError(
                f"a position cannot be read: {fault.field or 'it'} {fault.reason}",
                VENUE,
                "if it stays, a newer Fillbook may be needed",
            ) from None
        self._has_futures = True
        for draft in drafts:
            self._note(str(getattr(draft.fact, "instrument", "")))
        if not any(getattr(draft.fact, "qty", None) for draft in drafts):
            return None
        return PulledRow(raw=text, drafts=tuple(drafts))

    def _mids_in(self, answer: Answer) -> list[Mark]:
        marks: list[Mark] = []
        for item in answered(answer, _Books).pricebooks:
            try:
                mark = mid_of(parse_object(bytes(item)), MARKS)
            except RowError:
                continue  # a price nobody can read is none; the next look brings another
            if mark is not None:
                marks.append(mark)
        return marks
