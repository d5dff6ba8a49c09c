"""The style of the house as tests: size, names, exactness, documentation, order, silence."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "fillbook"
MODULES = sorted(SOURCE.rglob("*.py"))
PYTHON = [
    *MODULES,
    *sorted(p for d in ("tests", "bench", "scripts") for p in ROOT.glob(f"{d}/**/*.py")),
]
TEXTS = [
    *PYTHON,
    *(p for d in ("docs", "scripts", ".ci") for p in sorted(ROOT.glob(f"{d}/**/*")) if p.is_file()),
    *sorted(ROOT.glob("*.md")),
    *(ROOT / name for name in ("Makefile", "pyproject.toml", "requirements.lock")),
]

MODULE_LINES = 300
FUNCTION_LINES = 60
LINE_COLUMNS = 100
# Compiled loops stay in one piece; the reason is a dated paragraph in DECISIONS.md.
SIZE_EXEMPT = ("ledger/kernel.py",)

FORBIDDEN_WORDS = frozenset(
    {"data", "info", "manager", "handler", "utils", "helper", "process", "misc", "common"}
)
MONEY_FLOORS = ("facts", "journal", "resolve", "ledger")
PURE_FLOORS = ("facts", "resolve", "ledger", "analysis")
# The one leaf where exact money becomes a float, for statistics that never flow back.
FLOAT_LEAVES = {("ledger/amounts.py", "to_floats")}
# Derived things kept on disk: folded groups and finished answers. Both can be deleted any time.
DISK_DOORS = ("ledger/cache.py", "analysis/recall.py")
ROOMS = {
    "numba": {"ledger/kernel.py", "ledger/machinecode.py", "ledger/wide.py"},
    "llvmlite": {"ledger/kernel.py", "ledger/wide.py"},
    "prometheus_client": {"publish/prometheus.py"},
    "sqlite3": {"journal/sqlite.py", "marks/series.py"},
}
BANNED_MODULES = frozenset({"time", "random", "os"})

# Words that speak of where and how this was built, not of what it is.
OUTSIDE = re.compile(
    r"/work/|/tmp/v\d|/root/|/opt/|\bCEO\b|\bissue #?\d|contract\.md|\bhelper [A-Z]\b"
    r"|DESIGN\.md|RULES\.md|\bRULES \d|\bDESIGN \d|pythonhosted|pypi\.org"
)
PRAGMA = re.compile(r"  # (type: ignore|noqa)\S*.*$")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def on_floors(*floors: str) -> list[Path]:
    return [path for path in MODULES if name_of(path).split("/")[0] in floors]


def functions_of(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def words_of(identifier: str) -> set[str]:
    return {w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", identifier)}


def identifiers_of(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield the names a module gives, not the ones it merely uses."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname, getattr(node, "lineno", 0)


def public_nodes(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Yield the module, its public functions and classes, and their public methods."""
    yield "module", tree
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in tree.body:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                for part in node.body:
                    if isinstance(part, kinds) and not part.name.startswith("_"):
                        yield f"{node.name}.{part.name}", part


def test_modules_have_one_reason_to_exist_and_functions_fit_a_screen() -> None:
    large = []
    for path in MODULES:
        if name_of(path) in SIZE_EXEMPT:
            continue
        text = path.read_text(encoding="utf-8")
        lines = sum(1 for line in text.splitlines() if line.strip())
        if lines > MODULE_LINES:
            large.append(f"{name_of(path)}: {lines} lines that are not blank")
        for function in functions_of(ast.parse(text)):
            length = (function.end_lineno or 0) - function.lineno + 1
            if length > FUNCTION_LINES:
                large.append(f"{name_of(path)}:{function.lineno} {function.name}: {length} lines")
    assert not large, "\n".join(large)


def test_what_is_exempt_from_size_has_its_reason_written_down() -> None:
    decisions = (ROOT / "DECISIONS.md").read_text(encoding="utf-8")
    assert [name for name in SIZE_EXEMPT if name not in decisions] == []


def test_lines_fit_a_page() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in PYTHON
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if len(PRAGMA.sub("", line)) > LINE_COLUMNS
    ]
    assert not long, "\n".join(long)


def test_names_say_what_they_mean() -> None:
    vague = [
        f"{name_of(path)}:{line} {name}"
        for path in MODULES
        for name, line in [(path.stem, 0), *identifiers_of(tree_of(path))]
        if words_of(name) & FORBIDDEN_WORDS
    ]
    assert not vague, "\n".join(vague)


