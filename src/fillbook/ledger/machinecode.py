"""Where compiled code is kept: apart for every version of the sources it was made from.

Numba keeps machine code until the file of the compiled function changes; what was inlined from
another file is not looked at. Money must not be computed by the code of yesterday, so the folder
is named after the contents of every file that the loop is made of.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numba
from numba import njit

# Its settings are made when it is imported, where no type checker sees them.
_config: Any = numba.config
_PARTS = ("kernel.py", "wide.py", "layout.py")


@cache
def folder() -> Path | None:
    """Return the folder for this version's machine code; None where nothing can be kept."""
    own = Path(__file__).parent
    hasher = hashlib.sha256()
    for part in _PARTS:
        hasher.update(own.joinpath(part).read_bytes())
    name = hasher.hexdigest()[:16]
    for base in (Path("~/.cache").expanduser(), Path(gettempdir())):
        place = base.joinpath("fillbook", "kernel", name)
        try:
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            (place / ".written").touch()
        except (OSError, RuntimeError):
            continue
        return place
    return None


def kept(signature: Any, function: Any, **options: Any) -> Any:
    """Compile a function for one signature, or load what was compiled from the same sources.

    Without a folder to keep it in, it is compiled anew in every process.
    """
    place = folder()
    if place is None:
        return njit(signature, **options)(function)
    before = _config.CACHE_DIR
    _config.CACHE_DIR = str(place)
    try:
        return njit(signature, cache=True, **options)(function)
    finally:
        _config.CACHE_DIR = before
