"""Cancelling through a server that does not hold the run, wherever in the run it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text
from tests.races.replicas import (
    assert_ended_once,
    cancel_is_stored,
    deafen,
    replicas,
    seen_everywhere,
)
from tests.support.service import Served, confirm, open_requirements
from tests.support.workbench import Ledger, Point, agent, app_of, kinds, rest, start

from interlock import v1
from interlock_server import (
    Agent,
    Loop,
    Parallel,
    Router,
    RunContext,
    ScriptedModel,
    Step,
    StepInput,
    Steps,
    Team,
    Workflow,
    call,
)
from interlock_server.executors.speakers import DELEGATE
from interlock_server.runtime.runtime import Timing

CALLERS = 99
# Chores come round so seldom that nothing here can count on them.
TIMING = Timing(lease=3_600)
# And nothing is committed that does not have to be.
LAZY = Timing(lease=3_600, commit_delay=3_600)


def _step(worker: Agent) -> Step:
    return Step(name="work", agent=worker)


def _team(worker: Agent) -> Step:
    turn = call(DELEGATE, member_name=worker.name, task="work")
    team = Team(name="team", model=ScriptedModel([turn, "done"]), members=[worker])
    return Step(name="lead", team=team)


def _inner_team(worker: Agent) -> Step:
    inner = Team(
        name="inner",
        model=ScriptedModel([call(DELEGATE, member_name=worker.name, task="work"), "done"]),
        members=[worker],
    )
    turn = call(DELEGATE, member_name="inner", task="work")
    return Step(
        name="lead", team=Team(name="outer", model=ScriptedModel([turn, "done"]), members=[inner])
    )


PLACES: dict[str, Callable[[Agent], Any]] = {
    "a step": _step,
    "a group": lambda worker: Steps(name="group", steps=[_step(worker)]),
    "a loop": lambda worker: Loop(name="loop", steps=[_step(worker)], max_iterations=2),
    "a route": lambda worker: Router(
        name="router", choices=[_step(worker)], selector=lambda given: "work"
    ),
    "a branch": lambda worker: Parallel(
        _step(worker), Step(name="beside", executor=lambda given: "beside"), name="both"
    ),
    "a workflow in the workflow": lambda worker: Workflow(name="Inner", steps=[_step(worker)]),
    "a team": _team,
    "a team in a team": _inner_team,
}


async def cancel(service: Served, run: v1.Run, reason: str = "enough") -> v1.Run:
    request = v1.CancelRunRequest(run_id=run.run_id, reason=reason)
    return (await service.runs.CancelRun(request)).run


async def resume(service: Served, run: v1.Run) -> None:
    """Says yes to everything, and does not wait for what comes of it."""
    answers = [confirm(one) for one in open_requirements(run)]
    request = v1.ContinueRunRequest(run_id=run.run_id, resolutions=answers)
    request.wait_timeout.SetInParent()
    await service.runs.ContinueRun(request)


async def states_of(service: Served, run: v1.Run) -> list[v1.RequirementState.ValueType]:
    """The states of all that the run ever asked."""
    every = [state for state in v1.RequirementState.values() if state]
    selected = v1.RequirementFilter(run_id=run.run_id, states=every)
    request = v1.ListRequirementsRequest(filter=selected)
    return [
        one.state for one in (await service.requirements.ListRequirements(request)).requirements
    ]


async def assert_cancelled(service: Served, run: v1.Run) -> None:
    run, events = await seen_everywhere(service, run)
    assert run.state == v1.RUN_STATE_CANCELLED
    assert not run.step_requirements
    assert_ended_once(run, events)
    assert events[-1].workflow_cancelled.reason == "enough"
    inbox = await service.requirements.ListRequirements(v1.ListRequirementsRequest())
    assert not inbox.requirements


@pytest.mark.parametrize("place", PLACES)
async def test_a_continued_run_starts_no_gated_call_after_a_cancel(
    database_url: str, place: str
) -> None:
    """Not even when its owner has heard nothing of that: the store says so as the call starts."""
    ledger, point = Ledger(), Point()
    calls = [call("hold"), call("act", what="next")]
    worker = agent([calls, "done"], point.tool(requires_confirmation=True), ledger.gated())
    async with replicas(app_of(PLACES[place](worker)), database_url, LAZY) as service:
        one, owner, other = service.replicas
        deafen(owner)
        paused = await one.run("Work")
        await resume(owner, paused)
        await point.entered.wait()
        cancelling = asyncio.ensure_future(cancel(other, paused))
        await cancel_is_stored(other, paused)
        point.released.set()
        assert (await cancelling).state == v1.RUN_STATE_CANCELLED
        await assert_cancelled(service, await rest(owner, paused))
        assert await states_of(one, paused) == [v1.REQUIREMENT_STATE_RESOLVED] * 2
    assert point.passed == 1
    assert ledger.calls == []


@pytest.mark.parametrize("place", PLACES)
async def test_a_running_run_does_nothing_more_once_its_cancel_is_acknowledged(
    database_url: str, place: str
) -> None:
    """Its owner hears of it at once, and not with its next look at its leases."""
    ledger, point = Ledger(), Point()
    worker = agent([call("hold"), call("look", what="next"), "done"], point.tool(), ledger.free())
    async with replicas(app_of(PLACES[place](worker)), database_url, TIMING) as service:
        owner, other, _ = service.replicas
        run = await start(owner)
        await point.entered.wait()
        await cancel(other, run)
        point.released.set()
        await assert_cancelled(service, await rest(other, run))
    assert point.passed == 1
    assert ledger.calls == []


async def test_no_effect_starts_after_any_of_many_acknowledged_cancels(database_url: str) -> None:
    """However quickly one effect follows another, and though nothing gates them."""
    happened: dict[str, list[str]] = {}

    async def act(given: StepInput, run_context: RunContext) -> str:
        happened.setdefault(run_context.run_id, []).append("effect")
        await asyncio.sleep(0)
        return "done"

    loop = Loop(name="loop", steps=[Step(name="act", executor=act)], max_iterations=1_000)
    async with replicas(app_of(loop), database_url, TIMING) as service:
        owner, other, _ = service.replicas

        async def one() -> None:
            run = await start(owner)
            while run.run_id not in happened:
                await asyncio.sleep(0)
            await cancel(other, run)
            happened[run.run_id].append("acknowledged")
            await assert_ends_cancelled(other, run)

        for _ in range(10):
            await asyncio.gather(*(one() for _ in range(10)))
    assert len(happened) == 100
    assert all(log[-1] == "acknowledged" for log in happened.values())


async def assert_ends_cancelled(service: Served, run: v1.Run) -> None:
    assert (await rest(service, run)).state == v1.RUN_STATE_CANCELLED


async def test_what_a_branch_asks_is_closed_while_another_one_works(database_url: str) -> None:
    ledger, point = Ledger(), Point()
    both = Parallel(
        Step(name="ask", agent=agent([call("act", what="it"), "done"], ledger.gated())),
        Step(name="work", executor=point.step),
        name="both",
    )
    async with replicas(app_of(both), database_url, TIMING) as service:
        owner, other, third = service.replicas
        inbox = third.requirements.WatchRequirements(v1.WatchRequirementsRequest())
        run = await start(owner)
        await point.entered.wait()
        asked = await anext(one.requirement async for one in inbox if one.HasField("requirement"))
        assert asked.state == v1.REQUIREMENT_STATE_PENDING
        await cancel(other, run)
        point.released.set()
        await assert_cancelled(service, await rest(other, run))
        closed = await anext(one.requirement async for one in inbox if one.HasField("requirement"))
        assert closed.requirement_id == asked.requirement_id
        assert closed.state == v1.REQUIREMENT_STATE_CANCELLED
        inbox.cancel()
        assert await states_of(other, run) == [v1.REQUIREMENT_STATE_CANCELLED]
    assert ledger.calls == []


async def test_a_run_that_nobody_holds_is_cancelled_by_whoever_takes_it_over(
    database_url: str,
) -> None:
    ledger, point = Ledger(), Point()

    def note(given: Any) -> str:
        ledger.calls.append("next")
        return "next"

    app = app_of(Step(name="hold", executor=point.step), Step(name="next", executor=note))
    async with replicas(app, database_url, TIMING) as service:
        owner, other, third = service.replicas
        run = await start(owner)
        await point.entered.wait()
        owner.runtime.crash()
        cancelling = asyncio.ensure_future(cancel(other, run))
        await cancel_is_stored(other, run)
        late = text("UPDATE runs SET lease_until = create_time - interval '1 hour'")
        await other.runtime.database.fetch(late)
        await third.runtime.take_over()
        await assert_cancelled(service, await rest(other, run))
        await cancelling
        point.released.set()
    # Not even the effect that was under way is begun again.
    assert ledger.calls == []


async def test_of_many_cancels_the_first_one_stands_and_all_are_told_the_same(
    database_url: str,
) -> None:
    ledger = Ledger()
    app = app_of(_step(agent([call("act", what="it"), "done"], ledger.gated())))
    async with replicas(app, database_url, TIMING) as service:
        paused = await service.run("Work")
        reasons = [f"reason {number}" for number in range(CALLERS)]
        told = await asyncio.gather(*(cancel(service, paused, reason) for reason in reasons))
        run, events = await seen_everywhere(service, paused)
        assert_ended_once(run, events)
        assert all(one == run for one in told)
        assert kinds(events).count("workflow_cancelled") == 1
        assert events[-1].workflow_cancelled.reason in reasons
        assert await states_of(service, run) == [v1.REQUIREMENT_STATE_CANCELLED]
    assert ledger.calls == []
