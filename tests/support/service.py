"""A real service on a port, and raw stubs to talk to it.

With `INTERLOCK_TEST_SERVERS=3` a service is three servers on one database, and each
call goes to the next of them: what holds for one server holds for replicas.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from interlock import v1
from interlock.v1.requirement_service_pb2_grpc import RequirementServiceStub
from interlock.v1.run_service_pb2_grpc import RunServiceStub
from interlock.v1.session_service_pb2_grpc import SessionServiceStub
from interlock.v1.workflow_service_pb2_grpc import WorkflowServiceStub
from interlock_server import Interlock
from interlock_server.runtime.runtime import Runtime, Timing
from interlock_server.runtime.world import World
from interlock_server.service.server import Server
from interlock_server.store.database import Database

if TYPE_CHECKING:
    from interlock.v1.requirement_service_pb2_grpc import RequirementServiceAsyncStub
    from interlock.v1.run_service_pb2_grpc import RunServiceAsyncStub
    from interlock.v1.session_service_pb2_grpc import SessionServiceAsyncStub
    from interlock.v1.workflow_service_pb2_grpc import WorkflowServiceAsyncStub

_SERVERS = int(os.environ.get("INTERLOCK_TEST_SERVERS", "1"))


@dataclass(frozen=True)
class Served:
    """A running service with its stubs; `target` is where other clients reach it.

    Args:
        replicas: the servers of a service that has several; each stub is of the
            next one, and everything else here is of the first.
    """

    target: str
    runtime: Runtime
    server: Server
    channel: grpc.aio.Channel
    replicas: tuple[Served, ...] = ()
    _turns: Iterator[int] = field(default_factory=itertools.count, init=False)

    @property
    def runs(self) -> RunServiceAsyncStub:
        return RunServiceStub(self._next_channel())

    @property
    def requirements(self) -> RequirementServiceAsyncStub:
        return RequirementServiceStub(self._next_channel())

    @property
    def workflows(self) -> WorkflowServiceAsyncStub:
        return WorkflowServiceStub(self._next_channel())

    @property
    def sessions(self) -> SessionServiceAsyncStub:
        return SessionServiceStub(self._next_channel())

    async def run(self, workflow: str, **spec: object) -> v1.Run:
        """Runs a workflow until it pauses or ends."""
        request = v1.RunRequest(spec=v1.RunSpec(workflow_id=workflow, **spec))  # type: ignore[arg-type]
        return (await self.runs.Run(request)).run

    async def resolve(self, run: v1.Run, *answers: v1.RequirementResolution) -> v1.Run:
        """Continues a run with answers."""
        request = v1.ContinueRunRequest(run_id=run.run_id, resolutions=answers)
        return (await self.runs.ContinueRun(request)).run

    async def events(self, run: v1.Run) -> list[v1.RunEvent]:
        """All stored events of a run."""
        request = v1.ListRunEventsRequest(run_id=run.run_id, page_size=1_000)
        return list((await self.runs.ListRunEvents(request)).events)

    def _next_channel(self) -> grpc.aio.Channel:
        every = self.replicas or (self,)
        return every[next(self._turns) % len(every)].channel


@asynccontextmanager
async def served(
    app: Interlock,
    database_url: str,
    timing: Timing | None = None,
    grace: float = 5.0,
    pool_size: int = 10,
    servers: int = _SERVERS,
    world: World | None = None,
) -> AsyncIterator[Served]:
    """Serves an app on free ports, on an existing database, for as long as the context is open.

    Args:
        grace: seconds for calls and effects under way, when the context is left.
        pool_size: database connections of each server, at most.
        servers: how many; 1 where a test looks inside of one.
        world: where they get the time from; unset means from the machine.
    """
    async with AsyncExitStack() as stack:
        replicas = []
        for _ in range(servers):
            database = Database(database_url, pool_size)
            stack.push_async_callback(database.close)
            runtime = app.runtime(database, world, timing)
            server = Server(runtime)
            await runtime.start()
            target = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(target))
            replicas.append(Served(target, runtime, server, channel))
        try:
            yield replace(replicas[0], replicas=tuple(replicas))
        finally:
            # All at once, so that none takes over what another one gives back.
            await asyncio.gather(*(one.server.stop(grace) for one in replicas))


def open_requirements(run: v1.Run) -> list[v1.Requirement]:
    """What a run waits for, in order."""
    return [
        one
        for step in run.step_requirements
        for one in (*step.executor_requirements, *step.step_requirements)
    ]


def confirm(requirement: v1.Requirement, note: str = "") -> v1.RequirementResolution:
    return v1.RequirementResolution(
        requirement_id=requirement.requirement_id, confirm=v1.Confirmation(note=note)
    )


def reject(requirement: v1.Requirement, note: str = "") -> v1.RequirementResolution:
    return v1.RequirementResolution(
        requirement_id=requirement.requirement_id, reject=v1.Rejection(note=note)
    )


def user_input(requirement: v1.Requirement, values_json: str) -> v1.RequirementResolution:
    return v1.RequirementResolution(
        requirement_id=requirement.requirement_id,
        user_input=v1.UserInput(values_json=values_json),
    )


def external_result(requirement: v1.Requirement, result_json: str) -> v1.RequirementResolution:
    return v1.RequirementResolution(
        requirement_id=requirement.requirement_id,
        external_result=v1.ExternalResult(result_json=result_json),
    )


@dataclass(frozen=True)
class Refusal:
    """A failed call as a client sees it."""

    code: grpc.StatusCode
    message: str
    reason: str
    metadata: dict[str, str]
    fields: dict[str, str]
    details: tuple[str, ...]


def refusal(error: grpc.aio.AioRpcError) -> Refusal:
    """Reads the details of a failed call."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details if status else ():
        detail.Unpack(info)
        detail.Unpack(request)
    return Refusal(
        error.code(),
        error.details() or "",
        info.reason,
        dict(info.metadata),
        {one.field: one.description for one in request.field_violations},
        tuple(one.TypeName().rpartition(".")[2] for one in (status.details if status else ())),
    )
