"""Remembers what was told of every trade, and says when a late fact changes it.

A trade's revision counts how often it was told anew after it had closed; 0 is the first telling.
Files and messages carry the number, so whoever kept an older one knows that it is superseded.
A trade that is still open goes on; that is no revision. One that is no more, because a late fact
opens it elsewhere, has vanished; should it come back, its number goes on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from fillbook.facts.finding import Finding
from fillbook.ground.exact import money_text
from fillbook.ledger.amounts import to_int
from fillbook.ledger.ledger import Ledger
from fillbook.ledger.prints import ASPECTS, CLOSED, GONE, TOLD_DTYPE, Place, tell
from fillbook.resolve.assignment import strategy_in
from fillbook.resolve.event import GroupKey

Rows = NDArray[np.void]

# Findings name this many trades of a group one by one; the rest they count.
NAMED_PER_GROUP = 3
_HASH_BYTES = 32
_VERSION = 1


class Revision(msgspec.Struct, frozen=True):
    """One trade told anew: `revision` supersedes the number before; `what` names what changed.

    `seq` is the state of the book that brought it, `closed_ns` the trade's close (None: open, or
    never closed before it vanished).
    """

    trade_id: str
    revision: int
    kind: Literal["changed", "vanished"]
    supersedes: int
    what: str
    key: GroupKey
    book: str
    seq: int
    closed_ns: int | None


class _Kept(msgspec.Struct):
    """Everything of `Revisions`, as stored."""

    version: int
    places: list[Place]
    latest: dict[str, Revision]
    rows: bytes


class Revisions:
    """What was told of every trade: `TOLD_DTYPE` rows by id, and each one's latest revision."""

    def __init__(self, rows: Rows, places: list[Place], latest: dict[str, Revision]) -> None:
        self.rows = rows
        self.places = places
        self.latest = latest

    @classmethod
    def none(cls) -> Revisions:
        """Return the memory of a book nobody has asked yet."""
        return cls(np.zeros(0, TOLD_DTYPE), [], {})

    def __len__(self) -> int:
        return len(self.rows)

    def numbers(self) -> dict[str, int]:
        """Return the revision of every trade that has one; all others are at 0."""
        return {name: each.revision for name, each in self.latest.items()}

    def to_bytes(self) -> bytes:
        """Return everything as bytes that begin with their own hash."""
        kept = msgspec.msgpack.encode(
            _Kept(_VERSION, self.places, self.latest, self.rows.tobytes())
        )
        return hashlib.sha256(kept).digest() + kept

    @classmethod
    def from_bytes(cls, raw: bytes) -> Revisions:
        """Return what `to_bytes` wrote; ValueError where the bytes are not that."""
        own, encoded = raw[:_HASH_BYTES], raw[_HASH_BYTES:]
        if hashlib.sha256(encoded).digest() != own:
            raise ValueError("the memory of revisions is not what was written")
        try:
            kept = msgspec.msgpack.decode(encoded, type=_Kept)
        except msgspec.DecodeError as fault:
            raise ValueError("the memory of revisions is of another version") from fault
        if kept.version != _VERSION:
            raise ValueError("the memory of revisions is of another version")
        return cls(np.frombuffer(kept.rows, TOLD_DTYPE), kept.places, kept.latest)


def revise(known: Revisions, ledger: Ledger) -> tuple[Revisions, list[Revision]]:
    """Compare a ledger with what was told before; return what is told now, and what changed.

    Depends on both alone. Revisions come in the order of their trades' ids.
    """
    fresh, places = tell(ledger.groups)
    before, found = _matched(known.rows, fresh["trade_id"])
    old, new = known.rows[before], fresh[found]
    differs = (old["prints"] != new["prints"]).any(axis=1) & (old["state"] == CLOSED)
    changed = differs | (old["state"] == GONE)
    fresh["revision"][found] = old["revision"] + changed
    missing = np.ones(len(known.rows), bool)
    missing[before] = False
    gone = known.rows[missing]
    left = gone["state"] != GONE
    gone["revision"] += left
    gone["state"] = GONE
    gone["place"] = _placed(gone["place"], known.places, places)
    news = [
        *_changes(old[changed], fresh[found][changed], places, ledger.seq),
        *_losses(gone[left], places, ledger.seq),
    ]
    news.sort(key=lambda revision: revision.trade_id)
    rows = np.concatenate([fresh, gone])
    latest = known.latest | {revision.trade_id: revision for revision in news}
    return Revisions(rows[np.argsort(rows["trade_id"])], places, latest), news


