"""The command line end to end: real files, a real book, exit status, and no traceback ever."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import typing
from pathlib import Path

import jsonschema
import msgspec
import pytest

from cli_run import FILLS, book_of, environment, fillbook
from fillbook.analysis import answers
from fillbook.cli.starter import STARTER
from fillbook.ground.settings import Settings, load_settings

SCHEMAS = Path(__file__).parent.parent / "docs" / "schemas"
HEAVY = ("numpy", "numba", "polars", "llvmlite", "sqlite3")
LISTS = ("fills", "trades", "positions", "performance", "costs", "findings")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a book of six fills."""
    return book_of(tmp_path_factory.mktemp("book"))


def checked(command: str, answer: object) -> None:
    schema = json.loads((SCHEMAS / f"{command}.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(answer)


def test_help_is_instant_because_nothing_heavy_is_imported(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from fillbook.cli.app import main\n"
        "sys.argv = ['fillbook', '--help']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        f"    print([m for m in {HEAVY!r} if m in sys.modules], end.code, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == "[] 0\n"
    assert "Are we actually making money" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nonsense",), "nonsense"),
        (("why", "--sinse", "7d"), "--since"),
        (("why",), "there is no book here yet"),
        (("why", "--since", "soon"), "'soon'"),
        (("why", "--since", "2026-02-01", "--until", "2026-01-01"), "the window is empty"),
        (("why", "--by", "colour"), "colour"),
        (("daily", "January"), "'January' is not a day"),
        (("import",), "PATH"),
        (("retract", "b-0"), "there is no book here yet"),
    ],
)
def test_wrong_usage_is_status_2_and_says_what_to_do(
    tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    ran = fillbook(tmp_path, *arguments)
    assert ran.status == 2
    assert ran.out == ""
    assert says in ran.err


def test_a_foreseen_fault_says_what_where_and_next(tmp_path: Path) -> None:
    ran = fillbook(tmp_path, "why", "--book", "nowhere.db")
    assert ran.err.splitlines() == [
        "fillbook: there is no book here yet",
        "  where: nowhere.db",
        "  next:  `fillbook init` makes one, `fillbook import PATH` fills it; --book names another",
    ]


def test_an_unforeseen_fault_is_one_message_and_a_log_file(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from fillbook.cli.app import app, main\n"
        "app.command('boom')(lambda: 1 // 0)\n"
        "sys.argv = ['fillbook', 'boom']\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "ZeroDivisionError" in done.stderr
    (log,) = (tmp_path / "state" / "fillbook").glob("fault-*.log")
    assert str(log) in done.stderr
    assert "Traceback" in log.read_text(encoding="utf-8")


def test_init_writes_a_configuration_that_says_the_defaults(tmp_path: Path) -> None:
    first = fillbook(tmp_path, "init")
    assert first.status == 0
    assert (tmp_path / "fillbook.toml").read_text(encoding="utf-8") == STARTER
    assert load_settings(tmp_path / "fillbook.toml", {}) == Settings()
    assert fillbook(tmp_path, "verify").status == 0
    (tmp_path / "fillbook.toml").write_text("[book]\npath = 'fillbook.db'\n", encoding="utf-8")
    again = fillbook(tmp_path, "init")
    assert "was left alone" in again.out
    assert (tmp_path / "fillbook.toml").read_text(encoding="utf-8") != STARTER


def test_the_commented_examples_of_the_configuration_work_too(tmp_path: Path) -> None:
    opened = []
    for line in STARTER.splitlines():
        body = line.removeprefix("# ")
        is_key = line.startswith("# ") and (body.startswith("[") or " = " in body)
        opened.append(body if is_key else line)
    path = tmp_path / "fillbook.toml"
    path.write_text("\n".join(opened), encoding="utf-8")
    settings = load_settings(path, {})
    assert settings.report.currency == "USDC"
    assert settings.strategies.rules[0].strategy == "market-maker"
    assert next(iter(settings.accounts.values())).label == "main"
    assert settings.imports.map[0]["name"] == "desk"
    path.write_text("\n".join(opened).replace('currency = "USDC"', ""), encoding="utf-8")
    book_of(tmp_path)


def test_importing_twice_changes_nothing(tmp_path: Path) -> None:
    book_of(tmp_path)
    before = fillbook(tmp_path, "why", "--json").json
    arguments = ("import", "fills.csv", "--account", "A", "--venue", "test", "--settle", "USDT")
    ran = fillbook(tmp_path, *arguments, "--json")
    checked("import", ran.json)
    assert sum(file.get("new", 0) for file in ran.json["files"]) == 0
    after = fillbook(tmp_path, "why", "--json").json
    assert after["currencies"] == before["currencies"]


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "fills.csv").write_text(FILLS, encoding="utf-8")
    options = ("--account", "A", "--venue", "test", "--settle", "USDT")
    ran = fillbook(tmp_path, "import", "fills.csv", *options, "--dry-run")
    assert ran.status == 0
    assert "nothing was written" in ran.out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fills.csv"]


def test_rejected_rows_are_listed_and_the_rest_is_imported(tmp_path: Path) -> None:
    (tmp_path / "fills.csv").write_text(FILLS.replace("buy,100,2", "buy,1O0,2"), encoding="utf-8")
    options = ("--account", "A", "--venue", "test", "--settle", "USDT")
    ran = fillbook(tmp_path, "import", "fills.csv", *options)
    assert ran.status == 0
    assert "1 row could not be read" in ran.out
    assert "fills.csv:2 field px" in ran.out
    assert "1O0" in ran.out
    assert len(fillbook(tmp_path, "fills", "--json").json["rows"]) == 5


def test_one_bad_file_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "fills.csv").write_text(FILLS, encoding="utf-8")
    (tmp_path / "noise.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    options = ("--account", "A", "--venue", "test", "--settle", "USDT")
    ran = fillbook(tmp_path, "import", "noise.csv", "fills.csv", *options)
    assert ran.status == 2
    assert "NOT imported noise.csv" in ran.out
    assert len(fillbook(tmp_path, "fills", "--json").json["rows"]) == 6


def test_why_says_what_the_hand_calculation_says(folder: Path) -> None:
    """Average cost: 1 sold at 110 against 100, then 1 and 1 at 130 against (100 + 120) / 2."""
    answer = fillbook(folder, "why", "--json").json
    checked("why", answer)
    usdt = answer["currencies"]["USDT"]
    assert usdt["realized"] == "50"
    assert usdt["fees"] == "0.74"
    assert usdt["funding"] == "0"
    assert answer["n_fills"] == 6
    assert answer["n_trades"] == 1
    # The short ETH position has no mark: what it is worth now is not known.
    assert answer["made_money"] == "incomplete"
    assert usdt["unrealized"] is None
    closed = fillbook(folder, "why", "--json", "--instrument", "BTC").json
    assert closed["made_money"] == "yes"
    # Decisions: 2 at 99, 1 sold at 111, 1 at 120, 2 sold at 130
    assert closed["currencies"]["USDT"]["ladder"]["signal"] == "53"
    assert closed["currencies"]["USDT"]["net"] == "49.31"


@pytest.mark.parametrize(
    ("method", "realised"),
    [
        ("average", [None, "10", None, "20", "20"]),
        ("fifo", [None, "10", None, "30", "10"]),
        ("lifo", [None, "10", None, "10", "30"]),
    ],
)
def test_the_lot_method_moves_only_when_profit_is_realised(
    folder: Path, method: str, realised: list[str | None]
) -> None:
    arguments = ("--instrument", "BTC", "--json", "--method", method)
    rows = fillbook(folder, "fills", *arguments).json["rows"]
    assert [row["realized"] if row["side"] == "sell" else None for row in rows] == realised
    assert fillbook(folder, "why", *arguments).json["currencies"]["USDT"]["net"] == "49.31"


@pytest.mark.parametrize("command", LISTS)
def test_lists_are_seq_and_rows_of_the_published_shape(folder: Path, command: str) -> None:
    ran = fillbook(folder, command, "--json")
    assert ran.status == 0
    checked(command, ran.json)
    assert set(ran.json) == {"seq", "rows"}
    assert ran.json["seq"] > 0


@pytest.mark.parametrize("command", LISTS)
def test_csv_has_the_fields_of_the_json(folder: Path, command: str) -> None:
    listed = fillbook(folder, command, "--json").json["rows"]
    rows = fillbook(folder, command, "--csv").rows
    assert len(rows) == len(listed)
    for row, told in zip(rows, listed, strict=True):
        assert set(row) == set(told)
        assert all(row[name] == ("" if v is None else row[name]) for name, v in told.items())


@pytest.mark.parametrize("command", ["why", *LISTS])
@pytest.mark.parametrize("width", ["60", "100"])
def test_text_fits_and_says_the_seq(folder: Path, command: str, width: str) -> None:
    ran = fillbook(folder, command, COLUMNS=width)
    assert ran.status == 0
    assert ran.err == ""
    seq = fillbook(folder, command, "--json").json["seq"]
    assert f"rue at seq {seq}" in ran.out
    assert max(map(len, ran.out.splitlines())) <= int(width)


def test_filters_narrow_every_command_alike(folder: Path) -> None:
    def ids(*options: str) -> list[str]:
        return [r["fill_id"] for r in fillbook(folder, "fills", "--json", *options).json["rows"]]

    assert ids() == ["f1", "f2", "f3", "f4", "f5", "f6"]
    assert ids("--strategy", "maker") == ["f6"]
    assert ids("--instrument", "BTC", "--since", "2026-01-06") == ["f3", "f4", "f5"]
    assert ids("--until", "2026-01-06") == ["f1", "f2"]
    assert ids("--since", "2026-01-05T12:00:00Z", "--until", "2026-01-06T09:00:00Z") == ["f2"]
    assert ids("--limit", "2") == ["f5", "f6"]


def test_a_label_stands_for_its_account(folder: Path, tmp_path: Path) -> None:
    named = {"FILLBOOK__ACCOUNTS__A__LABEL": "main"}
    rows = fillbook(folder, "fills", "--account", "main", "--json", **named).json["rows"]
    assert len(rows) == 6
    assert "account main" in fillbook(folder, "fills", **named).out


@pytest.mark.parametrize("command", ["why", "performance", "monitor status", *LISTS])
def test_an_account_that_is_misspelt_is_no_account_without_fills(
    folder: Path, command: str
) -> None:
    """Nothing was made and nothing was lost: that is the wrong answer to a slip of the finger."""
    ran = fillbook(folder, *command.split(), "--account", "nobody")
    assert (ran.status, ran.out) == (2, "")
    assert "the book knows no such account" in ran.err and "it has A" in ran.err


ADDRESS = "0x31ca8395cf837de08b24da3f660e77761dfb974b"


def test_the_label_of_an_attached_address_stands_for_it_everywhere(tmp_path: Path) -> None:
    (tmp_path / "fillbook.toml").write_text(
        f'[[attach]]\nvenue = "hyperliquid"\naddress = "{ADDRESS.upper().replace("X", "x")}"\n'
        'label = "swing"\n\n[[attach]]\nvenue = "hyperliquid"\n'
        'address = "0x00000000000000000000000000000000000000aa"\nlabel = "new"\n'
    )
    book_of(tmp_path, FILLS, "--account", ADDRESS)
    rows = fillbook(tmp_path, "fills", "--account", "swing", "--json").json["rows"]
    assert {row["account"] for row in rows} == {ADDRESS}
    assert "swing" in fillbook(tmp_path, "why", "--by", "account").out
    # Attached, and nothing pulled yet: that is not a slip.
    assert fillbook(tmp_path, "fills", "--account", "new", "--json").json["rows"] == []


def test_as_of_answers_what_was_known_then(tmp_path: Path) -> None:
    first = FILLS.splitlines(keepends=True)
    book_of(tmp_path, "".join(first[:3]))
    then = fillbook(tmp_path, "why", "--json").json
    book_of(tmp_path, FILLS)
    assert fillbook(tmp_path, "why", "--json").json["n_fills"] == 6
    again = fillbook(tmp_path, "why", "--json", "--as-of", str(then["seq"])).json
    assert (again["n_fills"], again["seq"]) == (2, then["seq"])
    assert again["currencies"] == then["currencies"]
    last = fillbook(tmp_path, "why", "--json").json["seq"]
    assert fillbook(tmp_path, "why", "--json", "--as-of", str(last)).json["n_fills"] == 6
    assert fillbook(tmp_path, "fills", "--json", "--as-of", "0").json["rows"] == []
    for none in ("-3", str(last + 1)):
        ran = fillbook(tmp_path, "why", "--as-of", none)
        assert (ran.status, ran.out) == (2, "")
        assert f"no sequence {none}" in ran.err and f"0 to {last}" in ran.err


def test_prices_of_two_venues_in_one_file_are_told_by_venue_and_are_nobodys(tmp_path: Path) -> None:
    (tmp_path / "marks.csv").write_text(
        "time,venue,instrument,px,what\n"
        "2026-01-05T10:00:00Z,binance,BTCUSDT,100,mark\n"
        "2026-01-05T10:00:00Z,hyperliquid,BTC,100,mark\n"
    )
    ran = fillbook(tmp_path, "import", "marks.csv")
    assert ran.status == 0
    assert all(venue in ran.out for venue in ("binance", "hyperliquid"))
    assert "default" not in ran.out
    again = fillbook(tmp_path, "import", "marks.csv", "--json").json
    checked("import", again)
    told = [(file["venue"], file.get("account"), file["marks"]) for file in again["files"]]
    assert told == [("binance", None, 1), ("hyperliquid", None, 1)]


def test_a_retraction_undoes_an_import_and_importing_again_restores_it(tmp_path: Path) -> None:
    book_of(tmp_path)
    before = fillbook(tmp_path, "why", "--json").json["currencies"]
    arguments = ("import", "fills.csv", "--account", "A", "--venue", "test", "--settle", "USDT")
    batch = fillbook(tmp_path, *arguments, "--json").json["files"][0]["batch_id"]
    ran = fillbook(tmp_path, "retract", batch, "--reason", "a test", "--json")
    checked("retract", ran.json)
    assert fillbook(tmp_path, "fills", "--json").json["rows"] == []
    assert "NO FILLS" in fillbook(tmp_path, "why").out
    assert fillbook(tmp_path, *arguments).status == 0
    assert fillbook(tmp_path, "why", "--json").json["currencies"] == before


@pytest.mark.parametrize(
    "words",
    [
        ("demo", "--dir", "/proc/d"),
        ("monitor", "start", "--book", "/proc/d/x.db"),
        ("monitor", "start", "--book", "/proc/d.db"),
        ("import", "fills.csv", "--book", "/proc/d/x.db"),
        ("init", "--book", "/proc/d/x.db"),
    ],
)
def test_a_folder_that_cannot_be_made_is_said(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "fills.csv").write_text(FILLS, encoding="utf-8")
    ran = fillbook(tmp_path, *words)
    assert ran.status == 2
    assert "/proc/" in ran.err and "next:" in ran.err
    assert "fault of its own" not in ran.err


def test_an_import_makes_the_folder_of_its_book_as_init_does(tmp_path: Path) -> None:
    (tmp_path / "fills.csv").write_text(FILLS, encoding="utf-8")
    arguments = ("import", "fills.csv", "--account", "A", "--venue", "test", "--settle", "USDT")
    ran = fillbook(tmp_path, *arguments, "--book", "new/deep/x.db")
    assert ran.status == 0, ran.err
    assert fillbook(tmp_path, "why", "--book", "new/deep/x.db", "--json").json["n_fills"] == 6


def test_an_unknown_batch_cannot_be_retracted(folder: Path) -> None:
    ran = fillbook(folder, "retract", "b-nothing")
    assert ran.status == 2
    assert "b-nothing" in ran.err


def test_verify_is_0_for_an_intact_book_and_1_for_a_changed_one(tmp_path: Path) -> None:
    book_of(tmp_path)
    ran = fillbook(tmp_path, "verify", "--json")
    checked("verify", ran.json)
    assert (ran.status, ran.json["findings"]) == (0, [])
    assert "intact" in fillbook(tmp_path, "verify").out
    path = tmp_path / "fillbook.db"
    content = path.read_bytes()
    assert content.count(b"|f4") >= 1
    path.write_bytes(content.replace(b"|f4", b"|f7"))
    ran = fillbook(tmp_path, "verify", "--json")
    checked("verify", ran.json)
    assert ran.status == 1
    assert "page-altered" in {finding["code"] for finding in ran.json["findings"]}
    assert "NOT intact" in fillbook(tmp_path, "verify").out
    # Nothing is answered from a damaged book, and its damage is not the user's mistake.
    refused = fillbook(tmp_path, "why")
    assert (refused.status, refused.out) == (1, "")
    assert "fillbook verify" in refused.err


def test_daily_prints_the_log_line_and_writes_the_two_files(folder: Path, tmp_path: Path) -> None:
    ran = fillbook(folder, "daily", "2026-01-07", "--out", str(tmp_path / "days"))
    assert ran.status == 0
    (line,) = ran.out.splitlines()
    assert line.startswith("date=2026-01-07 trades=1 win_rate=100.0% expectancy=49.31")
    names = sorted(p.name for p in (tmp_path / "days").iterdir())
    assert names == ["daily_summary_2026-01-07.csv", "daily_summary_2026-01-07.json"]
    document = json.loads((tmp_path / "days" / names[1]).read_text(encoding="utf-8"))
    listed = fillbook(folder, "daily", "2026-01-07", "--json").json
    checked("daily", listed)
    assert listed["rows"] == [document]


def test_the_days_of_several_accounts_say_whose_they_are(tmp_path: Path) -> None:
    book_of(tmp_path)
    book_of(tmp_path, FILLS.replace("100,2", "101,2"), "--account", "B", "--venue", "else")
    told = [("test", "A", "USDT"), ("else", "B", "USDT")]
    listed = fillbook(tmp_path, "daily", "2026-01-07", "--out", "days", "--json").json
    checked("daily", listed)
    whose = [row["fillbook"] for row in listed["rows"]]
    assert [(one["venue"], one["account"], one["currency"]) for one in whose] == told
    for (_, account, currency), row in zip(told, listed["rows"], strict=True):
        file = tmp_path / "days" / account / currency / "daily_summary_2026-01-07.json"
        assert json.loads(file.read_text(encoding="utf-8")) == row
    # One account's fills of two venues are one record, which no venue's name would fit.
    book_of(tmp_path, FILLS.replace("100,2", "102,2"), "--venue", "else")
    rows = fillbook(tmp_path, "daily", "2026-01-07", "--account", "A", "--json").json["rows"]
    assert [row["fillbook"]["venue"] for row in rows] == [None]


def test_days_are_those_of_the_zone_that_the_configuration_names(folder: Path) -> None:
    # The trade closed at 09:30 UTC: half an hour before midnight in Honolulu.
    zoned = {"FILLBOOK__REPORT__DAY_ZONE": "Pacific/Honolulu"}
    (line,) = fillbook(folder, "daily", "2026-01-06", **zoned).out.splitlines()
    assert line.startswith("date=2026-01-06 trades=1 ")
    (line,) = fillbook(folder, "daily", "2026-01-07", **zoned).out.splitlines()
    assert line.startswith("date=2026-01-07 trades=0 ")
    (row,) = fillbook(folder, "daily", "2026-01-06", "--json", **zoned).json["rows"]
    assert row["session_start"].startswith("2026-01-06T10:00:00")
    slices = fillbook(folder, "why", "--by", "day", "--json", **zoned).json["by"]
    assert [(s["value"], s["n_trades"]) for s in slices if s["n_trades"]] == [("2026-01-06", 1)]


def test_a_day_written_again_after_a_late_fact_is_the_next_revision(tmp_path: Path) -> None:
    first, *rest = FILLS.splitlines(keepends=True)
    late = [row for row in rest if row.startswith("2026-01-07T09:30")]
    book = book_of(tmp_path, "".join([first, *(row for row in rest if row not in late)]))
    ask = ("daily", "2026-01-07", "--out", "days", "--json")
    (before,) = fillbook(book, *ask).json["rows"]
    assert (before["fillbook"]["revision"], before["trades"]["total"]) == (0, 0)
    again = fillbook(book, *ask)
    assert "nothing new in" in again.err
    book_of(tmp_path, "".join([first, *late]))
    (after,) = fillbook(book, *ask).json["rows"]
    assert (after["fillbook"]["revision"], after["trades"]["total"]) == (1, 1)
    written = tmp_path / "days" / "daily_summary_2026-01-07.json"
    assert json.loads(written.read_text(encoding="utf-8")) == after


def test_parts_of_an_answer_are_named(folder: Path) -> None:
    why = fillbook(folder, "why", "--by", "strategy", "--json").json
    assert [(part["value"], part["n_fills"]) for part in why["by"]] == [("maker", 1), ("trend", 5)]
    costs = fillbook(folder, "costs", "--by", "instrument", "--json").json["rows"]
    assert {row["part"]: row["fees"] for row in costs} == {"BTC": "0.69", "ETH": "0.05"}
    text = fillbook(folder, "performance", "--by", "strategy").out
    assert "trend USDT" in text


def test_a_reader_that_stops_listening_is_no_fault(folder: Path) -> None:
    pipe = f"{sys.executable} -m fillbook.cli.app fills --csv | head -n 1"
    done = subprocess.run(
        ["bash", "-c", pipe],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-"])
@pytest.mark.parametrize(
    "command", ["why", "fills --csv", "findings --json", "doctor --offline", "import fills.csv"]
)
def test_closed_outputs_are_no_fault_of_ours(folder: Path, command: str, closed: str) -> None:
    extra = "--account A --venue test --settle USDT" if command.startswith("import") else ""
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m fillbook.cli.app {command} {extra} {closed}"],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    told = "fillbook: standard output is closed, so the answer has nowhere to go\n"
    assert told in done.stderr or "2>" in closed
    assert "fault of its own" not in done.stderr
    assert not list(folder.rglob("fault-*.log"))


def test_every_answer_has_a_published_shape() -> None:
    named = {
        answers.FillRow: "fills",
        answers.TradeRow: "trades",
        answers.PositionRow: "positions",
        answers.Performance: "performance",
        answers.CostRow: "costs",
        answers.FindingRow: "findings",
    }
    for kind, command in named.items():
        schema = json.loads((SCHEMAS / f"{command}.json").read_text(encoding="utf-8"))
        fields = {field.encode_name for field in msgspec.structs.fields(kind)}
        assert set(schema["$defs"][kind.__name__]["properties"]) == fields


def keys_of(kind: object) -> set[str]:
    """Return every key a struct of settings can have, those of its parts included."""
    if typing.get_origin(kind) in (tuple, dict):
        return keys_of(typing.get_args(kind)[-1 if typing.get_origin(kind) is dict else 0])
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return set()
    hints = typing.get_type_hints(kind)
    found = set()
    for field in msgspec.structs.fields(kind):
        found |= {field.encode_name} | keys_of(hints[field.name])
    return found


def test_the_configuration_names_every_key() -> None:
    missing = [key for key in keys_of(Settings) if not re.search(rf"\b{key}\b", STARTER)]
    assert not missing
