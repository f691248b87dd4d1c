"""`make soak`: rounds of chaos, one after the other, until it was enough."""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
import time
from collections import Counter

from tests.chaos.diary import Diary
from tests.chaos.round import Broken, play

_KILLS_PER_ROUND = 100
_PROGRESS_SECONDS = 5.0


class Soak:
    """Rounds, each with a seed of its own, until there were so many kills or the time is over."""

    def __init__(self, seed: int, kills: float, seconds: float) -> None:
        self.seed = seed
        self._kills = kills
        self._seconds = seconds
        self._start = time.monotonic()
        self._before: Counter[str] = Counter()
        self._diary = Diary()

    async def run(self) -> None:
        """Plays the rounds, and says every few seconds how far it is.

        Raises:
            Broken: what does not hold.
        """
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
        progress = asyncio.create_task(self._progress())
        try:
            while not self._is_enough():
                await play(self.seed, self._diary, self._is_round_enough)
                self._before += self._diary.counts
                self._diary = Diary()
                self.seed += 1
        finally:
            progress.cancel()

    def summary(self) -> str:
        """The counts of all rounds."""
        counts = self._before + self._diary.counts
        return ", ".join(f"{name} {number}" for name, number in sorted(counts.items()))

    def _is_round_enough(self) -> bool:
        return self._diary.counts["kills"] >= _KILLS_PER_ROUND or self._is_enough()

    def _is_enough(self) -> bool:
        kills = self._before["kills"] + self._diary.counts["kills"]
        return kills >= self._kills or time.monotonic() - self._start >= self._seconds

    async def _progress(self) -> None:
        while True:
            await asyncio.sleep(_PROGRESS_SECONDS)
            seconds = time.monotonic() - self._start
            print(f"{seconds:.0f} s, seed {self.seed}: {self.summary()}", flush=True)


def _soak() -> int:
    parser = argparse.ArgumentParser(prog="make soak")
    parser.add_argument("--kills", type=float, default=float("inf"))
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    given = parser.parse_args()
    if given.kills == given.seconds:
        given.kills = _KILLS_PER_ROUND
    soak = Soak(given.seed, given.kills, given.seconds)
    print(f"seed {given.seed}", flush=True)
    try:
        asyncio.run(soak.run())
    except Broken as broken:
        print(broken)
        return 1
    print(f"seeds {given.seed} to {soak.seed - 1}: {soak.summary()}")
    return 0


if __name__ == "__main__":
    sys.exit(_soak())
