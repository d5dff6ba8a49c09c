"""What the first pull of a Hyperliquid account will take, and what it cannot bring."""

from __future__ import annotations

import msgspec

from fillbook.sources.budget import Budget
from fillbook.sources.hyperliquid.asks import (
    ROLE_WEIGHT,
    ROWS_PER_WEIGHT,
    STATE_WEIGHT,
    USUAL_WEIGHT,
    answered,
)
from fillbook.sources.hyperliquid.fills import VENUE
from fillbook.sources.hyperliquid.order_streams import ORDERS_A_PAGE
from fillbook.sources.hyperliquid.streams import FILLS_A_PAGE, HORIZON_ROWS, OTHERS_A_PAGE
from fillbook.sources.stream import Answer, AttachEstimate

BEYOND = (
    f"fills: the venue keeps only the newest {HORIZON_ROWS:,}; older ones are in the trade history "
    "that its web page exports (fillbook import trade_history.csv --account ADDRESS --tz ZONE)",
    f"orders: the venue tells only the newest {ORDERS_A_PAGE:,}; older ones are in no export",
)


class _Paid(msgspec.Struct):
    time: int


def estimate(account: str, budget: Budget, first_funding: Answer, now_ms: int) -> AttachEstimate:
    """Say what the first pull takes, from the oldest page of funding: how long and how busy.

    The venue tells no counts: fills are taken at their horizon, payments as often as at first.
    """
    fill_asks = HORIZON_ROWS // FILLS_A_PAGE + 1
    weight = fill_asks * USUAL_WEIGHT + HORIZON_ROWS // ROWS_PER_WEIGHT
    paid_rows = _paid_rows(first_funding, now_ms)
    funding_asks = paid_rows // OTHERS_A_PAGE + 1
    weight += funding_asks * USUAL_WEIGHT + paid_rows // ROWS_PER_WEIGHT
    # Ledger, orders, open orders and the list of markets; who it is and what it holds.
    once = (
        *(2 * USUAL_WEIGHT + OTHERS_A_PAGE // ROWS_PER_WEIGHT,),
        *(USUAL_WEIGHT + ORDERS_A_PAGE // ROWS_PER_WEIGHT, USUAL_WEIGHT, USUAL_WEIGHT),
        *(ROLE_WEIGHT, STATE_WEIGHT, STATE_WEIGHT),
    )
    use = budget.use()
    return AttachEstimate(
        venue=VENUE,
        account=account,
        asks=fill_asks + funding_asks + len(once) + 1,
        weight=weight + sum(once),
        duration_ns=budget.duration_ns(weight + sum(once)),
        share_ratio=use.allowance / use.limit,
        beyond=BEYOND,
    )


def _paid_rows(first_page: Answer, now_ms: int) -> int:
    times = sorted(paid.time for paid in answered(first_page, list[_Paid]))
    if len(times) < OTHERS_A_PAGE:
        return len(times)
    spent_ms = max(1, times[-1] - times[0])
    return max(len(times), (now_ms - times[0]) * len(times) // spent_ms)
