"""The verdict can fail: what is broken on purpose, in runs that nothing disturbed, is found."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import pytest
from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.types import LargeBinary
from tests.chaos.diary import Diary
from tests.chaos.effects import Line
from tests.chaos.people import Life
from tests.chaos.stage import Stage, opened
from tests.chaos.verdict import Verdict
from tests.oracle.worlds import is_gated

from interlock import v1

_RUNS = 24
_POLL_SECONDS = 0.05
_LOSE_EVENT = text("DELETE FROM events WHERE run_id = :run_id AND sequence = 2")
_LET_RUN = text("UPDATE runs SET state = 2, end_time = NULL WHERE run_id = :run_id")
_COPY_RUN = text("""
    INSERT INTO runs
    SELECT (jsonb_populate_record(runs, '{"run_id": "stranger"}')).* FROM runs
    WHERE run_id = :run_id
""")
_EVENTS = text("SELECT sequence, body FROM events WHERE run_id = :run_id")
_CHANGE_EVENT = text("""
    UPDATE events SET body = :body WHERE run_id = :run_id AND sequence = :sequence
""").bindparams(bindparam("body", type_=LargeBinary))


@dataclass(frozen=True)
class Scene:
    """A run that has ended, to break something in."""

    stage: Stage
    life: Life

    @property
    def lines(self) -> list[Line]:
        """What is written down of its effects."""
        return self.stage.effects.of(self.life.run_id)

    @property
    def has_steps(self) -> bool:
        """Whether a step of it gave something; a run may fail before."""
        return "step_completed" in str(self.life.played.reference.events)

    @property
    def gated(self) -> list[Line]:
        """The effects that people allowed."""
        return [one for one in self.lines if one.kind == "happens" and is_gated(one.what)]

    async def write(self, statement: TextClause, **parameters: object) -> None:
        """Changes what is stored."""
        given = {"run_id": self.life.run_id, **parameters}
        await self.stage.database.fetch(statement, given)


# Faults; each gives what the verdict has to say.


async def an_effect_happens_twice(scene: Scene) -> str:
    scene.lines.append(scene.gated[0])
    return "happened 2 times"


async def an_effect_never_happened(scene: Scene) -> str:
    scene.lines.remove(scene.gated[0])
    return "is recorded, and never happened"


async def a_model_is_told_something_else(scene: Scene) -> str:
    number = next(at for at, one in enumerate(scene.lines) if one.kind == "happens")
    told = scene.lines[number]
    scene.lines[number] = replace(told, what=f"{told.what} and a rumour")
    return "and a rumour"


async def an_event_is_lost(scene: Scene) -> str:
    await scene.write(_LOSE_EVENT)
    return "events are missing"


async def a_step_gives_something_else(scene: Scene) -> str:
    given = {"run_id": scene.life.run_id}
    for row in await scene.stage.database.fetch(_EVENTS, given):
        event = v1.RunEvent.FromString(row.body)
        if event.HasField("step_completed"):
            event.step_completed.result.output_json = json.dumps("hearsay")
            body = event.SerializeToString()
            await scene.write(_CHANGE_EVENT, sequence=row.sequence, body=body)
    return "hearsay"


async def a_run_is_held_by_nobody(scene: Scene) -> str:
    await scene.write(_LET_RUN)
    return f"run {scene.life.run_id} is RUN_STATE_RUNNING"


async def nobody_started_a_run(scene: Scene) -> str:
    await scene.write(_COPY_RUN)
    return "there are runs that nobody started {'stranger'"


async def a_watcher_misses_something(scene: Scene) -> str:
    scene.life.is_watched = True
    scene.life.seen = [1, 3]
    return "a watcher saw [1, 3]"


FAULTS: list[Callable[[Scene], Awaitable[str]]] = [
    an_effect_happens_twice,
    an_effect_never_happened,
    a_model_is_told_something_else,
    an_event_is_lost,
    a_step_gives_something_else,
    a_run_is_held_by_nobody,
    nobody_started_a_run,
    a_watcher_misses_something,
]


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_what_is_broken_is_found() -> None:
    async with opened(1, Diary(), servers=2) as stage:
        await _calm(stage)
        problems = await _problems(stage)
        assert problems == []
        lives = [one for one in stage.people.lives if one.fate == "plain"]
        seen = (Scene(stage, life) for life in lives)
        scenes = [one for one in seen if one.gated and one.has_steps]
        assert len(scenes) >= len(FAULTS), "too few runs have all that faults break"
        signs = [await fault(scene) for fault, scene in zip(FAULTS, scenes, strict=False)]
        problems = await _problems(stage)
    for fault, scene, sign in zip(FAULTS, scenes, signs, strict=False):
        found = [one for one in problems if sign in one]
        assert found, f"nobody notices that {fault.__name__}"
        assert scene.life.run_id in found[0] or fault is nobody_started_a_run
    broken = [scene.life.run_id for scene in scenes[: len(FAULTS)]]
    assert all(any(name in one for name in [*broken, "stranger"]) for one in problems)
    stage.remove()


async def _calm(stage: Stage) -> None:
    """People have their runs, and nothing disturbs them."""
    people = stage.people
    async with asyncio.TaskGroup() as group:
        group.create_task(people.work(4))
        while stage.diary.counts["runs"] < _RUNS:
            await asyncio.sleep(_POLL_SECONDS)
        people.close()
    await people.return_to([one for one in people.lives if one.fate == "forgotten"])
    await stage.clear()


async def _problems(stage: Stage) -> list[str]:
    verdict = Verdict(stage.database, stage.effects, stage.folder, Diary())
    await verdict.on_runs(stage.people.lives)
    return verdict.problems
