"""Facts stay readable: the bytes of every version are kept, and one fact has one encoding."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillbook.facts.codec import (
    canonical,
    content_hash,
    decode,
    decode_rows,
    encode,
    encode_rows,
)
from fillbook.facts.model import SCHEMA_VERSION, AnyFact, Correction, Fill, Funding
from fillbook.ground.errors import BookDamagedError

GOLDEN = Path(__file__).parent / "golden"
KINDS: dict[str, Any] = {kind.__struct_config__.tag: kind for kind in get_args(AnyFact)}


def golden(version: int) -> list[tuple[str, str]]:
    """Return (content hash, fact) of every line; lines are only ever added to these files."""
    text = (GOLDEN / f"facts-{version}.jsonl").read_text(encoding="utf-8")
    return [(line[:32], line[33:]) for line in text.splitlines()]


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_every_fact_ever_written_can_be_read(version: int) -> None:
    for known, payload in golden(version):
        assert hashlib.sha256(payload.encode()).hexdigest()[:32] == known
        fact = decode(payload, version)
        if version == SCHEMA_VERSION:
            assert encode(fact).decode() == payload
            assert content_hash(encode(fact)).hex() == known
            told = json.loads(payload)
            assert KINDS[told.pop("kind")] is type(fact)
            for name, value in told.items():
                assert plain(getattr(fact, name)) == value


def plain(value: Any) -> Any:
    """Say a value as JSON would, by a way of its own."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, tuple):
        return [plain(part) for part in value]
    if isinstance(value, msgspec.Struct):
        tag = type(value).__struct_config__.tag
        fields = {
            f.name: (getattr(value, f.name), f.default) for f in msgspec.structs.fields(value)
        }
        said = {name: plain(part) for name, (part, usual) in fields.items() if part != usual}
        return {"kind": tag, **said} if tag else said
    return value


def test_the_golden_file_shows_every_kind_with_every_field() -> None:
    shown: dict[str, set[str]] = {}
    for _, payload in golden(SCHEMA_VERSION):
        told = json.loads(payload)
        shown.setdefault(told.pop("kind"), set()).update(told)
    assert shown == {
        kind: {field.name for field in msgspec.structs.fields(struct)}
        for kind, struct in KINDS.items()
    }


numbers = st.decimals(allow_nan=False, allow_infinity=False, places=None) | st.builds(
    lambda digits, exponent: Decimal(digits).scaleb(exponent),
    st.integers(-(10**30), 10**30),
    st.integers(-40, 12),
)


def fill(**changes: Any) -> Fill:
    given: dict[str, Any] = {
        "venue": "v",
        "account": "a",
        "ts_ns": 1,
        "instrument": "I",
        "side": "buy",
        "px": Decimal(1),
        "qty": Decimal(1),
        **changes,
    }
    return Fill(**given)


@given(numbers, numbers, numbers)
def test_one_number_has_one_encoding_and_keeps_its_value(
    px: Decimal, fee: Decimal, again: Decimal
) -> None:
    fact = fill(px=px, fee=fee, mid_px=again)
    told = json.loads(encode(fact))
    for name, number in (("px", px), ("fee", fee), ("mid_px", again)):
        text = told[name]
        digits = text.partition("E")[0]
        assert Decimal(text) == number
        assert "E+" not in text and not (text.startswith("-") and not Decimal(text))
        assert not ("." in digits and digits.endswith(("0", ".")))
    assert decode(encode(fact)) == fact
    assert canonical(canonical(fact)) == canonical(fact)


@given(st.integers(-(10**12), 10**12), st.integers(-5, 15), st.integers(0, 6))
def test_trailing_zeros_and_exponents_do_not_make_another_claim(
    digits: int, scale: int, zeros: int
) -> None:
    plain_number = Decimal(digits).scaleb(-scale)
    padded = Decimal(digits * 10**zeros).scaleb(-scale - zeros)
    nested = Correction(
        venue="v",
        account="a",
        ts_ns=1,
        target_key="k",
        action="replace",
        replacement=fill(qty=padded),
    )
    assert encode(fill(qty=plain_number)) == encode(fill(qty=padded))
    assert encode(nested) == encode(
        msgspec.structs.replace(nested, replacement=fill(qty=plain_number))
    )


@given(st.lists(st.builds(fill, px=numbers, fill_id=st.text(max_size=5)), max_size=6))
def test_many_at_once_is_one_by_one(facts: list[Fill]) -> None:
    payloads = encode_rows(facts)
    assert payloads == [encode(fact) for fact in facts]
    assert decode_rows([payload.decode() for payload in payloads]) == facts


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "{",
        "null",
        '{"kind":"fill"}',
        '{"kind":"gossip","venue":"v","account":"a","ts_ns":1}',
        '{"kind":"transfer","venue":"v","account":"a","ts_ns":1,"amount":"one","asset":"USD"}',
        '{"kind":"transfer","venue":"v","account":"a","ts_ns":1.5,"amount":"1","asset":"USD"}',
    ],
)
def test_what_is_no_fact_is_damage(payload: str) -> None:
    whole = encode(
        Funding(venue="v", account="a", ts_ns=1, instrument="I", amount=Decimal(1), asset="USD")
    )
    with pytest.raises(BookDamagedError) as caught:
        decode(payload)
    assert caught.value.next_step
    with pytest.raises(BookDamagedError):
        decode_rows([whole.decode(), payload, whole.decode()])


def test_two_facts_in_one_place_are_damage() -> None:
    one = encode(fill()).decode()
    with pytest.raises(BookDamagedError):
        decode_rows([f"{one},{one}"])
