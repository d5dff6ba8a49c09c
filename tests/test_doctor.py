"""What the doctor finds: each fault made for real, each told with what to do about it."""

from __future__ import annotations

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from cli_run import fillbook
from fillbook.cli.doctoring import diagnose, show_examination
from fillbook.cli.housed import GIB, MIB
from fillbook.cli.page import Page as Screen
from fillbook.cli.shapes import Examination
from fillbook.facts.model import Claim, Fill, Span
from fillbook.ground.checks import Check
from fillbook.ground.clock import DAY_NS, HOUR_NS, SECOND_NS
from fillbook.journal.store import BatchOpen, Journal, Page
from fillbook.monitor.pidfile import Farewell, PidFile
from fillbook.sim.cast import HEDGE, SWING
from fillbook.sim.clock import SimClock
from fillbook.sim.live import LiveWorld
from fillbook.sim.venues.binance.server import BinanceServer
from fillbook.sim.venues.calls import Key
from fillbook.sim.venues.hyperliquid.server import HyperliquidServer
from fillbook.sources.attach import Tools
from fillbook.sources.redact import Redactor
from fillbook.sources.transport import Patience

KEY, SECRET = "doctored-key-" + "k" * 30, "doctored-secret-" + "s" * 30
PATIENT = Patience(tries=2)
PLENTY = 500 * GIB
SCHEMA = Path(__file__).parent.parent / "docs" / "schemas" / "doctor.json"
MS = 1_000_000


def asked(folder: Path, *, free: int = PLENTY, **options: Any) -> Examination:
    return diagnose(
        folder / "fillbook.db",
        environ=options.pop("environ", {}),
        tools=Tools(patience=PATIENT, environ={}, redactor=Redactor()),
        free=lambda _: free,
        **options,
    )


def of(answer: Examination, area: str, state: str | None = None) -> list[Check]:
    return [c for c in answer.checks if c.area == area and state in (None, c.state)]


def one(answer: Examination, area: str, state: str) -> Check:
    (check,) = of(answer, area, state)
    assert len(f"{check.what}{check.next_step}".splitlines()) == 1
    assert check.next_step or state in ("ok", "not checked")
    return check


