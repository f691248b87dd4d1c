"""People may answer while the run still works: what they have decided waits no more."""

from __future__ import annotations

import asyncio

from interlock import v1
from interlock_server import Agent, Interlock, ScriptedModel, Step, Workflow, call, tool
from interlock_server.runtime.desk import Decision
from interlock_server.runtime.runtime import Runtime, Timing
from interlock_server.runtime.tail import settle
from interlock_server.store.database import Database
from interlock_server.store.events import events_after
from interlock_server.store.records import RequestKey
from interlock_server.store.requirements import requirements_of_run


async def test_a_pause_lists_nothing_that_was_decided_before_it(database: Database) -> None:
    is_answered = asyncio.Event()

    @tool
    async def look() -> None:
        await is_answered.wait()

    @tool(requires_confirmation=True)
    def act(what: str) -> str:
        return what

    agent = Agent(
        name="worker",
        model=ScriptedModel([[call("look"), call("act", what="a"), call("act", what="b")], "done"]),
        tools=[look, act],
    )
    app = Interlock([Workflow(name="Work", steps=[Step(name="work", agent=agent)])])
    runtime = app.runtime(database, timing=Timing(commit_delay=0))
    await runtime.start()
    run = v1.Run(run_id="run", session_id="session", workflow_id="Work")
    await runtime.start_run(run, None, RequestKey("", "", "", b""))
    first, second = await _asked(runtime)
    confirmation = v1.RequirementResolution(requirement_id=first, confirm=v1.Confirmation())
    await runtime.decide(Decision("run", [confirmation], ["resolutions[0]"]))
    is_answered.set()
    await settle(database, runtime.hub, "run", None, runtime.seconds_left)
    await runtime.stop()
    last = (await events_after(database, "run", 0, 100))[-1]
    [waiting] = last.workflow_paused.step_requirements
    assert [one.requirement_id for one in waiting.executor_requirements] == [second]


async def _asked(runtime: Runtime) -> list[str]:
    """Waits until both questions can be seen, while the agent still works."""
    with runtime.hub.subscribe("run") as subscription:
        while len(asked := await requirements_of_run(runtime.database, "run")) < 2:
            await subscription.wait(1.0)
    return [one.requirement.requirement_id for one in asked]
