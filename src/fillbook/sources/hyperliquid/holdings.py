"""What a Hyperliquid account holds now: one read for each dex it trades on, however much is open.

An account that has only ever traded on the venue's own dex costs one read a look; the spot
balances are looked at each time only while there are any.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection
from decimal import Decimal

import msgspec

from fillbook.ground.clock import MINUTE_NS
from fillbook.marks.series import Mark
from fillbook.sources.faults import BrokenAnswerError
from fillbook.sources.files.records import parse_object
from fillbook.sources.hyperliquid.asks import STATE_WEIGHT, answered, ask_of
from fillbook.sources.hyperliquid.fills import SPOT_NAMES, VENUE, is_spot
from fillbook.sources.hyperliquid.markets import Markets, Pair, dex_of
from fillbook.sources.hyperliquid.rows import SOURCE, ApiContext, drafts_of
from fillbook.sources.hyperliquid.state import (
    PerpState,
    SpotState,
    equity_text,
    holding_text,
    position_text,
)
from fillbook.sources.hyperliquid.walk import MS_NS
from fillbook.sources.rows import number_in
from fillbook.sources.source import Draft, RowError
from fillbook.sources.stream import Answer, Ask, PulledRow, Snapshot

Read = Callable[[Ask], Awaitable[Answer]]
_SPOT = "spot"
_LOOK_AT_SPOT_NS = 10 * MINUTE_NS


class Holdings:
    """Asks for positions, balances and prices of one account."""

    def __init__(self, account: str, markets: Markets, read: Read) -> None:
        self._account = account
        self._markets = markets
        self._read = read
        self._told = ApiContext(account=account)
        self._spot_is_empty = False
        self._spot_seen_ns: int | None = None
        self._marked: set[str] = set()
        self.known: frozenset[str] = frozenset()
        """The instruments the book has seen in this account."""

    async def snapshot(self, now_ns: int) -> Snapshot:
        """Return every open position, every holding, and the account's worth by currency."""
        texts: list[str] = []
        asked: list[int] = []
        told: list[int] = []
        worths: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
        at_ms = 0
        known = self.known
        for dex in sorted({"", *(dex_of(name) for name in known)}):
            where: dict[str, object] = {"dex": dex} if dex else {}
            answer = await self._read(
                ask_of("clearinghouseState", STATE_WEIGHT, 0, user=self._account, **where)
            )
            state = answered(answer, PerpState)
            asked.append(answer.asked_ns)
            told.append(answer.told_ns)
            at_ms = at_ms or state.time
            texts += [position_text(state, each.position) for each in state.asset_positions]
            settle = self._markets.collateral(dex)
            if settle is not None:
                worths[settle].append((dex, settle, state.margin_summary.account_value))
        is_clear = True
        if self._is_spot_due(now_ns):
            answer = await self._read(
                ask_of("spotClearinghouseState", STATE_WEIGHT, 0, user=self._account)
            )
            spot = answered(answer, SpotState)
            asked.append(answer.asked_ns)
            self._spot_seen_ns = now_ns
            texts += self._spot_texts(spot, answer.asked_ns // MS_NS, worths)
            # What is pledged as margin is counted on both sides then.
            is_clear = not spot.portfolio_margin_enabled
        if is_clear:
            texts += [equity_text(at_ms, parts) for _, parts in sorted(worths.items())]
        rows = tuple(self._row(text) for text in texts)
        self._marked = _marked_in(rows)
        return Snapshot(
            source=SOURCE,
            context=msgspec.json.encode(self._told).decode(),
            asked_ns=min(asked),
            told_ns=max(told),
            rows=rows,
            listed=frozenset(name for name in known if not is_spot(name)),
        )

    async def marks(self, instruments: Collection[str]) -> list[Mark]:
        """Return mids of the instruments whose mark the last snapshot did not bring."""
        wanted: dict[str, dict[str, str]] = defaultdict(dict)
        for name in instruments:
            if name not in self._marked:
                coin = self._coin(name)
                wanted[dex_of(coin)][coin] = name
        marks: list[Mark] = []
        for dex, names in sorted(wanted.items()):
            where: dict[str, object] = {"dex": dex} if dex else {}
            answer = await self._read(ask_of("allMids", STATE_WEIGHT, 0, **where))
            for coin, text in answered(answer, dict[str, str]).items():
                if coin in names:
                    px = _above_zero(text)
                    if px is not None:
                        marks.append(Mark(VENUE, names[coin], answer.asked_ns, px, "mid", SOURCE))
        return marks

    def _is_spot_due(self, now_ns: int) -> bool:
        if not self._spot_is_empty or self._spot_seen_ns is None:
            return True
        return now_ns - self._spot_seen_ns >= _LOOK_AT_SPOT_NS

    def _spot_texts(
        self, spot: SpotState, at_ms: int, worths: dict[str, list[tuple[str, str, str]]]
    ) -> list[str]:
        quotes, texts = self._markets.quotes(), []
        held = [each for each in spot.balances if _above_zero(each.total)]
        self._spot_is_empty = not held
        for balance in held:
            if balance.coin in quotes:
                worths[balance.coin].append((_SPOT, balance.coin, balance.total))
            elif (name := self._only_market_of(balance.coin)) is not None:
                texts.append(holding_text(at_ms, name, balance.total))
        return texts

    def _only_market_of(self, base: str) -> str | None:
        """Return the market a coin was traded in; None when that is none, or more than one."""
        pairs = {pair for name in self.known if (pair := self._pair(name)) is not None}
        fitting = [pair for pair in pairs if pair.base == base]
        return fitting[0].symbol if len(fitting) == 1 else None

    def _coin(self, name: str) -> str:
        pair = self._pair(name)
        return name if pair is None else pair.coin

    def _pair(self, name: str) -> Pair | None:
        by_index = {symbol: coin for coin, symbol in SPOT_NAMES.items()}
        return self._markets.pair_named(by_index.get(name, name))

    def _row(self, text: str) -> PulledRow:
        try:
            return PulledRow(raw=text, drafts=tuple(drafts_of(parse_object(text), self._told)))
        except RowError as fault:
            # Left out, it would read as flat.
            raise BrokenAnswerError(
                f"a position or balance cannot be read: {fault.field or 'it'} {fault.reason}",
                VENUE,
                "if it stays, a newer Fillbook may be needed",
            ) from None


def _marked_in(rows: Collection[PulledRow]) -> set[str]:
    facts = [draft.fact for row in rows for draft in row.drafts if isinstance(draft, Draft)]
    return {
        str(getattr(fact, "instrument", ""))
        for fact in facts
        if getattr(fact, "px", None) is not None
    }


def _above_zero(text: str) -> Decimal | None:
    """Return a number above zero, None for anything else: no balance, no price."""
    try:
        number = number_in("amount", text)
    except RowError:
        return None
    return number if number > 0 else None
