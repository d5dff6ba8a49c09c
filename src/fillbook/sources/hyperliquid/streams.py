"""Hyperliquid's histories of time as streams: fills, funding, ledger updates.

Fills are never asked for aggregated: that merges rows and drops their ids. The slices of TWAP
orders are in the plain fills too, so their own history is not pulled.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from fillbook.facts.model import Component, Fill
from fillbook.ground.clock import DAY_NS, MINUTE_NS
from fillbook.sources.files.records import parse_object
from fillbook.sources.hyperliquid.asks import USUAL_WEIGHT, answered, ask_of
from fillbook.sources.hyperliquid.chain import Link, link_of
from fillbook.sources.hyperliquid.markets import Markets, dex_of
from fillbook.sources.hyperliquid.rows import SOURCE, ApiContext, drafts_of
from fillbook.sources.hyperliquid.walk import (
    MS_NS,
    SHORTEST_FULL_PAGE,
    Kind,
    Seen,
    advance,
    begin,
    read_walk,
)
from fillbook.sources.rows import Row
from fillbook.sources.source import Draft, Drafted, RowError
from fillbook.sources.stream import Answer, Ask, PulledPage, PulledRow

Behind = Callable[[int], None]

FILLS, FUNDING, LEDGER = "fills", "funding", "ledger"
HORIZON_ROWS = 10_000
FILLS_A_PAGE = 2_000
OTHERS_A_PAGE = 500
_OVERLAP_NS = 10 * MINUTE_NS
_DEEP_NS = 7 * DAY_NS
_HORIZON_GONE = (
    f"the venue keeps only the newest {HORIZON_ROWS:,} fills, and more happened since the last "
    "pull; the trade history exported from its web page may fill this: "
    "fillbook import trade_history.csv"
)
_GONE = "the venue no longer shows rows that it showed before"


class RowStream:
    """What all streams of an account share: rows that one reader reads."""

    source = SOURCE
    instrument = None
    overlap_ns = _OVERLAP_NS
    deep_ns = _DEEP_NS

    def __init__(self, account: str, markets: Markets) -> None:
        self._account = account
        self._markets = markets
        self._told = ApiContext(account=account)
        self.context = msgspec.json.encode(self._told).decode()

    def narrow(self, cursor: str) -> str | None:
        """Return None: this venue cannot be asked for less than an instant."""
        return None

    def pulled(self, raw: str) -> tuple[PulledRow, Row | None]:
        """Return one row parsed; what its market is made of is added to the text that is kept."""
        row: Row | None = None
        try:
            row = parse_object(raw)
            completed = self._markets.completed(raw, row)
            if completed is not None:
                raw, row = completed, parse_object(completed)
            drafts = drafts_of(row, self._told)
            return PulledRow(raw=raw, drafts=tuple(self._judged(draft) for draft in drafts)), row
        except RowError as fault:
            return PulledRow(raw=raw, fault=fault), row

    def _judged(self, draft: Draft) -> Drafted:
        """Leave out the description of a market that nobody has looked up yet."""
        described = draft.instrument
        if described is None or not described.symbol.startswith("@"):
            return draft
        return msgspec.structs.replace(draft, instrument=None)


class TimedStream(RowStream):
    """A history asked for by time; `kind` is the type of the request."""

    def __init__(
        self,
        account: str,
        markets: Markets,
        *,
        name: str,
        kind: str,
        components: tuple[Component, ...],
        every_ns: int,
        page: Kind,
        behind: Behind | None = None,
    ) -> None:
        super().__init__(account, markets)
        self.name = name
        self.components = components
        self.every_ns = every_ns
        self._kind = kind
        self._page = page
        self._behind = behind

    def begin(self, cursor: str | None, now_ns: int, overlap_ns: int) -> str:
        """Return the first cursor of a round; ValueError for a cursor of unknown form."""
        return begin(cursor, now_ns // MS_NS, overlap_ns // MS_NS).text()

    def ask(self, cursor: str, now_ns: int) -> Ask:
        """Return the read of the window that the cursor stands before, both ends included."""
        window = read_walk(cursor).window
        return ask_of(
            self._kind,
            USUAL_WEIGHT,
            self._page.page_rows,
            user=self._account,
            startTime=window.since_ms,
            endTime=window.until_ms,
        )

    def parse(self, answer: Answer, cursor: str) -> PulledPage:
        """Parse one page; BrokenAnswerError when the answer is no list of rows."""
        rows: list[PulledRow] = []
        times_ms: list[int] = []
        links: list[Link] = []
        for item in answered(answer, list[msgspec.Raw]):
            pulled, row = self.pulled(bytes(item).decode())
            rows.append(pulled)
            at_ms = time_in(row)
            if at_ms is not None:
                times_ms.append(at_ms)
            links += self._links(pulled, row)
        walk = read_walk(cursor)
        turn = advance(walk, Seen(times_ms=times_ms, links=links), answer.asked_ns, self._page)
        if self._behind is not None and walk.known_ms is not None and not turn.more:
            self._behind(turn.walk.fresh)
        return PulledPage(
            rows=tuple(rows),
            next_cursor=turn.walk.text(),
            more=turn.more,
            covered_from_ns=turn.covered_from_ns,
            covered_until_ns=turn.covered_until_ns,
            gap=turn.gap,
        )

    def _links(self, pulled: PulledRow, row: Row | None) -> list[Link]:
        return []


class FillsStream(TimedStream):
    """Every fill of the account; `behind` is told how many a round found new."""

    def __init__(
        self,
        account: str,
        markets: Markets,
        *,
        full_rows: int = SHORTEST_FULL_PAGE,
        page_rows: int = FILLS_A_PAGE,
        behind: Behind | None = None,
    ) -> None:
        super().__init__(
            account,
            markets,
            name=FILLS,
            kind="userFillsByTime",
            components=("fills",),
            every_ns=MINUTE_NS,
            page=Kind(page_rows=page_rows, full_rows=full_rows, gone=_HORIZON_GONE),
            behind=behind,
        )

    def _links(self, pulled: PulledRow, row: Row | None) -> list[Link]:
        links = []
        for draft in pulled.drafts:
            if isinstance(draft, Draft) and isinstance(draft.fact, Fill) and row is not None:
                described = draft.instrument
                if described is not None and described.contract == "linear":
                    link = link_of(draft.fact, row.need("coin"))
                    links += [] if link is None else [link]
        return links


class FundingStream(TimedStream):
    """Every funding payment of the account."""

    def __init__(
        self, account: str, markets: Markets, *, full_rows: int = SHORTEST_FULL_PAGE
    ) -> None:
        super().__init__(
            account,
            markets,
            name=FUNDING,
            kind="userFunding",
            components=("funding",),
            every_ns=10 * MINUTE_NS,
            page=Kind(page_rows=OTHERS_A_PAGE, full_rows=full_rows, gone=_GONE),
        )

    def pulled(self, raw: str) -> tuple[PulledRow, Row | None]:
        """Return one payment parsed; it cannot be read before its currency is known."""
        pulled, row = super().pulled(raw)
        for draft in pulled.drafts:
            coin = getattr(draft.fact, "instrument", "") if isinstance(draft, Draft) else ""
            if self._markets.collateral(dex_of(coin)) is None:
                reason = f"names a dex whose currency is not known yet: {coin}"
                return PulledRow(raw=raw, fault=RowError("delta.coin", reason)), row
        return pulled, row


class LedgerStream(TimedStream):
    """Every deposit, withdrawal, transfer and charge of the account."""

    def __init__(
        self, account: str, markets: Markets, *, full_rows: int = SHORTEST_FULL_PAGE
    ) -> None:
        super().__init__(
            account,
            markets,
            name=LEDGER,
            kind="userNonFundingLedgerUpdates",
            components=("transfers", "charges"),
            every_ns=5 * MINUTE_NS,
            page=Kind(page_rows=OTHERS_A_PAGE, full_rows=full_rows, gone=_GONE),
        )


def time_in(row: Row | None, name: str = "time") -> int | None:
    """Return the milliseconds in a field of a row, None where there are none."""
    text = str(row.cells.get(name) or "") if row is not None else ""
    return int(text) if text.isdecimal() else None
