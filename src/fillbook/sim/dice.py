"""Dice that fall the same on every machine: integers out of getrandbits, never a float.

`random.Random` promises its raw bit stream across versions and platforms, but not the ways its
convenience methods use it, nor that floating sums round alike. So everything random in a
simulated world is drawn here from raw bits with integer arithmetic.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

Face = TypeVar("Face")


class Dice:
    """One named stream of randomness of a world; streams of one seed are independent.

    A new stream leaves the others as they were, so adding a bot changes no price.

    >>> Dice(7, "prices").below(1000) == Dice(7, "prices").below(1000)
    True
    """

    def __init__(self, seed: int, name: str) -> None:
        digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
        self._bits = random.Random(int.from_bytes(digest, "big"))

    def below(self, limit: int) -> int:
        """Return an integer in [0, limit), each equally likely; `limit` is at least 1."""
        width = max(1, (limit - 1).bit_length())
        while True:
            drawn = self._bits.getrandbits(width)
            if drawn < limit:
                return drawn

    def between(self, low: int, high: int) -> int:
        """Return an integer in [low, high], both ends included."""
        return low + self.below(high - low + 1)

    def chance(self, in_thousand: int) -> bool:
        """Return True with the given probability in thousandths."""
        return self.below(1000) < in_thousand

    def bell(self) -> int:
        """Return a centred binomial draw: mean 0, standard deviation 4, within [-32, 32]."""
        return self._bits.getrandbits(64).bit_count() - 32

    def one_of(self, faces: Sequence[Face]) -> Face:
        """Return one of the faces, each equally likely."""
        return faces[self.below(len(faces))]

    def parts(self, whole: int, most: int) -> list[int]:
        """Cut a positive integer into one to `most` positive parts that sum to it.

        >>> sum(Dice(1, "cut").parts(10, 4))
        10
        """
        count = min(whole, self.between(1, most))
        cuts = sorted({self.between(1, whole - 1) for _ in range(count - 1)}) if whole > 1 else []
        edges = [0, *cuts, whole]
        return [high - low for low, high in pairwise(edges)]
