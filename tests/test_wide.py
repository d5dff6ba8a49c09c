"""The 128-bit operations against Python's own integers, at every boundary and at random."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from fillbook.ledger import wide
from fillbook.ledger.amounts import from_ints, to_ints

MIN64, MAX64 = -(2**63), 2**63 - 1
MIN128, MAX128 = -(2**127), 2**127 - 1
EDGES = sorted(
    {
        sign * (2**power + near)
        for power in (0, 1, 31, 32, 33, 62, 63, 64, 65, 95, 96, 126, 127)
        for near in (-2, -1, 0, 1, 2)
        for sign in (1, -1)
    }
    | {0, 10**18, 10**36, MIN128, MAX128}
)
EDGES_64 = [edge for edge in EDGES if MIN64 <= edge <= MAX64]
EDGES_128 = [edge for edge in EDGES if MIN128 <= edge <= MAX128]


def numbers(rng: random.Random, bits: int, count: int) -> list[int]:
    """Numbers of every size up to `bits`, of both signs."""
    return [rng.choice((1, -1)) * rng.getrandbits(rng.randint(1, bits - 1)) for _ in range(count)]


def half_even(dividend: int, divisor: int) -> int:
    """Round half to even, said with comparisons instead of the remainder's double."""
    if divisor < 0:
        dividend, divisor = -dividend, -divisor
    low = dividend // divisor
    below, above = dividend - low * divisor, (low + 1) * divisor - dividend
    if below != above:
        return low if below < above else low + 1
    return low if low % 2 == 0 else low + 1


@cache
def compiled() -> dict[str, Callable[..., Any]]:
    """Compiled loops over rows (a[n, 2], b[n, 2], out[n, 2], told[n]); b may be one low word."""

    def row_loop(operation: Any) -> Callable[..., Any]:
        @njit(error_model="numpy")
        def loop(a, b, out, told):  # type: ignore[no-untyped-def]
            for i in range(len(a)):
                hi, lo, bad = operation(a[i, 0], np.uint64(a[i, 1]), b[i, 0], np.uint64(b[i, 1]))
                out[i, 0] = hi
                out[i, 1] = np.int64(lo)
                told[i] = bad

        return loop  # type: ignore[no-any-return]

    @njit
    def mul64(ahi, alo, bhi, blo):  # type: ignore[no-untyped-def]
        hi, lo = wide.mul64(np.int64(alo), np.int64(blo))
        return hi, lo, False

    @njit
    def add128(ahi, alo, bhi, blo):  # type: ignore[no-untyped-def]
        return wide.add128(ahi, alo, bhi, blo)

    @njit
    def sub128(ahi, alo, bhi, blo):  # type: ignore[no-untyped-def]
        return wide.sub128(ahi, alo, bhi, blo)

    @njit
    def mul128x64(ahi, alo, bhi, blo):  # type: ignore[no-untyped-def]
        return wide.mul128x64(ahi, alo, np.int64(blo))

    @njit
    def divide_half_even(ahi, alo, bhi, blo):  # type: ignore[no-untyped-def]
        hi, lo = wide.divide_half_even(ahi, alo, np.int64(blo))
        return hi, lo, False

    @njit
    def apply_sign(ahi, alo, bhi, blo):  # type: ignore[no-untyped-def]
        hi, lo = wide.apply_sign(ahi, alo, np.int64(blo))
        return hi, lo, False

    @njit
    def add64(ahi, alo, bhi, blo):  # type: ignore[no-untyped-def]
        word, bad = wide.add64(np.int64(alo), np.int64(blo))
        return word >> 63, np.uint64(word), bad

    operations = (mul64, add128, sub128, mul128x64, divide_half_even, apply_sign, add64)
    return {operation.__name__: row_loop(operation) for operation in operations}


def apply(name: str, a: Sequence[int], b: Sequence[int]) -> list[tuple[int, bool]]:
    """Run one operation on pairs of numbers; rows are (result, overflow told)."""
    out = np.zeros((len(a), 2), np.int64)
    told = np.zeros(len(a), np.bool_)
    compiled()[name](from_ints(a), from_ints(b), out, told)
    return list(zip(to_ints(out), told.tolist(), strict=True))


