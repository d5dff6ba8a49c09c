"""docs/journal.md does what it says: its code and its query run, and every table stands there."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from journal_books import book_of, fill

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "journal.md").read_text(encoding="utf-8")
JOURNAL = " ".join(
    path.read_text(encoding="utf-8") for path in (ROOT / "src/fillbook/journal").glob("*.py")
)


def test_the_code_on_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    book_of(tmp_path / "fillbook.db", 3)
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "docs/journal.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "Head(book_id=" in printed and "march march.csv 3 " in printed
    assert fill(0).raw in printed


def test_the_query_on_the_page_shows_claims(tmp_path: Path) -> None:
    book = book_of(tmp_path / "fillbook.db", 25)
    (query,) = re.findall(r"sqlite3 fillbook.db '(.*?)'", PAGE, re.DOTALL)
    with closing(sqlite3.connect(book)) as connection:
        rows = connection.execute(query).fetchall()
        assert [row[:3] for row in rows] == [(n + 1, "fill", fill(n).key) for n in range(5)]
        pages = connection.execute("SELECT seq, page, batch FROM claims").fetchall()
    assert pages == [(seq, (seq + 9) // 10, "march") for seq in range(1, 26)] + [(26, 3, "march")]


def test_every_table_is_explained() -> None:
    tables = set(re.findall(r"CREATE TABLE (\w+)", JOURNAL))
    explained = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    assert tables == explained
