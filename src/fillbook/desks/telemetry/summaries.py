"""What telemetry tells: costs, trades, execution and one whole day, each over one exact record.

All four are windows on a `DailyRecord`; every derived figure is the record's own, and what is
written down goes through `publish/daily.py`. Money is Decimal, statistics are floats, and None
says that a figure is not defined.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec

from fillbook.analysis.daily import DailyRecord
from fillbook.ground.clock import DAY_NS, HOUR_NS, day_start_ns
from fillbook.ground.exact import MONEY_SCALE, from_scaled, parse_decimal, plain_text, to_money
from fillbook.publish import daily as written

Amount = Decimal | int | float | str
"""A number as a bot has it; a float is read as the decimal text it prints."""

GROSS_BASIS = "gross, fees unknown"
APART_BASIS = "gross, fees apart"
NET_BASIS = "net"


def decimal_of(amount: Amount) -> Decimal:
    """Read a number; ValueError for NaN, infinities and what is no number at all.

    >>> decimal_of(0.1), decimal_of("-5.0")
    (Decimal('0.1'), Decimal('-5.0'))
    """
    return parse_decimal(amount if isinstance(amount, str) else str(amount))


class _Told:
    """One record, and the sections of its document that this summary tells.

    `fees_apart`: the account's fees are known, but not which trade each of them belongs to.
    """

    fees_apart = False
    sections: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    def __init__(self, record: DailyRecord) -> None:
        self.record = record

    @classmethod
    def of(cls, record: DailyRecord) -> Any:
        """Tell a record of the ledger."""
        told = cls.__new__(cls)
        _Told.__init__(told, record)
        return told

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.record == getattr(other, "record", None)

    def __hash__(self) -> int:
        return hash((type(self), self.record))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.to_log_line()})"

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as the daily JSON has them, rounded to two decimals."""
        document = msgspec.json.decode(written.to_json(self.record))
        return {name: value for part in self.sections for name, value in document[part].items()}

    def to_log_line(self) -> str:
        """Return this summary's share of the daily log line."""
        fields = written.to_log_line(self.record).split(" ")
        return " ".join(field for field in fields if field.partition("=")[0] in self.words)


class CostSummary(_Told):
    """What trading cost: fees positive = paid, funding apart from them.

    >>> costs = CostSummary(fees_paid=50, funding_received=20, funding_paid=30)
    >>> costs.net_funding == -10, costs.total_costs == 60
    (True, True)
    """

    sections = ("costs",)
    words = ("fees", "net_funding")

    def __init__(
        self, fees_paid: Amount = 0, funding_received: Amount = 0, funding_paid: Amount = 0
    ) -> None:
        super().__init__(
            _record(
                fees=_money(fees_paid),
                funding_received=_money(funding_received),
                funding_paid=_money(funding_paid),
            )
        )

    @property
    def fees_paid(self) -> Decimal | None:
        """Return the fees less rebates; None where a fee is unknown."""
        return _decimal(self.record.fees)

    @property
    def funding_received(self) -> Decimal:
        """Return the funding received, never negative."""
        return from_scaled(self.record.funding_received, MONEY_SCALE)

    @property
    def funding_paid(self) -> Decimal:
        """Return the funding paid, never negative."""
        return from_scaled(self.record.funding_paid, MONEY_SCALE)

    @property
    def net_funding(self) -> Decimal:
        """Return funding received less paid."""
        return from_scaled(self.record.net_funding, MONEY_SCALE)

    @property
    def total_costs(self) -> Decimal | None:
        """Return fees less net funding; None where a fee is unknown."""
        return _decimal(self.record.total_costs)


