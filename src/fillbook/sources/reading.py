"""What one file says about one account: rows become claims, twins are told apart, spans kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import msgspec

from fillbook.facts.identity import key_of
from fillbook.facts.model import (
    AnyFact,
    Charge,
    Claim,
    Component,
    Coverage,
    Decision,
    Fill,
    Funding,
    Instrument,
    OrderUpdate,
    Transfer,
)
from fillbook.marks.series import Mark
from fillbook.sources.source import Draft, Drafted, Rejected, RowError

COMPONENT_OF: dict[type, Component] = {
    Fill: "fills",
    Funding: "funding",
    Charge: "charges",
    OrderUpdate: "orders",
    Decision: "decisions",
    Transfer: "transfers",
}
Entry = Claim | Rejected | Mark
_SNIPPET = 200


class Parsed(msgspec.Struct, frozen=True):
    """One row after parsing: its drafts, or the fault that makes it a rejected row."""

    line: int
    raw: str
    done_bytes: int
    drafts: tuple[Drafted, ...]
    fault: RowError | None = None


class Whose(msgspec.Struct, frozen=True):
    """The account a reading is about."""

    venue: str
    account: str


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a reading promises and how its batch is described.

    `context` is what `reparse` needs. `account_wide`: the file holds every row of the account
    between its first and last, not only those of the instruments it names. `promises` False: it
    says itself, row by row, what is complete.
    """

    source: str
    rank: int
    fingerprint: str
    name: str
    context: str
    tz: str | None = None
    labels: tuple[str, ...] = ()
    account_wide: bool = True
    total_bytes: int = 0
    components: tuple[Component, ...] | None = None
    promises: bool = True


class Reading:
    """An iterable of claims, rejected rows and marks, with the coverage known at its end.

    `parse` yields only rows of this account. Iterating again starts over and yields the same.
    `rows` counts the rows seen so far, `done_bytes` how far the file is read.
    """

    def __init__(self, whose: Whose, terms: Terms, parse: Callable[[], Iterable[Parsed]]) -> None:
        self.whose = whose
        self.terms = terms
        self._parse = parse
        self._reset()

    def _reset(self) -> None:
        self.rows = self.rejected = self.done_bytes = 0
        self._spans: dict[tuple[Component, str | None], tuple[int, int]] = {}
        self._twins: Counter[str] = Counter()
        self._ranks: Counter[tuple[str | None, int]] = Counter()
        self._described: set[Instrument] = set()
        self._last_described: dict[str, Instrument] = {}

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the batch's labels, including how many rows could not be read."""
        if not self.rejected:
            return self.terms.labels
        rows = "row" if self.rejected == 1 else "rows"
        return (*self.terms.labels, f"{self.rejected} {rows} rejected")

    @property
    def first_ns(self) -> int | None:
        """Return the time of the earliest event seen, or None."""
        return min((first for first, _ in self._spans.values()), default=None)

    @property
    def last_ns(self) -> int | None:
        """Return the end of the latest event's printed instant, or None."""
        return max((last for _, last in self._spans.values()), default=None)

    def coverage(self) -> tuple[Coverage, ...]:
        """Return what the rows seen so far prove to be complete, once iteration has ended."""
        if not self.terms.promises:
            return ()
        return tuple(
            Coverage(component=component, from_ns=first, until_ns=last, instrument=instrument)
            for (component, instrument), (first, last) in sorted(
                self._spans.items(), key=lambda item: (item[0][0], item[0][1] or "")
            )
        )

    def entries(self) -> Iterator[Entry]:
        """Yield everything the file says about this account, in file order."""
        self._reset()
        for parsed in self._parse():
            self.done_bytes = parsed.done_bytes
            self.rows += 1
            if parsed.fault is not None:
                self.rejected += 1
                yield self._refused(parsed, parsed.fault)
            for draft in parsed.drafts:
                if isinstance(draft, Mark):
                    yield draft
                else:
                    yield from self._claims(draft, parsed)

    def _refused(self, parsed: Parsed, fault: RowError) -> Rejected:
        text = parsed.raw if len(parsed.raw) <= _SNIPPET else parsed.raw[:_SNIPPET] + "…"
        return Rejected(self.terms.name, parsed.line, fault.field, fault.reason, text)

    def _claims(self, draft: Draft, parsed: Parsed) -> Iterator[Claim]:
        described = draft.instrument
        if described is not None and self._is_new(described):
            yield Claim(described, instrument_key(described), parsed.raw, line=parsed.line)
        fact = draft.fact
        instrument: str | None = getattr(fact, "instrument", None)
        ordinal, row = 0, None
        if draft.idless:
            ordinal = self._twins[draft.key]
            self._twins[draft.key] += 1
        if draft.ranked:
            place = (instrument, fact.ts_ns)
            row = self._ranks[place]
            self._ranks[place] += 1
        self._extend(fact, instrument)
        yield Claim(fact, draft.key, parsed.raw, row, ordinal, parsed.line)

    def _is_new(self, described: Instrument) -> bool:
        # Readers cache descriptions, so that identity answers for nearly every row.
        if self._last_described.get(described.symbol) is described:
            return False
        self._last_described[described.symbol] = described
        if described in self._described:
            return False
        self._described.add(described)
        return True

    def _extend(self, fact: AnyFact, instrument: str | None) -> None:
        component = COMPONENT_OF.get(type(fact))
        promised = self.terms.components
        if component is None or (promised is not None and component not in promised):
            return
        place = (component, None if self.terms.account_wide else instrument)
        first, last = self._spans.get(place, (fact.ts_ns, 0))
        self._spans[place] = (min(first, fact.ts_ns), max(last, fact.ts_ns + fact.printed_ns))


def instrument_key(described: Instrument) -> str:
    """Return the identity of a description: a contract has no time."""
    return key_of(0, "instrument", described.symbol)


def facts_of(drafts: Iterable[Drafted]) -> list[AnyFact]:
    """Return the facts behind drafts, descriptions of instruments included; marks left out."""
    facts: list[AnyFact] = []
    for draft in drafts:
        if isinstance(draft, Draft):
            if draft.instrument is not None:
                facts.append(draft.instrument)
            facts.append(draft.fact)
    return facts
