"""What every claim of a bot's events shares: whose it is, when, in which contract, at what fee."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from fillbook.desks.telemetry import events as ev
from fillbook.desks.telemetry.events import BotEvent
from fillbook.facts.identity import key_of
from fillbook.facts.model import AnyFact, Claim, Decision, Fill, Instrument, OrderUpdate, Report
from fillbook.sources.reading import instrument_key
from fillbook.sources.source import RowError
from fillbook.sources.symbols import describe


class DeskAccount:
    """The account a desk speaks of.

    `fee` is what a fill costs that names no fee of its own: None = unknown. With `fees_apart` the
    venue tells all fees elsewhere, so an event's own fee must not count beside them.
    """

    def __init__(
        self,
        venue: str,
        account: str,
        currency: str,
        fee: Decimal | None,
        *,
        fees_apart: bool = False,
    ) -> None:
        self.venue = venue
        self.account = account
        self._currency = currency
        self._fee = fee
        self._fees_apart = fees_apart

    def about(self, event: BotEvent) -> dict[str, Any]:
        """Return what every fact begins with."""
        return {"venue": self.venue, "account": self.account, "ts_ns": event.ts_ns}

    def cost(self, event: BotEvent, symbol: str) -> dict[str, Any]:
        """Return a fill's fee and its asset, None where nobody told."""
        told = None if self._fees_apart else event.number(ev.FEE)
        fee = self._fee if told is None else told
        asset = event.text(ev.FEE_ASSET) or self.contract(symbol).settle
        return {"fee": fee, "fee_asset": None if fee is None else asset}

    def contract(self, symbol: str) -> Instrument:
        """Describe a contract; one whose name tells no currency settles in the desk's."""
        try:
            return describe(self.venue, self.account, symbol)
        except RowError:
            return describe(self.venue, self.account, symbol, settle=self._currency)

    def claims_of(self, fact: AnyFact) -> list[Claim]:
        """Return a fact as claims: a fill brings its contract along."""
        claims = []
        if isinstance(fact, Fill):
            told = self.contract(fact.instrument)
            claims.append(Claim(told, instrument_key(told)))
        return [*claims, Claim(fact, _key(fact))]


def _key(fact: AnyFact) -> str:
    if isinstance(fact, OrderUpdate):
        name = fact.client_order_id or fact.order_id
        # Two executions of one order may share a millisecond.
        part = () if fact.filled_qty is None else (fact.filled_qty,)
        return key_of(fact.ts_ns, "bot", fact.instrument, fact.status, name, fact.ts_ns, *part)
    if isinstance(fact, Decision):
        return key_of(fact.ts_ns, "bot", fact.instrument, fact.decision_id)
    if isinstance(fact, Report):
        return key_of(fact.ts_ns, "bot", fact.what, fact.instrument, fact.position_side)
    assert isinstance(fact, Fill)
    return key_of(fact.ts_ns, "bot", fact.instrument, fact.fill_id)
