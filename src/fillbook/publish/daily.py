"""The daily files: one JSON, one CSV of 19 columns and one log line per finished day.

Shapes and names are fixed for those who already read them. Figures are rounded here and nowhere
else: half to even on the exact value, two decimals in the files. Undefined is null in JSON, empty
in CSV and n/a in the line; a profit factor without any loss is "inf". The same record always
gives the same bytes.

A day written again after late facts is the next revision of its file. Where no figure changed the
file stays as it is, byte for byte, whatever else the book has learnt since.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from fillbook.analysis.daily import DailyRecord
from fillbook.ground.clock import iso
from fillbook.ground.errors import FillbookError
from fillbook.ground.exact import MONEY_ONE, divide_half_even

__all__ = ["DailyFiles", "DailyRecord", "to_csv", "to_json", "to_log_line", "write_daily"]

CSV_COLUMNS = (
    "date",
    "trades",
    "wins",
    "losses",
    "win_rate_pct",
    "gross_profit",
    "gross_loss",
    "net_pnl",
    "expectancy",
    "profit_factor",
    "fill_rate_pct",
    "avg_entry_slippage_bps",
    "avg_exit_slippage_bps",
    "fees_paid",
    "funding_paid",
    "funding_received",
    "net_funding",
    "time_in_market_pct",
    "avg_holding_hours",
)

_SECTIONS = {
    "performance": ("gross_profit", "gross_loss", "net_pnl", "expectancy", "profit_factor"),
    "execution": (
        "orders_placed",
        "orders_filled",
        "fill_rate_pct",
        "avg_entry_slippage_bps",
        "avg_exit_slippage_bps",
    ),
    "costs": ("fees_paid", "funding_paid", "funding_received", "net_funding", "total_costs"),
    "time": ("time_in_market_pct", "avg_holding_hours"),
}


class DailyFiles(NamedTuple):
    """Where one record was written, and as which revision.

    `changed` is False where the files said all of it already and were left alone.
    """

    json: Path
    csv: Path
    revision: int = 0
    changed: bool = True


def fixed(value: Fraction, places: int) -> str:
    """Write an exact value with 1 or more decimals, half to even, without negative zero.

    >>> fixed(Fraction(250, 3), 2), fixed(Fraction(5, 1000), 2), fixed(Fraction(-1, 1000), 1)
    ('83.33', '0.00', '0.0')
    """
    scaled = divide_half_even(value.numerator * 10**places, value.denominator)
    whole, fraction = divmod(abs(scaled), 10**places)
    return f"{'-' if scaled < 0 else ''}{whole}.{fraction:0{places}d}"


def _number(value: Fraction | None) -> str | None:
    """Write a value as a JSON number of at most two decimals, at least one, as floats print."""
    if value is None:
        return None
    text = fixed(value, 2)
    return text[:-1] if text.endswith("0") else text


def _money(amount: int | None) -> Fraction | None:
    return None if amount is None else Fraction(amount, MONEY_ONE)


def _statistic(value: float | None) -> Fraction | None:
    return None if value is None else Fraction(value)


def _figures(record: DailyRecord) -> dict[str, str | None]:
    """Return every figure by its fixed name, as number text; None = undefined."""
    exact = {
        "win_rate_pct": record.win_rate_pct,
        "gross_profit": _money(record.gross_profit),
        "gross_loss": _money(-record.gross_loss),
        "net_pnl": _money(record.net),
        "expectancy": record.expectancy,
        "profit_factor": record.profit_factor,
        "fill_rate_pct": record.fill_rate_pct,
        "avg_entry_slippage_bps": _statistic(record.entry_slippage_bps),
        "avg_exit_slippage_bps": _statistic(record.exit_slippage_bps),
        "fees_paid": _money(record.fees),
        "funding_paid": _money(record.funding_paid),
        "funding_received": _money(record.funding_received),
        "net_funding": _money(record.net_funding),
        "total_costs": _money(record.total_costs),
        "time_in_market_pct": record.time_in_market_pct,
        "avg_holding_hours": record.avg_holding_hours,
    }
    counts = {
        "trades": record.trades,
        "wins": record.wins,
        "losses": record.losses,
        "orders_placed": record.orders_placed,
        "orders_filled": record.orders_filled,
    }
    figures = {name: _number(value) for name, value in exact.items()}
    figures |= {name: None if count is None else str(count) for name, count in counts.items()}
    if record.unbeaten:
        figures["profit_factor"] = "inf"
    return figures


def to_json(record: DailyRecord) -> bytes:
    """Return the daily JSON document, numbers as JSON numbers, ending in a newline.

    Sections: trades, performance, execution, costs, time; `gross_loss` is negative here. The key
    `fillbook` names book, seq, head and revision the figures are true at, and whose they are.
    """
    figures = _figures(record)

    def token(name: str) -> msgspec.Raw:
        text = figures[name]
        if text is None:
            return msgspec.Raw(b"null")
        return msgspec.Raw(b'"inf"' if text == "inf" else text.encode())

    document: dict[str, object] = {
        "date": record.day,
        "session_start": iso(record.session_start_ns),
        "trades": {
            "total": token("trades"),
            "wins": token("wins"),
            "losses": token("losses"),
            "win_rate_pct": token("win_rate_pct"),
        },
    }
    for section, names in _SECTIONS.items():
        document[section] = {name: token(name) for name in names}
    document["fillbook"] = {
        "book": record.book,
        "seq": record.seq,
        "head": record.head,
        "revision": record.revision,
        "venue": record.venue,
        "account": record.account,
        "currency": record.currency,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def to_csv(record: DailyRecord) -> bytes:
    """Return the daily CSV: a header of 19 columns and exactly one row."""
    figures = _figures(record) | {"date": record.day}
    row = ",".join(figures[name] or "" for name in CSV_COLUMNS)
    return f"{','.join(CSV_COLUMNS)}\n{row}\n".encode()


def to_log_line(record: DailyRecord) -> str:
    """Return the one-line summary; slippage is that of entries.

    >>> line = to_log_line(DailyRecord(
    ...     day="2026-01-01", session_start_ns=0, currency="USDT", book="b", seq=1, head="h"))
    >>> line[:46]
    'date=2026-01-01 trades=0 win_rate=n/a expectan'
    """

    def shown(value: Fraction | None, places: int, unit: str = "") -> str:
        return "n/a" if value is None else fixed(value, places) + unit

    factor = "inf" if record.unbeaten else shown(record.profit_factor, 2)
    fields = {
        "date": record.day,
        "trades": str(record.trades),
        "win_rate": shown(record.win_rate_pct, 1, "%"),
        "expectancy": shown(record.expectancy, 2),
        "profit_factor": factor,
        "fill_rate": shown(record.fill_rate_pct, 1, "%"),
        "avg_slippage_bps": shown(_statistic(record.entry_slippage_bps), 1),
        "fees": shown(_money(record.fees), 2),
        "net_funding": shown(_money(record.net_funding), 2),
        "time_in_market": shown(record.time_in_market_pct, 1, "%"),
    }
    return " ".join(f"{name}={value}" for name, value in fields.items())


def write_daily(record: DailyRecord, out_dir: Path, *, nested: bool = False) -> DailyFiles:
    """Write both files of one record, as the next revision of what is there with other figures.

    Files of another book are superseded like older ones of this book. `nested` puts them under
    out_dir/account/currency, for books with more than one account or currency. Each
    file is replaced whole or not at all, so a crash leaves the old or the new one. Raises
    FillbookError naming the path that cannot be written, or read.
    """
    files = files_of(record, out_dir, nested=nested)
    folder = files.json.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        known = _document(files.json)
        revision, changed = _revision(record, known)
        if changed:
            _replace(files.json, to_json(msgspec.structs.replace(record, revision=revision)))
        # A crash may have come between the two files.
        if changed or not files.csv.exists() or files.csv.read_bytes() != to_csv(record):
            _replace(files.csv, to_csv(record))
            changed = True
    except OSError as fault:
        raise FillbookError(
            f"cannot write the daily summary: {fault.strerror}",
            str(fault.filename or folder),
            "name a folder you can write to",
        ) from fault
    return files._replace(revision=revision, changed=changed)


def _document(path: Path) -> dict[str, Any] | None:
    """Return a daily file as it was written; None where there is none, or it is no such file."""
    try:
        known = msgspec.json.decode(path.read_bytes())
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    return known if isinstance(known, dict) else None


def _revision(record: DailyRecord, known: dict[str, Any] | None) -> tuple[int, bool]:
    """Return the revision a record is written under, and whether it says anything new."""
    if known is None:
        return record.revision, True
    told = msgspec.json.decode(to_json(record))
    here = known.pop("fillbook", None)
    stated = here.get("revision") if isinstance(here, dict) else None
    revision = stated if isinstance(stated, int) else 0
    mine = told.pop("fillbook")
    if known == told and isinstance(here, dict) and _is_of(here, mine):
        return revision, False
    return revision + 1, True


def _is_of(here: dict[str, Any], mine: dict[str, Any]) -> bool:
    """Say whether a file is about the same book, account and currency, as far as it says."""
    told = [name for name in ("account", "currency") if name in here]
    return all(here.get(name) == mine[name] for name in ("book", *told))


def files_of(record: DailyRecord, out_dir: Path, *, nested: bool = False) -> DailyFiles:
    """Return where the files of a record are, or would be."""
    folder = out_dir
    if nested:
        folder = out_dir / _folder_name(record.account) / _folder_name(record.currency)
    stem = f"daily_summary_{record.day}"
    return DailyFiles(folder / f"{stem}.json", folder / f"{stem}.csv")


def is_nested(records: Iterable[DailyRecord]) -> bool:
    """Say whether one day's records need folders: there is more than one account or currency."""
    return len({(record.account, record.currency) for record in records}) > 1


def write_all(records: Iterable[DailyRecord], out_dir: Path) -> list[DailyFiles]:
    """Write the files of one day's records; each account and currency apart."""
    day = list(records)
    nested = is_nested(day)
    return [write_daily(record, out_dir, nested=nested) for record in day]


def _folder_name(name: str) -> str:
    """Return a distinct safe folder name: no separators, no dot folders."""
    safe = quote(name, safe=" @+=,:")
    return safe.replace(".", "%2E") if not safe.strip(".") else safe


def _replace(path: Path, content: bytes) -> None:
    """Write beside the target, make it durable, then rename over it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
