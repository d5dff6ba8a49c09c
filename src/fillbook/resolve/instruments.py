"""One name and one contract per instrument, whatever each source calls it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from fillbook.facts.finding import Finding
from fillbook.facts.model import Claimed, Instrument
from fillbook.resolve.rank import best_source

Name = tuple[str, str]
"""(venue, what a source there prints)."""


class InstrumentBook:
    """Looks up the settled contract of a venue's instrument, by symbol or alias.

    An alias that is another description's symbol makes both one instrument, known by the symbol
    of the stronger source. A bare alias that two instruments claim belongs to neither. Contracts
    are the venue's: whose account a description came with, and when, is not kept.
    """

    def __init__(self, claims: Sequence[Claimed]) -> None:
        self.findings: list[Finding] = []
        self._by_name: dict[Name, Instrument] = {}
        ranked = sorted(claims, key=lambda c: (-best_source(c).rank, c.content))
        described: dict[Name, Instrument] = {}
        for claim in ranked:
            said = claim.fact
            assert isinstance(said, Instrument)
            settled = msgspec.structs.replace(said, account="", ts_ns=0, printed_ns=1)
            described.setdefault((said.venue, said.symbol), settled)
        same = _Same(described)
        for claim in ranked:
            said = claim.fact
            assert isinstance(said, Instrument)
            for alias in said.aliases:
                same.join((said.venue, said.symbol), (said.venue, alias))
        for name in described:
            self._by_name[name] = described[same.first(name)]
        for claim in ranked:
            said = claim.fact
            assert isinstance(said, Instrument)
            known = self._by_name[said.venue, said.symbol]
            if not _agree(known, said):
                self._disagree(known, claim)
        self._name_aliases(ranked)

    def _name_aliases(self, ranked: Sequence[Claimed]) -> None:
        owners: dict[Name, dict[str, Instrument]] = defaultdict(dict)
        for claim in ranked:
            said = claim.fact
            assert isinstance(said, Instrument)
            settled = self._by_name[said.venue, said.symbol]
            for alias in said.aliases:
                owners[said.venue, alias][settled.symbol] = settled
        for name, settled_by in owners.items():
            if name not in self._by_name and len(settled_by) == 1:
                (self._by_name[name],) = settled_by.values()

    def find(self, venue: str, name: str) -> Instrument | None:
        """Return the contract known under a name, or None."""
        return self._by_name.get((venue, name))

    def name_of(self, venue: str, name: str) -> str:
        """Return the one name of an instrument; a name nobody described stays as it is."""
        settled = self._by_name.get((venue, name))
        return name if settled is None else settled.symbol

    def same_as(self, other: InstrumentBook) -> bool:
        """Say whether both know the same names, contracts and contradictions."""
        return (self._by_name, self.findings) == (other._by_name, other.findings)

    def _disagree(self, known: Instrument, claim: Claimed) -> None:
        self.findings.append(
            Finding(
                code="instrument-disagrees",
                severity="error",
                message=f"two sources describe {known.symbol} as different contracts; "
                f"{known.contract} x {known.multiplier} in {known.settle} is used",
                next_step="retract the batch with the wrong contract",
                venue=known.venue,
                instrument=known.symbol,
                seqs=(claim.seq,),
                touches=("realized", "net", "made_money"),
            )
        )


class _Same:
    """Names that mean one instrument; the earliest described of them stands for all."""

    def __init__(self, described: dict[Name, Instrument]) -> None:
        self._place = {name: place for place, name in enumerate(described)}
        self._leader = {name: name for name in described}

    def first(self, name: Name) -> Name:
        """Return the name that stands for this one."""
        while self._leader[name] != name:
            name = self._leader[name]
        return name

    def join(self, one: Name, other: Name) -> None:
        """Make two described names one instrument; names nobody described are left alone."""
        if other in self._leader:
            leaders = sorted((self.first(one), self.first(other)), key=self._place.__getitem__)
            self._leader[leaders[1]] = leaders[0]


def _agree(known: Instrument, said: Instrument) -> bool:
    # A pair that is its own base is one whose source knew no more than its name.
    if said.contract == "spot" and said.base == said.symbol:
        said = msgspec.structs.replace(said, base=known.base)
    return _terms(known) == _terms(said)


def _terms(spec: Instrument) -> tuple[object, ...]:
    return (spec.contract, spec.base, spec.quote, spec.settle, spec.multiplier)


def unknown_instrument(venue: str, name: str, seqs: Sequence[int]) -> Finding:
    """Say that claims name an instrument nobody described, so they cannot be folded."""
    return Finding(
        code="instrument-unknown",
        severity="error",
        message=f"{len(seqs)} claims name {name}, but no source says what kind of contract it is",
        next_step="import a source that describes it, or name its contract in fillbook.toml",
        venue=venue,
        instrument=name,
        seqs=tuple(sorted(seqs)[:20]),
        touches=("realized", "net", "made_money"),
    )
