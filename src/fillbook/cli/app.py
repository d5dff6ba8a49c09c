"""The `fillbook` command: registers every command and turns every fault into a clear message.

Nothing heavy is imported here, so that `fillbook --help` is instant; each command imports what
it needs when it runs.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fillbook import __version__
from fillbook.cli import copies, doctor, export, importing, keeping, monitor, reading, reconciling
from fillbook.cli.faults import report_fault, report_told
from fillbook.ground.errors import FillbookError

app = typer.Typer(
    name="fillbook",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (keeping, importing, reading, monitor, doctor, export, copies, reconciling):
    group.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"fillbook {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Say the version."),
    ] = False,
) -> None:
    """Are we actually making money, and why?

    A book of fills that answers with proof. Start with [bold]fillbook import PATH[/bold] and
    then [bold]fillbook why[/bold]; [bold]fillbook demo --once[/bold] shows it on synthetic bots.
    """


def main() -> None:
    """Run the command line; exit 0 fine, 1 findings that matter, 2 could not do it."""
    try:
        app(prog_name="fillbook")
    except FillbookError as told:
        sys.exit(report_told(told))
    except Exception as fault:  # the last wall: a person gets one line and a log, no traceback
        sys.exit(report_fault(fault))


if __name__ == "__main__":
    main()
