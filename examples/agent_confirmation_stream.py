"""The same pause, streaming: events tell of it as it happens, and the text comes in pieces.

    python examples/agent_confirmation_stream.py [--model MODEL] [--target HOST:PORT]

A stream ends when its run pauses; the session then has the paused run. The run itself
belongs to the service: closing a stream stops nothing.
"""

from __future__ import annotations

from _common import approves, model, outcome, service
from interlock import (
    Client,
    RunStream,
    StepExecutorContinuedEvent,
    StepExecutorPausedEvent,
    WorkflowCompletedEvent,
    WorkflowFailedEvent,
)
from interlock_server import Agent, Interlock, Step, Workflow, call, tool


@tool(requires_confirmation=True)
def get_the_weather(city: str) -> str:
    """The weather in a city, from a service that charges for every request."""
    return f"It is 70 degrees and cloudy in {city}"


weather_agent = Agent(
    name="WeatherAgent",
    model=model(call("get_the_weather", city="Tokyo"), outcome),
    tools=[get_the_weather],
    instructions="Answer questions about the weather with your tool, in one sentence.",
)
workflow = Workflow(name="WeatherStream", steps=[Step(name="get_weather", agent=weather_agent)])
app = Interlock([workflow])


def show(events: RunStream) -> None:
    for event in events:
        if isinstance(event, StepExecutorPausedEvent):
            print(f"Paused: {event.executor_name} ({event.executor_type})")
        elif isinstance(event, StepExecutorContinuedEvent):
            print(f"Resumed: {event.executor_name}")
        elif content := getattr(event, "content", None):
            print(content, end="", flush=True)
        if isinstance(event, WorkflowCompletedEvent):
            print("\nDone")
        elif isinstance(event, WorkflowFailedEvent):
            print(f"Failed: {event.error}")


def main() -> None:
    with service(app) as target, Client(target) as client:
        workflow = client.workflow("WeatherStream")
        show(workflow.run("What is the weather in Tokyo?", stream=True))
        while (run_output := workflow.get_session().runs[-1]).is_paused:
            for step_req in run_output.step_requirements:
                for executor_req in step_req.executor_requirements:
                    if approves(executor_req):
                        executor_req.confirm()
                    else:
                        executor_req.reject(note="The user does not want to pay for it.")
            show(workflow.continue_run(run_output, stream=True))


if __name__ == "__main__":
    main()
