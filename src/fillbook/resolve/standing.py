"""What stands after resolving a set of claims, kept so that more claims cost only their groups.

`Standing` is the whole of resolve; `add` is its quick way for the everyday case: new events of
known instruments, of the only source of their account. Anything that could change older claims
(a conflict, a correction, a second source, a new contract) asks for a new `Standing` instead, so
both ways always give the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import get_args

from fillbook.facts.finding import Finding
from fillbook.facts.model import (
    Assignment,
    Batch,
    Charge,
    Claimed,
    Correction,
    Decision,
    Epoch,
    Fill,
    Funding,
    Instrument,
    OrderUpdate,
    Report,
    Span,
    Transfer,
    Vote,
)
from fillbook.ground.settings import StrategyRule
from fillbook.resolve.anchored import Anchored
from fillbook.resolve.assignment import Assigner
from fillbook.resolve.corrections import Match, apply_corrections, match_of
from fillbook.resolve.coverage import (
    COMPONENT_OF,
    CoverageMap,
    Moved,
    closes_the_rest,
    split_evidence,
    united_coverage,
)
from fillbook.resolve.event import Group, GroupKey, SourceCoverage
from fillbook.resolve.evidence import compare_evidence
from fillbook.resolve.gaps import gap_findings
from fillbook.resolve.grouping import build_group, contract_of, group_claims
from fillbook.resolve.instruments import InstrumentBook
from fillbook.resolve.rank import settle_conflicts
from fillbook.resolve.repeats import Repeats
from fillbook.resolve.statements import Said, settled, statements

WITHOUT_TIMES = "no times"

_SETTLED = (Fill, Funding, Charge, Correction, Assignment, OrderUpdate, Decision)
_JOINED = (Assignment, OrderUpdate, Decision)
Silent = Transfer | Report | Vote

Identity = tuple[str, str, str, str]
Account = tuple[str, str]


class Standing:
    """The resolved state of a set of claims."""

    def __init__(self, claims: Iterable[Claimed], rules: Sequence[StrategyRule]) -> None:
        by_kind: dict[type, list[Claimed]] = defaultdict(list)
        for claim in claims:
            by_kind[type(claim.fact)].append(claim)
        self._by_kind = by_kind
        self._rules = rules
        self.instruments = InstrumentBook(by_kind[Instrument])
        self._found: list[Finding] = list(self.instruments.findings)
        for kind in _SETTLED:
            by_kind[kind], more = settle_conflicts(by_kind[kind])
            self._found += more
        fills, more = apply_corrections(by_kind[Fill], by_kind[Correction])
        self._found += more
        moved = [*fills, *by_kind[Funding], *by_kind[Charge]]
        self._anchored = Anchored(by_kind[Report], self.instruments)
        # Positions told at every poll would soon be most of what is kept here.
        for heard in get_args(Silent):
            by_kind.pop(heard, None)
        self._promise()
        folded, evidence = split_evidence(moved, self._coverage)
        self._repeats = Repeats(folded, self._coverage, self.instruments.name_of)
        folded = self._repeats.counted
        self.n_evidence = len(evidence) + len(self._repeats.repeated)
        self._found += compare_evidence(moved, self._coverage, self.instruments.name_of)
        self._found += _epochs(by_kind[Epoch])
        self._join()
        self._grouped, more = group_claims(folded, self.instruments)
        self._found += more
        self._anchor(self._anchored.begin(self._grouped))

    @cached_property
    def _known(self) -> set[Identity]:
        return {_identity(claim) for kind in _SETTLED for claim in self._by_kind[kind]}

    @cached_property
    def _outsiders(self) -> set[tuple[str, str, str]]:
        """Places with events that their sole promising source does not assert."""
        return {_place(claim) for claim in self._folded() if not self._asserted_by_sole(claim)}

    @cached_property
    def _corrected(self) -> set[Identity]:
        """Return the identities of fills that some correction names, known or not."""
        return {
            (said.venue, said.account, Fill.__name__, said.target_key)
            for claim in self._by_kind[Correction]
            if isinstance(said := claim.fact, Correction)
        }

    @cached_property
    def _corrected_matches(self) -> set[Match]:
        """Return the matches that some correction names, known or not."""
        named = (match_of(claim) for claim in self._by_kind[Correction])
        return {match for match in named if match is not None}

    @property
    def keys(self) -> list[GroupKey]:
        """Return the keys of all groups, in order."""
        return sorted(self._grouped)

    @property
    def findings(self) -> list[Finding]:
        """Return what was found outside the groups."""
        return self._found + self._gaps

    @property
    def orders(self) -> list[OrderUpdate]:
        """Return all order updates by time."""
        in_order = sorted(
            self._by_kind[OrderUpdate], key=lambda c: (c.fact.ts_ns, c.key, c.content)
        )
        return [claim.fact for claim in in_order if isinstance(claim.fact, OrderUpdate)]

    def group(self, key: GroupKey) -> tuple[Group, list[Finding]]:
        """Build one group's ordered events."""
        claims = self._grouped[key]
        batches = _batches(self._by_kind[Batch])
        untimed = frozenset(b.batch_id for b in batches if WITHOUT_TIMES in b.labels)
        return build_group(
            key,
            contract_of(key, self.instruments),
            claims,
            self._assigner,
            without_times=bool(untimed) and _has_no_times(claims, untimed),
            anchors=self._anchored.anchors(key),
        )

    def add(self, claims: Sequence[Claimed]) -> set[GroupKey] | None:
        """Take in further claims and return the groups they touch.

        None, and nothing is taken in, where older claims could change: start a new `Standing`.
        """
        named = [_identity(claim) for claim in claims if isinstance(claim.fact, _SETTLED)]
        if len(set(named)) != len(named):
            return None
        if not all(self._is_plain(claim) for claim in claims):
            return None
        if not self._describes_nothing_new(claims):
            return None
        fresh = [claim for claim in claims if isinstance(claim.fact, Moved)]
        _, unknown = group_claims(fresh, self.instruments)
        said = statements(claims)
        promises = united_coverage(_batches(claims), settled(said))
        if unknown or self._takes_back(said) or not self._promises_alone(promises):
            return None
        if self._repeats.unsettled_by(fresh, promises):
            return None
        for claim in claims:
            if not isinstance(claim.fact, Moved | Silent):
                self._by_kind[type(claim.fact)].append(claim)
            if isinstance(claim.fact, _SETTLED):
                self._known.add(_identity(claim))
        if any(isinstance(claim.fact, Span | Batch) for claim in claims):
            self._promise()
        counted = self._repeats.more(fresh, self._folded(), self._coverage)
        self.n_evidence += len(fresh) - len(counted)
        self._outsiders |= {_place(claim) for claim in counted if not self._asserted_by_sole(claim)}
        grouped, _ = group_claims(counted, self.instruments)
        for key, more in grouped.items():
            self._grouped[key].extend(more)
        touched = set(grouped) | self._anchor(self._anchored.more(claims, grouped, self._grouped))
        joined = {_account(claim) for claim in claims if isinstance(claim.fact, _JOINED)}
        if joined:
            self._join()
            touched |= {key for key in self._grouped if (key.venue, key.account) in joined}
        return touched

    def _anchor(self, keys: Iterable[GroupKey]) -> set[GroupKey]:
        """Let what is only stated be a group, and return all of them."""
        for key in keys:
            self._grouped.setdefault(key, [])
        return set(keys)

    def _is_plain(self, claim: Claimed) -> bool:
        fact = claim.fact
        if isinstance(fact, Moved | OrderUpdate | Decision | Assignment):
            if _identity(claim) in self._known or _identity(claim) in self._corrected:
                return False
            if self._corrected_matches and match_of(claim) in self._corrected_matches:
                return False
            return not isinstance(fact, Moved) or self._counts_alone(claim)
        return isinstance(fact, Instrument | Span | Batch | Silent)

    def _describes_nothing_new(self, claims: Sequence[Claimed]) -> bool:
        """Say whether the instruments stay what they are, names and contracts, with these too."""
        said = [claim for claim in claims if isinstance(claim.fact, Instrument)]
        if not said:
            return True
        return InstrumentBook([*self._by_kind[Instrument], *said]).same_as(self.instruments)

    def _counts_alone(self, claim: Claimed) -> bool:
        """Say whether a new event's account has one source at most, and it is this one's."""
        assert isinstance(claim.fact, Moved)
        place = self._coverage.place_of(claim.fact)
        return place is None or self._asserted_by_sole(claim)

    def _asserted_by_sole(self, claim: Claimed) -> bool:
        assert isinstance(claim.fact, Moved)
        if closes_the_rest(claim.fact):
            return True
        place = self._coverage.place_of(claim.fact)
        if place is None or place.sole is None:
            return False
        return any(each.source == place.sole for each in claim.assertions)

    def _promises_alone(self, promises: Sequence[SourceCoverage]) -> bool:
        """Say whether new promises come from the sole source of places without other claims."""
        for each in promises:
            place = (each.venue, each.account, each.coverage.component)
            if place in self._outsiders or self._coverage.sole_of(*place) != each.source:
                return False
        return True

    def _takes_back(self, said: Sequence[Said]) -> bool:
        """Say whether a new gap lies inside what its source promised before."""
        return any(
            each.span.state == "gap"
            and (span := each.span).ts_ns < promise.coverage.until_ns
            and promise.coverage.from_ns < span.until_ns
            and promise.coverage.component == span.component
            and (promise.venue, promise.account, promise.source)
            == (span.venue, span.account, span.source)
            for each in said
            for promise in self.promises
        )

    def _promise(self) -> None:
        batches, said = _batches(self._by_kind[Batch]), settled(statements(self._by_kind[Span]))
        self.promises = united_coverage(batches, said)
        self._anchored.promise(self.promises)
        self._gaps = gap_findings(said, self.promises, batches)
        self._coverage = CoverageMap(self.promises, self.instruments.name_of)

    def _join(self) -> None:
        said, ordered, decided = (self._by_kind[kind] for kind in _JOINED)
        self._assigner = Assigner(said, ordered, decided, self._rules, self.instruments)

    def _folded(self) -> Iterable[Claimed]:
        return (claim for claims in self._grouped.values() for claim in claims)


