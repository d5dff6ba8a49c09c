"""The command that compares the book with what its venues state: reconcile."""

from __future__ import annotations

import typer

from fillbook.cli.options import Asked, help_of, reading


def register(app: typer.Typer) -> None:
    """Add `reconcile` to the command line."""
    app.command(help=help_of(reconcile), rich_help_panel="The book")(reconcile)


@reading(without=("by", "strategy", "method"))
def reconcile(asked: Asked) -> None:
    """Compare the book with what the venues state: positions, results, fees, orders, worth.

    Positions by fills, realised PnL fill by fill, Binance's COMMISSION rows, what orders say was
    filled, Hyperliquid's positions before each fill, and the change of the account's worth. Every
    difference names its amount, the fills around it and the next step; what cannot be checked is
    said. A venue's balance is compared and never used. Exits 1 when something differs.

    Examples:
      fillbook reconcile
      fillbook reconcile --account main --since 7d
      fillbook reconcile --json
    """
    from fillbook.analysis.reconcile.book import reconcile as compare
    from fillbook.analysis.reconcile.stated import KINDS, Stated
    from fillbook.cli.opening import folded, opened_book
    from fillbook.cli.page import Page, print_csv, print_json
    from fillbook.cli.reconciled import CheckLine, lines_of, show_reconciled

    with (
        folded(asked) as (view, query, place),
        opened_book(place, readonly=True) as (journal, _),
    ):
        stated = Stated(journal.claims(as_of=view.seq, kinds=KINDS))
        answer = compare(view, stated, query)
    if asked.json:
        print_json(answer)
    elif asked.csv:
        print_csv(CheckLine, lines_of(answer))
    else:
        page = Page()
        show_reconciled(page, answer, place.settings.label)
        page.print()
    if answer.n_differ:
        raise typer.Exit(1)
