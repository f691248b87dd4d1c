"""A person chooses the routes of a router, in the order in which they run.

    python examples/route_selection.py [--target HOST:PORT]

The router's own selector only proposes.
"""

from __future__ import annotations

from _common import ask, service
from interlock import Client
from interlock_server import Interlock, Router, Step, StepInput, Workflow


def sources(given: StepInput) -> str:
    return f"sources on {given.message}"


def interviews(given: StepInput) -> str:
    return f"interviews on {given.message}"


workflow = Workflow(
    name="Research",
    steps=[
        Router(
            name="research",
            choices=[
                Step(name="sources", executor=sources),
                Step(name="interviews", executor=interviews),
            ],
            selector=lambda given: "sources",
            requires_user_input=True,
            user_input_message="Where shall we look?",
            allow_multiple_selections=True,
        ),
    ],
)
app = Interlock([workflow])


def main() -> None:
    with service(app) as target, Client(target) as client:
        workflow = client.workflow("Research")
        run = workflow.run("tides")
        while run.is_paused:
            for step in run.steps_requiring_route:
                question = step.question
                proposed = ",".join(question.proposed_routes)
                print(f"{question.prompt} Proposed: {proposed}")
                usual = ",".join(reversed(question.available_routes))
                step.select(*ask(f"{question.available_routes}", usual).split(","))
            run = workflow.continue_run(run)
        print(run.content)


if __name__ == "__main__":
    main()
