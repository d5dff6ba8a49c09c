"""What a person sees when something goes wrong: three lines to act on, never a traceback."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from fillbook import __version__
from fillbook.ground.errors import FillbookError, UsageError
from fillbook.sources.redact import EVERYWHERE

# What a machine refuses to any program is no fault of this one.
_REFUSALS = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ENAMETOOLONG,
    }
)


def report_told(told: FillbookError) -> int:
    """Write a foreseen fault to standard error; return the exit status it asks for."""
    print(EVERYWHERE.clean(f"fillbook: {told}"), file=sys.stderr)
    return told.exit_status


def report_fault(fault: Exception) -> int:
    """Write an unforeseen fault into a log file and name that file; return the exit status."""
    if isinstance(fault, OSError) and fault.errno in _REFUSALS:
        what, where = f"the system says: {fault.strerror}", str(fault.filename or "")
        return report_told(UsageError(what, where, "check the path, its rights and the room there"))
    kept = _keep(EVERYWHERE.told(fault))
    what = EVERYWHERE.clean(f"{type(fault).__name__}: {fault}")
    print(
        f"fillbook: stopped by a fault of its own ({what})\n"
        f"  where: {kept}\n"
        "  next:  the book is unharmed; run the command again, and report this file if it stays",
        file=sys.stderr,
    )
    return 2


def _keep(trace: str) -> str:
    """Keep the trace in the user's state folder, else in the temporary one."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    text = f"fillbook {__version__}, Python {sys.version.split()[0]}\n{trace}"
    for folder in (state / "fillbook", Path(tempfile.gettempdir())):
        path = folder / f"fault-{stamp}-{os.getpid()}.log"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError:
            continue
        return str(path)
    return "no folder could be written, so here it is:\n" + text
