"""Whether a key is safe to take: an allow-list of rights, and everything else is refused.

A key that can trade, transfer or withdraw, or that has a right nobody here knows, is refused
with the steps to make a safe one. One exception exists, for a venue that gives its futures
history only to keys that may trade: it must be allowed per account, by name and aloud, and it
stays a finding for as long as it is in use and beyond.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from fillbook.facts.finding import Finding
from fillbook.ground.errors import ConfigError
from fillbook.sources.faults import KeyUnsafeError
from fillbook.sources.stream import KeyRights

Decision = Literal["accepted", "refused", "accepted with finding"]


class Harmless(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue's keys may have: `needed` must be granted, `allowed` may be.

    `stated` must be answered either way: an answer without them is one we do not understand.
    `tolerated` are the rights that the loud exception may cover; none of them moves money out.
    `roles` are the kinds of address that show their own history.
    """

    needed: frozenset[str] = frozenset()
    stated: frozenset[str] = frozenset()
    allowed: frozenset[str] = frozenset()
    tolerated: frozenset[str] = frozenset()
    roles: frozenset[str] | None = None
    steps: tuple[str, ...]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided about a key, every reason, and what to do about it."""

    venue: str
    subject: str
    decision: Decision
    reasons: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()

    def finding(self, account: str) -> Finding | None:
        """Return what a person should know, or None about a key that is simply safe."""
        if self.decision == "accepted":
            return None
        message = f"the {self.venue} key {self.subject} {'; '.join(self.reasons)}"
        steps = " ".join(self.steps)
        if self.decision == "refused":
            return Finding(
                code="key-refused",
                severity="error",
                message=message,
                next_step=steps,
                venue=self.venue,
                account=account,
            )
        return Finding(
            code="key-can-trade",
            severity="warning",
            message=message,
            next_step=steps,
            venue=self.venue,
            account=account,
        )


_HYPERLIQUID = Harmless(
    roles=frozenset({"user", "subAccount", "vault"}),
    steps=(
        "Give the public address of the account itself (0x and 40 digits), as the venue's page "
        "shows it at the top right.",
        "Never give a private key, nor the address of an API wallet: it has no fills of its own.",
    ),
)
_BINANCE = Harmless(
    needed=frozenset({"enableReading"}),
    stated=frozenset(
        {
            "enableFutures",
            "enableInternalTransfer",
            "enableSpotAndMarginTrading",
            "enableWithdrawals",
            "permitsUniversalTransfer",
        }
    ),
    allowed=frozenset({"ipRestrict", "enableReading", "enableFixReadOnly"}),
    tolerated=frozenset({"enableFutures"}),
    steps=(
        "On Binance open Profile > API Management and create a key of its own for Fillbook.",
        "Under API restrictions leave only `Enable Reading` ticked, and untick everything else.",
        "Restrict it to this machine's IP address, put it into a file of mode 0600, and name "
        "that file as key_file in [[attach]].",
        "Delete the key that was refused if it was made for Fillbook.",
    ),
)
_COINBASE = Harmless(
    needed=frozenset({"can_view"}),
    stated=frozenset({"can_trade", "can_transfer"}),
    allowed=frozenset({"can_view"}),
    steps=(
        "On the Coinbase Developer Platform open API keys and create a key for the portfolio to "
        "watch; a key sees one portfolio only.",
        "Tick only `View`; leave `Trade` and `Transfer` unticked.",
        "Restrict it to this machine's IP address, save the downloaded JSON with mode 0600, and "
        "name it as key_file in [[attach]].",
    ),
)
HARMLESS = {"hyperliquid": _HYPERLIQUID, "binance": _BINANCE, "coinbase": _COINBASE}

_BINANCE_EXCEPTION = (
    "If Binance refuses a reading key with code -2015, set accept_trading_key = true for this "
    "account only; the key then needs `Enable Futures`, and an IP restriction."
)


def judge(venue: str, rights: KeyRights, *, accept_trading_key: bool = False) -> Verdict:
    """Decide about a key by what the venue says it may do.

    Only a right that is known and harmless is accepted; whatever else is granted is a reason to
    refuse. `accept_trading_key` covers the tolerated rights of the venue and nothing more.

    >>> judge("coinbase", KeyRights(venue="coinbase", subject="…1",
    ...     rights={"can_view": True, "can_trade": True, "can_transfer": False})).reasons
    ('may can_trade',)
    """
    harmless = HARMLESS.get(venue)
    if harmless is None:
        raise ConfigError(f"{venue!r} is not a venue whose keys can be judged", "[[attach]] venue")
    granted = {name for name, is_granted in rights.rights.items() if is_granted is not False}
    reasons = [f"lacks {name}" for name in sorted(harmless.needed - granted)]
    unstated = harmless.stated - rights.rights.keys()
    reasons += [f"does not say whether it may {name}" for name in sorted(unstated)]
    if harmless.roles is not None and rights.role not in harmless.roles:
        reasons.append(f"has the role {rights.role or 'unknown'!r}, whose history is not its own")
    tolerable = harmless.tolerated if accept_trading_key else frozenset()
    excess = granted - harmless.allowed
    reasons += [f"may {name}" for name in sorted(excess - tolerable)]
    steps = harmless.steps
    if excess and not accept_trading_key and excess <= harmless.tolerated:
        steps = (*steps, _BINANCE_EXCEPTION)
    if reasons:
        return _verdict(rights, "refused", reasons, steps)
    if excess:
        tolerated = [f"may {name}, accepted by accept_trading_key" for name in sorted(excess)]
        if not rights.rights.get("ipRestrict"):
            tolerated.append("is not restricted to an address")
        return _verdict(rights, "accepted with finding", tolerated, harmless.steps)
    return _verdict(rights, "accepted", [], ())


def insist(verdict: Verdict, where: str) -> None:
    """Raise KeyUnsafeError with the reasons and the steps unless the key was accepted."""
    if verdict.decision == "refused":
        raise KeyUnsafeError(
            f"the {verdict.venue} key {verdict.subject} is refused: it "
            + "; it ".join(verdict.reasons),
            where,
            "\n         ".join(verdict.steps),
        )


def _verdict(
    rights: KeyRights, decision: Decision, reasons: list[str], steps: tuple[str, ...]
) -> Verdict:
    return Verdict(
        venue=rights.venue,
        subject=rights.subject,
        decision=decision,
        reasons=tuple(reasons),
        steps=steps,
    )
