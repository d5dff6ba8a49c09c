"""Facts to canonical bytes and back, with a schema version and upcasts.

Canonical means: one fact has one encoding. Field order is the struct's, defaults are left out,
decimals lose their trailing zeros (1.50 and 1.5 are one claim). `content_hash` is taken over
these bytes, so two sources that say the same thing say it with the same hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from operator import attrgetter
from typing import Any, get_args

import msgspec

from fillbook.facts.model import SCHEMA_VERSION, AnyFact, Fill, Report
from fillbook.ground.errors import BookDamagedError
from fillbook.ground.exact import plain_text

Upcast = Callable[[dict[str, Any]], dict[str, Any]]

# UPCASTS[n] turns the plain dict of a version-n fact into version n + 1. New fields have
# defaults and need no upcast; one golden file per version stands in tests/golden/.
UPCASTS: dict[int, Upcast] = {}

_encoder = msgspec.json.Encoder(decimal_format="string")
_decoder: msgspec.json.Decoder[AnyFact] = msgspec.json.Decoder(AnyFact)
_row_decoder: msgspec.json.Decoder[list[AnyFact]] = msgspec.json.Decoder(list[AnyFact])


def _fields_holding(wanted: type) -> dict[type, tuple[str, ...]]:
    return {
        kind: tuple(
            field.name
            for field in msgspec.structs.fields(kind)
            if wanted in (field.type, *get_args(field.type))
        )
        for kind in get_args(AnyFact)
    }


_DECIMALS = _fields_holding(Decimal)
_NESTED = _fields_holding(Fill)
# One C call fetches all decimals of a fact; the last two only make it a tuple always.
_FETCH = {kind: attrgetter(*names, "ts_ns", "venue") for kind, names in _DECIMALS.items()}


def canonical(fact: AnyFact) -> AnyFact:
    """Return the fact with every Decimal in canonical form, a nested replacement included."""
    kind = type(fact)
    changed: dict[str, Any] = {}
    for name, value in zip(_DECIMALS[kind], _FETCH[kind](fact), strict=False):
        if value is None:
            continue
        # The same as plain_text, three times faster where the text needs little or nothing.
        text = str(value)
        if "E" in text or text == "-0":
            changed[name] = Decimal(plain_text(value))
        elif text[-1] == "0" and "." in text:
            plain = text.rstrip("0").rstrip(".")
            changed[name] = Decimal("0" if plain == "-0" else plain)
    for name in _NESTED[kind]:
        value = getattr(fact, name)
        if value is not None:
            changed[name] = canonical(value)
    if isinstance(fact, Report) and fact.held:
        changed["held"] = tuple(
            msgspec.structs.replace(each, qty=Decimal(plain_text(each.qty))) for each in fact.held
        )
    return msgspec.structs.replace(fact, **changed) if changed else fact


def encode(fact: AnyFact) -> bytes:
    """Encode a fact canonically as JSON text."""
    return _encoder.encode(canonical(fact))


def encode_rows(facts: Iterable[AnyFact]) -> list[bytes]:
    """Encode many facts at once; each is what `encode` gives."""
    lines = _encoder.encode_lines([canonical(fact) for fact in facts]).split(b"\n")
    lines.pop()
    return lines


def decode(payload: bytes | str, version: int = SCHEMA_VERSION) -> AnyFact:
    """Decode a stored fact, upcasting older versions; BookDamagedError when it does not fit."""
    try:
        if version == SCHEMA_VERSION:
            return _decoder.decode(payload)
        plain = msgspec.json.decode(payload)
        for step in range(version, SCHEMA_VERSION):
            plain = UPCASTS[step](plain)
        upcast: AnyFact = msgspec.convert(plain, AnyFact, strict=False)
        return upcast
    except (msgspec.DecodeError, KeyError) as fault:
        raise BookDamagedError(
            f"a stored fact cannot be read: {fault}",
            f"schema version {version}",
            "run `fillbook verify`, then restore a backup or import the sources again",
        ) from fault


def decode_rows(payloads: Sequence[str], version: int = SCHEMA_VERSION) -> list[AnyFact]:
    """Decode many stored facts at once; each is what `decode` gives."""
    if version == SCHEMA_VERSION:
        try:
            facts = _row_decoder.decode("[" + ",".join(payloads) + "]")
        except msgspec.DecodeError:
            # One by one, so that the message names the payload at fault.
            facts = []
        if len(facts) == len(payloads):
            return facts
    return [decode(payload, version) for payload in payloads]


def content_hash(payload: bytes) -> bytes:
    """Return the 16-byte content hash of an encoded fact."""
    return hashlib.sha256(payload).digest()[:16]
