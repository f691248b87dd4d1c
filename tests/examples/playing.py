"""The four ways to play a run: blocking or asyncio, waiting for the run or reading its events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from interlock import (
    AsyncClient,
    Client,
    Event,
    Requirement,
    RunContentEvent,
    RunOutput,
)

Decide = Callable[[Requirement], None]


@dataclass
class Played:
    """A run that has ended: what it waited for on the way, and what a stream showed of it.

    Args:
        pauses: what it waited for, pause by pause.
        events: what streams showed; empty when the run was waited for.
        stored: its history.
    """

    run: RunOutput
    pauses: list[list[Requirement]] = field(default_factory=list)
    events: list[Event[Any]] = field(default_factory=list)
    stored: list[Event[Any]] = field(default_factory=list)

    @property
    def streamed(self) -> list[Event[Any]]:
        """The events of the streams that are stored too."""
        return [one for one in self.events if not isinstance(one, RunContentEvent)]


Play = Callable[[str, str, str, Decide], Awaitable[Played]]


async def blocking(target: str, name: str, given: str, decide: Decide) -> Played:
    """`run` and `continue_run`."""
    with Client(target) as client:
        workflow = client.workflow(name)
        played = Played(workflow.run(given))
        while played.run.is_paused:
            played.pauses.append(_decided(played.run, decide))
            played.run = workflow.continue_run(played.run)
        played.stored = list(client.list_run_events(played.run))
        return played


async def blocking_stream(target: str, name: str, given: str, decide: Decide) -> Played:
    """`run(stream=True)` and `continue_run(stream=True)`; the session has the run."""
    with Client(target) as client:
        workflow = client.workflow(name)
        events = list(workflow.run(given, stream=True))
        played = Played(workflow.get_session().runs[-1], events=events)
        while played.run.is_paused:
            played.pauses.append(_decided(played.run, decide))
            events += workflow.continue_run(played.run, stream=True)
            played.run = workflow.get_session().runs[-1]
        played.stored = list(client.list_run_events(played.run))
        return played


async def asyncio_(target: str, name: str, given: str, decide: Decide) -> Played:
    """`arun` and `acontinue_run`."""
    async with AsyncClient(target) as client:
        workflow = client.workflow(name)
        played = Played(await workflow.arun(given))
        while played.run.is_paused:
            played.pauses.append(_decided(played.run, decide))
            played.run = await workflow.acontinue_run(played.run)
        played.stored = [one async for one in client.list_run_events(played.run)]
        return played


async def asyncio_stream(target: str, name: str, given: str, decide: Decide) -> Played:
    """`arun(stream=True)` and `acontinue_run(stream=True)`; the session has the run."""
    async with AsyncClient(target) as client:
        workflow = client.workflow(name)
        events = [one async for one in workflow.arun(given, stream=True)]
        played = Played((await workflow.aget_session()).runs[-1], events=events)
        while played.run.is_paused:
            played.pauses.append(_decided(played.run, decide))
            events += [one async for one in workflow.acontinue_run(played.run, stream=True)]
            played.run = (await workflow.aget_session()).runs[-1]
        played.stored = [one async for one in client.list_run_events(played.run)]
        return played


PLAYS: dict[str, Play] = {
    "blocking": blocking,
    "blocking_stream": blocking_stream,
    "asyncio": asyncio_,
    "asyncio_stream": asyncio_stream,
}


def _decided(run: RunOutput, decide: Decide) -> list[Requirement]:
    """What a run waits for, walked as in the seed, with a decision on each."""
    asked = []
    for step_req in run.step_requirements:
        if step_req.requires_executor_input:
            for executor_req in step_req.executor_requirements:
                decide(executor_req)
                asked.append(executor_req)
    return asked
