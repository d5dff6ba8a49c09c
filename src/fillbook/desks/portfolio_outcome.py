"""How one decision ended, and what was known of it when it was taken."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from fillbook.ground.exact import parse_decimal

# What a decision may say that no position tells; everything else is the ledger's.
CONTEXT = (
    "ai_provider",
    "confidence",
    "ensemble_metadata",
    "market_sentiment",
    "volatility",
    "price_trend",
    "slippage_cost",
    "spread_cost",
)
_POWERS = ("voting_power", "adjusted_weights")


class ProviderVote(msgspec.Struct, frozen=True, kw_only=True):
    """One member of an ensemble: whether it wanted what was done, and its part in the vote.

    `voting_power` is a fraction of 1, None where nobody said.
    """

    provider: str
    agreed: bool
    voting_power: Decimal | None = None


class TradeOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How one decision ended; None where nobody knows. Money and prices are Decimals.

    `realized_pnl` is the ledger's, from prices: the costs beside it are told, never taken off it.
    `decision_confidence` is in percent, `pnl_percentage` in percent of the position at entry.
    """

    decision_id: str
    asset_pair: str
    action: str
    entry_timestamp: str | None
    exit_timestamp: str | None
    entry_price: Decimal | None
    exit_price: Decimal | None
    position_size: Decimal | None
    realized_pnl: Decimal | None
    pnl_percentage: float | None
    holding_period_hours: float | None
    ai_provider: str | None
    decision_confidence: Decimal | None
    was_profitable: bool | None
    hit_stop_loss: bool
    hit_take_profit: bool
    trade_id: str | None = None
    currency: str = "USD"
    ensemble_providers: tuple[str, ...] = ()
    votes: tuple[ProviderVote, ...] = ()
    market_sentiment: str | None = None
    volatility: Decimal | None = None
    price_trend: str | None = None
    slippage_cost: Decimal | None = None
    fee_cost: Decimal | None = None
    spread_cost: Decimal | None = None
    total_transaction_cost: Decimal | None = None
    cost_as_pct_of_position: float | None = None


def context_of(decision: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a decision says that no position tells."""
    return {name: decision[name] for name in CONTEXT if decision.get(name) is not None}


def votes_of(decision: Mapping[str, Any]) -> tuple[ProviderVote, ...]:
    """Return the members of an ensemble decision; empty where one provider decided alone.

    They stand in its `ensemble_metadata`: `provider_decisions`, an action or a mapping with one
    by provider, and their `voting_power` (or `adjusted_weights`).

    >>> told = {"provider_decisions": {"a": "SELL", "b": {"action": "BUY"}}}
    >>> [vote.agreed for vote in votes_of({"action": "BUY", "ensemble_metadata": told})]
    [False, True]
    """
    told = decision.get("ensemble_metadata")
    if not isinstance(told, Mapping):
        return ()
    opinions = told.get("provider_decisions") or {}
    powers: Mapping[str, object] = next((told[name] for name in _POWERS if told.get(name)), {})
    return tuple(
        ProviderVote(
            provider=str(provider),
            agreed=_action(opinion) == str(decision["action"]).upper(),
            voting_power=amount_of(powers.get(provider)),
        )
        for provider, opinion in opinions.items()
    )


def amount_of(told: object) -> Decimal | None:
    """Read a number as a bot has it; a float by the digits it prints, None where there is none."""
    if told is None or isinstance(told, bool | Decimal):
        return told if isinstance(told, Decimal) else None
    try:
        return parse_decimal(str(told))
    except ValueError:
        return None


def _action(opinion: object) -> str:
    said = opinion.get("action") if isinstance(opinion, Mapping) else opinion
    return str(said).upper()
