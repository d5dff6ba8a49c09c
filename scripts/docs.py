"""Writes what is generated in the documentation; tests/test_docs.py fails when it is stale.

    python scripts/docs.py

docs/cli.md            the help of every command, as the program prints it
docs/schemas/*.json    the JSON schema of every `--json`
docs/prometheus.md     the table of metrics, between two markers
README.md              `fillbook why` on the book of `fillbook demo`, between two markers
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from typer import Typer

from fillbook.cli.app import app
from fillbook.cli.shapes import SHAPES, schema_of
from fillbook.publish.registry import table

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 96
BLOCK = re.compile(r"(<!-- why:begin[^>]*-->\n).*?(<!-- why:end -->)", re.DOTALL)
TABLE = re.compile(r"(<!-- metrics:begin[^>]*-->\n).*?(<!-- metrics:end -->)", re.DOTALL)


def run(*arguments: str, folder: Path | None = None) -> str:
    """Run the command line as a person would at a fixed width; return what it printed."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FILLBOOK_", "FILLBOOK__"))}
    done = subprocess.run(
        [sys.executable, "-m", "fillbook.cli.app", *arguments],
        env={**kept, "COLUMNS": str(WIDTH), "TERMINAL_WIDTH": str(WIDTH), "NO_COLOR": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return "\n".join(line.rstrip() for line in done.stdout.splitlines()).strip("\n")


def commands() -> list[str]:
    """Return the names of all commands, in the order the help lists them; groups come last."""
    names = names_of(app)
    for group in app.registered_groups:
        assert group.typer_instance is not None
        name = group.typer_instance.info.name
        names += [f"{name} {command}" for command in names_of(group.typer_instance)]
    return names


def names_of(group: Typer) -> list[str]:
    """Return the names of the commands directly in a group."""
    return [
        command.name or command.callback.__name__.rstrip("_")
        for command in group.registered_commands
        if command.callback is not None
    ]


def cli_page() -> str:
    """Return docs/cli.md."""
    parts = [
        "# Command line",
        "Written by `make docs` from the program's own help.",
        "Exit status: 0 fine; 1 findings that matter (`verify`, `reconcile`, `doctor`) or a damaged"
        " book; 2 could not do what was asked.",
        f"```\n{run('--help')}\n```",
    ]
    for name in commands():
        parts.append(f"## fillbook {name}\n\n```\n{run(*name.split(), '--help')}\n```")
    return "\n\n".join(parts) + "\n"


def schema_text(command: str) -> str:
    """Return docs/schemas/COMMAND.json."""
    return json.dumps(schema_of(command), indent=2) + "\n"


def readme_page(readme: str) -> str:
    """Return README.md with the demo's answer between its markers."""
    with tempfile.TemporaryDirectory() as folder:
        run("demo", "--once", folder=Path(folder))
        answer = run("why", "--book", "demo/fillbook.db", folder=Path(folder))
    block = f"```\n$ fillbook why --book demo/fillbook.db\n{answer}\n```"
    return BLOCK.sub(lambda found: f"{found[1]}{block}\n{found[2]}", readme)


def metrics_page(page: str) -> str:
    """Return docs/prometheus.md with the registry's table between its markers."""
    return TABLE.sub(lambda found: f"{found[1]}{table()}{found[2]}", page)


def write() -> None:
    """Write every generated page."""
    (ROOT / "docs" / "cli.md").write_text(cli_page(), encoding="utf-8")
    schemas = ROOT / "docs" / "schemas"
    schemas.mkdir(exist_ok=True)
    for command in SHAPES:
        (schemas / f"{command}.json").write_text(schema_text(command), encoding="utf-8")
    page = ROOT / "docs" / "prometheus.md"
    page.write_text(metrics_page(page.read_text(encoding="utf-8")), encoding="utf-8")
    readme = ROOT / "README.md"
    readme.write_text(readme_page(readme.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    write()
