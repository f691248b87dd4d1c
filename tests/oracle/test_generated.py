"""A run with pauses equals the run with every gate approved at once, in any workflow.

A world that shows a fault is made smaller, and printed with the line that plays
it again. `tests/oracle/cases.py` says how to play more worlds, or others.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest
from tests.oracle.building import build
from tests.oracle.cases import CASES, USUAL, again, group_name, groups
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

_AT_ONCE = 500


@pytest.mark.timeout(900)  # A failing world is played again and again to make it smaller.
@pytest.mark.parametrize("seeds", groups(CASES, _AT_ONCE), ids=group_name)
def test_a_run_with_pauses_equals_the_run_without(seeds: range) -> None:
    found: Counter[str] = Counter()
    with asyncio.Runner() as runner:
        for seed in seeds:
            dice = Dice(seed)
            world = world_of(dice)
            try:
                found += runner.run(play_in_every_way(world))
            except AssertionError:
                pytest.fail(_report(runner, seed, dice.thrown), pytrace=False)
    print(f"seeds {group_name(seeds)}: {dict(sorted(found.items()))}")
    if seeds.stop <= USUAL and len(seeds) == _AT_ONCE:
        # Chance may leave one of the rarest out of five hundred worlds, not two.
        lacking = sorted(FEATURES - found.keys())
        assert len(lacking) <= 1, f"the worlds have become too simple: {lacking}"


async def play_in_every_way(world: World) -> Counter[str]:
    """Compares each way of playing a world with the straight one; gives what it contained."""
    code = build(world, Log())
    reference = await play_straight(world, code)
    singly, in_handfuls = one_by_one(world.order), some_of_them(world.order)
    is_patient, delay = world.order % 3 > 0, 1_000 * (world.order % 2)
    ways = {
        "all at once": Playing(world, code, all_of_them, replays=world.order % 2 > 0),
        "one by one": Playing(world, code, singly, is_patient=is_patient, commit_delay=delay),
        "in new processes": Playing(world, code, in_handfuls, is_fresh=True),
    }
    for way, playing in ways.items():
        parted = differences(reference, await playing.play())
        assert not parted, f"{way}, {parted}"
    return tally(reference, ways["all at once"])


def _report(runner: asyncio.Runner, seed: int, thrown: Sequence[int]) -> str:
    """The simplest world found that fails like that of the seed."""

    def fails(throws: Sequence[int]) -> bool:
        return _problem(runner, world_of(Dice(given=throws))) is not None

    world = world_of(Dice(given=smaller(thrown, fails)))
    return f"{world}\n\n{_problem(runner, world)}\n\n{again(seed, __file__)}"


def _problem(runner: asyncio.Runner, world: World) -> AssertionError | None:
    try:
        runner.run(play_in_every_way(world))
    except AssertionError as problem:
        return problem
    return None
