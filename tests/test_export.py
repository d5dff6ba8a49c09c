"""What an export holds, and that a book made from it says the same to the last digit."""

from __future__ import annotations

import csv
import errno
import io
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import jsonschema
import msgspec
import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli_run import book_of, fillbook
from fillbook.analysis.answers import TradeRow
from fillbook.analysis.summary import load, trades, why
from fillbook.analysis.view import Query
from fillbook.facts import flat
from fillbook.facts.codec import canonical, content_hash, decode, encode
from fillbook.facts.model import AnyFact, Claim, Decision, Span
from fillbook.ground.clock import DAY_NS, HOUR_NS, parse_ns
from fillbook.ground.errors import InputError, UsageError
from fillbook.ground.settings import FoldSettings, Settings
from fillbook.journal.store import BatchOpen, Journal, Page
from fillbook.marks.series import MarkStore, marks_path
from fillbook.publish.exporting import NAMES, USUAL, Wanted, sheets_of
from fillbook.publish.exports import Exported, Format, Sheet, write_export
from fillbook.resolve.counted import counted
from fillbook.sim.cast import SWING
from fillbook.sources.files.exported import FillbookExport
from fillbook.sources.files.importing import ImportReport, import_paths
from fillbook.sources.files.records import Header, parse_csv, parse_object
from fillbook.sources.files.registry import reparse
from fillbook.sources.files.table import Context, Named
from fillbook.sources.source import Draft, ReadOptions
from hyperliquid_desk import Desk, desk_run
from scenario import FIRST_DAY_NS, read_scenario
from test_scenarios import CASES, remember_source

GOLDEN = Path(__file__).parent / "golden" / "facts-1.jsonl"
SCHEMA = Path(__file__).parent.parent / "docs" / "schemas" / "export.json"
TAGS = {kind: tag for tag, kind in flat.KINDS.items()}


# -- one row --------------------------------------------------------------------------------------


