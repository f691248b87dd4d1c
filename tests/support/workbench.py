"""Small apps, callers and readers for tests that go through the service edge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from sqlalchemy import TextClause, text

from interlock import v1
from interlock_server import Agent, Interlock, ScriptedModel, Step, Tool, Workflow, tool
from interlock_server.authoring.models import Turn
from tests.support.service import Refusal, Served, open_requirements, refusal

ENDED = (v1.RUN_STATE_COMPLETED, v1.RUN_STATE_FAILED, v1.RUN_STATE_CANCELLED)
RESTING = (*ENDED, v1.RUN_STATE_PAUSED)
LAST_KINDS = ("workflow_completed", "workflow_failed", "workflow_cancelled")


# Apps.


def agent(turns: Sequence[Any], *tools: Any, name: str = "worker", **more: Any) -> Agent:
    """An agent that plays a script."""
    return Agent(name=name, model=ScriptedModel(turns), tools=tools, **more)


def app_of(*steps: Any, name: str = "Work") -> Interlock:
    """An app of one workflow."""
    return Interlock([Workflow(name=name, steps=steps)])


def agent_app(turns: Sequence[Turn | Callable[..., Any]], *tools: Any) -> Interlock:
    """An app of one workflow `Work` with one step, in which an agent plays a script."""
    return app_of(Step(name="work", agent=agent(turns, *tools)))


@dataclass
class Ledger:
    """What tools did, in order."""

    calls: list[Any] = field(default_factory=list)

    def gated(self, name: str = "act", **gates: Any) -> Tool:
        """A tool that notes the text it is given, and waits for a yes unless told otherwise."""

        def act(what: str = "") -> str:
            self.calls.append(what)
            return f"did {what}"

        return tool(name=name, **(gates or {"requires_confirmation": True}))(act)

    def free(self, name: str = "look") -> Tool:
        """The same without a gate."""
        return self.gated(name, description="Looks.")


@dataclass
class Point:
    """A point at which a test holds whatever passes."""

    entered: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    passed: int = 0

    async def pass_through(self) -> None:
        """Says that somebody is here, and waits for the release."""
        self.entered.set()
        await self.released.wait()
        self.passed += 1

    def tool(self, name: str = "hold", **gates: Any) -> Tool:
        """A tool that is held."""

        async def hold() -> str:
            await self.pass_through()
            return "held"

        return tool(name=name, **gates)(hold)

    async def step(self, given: Any) -> str:
        """A function step that is held."""
        await self.pass_through()
        return "held"


# Callers.


@dataclass(frozen=True)
class Caller:
    """Runs and continues in one of the two modes, and gives the run as it then is."""

    service: Served
    streams: bool

    async def run(self, workflow: str = "Work", **spec: Any) -> v1.Run:
        """Runs a workflow until it pauses or ends."""
        if not self.streams:
            return await self.service.run(workflow, **spec)
        request = v1.RunStreamRequest(spec=v1.RunSpec(workflow_id=workflow, **spec))
        return await self._last(await events_of(self.service.runs.RunStream(request)))

    async def resolve(self, run: v1.Run, *answers: v1.RequirementResolution) -> v1.Run:
        """Continues a run with answers."""
        if not self.streams:
            return await self.service.resolve(run, *answers)
        request = v1.ContinueRunStreamRequest(run_id=run.run_id, resolutions=answers)
        events = await events_of(self.service.runs.ContinueRunStream(request))
        # Nothing comes after a repeat that finds the run at its end.
        return await self._last(events) if events else await get(self.service, run)

    async def _last(self, events: Sequence[v1.RunEvent]) -> v1.Run:
        assert is_dense([one for one in events if kind_of(one) != "content_delta"])
        # An answer that leaves others open is all that happens.
        assert kind_of(events[-1]) in ("workflow_paused", "requirement_resolved", *LAST_KINDS)
        return await get(self.service, events[-1].run_id)


async def get(service: Served, run: v1.Run | str) -> v1.Run:
    """A run as it is now."""
    run_id = run if isinstance(run, str) else run.run_id
    return (await service.runs.GetRun(v1.GetRunRequest(run_id=run_id))).run


async def start(service: Served, workflow: str = "Work", **spec: Any) -> v1.Run:
    """Starts a run and does not wait for it."""
    request = v1.RunRequest(spec=v1.RunSpec(workflow_id=workflow, **spec))
    request.wait_timeout.FromSeconds(0)
    return (await service.runs.Run(request)).run


async def rest(service: Served, run: v1.Run | str) -> v1.Run:
    """Waits until a run pauses or ends."""
    run_id = run if isinstance(run, str) else run.run_id
    return (await service.runs.WaitRun(v1.WaitRunRequest(run_id=run_id))).run


async def resolve_one(
    service: Served, answer: v1.RequirementResolution, **more: Any
) -> v1.ResolveRequirementResponse:
    """Answers one requirement from the inbox."""
    request = v1.ResolveRequirementRequest(resolution=answer, **more)
    response: v1.ResolveRequirementResponse = await service.requirements.ResolveRequirement(request)
    return response


async def hand_over(service: Served, point: Point) -> None:
    """Lets a service give its runs back after the effect that is held at a point."""
    stopping = asyncio.ensure_future(service.runtime.stop(10))
    await asyncio.sleep(0)  # It has asked its runs to stop now, and waits for them.
    point.released.set()
    await stopping


async def idle(server: Served) -> None:
    """Comes back when a server has nothing to do with its database at the moment."""
    database = server.runtime.database
    while database._room._value < database.pool_size:
        await asyncio.sleep(0.001)


async def crash(service: Served) -> None:
    """Lets a service die between two words with its database."""
    for one in service.replicas:
        await idle(one)
        legs = dict(one.runtime._legs)
        ending = [*one.runtime._chores, *legs.values()]
        one.runtime.crash()
        for leg in legs:
            if leg._recorder and leg._recorder._timer:
                leg._recorder._timer.cancel()
        await asyncio.gather(*ending, return_exceptions=True)


async def somebody_waits(service: Served) -> None:
    """Comes back when a transaction of the service waits for another one."""
    waiting = text(
        "SELECT FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    await shows(service, waiting)


async def shows(service: Served, query: TextClause, count: int = 1) -> None:
    """Comes back when a query of the service's database gives so many rows."""
    async with asyncio.timeout(10):
        while len(await service.runtime.database.fetch(query)) < count:
            await asyncio.sleep(0.005)


