"""Why a trade ended: the rule of thumb people know, and the venue's own truth where it is told.

`exit_reason` looks at money only and has four names. `exit_cause` believes the venue first (the
type of the order that closed, the ids venues give to orders of their own) and guesses from the
trade's path only where the venue is silent; a guess is never `certain`.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal, NamedTuple

import msgspec

ExitReason = Literal["take_profit_likely", "stop_loss_likely", "manual_close", "manual_stop"]

_KEPT = Decimal("0.9")
_LOST = Decimal("0.5")
# How near the best (worst) point of its path a trade has to end to look like a target (a stop).
_AT_PEAK = Decimal("0.95")
_AT_TROUGH = Decimal("0.05")
_NEAR_STOP = Decimal("0.1")
_TRAILED = (Decimal("0.2"), Decimal("0.8"))

_STOPS = frozenset({"STOP", "STOP_MARKET", "STOP_LIMIT", "STOP_LOSS", "STOP_LOSS_LIMIT"})
_TARGETS = frozenset({"TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TAKE_PROFIT_LIMIT"})
_TRAILS = frozenset({"TRAILING_STOP_MARKET", "TRAILING_STOP"})
# In this order: the settlement prefix contains the other one.
_VENUE_PREFIXES = (
    ("settlement_autoclose", "settlement"),
    ("adl_autoclose", "adl"),
    ("autoclose", "liquidation"),
)
_VENUE_CAUSES = frozenset({"liquidation", "adl", "settlement"})
# What the venues' own apps and sites put before the ids of orders placed by hand.
_BY_HAND = ("web_", "ios_", "android_", "electron_", "and_", "mac_")


def exit_reason(
    pnl: Decimal | None, peak: Decimal | None, *, forced: bool = False
) -> ExitReason | None:
    """Name how a trade seems to have ended; None where its result is unknown.

    `pnl` is its gross result, `peak` the best it ever stood at (>= 0), `forced` says that the
    watching was stopped. First match: forced; a loss of at least half the peak; a gain of at
    least nine tenths of it; anything else was closed by hand.

    >>> exit_reason(Decimal(900), Decimal(1000)), exit_reason(Decimal("899.99"), Decimal(1000))
    ('take_profit_likely', 'manual_close')
    """
    if forced:
        return "manual_stop"
    if pnl is None or peak is None:
        return None
    if pnl < 0 and -pnl >= abs(_LOST * peak):
        return "stop_loss_likely"
    if pnl > 0 and pnl >= _KEPT * peak:
        return "take_profit_likely"
    return "manual_close"


class ExitCause(NamedTuple):
    """Why a trade ended; `certain` only where the venue or the bot said so."""

    label: str
    certain: bool


class ExitEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a closing fill and of the trade it closed; None where nobody said.

    `order_type` is the type the order was sent with (a triggered stop turns into a market order).
    `cause` is the venue's word for a fill nobody ordered, `strategy` who asked for it, and
    `bot_prefixes` are the client id prefixes of the bots. `pnl`, `mfe` >= 0 and `mae` <= 0 are
    gross money; `initial_risk` > 0 is the money lost at the stop that stood at entry.
    """

    order_type: str | None = None
    client_order_id: str | None = None
    cause: str | None = None
    strategy: str | None = None
    bot_prefixes: Sequence[str] = ()
    pnl: Decimal | None = None
    mfe: Decimal | None = None
    mae: Decimal | None = None
    initial_risk: Decimal | None = None


def exit_cause(seen: ExitEvidence) -> ExitCause:
    """Say why a trade ended: what the venue tells, else what its path looks like.

    The thresholds of the guess were chosen on simulated exits: at 0.95 of the peak nine of ten
    such ends are targets. A resting limit order in profit stays a guess.

    >>> exit_cause(ExitEvidence(order_type="STOP_MARKET", pnl=Decimal(4)))
    ExitCause(label='trailing_stop', certain=True)
    """
    told = _told(seen)
    return ExitCause(told, True) if told is not None else ExitCause(_guess(seen), False)


def is_venues_own(word: str) -> bool:
    """Say whether a cause or a client id speaks of a fill that the venue itself brought about.

    >>> is_venues_own("adl"), is_venues_own("autoclose-7"), is_venues_own("mm-7")
    (True, True, False)
    """
    named = word.lower() in _VENUE_CAUSES
    return named or word.startswith(tuple(prefix for prefix, _ in _VENUE_PREFIXES))


def is_telling(order_type: str) -> bool:
    """Say whether an order of this type tells by itself why it closed a trade.

    >>> is_telling("Stop Market"), is_telling("MARKET")
    (True, False)
    """
    kind = _kind_of(order_type)
    return kind == "LIQUIDATION" or kind in _TRAILS | _TARGETS | _STOPS


def _kind_of(order_type: str | None) -> str:
    return (order_type or "").strip().upper().replace(" ", "_")


def _told(seen: ExitEvidence) -> str | None:
    if seen.cause is not None and seen.cause.lower() in _VENUE_CAUSES:
        return seen.cause.lower()
    client_id = seen.client_order_id or ""
    for prefix, label in _VENUE_PREFIXES:
        if client_id.startswith(prefix):
            return label
    kind = _kind_of(seen.order_type)
    if kind == "LIQUIDATION":
        return "liquidation"
    if kind in _TRAILS:
        return "trailing_stop"
    if kind in _TARGETS:
        return "take_profit"
    if kind in _STOPS:
        # A stop that filled in profit was moved, or trailed.
        return "trailing_stop" if seen.pnl is not None and seen.pnl > 0 else "stop_loss"
    if seen.strategy or (client_id and client_id.startswith(tuple(seen.bot_prefixes))):
        return "signal_exit"
    return "manual" if client_id.startswith(_BY_HAND) else None


def _guess(seen: ExitEvidence) -> str:
    pnl, risk = seen.pnl, seen.initial_risk
    if pnl is not None and risk and abs(pnl + risk) <= _NEAR_STOP * risk:
        return "stop_loss_likely"
    if pnl is None or seen.mfe is None or seen.mae is None:
        return "unknown"
    if pnl > 0 and pnl >= _AT_PEAK * seen.mfe:
        return "take_profit_likely"
    if pnl < 0:
        at_trough = pnl - seen.mae <= _AT_TROUGH * (seen.mfe - seen.mae)
        return "stop_loss_likely" if at_trough else "manual_stop"
    low, high = _TRAILED
    if pnl > 0 and risk and seen.mfe >= risk and low * seen.mfe <= pnl <= high * seen.mfe:
        return "trailing_stop_likely"
    return "manual_close"