def as_csv(tag: str, fact: AnyFact) -> AnyFact:
    """Write a fact as a row of CSV and read it back with the real reader."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(
        [flat.cell_text(cell) for cell in flat.flat(tag, fact, "some|key", 3)]
    )
    header = Header(flat.columns_of(tag), ",")
    context = Context(venue="fillbook", header=header)
    return read_back(Named(parse_csv(line.getvalue().removesuffix("\n"), header), 0), context)


def as_json(tag: str, fact: AnyFact) -> AnyFact:
    cells = dict(zip(flat.columns_of(tag), flat.flat(tag, fact, "some|key", 3), strict=True))
    return read_back(Named(parse_object(msgspec.json.encode(cells)), 0), Context(venue="fillbook"))


def read_back(named: Named, context: Context) -> AnyFact:
    (draft,) = FillbookExport().drafts(named, context)
    assert isinstance(draft, Draft)
    assert (draft.key, draft.ranked) == ("some|key", True)
    return draft.fact


def golden_facts() -> list[AnyFact]:
    facts = [decode(line[33:]) for line in GOLDEN.read_text(encoding="utf-8").splitlines()]
    return [fact for fact in facts if type(fact) in TAGS and not isinstance(fact, Span)]


@pytest.mark.parametrize("way", [as_csv, as_json])
def test_every_kind_of_fact_is_read_back_to_the_byte(way: object) -> None:
    facts = golden_facts()
    assert {type(fact) for fact in facts} >= set(TAGS) - {Span}
    for fact in facts:
        back = way(TAGS[type(fact)], fact)  # type: ignore[operator]
        assert content_hash(encode(back)) == content_hash(encode(fact)), fact


@given(
    reason=st.text(max_size=30).filter(lambda text: "\x00" not in text),
    strategy=st.sampled_from(["null", "true", "1e5", "", " x ", '"', "=1+1", "[1]", "a,b\n"]),
    px=st.decimals(min_value="1e-18", max_value="1e18", allow_nan=False),
    ts_ns=st.integers(min_value=10**17, max_value=2**63 - 1),
)
def test_no_text_price_or_instant_changes_on_the_way(
    reason: str, strategy: str, px: Decimal, ts_ns: int
) -> None:
    fact = Decision(
        venue="v",
        account="a",
        ts_ns=ts_ns,
        decision_id="d",
        instrument="BTC",
        action="buy",
        decision_px=px,
        strategy=strategy,
        reason=reason,
    )
    for way in (as_csv, as_json):
        assert way("decision", fact) == canonical(fact)


def test_columns_are_stable() -> None:
    assert flat.columns_of("fill")[:8] == (
        *("fillbook_export", "time", "venue", "account", "instrument", "side", "px", "qty"),
    )
    for tag in flat.KINDS:
        columns = flat.columns_of(tag)
        assert len(set(columns)) == len(columns)
        assert columns[-3:] == ("printed_ns", "key", "row")


# -- a whole book ---------------------------------------------------------------------------------


def exported(
    book: Path,
    out: Path,
    form: Format = "csv",
    *,
    names: Sequence[str] = NAMES,
    settings: Settings | None = None,
    force: bool = False,
    **window: object,
) -> Exported:
    wanted = Wanted(names=frozenset(names), **window)  # type: ignore[arg-type]
    with Journal.open(book, readonly=True) as journal, MarkStore(marks_path(book)) as marks:
        view = load(journal, marks, settings or Settings())
        told = trades(view, Query()) if "trades" in names else []
        sheets = sheets_of(counted(journal.claims()), told, marks, wanted)
        head = journal.head()
        about = Exported(
            path=str(out),
            book=head.book_id,
            seq=head.seq,
            head=head.hash,
            format=form,
            since=None,
            until=None,
            accounts=(),
            files=(),
        )
        return write_export(out, sheets, about, force=force)


def imported(folder: Path, book: Path) -> ImportReport:
    """Import an export into a book, a new one where there is none."""
    with (
        Journal.open(book) if book.exists() else Journal.create(book) as journal,
        MarkStore(marks_path(book)) as marks,
    ):
        report = import_paths(journal, marks, [folder], clock=lambda: FIRST_DAY_NS)
        assert journal.verify(reparse) == []
    assert not [file for file in report.files if file.error or file.rejected]
    return report


def answers(book: Path, settings: Settings | None = None) -> tuple[object, ...]:
    """Return everything about a book that may not depend on how its facts came to it."""
    with Journal.open(book, readonly=True) as journal, MarkStore(marks_path(book)) as marks:
        view = load(journal, marks, settings or Settings())
        told = why(view, Query())
        money = {name: (t.net, t.gross, t.fees, t.ladder) for name, t in told.currencies.items()}
        rows = [msgspec.structs.replace(row, seq=0) for row in trades(view, Query())]
        gaps = sorted(f.message for f in view.findings if f.code in ("gap", "funding-uncovered"))
        return view.ledger.digest(), money, told.made_money, rows, gaps


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_every_scenario_survives_the_way_out_and_in(
    path: Path, form: Format, tmp_path: Path
) -> None:
    case = read_scenario(path)
    settings = Settings(fold=FoldSettings(case.method))  # type: ignore[arg-type]
    book, other = tmp_path / "book.db", tmp_path / "other.db"
    with Journal.create(book) as journal, MarkStore(marks_path(book)) as marks:
        marks.put(case.marks)
        for source in case.sources:
            remember_source(journal, source, backwards=False)
        for name in case.retracted:
            journal.retract(name, "a test says so", now_ns=FIRST_DAY_NS)
    exported(book, tmp_path / "out", form, settings=settings)
    imported(tmp_path / "out", other)
    assert answers(other, settings) == answers(book, settings)


def test_rows_without_times_get_none_on_the_way(tmp_path: Path) -> None:
    book, other = tmp_path / "book.db", tmp_path / "other.db"
    sample = Path(__file__).parent / "cases" / "readers" / "paper_executions.csv"
    with Journal.create(book) as journal, MarkStore(marks_path(book)) as marks:
        report = import_paths(journal, marks, [sample], ReadOptions(start_ns=FIRST_DAY_NS))
        assert not report.failed
    exported(book, tmp_path / "out")
    assert (tmp_path / "out" / "fills-without-times.csv").exists()
    imported(tmp_path / "out", other)
    told = answers(other)
    assert told == answers(book)
    rows: list[TradeRow] = told[3]  # type: ignore[assignment]
    assert rows and all(row.holding_duration_seconds is None for row in rows)


def test_imported_where_it_came_from_it_counts_once(tmp_path: Path) -> None:
    folder = book_of(tmp_path)
    book = folder / "fillbook.db"
    before = answers(book)
    exported(book, tmp_path / "out")
    report = imported(tmp_path / "out", book)
    assert {Path(f.path).stem for f in report.files if f.new} <= {"coverage"}
    assert answers(book) == before


def opening(batch_id: str = "live:test:A:fills") -> BatchOpen:
    told = {"batch_id": batch_id, "venue": "test", "account": "A", "name": "t", "rank": 3}
    return BatchOpen(**told, source="api", fingerprint="")  # type: ignore[arg-type]


def test_a_gap_stays_a_gap(tmp_path: Path) -> None:
    book, other = tmp_path / "book.db", tmp_path / "other.db"

    def span(state: str, since: int, until: int) -> Claim:
        told = {"venue": "test", "account": "A", "source": "api", "rank": 3, "component": "fills"}
        hours = {
            "ts_ns": FIRST_DAY_NS + since * HOUR_NS,
            "until_ns": FIRST_DAY_NS + until * HOUR_NS,
        }
        cause = "the venue lost it" if state == "gap" else None
        fact = Span(**told, **hours, state=state, cause=cause)  # type: ignore[arg-type]
        return Claim(fact, f"2026-01-01|{state}|{since}|{until}", "")

    with Journal.create(book) as journal:
        journal.begin(opening(), FIRST_DAY_NS)
        claims = [span("complete", 0, 20), span("gap", 20, 30), span("complete", 30, 40)]
        journal.append(Page(batch_id=opening().batch_id, claims=claims, cursor="1"), FIRST_DAY_NS)
    exported(book, tmp_path / "out")
    imported(tmp_path / "out", other)
    told = answers(other)
    assert told == answers(book)
    (message,) = told[-1]  # type: ignore[misc]
    assert "the venue lost it" in str(message)
    with Journal.open(other, readonly=True) as journal:
        covered = load(journal, None, Settings()).ledger.coverage
    assert [(c.coverage.from_ns, c.coverage.until_ns) for c in covered] == [
        (FIRST_DAY_NS, FIRST_DAY_NS + 20 * HOUR_NS),
        (FIRST_DAY_NS + 30 * HOUR_NS, FIRST_DAY_NS + 40 * HOUR_NS),
    ]
    assert {(c.source, c.rank) for c in covered} == {("fillbook-export", 2)}


def test_an_account_imported_from_an_export_and_attached_then_counts_once(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()

    async def pulled(desk: Desk) -> None:
        await desk.attach()
        await desk.pull()
        desk.check_truth()

    desk_run(first, SWING, pulled, days_ns=DAY_NS)
    exported(first / "book.db", tmp_path / "out")
    imported(tmp_path / "out", second / "book.db")
    assert answers(second / "book.db") == answers(first / "book.db")
    desk_run(second, SWING, pulled, days_ns=DAY_NS)
    assert answers(second / "book.db") == answers(first / "book.db")
    with Journal.open(second / "book.db", readonly=True) as journal:
        view = load(journal, None, Settings())
        assert view.ledger.n_evidence == 0
        assert not {f.code for f in view.findings} & {"claims-conflict", "sources-disagree"}


# -- windows, formats, secrets, folders ------------------------------------------------------------


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_window_is_half_open_and_accounts_are_chosen(tmp_path: Path) -> None:
    book = book_of(tmp_path) / "fillbook.db"
    since, until = parse_ns("2026-01-05T12:00:00Z"), parse_ns("2026-01-07T09:30:00Z")
    exported(book, tmp_path / "w", since_ns=since, until_ns=until)
    assert [row["fill_id"] for row in rows_of(tmp_path / "w" / "fills.csv")] == ["f2", "f3", "f4"]
    spans = rows_of(tmp_path / "w" / "coverage.csv")
    assert all(row["time"] >= "2026-01-05T12" for row in spans)
    exported(book, tmp_path / "a", accounts=("nobody",))
    assert not (tmp_path / "a" / "fills.csv").exists()


def test_parquet_holds_the_same_text(tmp_path: Path) -> None:
    book = book_of(tmp_path) / "fillbook.db"
    exported(book, tmp_path / "csv")
    exported(book, tmp_path / "parquet", "parquet")
    table = polars.read_parquet(tmp_path / "parquet" / "fills.parquet")
    told = [{k: v or "" for k, v in row.items()} for row in table.to_dicts()]
    assert told == rows_of(tmp_path / "csv" / "fills.csv")
    assert {path.suffix for path in (tmp_path / "parquet").iterdir()} == {".json", ".parquet"}


def test_secrets_that_a_bot_wrote_into_a_text_are_taken_out(tmp_path: Path) -> None:
    book = tmp_path / "book.db"
    told = {"venue": "test", "account": "A", "ts_ns": FIRST_DAY_NS, "decision_id": "d"}
    fact = Decision(
        **told,  # type: ignore[arg-type]
        instrument="BTC",
        action="buy",
        reason="signal from redis://bot:hunter2hunter2@10.0.0.1/0 with api_key=abcdef0123456789",
    )
    with Journal.create(book) as journal:
        journal.begin(opening(), FIRST_DAY_NS)
        page = Page(batch_id=opening().batch_id, claims=[Claim(fact, "k", "")], cursor="1")
        journal.append(page, FIRST_DAY_NS)
    for form in ("csv", "jsonl"):
        exported(book, tmp_path / form, form)  # type: ignore[arg-type]
        text = "".join(p.read_text() for p in (tmp_path / form).iterdir())
        assert "redis://[redacted]@10.0.0.1/0" in text
        assert "hunter2" not in text and "abcdef0123456789" not in text


def test_nothing_is_overwritten_unasked_and_force_replaces_only_an_export(tmp_path: Path) -> None:
    book = book_of(tmp_path) / "fillbook.db"
    out = tmp_path / "out"
    exported(book, out)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="an export is there already"):
        exported(book, out)
    exported(book, out, "jsonl", names=["fills"], force=True)
    assert sorted(p.name for p in out.iterdir()) == ["export.json", "fills.jsonl", "notes.txt"]
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="something else"):
        exported(book, mine, force=True)
    assert [p.name for p in mine.iterdir()] == ["thesis.txt"]


def test_the_empty_folder_one_stands_in_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = tmp_path / "a.db"
    Journal.create(book).close()
    out = tmp_path / "out"
    out.mkdir()
    monkeypatch.chdir(out)
    exported(book, Path(), names=USUAL)
    assert [path.name for path in out.iterdir()] == ["export.json"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name[0] == ".") == []


def test_a_disk_that_fills_up_leaves_the_old_export_whole(tmp_path: Path) -> None:
    book = book_of(tmp_path) / "fillbook.db"
    out = tmp_path / "out"
    done = exported(book, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def rows() -> Iterator[list[object]]:
        yield ["a"]
        raise OSError(errno.ENOSPC, "No space left on device")

    sheets = [Sheet("fills", ("column",), 2, rows())]
    with pytest.raises(InputError, match="No space left"):
        write_export(out, sheets, done, force=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert [path.name for path in tmp_path.glob(".out*")] == []


def test_the_manifest_names_the_state_of_the_book_and_every_file(tmp_path: Path) -> None:
    folder = book_of(tmp_path)
    done = exported(folder / "fillbook.db", tmp_path / "out")
    told = json.loads((tmp_path / "out" / "export.json").read_text())
    with Journal.open(folder / "fillbook.db", readonly=True) as journal:
        assert (told["seq"], told["head"]) == (journal.head().seq, journal.head().hash)
    by_name = {file["name"]: file["rows"] for file in told["files"]}
    assert by_name["fills.csv"] == 6 and by_name["trades.csv"] == 2
    assert {file.name for file in done.files} == set(by_name)
    assert set(USUAL) < set(NAMES)


def test_a_damaged_row_is_rejected_with_its_field(tmp_path: Path) -> None:
    book = book_of(tmp_path) / "fillbook.db"
    exported(book, tmp_path / "out", names=["fills"])
    path = tmp_path / "out" / "fills.csv"
    text = path.read_text().replace(",100,", ",NaN,", 1).replace("fill/1", "fill/9", 2)
    path.write_text(text.replace("fill/9", "fill/1", 1))
    with Journal.create(tmp_path / "new.db") as journal, MarkStore(tmp_path / "m") as marks:
        report = import_paths(journal, marks, [path])
    told = [(row.field, row.reason) for file in report.files for row in file.rejections]
    assert len(told) == 2
    assert told[0][0] == "px" and "this version can read" in told[1][1]


def test_the_command_fits_its_schema_and_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    folder = book_of(tmp_path)
    ran = fillbook(folder, "export", "fills", "coverage", "--out", "out", "--json")
    assert ran.status == 0, ran
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(ran.json)
    assert {file["name"] for file in ran.json["files"]} == {"fills.csv", "coverage.csv"}
    assert "choose among" in fillbook(folder, "export", "nonsense").err
