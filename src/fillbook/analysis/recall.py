"""Remembers finished answers, so that asking the same question twice is instant.

An answer is a pure function of the journal's head, the marks, the settings, the code and the
question; their hash names its file. Deleting the folder costs time and nothing else.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

Given = TypeVar("Given")

KEEP_FILES = 256


class Recall:
    """A folder of answers to questions about one state of one book; None keeps nothing."""

    def __init__(self, folder: Path | None, *state: object) -> None:
        self._folder = folder
        self._state = repr(state)

    def answer(self, name: str, question: object, kind: Any, compute: Callable[[], Given]) -> Given:
        """Return the remembered answer of type `kind`, or compute and remember it.

        A file that cannot be read or written is as good as none.
        """
        if self._folder is None:
            return compute()
        text = "\n".join((self._state, name, repr(question)))
        file = self._folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
        try:
            known: Given = msgspec.json.decode(file.read_bytes(), type=kind)
        except (OSError, msgspec.DecodeError):
            found = compute()
            self._remember(file, msgspec.json.encode(found))
            return found
        return known

    def _remember(self, file: Path, encoded: bytes) -> None:
        fresh = file.with_suffix(f".{os.getpid()}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(encoded)
            fresh.rename(file)
            self._forget_oldest(file.parent)
        except OSError:
            fresh.unlink(missing_ok=True)

    @staticmethod
    def _forget_oldest(folder: Path) -> None:
        files = sorted(folder.glob("*.json"), key=lambda each: each.stat().st_mtime)
        for old in files[:-KEEP_FILES]:
            old.unlink(missing_ok=True)
