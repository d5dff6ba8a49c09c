"""The names a question may use: of instruments, whatever a source calls them, and of strategies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from fillbook.facts.model import Batch, Claimed, Instrument, Report
from fillbook.ground.settings import StrategyRule
from fillbook.ledger.ledger import Ledger
from fillbook.resolve.assignment import strategy_in
from fillbook.resolve.event import NO_STRATEGY
from fillbook.resolve.instruments import InstrumentBook


class Names(msgspec.Struct, frozen=True):
    """What a book knows by name.

    `instruments` tells of each name the symbols it stands for: itself where it is one, else all
    whose alias it is.
    """

    instruments: dict[str, tuple[str, ...]]
    strategies: frozenset[str]


def names_of_ledger(ledger: Ledger, rules: Sequence[StrategyRule]) -> Names:
    """Return the names of what was folded, and the strategies of rules."""
    symbols = {group.columns.key.instrument for group in ledger.groups}
    books = (book for group in ledger.groups for book in group.columns.books)
    return Names(
        instruments={symbol: (symbol,) for symbol in sorted(symbols)},
        strategies=_with_rules({strategy_in(book) for book in books}, rules),
    )


def names_of_claims(claims: Iterable[Claimed], rules: Sequence[StrategyRule]) -> Names:
    """Return every name that some claim uses, and the strategies of rules."""
    described: list[Claimed] = []
    used: set[tuple[str, str]] = set()
    strategies: set[str] = set()
    for claim in claims:
        if isinstance(claim.fact, Instrument):
            described.append(claim)
        used.update((claim.fact.venue, name) for name in _instruments_in(claim))
        strategies.add(getattr(claim.fact, "strategy", None) or NO_STRATEGY)
    settled = InstrumentBook(described)
    stands: dict[str, set[str]] = {}
    for venue, name in used:
        stands.setdefault(name, set()).add(settled.name_of(venue, name))
    return Names(
        instruments={
            name: (name,) if name in symbols else tuple(sorted(symbols))
            for name, symbols in stands.items()
        },
        strategies=_with_rules(strategies, rules),
    )


def _with_rules(strategies: set[str], rules: Sequence[StrategyRule]) -> frozenset[str]:
    return frozenset(strategies | {rule.strategy for rule in rules} | {NO_STRATEGY})


def _instruments_in(claim: Claimed) -> Iterator[str]:
    fact = claim.fact
    if isinstance(fact, Instrument):
        yield from (fact.symbol, *fact.aliases)
    elif isinstance(fact, Batch):
        yield from (each.instrument for each in fact.coverage if each.instrument)
    else:
        if isinstance(fact, Report):
            yield from (each.instrument for each in fact.held)
        named: str | None = getattr(fact, "instrument", None)
        if named:
            yield named