class TradeSummary(_Told):
    """Closed trades; `gross_loss` is negative here, as in the daily files.

    Where fees are unknown the money is gross of them, and `basis` says so.

    >>> told = TradeSummary(10, 7, 3, gross_profit=100, gross_loss=-40)
    >>> told.win_rate, told.net_pnl == 60, told.expectancy, told.profit_factor
    (70.0, True, 6.0, 2.5)
    """

    sections = ("trades", "performance")
    words = ("trades", "win_rate", "expectancy", "profit_factor", "avg_slippage_bps")

    def __init__(
        self,
        total_trades: int = 0,
        winning_trades: int = 0,
        losing_trades: int = 0,
        gross_profit: Amount = 0,
        gross_loss: Amount = 0,
        *,
        holding_hours: Amount = 0,
        avg_entry_slippage_bps: float | None = None,
        avg_exit_slippage_bps: float | None = None,
    ) -> None:
        profit, loss = _money(gross_profit), abs(_money(gross_loss))
        super().__init__(
            _record(
                wins=winning_trades,
                losses=losing_trades,
                breakeven=total_trades - winning_trades - losing_trades,
                gross_profit=profit,
                gross_loss=loss,
                net=profit - loss,
                hold_ns=int(decimal_of(holding_hours) * HOUR_NS),
                entry_slippage_bps=avg_entry_slippage_bps,
                exit_slippage_bps=avg_exit_slippage_bps,
            )
        )

    @property
    def _shown(self) -> DailyRecord:
        record = self.record
        if record.net is not None:
            return record
        return msgspec.structs.replace(record, net=record.gross_profit - record.gross_loss)

    @property
    def basis(self) -> str:
        """Say what the money is: net of fees and funding, or gross and why."""
        if self.fees_apart:
            return APART_BASIS
        return GROSS_BASIS if self.record.net is None else NET_BASIS

    @property
    def total_trades(self) -> int:
        """Return the closed trades, break-even ones included."""
        return self.record.trades

    @property
    def winning_trades(self) -> int:
        """Return the trades that gained."""
        return self.record.wins

    @property
    def losing_trades(self) -> int:
        """Return the trades that lost."""
        return self.record.losses

    @property
    def gross_profit(self) -> Decimal:
        """Return what the winners gained together."""
        return from_scaled(self.record.gross_profit, MONEY_SCALE)

    @property
    def gross_loss(self) -> Decimal:
        """Return what the losers lost together, zero or negative."""
        return from_scaled(-self.record.gross_loss, MONEY_SCALE)

    @property
    def net_pnl(self) -> Decimal:
        """Return gross profit and loss together, on `basis`."""
        return from_scaled(self._shown.net or 0, MONEY_SCALE)

    @property
    def win_rate(self) -> float | None:
        """Return wins per 100 trades; None without trades."""
        return _statistic(self.record.win_rate_pct)

    @property
    def expectancy(self) -> float | None:
        """Return the mean result of a trade, on `basis`; None without trades."""
        return _statistic(self._shown.expectancy)

    @property
    def profit_factor(self) -> float | None:
        """Return gross profit / gross loss; inf without a loss, None without both."""
        return float("inf") if self.record.unbeaten else _statistic(self.record.profit_factor)

    @property
    def avg_holding_hours(self) -> float | None:
        """Return the mean holding time; None without trades."""
        return _statistic(self.record.avg_holding_hours)

    @property
    def avg_entry_slippage_bps(self) -> float | None:
        """Return the mean slippage of entries, positive = cost; None without samples."""
        return self.record.entry_slippage_bps

    @property
    def avg_exit_slippage_bps(self) -> float | None:
        """Return the mean slippage of exits, positive = cost; None without samples."""
        return self.record.exit_slippage_bps

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as the daily JSON has them, holding time and basis beside them."""
        document = msgspec.json.decode(written.to_json(self._shown))
        execution, time = document["execution"], document["time"]
        return {
            **document["trades"],
            **document["performance"],
            "avg_holding_hours": time["avg_holding_hours"],
            "avg_entry_slippage_bps": execution["avg_entry_slippage_bps"],
            "avg_exit_slippage_bps": execution["avg_exit_slippage_bps"],
            "basis": self.basis,
        }


class ExecutionSummary(_Told):
    """Entry orders placed and filled, each order once; reduce-only ones are left out.

    >>> ExecutionSummary(orders_placed=20, orders_filled=16).fill_rate_pct
    80.0
    """

    sections = ("execution",)
    words = ("fill_rate", "avg_slippage_bps")

    def __init__(self, orders_placed: int = 0, orders_filled: int = 0) -> None:
        super().__init__(_record(orders_placed=orders_placed, orders_filled=orders_filled))

    @property
    def orders_placed(self) -> int:
        """Return the entry orders placed."""
        return self.record.orders_placed or 0

    @property
    def orders_filled(self) -> int:
        """Return the entry orders filled."""
        return self.record.orders_filled or 0

    @property
    def fill_rate_pct(self) -> float | None:
        """Return entry orders filled per 100 placed; None where none was placed."""
        return _statistic(self.record.fill_rate_pct)


class DailySummary(_Told):
    """One day of one account in one currency.

    `to_dict` is the daily JSON document, `to_log_line` the daily line. `time_in_market_pct` is of
    the whole day.
    """

    def __init__(
        self,
        date: str,
        trades: TradeSummary | None = None,
        execution: ExecutionSummary | None = None,
        costs: CostSummary | None = None,
        *,
        time_in_market_pct: Amount = 0,
    ) -> None:
        told = msgspec.structs.asdict((trades or TradeSummary()).record)
        for part, names in (
            ((execution or ExecutionSummary()).record, ("orders_placed", "orders_filled")),
            ((costs or CostSummary()).record, ("fees", "funding_paid", "funding_received")),
        ):
            told |= {name: getattr(part, name) for name in names}
        told["day"], told["session_start_ns"] = date, day_start_ns(date)
        told["in_market_ns"] = int(decimal_of(time_in_market_pct) * DAY_NS) // 100
        super().__init__(DailyRecord(**told))

    @property
    def date(self) -> str:
        """Return the UTC day as YYYY-MM-DD."""
        return self.record.day

    @property
    def currency(self) -> str:
        """Return the settlement currency of all money here."""
        return self.record.currency

    @property
    def trades(self) -> TradeSummary:
        """Return the trades that closed on the day."""
        told: TradeSummary = TradeSummary.of(self.record)
        told.fees_apart = self.fees_apart
        return told

    @property
    def execution(self) -> ExecutionSummary:
        """Return the entry orders of the day."""
        told: ExecutionSummary = ExecutionSummary.of(self.record)
        return told

    @property
    def costs(self) -> CostSummary:
        """Return what the day cost."""
        told: CostSummary = CostSummary.of(self.record)
        return told

    @property
    def time_in_market_pct(self) -> float | None:
        """Return the share of the day with an open trade, overlaps counted once."""
        return _statistic(self.record.time_in_market_pct)

    def to_dict(self) -> dict[str, Any]:
        """Return the daily JSON document."""
        document: dict[str, Any] = msgspec.json.decode(written.to_json(self.record))
        return document

    def to_log_line(self) -> str:
        """Return the daily log line."""
        return written.to_log_line(self.record)


def empty_record(day: str, start_ns: int, window_ns: int, **told: Any) -> DailyRecord:
    """Return the record of a window in which nothing moved."""
    fields: Mapping[str, Any] = {"currency": "USDT", "book": "", "seq": 0, "head": "", **told}
    return DailyRecord(day=day, session_start_ns=start_ns, window_ns=window_ns, **fields)


def _record(**told: Any) -> DailyRecord:
    return empty_record("1970-01-01", 0, DAY_NS, **told)


def _money(amount: Amount) -> int:
    return to_money(decimal_of(amount))


def _decimal(amount: int | None) -> Decimal | None:
    return None if amount is None else Decimal(plain_text(from_scaled(amount, MONEY_SCALE)))


def _statistic(value: Fraction | None) -> float | None:
    return None if value is None else float(value)
