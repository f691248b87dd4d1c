"""The client against the real service: the seed's flow, streams, restarts and the inbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from interlock import (
    AlreadyResolvedError,
    AsyncClient,
    Client,
    Decision,
    NotFoundError,
    RunContentEvent,
)
from interlock.events import (
    StepExecutorContinuedEvent,
    StepExecutorPausedEvent,
    WorkflowCompletedEvent,
    WorkflowPausedEvent,
)
from interlock_server import Agent, Interlock, ScriptedModel, Step, Workflow, call, tool
from interlock_server.service.server import Server
from interlock_server.store.database import Database


@tool(requires_confirmation=True)
def get_the_weather(city: str) -> str:
    return f"It is 70 degrees and cloudy in {city}"


def weather() -> Interlock:
    model = ScriptedModel([call("get_the_weather", city="Tokyo"), "It is 70 degrees in Tokyo."])
    agent = Agent(name="WeatherAgent", model=model, tools=[get_the_weather])
    return Interlock([Workflow(name="Weather", steps=[Step(name="get_weather", agent=agent)])])


@asynccontextmanager
async def served(database_url: str, target: str = "127.0.0.1:0") -> AsyncIterator[str]:
    """Serves the workflow for as long as the context is open; gives where."""
    database = Database(database_url)
    runtime = weather().runtime(database)
    server = Server(runtime)
    await runtime.start()
    port = await server.start(target)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(5.0)
        await database.close()


@pytest.fixture
async def target(database_url: str) -> AsyncIterator[str]:
    """Where a real service is."""
    async with served(database_url) as running:
        yield running


async def test_a_wait_of_no_time_comes_back_with_the_run_as_it_is(target: str) -> None:
    async with AsyncClient(target) as client:
        run = await client.workflow("Weather").arun("hello", wait_timeout=0)
        assert run.status in ("RUNNING", "PAUSED")


def run_and_confirm(target: str) -> object:
    with Client(target) as client:
        workflow = client.workflow("Weather")
        response = workflow.run("What is the weather in Tokyo?")
        if response.is_paused:
            for step_req in response.step_requirements or []:
                if step_req.requires_executor_input:
                    for executor_req in step_req.executor_requirements or []:
                        executor_req.confirm()
            response = workflow.continue_run(response)
        return response.content


async def test_blocking(target: str) -> None:
    content = await asyncio.to_thread(run_and_confirm, target)
    assert content == "It is 70 degrees in Tokyo."


async def test_streaming(target: str) -> None:
    printed = ""
    async with AsyncClient(target) as client:
        workflow = client.workflow("Weather")
        first = [event async for event in workflow.arun("Tokyo?", stream=True)]
        session = await workflow.aget_session()
        run = session.runs[-1]
        for requirement in run.active_requirements:
            requirement.confirm()
        second = []
        async for event in workflow.acontinue_run(run, stream=True):
            second.append(event)
            if hasattr(event, "content") and event.content:
                printed += event.content
        stored = [event async for event in client.list_run_events(run)]
    (paused,) = [event for event in first if isinstance(event, StepExecutorPausedEvent)]
    assert (paused.executor_name, paused.executor_type) == ("WeatherAgent", "agent")
    assert isinstance(first[-1], WorkflowPausedEvent)
    assert any(isinstance(event, StepExecutorContinuedEvent) for event in second)
    assert isinstance(second[-1], WorkflowCompletedEvent)
    assert printed == "It is 70 degrees in Tokyo."
    seen = [event for event in first + second if not isinstance(event, RunContentEvent)]
    assert [event.sequence for event in seen] == [event.sequence for event in stored]
    assert [event.sequence for event in seen] == list(range(1, len(stored) + 1))


async def test_inbox(target: str) -> None:
    async with AsyncClient(target) as client:
        run = await client.workflow("Weather").arun("Tokyo?")
        (requirement,) = [one async for one in client.list_requirements()]
        assert requirement.run_id == run.run_id
        assert requirement.tool_execution.tool_args == {"city": "Tokyo"}
        resolved = await client.resolve(requirement.id, Decision.reject("not today"))
        assert resolved.requirement.confirmation is False
        with pytest.raises(AlreadyResolvedError):
            await client.resolve(requirement.id, Decision.confirm())
        assert (await client.wait_run(run)).is_completed
        assert [one async for one in client.list_requirements()] == []


async def test_errors(target: str) -> None:
    async with AsyncClient(target) as client:
        with pytest.raises(NotFoundError) as raised:
            await client.workflow("Nothing").arun()
    assert raised.value.reason == "WORKFLOW_NOT_FOUND"
    assert raised.value.metadata["workflow_id"] == "Nothing"


async def test_a_watch_survives_a_restart(database_url: str) -> None:
    async with served(database_url) as target:
        client = AsyncClient(target)
        run = await client.workflow("Weather").arun("Tokyo?")
        events = client.watch_run(run)
        seen = [await anext(events)]
        while not isinstance(seen[-1], WorkflowPausedEvent):
            seen.append(await anext(events))
    async with served(database_url, target):
        run.active_requirements[0].reject("no")
        assert (await client.continue_run(run)).is_completed
        seen += [event async for event in events]
        stored = [event async for event in client.list_run_events(run)]
        await client.close()
    stream = [event.sequence for event in seen if not isinstance(event, RunContentEvent)]
    assert stream == [event.sequence for event in stored]
