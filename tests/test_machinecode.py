"""Compiled code is never older than the sources it was made from."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import fillbook

FOLD = """
from fillbook.ledger.fold import EventColumns, fold_group
from fillbook.ledger import layout, amounts
events = EventColumns.allocate(2)
events.qty[:] = 5, -5
events.px[:] = [[100] * 4, [110] * 4]
result = fold_group(events, method=layout.AVERAGE, factor=1)
print(amounts.to_ints(result.outputs.realised[:, 3]))
"""


def folded(home: Path, package: Path) -> str:
    environ = {**os.environ, "HOME": str(home), "PYTHONPATH": str(package)}
    done = subprocess.run(
        [sys.executable, "-c", FOLD], env=environ, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_change_in_what_the_loop_inlines_is_compiled_anew(tmp_path: Path) -> None:
    package = tmp_path / "code"
    shutil.copytree(Path(fillbook.__file__).parent, package / "fillbook")
    home = tmp_path / "home"
    home.mkdir()
    assert folded(home, package) == "[0, 50]"
    wide = package / "fillbook" / "ledger" / "wide.py"
    times = wide.stat()
    source = wide.read_text()
    changed = source.replace("def mul128x64(", "def _unused_mul128x64(", 1)
    assert changed != source
    wrong = "\n\n@njit(forceinline=True)\ndef mul128x64(hi, lo, factor):\n    return 0, 7, False\n"
    wide.write_text(changed + wrong)
    os.utime(wide, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert folded(home, package) != "[0, 50]"
    wide.write_text(source)
    assert folded(home, package) == "[0, 50]"


def test_without_a_folder_to_keep_it_the_loop_still_runs(tmp_path: Path) -> None:
    package = Path(fillbook.__file__).parent.parent
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert folded(blocked, package) == "[0, 50]"
