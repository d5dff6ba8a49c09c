"""The table of capabilities is whole, and every test it names exists and says what it shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "capabilities.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| ([AB]\d\d) \| (.*) \|$", PAGE, re.MULTILINE))
CAPABILITIES = [*(f"A{n:02}" for n in range(1, 28)), *(f"B{n:02}" for n in range(1, 31))]


def test_every_capability_has_its_row() -> None:
    assert list(ROWS) == CAPABILITIES


@pytest.mark.parametrize("name", CAPABILITIES)
def test_the_tests_of_a_capability_exist_and_one_is_named_after_it(name: str) -> None:
    named = re.findall(r"`(tests/\w+\.py)::(\w+)`", ROWS[name])
    for path, test in named:
        assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path}::{test}"
    spans = [re.search(r"_([ab])(\d\d)_to_[ab](\d\d)_", test) for _, test in named]
    ranged = [m for m in spans if m and int(m[2]) <= int(name[1:]) <= int(m[3])]
    assert ranged or any(f"_{name.lower()}_" in f"{test}_" for _, test in named)


def test_no_test_of_a_desk_is_named_after_what_is_not_there() -> None:
    for path in ROOT.glob("tests/test_desk_*.py"):
        for ids in re.findall(r"def test_((?:[ab]\d\d_)+)", path.read_text(encoding="utf-8")):
            assert {one.upper() for one in ids.strip("_").split("_")} <= set(CAPABILITIES)
