"""Runs the examples in docs/import.md and docs/readers/, and writes what they print back into them.

    python scripts/reader_pages.py

A page is a story in one folder: every fenced block with `file=NAME` is written there, every
`console` block runs its `$ fillbook ...` lines there and shows what they printed.
tests/test_reader_pages.py fails when a page is stale.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "docs" / "import.md", *sorted((ROOT / "docs" / "readers").glob("*.md")))
WIDTH = 96
_BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PROMPT = "$ fillbook "


def told(page: Path) -> str:
    """Return a page with the output of its commands as they print it now."""
    with tempfile.TemporaryDirectory() as folder:

        def again(block: re.Match[str]) -> str:
            language, name, body = block[1], block[2], block[3]
            if name is not None:
                Path(folder, name).write_text(body, encoding="utf-8")
            if language != "console":
                return block[0]
            commands = [line for line in body.splitlines() if line.startswith("$ ")]
            shown = "\n".join(f"{command}\n{_run(command, folder)}" for command in commands)
            return f"```console\n{shown}```"

        return _BLOCK.sub(again, page.read_text(encoding="utf-8"))


def _run(command: str, folder: str) -> str:
    if not command.startswith(_PROMPT):
        raise ValueError(f"{command!r} is not a fillbook command")
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FILLBOOK_")}
    done = subprocess.run(
        [sys.executable, "-m", "fillbook.cli.app", *command.removeprefix(_PROMPT).split()],
        env={**kept, "COLUMNS": str(WIDTH), "TERMINAL_WIDTH": str(WIDTH), "NO_COLOR": "1"},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    # A book is made on the first import of a page; that line would only repeat on each.
    return "".join(f"{line}\n" for line in lines if not line.startswith("made "))


if __name__ == "__main__":
    for each in PAGES:
        each.write_text(told(each), encoding="utf-8")
