"""A tool with `requires_confirmation`: the run pauses before the agent's call, and asks.

    python examples/agent_confirmation.py [--model openai-responses:gpt-5.4] [--target HOST:PORT]

Say no, and the agent is told the note instead of a result.
"""

from __future__ import annotations

from _common import approves, model, outcome, service
from interlock import Client
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
workflow = Workflow(name="WeatherWorkflow", steps=[Step(name="get_weather", agent=weather_agent)])
app = Interlock([workflow])


def main() -> None:
    with service(app) as target, Client(target) as client:
        workflow = client.workflow("WeatherWorkflow")
        response = workflow.run("What is the weather in Tokyo?")
        while response.is_paused:
            for step_req in response.step_requirements:
                for executor_req in step_req.executor_requirements:
                    if approves(executor_req):
                        executor_req.confirm()
                    else:
                        executor_req.reject(note="The user does not want to pay for it.")
            response = workflow.continue_run(response)
        print(response.content or response.error)


if __name__ == "__main__":
    main()
