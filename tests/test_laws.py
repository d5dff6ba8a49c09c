"""What must hold for every book, however its claims arrive: the laws of the ledger.

`book_oracle.py` and `oracle.py`, which share no code with the ledger, say what is right.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from book_oracle import GRID, cash_of, groups_of
from fillbook.analysis.answers import CurrencyTotals, Why
from fillbook.analysis.valuation import Valuer
from fillbook.analysis.view import BookView, Query
from fillbook.analysis.why import why
from fillbook.facts.model import Batch, Claim, Fill
from fillbook.ground.settings import FoldMethod, Settings
from fillbook.journal.store import BatchOpen, Journal, Page
from fillbook.ledger import layout
from fillbook.ledger.amounts import to_int, to_ints, total
from fillbook.ledger.following import Following
from fillbook.ledger.group import GroupLedger
from fillbook.ledger.ledger import Ledger, fold_claims
from fillbook.marks.series import Mark, MarkStore
from strategies import (
    ACCOUNT,
    HOUR,
    MARKETS,
    T0,
    VENUE,
    Import,
    books,
    covers,
    fill,
    market,
    remember,
)

METHODS: tuple[FoldMethod, ...] = ("average", "fifo", "lifo")
METHOD = st.sampled_from(METHODS)
SUB_BOOKS = ("-", "fade", "trend")
KNOWN_FEES = ("0.02", "-0.01", "0.0105", "0")


LENGTHS = [120, pytest.param(2000, marks=pytest.mark.soak)]
law = pytest.mark.parametrize("examples", LENGTHS, ids=["modest", "soak"])
costly_law = pytest.mark.parametrize(
    "examples", [8, pytest.param(300, marks=pytest.mark.soak)], ids=["modest", "soak"]
)


# Making a failing book smaller is worth minutes to a person, not to a test run.
PHASES = [phase for phase in Phase if phase is not Phase.explain]
if not os.environ.get("FILLBOOK_SHRINK"):
    PHASES.remove(Phase.shrink)


def for_all(examples: int, *drawn: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], None]:
    """Check a property over so many drawn examples, at once.

    With FILLBOOK_SHRINK=1 a failing example is made as small as it gets.
    """

    def check(property_: Callable[..., None]) -> None:
        quiet = list(HealthCheck) if examples > 100 else [HealthCheck.too_slow]
        often = settings(
            max_examples=examples, deadline=None, phases=PHASES, suppress_health_check=quiet
        )
        often(given(*drawn)(property_))()

    return check


# --- one set of claims, one ledger ---------------------------------------------------------------


@st.composite
def arrivals(draw: st.DrawFn, claims: Sequence[Claim]) -> list[Import]:
    """Cut claims into batches of one source, in any order, some claims in several of them."""
    shuffled = draw(st.permutations(claims))
    again = draw(st.lists(st.sampled_from(shuffled), max_size=6))
    count = draw(st.integers(1, 4))
    batches: list[list[Claim]] = [[] for _ in range(count)]
    for claim in [*shuffled, *again]:
        batches[draw(st.integers(0, count - 1))].append(claim)
    # A batch asserts a claim once.
    unique = [list({id(claim): claim for claim in batch}.values()) for batch in batches]
    return [Import(batch, f"batch-{place}") for place, batch in enumerate(unique)]


@law
def test_any_arrival_of_the_same_claims_gives_the_same_ledger(examples: int) -> None:
    @for_all(examples, st.data(), METHOD)
    def holds(data: st.DataObject, method: FoldMethod) -> None:
        claims = data.draw(books())
        plain = fold_claims(remember(Import(claims)), method)
        other = fold_claims(remember(*data.draw(arrivals(claims))), method)
        assert other.digest() == plain.digest()
        assert _told(other) == _told(plain)


def _told(ledger: Ledger) -> list[tuple[str, str | None, str | None]]:
    return sorted((f.code, f.instrument or "", f.amount or "") for f in ledger.findings)  # type: ignore[misc]


SOURCES = {"api": 3, "file": 2, "export": 1, "history": 1, "push": 0}


@st.composite
def rivals(draw: st.DrawFn, claims: Sequence[Claim]) -> list[Import]:
    """Let several sources tell overlapping parts of a book, with and without promises."""
    told = []
    for place in range(draw(st.integers(2, 4))):
        source = draw(st.sampled_from(sorted(SOURCES)))
        said = draw(st.lists(st.sampled_from(claims), unique_by=id, max_size=len(claims)))
        spans = []
        for component in draw(st.lists(st.sampled_from(("fills", "funding", "charges")))):
            since, length = draw(st.integers(0, 12)), draw(st.integers(1, 12))
            symbol = draw(st.sampled_from((None, None, *MARKETS)))
            spans.append(covers(component, since * HOUR, (since + length) * HOUR, symbol))
        markets = claims[: len(MARKETS)]
        listed = list({id(claim): claim for claim in (*markets, *said)}.values())
        told.append(Import(listed, f"b{place}", source, SOURCES[source], tuple(spans)))
    return told


@law
def test_sources_that_overlap_give_one_ledger_in_any_order(examples: int) -> None:
    @for_all(examples, st.data(), METHOD)
    def holds(data: st.DataObject, method: FoldMethod) -> None:
        imports = data.draw(rivals(data.draw(books())))
        plain = fold_claims(remember(*imports), method)
        other = fold_claims(remember(*data.draw(st.permutations(imports))), method)
        assert other.digest() == plain.digest()
        assert _told(other) == _told(plain)
        assert (other.coverage, other.n_evidence) == (plain.coverage, plain.n_evidence)


def _append(journal: Journal, said: Import, rng: random.Random) -> None:
    """Import one batch in pages of random size."""
    opened = BatchOpen(
        batch_id=said.batch_id,
        source=said.source,
        rank=said.rank,
        venue=VENUE,
        account=ACCOUNT,
        fingerprint=said.batch_id,
        name=said.batch_id,
    )
    journal.begin(opened, now_ns=T0)
    rest, pages = list(said.claims), 0
    while rest or not pages:
        size = rng.randint(1, 9)
        page, rest, pages = rest[:size], rest[size:], pages + 1
        final = None if rest else _final(said)
        batch_id, cursor = said.batch_id, str(pages)
        journal.append(Page(batch_id=batch_id, claims=page, cursor=cursor, final=final), T0)


def _final(said: Import) -> Batch:
    return Batch(
        venue=VENUE,
        account=ACCOUNT,
        ts_ns=T0,
        batch_id=said.batch_id,
        source=said.source,
        rank=said.rank,
        fingerprint=said.batch_id,
        name=said.batch_id,
        rows=len(said.claims),
        coverage=said.covers,
    )


@costly_law
def test_a_journal_on_disk_keeps_the_law(examples: int) -> None:
    @for_all(examples, st.data(), st.integers(0, 2**32))
    def holds(data: st.DataObject, seed: int) -> None:
        claims = data.draw(books(max_events=16))
        plain = fold_claims(remember(Import(claims))).digest()
        imports = data.draw(arrivals(claims))
        stray = Import([fill(3, "buy", 7, key="stray", fee="1")], "stray")
        with tempfile.TemporaryDirectory() as folder:
            with Journal.create(Path(folder) / "book.db") as journal:
                rng = random.Random(seed)
                for each in imports:
                    _append(journal, each, rng)
                found = fold_claims(journal.claims())
                assert found.digest() == plain
                known = journal.head().seq
            # A wrong batch comes and goes; what was known before it can still be asked for.
            with Journal.open(Path(folder) / "book.db") as journal:
                _append(journal, stray, random.Random(seed))
                assert fold_claims(journal.claims()).digest() != plain
                assert fold_claims(journal.claims(as_of=known)).digest() == plain
                journal.retract("stray", "a test says so", now_ns=T0)
                assert fold_claims(journal.claims()).digest() == plain


@costly_law
def test_a_ledger_that_follows_its_journal_is_the_folded_one(examples: int) -> None:
    """Asked after every batch, it folds only what is new, and is never another ledger for it."""

    @for_all(examples, st.data(), METHOD, st.integers(0, 2**32))
    def holds(data: st.DataObject, method: FoldMethod, seed: int) -> None:
        claims = data.draw(books(max_events=16))
        imports = data.draw(arrivals(claims) | rivals(claims))
        following, rng = Following(method), random.Random(seed)
        with (
            tempfile.TemporaryDirectory() as folder,
            Journal.create(Path(folder) / "book.db") as journal,
        ):
            for each in imports:
                _append(journal, each, rng)
                quick, whole = following.refresh(journal), fold_claims(journal.claims(), method)
                assert quick.digest() == whole.digest()
                assert _told(quick) == _told(whole)
                assert (quick.coverage, quick.orders) == (whole.coverage, whole.orders)


@law
def test_late_facts_give_the_ledger_that_early_ones_would(examples: int) -> None:
    @for_all(examples, st.data(), METHOD)
    def holds(data: st.DataObject, method: FoldMethod) -> None:
        claims = data.draw(books())
        cut = data.draw(st.integers(0, len(claims)))
        late = Import(claims[:cut], "late")
        early = Import(claims[cut:], "early")
        whole = fold_claims(remember(Import(claims)), method)
        known = fold_claims(remember(early), method)
        assert fold_claims(remember(early, late), method).digest() == whole.digest()
        refolded = fold_claims(remember(early, late), method, earlier=known)
        assert refolded.digest() == whole.digest()


FIXED = """
import sys
sys.path.insert(0, {tests!r})
from test_laws import fixed_answer
print(fixed_answer())
"""


def fixed_answer() -> str:
    """Return digest and answer of a small book with many names in it."""
    claims = [market(name) for name in ("AAA", "BBB", "CCC", "DDD")]
    for n, name in enumerate(("AAA", "BBB", "CCC", "DDD") * 3):
        claims.append(
            fill(
                n * HOUR,
                "buy" if n < 7 else "sell",
                n + 1,
                100 + n,
                key=f"k{n}",
                instrument=name,
                strategy=("x", "y", "z", None)[n % 4],
                fee="0.1",
                fee_asset=("BNB", "USD", "EUR")[n % 3],
            )
        )
    spans = tuple(covers(until=n * HOUR, instrument=f"{n % 3}") for n in range(1, 9))
    ledger = fold_claims(remember(Import(claims, covers=spans)))
    view = BookView(lambda: ledger, Valuer(None, HOUR), Settings())
    answer = why(view, Query(by="strategy"))
    return ledger.digest() + msgspec.json.encode(answer).decode()


def test_the_hash_seed_of_the_process_changes_nothing() -> None:
    told = set()
    for seed in ("0", "1", "271828"):
        code = FIXED.format(tests=str(Path(__file__).parent))
        run = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        told.add(run.stdout)
    assert told == {fixed_answer() + "\n"}


# --- against the second ledger -------------------------------------------------------------------


def _by_instrument(ledger: Ledger) -> dict[str, GroupLedger]:
    return {group.columns.key.instrument: group for group in ledger.groups}


TRADE_MONEY = ("entry_value", "exit_value", "fees", "funding", "signal_unpriced")
TRADE_QTY = ("opened_qty", "closed_qty", "max_qty", "opened_unpriced_qty")


@law
def test_every_trade_and_position_is_what_the_second_ledger_says(examples: int) -> None:
    @for_all(examples, books(apart=True, disturbed=False), METHOD)
    def holds(claims: list[Claim], method: FoldMethod) -> None:
        ledger = _by_instrument(fold_claims(remember(Import(claims)), method))
        expected = groups_of(claims, MARKETS)
        assert set(ledger) == set(expected)
        for name, theirs in expected.items():
            ours = ledger[name]
            assert ours.columns.books == theirs.books
            assert ours.columns.terms.qty_scale == theirs.qty_scale
            for result, fold in (
                (ours.books, theirs.fold(method)),
                (ours.venue, theirs.fold(method, as_one=True)),
            ):
                found = [_trade(row) for row in result.trades]
                wanted = [_oracles(trade) for trade in fold.trades]
                for trade in () if result is ours.books else (*found, *wanted):
                    del trade["funding"]  # whose funding it is matters to the sub-books only
                assert found == wanted
                for book, state in zip(fold.books, result.state.books, strict=True):
                    assert int(state["priced_qty"]) == book.priced
                    assert int(state["unpriced_qty"]) == book.unpriced
                    costs = to_ints(state["cost"].reshape(4, 2))
                    assert costs == [book.cost(rung) for rung in range(4)]


def _trade(row: Any) -> dict[str, object]:
    flags = int(row["flags"])
    told: dict[str, object] = {name: to_int(row[name]) for name in TRADE_MONEY}
    told |= {name: int(row[name]) for name in TRADE_QTY}
    told |= {
        "side": int(row["side"]),
        "n_fills": int(row["n_fills"]),
        "realised": to_ints(row["realised"].reshape(4, 2)),
        "open": int(row["close_event"]) < 0,
        "unpriced": bool(flags & layout.TRADE_UNPRICED),
        "fee_unknown": bool(flags & layout.TRADE_FEE_UNKNOWN),
    }
    return told


def _oracles(trade: Any) -> dict[str, object]:
    told: dict[str, object] = {name: getattr(trade, name) for name in (*TRADE_MONEY, *TRADE_QTY)}
    told |= {
        "side": trade.side,
        "n_fills": trade.n_fills,
        "realised": trade.realised,
        "open": trade.close_event < 0,
        "unpriced": trade.unpriced,
        "fee_unknown": trade.fee_unknown,
    }
    return told


@law
def test_realised_is_within_a_grid_step_a_close_of_exact_fractions(examples: int) -> None:
    """FIFO and LIFO are exact; an average leaves less than one 1e-18 behind at each close."""

    @for_all(examples, books(apart=True, disturbed=False), METHOD)
    def holds(claims: list[Claim], method: FoldMethod) -> None:
        ledger = _by_instrument(fold_claims(remember(Import(claims)), method))
        for name, theirs in groups_of(claims, MARKETS).items():
            exact = theirs.fold(method, exact=True)
            ours = ledger[name].books
            for rung in range(4):
                wanted = sum(Fraction(row.realised[rung]) for row in exact.rows)
                closes = sum(row.closed_qty > 0 for row in exact.rows)
                off = abs(total(ours.outputs.realised[:, rung].copy()) - wanted)
                assert off <= (closes if method == "average" else 0)


@law
def test_the_sub_books_sum_to_the_venue_book(examples: int) -> None:
    """In quantity always; in cash (realised less cost still held) where everything is priced."""

    @for_all(examples, books(apart=False, disturbed=True), METHOD)
    def holds(claims: list[Claim], method: FoldMethod) -> None:
        for group in fold_claims(remember(Import(claims)), method).groups:
            books_, venue = group.books.state.books, group.venue.state.books
            held = [
                int((each["priced_qty"] + each["unpriced_qty"]).sum()) for each in (books_, venue)
            ]
            assert held[0] == held[1]
            assert _moved(group) == held[0]
            if (group.columns.events.kind == layout.ADJUST).any():
                continue
            for rung in range(4):
                cash = [
                    total(fold.outputs.realised[: len(group), rung].copy())
                    - total(fold.state.books["cost"][:, rung].copy())
                    for fold in (group.books, group.venue)
                ]
                assert cash[0] == cash[1]


def _moved(group: GroupLedger) -> int:
    events = group.columns.events
    moves = (events.kind == layout.FILL) | (events.kind == layout.ADJUST)
    return int(events.qty[moves].sum())


# --- money at marks ------------------------------------------------------------------------------


MARK_STEP = HOUR // 2
LAST = 30 * HOUR
RATES = {("BNB", "USD"): Decimal("601.25"), ("BNB", "XBT"): Decimal("0.0061")}


def mark_px(symbol: str, at: int) -> Decimal:
    """Return a price that wanders by half hours, another for every instrument."""
    step = at // MARK_STEP
    return Decimal(950 + (step * 37 + 11 * len(symbol)) % 101).scaleb(-1)


@pytest.fixture(scope="module")
def valuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valuer]:
    """Return a valuer over a real store with marks every half hour, rates included."""
    with MarkStore(tmp_path_factory.mktemp("marks") / "book.marks") as store:
        store.put(
            Mark(VENUE, symbol, T0 + at, mark_px(symbol, at))
            for symbol in MARKETS
            for at in range(0, LAST + 1, MARK_STEP)
        )
        store.put(
            Mark(VENUE, f"{asset}/{currency}", T0 + at, px, "rate")
            for (asset, currency), px in RATES.items()
            for at in range(0, LAST + 1, MARK_STEP)
        )
        yield Valuer(store, HOUR)


def answer(valuer: Valuer, claims: Sequence[Claim], method: FoldMethod, **query: Any) -> Why:
    """Ask why of a freshly folded book."""
    ledger = fold_claims(remember(Import(claims)), method)
    return why(BookView(lambda: ledger, valuer, Settings()), Query(**query))


def known(**more: Any) -> st.SearchStrategy[list[Claim]]:
    """Draw books whose every figure is known: fees, costs, and marks for all that is held."""
    return books(apart=True, disturbed=False, stocked=True, fees=KNOWN_FEES, **more)


def exact(money: str | None) -> Fraction:
    assert money is not None
    return Fraction(money)


def check_ladder(totals: CurrencyTotals) -> Fraction:
    """Check that the lines of the ladder sum to net without a remainder; return net."""
    lines = {name: exact(amount) for name, amount in msgspec.structs.asdict(totals.ladder).items()}
    assert lines["residual"] == 0 and lines["rounding"] == 0
    summed = lines["signal"] + lines["signal_unpriced"]
    summed -= lines["delay"] + lines["drift"] + lines["spread"] + lines["fees"]
    net = exact(totals.net)
    assert summed + lines["funding"] == net
    assert exact(totals.realized) + exact(totals.unrealized) == exact(totals.gross)
    assert exact(totals.gross) - exact(totals.fees) + exact(totals.funding) == net
    return net


def nets(told: Why) -> dict[str, Fraction]:
    return {name: check_ladder(totals) for name, totals in told.currencies.items()}


@law
def test_net_is_cash_and_marks_and_nothing_else(examples: int, valuer: Valuer) -> None:
    """Counted without lots: cash flow + what is held at marks - fees + funding."""
    end = {symbol: mark_px(symbol, LAST) for symbol in MARKETS}

    @for_all(examples, known(third_assets=False) | known(), METHOD)
    def holds(claims: list[Claim], method: FoldMethod) -> None:
        told = answer(valuer, claims, method)
        cash = cash_of(claims, MARKETS, end, RATES)
        assert set(told.currencies) == set(cash)
        # A foreign fee that several books share is valued part by part, each on the grid.
        parts = len(SUB_BOOKS) * sum(_pays_a_third_asset(claim) for claim in claims)
        for name, each in cash.items():
            totals = told.currencies[name]
            check_ladder(totals)
            assert (exact(totals.gross), exact(totals.funding)) == (each.gross, each.funding)
            assert abs(exact(totals.fees) - each.fees) <= Fraction(parts, GRID)


def _pays_a_third_asset(claim: Claim) -> bool:
    said = claim.fact
    return isinstance(said, Fill) and said.fee_asset == "BNB"


@law
def test_net_does_not_depend_on_the_lot_method(examples: int, valuer: Valuer) -> None:
    @for_all(examples, known())
    def holds(claims: list[Claim]) -> None:
        average, fifo, lifo = (nets(answer(valuer, claims, method)) for method in METHODS)
        assert average == fifo == lifo


@law
def test_splitting_a_fill_changes_no_total(examples: int, valuer: Valuer) -> None:
    """Two halves of one execution, one after the other, are worth what the whole was."""

    @for_all(examples, st.data(), METHOD)
    def holds(data: st.DataObject, method: FoldMethod) -> None:
        claims = data.draw(known(third_assets=False))
        fills = [place for place, claim in enumerate(claims) if isinstance(claim.fact, Fill)]
        assume(fills)
        place = data.draw(st.sampled_from(fills))
        split = [*claims[:place], *_halves(data, claims[place]), *claims[place + 1 :]]
        one, two = (answer(valuer, each, method) for each in (claims, split))
        assert nets(one) == nets(two)
        for name, before in one.currencies.items():
            after = two.currencies[name]
            for line in ("gross", "fees", "funding"):
                assert getattr(before, line) == getattr(after, line)
            for line in ("delay", "drift", "spread"):
                assert getattr(before.ladder, line) == getattr(after.ladder, line)
        assert two.n_fills == one.n_fills + 1


def _halves(data: st.DataObject, claim: Claim) -> list[Claim]:
    whole = claim.fact
    assert isinstance(whole, Fill)
    # The inverse contract of these books is traded in whole pieces.
    part = data.draw(st.integers(1, 99)) * whole.qty / 100
    part = part.quantize(Decimal(1)) if whole.instrument == "XBT" else part
    assume(0 < part < whole.qty)
    fee = None if whole.fee is None else whole.fee / 4
    rest = None if whole.fee is None or fee is None else whole.fee - fee
    return [
        Claim(msgspec.structs.replace(whole, qty=part, fee=fee), claim.key),
        Claim(msgspec.structs.replace(whole, qty=whole.qty - part, fee=rest), claim.key + "~"),
    ]


@law
def test_the_parts_of_every_grouping_sum_to_the_whole(examples: int, valuer: Valuer) -> None:
    @for_all(
        examples, known(), METHOD, st.sampled_from(("instrument", "strategy", "account", "day"))
    )
    def holds(claims: list[Claim], method: FoldMethod, dimension: str) -> None:
        told = answer(valuer, claims, method, by=dimension)
        summed: dict[str, Fraction] = dict.fromkeys(told.currencies, Fraction(0))
        for part in told.by:
            for name, totals in part.currencies.items():
                summed[name] += check_ladder(totals)
        assert summed == nets(told)


@law
def test_windows_chain(examples: int, valuer: Valuer) -> None:
    """net(0, T2) = net(0, T1) + net(T1, T2): what is carried over is worth one price at T1, a
    mark printed at that very instant included."""
    instants = st.integers(0, LAST // MARK_STEP).map(lambda n: n * MARK_STEP) | st.integers(0, LAST)

    @for_all(examples, known(), METHOD, instants, instants)
    def holds(claims: list[Claim], method: FoldMethod, one: int, two: int) -> None:
        first, last = T0 + min(one, two), T0 + max(one, two)
        whole = nets(answer(valuer, claims, method, until_ns=last))
        left = nets(answer(valuer, claims, method, until_ns=first))
        right = nets(answer(valuer, claims, method, since_ns=first, until_ns=last))
        for name, net in whole.items():
            assert net == left.get(name, 0) + right.get(name, 0)
