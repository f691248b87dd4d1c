"""The diary of a round: what was done to the servers and by the people, when, and how often."""

from __future__ import annotations

import time
from collections import Counter


class Diary:
    """Entries in their order, and counts of them."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.entries: list[str] = []

    def note(self, what: str, count: str = "") -> None:
        """Something was done; `count` is what it counts as."""
        self.entries.append(f"{time.time():.3f} {what}")
        if count:
            self.counts[count] += 1

    def summary(self) -> str:
        """The counts in one line."""
        return ", ".join(f"{name} {number}" for name, number in sorted(self.counts.items()))
