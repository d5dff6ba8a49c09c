"""The commands around the live monitor: start, stop, status, metrics."""

from __future__ import annotations

from typing import Annotated

import typer

from fillbook.cli.options import Asked, BookOption, JsonOption, help_of, reading

_NOT_READ = ("csv", "strategy", "instrument", "by", "as_of", "method")


def register(app: typer.Typer) -> None:
    """Add `fillbook monitor` and its commands to the command line."""
    group = typer.Typer(
        name="monitor",
        help="Watch attached accounts live: start, stop, status, metrics.",
        no_args_is_help=True,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for command in (start, stop, status, metrics):
        group.command(help=help_of(command))(command)
    app.add_typer(group, rich_help_panel="Live")


def start(
    book: BookOption = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            metavar="PORT",
            help="Serve health and metrics there instead of \\[monitor] port.",
        ),
    ] = None,
) -> None:
    """Attach every account in fillbook.toml, read-only, and keep watching until stopped.

    Runs in this terminal until Ctrl+C or `fillbook monitor stop`; the book is made when there is
    none. Stopping closes no trade: what is open stays open, and the next start goes on with it.

    Examples:
      fillbook monitor start
      fillbook monitor start --book books/main.db --port 0
    """
    from fillbook.cli.monitored import run_monitor

    raise typer.Exit(run_monitor(book, port))


def stop(book: BookOption = None, json: JsonOption = False) -> None:
    """Stop the running monitor of a book within 10 seconds, and say what it still wrote.

    Examples:
      fillbook monitor stop
      fillbook monitor stop --book books/main.db
    """
    from fillbook.cli.monitored import stop_monitor

    stop_monitor(book, json)


@reading(without=(*_NOT_READ, "since", "until"))
def status(asked: Asked) -> None:
    """Show the open positions, and what each attached account and stream is doing.

    Reads the book beside the monitor, so it works whether one runs or not.

    Examples:
      fillbook monitor status
      fillbook monitor status --json
    """
    from fillbook.cli.monitoring import tell_status

    tell_status(asked)


@reading(without=tuple(name for name in _NOT_READ if name != "csv"))
def metrics(asked: Asked) -> None:
    """Show how the completed trades did: totals, win rate, best and worst, and the recent ones.

    CSV has the totals only, a row per currency; `fillbook trades --csv` has the trades.

    Examples:
      fillbook monitor metrics
      fillbook monitor metrics --since 7d --json
    """
    from fillbook.cli.monitoring import tell_metrics

    tell_metrics(asked)
