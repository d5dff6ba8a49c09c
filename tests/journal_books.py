"""Small books for the journal's tests: claims by number, batches by name, and what is live."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path

from fillbook.facts.identity import key_of, printed_key
from fillbook.facts.model import Batch, Claim, Coverage, Fill, Funding
from fillbook.journal.store import Appended, BatchOpen, Journal, Page

VENUE, ACCOUNT = "hyperliquid", "0xab12"
DAY_NS = 86_400_000_000_000
START_NS = 1_700_000_000_000_000_000


def fill(number: int, px: str | None = None, row: int | None = None) -> Claim:
    """Return the fill of a number; another price under one number is a conflict."""
    ts_ns = START_NS + number * DAY_NS // 7
    price = Decimal(px or f"{number % 97 + 1}.{number % 10}")
    fact = Fill(
        venue=VENUE,
        account=ACCOUNT,
        ts_ns=ts_ns,
        instrument="HYPE",
        side="buy" if number % 3 else "sell",
        px=price,
        qty=Decimal(number % 13 + 1),
        fee=Decimal("0.01"),
        fee_asset="USDC",
        fill_id=str(number),
    )
    return Claim(fact, key_of(ts_ns, "HYPE", number), raw_of(fact), row=row, line=number + 1)


def funding(number: int) -> Claim:
    ts_ns = START_NS + number * DAY_NS
    fact = Funding(
        venue=VENUE,
        account=ACCOUNT,
        ts_ns=ts_ns,
        instrument="HYPE",
        amount=Decimal(number),
        asset="USDC",
    )
    return Claim(fact, key_of(ts_ns, "HYPE", "funding"), row=number)


def printed_fill(hour: int, zone_hours: int, px: str = "1.5", ordinal: int = 0) -> Claim:
    """Return a row without ids, printed as some hour of a day, read in some zone."""
    fact = Fill(
        venue=VENUE,
        account=ACCOUNT,
        ts_ns=START_NS + (hour - zone_hours) * 3600 * 10**9,
        printed_ns=10**9,
        instrument="HYPE",
        side="buy",
        px=Decimal(px),
        qty=Decimal(2),
    )
    key = printed_key(f"14/11/2023 {hour:02}:00:00", "HYPE", "buy")
    return Claim(fact, key, f"{hour};{px}", row=0, ordinal=ordinal, line=hour + 2)


def raw_of(fact: Fill) -> str:
    return f"{fact.fill_id},{fact.side},{fact.px},{fact.qty}"


def batch(name: str, **said: object) -> BatchOpen:
    """Return the opening of a batch; its fingerprint is its name unless said otherwise."""
    given: dict[str, object] = {
        "batch_id": name,
        "source": "hyperliquid-csv",
        "rank": 2,
        "venue": VENUE,
        "account": ACCOUNT,
        "fingerprint": f"sha-{name}",
        "name": f"{name}.csv",
        **said,
    }
    return BatchOpen(**given)  # type: ignore[arg-type]


def final(name: str, rows: int) -> Batch:
    return Batch(
        venue=VENUE,
        account=ACCOUNT,
        ts_ns=START_NS,
        batch_id=name,
        source="hyperliquid-csv",
        rank=2,
        fingerprint=f"sha-{name}",
        name=f"{name}.csv",
        rows=rows,
        coverage=(Coverage(component="fills", from_ns=START_NS, until_ns=START_NS + DAY_NS),),
    )


def put(
    journal: Journal, name: str, claims: Sequence[Claim], size: int = 1000, done: bool = False
) -> Appended:
    """Open a batch if need be and append claims to it, in pages."""
    journal.begin(batch(name), START_NS)
    pages = [claims[at : at + size] for at in range(0, len(claims), size)] or [[]]
    for number, page in enumerate(pages, 1):
        last = done and number == len(pages)
        appended = journal.append(
            Page(
                batch_id=name,
                claims=page,
                cursor=str(number),
                final=final(name, len(claims)) if last else None,
            ),
            START_NS + number,
        )
    return appended


Live = dict[tuple[str, bytes], list[tuple[str, int | None]]]


def live(journal: Journal, as_of: int | None = None) -> Live:
    """Return who asserts what: (key, content) to (batch, row), in order of name."""
    return {
        (claimed.key, claimed.content): sorted(
            ((one.batch_id, one.row) for one in claimed.assertions), key=repr
        )
        for claimed in journal.claims(as_of)
    }


def book_of(path: Path, count: int, size: int = 10) -> Path:
    """Make a book with one complete batch, closed, its WAL folded in."""
    with Journal.create(path) as journal:
        put(journal, "march", [fill(number) for number in range(count)], size, done=True)
    return path


def tamper(path: Path, *statements: str) -> None:
    """Change a closed book behind its back, the triggers that forbid it put aside meanwhile."""
    with closing(sqlite3.connect(path)) as connection:
        guards = connection.execute(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
        ).fetchall()
        for name, _ in guards:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        for _, sql in guards:
            connection.execute(sql)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
