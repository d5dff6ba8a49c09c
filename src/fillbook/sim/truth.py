"""What really happened in a simulated month, added up without the ledger.

Plain integers on a grid of 1e-18 of the settlement currency, from the definitions: cash moves
when something is bought, sold, charged or paid; inventory is worth its mark; an average-cost
close removes its share of the cost, rounded towards zero. No code is shared with the books that
tests compare it with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from fillbook.sim.executions import SimDecision, SimFill, SimFunding

GRID = 10**18


class BookTruth(msgspec.Struct):
    """One strategy's part of one instrument: signed position, its cost, realised gain."""

    position: Decimal = Decimal(0)
    cost: int = 0
    realised: int = 0


class AccountTruth(msgspec.Struct):
    """One account in one settlement currency; every amount in 1e-18 of it.

    `cash` is what the account gained or lost in cash by trading, fees and funding; `unrealised`
    values what is open at the last marks. The four price lines are costs or gains between
    neighbouring prices: decision, arrival, mid, fill; `signal_unpriced` is the gain of fills
    whose decision nobody logged.
    """

    account: str
    currency: str
    n_fills: int = 0
    cash: int = 0
    fees: int = 0
    funding: int = 0
    realised: int = 0
    unrealised: int = 0
    signal: int = 0
    signal_unpriced: int = 0
    delay: int = 0
    drift: int = 0
    spread: int = 0

    @property
    def gross(self) -> int:
        """Return the gain before fees and funding."""
        return self.realised + self.unrealised

    @property
    def net(self) -> int:
        """Return the gain after fees and funding."""
        return self.gross - self.fees + self.funding


class Truth(msgspec.Struct):
    """The accounts by (account, currency) and the books by (account, instrument, strategy)."""

    accounts: dict[tuple[str, str], AccountTruth]
    books: dict[tuple[str, str, str], BookTruth]


def add_up(
    fills: Sequence[SimFill],
    decisions: Sequence[SimDecision],
    payments: Sequence[SimFunding],
    last_marks: Mapping[tuple[str, str], Decimal],
    rate_at: Mapping[tuple[str, int], Decimal],
) -> Truth:
    """Return the truth of a month; `fills` are in the order in which they happened.

    `last_marks` is by (venue, instrument); `rate_at` gives what one unit of a third asset, in
    which a fee was charged, was worth at the fill's millisecond.
    """
    truth = Truth({}, {})
    seen = {decision.decision_id: decision for decision in decisions}
    for fill in fills:
        account = _account(truth, fill.account, fill.market.quote)
        book = truth.books.setdefault(
            (fill.account, fill.market.symbol, fill.strategy), BookTruth()
        )
        account.n_fills += 1
        fee = _fee_value(fill, rate_at)
        account.fees += fee
        account.cash -= _grid(fill.moved * fill.px) + fee
        _rungs(account, fill, seen.get(fill.decision_id or ""), last_marks)
        before = book.realised
        _trade(book, fill.moved, fill.px)
        account.realised += book.realised - before
    for payment in payments:
        account = _account(truth, payment.account, payment.market.quote)
        account.funding += _grid(payment.amount)
        account.cash += _grid(payment.amount)
    markets = {(fill.account, fill.market.symbol): fill.market for fill in fills}
    for (name, symbol, _), book in truth.books.items():
        market = markets[name, symbol]
        worth = _grid(book.position * last_marks[market.venue, symbol])
        _account(truth, name, market.quote).unrealised += worth - book.cost
    return truth


def _account(truth: Truth, account: str, currency: str) -> AccountTruth:
    return truth.accounts.setdefault((account, currency), AccountTruth(account, currency))


def _grid(amount: Decimal) -> int:
    scaled = amount.scaleb(18)
    assert scaled == int(scaled), "a simulated amount has more than 18 decimals"
    return int(scaled)


def _fee_value(fill: SimFill, rate_at: Mapping[tuple[str, int], Decimal]) -> int:
    if fill.fee_asset == fill.market.quote:
        return _grid(fill.fee)
    if fill.base_fee:
        return _grid(fill.fee * fill.px)
    return _grid(fill.fee * rate_at[fill.fee_asset, fill.ts_ms])


def _rungs(
    account: AccountTruth,
    fill: SimFill,
    decision: SimDecision | None,
    last_marks: Mapping[tuple[str, str], Decimal],
) -> None:
    """Add one fill's steps decision, arrival, mid, fill; each is linear in its quantity."""
    mark = last_marks[fill.market.venue, fill.market.symbol]
    if decision is None:
        account.signal_unpriced += _grid(fill.moved * (mark - fill.px))
        return
    account.signal += _grid(fill.moved * (mark - decision.decision_px))
    account.delay += _grid(fill.moved * (decision.arrival_px - decision.decision_px))
    account.drift += _grid(fill.moved * (decision.mid_px - decision.arrival_px))
    account.spread += _grid(fill.moved * (fill.px - decision.mid_px))


def _trade(book: BookTruth, moved: Decimal, px: Decimal) -> None:
    held, after = book.position, book.position + moved
    if held * moved >= 0:
        book.cost += _grid(moved * px)
    else:
        closed = min(abs(moved), abs(held)) * (1 if moved > 0 else -1)
        removed = abs(book.cost) * _grid(abs(closed)) // _grid(abs(held))
        removed = removed if book.cost > 0 else -removed
        book.realised += _grid(-closed * px) - removed
        book.cost += _grid((moved - closed) * px) - removed
    book.position = after
