"""Reads the numeric vectors beside this file: definitions worked out once, by other programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(__file__).parent / "vectors"
Case = dict[str, Any]


def cases(topic: str, wanted: Callable[[Case], bool] = lambda case: True) -> list[Any]:
    """Return the cases of one file as pytest parameters named after their ids."""
    content = json.loads((VECTORS / f"{topic}.json").read_text())
    chosen = [case for case in content["cases"] if wanted(case)]
    assert chosen, f"no case of {topic} was chosen"
    return [pytest.param(case, id=case["id"]) for case in chosen]


def case(topic: str, case_id: str) -> Case:
    """Return one case by its id."""
    content = json.loads((VECTORS / f"{topic}.json").read_text())
    return next(case for case in content["cases"] if case["id"] == case_id)


def assert_close(name: str, got: float | Decimal | None, expected: str | None, tol: str) -> None:
    """Compare one number with its decimal text; None only equals null, inf only "inf"."""
    if expected is None or got is None:
        assert got is None and expected is None, f"{name}: got {got}, expected {expected}"
        return
    if expected == "inf":
        assert got == float("inf"), f"{name}: got {got}, expected inf"
        return
    difference = abs(Decimal(got) - Decimal(expected))
    assert difference <= Decimal(tol), f"{name}: got {got}, expected {expected}"