def pairs(left: list[int], right: list[int], seed: int) -> tuple[list[int], list[int]]:
    """All pairs of edges, and random ones."""
    rng = random.Random(seed)
    bits = (128 if max(left) > MAX64 else 64, 128 if max(right) > MAX64 else 64)
    a = [x for x in left for _ in right] + numbers(rng, bits[0], 20_000)
    b = [y for _ in left for y in right] + numbers(rng, bits[1], 20_000)
    return a, b


def fits(number: int, bits: int) -> bool:
    return -(2 ** (bits - 1)) <= number < 2 ** (bits - 1)


@pytest.mark.parametrize(
    ("name", "exact", "left", "right"),
    [
        ("mul64", lambda a, b: a * b, EDGES_64, EDGES_64),
        ("add128", lambda a, b: a + b, EDGES_128, EDGES_128),
        ("sub128", lambda a, b: a - b, EDGES_128, EDGES_128),
        ("mul128x64", lambda a, b: a * b, EDGES_128, EDGES_64),
    ],
)
def test_operation_is_exact_or_tells_overflow(
    name: str, exact: Callable[[int, int], int], left: list[int], right: list[int]
) -> None:
    a, b = pairs(left, right, seed=1)
    told_count = 0
    for x, y, (result, told) in zip(a, b, apply(name, a, b), strict=True):
        expected = exact(x, y)
        assert told == (not fits(expected, 128)), (name, x, y)
        if not told:
            assert result == expected, (name, x, y)
        told_count += told
    # the edges must have reached the far side of the range too
    assert (told_count > 0) == (name != "mul64")


def test_add64_is_exact_or_tells_overflow() -> None:
    a, b = pairs(EDGES_64, EDGES_64, seed=2)
    for x, y, (result, told) in zip(a, b, apply("add64", a, b), strict=True):
        assert told == (not fits(x + y, 64)), (x, y)
        assert told or result == x + y, (x, y)


def test_division_rounds_half_to_even_at_every_boundary() -> None:
    divisors = [edge for edge in EDGES_64 if edge > 0] + [10**power for power in range(19)]
    a, b = pairs(EDGES_128, divisors, seed=3)
    b = [abs(y) or 1 for y in b]
    for divisor in divisors:  # exact ties and their neighbours
        for quotient in (0, 1, 2, 3, 2**62, 2**63 - 1):
            tie = quotient * divisor + divisor // 2
            a += [tie - 1, tie, tie + 1, -tie - 1, -tie, -tie + 1]
            b += [divisor] * 6
    kept = [(x, y) for x, y in zip(a, b, strict=True) if fits(x, 128)]
    a, b = [x for x, _ in kept], [y for _, y in kept]
    for x, y, (result, _) in zip(a, b, apply("divide_half_even", a, b), strict=True):
        assert result == half_even(x, y), (x, y)


def test_a_sign_is_applied_at_every_boundary() -> None:
    same = apply("apply_sign", EDGES_128, [0] * len(EDGES_128))
    other = apply("apply_sign", EDGES_128, [-1] * len(EDGES_128))
    assert [number for number, _ in same] == EDGES_128
    # read as unsigned, the negative of -2**127 is right as well
    assert [number % 2**128 for number, _ in other] == [-x % 2**128 for x in EDGES_128]


