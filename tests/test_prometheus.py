"""What `/metrics` says: against hand counts, against its own registry, read by Prometheus."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from fillbook.analysis.answers import FindingRow
from fillbook.analysis.digest import Summary, digest
from fillbook.analysis.summary import load
from fillbook.analysis.valuation import Valuer
from fillbook.analysis.view import BookView
from fillbook.cli.app import app
from fillbook.facts.finding import Finding
from fillbook.facts.model import Claim, OrderUpdate
from fillbook.ground.errors import ConfigError
from fillbook.ground.settings import Settings, load_settings
from fillbook.journal.store import Journal
from fillbook.ledger.ledger import fold_claims
from fillbook.publish.counters import Counters
from fillbook.publish.figures import Sample
from fillbook.publish.prometheus import CONTENT_TYPE, Exporter, exposition
from fillbook.publish.registry import REGISTRY, table
from fillbook.sources.liveness import MonitorHealth
from monitor_runs import configure, running, venue_of, waited
from strategies import (
    ACCOUNT,
    DAY,
    HOUR,
    SECOND,
    T0,
    VENUE,
    Import,
    charge,
    fill,
    funding,
    market,
    other,
    remember,
)

ROOT = Path(__file__).parent.parent
RULES = ROOT / "deploy" / "prometheus" / "fillbook.rules.yml"
LINE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
HEALTH: dict[str, Any] = {
    "status": "ok",
    "reasons": [],
    "at_ns": T0 + DAY,
    "started_ns": T0,
    "seq": 1,
    "head": "ab",
    "summary_ns": T0,
    "journal_waiting": 0,
    "tracked": 0,
    "pending": 0,
    "accounts": [],
}
# Written from the mission's own list, not from the registry.
MISSION = {
    "counter": {
        *("orders_placed_total", "orders_filled_total", "trades_closed_total", "fees_paid_total"),
        *("funding_received_total", "funding_paid_total"),
    },
    "gauge": {
        *("fill_rate_pct", "avg_entry_slippage_bps", "avg_exit_slippage_bps", "net_funding"),
        *("expectancy_per_trade", "profit_factor_session", "profit_factor_7d", "win_rate_pct"),
        *("profit_factor_30d", "time_in_market_pct", "avg_holding_time_hours"),
    },
}


class Told:
    """A parsed exposition: kinds and help by name, values by name and labels."""

    def __init__(self, body: bytes) -> None:
        self.kinds: dict[str, str] = {}
        self.helps: dict[str, str] = {}
        self.values: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for line in body.decode().splitlines():
            if line.startswith("# TYPE "):
                name, kind = line.removeprefix("# TYPE ").split(" ")
                self.kinds[name] = kind
            elif line.startswith("# HELP "):
                name, _, help = line.removeprefix("# HELP ").partition(" ")
                self.helps[name] = help
            else:
                found = LINE.fullmatch(line)
                assert found, line
                labels = frozenset(LABEL.findall(found[2] or ""))
                assert (found[1], labels) not in self.values, f"twice: {line}"
                self.values[found[1], labels] = float(found[3])

    def __call__(self, name: str, **labels: str) -> float | None:
        """Return a series' value, None where it is absent."""
        return self.values.get((f"fillbook_{name}", frozenset(labels.items())))

    def money(self, name: str) -> float | None:
        """Return a series of the one account and currency of a small book."""
        return self(name, account=ACCOUNT, currency="USD")


def summary_of(claims: Sequence[Claim], at_ns: int = T0 + DAY) -> Summary:
    ledger = fold_claims(remember(Import(claims)), book_id="b00c", seq=7, head="ab12" * 16)
    view = BookView(
        lambda: ledger, Valuer(None, HOUR), Settings(), seq=ledger.seq, head=ledger.head
    )
    return digest(view, at_ns, T0)


def health(**told: Any) -> MonitorHealth:
    return msgspec.convert(HEALTH | told, MonitorHealth)


