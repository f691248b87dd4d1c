"""A confirmation inside a `Loop`: every iteration that calls the tool pauses for itself.

    python examples/confirmation_in_loop.py [--model MODEL] [--target HOST:PORT]

The step's path says which iteration waits. Iterations that are done are not repeated.
"""

from __future__ import annotations

import re

from _common import approves, model, outcome, service
from interlock import Client
from interlock_server import (
    Agent,
    Call,
    Interlock,
    Loop,
    ModelRequest,
    Step,
    Workflow,
    call,
    tool,
)


@tool(requires_confirmation=True)
def roll_out(percent: int) -> str:
    """Gives the new release to this percentage of all users."""
    return f"The release is out to {percent}% of the users."


def next_stage(request: ModelRequest) -> Call:
    """The scripted model: the next of 10, 50 and 100 percent after the one it is told."""
    reached = re.search(r"out to (\d+)%", str(request.messages[0]))
    return call("roll_out", percent={"10": 50, "50": 100}[reached[1]] if reached else 10)


release_agent = Agent(
    name="ReleaseAgent",
    model=model(next_stage, outcome),
    tools=[roll_out],
    instructions="A release goes out to 10%, then 50%, then 100% of the users. You are told how "
    "far it is. Call roll_out once, for the next stage only, and answer with its result.",
)
workflow = Workflow(
    name="LoopExecutorHITL",
    steps=[
        Loop(
            name="stages",
            steps=[Step(name="stage", agent=release_agent)],
            max_iterations=5,
            end_condition=lambda outputs: "100%" in str(outputs[-1].content),
            forward_iteration_output=True,
        )
    ],
)
app = Interlock([workflow])


def main() -> None:
    with service(app) as target, Client(target) as client:
        workflow = client.workflow("LoopExecutorHITL")
        response = workflow.run("Roll out release 2.4. Nobody has it yet.")
        while response.is_paused:
            for step_req in response.step_requirements:
                print(f"Paused at {' > '.join(step_req.step_path)}")
                for executor_req in step_req.executor_requirements:
                    if approves(executor_req):
                        executor_req.confirm()
                    else:
                        executor_req.reject(note="Wait: the error rate is too high.")
            response = workflow.continue_run(response)
        print(response.content or response.error)


if __name__ == "__main__":
    main()
