"""Makes a failing world smaller: fewer throws, and lower ones, as long as it still fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

_ATTEMPTS = 400

Fails = Callable[[Sequence[int]], bool]
"""Whether the world of these throws fails."""


def smaller(throws: Sequence[int], fails: Fails) -> list[int]:
    """The simplest throws found that still fail."""
    best, attempts = list(throws), 0
    candidates = _simpler(best)
    while attempts < _ATTEMPTS and (candidate := next(candidates, None)) is not None:
        attempts += 1
        if fails(candidate):
            best = candidate
            candidates = _simpler(best)
    return best


def _simpler(throws: list[int]) -> Iterator[list[int]]:
    """Runs of throws left out, the longest first; then single throws lowered."""
    size = len(throws) // 2
    while size:
        for start in range(0, len(throws), size):
            yield throws[:start] + throws[start + size :]
        size //= 2
    for position, number in enumerate(throws):
        for lower in sorted({0, number // 2, number - 1} - {number, -1}):
            yield [*throws[:position], lower, *throws[position + 1 :]]