def told(claims: Sequence[Claim], exporter: Exporter | None = None) -> Told:
    body, _ = (exporter or Exporter()).exposition(summary_of(claims), health())
    return Told(body)


def order(at: int, status: str, name: str, **more: Any) -> Claim:
    fact = OrderUpdate(
        venue=VENUE,
        account=ACCOUNT,
        ts_ns=T0 + at,
        instrument="BTC",
        client_order_id=name,
        status=status,  # type: ignore[arg-type]
        **more,
    )
    return other(fact, f"order|{name}|{status}|{at}")


def trip(at: int, gain: str, fee: str = "0.1", decided: str | None = None) -> list[Claim]:
    """One round trip of an hour that gains so much before fees, its fee paid at the close."""
    close = str(Decimal(100) + Decimal(gain))
    last = {"decision_px": close if decided else None}
    return [
        fill(at, "buy", 1, 100, fee="0", arrival_px="99.9", mid_px="99.9", decision_px=decided),
        fill(at + HOUR, "sell", 1, close, fee=fee, arrival_px=close, mid_px=close, **last),
    ]


def rich_book() -> list[Claim]:
    """Enough of everything that every figure of a book is defined."""
    claims = [market(), funding(30, "0.5"), funding(HOUR + 31, "-0.2")]
    for day in range(60):
        gain, fee = ("3", "0.1") if day % 3 else ("-1", "-0.05")
        claims += trip(day * DAY + HOUR, gain, fee, "99.8")
        claims += [order(day * DAY, "placed", f"o{day}"), order(day * DAY, "filled", f"o{day}")]
    return claims


# -- the registry --------------------------------------------------------------------------------


def everything() -> Told:
    streams = [
        {"stream": f"fills/{name}", "state": state, "since_ns": T0, "last_fact_ns": T0 + at}
        | {"last_answer_ns": T0 + at}
        for name, state, at in (("A", "running", SECOND), ("B", "catching up", 5 * SECOND))
    ]
    usage = {"venue": VENUE, "limit": 100, "allowance": 20, "spent": 5, "window_ns": 60 * SECOND}
    account = {
        "venue": VENUE,
        "account": ACCOUNT,
        "label": "a",
        "state": "running",
        "fault": None,
        "streams": streams,
        "usage": [usage],
        "open_positions": 2,
        "position_calls": 9,
        "last_poll_ns": T0,
    }
    summary = summary_of(rich_book(), T0 + 60 * DAY)
    body = exposition(summary, health(at_ns=T0 + 60 * SECOND, accounts=[account]))
    return Told(body)


@pytest.fixture(scope="module")
def all_told() -> Told:
    return everything()


def test_everything_registered_is_emitted_and_nothing_else(all_told: Told) -> None:
    wanted = {f"fillbook_{metric.name}": metric for metric in REGISTRY}
    assert all_told.kinds == {name: metric.kind for name, metric in wanted.items()}
    assert all_told.helps == {name: metric.help for name, metric in wanted.items()}
    assert len(wanted) == len(REGISTRY), "two metrics share a name"
    for name, labels in all_told.values:
        assert {label for label, _ in labels} == set(wanted[name].labels), name


def test_the_seventeen_names_have_their_kinds(all_told: Told) -> None:
    for kind, names in MISSION.items():
        assert {name for name in names if all_told.kinds[f"fillbook_{name}"] == kind} == names
    assert sum(len(names) for names in MISSION.values()) == 17


def test_counters_are_named_as_prometheus_wants() -> None:
    assert all((metric.kind == "counter") == metric.name.endswith("_total") for metric in REGISTRY)


def test_the_table_in_the_documentation_is_current() -> None:
    page = (ROOT / "docs" / "prometheus.md").read_text(encoding="utf-8")
    assert table() in page, "stale: run `make docs`"


def test_the_label_of_an_account_can_be_joined_to_it(all_told: Told) -> None:
    assert all_told("account_info", venue=VENUE, account=ACCOUNT, label="a") == 1
    assert all_told("account_info", venue=VENUE, account=ACCOUNT, label="b") is None