@contextmanager
def binance(
    folder: Path, rights: set[str], *, off_ns: int = 0, loud: bool = False, mode: int = 0o600
) -> Iterator[BinanceServer]:
    """Serve an account whose key has rights, and attach it in a configuration."""
    now_ns = time.time_ns()
    world = LiveWorld(5, start_ms=(now_ns - now_ns % DAY_NS) // MS, accounts=[HEDGE])
    world.advance_to(now_ns)
    keys = [Key(name=KEY, secret=SECRET, account=HEDGE, rights=frozenset(rights))]
    clock = SimClock(now_ns + max(off_ns, 0), speed=1)
    with BinanceServer(world, clock, keys=keys) as venue:
        path = folder / "binance.key"
        path.write_text(f"key = {KEY}\nsecret = {SECRET}\n")
        path.chmod(mode)
        configure(folder, venue.base_url, str(path), loud)
        yield venue
    assert not venue.violations


def configure(folder: Path, url: str, key_file: str, loud: bool = False) -> None:
    urls = f'{{ fapi = "{url}", sapi = "{url}", ws = "{url.replace("http", "ws")}" }}'
    (folder / "fillbook.toml").write_text(
        f'[monitor]\nport = 0\n[[attach]]\nvenue = "binance"\nkey_file = "{key_file}"\n'
        f'label = "hedge"\nurls = {urls}\naccept_trading_key = {str(loud).lower()}\n'
    )


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A folder with an empty book."""
    Journal.create(tmp_path / "fillbook.db").close()
    return tmp_path


def test_a_healthy_setting_is_fine_and_nothing_is_written(book: Path) -> None:
    before = (book / "fillbook.db").read_bytes()
    with binance(book, {"read"}) as venue:
        answer = asked(book)
        assert {read.partition(" ")[0] for read in venue.counted()} == {"GET"}
    assert one(answer, "key", "ok").what == "the binance key …kkkk can read and nothing else"
    assert "the account is" in one(answer, "venue", "ok").what
    assert one(answer, "clock", "ok").about == "hedge"
    assert of(answer, "rate limit", "ok")
    assert "none is running, so nothing new" in one(answer, "monitor", "warn").what
    assert not of(answer, "venue", "fail")
    assert answer.status == "warn"
    assert (book / "fillbook.db").read_bytes() == before
    for secret in (KEY, SECRET):
        assert secret not in repr(answer)


def test_a_trading_key_is_refused_with_the_steps_to_a_safe_one(book: Path) -> None:
    with binance(book, {"read", "trade"}):
        check = one(asked(book), "key", "fail")
    assert "may enableFutures" in check.what and "it is refused" in check.what
    for word in ("API Management", "Enable Reading", "0600"):
        assert word in check.next_step


def test_the_one_exception_stays_a_warning(book: Path) -> None:
    with binance(book, {"read", "futures"}, loud=True):
        check = one(asked(book), "key", "warn")
    assert "may enableFutures, accepted by accept_trading_key" in check.what


def test_a_key_file_that_others_may_read_is_told_and_not_read(book: Path) -> None:
    with binance(book, {"read"}, mode=0o644) as venue:
        answer = asked(book)
        assert venue.seen == []
    check = one(answer, "key", "fail")
    assert "others may read this key file" in check.what and "chmod 600" in check.next_step
    assert {c.state for c in of(answer, "venue")} == {"not checked"}


@pytest.mark.parametrize(("off_s", "state"), [(20, "warn"), (600, "fail")])
def test_a_clock_that_is_off_is_told_with_by_how_much(book: Path, off_s: int, state: str) -> None:
    with binance(book, {"read"}, off_ns=off_s * SECOND_NS):
        check = one(asked(book), "clock", state)
    told = int(check.what.split(" s behind")[0].split()[-1])
    assert abs(told - off_s) <= 5 and "NTP" in check.next_step


def test_a_venue_that_cannot_be_reached_hides_nothing_else(book: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    path = book / "binance.key"
    path.write_text(f"key = {KEY}\nsecret = {SECRET}\n")
    path.chmod(0o600)
    configure(book, url, str(path))
    answer = asked(book)
    assert "cannot be reached" in one(answer, "venue", "fail").what
    assert one(answer, "key", "not checked").what == "the venue could not be asked"
    assert of(answer, "book", "ok") and of(answer, "disk", "ok")


def test_an_address_has_no_key_to_misuse(book: Path) -> None:
    now_ns = time.time_ns()
    world = LiveWorld(7, start_ms=(now_ns - now_ns % DAY_NS) // MS, accounts=[SWING])
    world.advance_to(now_ns)
    with HyperliquidServer(world, SimClock(now_ns, speed=1)) as venue:
        urls = f'{{ api = "{venue.base_url}", ws = "{venue.ws_url}" }}'
        entry = f'[[attach]]\nvenue = "hyperliquid"\naddress = "{SWING}"\nurls = {urls}\n'
        (book / "fillbook.toml").write_text(f"[monitor]\nport = 0\n{entry}{entry}")
        answer = asked(book)
    assert "there is no key to misuse" in of(answer, "key", "ok")[0].what
    assert "attached twice" in one(answer, "configuration", "warn").what
    assert not venue.violations


def test_offline_asks_no_venue(book: Path) -> None:
    with binance(book, {"read", "trade"}) as venue:
        answer = asked(book, offline=True)
        assert venue.seen == []
    assert "--offline" in one(answer, "venue", "not checked").what


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[monitr]\nport = 1\n", "unknown key `monitr`"),
        ("[monitor\n", "this is not TOML"),
        ('[report]\nday_zone = "Mars"\n', "Mars"),
    ],
)
def test_a_broken_configuration_hides_nothing_else(book: Path, text: str, says: str) -> None:
    (book / "fillbook.toml").write_text(text)
    answer = asked(book)
    assert says in one(answer, "configuration", "fail").what
    assert of(answer, "book", "ok") and answer.status == "fail"


def test_what_a_configuration_names_is_looked_at(book: Path) -> None:
    token = book / "push.token"
    token.write_text("a-token-long-enough")
    token.chmod(0o644)
    (book / "fillbook.toml").write_text(
        '[monitor]\nport = 0\nhost = "0.0.0.0"\nwatched_files = ["orders.jsonl"]\n'
        f'token_file = "{token}"\n[[import.map]]\nname = "desk"\nkind = "fills"\ncolumns = {{}}\n'
    )
    answer = asked(book, environ={"FILLBOOK__FOLD__METHOD": "fifo"})
    told = " ".join(check.what for check in of(answer, "configuration"))
    assert "other machines" in told and "a watched file is not there" in told
    assert "fills need columns" in told and "FILLBOOK__FOLD__METHOD" in told
    assert "others may read this token file" in one(answer, "push token", "fail").what
    assert "a-token-long-enough" not in repr(answer)


@pytest.mark.parametrize(
    ("free", "state"), [(100 * MIB, "fail"), (900 * MIB, "warn"), (PLENTY, "ok")]
)
def test_a_full_disk_is_told_before_it_is_full(book: Path, free: int, state: str) -> None:
    check = one(asked(book, free=free), "disk", state)
    assert "free" in check.what and "the book has" in check.what


def live_rows(folder: Path, begun_ns: int, days: int, rows: int, first: int = 0) -> int:
    """Let a live stream bring so many rows a day, and more at first; return the book's bytes."""
    with Journal.open(folder / "fillbook.db") as journal:
        journal.begin(opening("live:test:A:fills"), begun_ns)
        for day in range(days):
            count = rows + (0 if day else first)
            claims = [traded(begun_ns + day * DAY_NS + n) for n in range(count)]
            page = Page(batch_id="live:test:A:fills", claims=claims, cursor=str(day))
            journal.append(page, begun_ns + day * DAY_NS)
    return sum(path.stat().st_size for path in folder.glob("fillbook.db*"))


def opening(batch_id: str) -> BatchOpen:
    return BatchOpen(
        batch_id=batch_id,
        source="test",
        rank=3,
        venue="test",
        account="A",
        fingerprint="",
        name="test",
    )


def traded(ts_ns: int) -> Claim:
    fill = Fill(
        venue="test",
        account="A",
        ts_ns=ts_ns,
        instrument="BTC-USD",
        side="buy",
        px=Decimal(100),
        qty=Decimal(1),
        fill_id=str(ts_ns),
    )
    return Claim(fill, f"2026-01-01|{ts_ns}", "")


def test_growth_is_measured_and_says_how_long_the_disk_lasts(book: Path) -> None:
    now_ns = time.time_ns()
    size = live_rows(book, now_ns - 10 * DAY_NS, days=10, rows=200)
    with Journal.open(book / "fillbook.db", readonly=True) as journal:
        growth = journal.growth(now_ns)
    # 200 rows a day of 2,000 in all: a tenth of the book.
    assert growth.live_rows == 1_400 and growth.span_ns == 7 * DAY_NS
    assert growth.bytes_per_day is not None
    assert abs(growth.bytes_per_day - size / 10) < size / 50
    check = one(asked(book, free=growth.bytes_per_day * 20 + GIB), "disk", "ok")
    assert "a day with its marks" in check.what
    soon = one(asked(book, free=growth.bytes_per_day * 2), "disk", "fail")
    assert "room for 2 days" in soon.what


def test_the_first_pull_of_months_is_no_growth(book: Path) -> None:
    now_ns = time.time_ns()
    live_rows(book, now_ns - 4 * DAY_NS, days=4, rows=100, first=3_000)
    with Journal.open(book / "fillbook.db", readonly=True) as journal:
        growth = journal.growth(now_ns)
    assert (growth.live_rows, growth.span_ns) == (300, 3 * DAY_NS)


def test_a_book_without_attached_accounts_does_not_grow_by_itself(book: Path) -> None:
    with Journal.open(book / "fillbook.db", readonly=True) as journal:
        assert journal.growth(time.time_ns()).bytes_per_day is None


def test_a_gap_is_told_for_its_account_with_what_fills_it(book: Path) -> None:
    now_ns = time.time_ns()
    gap = Span(
        venue="hyperliquid",
        account=SWING,
        ts_ns=now_ns - 3 * DAY_NS,
        until_ns=now_ns - 2 * DAY_NS,
        source="test",
        rank=3,
        component="fills",
        state="gap",
        cause="the venue no longer has it",
    )
    done = Span(
        venue="hyperliquid",
        account=SWING,
        ts_ns=now_ns - 9 * DAY_NS,
        until_ns=now_ns - 3 * DAY_NS,
        source="test",
        rank=3,
        component="fills",
        state="complete",
    )
    with Journal.open(book / "fillbook.db") as journal:
        batch = opening("live:test:A:fills")
        batch = msgspec.structs.replace(batch, venue="hyperliquid", account=SWING)
        journal.begin(batch, now_ns)
        claims = [Claim(span, f"2026-01-01|{span.ts_ns}", "") for span in (done, gap)]
        journal.append(Page(batch_id="live:test:A:fills", claims=claims, cursor="1"), now_ns)
    assert "3 d ago" in one(asked(book), "coverage", "ok").what, "nobody says it should go on"
    attached = f'[[attach]]\nvenue = "hyperliquid"\naddress = "{SWING}"\n'
    (book / "fillbook.toml").write_text(attached, encoding="utf-8")
    answer = asked(book, offline=True)
    check = one(answer, "gaps", "fail")
    assert check.about == SWING and "the venue no longer has it" in check.what
    behind = one(answer, "coverage", "warn")
    assert "fills complete to" in behind.what and "3 d ago" in behind.what
    assert "fillbook monitor start" in behind.next_step


def test_an_import_cut_short_is_told(book: Path) -> None:
    with Journal.open(book / "fillbook.db") as journal:
        cut = BatchOpen(
            batch_id="b-1", source="test", rank=1, venue="t", account="A", fingerprint="ab",
            name="fills.csv",
        )  # fmt: skip
        journal.begin(cut, 1)
    assert "fills.csv was cut short" in one(asked(book), "book", "warn").what


def test_a_book_behind_its_head_file_fails(book: Path) -> None:
    kept = (book / "fillbook.db").read_bytes()
    live_rows(book, time.time_ns() - HOUR_NS, days=1, rows=3)
    for path in book.glob("fillbook.db-*"):
        path.unlink()
    (book / "fillbook.db").write_bytes(kept)
    check = one(asked(book), "book", "fail")
    assert check.next_step


def test_a_file_that_is_no_book_fails(tmp_path: Path) -> None:
    (tmp_path / "fillbook.db").write_text("not a book at all")
    answer = asked(tmp_path)
    assert one(answer, "book", "fail") and answer.status == "fail"


def test_leftovers_of_programs_that_died_are_removed_from_the_cache(book: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    dead.wait()
    cache = book / "fillbook.db.cache"
    for name in (f"ledger.{dead.pid}", f"ledger.{os.getppid()}", "ledger"):
        (cache / name).mkdir(parents=True)
        (cache / name / "rows").write_bytes(b"x" * 2000)
    (cache / "answers").mkdir()
    (cache / "answers" / f"ab.{dead.pid}").write_bytes(b"x")
    (cache / "answers" / "ab.json").write_bytes(b"x")
    assert "removed 2 leftovers" in one(asked(book), "cache", "ok").what
    left = {path.name for path in (*cache.iterdir(), *(cache / "answers").iterdir())}
    assert {f"ledger.{os.getppid()}", "ab.json"} <= left
    assert not [name for name in left if str(dead.pid) in name.split(".")]


# -- the monitor beside it ------------------------------------------------------------------------


@contextmanager
def serving(body: dict[str, Any], status: int) -> Iterator[str]:
    """Answer every GET with one body, as a monitor's health does."""

    class Told(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Told)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join(10)


def health(*reasons: str) -> dict[str, Any]:
    now_ns = time.time_ns()
    return {
        "status": "not ok" if reasons else "ok",
        "reasons": reasons,
        **dict.fromkeys(("at_ns", "started_ns", "summary_ns"), now_ns),
        "seq": 1,
        "head": "ab",
        "journal_waiting": 0,
        "tracked": 0,
        "pending": 0,
        "accounts": [],
    }


USAGE = {"venue": "binance", "limit": 2400, "allowance": 480, "spent": 9, "window_ns": 60 * 10**9}
LIMITED: dict[str, Any] = {
    "findings": [
        {"code": "clock-skew", "severity": "warning", "message": "the clock is off"}
        | {"next_step": "set it"}
    ],
    "accounts": [
        {"venue": "binance", "account": "1", "label": "hedge", "state": "running", "fault": None}
        | {"streams": [], "usage": [USAGE | {"limited_count": 2}], "open_positions": 0}
        | {"position_calls": 1, "last_poll_ns": None}
    ],
}


def test_a_running_monitor_is_asked_how_it_is(book: Path) -> None:
    (book / "fillbook.toml").write_text("[monitor]\nport = 0\n")
    with PidFile(book / "fillbook.pid", book / "fillbook.db") as held:
        with serving(health(), 200) as url:
            held.serves(url)
            assert "and well" in one(asked(book), "monitor", "ok").what
        # A simulation has a clock of its own; what counts is how far behind that it is.
        at_ns = time.time_ns() - 300 * DAY_NS
        then = health() | {"at_ns": at_ns, "summary_ns": at_ns - 9 * SECOND_NS}
        with serving(then, 200) as url:
            held.serves(url)
            assert [c.state for c in of(asked(book), "monitor")] == ["ok"]
        with serving(then | {"summary_ns": at_ns - HOUR_NS}, 200) as url:
            held.serves(url)
            assert "3,600 s old" in one(asked(book), "monitor", "warn").what
        with serving(health("main: positions were last seen 90 s ago"), 503) as url:
            held.serves(url)
            assert "last seen 90 s ago" in one(asked(book), "monitor", "fail").what
        with serving(health() | LIMITED, 200) as url:
            held.serves(url)
            answer = asked(book)
            assert "says slow down" in one(answer, "rate limit", "warn").what
            assert "the clock is off" in one(answer, "monitor", "warn").what
        assert "does not answer" in one(asked(book), "monitor", "fail").what


def test_a_monitor_that_ended_by_a_fault_and_a_taken_port_are_told(book: Path) -> None:
    with PidFile(book / "fillbook.pid", book / "fillbook.db") as held:
        held.leave(
            Farewell(
                pid=1, started=1, drained=0, is_written=True, seq=1, still_open=(),
                fault="the disk is full",
            )
        )  # fmt: skip
    with serving({}, 200) as url:
        port = url.rsplit(":", 1)[1]
        (book / "fillbook.toml").write_text(f"[monitor]\nport = {port}\n")
        answer = asked(book)
    assert "the disk is full" in one(answer, "monitor", "fail").what
    assert f"port {port} is taken" in one(answer, "monitor", "warn").what


# -- the command ----------------------------------------------------------------------------------


def test_the_command_exits_1_and_what_it_says_fits_its_schema(tmp_path: Path) -> None:
    schema = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    (tmp_path / "fillbook.toml").write_text("[monitr]\n")
    ran = fillbook(tmp_path, "doctor", "--json", "--offline")
    schema.validate(ran.json)
    assert (ran.status, ran.json["status"]) == (1, "fail")
    assert {check["state"] for check in ran.json["checks"]} <= {"fail", "warn", "not checked", "ok"}


def test_a_new_book_is_fine_and_exits_0(tmp_path: Path) -> None:
    assert fillbook(tmp_path, "init").status == 0
    (tmp_path / "fillbook.toml").write_text("[monitor]\nport = 0\n")
    ran = fillbook(tmp_path, "doctor")
    assert ran.status == 0, ran
    assert ran.out.splitlines()[-1].endswith("fine.")


def test_a_phone_shows_every_word(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (book / "fillbook.toml").write_text("[monitor]\nport = 0\nwatched_files = ['o']\n")
    answer = asked(book, free=100 * MIB)
    shown = []
    for width in (38, 400):
        page = Screen(width=width, terminal=False)
        show_examination(page, answer)
        page.print()
        shown.append(capsys.readouterr().out)
    narrow, wide = shown
    assert max(len(line) for line in narrow.splitlines() if str(book) not in line) <= 38
    assert "".join(narrow.split()) == "".join(wide.split())