def test_no_float_and_no_true_division_on_the_money_path() -> None:
    found = []
    for path in on_floors(*MONEY_FLOORS):
        tree = tree_of(path)
        leaves = [
            range(f.lineno, (f.end_lineno or 0) + 1)
            for f in functions_of(tree)
            if (name_of(path), f.name) in FLOAT_LEAVES
        ]
        for node in ast.walk(tree):
            line = getattr(node, "lineno", 0)
            if name_of(path) in DISK_DOORS and isinstance(node, ast.BinOp):
                continue  # paths are joined there, money is not computed
            if is_inexact(node) and not any(line in leaf for leaf in leaves):
                found.append(f"{name_of(path)}:{line} {ast.unparse(node)[:60]}")
    assert not found, "\n".join(found)


def is_inexact(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, float | complex)
    if isinstance(node, ast.BinOp) and isinstance(node.right, ast.JoinedStr | ast.Constant):
        # A path joined with a name is no division.
        named = isinstance(node.right, ast.JoinedStr) or isinstance(node.right.value, str)
        return isinstance(node.op, ast.Div) and not named
    if isinstance(node, ast.BinOp | ast.AugAssign):
        return isinstance(node.op, ast.Div)
    if isinstance(node, ast.Call):
        called = node.func
        return isinstance(called, ast.Name) and called.id == "float"
    return False


def test_the_pure_floors_ask_no_clock_no_dice_and_no_disk() -> None:
    found = []
    for path in on_floors(*PURE_FLOORS):
        if name_of(path) in DISK_DOORS:
            continue
        for node in ast.walk(tree_of(path)):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name.split(".")[0] for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [(node.module or "").split(".")[0]]
            elif isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                names = (
                    ["time"]
                    if called == "open" or called.endswith(("datetime.now", "utcnow"))
                    else []
                )
            if BANNED_MODULES.intersection(names):
                found.append(f"{name_of(path)}:{node.lineno} {ast.unparse(node)[:60]}")  # type: ignore[attr-defined]
    assert not found, "\n".join(found)


def test_only_the_command_line_prints() -> None:
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in MODULES
        if not name_of(path).startswith("cli/")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert not found, "\n".join(found)


def test_whoever_catches_everything_says_why_beside_it() -> None:
    found = []
    for path in MODULES:
        lines = path.read_text(encoding="utf-8").splitlines()
        for node in ast.walk(ast.parse("\n".join(lines))):
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = "everything" if node.type is None else ast.unparse(node.type)
            broad = caught in ("everything", "Exception", "BaseException")
            if broad and "#" not in lines[node.lineno - 1]:
                found.append(f"{name_of(path)}:{node.lineno}")
    assert not found, "\n".join(found)


def test_every_public_name_is_documented_with_a_sentence() -> None:
    silent = []
    for path in MODULES:
        if path.name == "__init__.py" and not path.read_text(encoding="utf-8").strip():
            continue
        for name, node in public_nodes(tree_of(path)):
            text = ast.get_docstring(node)  # type: ignore[arg-type]
            first = (text or "").split("\n\n")[0].strip()
            if len(first.split()) < 2 or first[-1] not in ".:?!)":
                silent.append(f"{name_of(path)} {name}")
    assert not silent, "\n".join(silent)


def test_every_module_is_used() -> None:
    imported: set[str] = set()
    for path in PYTHON:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Import):
                imported.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module)
                imported.update(f"{node.module}.{alias.name}" for alias in node.names)
    unused = [
        name_of(path)
        for path in MODULES
        if path.name not in ("__init__.py", "app.py")
        and "fillbook." + name_of(path).removesuffix(".py").replace("/", ".") not in imported
    ]
    # The command line's entry is named in pyproject.toml, not imported.
    assert not unused, "\n".join(unused)


@pytest.mark.parametrize("library", sorted(ROOMS))
def test_heavy_libraries_stay_in_their_rooms(library: str) -> None:
    users = set()
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            if any(name.split(".")[0] == library for name in names):
                users.add(name_of(path))
    assert users <= ROOMS[library]


@pytest.mark.parametrize("pattern", [OUTSIDE, UNFINISHED], ids=["outside", "unfinished"])
def test_the_project_speaks_only_of_itself_and_is_finished(pattern: re.Pattern[str]) -> None:
    here = Path(__file__).name
    found = [
        f"{path.relative_to(ROOT)}:{number} {line.strip()[:70]}"
        for path in TEXTS
        if path.exists() and path.name != here and path.suffix not in (".png", ".gz", ".zip", ".db")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, "\n".join(found)


def test_the_lock_pins_everything_by_hash_and_names_no_index() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert not re.search(r"https?:|file:|--index|--find-links|--trusted|^-", text, re.MULTILINE)
    for pinned in re.split(r"\n(?=\S)", text.strip()):
        assert re.match(r"[a-z0-9-]+==\S+", pinned), pinned
        assert "--hash=sha256:" in pinned, pinned
