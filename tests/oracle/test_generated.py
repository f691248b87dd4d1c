"""A run with pauses equals the run with every gate approved at once, in any workflow.

Each case is a world that follows from one number, its seed. The usual ones are
the same for everybody; `INTERLOCK_ORACLE_CASES=50000` plays more of them, and
`INTERLOCK_ORACLE_SEED=7` begins with another one. A world that shows a fault is
made smaller, and printed with the line that plays it again.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Sequence

import pytest
from tests.oracle.building import build
from tests.oracle.playing import (
    Playing,
    all_of_them,
    one_by_one,
    play_straight,
    some_of_them,
)
from tests.oracle.smaller import smaller
from tests.oracle.stories import differences
from tests.oracle.tally import FEATURES, tally
from tests.oracle.watching import Log
from tests.oracle.worlds import Dice, World, world_of

_USUAL = 2_000
_CASES = int(os.environ.get("INTERLOCK_ORACLE_CASES", _USUAL))
_FIRST = int(os.environ.get("INTERLOCK_ORACLE_SEED", 0))
_AT_ONCE = 500
_GROUPS = [
    range(start, min(start + _AT_ONCE, _FIRST + _CASES))
    for start in range(_FIRST, _FIRST + _CASES, _AT_ONCE)
]


@pytest.mark.timeout(900)  # A failing world is played again and again to make it smaller.
@pytest.mark.parametrize("seeds", _GROUPS, ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_a_run_with_pauses_equals_the_run_without(seeds: range) -> None:
    found: Counter[str] = Counter()
    with asyncio.Runner() as runner:
        for seed in seeds:
            dice = Dice(seed)
            world = world_of(dice)
            try:
                found += runner.run(play_in_every_way(world))
            except AssertionError as problem:
                pytest.fail(_report(runner, seed, dice.thrown, problem), pytrace=False)
    print(f"seeds {seeds[0]} to {seeds[-1]}: {dict(sorted(found.items()))}")
    if seeds.stop <= _USUAL and len(seeds) == _AT_ONCE:
        assert not FEATURES - found.keys(), "the worlds have become too simple"


async def play_in_every_way(world: World) -> Counter[str]:
    """Compares each way of playing a world with the straight one; gives what it contained."""
    code = build(world, Log())
    reference = await play_straight(world, code)
    singly, in_handfuls = one_by_one(world.order), some_of_them(world.order)
    is_patient, delay = world.order % 3 > 0, 1_000 * (world.order % 2)
    ways = {
        "all at once": Playing(world, code, all_of_them),
        "one by one": Playing(world, code, singly, is_patient=is_patient, commit_delay=delay),
        "in new processes": Playing(world, code, in_handfuls, is_fresh=True),
    }
    for way, playing in ways.items():
        parted = differences(reference, await playing.play())
        assert not parted, f"{way}: {parted}"
    return tally(reference, ways["all at once"])


def _report(
    runner: asyncio.Runner, seed: int, thrown: Sequence[int], problem: AssertionError
) -> str:
    def fails(throws: Sequence[int]) -> bool:
        return _problem(runner, world_of(Dice(given=throws))) is not None

    world = world_of(Dice(given=smaller(thrown, fails)))
    return (
        f"{problem}\n\nSmaller, it is {_problem(runner, world)}\n\n{world}\n\n"
        f"Again: INTERLOCK_ORACLE_SEED={seed} INTERLOCK_ORACLE_CASES=1 "
        f".venv/bin/pytest {__file__}"
    )


def _problem(runner: asyncio.Runner, world: World) -> AssertionError | None:
    try:
        runner.run(play_in_every_way(world))
    except AssertionError as problem:
        return problem
    return None