def test_streams_of_single_instruments_share_a_series(all_told: Told) -> None:
    place = {"venue": VENUE, "account": ACCOUNT, "stream": "fills"}
    assert all_told("seconds_since_last_fact", **place) == 55
    assert all_told("seconds_since_last_answer", **place) == 59
    assert all_told("streams", venue=VENUE, account=ACCOUNT, state="catching_up") == 1
    assert all_told("rate_budget_use_ratio", venue=VENUE) == 0.25


def test_the_prefix_may_be_empty_but_not_nonsense() -> None:
    bare = Told(exposition(summary_of([market()]), health(), prefix=""))
    assert "journal_seq" in bare.kinds
    assert load_settings(None, {"FILLBOOK__METRICS__PREFIX": "desk_"}).metrics.prefix == "desk_"
    with pytest.raises(ConfigError, match="cannot begin a name"):
        load_settings(None, {"FILLBOOK__METRICS__PREFIX": "7-"})


# -- the figures ---------------------------------------------------------------------------------


def test_a_small_book_by_hand() -> None:
    claims = [
        market(),
        *trip(HOUR, "10", "0.5"),
        *trip(3 * HOUR, "-4", "-0.25"),
        funding(HOUR + 1, "3"),
        funding(3 * HOUR + 1, "-2"),
        charge(5 * HOUR, "0.75"),
        *(order(0, "placed", f"o{n}") for n in range(5)),
        *(order(1, "filled", f"o{n}") for n in range(4)),
        order(2, "placed", "stop", reduce_only=True),
    ]
    said = told(claims)
    assert said("orders_placed_total", account=ACCOUNT) == 5
    assert said("orders_filled_total", account=ACCOUNT) == 4
    assert said("fill_rate_pct", account=ACCOUNT) == 80
    assert said.money("trades_closed_total") == 2
    assert said.money("win_rate_pct") == 50
    assert said.money("fees_paid_total") == 1.25
    assert said.money("fees_rebates_total") == 0.25
    assert said.money("funding_received_total") == 3
    assert said.money("funding_paid_total") == 2
    assert said.money("net_funding") == 1
    # 10 - 0.5 + 3 and -4 + 0.25 - 2
    assert said.money("expectancy_per_trade") == (12.5 - 5.75) / 2
    assert said.money("profit_factor_7d") == said.money("profit_factor_session") == 12.5 / 5.75
    assert said.money("avg_holding_time_hours") == 1
    assert said.money("avg_entry_slippage_bps") == pytest.approx(1e4 * 0.1 / 99.9)
    assert said.money("avg_exit_slippage_bps") == 0
    assert said("gross_pnl", currency="USD") == 6
    assert said("net_pnl", currency="USD") == 6 - 1 + 1
    assert said("fee_drag_ratio", currency="USD") == pytest.approx(1 / 6)
    assert said("made_money") == 1
    assert said("journal_seq") == 7
    assert said("journal_head_prefix") == 0xAB12AB12AB12
    assert said("book_info", book="b00c") == 1


def test_the_ladder_sums_to_net(all_told: Told) -> None:
    line = {
        dict(labels)["part"]: Fraction(str(value))
        for (name, labels), value in all_told.values.items()
        if name == "fillbook_ladder"
    }
    costs = ("delay", "drift", "spread", "fees")
    net = sum(-amount if part in costs else amount for part, amount in line.items())
    assert net == Fraction(str(all_told("net_pnl", currency="USD")))
    assert line["signal"] != 0
    assert line["residual"] == 0


