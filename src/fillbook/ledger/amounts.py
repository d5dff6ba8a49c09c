"""Columns of 128-bit money as numpy arrays of shape (n, 2): `[hi, lo]`, exact both ways.

A number is `hi * 2**64 + lo`, with `hi` signed and `lo` read as unsigned (its bits are stored in
an int64). Sums are exact Python integers of any size; only `to_floats` leaves exactness, for
statistics. This module needs no numba, so reading a finished ledger stays quick.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Wide = NDArray[np.int64]
_MASK = 2**64 - 1
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def to_ints(amounts: Wide) -> list[int]:
    """Return the numbers of an (n, 2) column as Python integers.

    >>> to_ints(from_ints([5, -1]))
    [5, -1]
    """
    high = amounts[:, 0].tolist()
    low = amounts[:, 1].tolist()
    return [(h << 64) + (w & _MASK) for h, w in zip(high, low, strict=True)]


def to_int(amount: Wide) -> int:
    """Return one `[hi, lo]` pair as a Python integer.

    >>> to_int(from_ints([-7])[0])
    -7
    """
    return (int(amount[0]) << 64) + (int(amount[1]) & _MASK)


def from_ints(numbers: Iterable[int]) -> Wide:
    """Return an (n, 2) column; OverflowError for a number outside 128 bits.

    >>> from_ints([1, -1]).tolist()
    [[0, 1], [-1, -1]]
    """
    rows = list(numbers)
    raw = b"".join(number.to_bytes(16, "little", signed=True) for number in rows)
    pairs = np.frombuffer(raw, dtype="<i8").reshape(len(rows), 2)
    return np.ascontiguousarray(pairs[:, ::-1])


def total(amounts: Wide) -> int:
    """Return the exact sum of a column: (n, 2) money, or (n,) plain int64.

    Words are summed as 32-bit limbs, which cannot overflow below 2**31 rows.

    >>> total(from_ints([2**126, 2**126, -1])) == 2**127 - 1
    True
    >>> total(np.array([2**62, 2**62], dtype=np.int64)) == 2**63
    True
    """
    if amounts.ndim == 1:
        return _total_signed(amounts)
    low = amounts[:, 1].view(np.uint64)
    below = int((low & _LOW).sum()) + (int((low >> _HALF).sum()) << 32)
    return (_total_signed(amounts[:, 0]) << 64) + below


def _total_signed(words: NDArray[np.int64]) -> int:
    """Return the exact sum of signed 64-bit words."""
    return int((words & 0xFFFFFFFF).sum()) + (int((words >> 32).sum()) << 32)


def add_arrays(left: Wide, right: Wide) -> Wide:
    """Return the row-wise sums of two columns; OverflowError where one leaves 128 bits.

    >>> to_ints(add_arrays(from_ints([2**64 - 1, -1]), from_ints([1, -1])))
    [18446744073709551616, -2]
    """
    low = left[:, 1].view(np.uint64) + right[:, 1].view(np.uint64)
    carry = (low < left[:, 1].view(np.uint64)).astype(np.int64)
    partial = left[:, 0] + right[:, 0]
    high = partial + carry
    # Signs of the inputs agree and differ from the sum's: the true sum has left 128 bits. Both
    # steps wrap, and wrapping twice back into range is no overflow, so only the end counts.
    if bool((((left[:, 0] ^ high) & (right[:, 0] ^ high)) < 0).any()):
        raise OverflowError("a sum of money leaves 128 bits")
    return np.stack([high, low.view(np.int64)], axis=1)


def negated(amounts: Wide) -> Wide:
    """Return the numbers of a column with opposite signs; OverflowError for -2**127.

    >>> to_ints(negated(from_ints([5, 0, -(2**64)])))
    [-5, 0, 18446744073709551616]
    """
    low = ~amounts[:, 1].view(np.uint64) + np.uint64(1)
    high = ~amounts[:, 0] + (low == 0)
    if bool(((amounts[:, 0] < 0) & (high < 0)).any()):
        raise OverflowError("the negative of -2**127 leaves 128 bits")
    return np.stack([high, low.view(np.int64)], axis=1)


def products(left: NDArray[np.int64], right: NDArray[np.int64]) -> Wide:
    """Return the row-wise products of two int64 columns as 128-bit numbers.

    >>> to_ints(products(np.array([2**62, -3]), np.array([2**62, 7]))) == [2**124, -21]
    True
    """
    # The magnitude of -2**63 is right as an unsigned word.
    ours, theirs = (np.abs(side).view(np.uint64) for side in (left, right))
    ours_low, ours_high = ours & _LOW, ours >> _HALF
    theirs_low, theirs_high = theirs & _LOW, theirs >> _HALF
    low, cross, other = ours_low * theirs_low, ours_high * theirs_low, ours_low * theirs_high
    middle = (low >> _HALF) + (cross & _LOW) + (other & _LOW)
    high = ours_high * theirs_high + (cross >> _HALF) + (other >> _HALF) + (middle >> _HALF)
    magnitude = np.stack([high, (low & _LOW) | (middle << _HALF)], axis=1).view(np.int64)
    negative = (left < 0) != (right < 0)
    magnitude[negative] = negated(magnitude[negative])
    return magnitude


def to_floats(amounts: Wide, scale: int = 18) -> NDArray[np.float64]:
    """Return a column as floats of number / 10**scale, for statistics only.

    Right to a few units in the last place of the float, small negatives included.

    >>> to_floats(from_ints([-5, 15 * 10**17])).tolist()
    [-5e-18, 1.5]
    """
    negative = amounts[:, 0] < 0
    # The magnitude first: hi * 2**64 and lo of a small negative number would cancel to zero.
    flipped = np.where(negative[:, None], ~amounts, amounts)
    low = flipped[:, 1].view(np.uint64) + negative.astype(np.uint64)
    high = flipped[:, 0] + (negative & (low == 0))
    magnitude = high.view(np.uint64).astype(np.float64) * 2.0**64 + low.astype(np.float64)
    signed: NDArray[np.float64] = np.where(negative, -magnitude, magnitude)
    return signed / 10.0**scale
