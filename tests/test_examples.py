"""The files under examples/ are what the simulation writes, and their page does what it says."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fillbook.cli.app import app
from fillbook.sim.examples import write_examples

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_the_files_are_what_the_simulation_writes(tmp_path: Path) -> None:
    write_examples(tmp_path)
    written = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    kept = {
        path.relative_to(EXAMPLES): path.read_bytes()
        for path in EXAMPLES.rglob("*")
        if path.is_file() and path.name != "README.md" and path.suffix not in (".py", ".pyc")
    }
    assert kept == written


def test_the_page_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    page = (EXAMPLES / "README.md").read_text()
    commands = re.findall(r"^fillbook (.+)$", page, flags=re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        done = CliRunner().invoke(app, shlex.split(command), catch_exceptions=False)
        assert done.exit_code == 0, done.output
    answer = re.search(r"begins with `(.+?)`", page)
    assert answer is not None and done.stdout.startswith(answer[1])
