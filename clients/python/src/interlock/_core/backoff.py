"""How long to wait between attempts, and when to give up."""

from __future__ import annotations

from collections.abc import Callable

_SHORTEST_SECONDS = 0.1
_LONGEST_SECONDS = 10.0
_LONGEST_AFTER = 7
"""Doublings that lead from the shortest wait past the longest."""


class Backoff:
    """One outage: waits double from attempt to attempt, until it has lasted too long.

    Args:
        limit: Seconds after which to give up, counted from the first failure.
        clock: Gives seconds that never run backwards.
        random: Gives a number from 0 to 1.
    """

    def __init__(
        self, limit: float, *, clock: Callable[[], float], random: Callable[[], float]
    ) -> None:
        self._limit = limit
        self._clock = clock
        self._random = random
        self.reset()

    def reset(self) -> None:
        """The outage is over."""
        self._attempts = 0
        self._since: float | None = None

    def next(self, retry_delay: float | None) -> float | None:
        """Seconds to wait before the next attempt; None means to give up.

        Args:
            retry_delay: What the server asks for. The client waits a little longer, so
                that not all clients come back at once.
        """
        now = self._clock()
        self._since = now if self._since is None else self._since
        doubled = _SHORTEST_SECONDS * 2 ** min(self._attempts, _LONGEST_AFTER)
        self._attempts += 1
        jittered = min(doubled, _LONGEST_SECONDS) * (0.5 + self._random() / 2)
        delay = (retry_delay or 0.0) + jittered
        return delay if now + delay - self._since <= self._limit else None
