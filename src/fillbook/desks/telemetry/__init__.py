"""Mission telemetry: the desk that a futures bot reports to, and what it tells of a day."""

from fillbook.desks.telemetry.desk import PerformanceTelemetry
from fillbook.desks.telemetry.summaries import (
    CostSummary,
    DailySummary,
    ExecutionSummary,
    TradeSummary,
)

__all__ = [
    "CostSummary",
    "DailySummary",
    "ExecutionSummary",
    "PerformanceTelemetry",
    "TradeSummary",
]
