"""The demo end to end: real files, real book, the command line, and the world's own truth."""

from __future__ import annotations

import json
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fillbook.cli.app import app
from fillbook.ground.errors import InputError
from fillbook.ground.exact import money_text, plain_text
from fillbook.journal.store import Journal
from fillbook.sim.demo import run_demo, what_next
from fillbook.sim.truth import AccountTruth
from fillbook.sim.world import HARVESTER, LABELS, MAKER, TREND, World, make_world

LINES = ("signal", "signal_unpriced", "delay", "drift", "spread", "fees", "funding")


@pytest.fixture(scope="module")
def world() -> World:
    return make_world()


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_demo(tmp_path_factory.mktemp("demo"), say=lambda line: None)


def _answer(book: Path, *command: str) -> Any:
    done = CliRunner().invoke(
        app, [*command, "--book", str(book), "--json"], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def _check(told: dict[str, Any], truth: AccountTruth) -> None:
    """Compare one currency's totals with the truth, to the last digit."""
    for name in ("gross", "fees", "funding", "net"):
        assert told[name] == money_text(getattr(truth, name)), name
    assert told["realized"] == money_text(truth.realised)
    assert told["unrealized"] == money_text(truth.unrealised)
    for name in LINES:
        assert told["ladder"][name] == money_text(getattr(truth, name)), name
    assert (told["ladder"]["rounding"], told["ladder"]["residual"]) == ("0", "0")
    assert told["bound"] == "exact"


def test_why_agrees_with_the_truth_of_every_account(book: Path, world: World) -> None:
    for account in (TREND, MAKER, HARVESTER):
        answer = _answer(book, "why", "--account", LABELS[account])
        truth = world.truth.accounts[account, "USDC"]
        assert answer["n_fills"] == truth.n_fills
        _check(answer["currencies"]["USDC"], truth)


def test_why_agrees_with_the_sum_of_the_accounts_and_says_no(book: Path, world: World) -> None:
    answer = _answer(book, "why", "--by", "strategy")
    whole = AccountTruth("all", "USDC")
    for truth in world.truth.accounts.values():
        for name in ("n_fills", "realised", "unrealised", *LINES):
            setattr(whole, name, getattr(whole, name) + getattr(truth, name))
    _check(answer["currencies"]["USDC"], whole)
    assert answer["made_money"] == "no" and whole.net < 0
    assert answer["reasons"][0]["line"] == "fees"
    assert answer["reasons"][0]["amount"] == money_text(-whole.fees)
    assert answer["findings"] == []
    realised: dict[str, int] = defaultdict(int)
    for (_, _, strategy), kept in world.truth.books.items():
        realised[strategy] += kept.realised
    told = {part["value"]: part["currencies"]["USDC"]["realized"] for part in answer["by"]}
    assert told == {strategy: money_text(amount) for strategy, amount in realised.items()}


def test_positions_are_where_the_world_left_them(book: Path, world: World) -> None:
    held: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for (account, symbol, _), kept in world.truth.books.items():
        held[account, symbol] += kept.position
    rows = _answer(book, "positions")["rows"]
    assert {(row["account"], row["instrument"]): row["qty"] for row in rows} == {
        place: plain_text(qty) for place, qty in held.items() if qty
    }
    last = {mark.symbol: mark.px for mark in world.marks if mark.ts_ms == world.end_ms}
    for row in rows:
        assert row["mark"] == plain_text(last[row["instrument"]])


def test_every_fill_carries_the_position_the_venue_printed(book: Path, world: World) -> None:
    told = {row["fill_id"]: row for row in _answer(book, "fills")["rows"]}
    assert len(told) == len(world.fills)
    for fill in world.fills:
        row = told[str(fill.fill_id)]
        assert row["position_after"] == plain_text(fill.start_position + fill.moved)
        assert (row["fee"], row["fee_asset"]) == (plain_text(fill.fee), fill.fee_asset)


def test_running_it_again_changes_nothing(tmp_path: Path) -> None:
    heads, files, told = [], [], []
    for _ in range(2):
        lines: list[str] = []
        book = run_demo(tmp_path, say=lines.append)
        with Journal.open(book, readonly=True) as journal:
            heads.append(journal.head())
        files.append({path: path.read_bytes() for path in (tmp_path / "month").rglob("*.csv")})
        told.append("\n".join(lines))
    assert heads[0] == heads[1] and files[0] == files[1]
    assert "imported" in told[0] and "all there already" in told[1]
    assert str(tmp_path / "month") in told[0] and str(book) in told[0]


def test_a_book_with_other_imports_is_left_alone(tmp_path: Path) -> None:
    book = run_demo(tmp_path, seed=5, say=lambda line: None)
    with Journal.open(book, readonly=True) as journal:
        before = journal.head()
    with pytest.raises(InputError, match="other imports"):
        run_demo(tmp_path, seed=6, say=lambda line: None)
    with Journal.open(book, readonly=True) as journal:
        assert journal.head() == before


@pytest.mark.parametrize(
    ("called", "found", "typed"),
    [
        (".venv/bin/fillbook", False, ".venv/bin/fillbook"),
        (".venv/bin/fillbook", True, "fillbook"),
        ("fillbook", False, "fillbook"),
    ],
)
def test_what_to_try_next_can_be_typed_as_it_stands(
    book: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    called: str,
    found: bool,
    typed: str,
) -> None:
    """An environment that nobody has activated is not on the path."""
    if found:
        (tmp_path / "fillbook").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.argv", [called, "demo"])
    # However long the path and narrow the terminal.
    monkeypatch.setenv("COLUMNS", "60")
    done = CliRunner().invoke(app, ["demo", "--once", "--dir", str(book.parent)])
    assert done.exit_code == 0, done.output
    assert f"  {typed} why --by account --book {book}" in done.stdout.splitlines()


def test_what_to_try_next_works(book: Path) -> None:
    commands = [
        line.split()[1:]
        for line in what_next(book, once=True)
        if line.strip().startswith("fillbook ")
    ]
    assert len(commands) >= 4
    for command in commands:
        done = CliRunner().invoke(app, command, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        assert len(done.stdout.splitlines()) > 4
