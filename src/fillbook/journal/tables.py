"""The tables of a book, typed: every query and every insert, and no meaning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from fillbook.ground.errors import BookDamagedError
from fillbook.ground.exact import INT64_MAX
from fillbook.journal.chain import StreamName
from fillbook.journal.sqlite import RESTORE, Database


class PageRow(NamedTuple):
    """One page as stored, without its raw text."""

    page: int
    batch: int | None
    first_seq: int
    last_seq: int
    final_seq: int | None
    recv_ns: int
    schema: int
    rows: bytes
    hash: bytes
    cursor: str


class BatchRow(NamedTuple):
    """One generation of a batch as stored."""

    batch: int
    batch_id: str
    generation: int
    opened_seq: int
    opened_ns: int
    description: str
    digest: bytes


class ClaimRow(NamedTuple):
    """One claim as stored."""

    seq: int
    stream: int
    key: str
    content: bytes
    ts_event_ns: int
    row: int | None
    fact: str


class KindRow(NamedTuple):
    """A claim of a kind that has few."""

    seq: int
    schema: int
    content: bytes
    fact: str


class Span(NamedTuple):
    """How much one batch generation has, and the row of its Batch fact once complete."""

    batch: int | None
    rows: int
    first_seq: int
    last_seq: int
    final_seq: int | None


Reference = tuple[int, int, int, int | None]
"""(seq, claim, batch, row): `batch` asserts `claim` too, and printed it at `row`."""


class Known(NamedTuple):
    """A claim the book already has under a key that somebody brings again."""

    seq: int
    key: str
    content: bytes
    batch: int | None


T = TypeVar("T")

_PAGE = "page, batch, first_seq, last_seq, final_seq, recv_ns, schema, rows, hash, cursor"
_CLAIM = "seq, stream, key, content, ts_event_ns, row, fact"


_SCHEMA = "(SELECT schema FROM page WHERE last_seq >= c.seq ORDER BY last_seq, page LIMIT 1)"


class BookFile(Database):
    """One connection to a book file."""

    # -- reading ---------------------------------------------------------------------------

    def book_id(self) -> str:
        """Return the random name the book got when it was made."""
        row = self.row("SELECT value FROM book WHERE name = 'book_id'")
        if row is None:
            raise BookDamagedError("the book has lost its name", str(self.path), RESTORE)
        return str(row[0])

    def newest_page(self) -> PageRow | None:
        """Return the last page; None in an empty book."""
        return self._one_page("ORDER BY page DESC LIMIT 1")

    def page(self, number: int) -> PageRow | None:
        """Return one page by its number."""
        return self._one_page("WHERE page = ?", number)

    def page_before(self, number: int) -> PageRow | None:
        """Return the page that comes before a number."""
        return self._one_page("WHERE page < ? ORDER BY page DESC LIMIT 1", number)

    def page_after(self, number: int) -> PageRow | None:
        """Return the page that comes after a number."""
        return self._one_page("WHERE page > ? ORDER BY page LIMIT 1", number)

    def page_of_seq(self, seq: int) -> PageRow | None:
        """Return the first page that reaches `seq`."""
        return self._one_page("WHERE last_seq >= ? ORDER BY last_seq, page LIMIT 1", seq)

    def page_of_batch(self, batch: int) -> PageRow | None:
        """Return the last page of one batch generation."""
        return self._one_page("WHERE page = (SELECT max(page) FROM page WHERE batch = ?)", batch)

    def pages(self, after_page: int, limit: int) -> list[PageRow]:
        """Return the next pages in order."""
        sql = f"SELECT {_PAGE} FROM page WHERE page > ? ORDER BY page LIMIT ?"
        return self._typed(self.rows(sql, (after_page, limit)), list[PageRow])

    def raw(self, page: int) -> bytes:
        """Return the compressed raw text of one page."""
        row = self.row("SELECT body FROM raw WHERE page = ?", (page,))
        return self._typed(row[0], bytes) if row else b""

    def streams(self) -> dict[int, StreamName]:
        """Return every (kind, venue, account) by its number."""
        found = self.rows("SELECT stream, kind, venue, account FROM stream")
        return {number: (kind, venue, account) for number, kind, venue, account in found}

    def batches(self, saying: str = "") -> list[BatchRow]:
        """Return every batch generation whose description holds a text, as they were opened."""
        sql = (
            "SELECT batch, batch_id, generation, opened_seq, opened_ns, description, digest"
            " FROM batch WHERE instr(description, ?1) ORDER BY batch"
        )
        return self._typed(self.rows(sql, (saying,)), list[BatchRow])

    def spans(self, as_of: int) -> dict[int | None, Span]:
        """Return what each batch generation has by `as_of`; under None, the book's own rows.

        Taken from the table and again from its index, so that damage to either shows.
        """
        table, index = (
            self.rows(
                "SELECT batch, sum(min(last_seq, ?1) - first_seq + 1), min(first_seq),"
                " max(min(last_seq, ?1)), max(CASE WHEN final_seq <= ?1 THEN final_seq END)"
                f" FROM page {way} WHERE first_seq <= min(last_seq, ?1)"
                " GROUP BY batch ORDER BY batch",
                (as_of,),
            )
            for way in ("NOT INDEXED", "INDEXED BY page_batch")
        )
        if table != index:
            raise BookDamagedError(
                "the index of batches contradicts their pages", str(self.path), RESTORE
            )
        return {span.batch: span for span in self._typed(table, list[Span])}

    def facts_of_kind(self, kind: str, as_of: int) -> list[KindRow]:
        """Return all claims of a rare kind, oldest first."""
        found = self.rows(
            f"SELECT c.seq, {_SCHEMA}, c.content, c.fact FROM stream s"
            " JOIN claim c ON c.stream = s.stream"
            " WHERE s.kind = ? AND c.seq <= ? ORDER BY c.seq",
            (kind, as_of),
        )
        return self._typed(found, list[KindRow])

    def claims(self, first_seq: int, last_seq: int) -> list[Any]:
        """Return the claims of a range as plain tuples in the order of `ClaimRow`."""
        sql = f"SELECT {_CLAIM} FROM claim WHERE seq BETWEEN ? AND ? ORDER BY seq"
        return self.rows(sql, (first_seq, last_seq))

    def claim(self, seq: int) -> ClaimRow | None:
        """Return one claim."""
        row = self.row(f"SELECT {_CLAIM} FROM claim WHERE seq = ?", (seq,))
        return self._typed(row, ClaimRow) if row else None

    def claim_batches(self, first_seq: int, last_seq: int) -> list[int | None]:
        """Return the batch written beside each claim of a range."""
        sql = "SELECT batch FROM claim WHERE seq BETWEEN ? AND ? ORDER BY seq"
        return [batch for (batch,) in self.rows(sql, (first_seq, last_seq))]

    def references(self, first_seq: int, last_seq: int) -> list[Reference]:
        """Return the references made in a range."""
        sql = "SELECT seq, claim, batch, row FROM reference WHERE seq BETWEEN ? AND ? ORDER BY seq"
        return self.rows(sql, (first_seq, last_seq))

    def references_to(
        self, first_claim: int, last_claim: int, as_of: int = INT64_MAX
    ) -> list[tuple[int, int, int | None]]:
        """Return (claim, batch, row) of the references made to claims of a range, oldest first."""
        return self.rows(
            "SELECT claim, batch, row FROM reference INDEXED BY reference_claim"
            " WHERE claim BETWEEN ? AND ? AND seq <= ? ORDER BY claim, seq",
            (first_claim, last_claim, as_of),
        )

    def has_references(self) -> bool:
        """Tell whether any claim is asserted twice."""
        return self.row("SELECT 1 FROM reference LIMIT 1") is not None

    def refers_back(self, after_seq: int, as_of: int) -> bool:
        """Tell whether a reference made in (after_seq, as_of] points at or before after_seq."""
        sql = (
            "SELECT 1 FROM reference NOT INDEXED"
            " WHERE seq > ?1 AND seq <= ?2 AND claim <= ?1 LIMIT 1"
        )
        return self.row(sql, (after_seq, as_of)) is not None

    def row_counts(self) -> tuple[int, int]:
        """Return how many claims and references the tables hold."""
        (claims,) = self.row("SELECT count(*) FROM claim")
        (references,) = self.row("SELECT count(*) FROM reference")
        return claims, references

    def received(self, since_ns: int) -> tuple[int, int | None]:
        """Return how many rows live batches brought since an instant, and when they began."""
        sql = (
            "SELECT coalesce(sum(CASE WHEN recv_ns >= ?1 THEN last_seq - first_seq + 1 END), 0),"
            " min(recv_ns) FROM page JOIN batch USING (batch) WHERE batch_id GLOB 'live:*'"
        )
        return self._typed(self.row(sql, (since_ns,)), tuple[int, int | None])

    def integrity(self, limit: int) -> list[str]:
        """Return what SQLite's own check complains about."""
        found = self.rows(f"PRAGMA integrity_check({limit})")
        return [text for (text,) in found if text != "ok"]

    def _one_page(self, rest: str, *values: int) -> PageRow | None:
        row = self.row(f"SELECT {_PAGE} FROM page {rest}", values)
        return self._typed(row, PageRow) if row else None

    def _typed(self, found: Any, wanted: type[T]) -> T:
        """Give rows their types; damage may have changed even those."""
        try:
            return msgspec.convert(found, wanted)
        except msgspec.ValidationError as fault:
            raise BookDamagedError(
                f"a row of the book has lost its shape: {fault}", str(self.path), RESTORE
            ) from fault

    # -- writing, inside a transaction -----------------------------------------------------

    def add_batch(self, row: BatchRow) -> None:
        """Write a new batch generation."""
        self._add("INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?, ?)", [row])

    def add_stream(self, number: int, name: StreamName) -> None:
        """Give a number to a (kind, venue, account)."""
        self._add("INSERT INTO stream VALUES (?, ?, ?, ?)", [(number, *name)])

    def add_page(self, row: PageRow, raw: bytes) -> None:
        """Write a page's header and its compressed raw text."""
        self._add(f"INSERT INTO page ({_PAGE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [row])
        self._add("INSERT INTO raw VALUES (?, ?)", [(row.page, raw)])

    def add_references(self, rows: Iterable[Reference]) -> None:
        """Write the references of a page."""
        self._add("INSERT INTO reference VALUES (?, ?, ?, ?)", rows)

    def add_claims(self, rows: Iterable[tuple[Any, ...]]) -> bool:
        """Write claims; False, and none written, when the book knows one of them already."""
        return self.write_rows(
            "INSERT INTO claim (seq, stream, key, content, ts_event_ns, batch, row, fact)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )

    def known(self, stream: int, keys: Sequence[str]) -> list[Known]:
        """Return the claims of a stream that have one of these keys."""
        sql = (
            "SELECT seq, key, content, batch FROM claim"
            " WHERE stream = ? AND key IN (SELECT value FROM json_each(?))"
        )
        return [Known._make(row) for row in self.rows(sql, (stream, _json(keys)))]

    def referenced(self, batch: int, claims: Sequence[int]) -> set[int]:
        """Return those of the claims that a batch already refers to."""
        sql = (
            "SELECT claim FROM reference"
            " WHERE batch = ? AND claim IN (SELECT value FROM json_each(?))"
        )
        return {claim for (claim,) in self.rows(sql, (batch, _json(claims)))}

    def conflicts(self, first_seq: int) -> list[tuple[int, int]]:
        """Return (new, earlier) seqs of claims from `first_seq` on that share a key."""
        return self.rows(
            "SELECT n.seq, c.seq FROM claim n CROSS JOIN claim c INDEXED BY claim_identity"
            " ON c.stream = n.stream AND c.key = n.key WHERE n.seq >= ? AND c.seq < n.seq",
            (first_seq,),
        )

    def _add(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        if not self.write_rows(sql, rows):
            raise BookDamagedError(
                "the book refuses a row it should not know", str(self.path), RESTORE
            )


def _json(values: Sequence[str] | Sequence[int]) -> str:
    return msgspec.json.encode(values).decode()
