"""What of a book an export holds: the claims that count, how far they reach, and its trades."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence

import msgspec

from fillbook.analysis.answers import TradeRow
from fillbook.facts import flat
from fillbook.facts.identity import key_of
from fillbook.facts.model import AnyFact, Claimed, Component, Instrument, Span
from fillbook.ground.clock import iso
from fillbook.ground.exact import from_scaled, plain_text
from fillbook.marks.series import MarkStore
from fillbook.publish.exports import Sheet
from fillbook.resolve.counted import Counted, row_of
from fillbook.resolve.instruments import InstrumentBook
from fillbook.resolve.statements import Interval, uncovered, united
from fillbook.sources.files.exported import MARK_ROW, SOURCE
from fillbook.sources.source import RANK_FILE_WITH_IDS, WITHOUT_TIMES

# The name of each file, by the kind of its rows.
FILES = {
    "fill": "fills",
    "funding": "funding",
    "charge": "charges",
    "transfer": "transfers",
    "order": "orders",
    "decision": "decisions",
    "vote": "votes",
    "assignment": "assignments",
    "correction": "corrections",
    "instrument": "instruments",
    "report": "reports",
}
# Rows whose source printed no times stand in a file of their own, so that nobody trusts theirs.
APART = "-without-times"
COVERAGE, TRADES, MARKS = "coverage", "trades", "marks"
NAMES = (*FILES.values(), COVERAGE, TRADES, MARKS)
# Prices are many and can be had again; they are written when asked for.
USUAL = tuple(name for name in NAMES if name != MARKS)
_MARK_COLUMNS = (flat.MARK, "time", "venue", "instrument", "px", "what", "source")


Place = tuple[str, str, Component, str | None]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows to write: a half-open window, accounts (none: all), and files by name."""

    since_ns: int | None = None
    until_ns: int | None = None
    accounts: tuple[str, ...] = ()
    names: Collection[str] = USUAL

    def holds(self, fact: AnyFact) -> bool:
        """Say whether a fact is asked for; a contract has no time."""
        if self.accounts and fact.account not in self.accounts:
            return False
        return isinstance(fact, Instrument) or self.reaches(fact.ts_ns)

    def reaches(self, ts_ns: int) -> bool:
        """Say whether an instant lies in the window."""
        if self.since_ns is not None and ts_ns < self.since_ns:
            return False
        return self.until_ns is None or ts_ns < self.until_ns


def sheets_of(
    known: Counted, trades: Sequence[TradeRow], marks: MarkStore | None, wanted: Wanted
) -> Iterator[Sheet]:
    """Yield one sheet per file; a kind of which there is nothing has none."""
    for tag, name in FILES.items():
        if name not in wanted.names:
            continue
        chosen = [c for c in known.claims.get(flat.KINDS[tag], ()) if wanted.holds(c.fact)]
        timed = [claim for claim in chosen if known.has_time(claim)]
        untimed = [claim for claim in chosen if not known.has_time(claim)]
        for file, label, claims in ((name, "", timed), (f"{name}{APART}", WITHOUT_TIMES, untimed)):
            if claims:
                rows = _rows(tag, claims, known.instruments, label)
                yield Sheet(file, flat.columns_of(tag), len(claims), rows)
    if COVERAGE in wanted.names:
        spans = list(_coverage(known, wanted))
        if spans:
            made = (flat.flat("span", span, _span_key(span), None) for span in spans)
            yield Sheet(COVERAGE, flat.columns_of("span"), len(spans), made)
    if TRADES in wanted.names and trades:
        told = map(msgspec.structs.astuple, trades)
        yield Sheet(TRADES, TradeRow.__struct_fields__, len(trades), told)
    if MARKS in wanted.names and marks is not None:
        yield Sheet(MARKS, _MARK_COLUMNS, 0, _marks(marks, wanted))


def _rows(
    tag: str, claims: Iterable[Claimed], instruments: InstrumentBook, label: str
) -> Iterator[list[object]]:
    for claim in claims:
        fact = claim.fact
        named = getattr(fact, "instrument", None)
        contract = instruments.find(fact.venue, named) if isinstance(named, str) else None
        yield flat.flat(tag, fact, claim.key, row_of(claim), contract, label)


def _coverage(known: Counted, wanted: Wanted) -> Iterator[Span]:
    """Yield what is complete, less what could not be had, and that too; cut to the window."""
    complete: dict[Place, list[Interval]] = defaultdict(list)
    missing: dict[Place, list[Interval]] = defaultdict(list)
    for each in known.complete:
        part = each.coverage
        kept = (each.venue, each.account, part.component, part.instrument)
        complete[kept].append((part.from_ns, part.until_ns))
    for gap in known.gaps:
        lost = (gap.venue, gap.account, gap.component, gap.instrument)
        missing[lost].append((gap.ts_ns, gap.until_ns))
    spans = list(known.gaps)
    for place, intervals in complete.items():
        gone = united([*missing[place], *missing[(*place[:3], None)]])
        for whole in united(intervals):
            spans += [_span(place, since, until) for since, until in uncovered(whole, gone)]
    for span in sorted(spans, key=_span_key):
        cut = _cut(span, wanted)
        if cut is not None:
            yield cut


def _span(place: Place, since_ns: int, until_ns: int) -> Span:
    venue, account, component, instrument = place
    return Span(
        venue=venue,
        account=account,
        ts_ns=since_ns,
        until_ns=until_ns,
        source=SOURCE,
        rank=RANK_FILE_WITH_IDS,
        component=component,
        state="complete",
        instrument=instrument,
    )


def _cut(span: Span, wanted: Wanted) -> Span | None:
    if wanted.accounts and span.account not in wanted.accounts:
        return None
    since = span.ts_ns if wanted.since_ns is None else max(span.ts_ns, wanted.since_ns)
    until = span.until_ns if wanted.until_ns is None else min(span.until_ns, wanted.until_ns)
    if since >= until:
        return None
    return msgspec.structs.replace(
        span, ts_ns=since, until_ns=until, source=SOURCE, rank=RANK_FILE_WITH_IDS, said_ns=None
    )


def _span_key(span: Span) -> str:
    place = (span.component, span.instrument, span.ts_ns, span.until_ns, span.state)
    return key_of(span.ts_ns, SOURCE, *place)


def _marks(marks: MarkStore, wanted: Wanted) -> Iterator[list[object]]:
    for venue, instrument in marks.instruments():
        series = marks.series(venue, instrument, wanted.since_ns, wanted.until_ns)
        for ts_ns, px in zip(series.ts_ns.tolist(), series.px.tolist(), strict=True):
            price = plain_text(from_scaled(px, series.scale))
            yield [f"{MARK_ROW}/{flat.VERSION}", iso(ts_ns), venue, instrument, price, "mark", ""]