def test_what_is_undefined_is_absent() -> None:
    said = told([market(), fill(0, "buy", 1)])
    for name in ("win_rate_pct", "expectancy_per_trade", "profit_factor_7d", "fees_nothing"):
        assert said.money(name) is None
    assert said.money("trades_closed_total") == 0
    assert said("net_pnl", currency="USD") is None
    assert said("made_money") is None
    assert said("orders_placed_total", account=ACCOUNT) is None
    assert said("fill_rate_pct", account=ACCOUNT) is None
    assert said.money("fills_fee_unknown") == 1
    assert not [key for key, value in said.values.items() if value != value]


def test_a_profit_factor_without_losses_is_infinite_not_zero() -> None:
    assert told([market(), *trip(HOUR, "10")]).money("profit_factor_30d") == float("inf")


def test_windows_end_where_they_say() -> None:
    claims = [market(), *trip(0, "100", "0"), *trip(8 * DAY, "5", "0"), *trip(9 * DAY, "-1", "0")]
    said = Told(exposition(summary_of(claims, T0 + 10 * DAY), health()))
    assert said.money("profit_factor_7d") == 5
    assert said.money("profit_factor_30d") == 105


def test_orders_of_an_account_with_two_currencies_count_once() -> None:
    claims = [market(), market("XBT", "inverse"), order(0, "placed", "a"), *trip(HOUR, "1")]
    claims.append(fill(HOUR, "buy", 1, instrument="XBT", fee="0.01", fee_asset="XBT"))
    said = told(claims)
    assert said("orders_placed_total", account=ACCOUNT) == 1
    assert said("fees_paid_total", account=ACCOUNT, currency="XBT") == 0.01
    assert said.money("fees_paid_total") == 0.1


def test_gaps_and_differences_are_counted_by_account() -> None:
    summary = summary_of([market(), *trip(0, "1")])
    found = [
        Finding(code="gap", severity="error", message="m", account=ACCOUNT),
        Finding(
            code="venue-disagrees",
            severity="error",
            message="m",
            account=ACCOUNT,
            currency="USD",
            amount="-2.5",
        ),
    ]
    rows = tuple(
        msgspec.convert(
            {"instrument": None, "ts": None, "amount": None, "currency": None}
            | msgspec.to_builtins(each)
            | {"seqs": (), "touches": (), "next_step": ""},
            FindingRow,
        )
        for each in found
    )
    said = Told(exposition(msgspec.structs.replace(summary, findings=rows), health()))
    assert said("gaps", account=ACCOUNT) == 1
    assert said.money("reconciliation_drift") == 2.5
    assert said("findings", severity="error") == 2
    assert told([market(), *trip(0, "1")]).money("reconciliation_drift") == 0


# -- counters ------------------------------------------------------------------------------------


def income(kind: str, amount: str, number: int) -> dict[str, object]:
    return {
        "symbol": "BTCUSDT",
        "incomeType": kind,
        "income": amount,
        "asset": "USDT",
        "time": 1767607200000 + number * 1000,
        "info": "",
        "tranId": 900 + number,
        "tradeId": "" if kind == "FUNDING_FEE" else str(7000 + number),
    }


def test_v13_the_same_income_rows_twelve_times_count_once(tmp_path: Path) -> None:
    rows = [
        income("COMMISSION", "-10.5", 1),
        income("COMMISSION", "-5.0", 2),
        income("FUNDING_FEE", "3", 3),
        income("FUNDING_FEE", "-2", 4),
    ]
    book, exporter = tmp_path / "book.db", Exporter()
    for turn in range(13):
        # Each time a little different a file, so it is the rows that are known again.
        path = tmp_path / f"income{turn}.json"
        path.write_text(json.dumps(rows, indent=turn))
        arguments = ["import", str(path), "--account", "354937868", "--book", str(book)]
        done = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        with Journal.open(book, readonly=True) as journal:
            summary = digest(load(journal, None, Settings()), T0 + 30 * DAY, T0)
        said = Told(exporter.exposition(summary, health())[0])
        place = {"account": "354937868", "currency": "USDT"}
        assert said("fees_paid_total", **place) == 15.5
        assert said("funding_received_total", **place) == 3
        assert said("funding_paid_total", **place) == 2
        assert said("net_funding", **place) == 1
        assert said("fees_paid_revised_total", **place) == 0


