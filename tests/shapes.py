"""The shape of JSON: which keys it has, where, and what kind of value stands under each."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

_DECIMAL = re.compile(r"-?\d+\.\d+(e-?\d+)?")
_WHOLE = re.compile(r"-?\d+")
_HEX = re.compile(r"0x[0-9a-fA-F]*")


def kind_of(value: Any) -> str:
    """Return what a value is; a number in text counts as the number it is written as."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "truth"
    if isinstance(value, int | float):
        return "whole" if isinstance(value, int) else "decimal"
    if not isinstance(value, str):
        return "list" if isinstance(value, list) else "object"
    for pattern, kind in ((_DECIMAL, "decimal"), (_WHOLE, "whole"), (_HEX, "hex")):
        if pattern.fullmatch(value):
            return kind
    return "text"


def shape_of(*samples: Any) -> dict[str, set[str]]:
    """Return the kinds of value at every path of some samples; list items share one path."""
    found: dict[str, set[str]] = {}

    def walk(path: str, value: Any) -> None:
        found.setdefault(path, set()).add(kind_of(value))
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{path}.{key}", inner)
        elif isinstance(value, list):
            for inner in value:
                walk(f"{path}[]", inner)

    for sample in samples:
        walk("", sample)
    return found


def keys_in_all(*samples: dict[str, Any]) -> set[str]:
    """Return the keys that every one of some objects has."""
    return set.intersection(*(set(sample) for sample in samples))


def unlike(ours: dict[str, set[str]], recorded: dict[str, set[str]]) -> list[str]:
    """Return what of our shape was never recorded: unknown paths, and values of another kind."""
    wrong = []
    for path, kinds in ours.items():
        if path not in recorded:
            wrong.append(f"{path}: never recorded")
        elif not kinds <= recorded[path]:
            wrong.append(f"{path}: {sorted(kinds)}, recorded {sorted(recorded[path])}")
    return wrong


def jkorf(path: Path) -> Any:
    """Return the JSON of a recorded endpoint file: three lines of request stand above it."""
    return json.loads(path.read_text(encoding="utf-8").split("\n", 3)[3])
