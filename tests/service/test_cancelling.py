"""Cancelling: a paused run at once, a running one before its next effect, an ended one not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.support.service import Served, confirm, open_requirements, served
from tests.support.workbench import (
    LAST_KINDS,
    Caller,
    Ledger,
    Point,
    agent,
    agent_app,
    app_of,
    events_of,
    get,
    kinds,
    only,
    rest,
    start,
    untouched,
)

from interlock import v1
from interlock_server import Interlock, Parallel, Step, call


async def cancel(service: Served, run: v1.Run, reason: str = "enough") -> v1.Run:
    request = v1.CancelRunRequest(run_id=run.run_id, reason=reason)
    return (await service.runs.CancelRun(request)).run


async def assert_cancelled_once(service: Served, run: v1.Run, reason: str = "enough") -> None:
    assert run.state == v1.RUN_STATE_CANCELLED
    assert run.HasField("end_time")
    assert not run.step_requirements
    events = await service.events(run)
    assert len(events) == run.last_sequence
    assert [one for one in kinds(events) if one in LAST_KINDS] == ["workflow_cancelled"]
    assert events[-1].workflow_cancelled.reason == reason


def asking(ledger: Ledger) -> Interlock:
    turn = [call("act", what="a"), call("act", what="b")]
    return agent_app([turn, "done"], ledger.gated())


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
async def test_a_paused_run_is_cancelled_at_once(database_url: str, streams: bool) -> None:
    """It stayed paused until somebody continued it (D-38)."""
    ledger = Ledger()
    async with served(asking(ledger), database_url) as service:
        paused = await Caller(service, streams).run()
        watching = asyncio.ensure_future(
            events_of(service.runs.WatchRun(v1.WatchRunRequest(run_id=paused.run_id)))
        )
        cancelled = await cancel(service, paused)
        await assert_cancelled_once(service, cancelled)
        assert cancelled.pause_kind == v1.PAUSE_KIND_UNSPECIFIED
        for one in open_requirements(paused):
            got = await service.requirements.GetRequirement(
                v1.GetRequirementRequest(requirement_id=one.requirement_id)
            )
            assert got.requirement.state == v1.REQUIREMENT_STATE_CANCELLED
            assert got.requirement.WhichOneof("subject") == "tool_execution"
            assert not got.requirement.HasField("resolution")
        # The event, and then nothing: the stream ends with it.
        assert await watching == await service.events(cancelled)
        inbox = await service.requirements.ListRequirements(v1.ListRequirementsRequest())
        assert not inbox.requirements
    assert ledger.calls == []


async def test_cancelling_again_changes_nothing(database_url: str) -> None:
    async with served(asking(Ledger()), database_url) as service:
        cancelled = await cancel(service, await service.run("Work"))
        async with untouched(service, cancelled):
            assert await cancel(service, cancelled, "another reason") == cancelled


async def test_cancelling_an_ended_run_changes_nothing(database_url: str) -> None:
    ledger = Ledger()
    async with served(asking(ledger), database_url) as service:
        run = await service.run("Work")
        ended = await service.resolve(run, *(confirm(one) for one in open_requirements(run)))
        async with untouched(service, ended):
            assert await cancel(service, ended) == ended
    async with served(agent_app([]), database_url) as service:
        failed = await service.run("Work")
        assert failed.state == v1.RUN_STATE_FAILED
        async with untouched(service, failed):
            assert await cancel(service, failed) == failed


def steps(ledger: Ledger, point: Point) -> Interlock:
    def note(given: Any) -> str:
        ledger.calls.append("next")
        return "next"

    return app_of(Step(name="hold", executor=point.step), Step(name="next", executor=note))


@pytest.mark.parametrize("where", ["here", "elsewhere"])
async def test_a_running_run_is_cancelled_before_its_next_effect(
    database_url: str, where: str
) -> None:
    ledger, point = Ledger(), Point()
    app = steps(ledger, point)
    async with served(app, database_url) as service, served(app, database_url) as other:
        run = await start(service)
        await point.entered.wait()
        running = await cancel(service if where == "here" else other, run)
        assert running.state == v1.RUN_STATE_RUNNING
        await cancel(service, run, "a second thought")
        point.released.set()
        await assert_cancelled_once(service, await rest(service, run))
    # What was under way came to its end.
    assert point.passed == 1
    assert ledger.calls == []


async def test_the_stream_of_a_cancelled_run_ends_with_that(database_url: str) -> None:
    """It ended with both a cancelled and a completed event (D-26)."""
    ledger, point = Ledger(), Point()
    async with served(steps(ledger, point), database_url) as service:
        spec = v1.RunSpec(workflow_id="Work")
        streaming = asyncio.ensure_future(
            events_of(service.runs.RunStream(v1.RunStreamRequest(spec=spec)))
        )
        await point.entered.wait()
        [run] = (await service.runs.ListRuns(v1.ListRunsRequest())).runs
        await cancel(service, run)
        point.released.set()
        events = await streaming
        assert [one for one in kinds(events) if one in LAST_KINDS] == ["workflow_cancelled"]
        await assert_cancelled_once(service, await get(service, run))


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
async def test_a_continued_run_is_cancelled_before_its_next_effect(
    database_url: str, streams: bool
) -> None:
    """Cancelling had no effect after a continue (INV-3)."""
    ledger, point = Ledger(), Point()
    turn = [call("hold"), call("act", what="next")]
    tools = [point.tool(requires_confirmation=True), ledger.gated()]
    async with served(agent_app([turn, "done"], *tools), database_url) as service:
        paused = await service.run("Work")
        answers = [confirm(one) for one in open_requirements(paused)]
        continuing = asyncio.ensure_future(Caller(service, streams).resolve(paused, *answers))
        await point.entered.wait()
        await cancel(service, paused)
        point.released.set()
        await assert_cancelled_once(service, await continuing)
    assert ledger.calls == []


async def test_a_cancelled_run_does_not_pause(database_url: str) -> None:
    """The question of a branch is withdrawn with its run, whatever the other branch still does."""
    ledger, point = Ledger(), Point()
    both = Parallel(
        Step(name="asks", agent=agent([call("act", what="it"), "done"], ledger.gated())),
        Step(name="works", executor=point.step),
        name="both",
    )
    async with served(app_of(both), database_url) as service:
        run = await start(service)
        await point.entered.wait()
        await cancel(service, run)
        point.released.set()
        ended = await rest(service, run)
        await assert_cancelled_once(service, ended)
        every = v1.RequirementFilter(
            states=[v1.REQUIREMENT_STATE_PENDING, v1.REQUIREMENT_STATE_CANCELLED]
        )
        listed = await service.requirements.ListRequirements(
            v1.ListRequirementsRequest(filter=every)
        )
        assert {one.state for one in listed.requirements} <= {v1.REQUIREMENT_STATE_CANCELLED}
    assert ledger.calls == []


async def test_a_cancelled_run_can_be_looked_at(database_url: str) -> None:
    """What it did before is still there."""
    ledger = Ledger()
    turn = [call("look", what="a"), call("act", what="b")]
    app = app_of(
        Step(name="first", executor=lambda given: "first"),
        Step(name="work", agent=agent([turn, "done"], ledger.free(), ledger.gated())),
    )
    async with served(app, database_url) as service:
        paused = await service.run("Work", input_json='"go"', labels={"a": "b"}, session_id="s")
        cancelled = await cancel(service, paused)
        for name in ("input_json", "session_id", "workflow_id", "workflow_version", "labels"):
            assert getattr(cancelled, name) == getattr(paused, name)
        assert cancelled.step_results == paused.step_results
        assert [one.step.name for one in cancelled.step_results] == ["first"]
    assert ledger.calls == ["a"]


async def test_a_hundred_cancels_and_a_decision_agree_on_one_end(database_url: str) -> None:
    ledger = Ledger()
    async with served(
        agent_app([call("act", what="it"), "done"], ledger.gated()), database_url
    ) as service:
        paused = await service.run("Work")
        await asyncio.gather(
            *(cancel(service, paused) for _ in range(50)),
            service.resolve(paused, confirm(only(paused))),
            *(cancel(service, paused) for _ in range(50)),
            return_exceptions=True,
        )
        ended = await rest(service, paused)
        events = kinds(await service.events(ended))
        assert len([one for one in events if one in LAST_KINDS]) == 1
        assert events[-1] in LAST_KINDS
        if ended.state == v1.RUN_STATE_COMPLETED:
            assert ledger.calls == ["it"]
        else:
            assert ended.state == v1.RUN_STATE_CANCELLED
