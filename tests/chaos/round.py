"""A round: servers at work for people, mischief until it is enough, and the verdict over all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.chaos.diary import Diary
from tests.chaos.fleet import STUCK_SECONDS
from tests.chaos.mischief import Mischief
from tests.chaos.stage import Stage, opened

_SERVERS = 6
_DESKS = 40
_SHOWN = 5
"""How many problems are told in full; all of them are in a file."""


class Broken(AssertionError):
    """Something that was promised does not hold; the text has all there is to understand it."""


async def play(seed: int, diary: Diary, is_enough: Callable[[], bool]) -> None:
    """Plays a round; the diary has its counts.

    Args:
        is_enough: whether there has been enough mischief.

    Raises:
        Broken: what does not hold.
    """
    async with opened(seed, diary, _SERVERS) as stage:
        await _live(stage, Mischief(stage, seed), is_enough)
        await stage.verdict.on_quiet(stage.fleet)
        await stage.clear()
        await stage.verdict.on_runs(stage.people.lives)
        stage.verdict.on_fleet(stage.fleet)
        stage.verdict.on_people(stage.people)
    _check(stage, seed)
    stage.remove()


async def _live(stage: Stage, mischief: Mischief, is_enough: Callable[[], bool]) -> None:
    """People have their runs, through all the mischief and to the end of all that was begun."""
    people, verdict = stage.people, stage.verdict
    try:
        async with asyncio.TaskGroup() as group:
            working = group.create_task(people.work(_DESKS))
            await mischief.play(is_enough)
            stage.diary.note("quiet")
            people.close()
            async with asyncio.timeout(STUCK_SECONDS):
                await working
                forgotten = [one for one in people.lives if one.fate == "forgotten"]
                await verdict.on_forgotten([one for one in forgotten if one.state == "PAUSED"])
                await people.return_to(forgotten)
    except* TimeoutError:
        stage.diary.note("stuck")
    await verdict.on_stuck(people.lives)


def _check(stage: Stage, seed: int) -> None:
    """Tells what is wrong, if anything is."""
    problems = stage.verdict.problems
    if not problems:
        return
    (stage.folder / "diary").write_text("\n".join(stage.diary.entries))
    (stage.folder / "problems").write_text("\n\n".join(problems))
    raise Broken(
        f"{len(problems)} problem(s) with INTERLOCK_CHAOS_SEED={seed}, all in {stage.folder}\n"
        f"{stage.diary.summary()}\n\n" + "\n\n".join(problems[:_SHOWN])
    )
