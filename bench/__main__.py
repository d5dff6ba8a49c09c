"""Runs the benchmarks: `python -m bench [NAME...]`, by default every module here that has run().

Each figure is a ratio measured side by side in one run on the same seeded input, so that it means
the same on every machine. Nothing in the tests depends on time.
"""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path

HERE = Path(__file__).parent


def benchmarks() -> list[str]:
    """Return the modules that have a run(), in the order of their names."""
    return [path.stem for path in sorted(HERE.glob("[a-z]*.py")) if _has_run(path)]


def _has_run(path: Path) -> bool:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return any(isinstance(node, ast.FunctionDef) and node.name == "run" for node in body)


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all; return the exit status."""
    known = benchmarks()
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(known)}")
        return 2
    for name in names or known:
        module = importlib.import_module(f"bench.{name}")
        title = (module.__doc__ or name).strip().splitlines()[0]
        print(f"== {name}: {title}", flush=True)
        for line in module.run() or ():
            print("  ".join(part for part in line if part), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
