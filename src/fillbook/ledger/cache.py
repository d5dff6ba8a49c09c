"""Keeps folded groups on disk: one Parquet file and one small sidecar per group.

Everything here can be deleted and is rebuilt from the journal. A cache is sealed by a key (head of
the journal, method, rules, code); another key means another ledger, never a patched one. Parquet
columns are the ledger's rows: fixed-point integers, money as `name.0` (high word) and `name.1`
(low word). The manifest names the hash of every file, and begins with its own: columns carry no
checksum, and a flipped bit must cost a fold, not a figure.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

import fillbook
from fillbook.facts.finding import Finding
from fillbook.facts.model import Instrument, OrderUpdate
from fillbook.ground.settings import FoldMethod
from fillbook.ledger import layout
from fillbook.ledger.bundles import EventColumns, Outputs
from fillbook.ledger.columns import GroupColumns
from fillbook.ledger.fold import FoldResult
from fillbook.ledger.group import GroupLedger
from fillbook.ledger.ledger import Ledger
from fillbook.ledger.revisions import Revision, Revisions, revise, revision_findings
from fillbook.ledger.states import State
from fillbook.ledger.terms import Terms
from fillbook.resolve.claims import ResolveRules
from fillbook.resolve.event import GroupKey, SourceCoverage

# Raise it with any change of the columns, the kernel's rows or what a fold means.
CACHE_VERSION = 4
# The floors whose code an answer depends on.
_ROOMS = ("ground", "facts", "marks", "resolve", "ledger", "analysis")
MANIFEST = "manifest"
HASH_BYTES = 32
KEEP_MEMORIES = 8

_OWN = ("ts_ns", "seq", "traded_qty", "price", "traits", "foreign", "foreign_amount", "venue_pnl")
_TEXTS = ("event_key", "fill_id", "order_id", "decision_id", "exit_reason", "cause")
_EVENTS = ("kind", "book", "qty", "px", "fee", "amount", "flags")
_FLOWS = (
    *("realised", "closed_qty", "unpriced_closed", "position_after"),
    *("trade_close", "trade_open", "fee_open", "funding", "flags"),
)


class _FoldSide(msgspec.Struct):
    """What one fold keeps beside its rows."""

    n_folded: int
    trades: bytes
    removed: bytes
    state: bytes
    checkpoints: list[bytes]


class _GroupSide(msgspec.Struct):
    """Everything of a group that is not a row."""

    key: GroupKey
    contract: Instrument
    terms: Terms
    books: list[str]
    assets: list[str]
    written_as_floats: bool
    without_times: bool
    method: FoldMethod
    findings: list[Finding]
    fold: _FoldSide
    venue: _FoldSide | None


class _Manifest(msgspec.Struct):
    """What a whole cache is about; `files` holds the hashes of rows and sidecar per group."""

    version: int
    key: str
    book_id: str
    seq: int
    head: str
    method: FoldMethod
    files: list[tuple[bytes, bytes]]
    findings: list[Finding]
    coverage: list[SourceCoverage]
    orders: list[OrderUpdate]
    n_evidence: int
    revised: dict[str, int]


def cache_key(head: str, method: FoldMethod, rules: ResolveRules) -> str:
    """Return what a sealed ledger depends on: journal state, lot method, rules, code version."""
    told = (CACHE_VERSION, fillbook.__version__, _code_print(), head, method, rules)
    return hashlib.sha256(repr(told).encode()).hexdigest()


@cache
def _code_print() -> str:
    return code_print(Path(fillbook.__file__).parent)


def code_print(package: Path) -> str:
    """Tell an installation's code from any other: a changed line must not find an old answer."""
    files = sorted(file for room in _ROOMS for file in (package / room).rglob("*.py"))
    told = [
        (str(file.relative_to(package)), file.stat().st_size, file.stat().st_mtime_ns)
        for file in files
    ]
    return hashlib.sha256(repr(told).encode()).hexdigest()


def telling_key(method: FoldMethod, rules: ResolveRules) -> str:
    """Return what trades are told under: another method or rule makes other trades, not new ones.

    Heads and versions of the code have no part in it: revisions are counted across them.
    """
    return hashlib.sha256(repr((method, rules)).encode()).hexdigest()[:16]


