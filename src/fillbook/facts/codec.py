"""Facts to canonical bytes and back, with a schema version and upcasts.

Canonical means: one fact has one encoding. Field order is the struct's, defaults are left out,
decimals lose their trailing zeros (1.50 and 1.5 are one claim). `content_hash` is taken over
these bytes, so two sources that say the same thing say it with the same hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from fillbook.facts.model import SCHEMA_VERSION, AnyFact, Fill
from fillbook.ground.errors import BookDamagedError
from fillbook.ground.exact import plain_text

Upcast = Callable[[dict[str, Any]], dict[str, Any]]

# UPCASTS[n] turns the plain dict of a version-n fact into version n + 1. New fields have
# defaults and need no upcast; one golden file per version stands in tests/golden/.
UPCASTS: dict[int, Upcast] = {}

_encoder = msgspec.json.Encoder(decimal_format="string")
_decoder: msgspec.json.Decoder[AnyFact] = msgspec.json.Decoder(AnyFact)


def canonical(fact: AnyFact) -> AnyFact:
    """Return the fact with every Decimal in canonical form, a nested replacement included."""
    changed: dict[str, Any] = {}
    for name in fact.__struct_fields__:
        value = getattr(fact, name)
        if type(value) is Decimal:
            changed[name] = Decimal(plain_text(value))
        elif type(value) is Fill:
            changed[name] = canonical(value)
    return msgspec.structs.replace(fact, **changed) if changed else fact


def encode(fact: AnyFact) -> bytes:
    """Encode a fact canonically as JSON text."""
    return _encoder.encode(canonical(fact))


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


def content_hash(payload: bytes) -> bytes:
    """Return the 16-byte content hash of an encoded fact."""
    return hashlib.sha256(payload).digest()[:16]
