"""How Binance is asked: every read with its weight, and the shape of an answer.

Weights are those of the venue's pages. Futures and the web account count on limits of their own.
"""

from __future__ import annotations

from typing import TypeVar

from fillbook.ground.clock import DAY_NS, MINUTE_NS
from fillbook.sources.binance.fills import MILLISECOND_NS, VENUE
from fillbook.sources.budget import Limit
from fillbook.sources.manners import decoded
from fillbook.sources.stream import Answer, Ask, Auth

T = TypeVar("T")

FUTURES_LIMIT = Limit(weight=2_400, window_ns=MINUTE_NS)
WEB_LIMIT = Limit(weight=6_000, window_ns=MINUTE_NS)
HISTORY_WEIGHT, INCOME_WEIGHT = 5, 30
PAGE_ROWS = 1_000

LONGEST_WINDOW_NS = 7 * DAY_NS
# "Three months" are 89 days at the least.
RETENTION_NS = 89 * DAY_NS

_WEIGHTS = {
    "time": 1,
    "listenKey": 1,
    "premiumIndex": 10,
    "positionRisk": 5,
    "account": 5,
    "balance": 5,
    "openOrders": 40,
    "apiRestrictions": 1,
    "web account": 20,
}
_PATHS = {
    "positionRisk": "/fapi/v3/positionRisk",
    "account": "/fapi/v3/account",
    "balance": "/fapi/v3/balance",
    "apiRestrictions": "/sapi/v1/account/apiRestrictions",
    "web account": "/api/v3/account",
}
_WEB = ("apiRestrictions", "web account")


def state_ask(name: str, auth: Auth = "signed", **query: str) -> Ask:
    """Return a read that has no pages, by its name.

    >>> state_ask("premiumIndex", "none", symbol="BTCUSDT").weight
    1
    """
    weight = 1 if name in ("premiumIndex", "openOrders") and query else _WEIGHTS[name]
    return Ask(
        name=name,
        host="sapi" if name in _WEB else "fapi",
        path=_PATHS.get(name, f"/fapi/v1/{name}"),
        query=tuple(query.items()),
        weight=weight,
        auth=auth,
    )


def history_ask(
    name: str, weight: int, limit: int, window: tuple[int, int] | None, **query: str
) -> Ask:
    """Return a read of one page of a history; `window` is [start, end) in ns, None for none.

    >>> history_ask("income", 30, 1000, (0, 5_000_000), incomeType="TRANSFER").query
    (('incomeType', 'TRANSFER'), ('startTime', '0'), ('endTime', '4'), ('limit', '1000'))
    """
    asked = list(query.items())
    if window is not None:
        # The venue's end is part of what it returns.
        asked.append(("startTime", str(window[0] // MILLISECOND_NS)))
        asked.append(("endTime", str(window[1] // MILLISECOND_NS - 1)))
    asked.append(("limit", str(limit)))
    return Ask(
        name=name,
        host="fapi",
        path=f"/fapi/v1/{name}",
        query=tuple(asked),
        weight=weight,
        auth="signed",
    )


def listen_key_ask(*, extend: bool) -> Ask:
    """Return the read that makes a key for the stream of events, or extends its life."""
    return Ask(
        name="listenKey",
        method="PUT" if extend else "POST",
        host="fapi",
        path="/fapi/v1/listenKey",
        weight=1,
        auth="key",
    )


def answered(answer: Answer, kind: type[T]) -> T:
    """Return an answer decoded; BrokenAnswerError when it is not of that shape."""
    return decoded(answer, kind, VENUE)
