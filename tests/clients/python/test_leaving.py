"""A stream that is left ends its call, and only its call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from tests.clients.python import samples
from tests.clients.python.samples import batch
from tests.clients.python.scripted import Hang, ScriptedServer

from interlock import AsyncClient, AsyncRunStream, Client, ClientClosedError, RunStream, v1


class LeaveError(Exception):
    """Raised inside a loop."""


def fail_inside(events: RunStream) -> None:
    for _ in events:
        raise LeaveError


async def afail_inside(events: AsyncRunStream) -> None:
    async for _ in events:
        raise LeaveError


@pytest.fixture
def hanging(server: ScriptedServer) -> Iterator[ScriptedServer]:
    """A server whose streams bring two events and hang."""
    events = batch(v1.RunStreamResponse, samples.started(), samples.step_started(2, "a"))
    server.answer("RunStream", lambda _: iter([events, Hang()]))
    server.answer("WatchRun", lambda _: iter([Hang()]))
    yield server
    assert server.calls[0].cancelled.wait(5)


def test_exception(hanging: ScriptedServer) -> None:
    with Client(hanging.target) as client:
        with pytest.raises(LeaveError):
            fail_inside(client.workflow("greet").run(stream=True))
        assert hanging.calls[0].cancelled.wait(5)


def test_close(hanging: ScriptedServer) -> None:
    with Client(hanging.target) as client:
        events = client.workflow("greet").run(stream=True)
        next(events)
        events.close()
        events.close()
        assert list(events) == []
        assert hanging.calls[0].cancelled.wait(5)


def test_with(hanging: ScriptedServer) -> None:
    with Client(hanging.target) as client:
        with client.workflow("greet").run(stream=True) as events:
            next(events)
        assert hanging.calls[0].cancelled.wait(5)


def test_closing_the_client(hanging: ScriptedServer) -> None:
    client = Client(hanging.target)
    events = client.workflow("greet").run(stream=True)
    next(events)
    next(events)
    client.close()
    client.close()
    with pytest.raises(ClientClosedError):
        next(events)
    with pytest.raises(ClientClosedError):
        client.get_run("run-1")


async def test_async_exception(hanging: ScriptedServer) -> None:
    async with AsyncClient(hanging.target) as client:
        with pytest.raises(LeaveError):
            await afail_inside(client.workflow("greet").arun(stream=True))
        assert await asyncio.to_thread(hanging.calls[0].cancelled.wait, 5)


async def test_async_close(hanging: ScriptedServer) -> None:
    async with AsyncClient(hanging.target) as client:
        events = client.workflow("greet").arun(stream=True)
        await anext(events)
        await events.aclose()
        await events.aclose()
        assert [event async for event in events] == []
        assert await asyncio.to_thread(hanging.calls[0].cancelled.wait, 5)


async def test_async_with(hanging: ScriptedServer) -> None:
    async with AsyncClient(hanging.target) as client:
        async with client.workflow("greet").arun(stream=True) as events:
            await anext(events)
        assert await asyncio.to_thread(hanging.calls[0].cancelled.wait, 5)


def test_close_while_another_thread_reads(hanging: ScriptedServer) -> None:
    with Client(hanging.target) as client:
        events = client.workflow("greet").run(stream=True)
        closing = threading.Timer(0.2, events.close)
        closing.start()
        assert [event.sequence for event in events] == [1, 2]
        closing.join()
        assert hanging.calls[0].cancelled.wait(5)


async def test_close_while_another_task_reads(hanging: ScriptedServer) -> None:
    async with AsyncClient(hanging.target) as client:
        events = client.workflow("greet").arun(stream=True)

        async def read() -> list[int]:
            return [event.sequence async for event in events]

        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(read())
            await asyncio.sleep(0.2)
            await events.aclose()
            assert await reading == [1, 2]
        assert await asyncio.to_thread(hanging.calls[0].cancelled.wait, 5)


async def test_cancelled_task(hanging: ScriptedServer) -> None:
    """A cancelled read ends the call; the next read goes on where it stood."""
    async with AsyncClient(hanging.target) as client:
        events = client.workflow("greet").arun(stream=True)
        assert [(await anext(events)).sequence, (await anext(events)).sequence] == [1, 2]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await anext(events)
        assert await asyncio.to_thread(hanging.calls[0].cancelled.wait, 5)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(events), 0.1)
        (watch,) = hanging.requests("WatchRun")
        assert watch.after_sequence == 2


async def test_closing_the_async_client(hanging: ScriptedServer) -> None:
    """gRPC cancels the task that reads; a task that nobody cancelled must not end that way."""
    client = AsyncClient(hanging.target)
    events = client.workflow("greet").arun(stream=True)
    await anext(events)
    await anext(events)
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(_outcome(events.__anext__()))
        await asyncio.sleep(0.05)
        await client.close()
        error = await reading
    assert isinstance(error, ClientClosedError)
    with pytest.raises(ClientClosedError):
        await client.get_run("run-1")


async def test_task_left_alone_at_the_end_of_the_loop(hanging: ScriptedServer) -> None:
    """A loop that ends while a stream is open neither hangs nor complains."""

    async def forgetful() -> None:
        client = AsyncClient(hanging.target)
        events = client.workflow("greet").arun(stream=True)
        await anext(events)
        forgotten.append((client, events))

    forgotten: list[object] = []
    await asyncio.to_thread(asyncio.run, forgetful())
    forgotten.clear()


def test_other_loop(server: ScriptedServer) -> None:
    server.answer("GetRun", lambda _: iter([v1.GetRunResponse(run=samples.run())]))
    client = AsyncClient(server.target)
    with asyncio.Runner() as first, asyncio.Runner() as second:
        assert first.run(client.get_run("run-1")).is_completed
        with pytest.raises(RuntimeError, match="event loop"):
            second.run(client.get_run("run-1"))
        first.run(client.close())


def test_closing_the_client_during_a_call(server: ScriptedServer) -> None:
    server.answer("GetRun", lambda _: iter([Hang()]))
    client = Client(server.target)
    closing = threading.Timer(0.2, client.close)
    closing.start()
    with pytest.raises(ClientClosedError):
        client.get_run("run-1")
    closing.join()


async def test_closing_the_async_client_during_a_call(server: ScriptedServer) -> None:
    server.answer("GetRun", lambda _: iter([Hang()]))
    client = AsyncClient(server.target)
    async with asyncio.TaskGroup() as tasks:
        calling = tasks.create_task(_outcome(client.get_run("run-1")))
        await asyncio.sleep(0.05)
        await client.close()
        assert isinstance(await calling, ClientClosedError)


def test_made_outside_of_a_loop(server: ScriptedServer) -> None:
    client = AsyncClient(server.target)
    asyncio.run(client.close())


async def _outcome(awaitable: object) -> object:
    try:
        return await awaitable  # type: ignore[misc]
    except ClientClosedError as error:
        return error
