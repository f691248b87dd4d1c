"""Runs that take longer than they may: they fail, and say so, wherever they are by then."""

from __future__ import annotations

import asyncio
from datetime import UTC, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from tests.support.clock import Clock, fire, requirement_now
from tests.support.service import Served, confirm, open_requirements
from tests.support.workbench import (
    LAST_KINDS,
    Ledger,
    Point,
    agent,
    agent_app,
    app_of,
    crash,
    events_of,
    get,
    kinds,
    only,
    refused,
    resolve_one,
    rest,
    start,
    untouched,
)

from interlock import v1
from interlock_server import Interlock, Parallel, Step, Workflow, call
from interlock_server.runtime.runtime import Timing

MINUTE = Duration(seconds=60)


def asking(ledger: Ledger, run_timeout: Any = None) -> Interlock:
    """A workflow that asks about two calls."""
    turn = [call("act", what="a"), call("act", what="b")]
    work = Step(name="work", agent=agent([turn, "done"], ledger.gated()))
    return Interlock([Workflow(name="Work", steps=[work], run_timeout=run_timeout)])


def holding(point: Point, ledger: Ledger, **gates: Any) -> Interlock:
    """A call that is held, and a function after it."""

    def after(given: Any) -> str:
        ledger.calls.append("after")
        return "after"

    held = agent([call("hold"), "done"], point.tool(**gates))
    return app_of(Step(name="work", agent=held), Step(name="after", executor=after))


async def timed_out(service: Served, clock: Clock, run: v1.Run) -> v1.Run:
    """A run after a minute."""
    clock.pass_by(60)
    await fire(service)
    return await rest(service, run)


async def assert_timed_out(service: Served, run: v1.Run) -> None:
    assert run.state == v1.RUN_STATE_FAILED
    assert run.error.reason == "RUN_TIMED_OUT"
    assert run.error.message == "the run did not end within the time that it was given"
    assert run.HasField("end_time")
    assert not run.step_requirements
    events = await service.events(run)
    assert len(events) == run.last_sequence
    assert [one for one in kinds(events) if one in LAST_KINDS] == ["workflow_failed"]
    assert events[-1].workflow_failed.error == run.error
    request = v1.ListRequirementsRequest(filter=v1.RequirementFilter(run_id=run.run_id))
    assert not (await service.requirements.ListRequirements(request)).requirements


@pytest.mark.parametrize(
    ("of_workflow", "of_caller", "seconds"),
    [
        (None, None, None),
        (90, None, 90),
        (timedelta(minutes=1.5), None, 90),
        (None, 60, 60),
        (90, 60, 60),
        (90, 3_600, 3_600),
        (0.25, None, 0.25),
    ],
)
async def test_the_caller_says_how_long_or_else_the_workflow(
    database_url: str, of_workflow: Any, of_caller: int | None, seconds: float | None
) -> None:
    clock = Clock()
    async with clock.serving(asking(Ledger(), of_workflow), database_url) as service:
        spec = {"run_timeout": Duration(seconds=of_caller)} if of_caller else {}
        run = await service.run("Work", **spec)
        assert run.HasField("expire_time") == (seconds is not None)
        if seconds is not None:
            assert run.expire_time.ToDatetime(UTC) == clock.after(seconds)
            clock.pass_by(seconds - 0.1)
            async with untouched(service, run):
                await fire(service)
        shown = await service.workflows.GetWorkflow(v1.GetWorkflowRequest(workflow_id="Work"))
        assert shown.workflow.HasField("run_timeout") == (of_workflow is not None)


async def test_a_paused_run_fails_at_once(database_url: str) -> None:
    clock, ledger = Clock(), Ledger()
    async with clock.serving(asking(ledger, 60), database_url) as service:
        paused = await service.run("Work")
        waiting = open_requirements(paused)
        await resolve_one(service, confirm(waiting[0]))
        watching = asyncio.ensure_future(
            events_of(service.runs.WatchRun(v1.WatchRunRequest(run_id=paused.run_id)))
        )
        ended = await timed_out(service, clock, paused)
        await assert_timed_out(service, ended)
        assert ended.end_time.ToDatetime(UTC) == clock.time
        assert ended.expire_time == paused.expire_time
        assert await watching == await service.events(ended)
        states = [(await requirement_now(service, one)).state for one in waiting]
        assert states == [v1.REQUIREMENT_STATE_RESOLVED, v1.REQUIREMENT_STATE_CANCELLED]
        async with untouched(service, ended):
            late = await refused(service.resolve(paused, confirm(waiting[1])))
            assert late.reason == "REQUIREMENT_CANCELLED"
            bare = await refused(service.resolve(paused))
            assert bare.reason == "RUN_NOT_PAUSED"
            await fire(service)
    assert ledger.calls == []


