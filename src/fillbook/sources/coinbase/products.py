"""The contracts of a Coinbase account as a stream: what each is, and its last price.

A fill of a contract does not tell how large the contract is; its product does. Spot products
need none of this. Nothing here happened in the account, so nothing is promised about coverage.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec

from fillbook.facts.model import Component
from fillbook.ground.clock import MINUTE_NS
from fillbook.sources.coinbase.asks import MOST_PRODUCTS, answered, ask_of
from fillbook.sources.coinbase.fills import is_contract
from fillbook.sources.coinbase.rows import PRODUCTS, RowContext, drafts_of
from fillbook.sources.coinbase.state import last_of
from fillbook.sources.files.records import parse_object
from fillbook.sources.source import RowError
from fillbook.sources.stream import Answer, Ask, PulledPage, PulledRow


class _Products(msgspec.Struct):
    products: list[msgspec.Raw]


class _Place(msgspec.Struct, frozen=True):
    """A cursor: the products still to be asked for in this round."""

    names: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the cursor as the journal keeps it."""
        return msgspec.json.encode(self).decode()


class ProductsStream:
    """Every contract that `named` returns, a hundred at a time, in order of their names."""

    name = "products"
    source = PRODUCTS
    components: tuple[Component, ...] = ()
    instrument: str | None = None
    every_ns = MINUTE_NS
    overlap_ns = 0
    deep_ns = 0

    def __init__(self, account: str, named: Callable[[], Collection[str]]) -> None:
        self.context = RowContext(account).text()
        self._account = account
        self._named = named

    def begin(self, cursor: str | None, now_ns: int, overlap_ns: int) -> str:
        """Return a cursor before every contract there is now."""
        return _Place(tuple(sorted(filter(is_contract, self._named())))).text()

    def ask(self, cursor: str, now_ns: int) -> Ask:
        """Return the read of the next products; of the time alone while there are no contracts."""
        names = _names_in(cursor)[:MOST_PRODUCTS]
        if not names:
            return ask_of("time", auth="none")
        # Contracts that have expired are told only when everything is asked for.
        query = [*(("product_ids", name) for name in names), ("get_all_products", "true")]
        return ask_of("products", query)

    def parse(self, answer: Answer, cursor: str) -> PulledPage:
        """Parse products; the last price of each is a mark."""
        names = _names_in(cursor)
        rows: list[PulledRow] = []
        if names:
            items = answered(answer, _Products).products
            rows = [self._row(bytes(item).decode(), answer.asked_ns) for item in items]
        rest = names[MOST_PRODUCTS:]
        return PulledPage(rows=tuple(rows), next_cursor=_Place(rest).text(), more=bool(rest))

    def narrow(self, cursor: str) -> str | None:
        """Return None: products never crowd."""
        return None

    def _row(self, raw: str, at_ns: int) -> PulledRow:
        try:
            row = parse_object(raw)
            drafts = drafts_of(PRODUCTS, row, self._account)
            mark = last_of(row, at_ns, PRODUCTS)
        except RowError as fault:
            return PulledRow(raw=raw, fault=fault)
        return PulledRow(raw=raw, drafts=(*drafts, *([] if mark is None else [mark])))


def _names_in(cursor: str) -> tuple[str, ...]:
    return msgspec.json.decode(cursor, type=_Place).names
