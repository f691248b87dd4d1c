"""A server that stops: calls finish, watchers are told, and runs go on elsewhere."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from sqlalchemy import text
from tests.support.service import Refusal, Served, confirm, refusal, served
from tests.support.workbench import (
    Ledger,
    Point,
    agent_app,
    app_of,
    events_of,
    hand_over,
    is_dense,
    kinds,
    only,
    refused,
    responses,
    rest,
    somebody_waits,
    start,
)

from interlock import v1
from interlock_server import Interlock, Step, call
from interlock_server.runtime.runtime import Timing

SERVICES = ("RunService", "RequirementService", "WorkflowService", "SessionService")
QUICK = Timing(lease=2.0)
one_server = partial(served, servers=1)
"""For tests in which it stops."""


def three_steps(ledger: Ledger, point: Point) -> Interlock:
    def noted(name: str) -> Step:
        def note(given: Any) -> str:
            ledger.calls.append(name)
            return name

        return Step(name=name, executor=note)

    return app_of(noted("first"), Step(name="hold", executor=point.step), noted("last"))


def assert_shutdown(problem: Refusal) -> None:
    assert problem.code is grpc.StatusCode.UNAVAILABLE
    assert problem.reason == "SERVER_SHUTDOWN"
    assert problem.details == ("ErrorInfo", "RetryInfo")


# Calls.


async def test_a_call_that_waits_sees_its_run_end(database_url: str) -> None:
    ledger, point = Ledger(), Point()
    async with one_server(three_steps(ledger, point), database_url) as service:
        waiting = asyncio.ensure_future(service.run("Work"))
        await point.entered.wait()
        stopping = asyncio.ensure_future(service.server.stop(10))
        while not service.runtime.is_closing:
            await asyncio.sleep(0)
        point.released.set()
        run = await waiting
        await stopping
    assert run.state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == ["first", "last"]


async def test_a_call_under_way_is_finished(database_url: str) -> None:
    """A change that waits for another transaction is made, and its caller hears of it."""
    async with one_server(agent_app(["done"]), database_url) as service:
        create = v1.UpdateSessionRequest(session=v1.Session(session_id="s"), allow_missing=True)
        await service.sessions.UpdateSession(create)
        change = v1.UpdateSessionRequest(session=v1.Session(session_id="s", state_json='{"a":1}'))
        async with service.runtime.database.transaction() as connection:
            await connection.fetch(text("SELECT FROM sessions FOR UPDATE"))
            changing = asyncio.ensure_future(service.sessions.UpdateSession(change))
            await somebody_waits(service)
            stopping = asyncio.ensure_future(service.server.stop(10))
            while not service.runtime.is_closing:
                await asyncio.sleep(0)
        assert (await changing).session.state_json == '{"a":1}'
        await stopping


async def test_a_call_that_outlasts_the_grace_is_told_to_go_elsewhere(database_url: str) -> None:
    """And not that it had been cancelled, which its caller never did."""
    async with one_server(agent_app(["done"]), database_url) as service:
        create = v1.UpdateSessionRequest(session=v1.Session(session_id="s"), allow_missing=True)
        await service.sessions.UpdateSession(create)
        async with service.runtime.database.transaction() as connection:
            await connection.fetch(text("SELECT FROM sessions FOR UPDATE"))
            change = v1.Session(session_id="s", state_json='{"a":1}')
            changing = asyncio.ensure_future(
                service.sessions.UpdateSession(v1.UpdateSessionRequest(session=change))
            )
            await somebody_waits(service)
            await service.server.stop(0.5)
            assert_shutdown(await refused(changing))


async def test_new_work_is_refused(database_url: str) -> None:
    ledger = Ledger()
    async with one_server(
        agent_app([call("act"), "done"], ledger.gated()), database_url
    ) as service:
        paused = await service.run("Work")
        service.runtime.close()
        spec = v1.RunSpec(workflow_id="Work")
        for new in (
            service.runs.Run(v1.RunRequest(spec=spec)),
            events_of(service.runs.RunStream(v1.RunStreamRequest(spec=spec))),
            service.resolve(paused, confirm(only(paused))),
        ):
            assert_shutdown(await refused(new))
        assert len((await service.runs.ListRuns(v1.ListRunsRequest())).runs) == 1
    assert ledger.calls == []


async def test_a_call_that_waits_in_vain_is_told_why(database_url: str) -> None:
    point = Point()
    app = app_of(Step(name="hold", executor=point.step))
    async with one_server(app, database_url) as service:
        waiting = asyncio.ensure_future(service.run("Work"))
        await point.entered.wait()
        await service.server.stop(0.5)
        assert_shutdown(await refused(waiting))


# Watchers.


async def test_watchers_are_told_to_come_back(database_url: str) -> None:
    ledger, point = Ledger(), Point()
    async with one_server(three_steps(ledger, point), database_url) as service:
        spec = v1.RunSpec(workflow_id="Work")
        running = aiter(service.runs.RunStream(v1.RunStreamRequest(spec=spec)))
        first = await anext(running)
        await point.entered.wait()
        run_id = first.events.events[0].run_id
        watching = aiter(service.runs.WatchRun(v1.WatchRunRequest(run_id=run_id)))
        await anext(watching)
        inbox = aiter(
            service.requirements.WatchRequirements(
                v1.WatchRequirementsRequest(
                    heartbeat_interval={"nanos": 100_000_000}  # type: ignore[arg-type]
                )
            )
        )
        await anext(inbox)
        stopping = asyncio.ensure_future(service.server.stop(10))
        async with asyncio.timeout(5):
            for stream in (running, watching, inbox):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await responses(stream)
                assert_shutdown(refusal(caught.value))
                assert 0 < retry_seconds(caught.value) < 60
        point.released.set()
        await stopping


def retry_seconds(error: grpc.aio.AioRpcError) -> float:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    assert status is not None
    info = error_details_pb2.RetryInfo()
    for detail in status.details:
        detail.Unpack(info)
    return info.retry_delay.ToTimedelta().total_seconds()


async def test_a_watcher_goes_on_at_another_server(database_url: str) -> None:
    ledger, point = Ledger(), Point()
    app = three_steps(ledger, point)
    async with served(app, database_url, QUICK) as other:
        async with one_server(app, database_url, QUICK) as service:
            run = await start(service)
            await point.entered.wait()
            seen: list[v1.RunEvent] = []
            stopping = None
            request = v1.WatchRunRequest(run_id=run.run_id)
            with pytest.raises(grpc.aio.AioRpcError):
                async for message in service.runs.WatchRun(request):
                    seen += message.events.events
                    stopping = stopping or asyncio.ensure_future(service.server.stop(10))
            point.released.set()
            assert stopping is not None
            await stopping
        request = v1.WatchRunRequest(run_id=run.run_id, after_sequence=seen[-1].sequence)
        seen += await events_of(other.runs.WatchRun(request))
        assert is_dense(seen)
        assert seen[0].sequence == 1
        assert kinds(seen)[-1] == "workflow_completed"
    assert ledger.calls == ["first", "last"]


# Runs.


async def test_a_run_is_handed_over_after_the_effect_under_way(database_url: str) -> None:
    ledger, point = Ledger(), Point()
    app = three_steps(ledger, point)
    async with one_server(app, database_url, QUICK) as service:
        run = await start(service)
        await point.entered.wait()
        await hand_over(service, point)
    assert ledger.calls == ["first"]
    async with served(app, database_url, QUICK) as other:
        ended = await rest(other, run)
    assert ended.state == v1.RUN_STATE_COMPLETED
    # What was done was not done again.
    assert ledger.calls == ["first", "last"]
    assert point.passed == 1


async def test_an_effect_that_outlasts_the_grace_is_begun_again_elsewhere(
    database_url: str,
) -> None:
    ledger, point = Ledger(), Point()
    app = three_steps(ledger, point)
    async with one_server(app, database_url, QUICK) as service:
        run = await start(service)
        await point.entered.wait()
        await service.server.stop(0.1)
    point.released.set()
    async with served(app, database_url, QUICK) as other:
        ended = await rest(other, run)
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == ["first", "last"]
    assert point.passed == 1


async def test_a_gated_effect_that_outlasts_the_grace_is_asked_about(database_url: str) -> None:
    """Nobody knows how far it came, so nobody may simply repeat it."""
    point = Point()
    app = agent_app([call("hold"), "done"], point.tool(requires_confirmation=True))
    async with one_server(app, database_url, QUICK) as service:
        paused = await service.run("Work")
        request = v1.ContinueRunRequest(
            run_id=paused.run_id,
            resolutions=[confirm(only(paused))],
            wait_timeout={},  # type: ignore[arg-type]
        )
        await service.runs.ContinueRun(request)
        await point.entered.wait()
        await service.server.stop(0.1)
    point.released.set()
    async with served(app, database_url, QUICK) as other:
        paused = await rest(other, paused)
        doubt = only(paused)
        assert doubt.kind == v1.REQUIREMENT_KIND_IN_DOUBT
        assert point.passed == 0
        retry = v1.RequirementResolution(requirement_id=doubt.requirement_id, retry=v1.Retry())
        ended = await other.resolve(paused, retry)
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert point.passed == 1


async def test_paused_runs_survive(database_url: str) -> None:
    ledger = Ledger()
    app = agent_app([call("act", what="it"), "done"], ledger.gated())
    async with served(app, database_url) as service:
        paused = await service.run("Work")
    async with served(app, database_url) as other:
        assert await rest(other, paused) == paused
        ended = await other.resolve(paused, confirm(only(paused)))
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == ["it"]


# Health and reflection.


async def health(service: Served, name: str) -> int:
    stub: Any = health_pb2_grpc.HealthStub(service.channel)
    response = await stub.Check(health_pb2.HealthCheckRequest(service=name))
    status: int = response.status
    return status


async def test_a_server_says_how_it_is(database_url: str) -> None:
    serving = health_pb2.HealthCheckResponse.SERVING
    async with served(agent_app(["done"]), database_url) as service:
        for name in ("", *(f"interlock.v1.{one}" for one in SERVICES)):
            assert await health(service, name) == serving
        problem = await refused(health(service, "interlock.v1.PizzaService"))
        assert problem.code is grpc.StatusCode.NOT_FOUND


async def test_a_server_that_stops_says_so_to_who_watches_its_health(database_url: str) -> None:
    point = Point()
    async with one_server(app_of(Step(name="hold", executor=point.step)), database_url) as service:
        stub: Any = health_pb2_grpc.HealthStub(service.channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        watching = aiter(watch)
        assert (await anext(watching)).status == health_pb2.HealthCheckResponse.SERVING
        waiting = asyncio.ensure_future(service.run("Work"))
        await point.entered.wait()
        stopping = asyncio.ensure_future(service.server.stop(10))
        async with asyncio.timeout(5):
            told = (await anext(watching)).status
        assert told == health_pb2.HealthCheckResponse.NOT_SERVING
        point.released.set()
        assert (await waiting).state == v1.RUN_STATE_COMPLETED
        watch.cancel()  # Else the server waits for this call too, as long as it may.
        await stopping


async def test_a_server_describes_itself(database_url: str) -> None:
    async with served(agent_app(["done"]), database_url) as service:
        channel: Any = service.channel
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest
        asked = [request(list_services=""), request(file_containing_symbol="interlock.v1.Run")]
        listed, described = [one async for one in stub.ServerReflectionInfo(iter(asked))]
        names = {one.name for one in listed.list_services_response.service}
        assert names >= {
            "grpc.health.v1.Health",
            *(f"interlock.v1.{one}" for one in SERVICES),
        }
        assert described.file_descriptor_response.file_descriptor_proto
