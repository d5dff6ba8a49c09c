"""freqtrade back-test results: the zip or the JSON inside it, each strategy an account of its own.

Every trade is a round trip, made of its listed orders or else of its two ends. Numbers were
written from binary floats; a fee is its rate times amount times price. `profit_abs` is net of
fees in most files and gross in some: the row itself tells which, and the gross result is carried
as evidence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec

from fillbook.facts.identity import key_of
from fillbook.facts.model import AnyFact, Fill, Funding, Instrument, Side
from fillbook.ground.clock import parse_ns
from fillbook.ground.errors import InputError
from fillbook.sources.files.opened import Sample, SourceFile
from fillbook.sources.files.records import Document, parse_object, parsed_record, split_number
from fillbook.sources.files.table import product
from fillbook.sources.reading import Parsed, Reading, Terms, Whose, facts_of
from fillbook.sources.rows import Row, TimeForm
from fillbook.sources.source import (
    AS_RECORDED,
    FROM_FLOATS,
    RANK_FILE,
    Draft,
    ReadOptions,
    RowError,
)
from fillbook.sources.symbols import describe

VENUE = "freqtrade"
MILLISECOND_NS = 1_000_000
_MARKS = ('"strategy"', '"open_rate"', '"close_rate"', '"fee_open"')
_MILLISECONDS = TimeForm("unix_ms")


class _Results(msgspec.Struct):
    strategy: dict[str, msgspec.Raw]
    metadata: dict[str, dict[str, object]] = {}


class _Strategy(msgspec.Struct):
    trades: list[msgspec.Raw]
    stake_currency: str | None = None
    trading_mode: str | None = None


class RunContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a stored trade needs to be read again: its run, its account and its market kind."""

    venue: str
    account: str
    strategy: str
    run: str
    futures: bool
    stake: str | None = None


class _Execution(msgspec.Struct, frozen=True):
    """One filled order of a trade."""

    part: str
    enters: bool
    ts_ns: int
    px: Decimal
    qty: Decimal
    fee: Decimal


class Freqtrade:
    """Back-test results, one reading per strategy."""

    name = "freqtrade"
    title = "freqtrade back-test results"
    rank = RANK_FILE

    def recognises(self, sample: Sample) -> bool:
        """Say whether JSON names the fields of freqtrade's trades."""
        return sample.is_json and all(mark in sample.text for mark in _MARKS)

    def read(self, file: SourceFile, options: ReadOptions) -> list[Reading]:
        """Open a result; an account is named after strategy and run unless `--account` does."""
        results: _Results = Document(file).top(_Results)
        if not results.strategy:
            raise InputError("the result holds no strategy", str(file.path), "run the test again")
        return [self._reading(file, name, results, options) for name in sorted(results.strategy)]

    def _reading(
        self, file: SourceFile, name: str, results: _Results, options: ReadOptions
    ) -> Reading:
        strategy: _Strategy = Document(file).part(results.strategy[name], _Strategy)
        run = str(results.metadata.get(name, {}).get("run_id") or file.fingerprint)
        context = RunContext(
            venue=options.venue or VENUE,
            account=options.account or f"{name}-{run[:8]}",
            strategy=name,
            run=run,
            futures=(strategy.trading_mode or "spot") != "spot",
            stake=strategy.stake_currency or options.settle,
        )
        several = len(results.strategy) > 1
        terms = Terms(
            source=self.name,
            rank=self.rank,
            fingerprint=f"{file.fingerprint}:{name}" if several else file.fingerprint,
            name=str(file.path),
            context=msgspec.json.encode(context).decode(),
            labels=(FROM_FLOATS, AS_RECORDED),
            total_bytes=file.size,
        )
        return Reading(
            Whose(context.venue, context.account),
            terms,
            lambda: _trades(Document(file), strategy.trades, context),
        )

    def reparse(self, context: str, raw: str) -> list[AnyFact]:
        """Parse one stored trade again."""
        number, text = split_number(raw)
        settled = msgspec.json.decode(context, type=RunContext)
        return facts_of(_drafts(parse_object(text), number, settled))


def _trades(
    document: Document, trades: Sequence[msgspec.Raw], context: RunContext
) -> Iterator[Parsed]:
    def drafts(row: Row, number: int) -> Iterator[Draft]:
        return _drafts(row, number, context)

    for number, trade in enumerate(trades):
        yield parsed_record(document.record(number, trade), drafts, numbered=True)


