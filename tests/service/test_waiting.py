"""Waiting calls give the run as it is when the wait is over; the run goes on."""

from __future__ import annotations

import asyncio

from google.protobuf.duration_pb2 import Duration
from tests.support.service import confirm, served
from tests.support.workbench import (
    Ledger,
    Point,
    agent_app,
    app_of,
    get,
    only,
    resolve_one,
    rest,
    start,
)

from interlock import v1
from interlock_server import Step, call

MOMENT = Duration(nanos=50_000_000)


async def test_a_run_that_nobody_waits_for_comes_back_at_once(database_url: str) -> None:
    point = Point()
    async with served(app_of(Step(name="hold", executor=point.step)), database_url) as service:
        run = await start(service)
        assert run.state == v1.RUN_STATE_RUNNING
        assert run.last_sequence >= 1
        assert run.session_id
        point.released.set()
        assert (await rest(service, run)).state == v1.RUN_STATE_COMPLETED


async def test_a_short_wait_ends_with_the_run_as_it_is(database_url: str) -> None:
    point = Point()
    async with served(app_of(Step(name="hold", executor=point.step)), database_url) as service:
        spec = v1.RunSpec(workflow_id="Work")
        run = (await service.runs.Run(v1.RunRequest(spec=spec, wait_timeout=MOMENT))).run
        assert run.state == v1.RUN_STATE_RUNNING
        for timeout in (MOMENT, Duration()):
            request = v1.WaitRunRequest(run_id=run.run_id, wait_timeout=timeout)
            waited = (await service.runs.WaitRun(request)).run
            assert waited.state == v1.RUN_STATE_RUNNING
        assert point.passed == 0
        point.released.set()
        assert (await rest(service, run)).state == v1.RUN_STATE_COMPLETED


async def test_a_wait_ends_as_soon_as_the_run_rests(database_url: str) -> None:
    point = Point()
    async with served(app_of(Step(name="hold", executor=point.step)), database_url) as service:
        run = await start(service)
        request = v1.WaitRunRequest(run_id=run.run_id, wait_timeout=Duration(seconds=60))
        waiting = [asyncio.ensure_future(service.runs.WaitRun(request)) for _ in range(3)]
        await point.entered.wait()
        point.released.set()
        async with asyncio.timeout(10):
            for one in await asyncio.gather(*waiting):
                assert one.run.state == v1.RUN_STATE_COMPLETED


async def test_there_is_nothing_to_wait_for_in_a_run_that_rests(database_url: str) -> None:
    ledger = Ledger()
    async with served(agent_app([call("act"), "done"], ledger.gated()), database_url) as service:
        paused = await service.run("Work")
        assert await rest(service, paused) == paused
        ended = await service.resolve(paused, confirm(only(paused)))
        assert await rest(service, ended) == ended


async def test_a_continue_that_nobody_waits_for_comes_back_at_once(database_url: str) -> None:
    point = Point()
    app = agent_app([call("hold"), "done"], point.tool(requires_confirmation=True))
    async with served(app, database_url) as service:
        paused = await service.run("Work")
        request = v1.ContinueRunRequest(
            run_id=paused.run_id, resolutions=[confirm(only(paused))], wait_timeout=Duration()
        )
        running = (await service.runs.ContinueRun(request)).run
        assert running.state == v1.RUN_STATE_RUNNING
        assert running.pause_kind == v1.PAUSE_KIND_UNSPECIFIED
        point.released.set()
        assert (await rest(service, running)).state == v1.RUN_STATE_COMPLETED


async def test_an_answer_from_the_inbox_does_not_wait(database_url: str) -> None:
    point = Point()
    app = agent_app([call("hold"), "done"], point.tool(requires_confirmation=True))
    async with served(app, database_url) as service:
        paused = await service.run("Work")
        response = await resolve_one(service, confirm(only(paused)))
        assert response.run_state == v1.RUN_STATE_RUNNING
        point.released.set()
        assert (await rest(service, paused)).state == v1.RUN_STATE_COMPLETED


async def test_a_wait_sees_what_another_server_does(database_url: str) -> None:
    point = Point()
    app = app_of(Step(name="hold", executor=point.step))
    async with served(app, database_url) as service, served(app, database_url) as other:
        run = await start(service)
        waiting = asyncio.ensure_future(rest(other, run))
        await point.entered.wait()
        assert (await get(other, run)).state == v1.RUN_STATE_RUNNING
        point.released.set()
        async with asyncio.timeout(10):
            assert (await waiting).state == v1.RUN_STATE_COMPLETED