def test_a_late_correction_raises_the_other_counter() -> None:
    exporter = Exporter()
    series = []
    for fee in ("0.5", "0.3", "0.6"):
        said = told([market(), *trip(HOUR, "10", fee)], exporter)
        series.append((said.money("fees_paid_total"), said.money("fees_paid_revised_total")))
    assert series == [(0.5, 0), (0.5, 0.2), (0.8, 0.2)]


def test_a_fee_that_turns_out_a_rebate_is_no_negative_cost() -> None:
    exporter = Exporter()
    told([market(), *trip(HOUR, "10", "0.5")], exporter)
    said = told([market(), *trip(HOUR, "10", "-0.25")], exporter)
    assert said.money("fees_paid_total") == said.money("fees_paid_revised_total") == 0.5
    assert said.money("fees_rebates_total") == 0.25


def test_a_trade_taken_back_stays_counted_and_is_counted_as_taken_back() -> None:
    exporter = Exporter()
    told([market(), *trip(HOUR, "1"), *trip(3 * HOUR, "2")], exporter)
    said = told([market(), *trip(HOUR, "1")], exporter)
    assert said.money("trades_closed_total") == 2
    assert said.money("trades_closed_revised_total") == 1
    gone = told([], exporter)
    assert gone.money("trades_closed_total") == gone.money("trades_closed_revised_total") == 2


def test_a_restart_knows_what_was_taken_back(tmp_path: Path) -> None:
    kept = tmp_path / "book.db.counters"
    told([market(), *trip(HOUR, "10", "0.5")], Exporter(kept=kept))
    # What changes while the program is away is taken back all the same.
    said = told([market(), *trip(HOUR, "10", "0.2")], Exporter(kept=kept))
    assert (said.money("fees_paid_total"), said.money("fees_paid_revised_total")) == (0.5, 0.3)
    again = told([market(), *trip(HOUR, "10", "0.2")], Exporter(kept=kept))
    assert again.values == said.values
    assert [path.name for path in tmp_path.iterdir()] == [kept.name]


BROKEN = {"name": "fees_paid_total", "labels": [], "ledger": "1/0", "revised": "0"}


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b'{"book":"b00c","counters":[{"name":1}]}',
        b'{"book":"other","counters":[]}',
        json.dumps({"book": "b00c", "counters": [BROKEN]}).encode(),
    ],
)
def test_a_damaged_file_of_counters_begins_anew(tmp_path: Path, damage: bytes) -> None:
    kept = tmp_path / "counters"
    kept.write_bytes(damage)
    said = told([market(), *trip(HOUR, "10", "0.5")], Exporter(kept=kept))
    assert said.money("fees_paid_total") == 0.5
    assert json.loads(kept.read_bytes())["book"] == "b00c"


def test_counters_that_cannot_be_kept_do_not_stop_the_metrics(tmp_path: Path) -> None:
    said = told([market(), *trip(HOUR, "10", "0.5")], Exporter(kept=tmp_path / "no" / "such"))
    assert said.money("fees_paid_total") == 0.5


AMOUNTS = st.fractions(0, 10**6, max_denominator=10**6)
STEPS = st.lists(st.tuples(AMOUNTS, st.booleans()), min_size=2, max_size=12)


