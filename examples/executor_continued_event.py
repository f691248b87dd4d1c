"""The life of `StepExecutorContinuedEvent`: once for each pause of a step that goes on.

    python examples/executor_continued_event.py [--model MODEL] [--target HOST:PORT]

The agent asks twice, so the step pauses twice and goes on twice. The numbers are positions
in the run's history: without gaps, the same for everybody who watches, and kept.
"""

from __future__ import annotations

from typing import Any

from _common import approves, model, outcome, service
from interlock import Client, Event, StepExecutorContinuedEvent, StepExecutorPausedEvent
from interlock_server import Agent, Interlock, Step, Workflow, call, tool


@tool(requires_confirmation=True)
def stop_server(name: str) -> str:
    """Stops a server. Its users are cut off."""
    return f"{name} has stopped."


@tool(requires_confirmation=True)
def start_server(name: str) -> str:
    """Starts a server that was stopped."""
    return f"{name} is up again."


operator = Agent(
    name="Operator",
    model=model(call("stop_server", name="db-1"), call("start_server", name="db-1"), outcome),
    tools=[stop_server, start_server],
    instructions="To restart a server, stop it, and when it has stopped, start it. One tool at a "
    "time. Answer with the state it is in.",
)
app = Interlock([Workflow(name="Restart", steps=[Step(name="restart", agent=operator)])])


def show(event: Event[Any]) -> None:
    if isinstance(event, StepExecutorPausedEvent):
        tools = [one.tool_execution.tool_name for one in event.executor_requirements]
        print(f"{event.sequence:>3} paused     {event.executor_name} waits for {tools}")
    elif isinstance(event, StepExecutorContinuedEvent):
        print(f"{event.sequence:>3} continued  {event.executor_name} goes on")


def main() -> None:
    with service(app) as target, Client(target) as client:
        workflow = client.workflow("Restart")
        for event in workflow.run("Restart the server db-1.", stream=True):
            show(event)
        while (run_output := workflow.get_session().runs[-1]).is_paused:
            for requirement in run_output.active_requirements:
                if approves(requirement):
                    requirement.confirm()
                else:
                    requirement.reject(note="Not before midnight.")
            for event in workflow.continue_run(run_output, stream=True):
                show(event)
        print(f"{run_output.content or run_output.error}\nThe whole history:")
        for event in client.list_run_events(run_output):
            print(f"{event.sequence:>3} {type(event).__name__.removesuffix('Event')}")


if __name__ == "__main__":
    main()