def _matched(known: Rows, ids: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows of known ids and of new ones that are the same."""
    names = known["trade_id"]
    at = np.minimum(np.searchsorted(names, ids), max(len(names) - 1, 0))
    found = np.flatnonzero(names[at] == ids) if len(names) else np.zeros(0, np.intp)
    return at[found], found


def _placed(
    numbers: NDArray[np.int32], known: list[Place], places: list[Place]
) -> NDArray[np.int32]:
    """Translate places of an earlier ledger, adding those that are no more to the list."""
    if not len(numbers):
        return numbers
    index = {place: number for number, place in enumerate(places)}
    table = np.zeros(len(known), np.int32)
    for number in np.unique(numbers).tolist():
        place = known[number]
        if place not in index:
            index[place] = len(places)
            places.append(place)
        table[number] = index[place]
    return table[numbers]


def _changes(old: Rows, new: Rows, places: list[Place], seq: int) -> Iterator[Revision]:
    masks = (old["prints"] != new["prints"]) @ (1 << np.arange(len(ASPECTS)))
    words: dict[int, str] = {0: "it is back, as it was"}
    for before, now, mask in zip(old, new, masks.tolist(), strict=True):
        if mask not in words:
            words[mask] = ", ".join(
                name for place, name in enumerate(ASPECTS) if mask & (1 << place)
            )
        net = _net(before, now)
        yield _revision(
            now, "changed", f"{words[mask]}; {net}" if net else words[mask], places, seq
        )


def _losses(gone: Rows, places: list[Place], seq: int) -> Iterator[Revision]:
    for row in gone:
        yield _revision(row, "vanished", "it is no more", places, seq)


def _net(before: np.void, now: np.void) -> str:
    if not (before["net_known"] and now["net_known"]):
        return ""
    old, new = (to_int(np.ascontiguousarray(row["net"])) for row in (before, now))
    return "" if old == new else f"net {money_text(old)} → {money_text(new)}"


def _revision(
    row: np.void, kind: Literal["changed", "vanished"], what: str, places: list[Place], seq: int
) -> Revision:
    place, number = places[int(row["place"])], int(row["revision"])
    return Revision(
        trade_id=f"{int(row['trade_id']):016x}",
        revision=number,
        kind=kind,
        supersedes=number - 1,
        what=what,
        key=place.key,
        book=place.book,
        seq=seq,
        closed_ns=None if row["closed_ns"] < 0 else int(row["closed_ns"]),
    )


def revision_findings(latest: Mapping[str, Revision]) -> list[Finding]:
    """Return a finding per revised trade, newest first; many of one group are told together."""
    by_group: dict[GroupKey, list[Revision]] = {}
    for revision in sorted(latest.values(), key=lambda each: (-each.seq, each.trade_id)):
        by_group.setdefault(revision.key, []).append(revision)
    findings = []
    for key, revised in sorted(by_group.items()):
        findings += [_finding(key, each) for each in revised[:NAMED_PER_GROUP]]
        if len(revised) > NAMED_PER_GROUP:
            findings.append(_many(key, revised[NAMED_PER_GROUP:]))
    return findings


def _finding(key: GroupKey, revision: Revision) -> Finding:
    return Finding(
        code="trade-revised",
        severity="info",
        message=f"trade {revision.trade_id} of {key.instrument} is told anew since seq "
        f"{revision.seq} (revision {revision.revision}): {revision.what}",
        next_step="replace what you kept of it; a late fact changed it",
        venue=key.venue,
        account=key.account,
        instrument=key.instrument,
        strategy=strategy_in(revision.book),
        ts_ns=revision.closed_ns,
    )


def _many(key: GroupKey, revised: list[Revision]) -> Finding:
    return Finding(
        code="trade-revised",
        severity="info",
        message=f"{len(revised)} more trades of {key.instrument} are told anew; the newest of "
        f"these since seq {revised[0].seq}",
        next_step="`fillbook trades --json` carries the revision of each",
        venue=key.venue,
        account=key.account,
        instrument=key.instrument,
    )
