"""The hash chain: each page seals everything in it together with the page before.

The head of the chain is one hash for the whole book; `anchor.py` keeps it outside the file.

    rows  = SHA-256(JSON of the columns | contents | facts, one a line)
    hash  = SHA-256(hash of the page before | JSON of the page's header, with rows and raw digests)
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

StreamName = tuple[str, str, str]
"""(kind, venue, account)"""

_encode = msgspec.json.Encoder().encode


class Sheet(msgspec.Struct):
    """The rows of one page as columns: claims, and references to claims of earlier pages.

    `batch` is the number of the page's batch, `names` spells out the streams that occur. All
    claim columns have one length, all reference columns another; both are in seq order.
    """

    batch: int | None
    names: dict[int, StreamName]
    seqs: Sequence[int]
    streams: Sequence[int]
    keys: Sequence[str]
    times_ns: Sequence[int]
    rows: Sequence[int | None]
    contents: Sequence[bytes]
    facts: Sequence[str]
    ref_seqs: Sequence[int]
    ref_claims: Sequence[int]
    ref_batches: Sequence[int]
    ref_rows: Sequence[int | None]

    def holds(self, digest: bytes) -> bool:
        """Tell whether the rows are what was written, whatever damage has made of them."""
        try:
            return self.digest() == digest
        except (TypeError, ValueError):  # a damaged value may have lost even its type
            return False

    def digest(self) -> bytes:
        """Hash every stored value of every row."""
        columns = (
            self.batch,
            sorted((number, *self.names.get(number, ())) for number in set(self.streams)),
            self.seqs,
            self.streams,
            self.keys,
            self.times_ns,
            self.rows,
            self.ref_seqs,
            self.ref_claims,
            self.ref_batches,
            self.ref_rows,
        )
        total = hashlib.sha256(_encode(columns))
        total.update(b"".join(self.contents))
        total.update("\n".join(self.facts).encode())
        return total.digest()


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a page says about itself; `batch` is the hex digest of the batch's description."""

    page: int
    batch: str
    first_seq: int
    last_seq: int
    final_seq: int | None
    recv_ns: int
    schema: int
    cursor: str
    rows: str
    raw: str


def genesis(book_id: str) -> bytes:
    """Return the hash that stands before the first page of a book."""
    return hashlib.sha256(f"fillbook book {book_id}".encode()).digest()


def seal(previous: bytes, header: Header) -> bytes:
    """Return the hash of a page."""
    return hashlib.sha256(previous + _encode(header)).digest()


def digest_of(content: bytes) -> str:
    """Return the hex SHA-256 of bytes stored beside the rows, such as compressed raw text."""
    return hashlib.sha256(content).hexdigest()
