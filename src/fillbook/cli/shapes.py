"""What each command prints as JSON: the one table that docs/schemas/ is generated from."""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

import msgspec

from fillbook.analysis.answers import (
    Answer,
    CostRow,
    FillRow,
    FindingRow,
    Performance,
    PositionRow,
    TradeRow,
    Why,
)
from fillbook.analysis.reconcile.answer import Reconciliation
from fillbook.facts.finding import Finding
from fillbook.ground.checks import Check, CheckState
from fillbook.journal.backup import Copied
from fillbook.monitor.pidfile import Stopped
from fillbook.publish.exports import Exported
from fillbook.sources.files.importing import ImportReport
from fillbook.sources.liveness import MonitorHealth

Row = TypeVar("Row")


class Listing(Answer, Generic[Row], frozen=True, kw_only=True):
    """A list and the journal sequence it is true at."""

    seq: int
    rows: tuple[Row, ...]


class Verified(Answer, frozen=True, kw_only=True):
    """What verification looked at and what it found; null where damage hides it."""

    book_id: str | None
    seq: int | None
    head: str | None
    batches: int | None
    claims: int | None
    findings: tuple[Finding, ...]


class Retracted(Answer, frozen=True, kw_only=True):
    """The head of the journal after a batch was retracted."""

    seq: int
    batch: str


class DailyTrades(Answer, frozen=True, kw_only=True):
    """Closed trades of a day, by close time."""

    total: int
    wins: int
    losses: int
    win_rate_pct: float | None


class DailyPerformance(Answer, frozen=True, kw_only=True):
    """Money of a day's closed trades; `gross_loss` is negative here."""

    gross_profit: float
    gross_loss: float
    net_pnl: float | None
    expectancy: float | None
    profit_factor: float | Literal["inf"] | None


class DailyExecution(Answer, frozen=True, kw_only=True):
    """Entry orders of a day and what slipped; null without order events or samples."""

    orders_placed: int | None
    orders_filled: int | None
    fill_rate_pct: float | None
    avg_entry_slippage_bps: float | None
    avg_exit_slippage_bps: float | None


class DailyCosts(Answer, frozen=True, kw_only=True):
    """Fees and funding of a day; `total_costs` = fees paid - net funding."""

    fees_paid: float | None
    funding_paid: float
    funding_received: float
    net_funding: float
    total_costs: float | None


class DailyTime(Answer, frozen=True, kw_only=True):
    """How long trades were held, and how much of the day one was open."""

    time_in_market_pct: float | None
    avg_holding_hours: float | None


class DailyTruth(Answer, frozen=True, kw_only=True):
    """The state of the book that a day's figures are true at, and whose they are.

    `venue` is null where the account has this currency at several venues.
    """

    book: str
    seq: int
    head: str
    revision: int
    venue: str | None
    account: str
    currency: str


class DailyDocument(Answer, frozen=True, kw_only=True):
    """The daily file of one account and currency, as written to DIR."""

    date: str
    session_start: str
    trades: DailyTrades
    performance: DailyPerformance
    execution: DailyExecution
    costs: DailyCosts
    time: DailyTime
    fillbook: DailyTruth


class OpenPosition(Answer, frozen=True, kw_only=True):
    """An open position as the monitor lists it; `size` is positive, prices per unit."""

    account: str
    venue: str
    product_id: str
    side: str
    size: str
    entry_price: str | None
    current_price: str | None
    current_time: str | None
    unrealized_pnl: str | None
    currency: str
    opened: str | None


class MonitorStatus(Answer, frozen=True, kw_only=True):
    """What is open, and how the monitor is doing; `health` is null where none answers.

    `until` is the time of the newest event or price in the book. `ended_without_word` says that
    the last monitor was killed, or lost its power.
    """

    seq: int
    head: str
    running: bool
    pid: int | None
    url: str | None
    health: MonitorHealth | None
    positions: tuple[OpenPosition, ...]
    until: str | None = None
    ended_without_word: bool = False


class MonitorMetrics(Answer, frozen=True, kw_only=True):
    """How completed trades did, per currency, and the most recent ones, oldest first."""

    seq: int
    head: str
    totals: tuple[Performance, ...]
    recent: tuple[TradeRow, ...]


class Examination(Answer, frozen=True, kw_only=True):
    """What `doctor` looked at, the gravest first; `status` is the worst of the checks."""

    at: str
    book: str
    status: CheckState
    checks: tuple[Check, ...]


SHAPES: dict[str, Any] = {
    "why": Why,
    "fills": Listing[FillRow],
    "trades": Listing[TradeRow],
    "positions": Listing[PositionRow],
    "performance": Listing[Performance],
    "costs": Listing[CostRow],
    "daily": Listing[DailyDocument],
    "findings": Listing[FindingRow],
    "reconcile": Reconciliation,
    "import": ImportReport,
    "retract": Retracted,
    "verify": Verified,
    "doctor": Examination,
    "export": Exported,
    "backup": Copied,
    "restore": Copied,
    "monitor-stop": Stopped,
    "monitor-status": MonitorStatus,
    "monitor-metrics": MonitorMetrics,
}


def schema_of(command: str) -> dict[str, Any]:
    """Return the JSON schema of a command's answer; words are joined by a hyphen."""
    schema = msgspec.json.schema(SHAPES[command])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"fillbook {command.replace('-', ' ')} --json",
        **schema,
    }