# Readers.


async def responses(stream: AsyncIterable[Any]) -> list[Any]:
    """All messages of a stream, to its end."""
    return [one async for one in stream]


async def events_of(stream: AsyncIterable[Any]) -> list[v1.RunEvent]:
    """All events of a stream, to its end."""
    return [event for one in await responses(stream) for event in one.events.events]


def kind_of(event: v1.RunEvent) -> str:
    """What happened."""
    return event.WhichOneof("event") or ""


def kinds(events: Sequence[v1.RunEvent]) -> list[str]:
    """What happened, in order."""
    return [kind_of(one) for one in events]


def is_dense(events: Sequence[v1.RunEvent]) -> bool:
    """Whether stored events follow each other without a gap."""
    numbers = [one.sequence for one in events]
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def result_of(run: v1.Run, name: str) -> v1.StepResult:
    """The one result of a node."""
    [result] = [one for one in run.step_results if one.step.name == name]
    return result


def only(run: v1.Run) -> v1.Requirement:
    """The one thing that a paused run waits for."""
    assert run.state == v1.RUN_STATE_PAUSED, v1.RunState.Name(run.state)
    [requirement] = open_requirements(run)
    return requirement


async def refused(call: Awaitable[object]) -> Refusal:
    """The refusal that a call ends in."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal(caught.value)


@asynccontextmanager
async def untouched(service: Served, run: v1.Run) -> AsyncIterator[None]:
    """Makes sure that what happens inside leaves a run as it was, to the byte."""
    before = await get(service, run)
    events = await service.events(run)
    yield
    after = await get(service, run)
    assert after == before
    assert after.SerializeToString(deterministic=True) == before.SerializeToString(
        deterministic=True
    )
    assert await service.events(run) == events