class LedgerCache:
    """One folder with at most one sealed ledger in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sealed = folder / "ledger"

    def load(self, key: str) -> Ledger | None:
        """Return the ledger sealed under `key`, or None where there is no such or it is broken."""
        try:
            manifest = _read_manifest(self._sealed / MANIFEST)
            if (manifest.version, manifest.key) != (CACHE_VERSION, key):
                return None
            groups = [
                _read_group(self._sealed, place, hashes)
                for place, hashes in enumerate(manifest.files)
            ]
        except (OSError, ValueError, LookupError, msgspec.DecodeError):
            # A cache that cannot be read is no fault of the book: fold again.
            return None
        return Ledger(
            book_id=manifest.book_id,
            seq=manifest.seq,
            head=manifest.head,
            method=manifest.method,
            groups=groups,
            findings=manifest.findings,
            coverage=manifest.coverage,
            orders=manifest.orders,
            n_evidence=manifest.n_evidence,
            revised=manifest.revised,
        )

    def store(self, key: str, ledger: Ledger) -> None:
        """Seal a ledger under `key`, replacing any other; a folder that cannot be written is
        left alone, for a cache is only a convenience."""
        fresh = self._folder / f"ledger.{os.getpid()}"
        try:
            fresh.mkdir(parents=True, exist_ok=True)
            files = [_write_group(fresh, place, each) for place, each in enumerate(ledger.groups)]
            manifest = _Manifest(
                version=CACHE_VERSION,
                key=key,
                book_id=ledger.book_id,
                seq=ledger.seq,
                head=ledger.head,
                method=ledger.method,
                files=files,
                findings=ledger.findings,
                coverage=ledger.coverage,
                orders=ledger.orders,
                n_evidence=ledger.n_evidence,
                revised=ledger.revised,
            )
            encoded = msgspec.msgpack.encode(manifest)
            (fresh / MANIFEST).write_bytes(_hash(encoded) + encoded)
            shutil.rmtree(self._sealed, ignore_errors=True)
            fresh.rename(self._sealed)
        except OSError:
            shutil.rmtree(fresh, ignore_errors=True)

    def tell(self, key: str, ledger: Ledger) -> list[Revision]:
        """Compare a ledger with what was told under `key` before, and remember it in turn.

        The ledger gets the revision of every trade, and a finding for each that changed. Without
        a memory, or with a broken one, counting starts again at 0.
        """
        folder = self._folder / "revisions"
        file, fresh = folder / key, folder / f"{key}.{os.getpid()}"
        try:
            known = Revisions.from_bytes(file.read_bytes())
        except (OSError, ValueError):
            known = Revisions.none()
        told, news = revise(known, ledger)
        ledger.revised = told.numbers()
        ledger.findings += revision_findings(told.latest)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(told.to_bytes())
            fresh.replace(file)
            for old in sorted(folder.iterdir(), key=_written)[:-KEEP_MEMORIES]:
                old.unlink(missing_ok=True)
        except OSError:
            fresh.unlink(missing_ok=True)
        return news


def _written(file: Path) -> int:
    return file.stat().st_mtime_ns


def _hash(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()


def _read_manifest(file: Path) -> _Manifest:
    raw = file.read_bytes()
    own, encoded = raw[:HASH_BYTES], raw[HASH_BYTES:]
    if _hash(encoded) != own:
        raise ValueError("the manifest is not what was written")
    return msgspec.msgpack.decode(encoded, type=_Manifest)


def _intact(file: Path, sealed: bytes) -> bytes:
    raw = file.read_bytes()
    if _hash(raw) != sealed:
        raise ValueError(f"{file.name} is not what was sealed")
    return raw


def _write_group(folder: Path, place: int, group: GroupLedger) -> tuple[bytes, bytes]:
    """Write the rows and the sidecar of a group; return their hashes."""
    import polars as pl  # heavy: loaded only where a ledger is sealed or read

    columns, n = group.columns, len(group)
    table: dict[str, Any] = {name: getattr(columns, name) for name in _TEXTS}
    for name in _OWN:
        table |= _flat(name, getattr(columns, name))
    for name in _EVENTS:
        table |= _flat(f"event.{name}", getattr(columns.events, name))
    for name in _FLOWS:
        table |= _flat(f"flow.{name}", getattr(group.books.outputs, name)[:n])
        if group.venue is not group.books:
            table |= _flat(f"venue.{name}", getattr(group.venue.outputs, name)[:n])
    frame = pl.DataFrame(table, schema_overrides=dict.fromkeys(_TEXTS, pl.String))
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="lz4", statistics=False)
    rows = buffer.getvalue()
    (folder / f"{place:05d}.parquet").write_bytes(rows)
    side = _GroupSide(
        key=columns.key,
        contract=columns.contract,
        terms=columns.terms,
        books=columns.books,
        assets=columns.assets,
        written_as_floats=columns.written_as_floats,
        without_times=columns.without_times,
        method=group.method,
        findings=group.findings,
        fold=_side(group.books),
        venue=None if group.venue is group.books else _side(group.venue),
    )
    encoded = msgspec.msgpack.encode(side)
    (folder / f"{place:05d}.side").write_bytes(encoded)
    return _hash(rows), _hash(encoded)


def _flat(name: str, array: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Name every column of an array of up to three dimensions."""
    if array.ndim == 1:
        return {name: array}
    flat = array.reshape(len(array), -1)
    return {f"{name}.{place}": flat[:, place] for place in range(flat.shape[1])}


