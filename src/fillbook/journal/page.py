"""From claims to the columns of a page, before any lock is taken; and raw text packed and back."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import get_args

import msgspec

from fillbook.facts.codec import content_hash, encode_rows
from fillbook.facts.identity import with_ordinal
from fillbook.facts.model import AnyFact, Claim
from fillbook.ground.errors import BookDamagedError
from fillbook.journal.chain import StreamName

RawText = tuple[list[int | None], list[str]]
"""(line numbers, source text) of the rows of a page, in seq order."""

_ALONE_ROWS = 64
_KIND_OF = {kind: str(kind.__struct_config__.tag) for kind in get_args(AnyFact)}
_pack = msgspec.msgpack.Encoder().encode
_unpack: msgspec.msgpack.Decoder[RawText] = msgspec.msgpack.Decoder(RawText)


def kind_of(fact: AnyFact) -> str:
    """Return the kind of a fact, as it is filed: fill, order, funding."""
    return _KIND_OF[type(fact)]


class Draft(msgspec.Struct):
    """Claims as columns, in the order they came."""

    names: list[StreamName]
    keys: list[str]
    times_ns: list[int]
    rows: list[int | None]
    contents: list[bytes]
    facts: list[str]
    lines: list[int | None]
    raws: list[str]
    packed: Future[bytes] | None = None

    def pick(self, wanted: Sequence[int]) -> Draft:
        """Return a draft of some of the rows, by position."""
        if len(wanted) == len(self.keys):
            return self
        return Draft(
            names=[self.names[at] for at in wanted],
            keys=[self.keys[at] for at in wanted],
            times_ns=[self.times_ns[at] for at in wanted],
            rows=[self.rows[at] for at in wanted],
            contents=[self.contents[at] for at in wanted],
            facts=[self.facts[at] for at in wanted],
            lines=[self.lines[at] for at in wanted],
            raws=[self.raws[at] for at in wanted],
        )

    def raw(self) -> bytes:
        """Return the compressed source text of the rows."""
        return self.packed.result() if self.packed else pack_raw(self.lines, self.raws)


def draft(claims: Sequence[Claim], packer: Packer | None = None) -> Draft:
    """Encode a page of claims, their raw text meanwhile on the packer's thread."""
    lines, raws = [claim.line for claim in claims], [claim.raw for claim in claims]
    packed = packer.start(lines, raws) if packer else None
    facts = [claim.fact for claim in claims]
    payloads = encode_rows(facts)
    return Draft(
        names=[(_KIND_OF[type(fact)], fact.venue, fact.account) for fact in facts],
        keys=[with_ordinal(claim.key, claim.ordinal) for claim in claims],
        times_ns=[fact.ts_ns for fact in facts],
        rows=[claim.row for claim in claims],
        contents=[content_hash(payload) for payload in payloads],
        facts=[payload.decode() for payload in payloads],
        lines=lines,
        raws=raws,
        packed=packed,
    )


def pack_raw(lines: list[int | None], raws: list[str]) -> bytes:
    """Compress the source text of a page; nothing at all packs to nothing.

    >>> unpack_raw(pack_raw([7, None], ["a,1", ""]))
    ([7, None], ['a,1', ''])
    """
    if not any(raws) and lines.count(None) == len(lines):
        return b""
    return zlib.compress(_pack((lines, raws)), 1)


class Packer:
    """Compresses the raw text of a page on a second core while the first one encodes its facts."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None

    def start(self, lines: list[int | None], raws: list[str]) -> Future[bytes] | None:
        """Begin to pack; None for a small page, which is packed faster than a thread wakes up."""
        if len(raws) < _ALONE_ROWS:
            return None
        if self._threads is None:
            self._threads = ThreadPoolExecutor(1, "fillbook-pack")
        return self._threads.submit(pack_raw, lines, raws)

    def close(self) -> None:
        """Let go of the thread."""
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None


def unpack_raw(packed: bytes) -> RawText:
    """Return what `pack_raw` was given, or two empty lists; BookDamagedError otherwise."""
    if not packed:
        return [], []
    try:
        return _unpack.decode(zlib.decompress(packed))
    except (zlib.error, msgspec.DecodeError) as fault:
        raise BookDamagedError(
            f"the raw text of a page cannot be unpacked: {fault}",
            "",
            "run `fillbook verify`",
        ) from fault