async def test_a_held_run_fails_too(database_url: str) -> None:
    clock, ledger = Clock(), Ledger()
    async with clock.serving(asking(ledger, 60), database_url) as service:
        paused = await service.run("Work")
        for one in open_requirements(paused):
            await resolve_one(service, confirm(one), hold_run=True)
        await assert_timed_out(service, await timed_out(service, clock, paused))
    assert ledger.calls == []


@pytest.mark.parametrize("is_gated", [False, True], ids=["free", "gated"])
async def test_a_running_run_fails_before_its_next_effect(
    database_url: str, is_gated: bool
) -> None:
    clock, point, ledger = Clock(), Point(), Ledger()
    app = holding(point, ledger, requires_confirmation=is_gated)
    async with clock.serving(app, database_url) as service:
        run = await start(service, run_timeout=MINUTE)
        if is_gated:
            await resolve_one(service, confirm(only(await rest(service, run))))
        await point.entered.wait()
        clock.pass_by(60)
        await fire(service)
        assert (await get(service, run)).state == v1.RUN_STATE_RUNNING
        point.released.set()
        ended = await rest(service, run)
        await assert_timed_out(service, ended)
        # What was done is on record.
        assert "tool_call_completed" in kinds(await service.events(ended))
    assert point.passed == 1
    assert ledger.calls == []


async def test_a_run_that_ends_in_time_is_left_alone(database_url: str) -> None:
    clock, ledger = Clock(), Ledger()
    async with clock.serving(asking(ledger, 60), database_url) as service:
        paused = await service.run("Work")
        ended = await service.resolve(paused, *map(confirm, open_requirements(paused)))
        clock.pass_by(3_600)
        async with untouched(service, ended):
            await fire(service)
    assert ended.state == v1.RUN_STATE_COMPLETED


async def test_a_paused_run_fails_after_a_restart_even_without_its_code(database_url: str) -> None:
    clock, ledger = Clock(), Ledger()
    async with clock.serving(asking(ledger, 60), database_url) as service:
        paused = await service.run("Work")
    clock.pass_by(59)
    other = agent_app(["done"])
    async with clock.serving(other, database_url) as service:
        lacking = await get(service, paused)
        async with untouched(service, lacking):
            await fire(service)
        clock.pass_by(1)
        await fire(service)
        await assert_timed_out(service, await get(service, paused))


async def test_a_run_whose_process_died_fails_where_it_is_taken_up(database_url: str) -> None:
    clock, point, ledger = Clock(), Point(), Ledger()
    app, quick = holding(point, ledger), Timing(lease=10)
    async with clock.serving(app, database_url, quick) as service:
        run = await start(service, run_timeout=MINUTE)
        await point.entered.wait()
        await crash(service)
    clock.pass_by(61)
    async with clock.serving(app, database_url, quick) as service:
        await service.runtime.take_over()
        await assert_timed_out(service, await rest(service, run))
    assert point.passed == 0
    assert ledger.calls == []


async def test_a_repeated_request_does_not_turn_the_clock_back(database_url: str) -> None:
    clock = Clock()
    async with clock.serving(asking(Ledger()), database_url) as service:
        spec = v1.RunSpec(workflow_id="Work", run_timeout=MINUTE)
        request = v1.RunRequest(spec=spec, request_id="once")
        first = (await service.runs.Run(request)).run
        clock.pass_by(30)
        assert (await service.runs.Run(request)).run == first
        clock.pass_by(30)
        await fire(service)
        await assert_timed_out(service, await get(service, first))
        # And it does not start over either.
        assert (await service.runs.Run(request)).run.run_id == first.run_id


