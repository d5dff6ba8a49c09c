"""The pages about formats are true: their examples run and print what the pages show."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from fillbook.sources.files.column_map import OPTIONAL, REQUIRED
from fillbook.sources.files.registry import NAMES

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "docs" / "import.md", *(ROOT / "docs" / "readers").glob("*.md")])


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script that writes the pages."""
    place = ROOT / "scripts" / "reader_pages.py"
    spec = importlib.util.spec_from_file_location("reader_pages", place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_print_what_the_page_shows(page: Path, script: ModuleType) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == script.told(page), "stale: run `make docs`"
    assert "```console\n$ fillbook import" in text


def test_every_format_has_its_place_in_the_pages() -> None:
    texts = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in NAMES if f"`{name}`" not in texts] == []


def test_every_field_of_the_generic_reader_is_explained() -> None:
    page = (ROOT / "docs" / "readers" / "generic.md").read_text(encoding="utf-8")
    fields = {
        field for table in (REQUIRED, OPTIONAL) for named in table.values() for field in named
    }
    assert sorted(field for field in fields if f"`{field}`" not in page) == []
