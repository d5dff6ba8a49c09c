"""The page of definitions and the answers stay in step, both ways."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from fillbook.analysis import answers, path, ratios
from fillbook.analysis.performance import TradeStatistics

PAGE = (Path(__file__).parent.parent / "docs" / "metrics.md").read_text(encoding="utf-8")
FIRST_CELLS = " ".join(re.findall(r"^\| (`[^|]*) \|", PAGE, re.MULTILINE))
DEFINED = set(re.findall(r"`([a-z0-9_]+)`", FIRST_CELLS))

# Fields that name or place an answer instead of measuring something.
LABELS = {
    *("asset", "basis", "currency", "notes", "part", "profit_factor_note", "trade_definition"),
}
MEASURED = (
    answers.Performance,
    answers.CostRow,
    answers.Ladder,
    answers.Expectancy,
    ratios.DailyRatios,
    TradeStatistics,
)
FUNCTIONS = {"exit_efficiency", "range_efficiency", "r_multiple", "return_on_notional"}


def fields_of(*shapes: type[msgspec.Struct]) -> set[str]:
    return {field.name for shape in shapes for field in msgspec.structs.fields(shape)}


def test_every_figure_we_show_is_defined() -> None:
    in_text = set(re.findall(r"`([a-z0-9_]+)`", PAGE))
    missing = fields_of(*MEASURED) - LABELS - in_text
    assert not missing


def test_every_figure_defined_exists() -> None:
    known = fields_of(*MEASURED, answers.TradeRow, answers.Why, path.TradePath)
    invented = DEFINED - known - {name for name in FUNCTIONS if hasattr(path, name)}
    assert len(DEFINED) > 60
    assert not invented
