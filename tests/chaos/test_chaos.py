"""Servers are killed, frozen, replaced and cut off, with their database and their clients, and
nothing that was promised breaks.

`INTERLOCK_CHAOS_SEED=7` plays another round, `INTERLOCK_CHAOS_KILLS=200` a longer one; `make soak`
plays as many as it is told.
"""

from __future__ import annotations

import os

import pytest
from tests.chaos.diary import Diary
from tests.chaos.round import play

_SEED = int(os.environ.get("INTERLOCK_CHAOS_SEED", "1"))
_ENOUGH = {
    "kills": int(os.environ.get("INTERLOCK_CHAOS_KILLS", "60")),
    "stops": 3,
    "freezes": 5,
    "database restarts": 2,
    "client cuts": 5,
}


@pytest.mark.slow
@pytest.mark.timeout(1_800)
async def test_runs_end_as_they_should_whatever_happens_to_servers() -> None:
    diary = Diary()
    await play(_SEED, diary, lambda: all(diary.counts[one] >= _ENOUGH[one] for one in _ENOUGH))
    print(f"seed {_SEED}: {diary.summary()}")
