"""Executions of a paper-trading back test: no times, numbers written from binary floats.

Row n happened at `--start` plus n nanoseconds, which keeps the order and claims nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from fillbook.facts.identity import key_of
from fillbook.facts.model import Fill
from fillbook.ground.errors import InputError
from fillbook.sources.files.opened import SourceFile
from fillbook.sources.files.table import Context, Named, TableReader
from fillbook.sources.rows import Row
from fillbook.sources.source import FROM_FLOATS, WITHOUT_TIMES, Draft, ReadOptions, RowError
from fillbook.sources.symbols import describe


class PaperExecutions(TableReader):
    """Reads trades.csv with cost and proceeds columns."""

    name = "paper-executions"
    title = "Paper execution files"
    venue = "paper"
    labels = (FROM_FLOATS, WITHOUT_TIMES)
    needs = ("symbol", "side", "qty", "price", "fee", "strategy", "cost", "proceeds")

    def default_account(self, options: ReadOptions) -> str:
        """Return an account of its own: rows without times must not mix with timed ones."""
        return options.account or "paper"

    def context(self, file: SourceFile, options: ReadOptions) -> Context:
        """Settle the instant of the first row; without it there is no order to anything."""
        if options.start_ns is None:
            raise no_times(file)
        context = super().context(file, options)
        return Context(
            venue=context.venue,
            account=context.account,
            header=context.header,
            start_ns=options.start_ns,
            settle=context.settle,
        )

    def drafts(self, named: Named, context: Context) -> Iterable[Draft]:
        """Turn one execution into a fill."""
        row, account = named.row, context.account or ""
        symbol, side = row.need("symbol"), row.side("side")
        px, qty, fee = row.positive("price"), row.positive("qty"), row.amount("fee")
        _check_cash(row, px * qty, fee, "cost" if side == "buy" else "proceeds")
        ts_ns = (context.start_ns or 0) + named.number
        described = describe(context.venue, account, symbol, "spot", settle=context.settle)
        fill = Fill(
            venue=context.venue,
            account=account,
            ts_ns=ts_ns,
            instrument=symbol,
            side=side,
            px=px,
            qty=qty,
            fee=fee,
            fee_asset=described.settle,
            strategy=row.text("strategy"),
            from_floats=True,
        )
        key = key_of(ts_ns, context.start_ns, named.number, symbol, side, px, qty, fill.strategy)
        yield Draft(fill, key, ranked=True, instrument=described)


def no_times(file: SourceFile) -> InputError:
    """Say that a file without times needs the instant of its first row."""
    return InputError(
        "the rows have no times",
        str(file.path),
        "say when the first one happened, such as --start 2025-05-24T12:00:00Z",
    )


def _check_cash(row: Row, moved: Decimal, fee: Decimal, name: str) -> None:
    """Cost is qty x price + fee, proceeds qty x price - fee, to a float's sixteen digits."""
    printed = row.number(name)
    if printed is None:
        return
    expected = moved + fee if name == "cost" else moved - fee
    if abs(printed - expected) > abs(expected).scaleb(-9):
        raise RowError(name, f"{printed} is not {expected}, as qty, price and fee say")
