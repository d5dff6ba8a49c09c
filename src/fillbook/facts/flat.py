"""Facts as flat rows under stable column names, and back again: what exports consist of.

A row names its kind and version in the column `fillbook_export`, its time as ISO text with every
digit, and its identity in `key`. Numbers are decimal text. None is an empty cell or null. In CSV a
text that a spreadsheet or a reader could take for something else stands as JSON text, in quotes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from operator import attrgetter
from typing import Any

import msgspec

from fillbook.facts.codec import canonical, encode
from fillbook.facts.model import (
    AnyFact,
    Assignment,
    Charge,
    Correction,
    Decision,
    Fact,
    Fill,
    Funding,
    Instrument,
    OrderUpdate,
    Report,
    Span,
    Transfer,
    Vote,
)
from fillbook.ground.clock import iso, parse_ns
from fillbook.ground.exact import plain_text

MARK = "fillbook_export"
VERSION = "1"
# What a contract is, beside every row of money, so that a file of fills can be read alone.
CONTRACT = ("contract", "base", "quote", "settle", "multiplier")

KINDS: dict[str, type[Fact]] = {
    "fill": Fill,
    "funding": Funding,
    "charge": Charge,
    "transfer": Transfer,
    "order": OrderUpdate,
    "decision": Decision,
    "vote": Vote,
    "assignment": Assignment,
    "correction": Correction,
    "instrument": Instrument,
    "report": Report,
    "span": Span,
}
_WITH_CONTRACT = ("fill", "funding")
_BASE = ("venue", "account")
_OWN = {
    tag: tuple(
        field.name
        for field in msgspec.structs.fields(kind)
        if field.name not in ("venue", "account", "ts_ns", "printed_ns")
    )
    for tag, kind in KINDS.items()
}
_FETCH = {tag: attrgetter(*_BASE, *_OWN[tag], "printed_ns") for tag in KINDS}
_NESTED = frozenset({"aliases", "replacement", "held", "listed"})
# Said or left out, it is the same; left out, the bytes are those of whoever left it out.
_UNSAID = {"multiplier": "1"}
_RISKY = ('"', "=", "+", "@")


def columns_of(tag: str) -> tuple[str, ...]:
    """Return the columns of a kind, in their order.

    >>> columns_of("vote")[:5]
    ('fillbook_export', 'time', 'venue', 'account', 'decision_id')
    """
    contract = CONTRACT if tag in _WITH_CONTRACT else ()
    return (MARK, "time", *_BASE, *_OWN[tag], *contract, "printed_ns", "key", "row")


def mark_of(tag: str, label: str = "") -> str:
    """Return what marks the rows of a kind; `label` is what must be said of all of them.

    >>> mark_of("fill"), mark_of("fill", "no times")
    ('fill/1', 'fill/1/no times')
    """
    return f"{tag}/{VERSION}/{label}" if label else f"{tag}/{VERSION}"


def flat(
    tag: str,
    fact: AnyFact,
    key: str,
    row: int | None,
    contract: Instrument | None = None,
    label: str = "",
) -> list[object]:
    """Return one fact's cells in the order of `columns_of`: text, whole numbers, truth or None."""
    told = canonical(fact)
    *values, printed = _FETCH[tag](told)
    described: list[object] = []
    if tag in _WITH_CONTRACT:
        described = [None if contract is None else getattr(contract, name) for name in CONTRACT]
    cells = [mark_of(tag, label), iso(told.ts_ns), *values, *described, printed, key, row]
    return [_plain(cell) for cell in cells]


def _plain(cell: object) -> object:
    if cell is None or type(cell) is str:
        return cell
    if isinstance(cell, Decimal):
        return plain_text(cell)
    if isinstance(cell, tuple):
        return [msgspec.to_builtins(each) for each in cell]
    return msgspec.Raw(encode(cell)) if isinstance(cell, Fill) else cell


def cell_text(cell: object) -> str:
    """Write one cell for CSV.

    >>> [cell_text(cell) for cell in (None, True, "BTC", "", "=1+1", ["a"])]
    ['', 'true', 'BTC', '""', '"=1+1"', '["a"]']
    """
    if cell is None:
        return ""
    if isinstance(cell, str):
        if cell.isalnum():
            return cell
        plain = cell == cell.strip() and cell.isprintable() and not cell.startswith(_RISKY)
        return cell if cell and plain else json.dumps(cell, ensure_ascii=False)
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, msgspec.Raw | list):
        return msgspec.json.encode(cell).decode()
    return str(cell)


def tag_in(cells: Mapping[str, object]) -> str:
    """Return the kind that a row names; ValueError for one that nobody here knows."""
    tag, version, *_ = (*str(cells.get(MARK) or "").split("/", 2), "")
    if version != VERSION:
        raise ValueError(f"{cells.get(MARK)!r} is no kind of row that this version can read")
    return tag


def unflat(tag: str, cells: Mapping[str, object], *, is_text: bool) -> AnyFact:
    """Return the fact behind a row; ValueError with the reason, and the field where it is known.

    `is_text` says that the cells come from CSV.
    """
    kind = KINDS[tag]
    told: dict[str, Any] = {"kind": tag, "ts_ns": time_in(cells)}
    for name in (*_BASE, *_OWN[tag], "printed_ns"):
        value = _read(name, cells.get(name), is_text=is_text)
        if value is not None and value != _UNSAID.get(name):
            told[name] = value
    fact: AnyFact = msgspec.convert(told, kind, strict=False)  # type: ignore[assignment]
    return fact


def text_in(cells: Mapping[str, object], name: str, *, is_text: bool) -> str:
    """Return a text as it was before it was written; empty where there is none."""
    told = _read(name, cells.get(name), is_text=is_text)
    return told if isinstance(told, str) else ""


def time_in(cells: Mapping[str, object]) -> int:
    """Return a row's time in UTC nanoseconds."""
    return parse_ns(str(cells.get("time") or ""))


def contract_in(tag: str, fact: AnyFact, cells: Mapping[str, object]) -> Instrument | None:
    """Return the contract that a row of money describes beside itself, None where it does not."""
    told = {name: cells.get(name) for name in CONTRACT}
    if tag not in _WITH_CONTRACT or not all(told.values()):
        return None
    whose = {"venue": fact.venue, "account": fact.account, "ts_ns": 0, "kind": "instrument"}
    symbol = {"symbol": getattr(fact, "instrument", "")}
    return msgspec.convert(whose | symbol | told, Instrument, strict=False)


def _read(name: str, cell: object, *, is_text: bool) -> object:
    if not is_text or not isinstance(cell, str):
        return cell
    if not cell:
        return None
    return json.loads(cell) if cell.startswith('"') or name in _NESTED else cell