@cache
def shares() -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    """Compiled loops over (x[n, 2], part[n], whole[n], out[n, 2], told[n]) and the reciprocal."""

    @njit(error_model="numpy")
    def half(x, part, whole, out, told):  # type: ignore[no-untyped-def]
        for i in range(len(x)):
            hi, lo, bad = wide.share_half_even(x[i, 0], np.uint64(x[i, 1]), part[i], whole[i])
            out[i, 0] = hi
            out[i, 1] = np.int64(lo)
            told[i] = bad

    @njit(error_model="numpy")
    def floor(x, part, whole, out, rest):  # type: ignore[no-untyped-def]
        for i in range(len(x)):
            shift = wide.leading_zeros(np.uint64(whole[i]))
            scaled = np.uint64(whole[i]) << shift
            hi, lo, left = wide.share_magnitude(
                np.uint64(x[i, 0]),
                np.uint64(x[i, 1]),
                np.uint64(part[i]) << shift,
                scaled,
                wide.reciprocal(scaled),
            )
            out[i, 0] = np.int64(hi)
            out[i, 1] = np.int64(lo)
            rest[i] = np.int64(left >> shift)

    @njit(error_model="numpy")
    def inverse(divisors, out):  # type: ignore[no-untyped-def]
        for i in range(len(divisors)):
            out[i] = wide.reciprocal(divisors[i])

    return half, floor, inverse


def test_reciprocal_is_the_exact_floor() -> None:
    rng = random.Random(4)
    top = [2**63 + near for near in range(600)] + [2**64 - 1 - near for near in range(600)]
    top += [(d9 << 55) + near for d9 in range(257, 512) for near in (-1, 0, 1)]
    top += [2**63 | rng.getrandbits(63) for _ in range(50_000)]
    top += [2**63 | (rng.getrandbits(12) << rng.randint(0, 51)) for _ in range(10_000)]
    divisors = np.array(top, dtype=np.uint64)
    out = np.zeros_like(divisors)
    shares()[2](divisors, out)
    assert out.tolist() == [(2**128 - 1) // d - 2**64 for d in top]


def test_floor_share_equals_python() -> None:
    rng = random.Random(5)
    whole = [abs(n) or 1 for n in EDGES_64 if n != MIN64] * 40
    whole += [abs(n) or 1 for n in numbers(rng, 64, 20_000)]
    part = [rng.choice((0, 1, w - 1, w // 2, rng.randrange(w))) % w for w in whole]
    x = [rng.choice((*EDGES_128, *numbers(rng, 128, 8))) for _ in whole]
    x = [abs(n) for n in x]
    out = np.zeros((len(x), 2), np.int64)
    rest = np.zeros(len(x), np.int64)
    unsigned = from_ints([n if n < 2**127 else n - 2**128 for n in x])
    shares()[1](unsigned, np.array(part), np.array(whole), out, rest)
    expected = [divmod(n * p, w) for n, p, w in zip(x, part, whole, strict=True)]
    assert [n % 2**128 for n in to_ints(out)] == [quotient for quotient, _ in expected]
    assert rest.tolist() == [remainder for _, remainder in expected]


def test_half_even_share_equals_python_or_tells_overflow() -> None:
    rng = random.Random(6)
    inside = [n for n in EDGES_64 if n != MIN64]
    part = [p for p in inside for _ in inside] + numbers(rng, 64, 30_000)
    whole = [w or 1 for _ in inside for w in inside] + [n or 1 for n in numbers(rng, 64, 30_000)]
    x = [rng.choice((rng.choice(EDGES_128), *numbers(rng, 128, 2))) for _ in part]
    out = np.zeros((len(x), 2), np.int64)
    told = np.zeros(len(x), np.bool_)
    shares()[0](from_ints(x), np.array(part), np.array(whole), out, told)
    results = zip(x, part, whole, to_ints(out), told.tolist(), strict=True)
    for n, p, w, result, bad in results:
        expected = half_even(n * p, w)
        assert bad == (not fits(expected, 128)), (n, p, w)
        assert bad or result == expected, (n, p, w)
    assert 0 < int(told.sum()) < len(x)


@given(
    st.integers(MIN128, MAX128),
    st.integers(MIN64 + 1, MAX64),
    st.integers(MIN64 + 1, MAX64).filter(bool),
)
def test_half_even_share_of_anything(x: int, part: int, whole: int) -> None:
    out = np.zeros((1, 2), np.int64)
    told = np.zeros(1, np.bool_)
    shares()[0](from_ints([x]), np.array([part]), np.array([whole]), out, told)
    expected = half_even(x * part, whole)
    assert bool(told[0]) == (not fits(expected, 128))
    assert told[0] or to_ints(out) == [expected]
