"""Money that a venue tells twice, as a row of its own and with a fill, counts once.

A commission or a realised result is in the fill already. Where the fill is known, or a source
promises all fills, such a row is evidence; elsewhere it is all there is, and it counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fillbook.facts.model import Charge, Claimed, Fill
from fillbook.resolve.coverage import CoverageMap, NameOf
from fillbook.resolve.event import SourceCoverage

_Place = tuple[str, str, str, str]


class Repeats:
    """Tells charges that only repeat a fill, and remembers what could change its mind.

    `claims` are folded ones, of a whole set. A set without such charges costs one look at each.
    """

    def __init__(self, claims: Sequence[Claimed], coverage: CoverageMap, name_of: NameOf) -> None:
        self._name_of = name_of
        self._fills: set[_Place] | None = None
        self._counting: list[Charge] = []
        self.counted, self.repeated = self._split(claims, claims, coverage)

    def more(
        self, fresh: Sequence[Claimed], folded: Iterable[Claimed], coverage: CoverageMap
    ) -> list[Claimed]:
        """Return which of some further claims count; `folded` are all that counted before."""
        counted, _ = self._split(fresh, folded, coverage)
        return counted

    def unsettled_by(self, fresh: Sequence[Claimed], promises: Iterable[SourceCoverage]) -> bool:
        """Say whether new fills or promises turn a charge that counts into a repetition."""
        if not self._counting:
            return False
        waiting = {place for charge in self._counting if (place := self._place_of(charge))}
        if any(self._fill_place(claim) in waiting for claim in fresh):
            return True
        return any(self._is_promised(c, each) for each in promises for c in self._counting)

    def _split(
        self, claims: Sequence[Claimed], folded: Iterable[Claimed], coverage: CoverageMap
    ) -> tuple[list[Claimed], list[Claimed]]:
        charges = [claim for claim in claims if _repeats(claim)]
        if self._fills is None and charges:
            self._fills = set()
            self._remember(folded)
        if self._fills is not None:
            self._remember(claims)
        repeated = [claim for claim in charges if self._is_repeated(claim, coverage)]
        if not repeated:
            self._counting += [claim.fact for claim in charges]  # type: ignore[misc]
            return list(claims), []
        gone = {id(claim) for claim in repeated}
        self._counting += [c.fact for c in charges if id(c) not in gone]  # type: ignore[misc]
        return [claim for claim in claims if id(claim) not in gone], repeated

    def _remember(self, claims: Iterable[Claimed]) -> None:
        assert self._fills is not None
        self._fills |= {place for claim in claims if (place := self._fill_place(claim))}

    def _is_repeated(self, claim: Claimed, coverage: CoverageMap) -> bool:
        charge = claim.fact
        assert isinstance(charge, Charge) and self._fills is not None
        return self._place_of(charge) in self._fills or coverage.promises_fills(charge)

    def _is_promised(self, charge: Charge, promise: SourceCoverage) -> bool:
        part = promise.coverage
        if part.component != "fills" or charge.instrument is None:
            return False
        whose = (promise.venue, promise.account) == (charge.venue, charge.account)
        symbol = self._name_of(charge.venue, charge.instrument)
        named = part.instrument is None or self._name_of(charge.venue, part.instrument) == symbol
        until_ns = charge.ts_ns + charge.printed_ns
        return whose and named and part.from_ns < until_ns and charge.ts_ns < part.until_ns

    def _fill_place(self, claim: Claimed) -> _Place | None:
        fact = claim.fact
        if not isinstance(fact, Fill) or fact.fill_id is None:
            return None
        return fact.venue, fact.account, self._name_of(fact.venue, fact.instrument), fact.fill_id

    def _place_of(self, charge: Charge) -> _Place | None:
        if charge.instrument is None or charge.fill_id is None:
            return None
        name = self._name_of(charge.venue, charge.instrument)
        return charge.venue, charge.account, name, charge.fill_id


def _repeats(claim: Claimed) -> bool:
    return isinstance(claim.fact, Charge) and claim.fact.repeats_fills
