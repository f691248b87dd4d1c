"""Makes a failing world smaller: fewer throws, and lower ones, as long as it still fails."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

_ATTEMPTS = 2_000

Fails = Callable[[Sequence[int]], bool]
"""Whether the world of these throws fails."""


def smaller(throws: Sequence[int], fails: Fails) -> list[int]:
    """The simplest throws found that still fail."""
    attempts = itertools.count()

    def still_fails(candidate: Sequence[int]) -> bool:
        return next(attempts) < _ATTEMPTS and fails(candidate)

    best: list[int] = []
    simpler = list(throws)
    while simpler != best:
        best = simpler
        simpler = _lowered(best, still_fails)
        size = len(simpler) // 2
        while size:
            simpler = _shortened(simpler, size, still_fails)
            size //= 2
    return best


def _shortened(throws: list[int], size: int, fails: Fails) -> list[int]:
    """Leaves out runs of so many throws, wherever that is possible."""
    start = 0
    while start < len(throws):
        candidate = throws[:start] + throws[start + size :]
        if fails(candidate):
            throws = candidate
        else:
            start += size
    return throws


def _lowered(throws: list[int], fails: Fails) -> list[int]:
    """Lowers each throw, to nothing if possible."""
    for position, number in enumerate(throws):
        for lower in sorted({0, number // 2, number - 1} & set(range(number))):
            candidate = [*throws[:position], lower, *throws[position + 1 :]]
            if fails(candidate):
                throws = candidate
                break
    return throws
