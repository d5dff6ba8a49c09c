"""Every table under tests/cases/scenarios, from journal to answer, in two orders of arrival."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from fillbook.analysis.answers import TradeRow
from fillbook.analysis.summary import BookView, Query, fills, load, positions, trades, why
from fillbook.facts.model import Batch, Claim
from fillbook.ground.clock import iso
from fillbook.ground.exact import plain_text
from fillbook.ground.settings import FoldSettings, Settings
from fillbook.journal.store import BatchOpen, Journal, Page
from fillbook.marks.series import MarkStore
from scenario import ACCOUNT, FIRST_DAY_NS, VENUE, Scenario, Source, WantedTrade, read_scenario

CASES = sorted((Path(__file__).parent / "cases/scenarios").glob("*.txt"))
LADDER = ("signal", "signal_unpriced", "delay", "drift", "spread", "rounding", "residual")
TOTALS = ("gross", "fees", "funding", "net", "realized", "unrealized")
UNKNOWN = "n/a"


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_scenario(path: Path, tmp_path: Path) -> None:
    case = read_scenario(path)
    digests = set()
    for arrival in ("told", "reversed"):
        book = tmp_path / f"{arrival}.db"
        with Journal.create(book) as journal, MarkStore(f"{book}.marks") as marks:
            marks.put(case.marks)
            for source in case.sources:
                remember_source(journal, source, backwards=arrival == "reversed")
            for name in case.retracted:
                journal.retract(name, "a test says so", now_ns=FIRST_DAY_NS)
            settings = Settings(fold=FoldSettings(case.method))  # type: ignore[arg-type]
            view = load(journal, marks, settings)
            _check_fills(case, view)
            _check_answer(case, view)
            _check_trades(case, view)
            digests.add(view.ledger.digest())
    assert len(digests) == 1, "the book depends on the order in which facts arrived"


def test_no_table_is_lost() -> None:
    wanted = """
        anchor-break break-even correction dust exits-guessed exits-joined exits-told fee-in-base
        fee-in-third-asset fee-unknown fee-without-rate first-in-first-out flip
        funding-first funding-split hedge-mode inverse
        ladder ladder-unlogged last-in-first-out late-assignment late-fact multiplier no-mark
        opened-before opened-before-and-closed stated-and-lost
        partial-exits rebate retraction reversal spot-without-anchor twins two-sources
        two-sources-disagree vanished vanished-late-fill vanished-partly vanished-unpriced
    """
    assert set(wanted.split()) <= {path.stem for path in CASES}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("10:00 bye 1 @ 2", "unknown event"),
        ("10:00 buy 1 @ 2 -> poistion 1", "not an expectation"),
        ("realised 20", "neither an event nor an expectation"),
        ("10:00 buy 1 @ 2 colour=red", "unknown colour"),
    ],
)
def test_a_misspelt_line_is_an_error(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "case.txt"
    path.write_text(f"A title.\n\ninstrument BTCUSDT linear USDT\n{line}\n")
    with pytest.raises(ValueError, match=reason):
        read_scenario(path)


def remember_source(journal: Journal, source: Source, *, backwards: bool) -> None:
    """Remember one source's claims a page each, so that order really is that of arrival."""
    named = {
        "batch_id": source.name,
        "source": source.reader,
        "rank": source.rank,
        "venue": VENUE,
        "account": ACCOUNT,
        "fingerprint": hashlib.sha256(source.name.encode()).hexdigest(),
        "name": f"{source.name}.txt",
    }
    journal.begin(BatchOpen(**named), now_ns=FIRST_DAY_NS)  # type: ignore[arg-type]
    claims: Sequence[Claim] = source.claims[::-1] if backwards else source.claims
    for place, claim in enumerate(claims):
        page = Page(batch_id=source.name, claims=[claim], cursor=str(place))
        journal.append(page, now_ns=FIRST_DAY_NS)
    final = Batch(
        **named,  # type: ignore[arg-type]
        ts_ns=FIRST_DAY_NS,
        rows=len(claims),
        coverage=source.coverage(),
    )
    end = Page(batch_id=source.name, claims=[], cursor="end", final=final)
    journal.append(end, now_ns=FIRST_DAY_NS)


def _check_fills(case: Scenario, view: BookView) -> None:
    rows = fills(view, Query())
    wanted = sorted((w for w in case.fills if not w.gone), key=lambda w: w.ts_ns)
    assert [(row.ts, row.side, row.qty) for row in rows] == [
        (iso(want.ts_ns), want.side, plain_text(want.qty)) for want in wanted
    ]
    for row, want in zip(rows, wanted, strict=True):
        if want.position is not None:
            assert (row.ts, row.position_after) == (row.ts, want.position)
        if want.realised is not None:
            assert (row.ts, row.realized or UNKNOWN) == (row.ts, want.realised)


def _check_answer(case: Scenario, view: BookView) -> None:
    answer = why(view, Query())
    assert set(answer.currencies) == {case.settle}
    totals = answer.currencies[case.settle]
    told: dict[str, object] = {
        name: getattr(answer, name) for name in ("made_money", "n_fills", "n_trades", "n_unpriced")
    }
    told |= {name: getattr(totals.ladder, name) for name in LADDER}
    told |= {name: getattr(totals, name) for name in TOTALS}
    told["realised"], told["unrealised"] = told.pop("realized"), told.pop("unrealized")
    shown = {name: UNKNOWN if value is None else str(value) for name, value in told.items()}
    assert {name: shown[name] for name in case.expected} == case.expected
    assert totals.ladder.residual == "0"
    assert {finding.code for finding in answer.findings} == case.findings
    open_qty = {row.position_side: row.qty for row in positions(view, Query())}
    last = {w.ts_ns: w.position for w in case.fills if not w.gone}
    if "net" in open_qty:
        assert open_qty["net"] == last[max(last)]


def _check_trades(case: Scenario, view: BookView) -> None:
    rows = trades(view, Query())
    if not case.trades:
        return
    assert [(row.side.lower(), row.position_size) for row in rows] == [
        (want.side, want.qty) for want in case.trades
    ]
    for row, want in zip(rows, case.trades, strict=True):
        _check_trade(row, want)


def _check_trade(row: TradeRow, want: WantedTrade) -> None:
    told = msgspec.structs.asdict(row)
    told["gross"] = told["realized_pnl"]
    told["ended"], told["thumb"] = row.exit_cause, row.exit_reason
    told["told"] = {None: None, True: "yes", False: "no"}[row.exit_cause_certain]
    shown = {name: UNKNOWN if told[name] is None else told[name] for name in want.figures}
    assert shown == want.figures
    for word in want.words:
        if word == "approximate":
            assert row.approximate
        else:
            assert row.outcome == word
    assert row.approximate == ("approximate" in want.words)
