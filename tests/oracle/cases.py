"""How many worlds are played, and which: what `INTERLOCK_ORACLE_...` asks for.

Each case is a world that follows from one number, its seed. The usual ones are
the same for everybody; `INTERLOCK_ORACLE_CASES=50000` plays more of them, and
`INTERLOCK_ORACLE_SEED=7` begins with another one.
"""

from __future__ import annotations

import os

USUAL = 2_000
"""Cases of the test command."""

CASES = int(os.environ.get("INTERLOCK_ORACLE_CASES", USUAL))
FIRST = int(os.environ.get("INTERLOCK_ORACLE_SEED", 0))


def groups(count: int, at_once: int) -> list[range]:
    """The seeds of so many cases, in groups that can be played side by side."""
    end = FIRST + count
    return [range(start, min(start + at_once, end)) for start in range(FIRST, end, at_once)]


def group_name(seeds: range) -> str:
    """What a group is called in the names of tests."""
    return f"{seeds[0]}-{seeds[-1]}"


def again(seed: int, file: str) -> str:
    """The line that plays a case again."""
    command = f"INTERLOCK_ORACLE_SEED={seed} INTERLOCK_ORACLE_CASES=1 .venv/bin/pytest {file}"
    return f"seed {seed}, again: {command}"
