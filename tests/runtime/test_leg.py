"""Legs that meet what nobody foresaw: the run ends and says so, and is not begun for ever."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import text
from tests.support.clock import Clock
from tests.support.service import confirm, open_requirements, reject, served
from tests.support.workbench import Ledger, agent, agent_app, app_of, kinds, only, rest

from interlock import v1
from interlock_server import Condition, Loop, Parallel, Step, call
from interlock_server.executors.registry import Registry
from interlock_server.runtime import leg
from interlock_server.runtime.runtime import Timing
from interlock_server.store.commits import run_commit
from interlock_server.store.database import Database
from interlock_server.store.journal import memory_load
from interlock_server.store.records import Change, Progress


async def test_a_run_whose_progress_cannot_be_stored_fails_and_names_no_inner_thing(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger()
    async with served(agent_app([call("act"), "done"], ledger.gated()), database_url) as service:
        paused = await service.run("Work")

        async def refusing(database: Any, lease: Any, progress: Progress, *more: Any) -> Any:
            if any(one.value and "did" in one.value for one in progress.entries):
                raise RuntimeError("secret")
            return await run_commit(database, lease, progress, *more)

        monkeypatch.setattr(leg, "run_commit", refusing)
        ended = await service.resolve(paused, confirm(only(paused)))
        happened = kinds(await service.events(ended))
    assert ended.state == v1.RUN_STATE_FAILED
    assert ended.error.reason == "INTERNAL"
    assert ended.error.metadata["error_id"]
    assert "secret" not in str(ended)
    assert happened[-1] == "workflow_failed"


async def test_what_such_a_run_still_asks_is_closed_with_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger()
    gated = Step(name="gated", agent=agent([call("act"), "done"], ledger.gated()))

    async def refusing(database: Any, lease: Any, progress: Progress, *more: Any) -> Any:
        kinds_now = {one.event.WhichOneof("event") for one in progress.events}
        if "workflow_paused" in kinds_now and not progress.questions:
            raise RuntimeError("secret")
        return await run_commit(database, lease, progress, *more)

    both = Parallel(gated, Step(name="free", executor=lambda given: "free"), name="both")
    async with served(app_of(both), database_url) as service:
        paused = await service.run("Work")
        assert len(open_requirements(paused)) == 1
        monkeypatch.setattr(leg, "run_commit", refusing)
        begun = text("UPDATE runs SET state = 2, pause_kind = 0")
        await service.runtime.database.fetch(begun)
        await service.runtime.take_over()
        ended = await rest(service, paused)
        assert ended.state == v1.RUN_STATE_FAILED
        requirement = await service.requirements.GetRequirement(
            v1.GetRequirementRequest(requirement_id=only(paused).requirement_id)
        )
    assert requirement.requirement.state == v1.REQUIREMENT_STATE_CANCELLED
    assert ledger.calls == []


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_question_that_cancels_its_run_while_a_leg_is_being_loaded_cancels_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    clock, ledger = Clock(), Ledger()
    timed = ledger.gated("timed", requires_confirmation=True, timeout=60)
    steps = [
        Step(name="one", agent=agent([call("act"), "done"], ledger.gated())),
        Step(name="two", agent=agent([call("timed"), "done"], timed, name="two")),
    ]
    app = app_of(Parallel(*steps, name="both"))
    async with clock.serving(app, database_url, servers=3) as service:
        _, owner, other = service.replicas  # The first one remembers the run, and reads nothing.
        paused = await service.run("Work")
        first, _ = open_requirements(paused)

        async def expire() -> None:
            clock.pass_by(60)
            await other.runtime.fire_timers()

        async def loading(database: Database, run_id: str) -> Any:
            if moment == "before":
                await expire()
            memory = await memory_load(database, run_id)
            if moment == "after":
                await expire()
            return memory

        monkeypatch.setattr(leg, "memory_load", loading)
        async with asyncio.timeout(60):
            await owner.resolve(paused, reject(first))
            ended = await rest(service, paused)
        happened = kinds(await service.events(ended))
    assert ended.state == v1.RUN_STATE_CANCELLED
    assert happened[-1] == "workflow_cancelled"
    assert ledger.calls == []


async def test_a_run_that_fails_inside_while_progress_is_being_stored_ends_at_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end must wait for that progress, and not be taken for the word of a stale owner."""
    is_storing, is_broken, is_stored = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def broken(*_: Any) -> bool:
        await is_storing.wait()
        is_broken.set()
        raise RuntimeError("secret")

    async def slow(database: Any, lease: Any, progress: Any, change: Change, *more: Any) -> Any:
        if change.state == v1.RUN_STATE_FAILED:
            await is_stored.wait()
            return await run_commit(database, lease, progress, change, *more)
        if not any(one.event.HasField("step_completed") for one in progress.events):
            return await run_commit(database, lease, progress, change, *more)
        is_storing.set()
        await is_broken.wait()
        committed = await run_commit(database, lease, progress, change, *more)
        is_stored.set()
        return committed

    async def held(given: Any) -> bool:
        raise AssertionError("nobody asks it")

    monkeypatch.setattr(Registry, "evaluate", broken)
    monkeypatch.setattr(leg, "run_commit", slow)
    first = Step(name="first", executor=lambda given: "first")
    second = Condition(name="second", evaluator=held, steps=[first])
    eager = Timing(lease=1e6, commit_delay=0)
    async with served(app_of(first, second), database_url, eager, servers=1) as service:
        async with asyncio.timeout(60):
            ended = await service.run("Work")
    assert (ended.state, ended.error.reason) == (v1.RUN_STATE_FAILED, "INTERNAL")
    assert [one.step.name for one in ended.step_results] == ["first"]


async def test_a_run_whose_effects_never_wait_gives_way_to_its_commits(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would hold up everybody else, and be seen by nobody before its end."""
    commits: list[int] = []

    async def counting(database: Any, lease: Any, progress: Progress, *more: Any) -> Any:
        commits.append(len(progress.entries))
        return await run_commit(database, lease, progress, *more)

    async def instant(given: Any) -> str:
        return "done"

    monkeypatch.setattr(leg, "run_commit", counting)
    many = Loop(name="many", steps=[Step(name="one", executor=instant)], max_iterations=200)
    async with served(app_of(many), database_url, Timing(commit_delay=0)) as service:
        ended = await service.run("Work")
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert sum(commits) == 200
    assert len(commits) > 1