BAD = {
    "zero": Duration(),
    "negative": Duration(seconds=-1),
    "negative_nanos": Duration(nanos=-1),
    "too_long": Duration(seconds=10 * 366 * 24 * 3_600 + 1),
    "absurd": Duration(seconds=315_576_000_000),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_timeout_is_named_with_its_path(database_url: str, name: str) -> None:
    async with Clock().serving(asking(Ledger()), database_url) as service:
        spec = v1.RunSpec(workflow_id="Work", run_timeout=BAD[name])
        problems = [
            await refused(service.runs.Run(v1.RunRequest(spec=spec))),
            await refused(events_of(service.runs.RunStream(v1.RunStreamRequest(spec=spec)))),
        ]
        listed = await service.runs.ListRuns(v1.ListRunsRequest())
    for one in problems:
        assert one.code is grpc.StatusCode.INVALID_ARGUMENT
        assert one.reason == "INVALID_FIELD"
        assert list(one.fields) == ["spec.run_timeout"]
    assert not listed.runs


@pytest.mark.parametrize("seconds", [10 * 366 * 24 * 3_600])
async def test_the_longest_timeout_is_kept(database_url: str, seconds: int) -> None:
    clock = Clock()
    async with clock.serving(asking(Ledger()), database_url) as service:
        run = await service.run("Work", run_timeout=Duration(seconds=seconds))
    assert run.expire_time.ToDatetime(UTC) == clock.after(seconds)


# Together with other things.


async def cancel(service: Served, run: v1.Run) -> None:
    await service.runs.CancelRun(v1.CancelRunRequest(run_id=run.run_id, reason="enough"))


async def test_of_a_cancel_and_the_deadline_one_ends_a_paused_run(database_url: str) -> None:
    clock = Clock()
    seen: set[int] = set()
    async with clock.serving(asking(Ledger(), 60), database_url, servers=2) as service:
        for delay in range(60):
            paused = await service.run("Work")
            clock.pass_by(60)
            cancelling = asyncio.ensure_future(cancel(service, paused))
            for _ in range(delay):
                await asyncio.sleep(0)
            await fire(service)
            await cancelling
            ended = await get(service, paused)
            last = kinds(await service.events(ended))
            assert [one for one in last if one in LAST_KINDS] == last[-1:]
            expected = {
                v1.RUN_STATE_CANCELLED: "workflow_cancelled",
                v1.RUN_STATE_FAILED: "workflow_failed",
            }
            assert last[-1] == expected[ended.state]
            seen.add(ended.state)
            if len(seen) == 2:
                return
    raise AssertionError(f"no race: {seen}")


@pytest.mark.parametrize("is_first", [False, True], ids=["deadline_first", "cancel_first"])
async def test_a_running_run_that_was_cancelled_before_its_deadline_is_cancelled(
    database_url: str, is_first: bool
) -> None:
    """The first word stands; a cancel that was acknowledged is not taken back by the clock."""
    clock, point, ledger = Clock(), Point(), Ledger()
    async with clock.serving(holding(point, ledger), database_url) as service:
        run = await start(service, run_timeout=MINUTE)
        await point.entered.wait()
        if is_first:
            await cancel(service, run)
        clock.pass_by(60)
        await fire(service)
        if not is_first:
            await cancel(service, run)
        point.released.set()
        ended = await rest(service, run)
        happened = kinds(await service.events(ended))
    assert [one for one in happened if one in LAST_KINDS] == happened[-1:]
    assert ended.state == v1.RUN_STATE_CANCELLED or not is_first
    assert ledger.calls == []


async def test_a_question_of_the_last_moment_does_not_outlive_the_run(database_url: str) -> None:
    """It would wait in the inbox for ever, and take answers to a run that has ended."""
    clock, point, ledger = Clock(), Point(), Ledger()
    asks = Step(name="asks", agent=agent([call("act"), "done"], ledger.gated()))
    busy = Step(name="busy", agent=agent([call("hold"), "done"], point.tool(), name="busy"))
    app = app_of(Parallel(asks, busy, name="both"))
    # Nothing is stored before it must be, so the question goes with what ends the run.
    lazy = Timing(lease=1e9, commit_delay=3_600)
    async with clock.serving(app, database_url, lazy) as service:
        run = await start(service, run_timeout=MINUTE)
        await point.entered.wait()
        clock.pass_by(60)
        await fire(service)
        point.released.set()
        ended = await rest(service, run)
        assert "step_executor_paused" in kinds(await service.events(ended))
        await assert_timed_out(service, ended)


async def test_a_deadline_and_a_question_that_expires_with_it_end_a_run_once(
    database_url: str,
) -> None:
    clock, ledger = Clock(), Ledger()
    gated = ledger.gated(requires_confirmation=True, timeout=60, on_timeout="approve")
    work = Step(name="work", agent=agent([call("act"), "done"], gated))
    app = Interlock([Workflow(name="Work", steps=[work], run_timeout=60)])
    async with clock.serving(app, database_url) as service:
        paused = await service.run("Work")
        ended = await timed_out(service, clock, paused)
        await assert_timed_out(service, ended)
        closed = await requirement_now(service, only(paused))
        assert closed.state == v1.REQUIREMENT_STATE_CANCELLED
    assert ledger.calls == []
