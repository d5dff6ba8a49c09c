"""All file formats, and which of them a file is."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fillbook.facts.model import AnyFact
from fillbook.ground.errors import InputError, UsageError
from fillbook.sources import observed, push
from fillbook.sources.files import binance, coinbase
from fillbook.sources.files.bot_orders import BotOrders
from fillbook.sources.files.bot_trades import BotTrades
from fillbook.sources.files.coinbase_pro import CoinbasePro
from fillbook.sources.files.column_map import REQUIRED, ColumnMap
from fillbook.sources.files.exported import FillbookExport
from fillbook.sources.files.freqtrade import Freqtrade
from fillbook.sources.files.generic import GenericReader, own_map
from fillbook.sources.files.hyperliquid_api import HyperliquidApi
from fillbook.sources.files.hyperliquid_history import HyperliquidHistory
from fillbook.sources.files.hyperliquid_web import HyperliquidWebFunding, HyperliquidWebTrades
from fillbook.sources.files.opened import SourceFile
from fillbook.sources.files.paper_executions import PaperExecutions
from fillbook.sources.files.table import Context
from fillbook.sources.source import Reader

AUTO = "auto"
EXPORTED = FillbookExport()
READERS: tuple[Reader, ...] = (
    EXPORTED,
    HyperliquidApi(),
    HyperliquidWebTrades(),
    HyperliquidWebFunding(),
    HyperliquidHistory(),
    *binance.READERS,
    *coinbase.READERS,
    CoinbasePro(),
    Freqtrade(),
    BotTrades(),
    BotOrders(),
    PaperExecutions(),
    *(GenericReader(own_map(kind)) for kind in REQUIRED),
)
NAMES: tuple[str, ...] = tuple(reader.name for reader in READERS)


def reader_named(name: str, maps: Sequence[ColumnMap] = ()) -> Reader:
    """Return the reader of a `--format`; UsageError lists the names there are."""
    readers = (*READERS, *(GenericReader(each) for each in maps))
    for reader in readers:
        if reader.name == name:
            return reader
    raise UsageError(
        f"there is no format {name!r}",
        f"--format {name}",
        f"choose one of {', '.join((AUTO, *(reader.name for reader in readers)))}",
    )


def recognised(file: SourceFile, maps: Sequence[ColumnMap] = ()) -> list[Reader]:
    """Return every reader that recognises a file by its head.

    A file that `fillbook export` wrote says so itself. A person's own column map speaks before the
    headers that happen to be ours.
    """
    sample = file.sample()
    if EXPORTED.recognises(sample):
        return [EXPORTED]
    mapped = [reader for each in maps if (reader := GenericReader(each)).recognises(sample)]
    if mapped:
        return [
            *(r for r in READERS if not isinstance(r, GenericReader) and r.recognises(sample)),
            *mapped,
        ]
    return [reader for reader in READERS if reader.recognises(sample)]


def detect(file: SourceFile, maps: Sequence[ColumnMap] = ()) -> Reader:
    """Return the one reader that recognises a file; InputError when none or several do."""
    found = recognised(file, maps)
    if len(found) == 1:
        return found[0]
    if found:
        names = " or ".join(reader.name for reader in found)
        raise InputError(
            f"this file could be {names}",
            str(file.path),
            f"say which with --format {found[0].name}",
        )
    if not file.sample().start:
        raise InputError("the file is empty", str(file.path), "export it again")
    raise InputError(
        "no reader recognises this file",
        str(file.path),
        "see docs/import.md for the formats; name the columns of others with [[import.map]]",
    )


def reparse(source: str, context: str, raw: str) -> list[AnyFact]:
    """Parse one stored raw record again, as the reader `source` did; for `verify`.

    Raises ValueError (RowError, UsageError) when the record cannot be read any more.
    """
    if source == push.SOURCE:
        return push.reparse(context, raw)
    if source == observed.SOURCE:
        return observed.reparse(context, raw)
    for reader in READERS:
        if reader.name == source:
            return reader.reparse(context, raw)
    settled = msgspec.json.decode(context, type=Context)
    if settled.map is None:
        return reader_named(source).reparse(context, raw)
    return GenericReader(settled.map).reparse(context, raw)