def _batches(claims: Iterable[Claimed]) -> list[Batch]:
    return [claim.fact for claim in claims if isinstance(claim.fact, Batch)]


def _identity(claim: Claimed) -> Identity:
    fact = claim.fact
    return fact.venue, fact.account, type(fact).__name__, claim.key


def _account(claim: Claimed) -> Account:
    return claim.fact.venue, claim.fact.account


def _place(claim: Claimed) -> tuple[str, str, str]:
    assert isinstance(claim.fact, Moved)
    return (*_account(claim), COMPONENT_OF[type(claim.fact)])


def _has_no_times(claims: Iterable[Claimed], untimed: frozenset[str]) -> bool:
    """Say whether some claim is known only from batches whose rows have no time."""
    return any(all(each.batch_id in untimed for each in claim.assertions) for claim in claims)


def _epochs(claims: Sequence[Claimed]) -> list[Finding]:
    findings = []
    for claim in claims:
        lost = claim.fact
        assert isinstance(lost, Epoch)
        findings.append(
            Finding(
                code="claims-lost",
                severity="error",
                message=f"the book once held claims {lost.lost_from_seq} to "
                f"{lost.lost_until_seq - 1} and lost them",
                next_step="restore a backup, or import the period again",
                ts_ns=lost.ts_ns,
                seqs=(claim.seq,),
                touches=("realized", "net", "made_money"),
            )
        )
    return findings
