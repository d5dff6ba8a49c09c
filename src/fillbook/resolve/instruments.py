"""One name and one contract per instrument, whatever each source calls it."""

from __future__ import annotations

from collections.abc import Sequence

from fillbook.facts.finding import Finding
from fillbook.facts.model import Claimed, Instrument
from fillbook.resolve.rank import best_source


class InstrumentBook:
    """Looks up the settled contract of a venue's instrument, by symbol or alias."""

    def __init__(self, claims: Sequence[Claimed]) -> None:
        self.findings: list[Finding] = []
        self._by_name: dict[tuple[str, str], Instrument] = {}
        ranked = sorted(claims, key=lambda c: (-best_source(c).rank, c.content))
        for claim in ranked:
            said = claim.fact
            assert isinstance(said, Instrument)
            known = self._by_name.setdefault((said.venue, said.symbol), said)
            if _terms(known) != _terms(said):
                self._disagree(known, claim)
        for (venue, _), settled in list(self._by_name.items()):
            for alias in settled.aliases:
                self._by_name.setdefault((venue, alias), settled)

    def find(self, venue: str, name: str) -> Instrument | None:
        """Return the contract known under a name, or None."""
        return self._by_name.get((venue, name))

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
        seqs=tuple(seqs[:20]),
        touches=("realized", "net", "made_money"),
    )