def _side(result: FoldResult) -> _FoldSide:
    return _FoldSide(
        n_folded=result.n_folded,
        trades=result.trades.tobytes(),
        removed=result.removed.tobytes(),
        state=result.state.to_bytes(),
        checkpoints=[state.to_bytes() for state in result.checkpoints],
    )


def _read_group(folder: Path, place: int, hashes: tuple[bytes, bytes]) -> GroupLedger:
    import polars as pl

    rows = _intact(folder / f"{place:05d}.parquet", hashes[0])
    encoded = _intact(folder / f"{place:05d}.side", hashes[1])
    side = msgspec.msgpack.decode(encoded, type=_GroupSide)
    try:
        frame = pl.read_parquet(io.BytesIO(rows))
    except pl.exceptions.PolarsError as fault:
        raise ValueError(f"group {place} of the cache cannot be read") from fault
    shapes = {"px": (4,), "realised": (4, 2)}
    pairs = ("fee", "amount", "fee_open", "funding", "foreign_amount", "venue_pnl")
    shapes |= dict.fromkeys(pairs, (2,))

    def column(prefix: str, name: str) -> Any:
        shape = shapes.get(name)
        if shape is None:
            return frame[prefix + name].to_numpy()
        count = int(np.prod(shape))
        parts = [frame[f"{prefix}{name}.{part}"].to_numpy() for part in range(count)]
        return np.stack(parts, axis=1).reshape(len(frame), *shape)

    def flows(prefix: str) -> Outputs:
        return Outputs(**{name: column(prefix, name) for name in _FLOWS})

    texts: dict[str, Any] = {name: frame[name] for name in _TEXTS}
    columns = GroupColumns(
        key=side.key,
        contract=side.contract,
        terms=side.terms,
        books=side.books,
        events=EventColumns(**{name: column("event.", name) for name in _EVENTS}),
        assets=side.assets,
        written_as_floats=side.written_as_floats,
        without_times=side.without_times,
        **{name: column("", name) for name in _OWN},
        **texts,
    )
    books = _fold_result(side.fold, flows("flow."))
    venue = books if side.venue is None else _fold_result(side.venue, flows("venue."))
    return GroupLedger(columns, side.method, books, venue, side.findings)


def _fold_result(side: _FoldSide, outputs: Outputs) -> FoldResult:
    return FoldResult(
        outputs=outputs,
        n_folded=side.n_folded,
        trades=np.frombuffer(side.trades, layout.TRADE_DTYPE),
        removed=np.frombuffer(side.removed, layout.REMOVED_DTYPE),
        state=State.from_bytes(side.state),
        checkpoints=tuple(State.from_bytes(raw) for raw in side.checkpoints),
        error=None,
    )