def _drafts(row: Row, number: int, context: RunContext) -> Iterator[Draft]:
    pair, short = row.need("pair"), row.flag("is_short")
    opened_ns = _time(row, "open")
    leg = f"{pair} {opened_ns // MILLISECOND_NS} #{number}"
    key = key_of(opened_ns, context.strategy, context.run, leg)
    described = describe(
        context.venue,
        context.account,
        pair,
        "linear" if context.futures or short else "spot",
        settle=None if ":" in pair else context.stake,
    )
    executions = _orders(row) or _ends(row)
    last_exit = max((n for n, each in enumerate(executions) if not each.enters), default=None)
    closed = not row.flag("is_open")
    for place, each in enumerate(executions):
        final = closed and place == last_exit
        side: Side = "buy" if each.enters is not short else "sell"
        fill = Fill(
            venue=context.venue,
            account=context.account,
            ts_ns=each.ts_ns,
            printed_ns=MILLISECOND_NS,
            instrument=pair,
            side=side,
            px=each.px,
            qty=each.qty,
            fee=each.fee,
            fee_asset=described.settle,
            fill_id=f"{leg}:{each.part}",
            leg=leg,
            strategy=context.strategy,
            venue_pnl=_recorded_gross(row, executions, short) if final else None,
            exit_reason=row.text("exit_reason") or row.text("sell_reason") if final else None,
            from_floats=True,
        )
        yield Draft(fill, f"{key}|{each.part}", ranked=True, instrument=described)
    yield from _funding(row, key, leg, described, context)


def _ends(row: Row) -> list[_Execution]:
    """Return the two ends of a trade whose orders are not listed; one if it is still open."""
    qty = row.positive("amount")
    entry = _Execution(
        "entry", True, _time(row, "open"), row.positive("open_rate"), qty, _fee(row, "open", qty)
    )
    if row.flag("is_open"):
        return [entry]
    left = _Execution(
        "exit", False, _time(row, "close"), row.positive("close_rate"), qty, _fee(row, "close", qty)
    )
    return [entry, left]


def _orders(row: Row) -> list[_Execution]:
    """Return the filled orders of a trade, where the file lists them."""
    listed = row.cells.get("orders")
    executions: list[_Execution] = []
    for number, each in enumerate(listed if isinstance(listed, list) else ()):
        order = Row(each if isinstance(each, dict) else {})
        if order.text("order_filled_timestamp") is None:
            continue
        enters = order.flag("ft_is_entry")
        px = order.positive("safe_price" if order.text("safe_price") else "average")
        qty = order.positive("amount")
        fee = product(row.amount("fee_open" if enters else "fee_close"), qty, px)
        at = order.when("order_filled_timestamp", _MILLISECONDS)
        executions.append(_Execution(str(number), enters, at, px, qty, fee))
    return executions


def _time(row: Row, part: str) -> int:
    stamp = f"{part}_timestamp"
    if row.text(stamp):
        return row.when(stamp, _MILLISECONDS)
    text = row.need(f"{part}_date")
    try:
        return parse_ns(text)
    except ValueError as fault:
        raise RowError(f"{part}_date", str(fault)) from fault


def _fee(row: Row, part: str, qty: Decimal) -> Decimal:
    return product(row.amount(f"fee_{part}"), qty, row.positive(f"{part}_rate"))


def _recorded_gross(row: Row, executions: Sequence[_Execution], short: bool) -> Decimal | None:
    """Return the recorded result before fees: `profit_abs` as it stands, or with them added."""
    recorded = row.number("profit_abs")
    if recorded is None:
        return None
    moved = fees = Decimal(0)
    for each in executions:
        value = product(each.px, each.qty)
        moved += value if each.enters is short else -value
        fees += each.fee
    is_gross = abs(recorded - moved) <= abs(recorded + fees - moved)
    return recorded if is_gross else recorded + fees


def _funding(
    row: Row, key: str, leg: str, described: Instrument, context: RunContext
) -> Iterator[Draft]:
    """Yield what a futures trade received or paid, which the file only knows in sum."""
    paid = row.number("funding_fees")
    if not paid or row.flag("is_open"):
        return
    funding = Funding(
        venue=described.venue,
        account=described.account,
        ts_ns=_time(row, "close"),
        printed_ns=MILLISECOND_NS,
        instrument=described.symbol,
        amount=paid,
        asset=described.settle,
        funding_id=leg,
        strategy=context.strategy,
    )
    yield Draft(funding, f"{key}|funding", instrument=described)
