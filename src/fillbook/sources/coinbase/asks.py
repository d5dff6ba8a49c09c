"""How Coinbase Advanced Trade is asked: every read, and the shape of an answer.

Every read weighs one. What is published of the limits differs (30 a second for a user, 10,000 an
hour for a key); both are kept: 25 in nine seconds are 10,000 an hour, and never 30 at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TypeVar

from fillbook.ground.clock import SECOND_NS
from fillbook.sources.budget import Limit
from fillbook.sources.coinbase.fills import VENUE
from fillbook.sources.manners import decoded
from fillbook.sources.stream import Answer, Ask, Auth

T = TypeVar("T")

LIMIT = Limit(weight=25, window_ns=9 * SECOND_NS)
PAGE_ROWS, ORDERS_A_PAGE = 250, 1_000
MOST_PRODUCTS = 100
_PATH = "/api/v3/brokerage/"


def ask_of(
    path: str, query: Iterable[tuple[str, str]] = (), auth: Auth = "signed", name: str = ""
) -> Ask:
    """Return a read by its path below the API's own; where that holds an id, `name` has none.

    >>> ask_of("orders/historical/fills", [("limit", "250")]).path
    '/api/v3/brokerage/orders/historical/fills'
    """
    return Ask(name=name or path, path=f"{_PATH}{path}", query=tuple(query), auth=auth)


def stamp_of(at_ns: int) -> str:
    """Write an instant as the venue reads it: RFC 3339, microseconds.

    >>> stamp_of(1_700_993_987_504_999_999)
    '2023-11-26T10:19:47.504999Z'
    """
    whole, rest_ns = divmod(at_ns, SECOND_NS)
    moment = datetime.fromtimestamp(whole, tz=UTC).replace(microsecond=rest_ns // 1000)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def answered(answer: Answer, kind: type[T]) -> T:
    """Return an answer decoded; BrokenAnswerError when it is not of that shape."""
    return decoded(answer, kind, VENUE)
