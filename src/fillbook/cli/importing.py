"""`fillbook import`: files in, a table of what became of each, and every rejected row."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the importing command to the command line."""
    app.command("import")(import_)


def import_(
    paths: Annotated[list[Path], typer.Argument(help="Files or folders; gzip is fine.")],
    format: Annotated[
        str, typer.Option(metavar="NAME", help="The format, if it should not be recognised.")
    ] = "auto",
) -> None:
    """Read files into the book, each row once however often it is imported."""