# Each step waits for the disk, and how long that takes says nothing here.
@settings(deadline=None)
@given(steps=STEPS, where=st.uuids())
def test_counters_only_rise_and_their_difference_is_the_ledger(
    steps: list[tuple[Fraction, bool]], where: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kept = tmp_path_factory.getbasetemp() / f"{where}.counters"
    counters, before = Counters(kept), (Fraction(0), Fraction(0))
    for amount, restarted in steps:
        counters = Counters(kept) if restarted else counters
        shown = {
            sample.name: Fraction(sample.value)
            for sample in counters.follow("b", [Sample("fees_paid_total", ("a", "c"), amount)])
        }
        now = shown["fees_paid_total"], shown["fees_paid_revised_total"]
        assert now[0] >= before[0]
        assert now[1] >= before[1]
        assert now[0] - now[1] == amount
        before = now
    kept.unlink(missing_ok=True)


# -- Prometheus itself ---------------------------------------------------------------------------


def program(name: str) -> str:
    """Return a program of Debian's prometheus package, or skip (fail where all is required)."""
    found = shutil.which(name)
    if found is None:
        missing = f"{name} is not installed (Debian: apt-get install prometheus)"
        if os.environ.get("FILLBOOK_REQUIRE_ALL") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def test_the_alert_rules_name_metrics_that_exist() -> None:
    rules = RULES.read_text(encoding="utf-8")
    named = set(re.findall(r"\bfillbook_(\w+)", rules))
    assert named <= {metric.name for metric in REGISTRY}
    assert len(re.findall(r"- alert: (\w+)", rules)) == len(set(re.findall("alert: .+", rules)))


def test_promtool_accepts_the_alert_rules_and_the_text(all_told: Told) -> None:
    promtool = program("promtool")
    checked = subprocess.run([promtool, "check", "rules", str(RULES)], capture_output=True)
    assert checked.returncode == 0, checked.stderr
    body = exposition(summary_of(rich_book(), T0 + 60 * DAY), health())
    linted = subprocess.run([promtool, "check", "metrics"], input=body, capture_output=True)
    # Only names that others fixed may be unlike what promtool would have chosen.
    unlike = {line.split()[0] for line in linted.stderr.decode().splitlines() if line.strip()}
    assert unlike <= {"fillbook_avg_holding_time_hours"}, linted.stderr.decode()


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


@contextmanager
def prometheus_on(folder: Path, target: str) -> Iterator[str]:
    """Run a real Prometheus that scrapes the target every second; yield where it answers."""
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "fillbook", "static_configs": [{"targets": [target]}]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))
    port = free_port()
    server = subprocess.Popen(
        [
            program("prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


def get(url: str) -> bytes:
    with urlopen(url, timeout=5) as answer:
        return bytes(answer.read())


def query(url: str, text: str) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = json.loads(get(f"{url}/api/v1/query?query={quote(text)}"))[
            "data"
        ]["result"]
    except OSError:
        return []
    return found


def rule_states(url: str) -> set[str]:
    groups = json.loads(get(f"{url}/api/v1/rules"))["data"]["groups"]
    return {rule["health"] for group in groups for rule in group["rules"]}


def test_a_real_prometheus_scrapes_the_running_monitor(tmp_path: Path) -> None:
    program("prometheus")
    with venue_of(seed=5) as venue:
        configure(tmp_path, venue)
        with running(tmp_path) as monitor:
            waited("attached", lambda: monitor.health()["status"] == "ok")
            target = monitor.url.removeprefix("http://")
            with prometheus_on(tmp_path, target) as url:
                (fees,) = waited("a scrape", lambda: query(url, "fillbook_fees_paid_total"))
                said = Told(get(f"{monitor.url}/metrics"))
                labels = {k: v for k, v in fees["metric"].items() if k in ("account", "currency")}
                assert float(fees["value"][1]) == said("fees_paid_total", **labels)
                assert fees["metric"]["instance"] == target
                assert said("fees_paid_total", **labels)
                (money,) = query(url, "sum(fillbook_ladder{part='fees'})")
                assert float(money["value"][1]) == said("ladder", part="fees", currency="USDC")
                (up,) = query(url, "fillbook_account_up")
                assert up["value"][1] == "1"
                waited("the rules hold", lambda: rule_states(url) == {"ok"})
                served = urlopen(f"{monitor.url}/", timeout=5)
                with served:
                    assert served.headers["content-type"] == CONTENT_TYPE
                    assert Told(served.read()).kinds == said.kinds
