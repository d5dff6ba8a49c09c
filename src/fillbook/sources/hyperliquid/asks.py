"""How Hyperliquid is asked, what that weighs, and what its answers mean before a row is read.

Everything is POST /info with a `type`. A page weighs more the more rows it returns, which shows
only in the answer. Many failures are told with status 200.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from fillbook.ground.clock import MINUTE_NS
from fillbook.sources.budget import Limit
from fillbook.sources.faults import SourceError, VenueFailedError
from fillbook.sources.hyperliquid.fills import VENUE
from fillbook.sources.manners import Manners, Received, decoded
from fillbook.sources.stream import Answer, Ask

T = TypeVar("T")

LIMIT = Limit(weight=1_200, window_ns=MINUTE_NS)
USUAL_WEIGHT, STATE_WEIGHT, ROLE_WEIGHT = 20, 2, 60
ROWS_PER_WEIGHT = 20
# Reads whose weight grows with the rows they return, and whose answer is a list.
_LISTS = frozenset(
    {
        *("userFills", "userFillsByTime", "userFunding", "userNonFundingLedgerUpdates"),
        *("historicalOrders", "frontendOpenOrders"),
    }
)


def ask_of(kind: str, weight: int, rows: int = 0, **fields: object) -> Ask:
    """Return one read of the info endpoint; `rows` is how many it may return at most.

    >>> ask_of("userRole", 60, user="0xa1").body
    '{"type":"userRole","user":"0xa1"}'
    """
    body = msgspec.json.encode({"type": kind, **fields}).decode()
    most = weight + rows // ROWS_PER_WEIGHT
    return Ask(name=kind, method="POST", path="/info", body=body, weight=most)


def answered(answer: Answer, kind: type[T]) -> T:
    """Return an answer decoded; BrokenAnswerError when it is not of that shape."""
    return decoded(answer, kind, VENUE)


class HyperliquidManners(Manners):
    """Errors inside a 200, and the true weight of a list."""

    def fault(self, ask: Ask, received: Received, where: str) -> SourceError | None:
        """Return the fault an answer stands for, or None when it is a good one."""
        fault = super().fault(ask, received, where)
        if fault is not None or not _is_refusal(ask, received.text):
            return fault
        return VenueFailedError(
            f"the venue sent an error as its answer: {received.text}",
            where,
            "nothing to do: it is tried again",
        )

    def cost(self, ask: Ask, received: Received) -> int | None:
        """Return what a list did weigh, by the rows it holds."""
        if ask.name not in _LISTS or received.status >= 300:
            return None
        try:
            rows = len(msgspec.json.decode(received.text, type=list[msgspec.Raw]))
        except msgspec.DecodeError:
            return None
        return USUAL_WEIGHT + rows // ROWS_PER_WEIGHT


def _is_refusal(ask: Ask, text: str) -> bool:
    start = text.lstrip()[:1]
    if ask.name in _LISTS:
        # A list cut short is told as broken, anything else is no list at all.
        return start in ("{", "n", '"')
    if start == "n":
        return text.strip() == "null"
    if start != "{":
        return False
    try:
        fields = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return False
    return "error" in fields
