"""The pages say what the program does: generated ones are current, links lead somewhere."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "fillbook"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
KEBAB = re.compile(r"[a-z]+(-[a-z]+)*")
# A new book gets a new id, so its hashes differ from run to run.
HEAD = re.compile(r"head [0-9a-f]{12}")


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """The script behind `make docs`."""
    spec = importlib.util.spec_from_file_location("docs_script", ROOT / "scripts" / "docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(*parts: str) -> str:
    return ROOT.joinpath(*parts).read_text(encoding="utf-8")


def test_the_command_line_page_is_current(generator: ModuleType) -> None:
    assert read("docs", "cli.md") == generator.cli_page(), "stale: run `make docs`"


def test_the_schemas_are_current(generator: ModuleType) -> None:
    written = {path.stem for path in (ROOT / "docs" / "schemas").glob("*.json")}
    assert written == set(generator.SHAPES)
    for command in written:
        stale = f"docs/schemas/{command}.json is stale: run `make docs`"
        assert read("docs", "schemas", f"{command}.json") == generator.schema_text(command), stale


def test_the_answer_in_the_readme_is_what_the_demo_prints(generator: ModuleType) -> None:
    readme = read("README.md")
    printed = HEAD.sub("head -", generator.readme_page(readme))
    assert HEAD.sub("head -", readme) == printed, "stale: run `make docs`"


def test_every_command_has_examples_that_name_it(generator: ModuleType) -> None:
    for name in generator.commands():
        section = read("docs", "cli.md").split(f"## fillbook {name}\n")[1].split("\n## ")[0]
        assert f"fillbook {name}" in section.split("Examples")[1], name


def test_every_command_is_in_the_readme(generator: ModuleType) -> None:
    table = read("README.md").split("| command |")[1].split("\n\n")[0]
    named = set(re.findall(r"`([a-z]+(?: [a-z]+)?)`", table))
    assert set(generator.commands()) - {"demo"} == named


def codes_in_source() -> set[str]:
    """Collect codes as they are given: `code="…"`, or first to a function that reports one."""
    codes = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                named = [given.value for given in node.keywords if given.arg == "code"]
                reports = re.search("finding|report", ast.unparse(node.func))
                codes |= {text_of(given) for given in named}
                codes |= {text_of(given) for given in node.args[:1] if reports}
    return {code for code in codes if KEBAB.fullmatch(code)}


def text_of(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def test_every_finding_is_explained_and_every_explained_one_exists() -> None:
    explained = set(re.findall(r"^\| `([a-z-]+)` \|", read("docs", "findings.md"), re.MULTILINE))
    assert explained == codes_in_source()


def named_tests(page: str) -> Iterator[tuple[str, str]]:
    yield from re.findall(r"`(tests/\w+\.py)::(\w+)`", page)


def test_every_guarantee_names_a_test_that_exists_or_says_not_yet() -> None:
    page = read("docs", "guarantees.md")
    sections = re.split(r"^## (?=P\d)", page, flags=re.MULTILINE)[1:]
    assert [section.split(" ")[0] for section in sections] == [f"P{n}" for n in range(1, 13)]
    for section in sections:
        named = list(named_tests(section))
        assert named or "Not yet" in section, section[:60]
        for path, test in named:
            assert f"def {test}(" in read(path), f"{path}::{test}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_inside_the_project_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


def test_every_page_is_found_from_the_front() -> None:
    front = read("README.md") + read("docs", "index.md")
    hidden = [
        page.name
        for page in PAGES
        if page.name not in ("README.md", "index.md")
        and page.name not in front
        and f"{page.parent.name}/" not in front
    ]
    assert not hidden


# Packages whose module has another name, and modules that come with a package.
MODULE_OF = {"pyjwt": "jwt", "prometheus-client": "prometheus_client"}
COMES_WITH = {"llvmlite": "numba", "cryptography": "jwt", "starlette": "fastapi"}


def test_every_dependency_is_used_and_explained() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    runtime = {re.split(r"[<>=\[]", named)[0] for named in project["dependencies"]}
    develop = {re.split(r"[<>=\[]", named)[0] for named in project["optional-dependencies"]["dev"]}
    listed = read("DECISIONS.md").split("one line each")[1]
    explained = set(re.findall(r"\*\*([a-z-]+)(?:\[\w+\])?\*\*", listed))
    assert runtime | develop | {"hatchling"} == explained
    outside = {
        module.split(".")[0]
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for module in imported_by(node)
    } - {*sys.stdlib_module_names, "fillbook"}
    used = {COMES_WITH.get(module, module) for module in outside}
    # Time zones are read by the standard library, not imported.
    assert used == {MODULE_OF.get(name, name) for name in runtime - {"tzdata"}}


def imported_by(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def test_the_version_is_one() -> None:
    version = tomllib.loads(read("pyproject.toml"))["project"]["version"]
    assert f'__version__ = "{version}"' in read("src", "fillbook", "__init__.py")
    assert f"## {version}" in read("CHANGELOG.md")
