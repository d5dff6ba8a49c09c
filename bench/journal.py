"""The journal beside bare SQLite: the same rows, the same unique index, the same durability.

Both write pages of 1000 rows, one commit each, WAL and synchronous=FULL, taking turns in one
run. The bare side is `sqlite3.executemany` of rows made beforehand, into one table with every
column a claim has, its source text included. The journal starts from parsed claims: it encodes,
hashes, compresses, looks for duplicates and conflicts, chains, and anchors each page.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median

from bench.books import ACCOUNT, SOURCE, START_NS, VENUE, fills

from fillbook.facts.codec import content_hash, encode
from fillbook.facts.identity import key_of
from fillbook.facts.model import Claim
from fillbook.journal.store import BatchOpen, Journal, Page

Line = tuple[str, str, str, str]
"""(name, value, unit, ratio)"""

ROWS, PAGE, ROUNDS = 30_000, 1000, 7
TABLE = """CREATE TABLE claim (
  seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, venue TEXT NOT NULL, account TEXT NOT NULL,
  key TEXT NOT NULL, content BLOB NOT NULL, ts_event_ns INTEGER NOT NULL,
  ts_recv_ns INTEGER NOT NULL, batch TEXT NOT NULL, row INTEGER, page INTEGER NOT NULL,
  schema INTEGER NOT NULL, fact TEXT NOT NULL, raw TEXT NOT NULL) STRICT"""
INDEX = "CREATE UNIQUE INDEX identity ON claim (venue, account, kind, key, content)"


def run() -> list[Line]:
    """Measure and return the lines to print; about twenty seconds."""
    claims = _claims()
    rows = _rows(claims)
    bare: list[float] = []
    ours: list[float] = []
    reading: list[float] = []
    proving: list[float] = []
    with tempfile.TemporaryDirectory(prefix="fillbook-bench-") as folder:
        for turn in range(ROUNDS):
            bare.append(_bare(Path(folder, f"bare-{turn}.db"), rows))
            book = Path(folder, f"book-{turn}.db")
            ours.append(_append(book, claims))
            with Journal.open(book, readonly=True) as journal:
                reading.append(_timed(lambda book=journal: _exhaust(book)))  # type: ignore[misc]
                proving.append(_timed(journal.verify))
    ratio = median(b / o for b, o in zip(bare, ours, strict=True))
    return [
        ("bare sqlite3 executemany", _rate(bare), "rows/s", "1.00x"),
        ("journal append", _rate(ours), "claims/s", f"{ratio:.2f}x of bare (goal 0.6x)"),
        ("journal read, every page checked", _rate(reading), "claims/s", ""),
        ("journal verify", _rate(proving), "claims/s", ""),
    ]


def _claims() -> list[Claim]:
    made = []
    for number, fact in enumerate(islice(fills(ROWS), ROWS)):
        key = key_of(fact.ts_ns, fact.instrument, fact.fill_id)
        made.append(Claim(fact, key, raw=encode(fact).decode(), line=number))
    return made


def _rows(claims: list[Claim]) -> list[tuple[object, ...]]:
    rows = []
    for number, claim in enumerate(claims):
        payload = encode(claim.fact)
        head = (number + 1, "fill", VENUE, ACCOUNT, claim.key, content_hash(payload))
        place = (claim.fact.ts_ns, START_NS, "bench", claim.row, number // PAGE, 1)
        rows.append((*head, *place, payload.decode(), claim.raw))
    return rows


def _bare(path: Path, rows: list[tuple[object, ...]]) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    for setting in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {setting}")
    connection.execute(TABLE)
    connection.execute(INDEX)
    marks = ", ".join("?" * len(rows[0]))

    def write() -> None:
        for at in range(0, len(rows), PAGE):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(f"INSERT INTO claim VALUES ({marks})", rows[at : at + PAGE])
            connection.execute("COMMIT")

    seconds = _timed(write)
    connection.close()
    return seconds


def _append(path: Path, claims: list[Claim]) -> float:
    opening = BatchOpen(
        batch_id="bench",
        source=SOURCE,
        rank=2,
        venue=VENUE,
        account=ACCOUNT,
        fingerprint="bench",
        name="seeded fills",
    )
    with Journal.create(path) as journal:
        journal.begin(opening, START_NS)

        def write() -> None:
            for at in range(0, len(claims), PAGE):
                page = Page(batch_id="bench", claims=claims[at : at + PAGE], cursor=str(at))
                journal.append(page, START_NS)

        return _timed(write)


def _exhaust(journal: Journal) -> None:
    for _ in journal.claims():
        pass


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _rate(seconds: list[float]) -> str:
    return f"{ROWS / median(seconds):,.0f}"
