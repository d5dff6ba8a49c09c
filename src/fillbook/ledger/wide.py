"""128-bit integers for the kernel: pairs (hi: int64, lo: uint64), exact, with overflow told.

Additions and multiplications are single LLVM instructions on i128. Division is not: LLVM would
call a routine that is not there, and assembly would tie the book to one processor. So 128 bits
are divided by 64 in plain uint64 words, through the reciprocal of the divisor: Möller and
Granlund, "Improved division by invariant integers" (2011), algorithms 2 and 4. One reciprocal
serves all four rungs of a fill.

Everything here is for compiled code: called from Python it would wrap silently.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending, njit, types
from numba.core import cgutils

# Untyped on purpose: an intrinsic takes one argument more than its caller gives.
intrinsic: Any = extending.intrinsic
_I128 = ir.IntType(128)
_I64 = ir.IntType(64)
_WIDE = (types.int64, types.uint64)

U0 = np.uint64(0)
U1 = np.uint64(1)
_U11 = np.uint64(11)
_U13 = np.uint64(13)
_U24 = np.uint64(24)
_U31 = np.uint64(31)
_U40 = np.uint64(40)
_U47 = np.uint64(47)
_U55 = np.uint64(55)
_U63 = np.uint64(63)
_V0_DIVIDEND = np.uint64(2**19 - 3 * 2**8)
_TWO_60 = np.uint64(2**60)


def _join(builder: Any, hi: Any, lo: Any) -> Any:
    """Return the i128 of two words."""
    high = builder.shl(builder.zext(hi, _I128), ir.Constant(_I128, 64))
    return builder.or_(high, builder.zext(lo, _I128))


def _split(builder: Any, wide: Any) -> list[Any]:
    """Return the two words of an i128."""
    high = builder.trunc(builder.lshr(wide, ir.Constant(_I128, 64)), _I64)
    return [high, builder.trunc(wide, _I64)]


def _pack(context: Any, builder: Any, signature: Any, words: list[Any]) -> Any:
    return context.make_tuple(builder, signature.return_type, words)


@intrinsic
def mul64(typing_context: Any, a: Any, b: Any) -> Any:
    """Return the signed product of two int64 as (hi, lo)."""

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = builder.mul(*(builder.sext(arg, _I128) for arg in args))
        return _pack(context, builder, signature, _split(builder, wide))

    return types.Tuple(_WIDE)(types.int64, types.int64), lower


@intrinsic
def umul64(typing_context: Any, a: Any, b: Any) -> Any:
    """Return the product of two uint64 as (hi, lo), both uint64."""

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = builder.mul(*(builder.zext(arg, _I128) for arg in args))
        return _pack(context, builder, signature, _split(builder, wide))

    return types.UniTuple(types.uint64, 2)(types.uint64, types.uint64), lower


def _checked(operation: str) -> Any:
    """Return the lowering of an i128 operation that tells overflow."""

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        a = _join(builder, args[0], args[1])
        b = _join(builder, args[2], args[3])
        both = getattr(builder, operation)(a, b)
        words = [*_split(builder, builder.extract_value(both, 0)), builder.extract_value(both, 1)]
        return _pack(context, builder, signature, words)

    return lower


_CHECKED = types.Tuple((types.int64, types.uint64, types.boolean))


@intrinsic
def add128(typing_context: Any, ahi: Any, alo: Any, bhi: Any, blo: Any) -> Any:
    """Return a + b as (hi, lo, overflow)."""
    return _CHECKED(*_WIDE, *_WIDE), _checked("sadd_with_overflow")


@intrinsic
def sub128(typing_context: Any, ahi: Any, alo: Any, bhi: Any, blo: Any) -> Any:
    """Return a - b as (hi, lo, overflow)."""
    return _CHECKED(*_WIDE, *_WIDE), _checked("ssub_with_overflow")


@intrinsic
def add64(typing_context: Any, a: Any, b: Any) -> Any:
    """Return the sum of two int64 as (sum, overflow)."""

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        both = builder.sadd_with_overflow(*args)
        parts = [builder.extract_value(both, place) for place in (0, 1)]
        return _pack(context, builder, signature, parts)

    return types.Tuple((types.int64, types.boolean))(types.int64, types.int64), lower


@intrinsic
def mul128x64(typing_context: Any, hi: Any, lo: Any, factor: Any) -> Any:
    """Return (hi, lo) times an int64 as (hi, lo, overflow)."""

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        hi, lo, factor = args
        wide_factor = builder.sext(factor, _I128)
        low = builder.mul(builder.zext(lo, _I128), wide_factor)
        carry = builder.ashr(low, ir.Constant(_I128, 64))
        high = builder.add(builder.mul(builder.sext(hi, _I128), wide_factor), carry)
        word = builder.trunc(high, _I64)
        told = builder.icmp_signed("!=", builder.sext(word, _I128), high)
        return _pack(context, builder, signature, [word, builder.trunc(low, _I64), told])

    return _CHECKED(*_WIDE, types.int64), lower


@intrinsic
def apply_sign(typing_context: Any, hi: Any, lo: Any, mask: Any) -> Any:
    """Return (hi, lo) where mask is 0 and its negative where it is -1, without a branch.

    -2**127 stays what it is, which is right where the words are read as unsigned.
    """

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        mask = builder.sext(args[2], _I128)
        wide = builder.sub(builder.xor(_join(builder, args[0], args[1]), mask), mask)
        return _pack(context, builder, signature, _split(builder, wide))

    return types.Tuple(_WIDE)(*_WIDE, types.int64), lower


@intrinsic
def leading_zeros(typing_context: Any, word: Any) -> Any:
    """Return how many leading bits of a non-zero uint64 are zero."""

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctlz(args[0], cgutils.true_bit)

    return types.uint64(types.uint64), lower


@njit(forceinline=True)
def reciprocal(divisor):
    """Return floor((2**128 - 1) / divisor) - 2**64 for a uint64 whose top bit is set."""
    odd = divisor & U1
    d9 = divisor >> _U55
    d40 = (divisor >> _U24) + U1
    d63 = (divisor >> U1) + odd
    v0 = _V0_DIVIDEND // d9
    v1 = (v0 << _U11) - ((v0 * v0 * d40) >> _U40) - U1
    v2 = (v1 << _U13) + ((v1 * (_TWO_60 - v1 * d40)) >> _U47)
    error = ((v2 >> U1) & (U0 - odd)) - v2 * d63
    v3 = (v2 << _U31) + (umul64(v2, error)[0] >> U1)
    hi, lo = umul64(v3, divisor)
    carry = U1 if lo + divisor < lo else U0
    return v3 - hi - carry - divisor


@njit(forceinline=True)
def divide_step(hi, lo, divisor, inverse):
    """Return (quotient, remainder) of hi * 2**64 + lo, given hi < divisor and its reciprocal."""
    qhi, qlo = umul64(hi, inverse)
    low = qlo + lo
    quotient = qhi + hi + (U1 if low < qlo else U0) + U1
    rest = lo - quotient * divisor
    if rest > low:
        quotient -= U1
        rest += divisor
    if rest >= divisor:
        quotient += U1
        rest -= divisor
    return quotient, rest


@njit(forceinline=True)
def share_magnitude(hi, lo, part, divisor, inverse):
    """Return (hi, lo, remainder) of floor(x * part / divisor), all unsigned words.

    `divisor` has its top bit set, `part` < `divisor` is shifted by as much, and so is the
    remainder. x < 2**128.
    """
    top, low = umul64(lo, part)
    high, mid = umul64(hi, part)
    mid += top
    if mid < top:
        high += U1
    qhi, rest = divide_step(high, mid, divisor, inverse)
    qlo, rest = divide_step(rest, low, divisor, inverse)
    return qhi, qlo, rest


@njit(forceinline=True)
def round_half_even(qhi, qlo, rest, divisor):
    """Return the quotient's words, one higher where rest / divisor says so; 2 * divisor >= 2**64.

    The words may carry to 2**128 = (0, 0) only where the quotient was 2**128 - 1.
    """
    over = rest > divisor - rest or (rest == divisor - rest and (qlo & U1) == U1)
    if over:
        qlo += U1
        if qlo == U0:
            qhi += U1
    return qhi, qlo


@njit(forceinline=True)
def with_sign(qhi, qlo, negative):
    """Return a magnitude with its sign as (hi, lo, overflow)."""
    hi, lo = apply_sign(np.int64(qhi), qlo, np.int64(-1) if negative else np.int64(0))
    if negative:
        # -2**127 fits: its word is negative already
        return hi, lo, hi > 0 or (hi == 0 and (qhi | qlo) != U0)
    return hi, lo, hi < 0


@njit
def divide_half_even(hi, lo, divisor):
    """Return (hi, lo) of x / divisor rounded half to even; the divisor is a positive int64."""
    plain = np.uint64(divisor)
    shift = leading_zeros(plain)
    scaled = plain << shift
    inverse = reciprocal(scaled)
    high, mlo = apply_sign(hi, lo, hi >> 63)
    mhi = np.uint64(high)
    qhi = mhi // plain
    rest = mhi % plain
    top = (rest << shift) | ((mlo >> U1) >> (_U63 - shift))
    qlo, rest = divide_step(top, mlo << shift, scaled, inverse)
    qhi, qlo = round_half_even(qhi, qlo, rest, scaled)
    hi, lo, _ = with_sign(qhi, qlo, hi < 0)
    return hi, lo


@njit
def share_half_even(hi, lo, part, whole):
    """Return (hi, lo, overflow) of x * part / whole rounded half to even; whole is not 0.

    `part` and `whole` are int64 of any sign; neither is -2**63.
    """
    plain = np.uint64(abs(whole))
    shift = leading_zeros(plain)
    scaled = plain << shift
    inverse = reciprocal(scaled)
    high, mlo = apply_sign(hi, lo, hi >> 63)
    mhi = np.uint64(high)
    piece = np.uint64(abs(part))
    times = piece // plain
    qhi, qlo, rest = share_magnitude(mhi, mlo, (piece % plain) << shift, scaled, inverse)
    # whole multiples of x on top: x * (piece // plain)
    bhi, blo = umul64(mlo, times)
    chi, clo = umul64(mhi, times)
    bhi += clo
    bad = chi != U0 or bhi < clo
    qlo += blo
    carry = U1 if qlo < blo else U0
    qhi += carry
    bad = bad or qhi < carry
    qhi += bhi
    bad = bad or qhi < bhi
    negative = (hi < 0) != ((part < 0) != (whole < 0))
    before = qhi
    qhi, qlo = round_half_even(qhi, qlo, rest, scaled)
    hi, lo, signed_bad = with_sign(qhi, qlo, negative)
    return hi, lo, bad or signed_bad or qhi < before
