"""Coinbase Pro's fills export: one row per execution, identified by product and trade id."""

from __future__ import annotations

from collections.abc import Iterable

from fillbook.facts.identity import key_of
from fillbook.facts.model import Fill
from fillbook.sources.files.opened import SourceFile
from fillbook.sources.files.table import Context, Named, TableReader, product
from fillbook.sources.rows import TimeForm
from fillbook.sources.source import RANK_FILE_WITH_IDS, Draft, ReadOptions, RowError
from fillbook.sources.symbols import describe

_UNIT = "price/fee/total unit"


class CoinbasePro(TableReader):
    """fills.csv of Coinbase Pro. The portfolio is the account unless `--account` names it."""

    name = "coinbase-pro"
    title = "Coinbase Pro fills exports"
    rank = RANK_FILE_WITH_IDS
    venue = "coinbase"
    account_column = "portfolio"
    needs = (
        *("portfolio", "trade id", "product", "side", "created at", "size", "size unit"),
        *("price", "fee", "total", _UNIT),
    )

    def context(self, file: SourceFile, options: ReadOptions) -> Context:
        """Take `--account` as the name of the file's one portfolio."""
        context = super().context(file, options)
        if options.account is None:
            return context
        portfolios = {
            record.row.text("portfolio")
            for record in self.records(file, context)
            if record.row is not None
        }
        if len(portfolios) > 1:
            return context
        return Context(venue=context.venue, account=options.account, header=context.header)

    def drafts(self, named: Named, context: Context) -> Iterable[Draft]:
        """Turn one execution into a fill; `total` must be what the account gained or lost."""
        row = named.row
        account = context.account or self.whose(row, context).account
        symbol, side = row.need("product"), row.side("side")
        described = describe(
            context.venue,
            account,
            symbol,
            "spot",
            base=row.need("size unit"),
            quote=row.need(_UNIT),
            settle=row.need(_UNIT),
        )
        px, qty, fee = row.positive("price"), row.positive("size"), row.amount("fee")
        moved = product(px, qty)
        gained = moved - fee if side == "sell" else -moved - fee
        if gained != row.amount("total"):
            raise RowError("total", f"{row.text('total')} is not {gained}, as size, price and fee")
        number = row.need("trade id")
        if not number.isdecimal():
            raise RowError("trade id", f"{number!r} is not a number")
        form = TimeForm()
        ts_ns = row.when("created at", form)
        fill = Fill(
            venue=context.venue,
            account=account,
            ts_ns=ts_ns,
            printed_ns=form.printed_ns(row.need("created at")),
            instrument=symbol,
            side=side,
            px=px,
            qty=qty,
            fee=fee,
            fee_asset=described.settle,
            fill_id=number,
            venue_seq=int(number),
        )
        yield Draft(fill, key_of(ts_ns, symbol, number), instrument=described)
