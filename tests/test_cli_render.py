"""How answers look, at the widths people read them in. The pictures are tests/golden/cli/*.txt.

FILLBOOK_GOLDEN=write draws them anew; look at the difference before committing it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import cli_samples as samples
from fillbook.analysis.answers import CostRow, FillRow, PositionRow, TradeRow
from fillbook.cli.doctoring import show_examination
from fillbook.cli.findings import row_of, show_rows
from fillbook.cli.imported import show_import
from fillbook.cli.lists import show_list
from fillbook.cli.opening import Place
from fillbook.cli.page import Page
from fillbook.cli.performance import show_performance
from fillbook.cli.reconciled import show_reconciled
from fillbook.cli.tables import Cell, Column, lay_out
from fillbook.cli.why import ladder_rows, show_why
from fillbook.ground.settings import load_settings

GOLDEN = Path(__file__).parent / "golden" / "cli"
LABELS = {samples.ACCOUNT: "main"}
NAMED = {f"FILLBOOK__ACCOUNTS__{samples.ACCOUNT}__LABEL": "main"}
PLACE = Place(Path("fillbook.db"), load_settings(None, NAMED))


def label(account: str) -> str:
    return LABELS.get(account, account)


def listed(kind: type, rows: tuple[object, ...], noun: str) -> Callable[[Page], None]:
    return lambda page: show_list(page, kind, rows, label, noun, "a note")


PICTURES: dict[str, Callable[[Page], None]] = {
    "why": lambda page: show_why(page, samples.why(), label),
    "why-two-currencies": lambda page: show_why(page, samples.two_currencies(), label),
    "why-no-fills": lambda page: show_why(
        page, samples.why(n_fills=0, n_trades=0, reasons=(), currencies={}), label
    ),
    "fills": listed(FillRow, samples.FILLS, "fill"),
    "trades": listed(TradeRow, samples.TRADES, "trade"),
    "positions": listed(PositionRow, samples.POSITIONS, "open position"),
    "costs": listed(CostRow, samples.COSTS, "asset"),
    "performance": lambda page: show_performance(page, samples.PERFORMANCE),
    "findings": lambda page: show_rows(page, [row_of(f) for f in samples.FINDINGS]),
    "doctor": lambda page: show_examination(page, samples.EXAMINED),
    "reconcile": lambda page: show_reconciled(page, samples.RECONCILED, label),
    "import": lambda page: show_import(page, samples.IMPORTED, PLACE),
    "nothing": listed(FillRow, (), "fill"),
}


def drawn(
    show: Callable[[Page], None],
    capsys: pytest.CaptureFixture[str],
    width: int | None,
    terminal: bool = False,
) -> str:
    page = Page(width=width, terminal=terminal)
    show(page)
    page.print()
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.mark.parametrize("width", [60, 100, None], ids=["60", "100", "pipe"])
@pytest.mark.parametrize("name", sorted(PICTURES))
def test_a_screen_looks_as_it_was_approved(
    name: str, width: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    text = drawn(PICTURES[name], capsys, width)
    path = GOLDEN / f"{name}-{width or 'pipe'}.txt"
    if os.environ.get("FILLBOOK_GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140])
@pytest.mark.parametrize("name", sorted(PICTURES))
def test_no_line_is_wider_than_the_terminal(
    name: str, width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    for line in drawn(PICTURES[name], capsys, width).splitlines():
        assert len(line) <= width, line


@pytest.mark.parametrize("width", [30, 45, 60, 100, None])
def test_no_figure_is_ever_cut(width: int | None, capsys: pytest.CaptureFixture[str]) -> None:
    for name, figures in {
        "why": ("+15,000.37", "-1,464.62", "+11,330.75"),
        "fills": ("+12,512,345.68", "0.00000731", "84,123.5"),
        "trades": ("-863.72", "+9.87"),
        "costs": ("1,515.37", "0.0123457"),
        "performance": ("+11,330.75", "+0.00123000"),
    }.items():
        text = drawn(PICTURES[name], capsys, width)
        assert "…" not in text
        for figure in figures:
            assert re.search(rf"(?<![\d,.]){re.escape(figure)}(?![\d,])", text), (name, figure)


def test_gains_and_losses_are_coloured_on_a_terminal_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "\x1b[" not in drawn(PICTURES["why"], capsys, 100)
    coloured = drawn(PICTURES["why"], capsys, 100, terminal=True)
    assert re.search(r"\x1b\[32m\s*\+15,000.37", coloured)
    assert re.search(r"\x1b\[31m\s*-1,464.62", coloured)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[3[0-9]m", drawn(PICTURES["why"], capsys, 100, terminal=True))


def test_what_a_file_says_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = samples.fill(instrument="BTC\x1b[2J\x07[bold]", strategy="a\r\nb")
    text = drawn(listed(FillRow, (evil,), "fill"), capsys, 200, terminal=True)
    assert "\x1b[2J" not in text
    assert "\x07" not in text
    assert "BTC[2J[bold]" in text


def test_currencies_are_never_added(capsys: pytest.CaptureFixture[str]) -> None:
    text = drawn(PICTURES["why-two-currencies"], capsys, 100)
    assert "+11,330.75 USDC net; known so far -0.00014430 BTC gross (fees unknown)" in text
    rows = ladder_rows(samples.two_currencies())
    assert {row.currency for row in rows} == {"USDC", "BTC"}
    assert [row.effect for row in rows if row.line == "net"] == ["11330.745022999999999999", None]
    assert [row.effect for row in rows if row.line == "fees"] == ["-1394.870000000000000001", None]


def test_the_least_important_columns_go_first_and_are_named() -> None:
    columns = [
        Column(title="kept", cells=[Cell("1234567890")]),
        Column(title="first to go", cells=[Cell("x" * 10)], rank=2),
        Column(title="next to go", cells=[Cell("y" * 10)], rank=1),
    ]
    assert lay_out(columns, 100).hidden == ()
    assert lay_out(columns, 25).hidden == ("first to go",)
    assert lay_out(columns, 15).hidden == ("next to go", "first to go")
