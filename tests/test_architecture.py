"""The floors of the house: imports go down only, and the contract covers every room."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_imports_go_down_only() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    run = subprocess.run(
        [str(linter), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "The floors: imports go down only KEPT" in run.stdout


def test_every_folder_is_a_floor_of_the_contract() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (floors,) = settings["tool"]["importlinter"]["contracts"]
    # A layer in parentheses may be missing.
    named = {layer.strip("()").removeprefix("fillbook.") for layer in floors["layers"]}
    folders = {path.parent.name for path in (ROOT / "src" / "fillbook").glob("*/__init__.py")}
    assert folders <= named
