"""A person chooses the routes of a router, and says after each iteration whether a loop is done.

    python examples/routes_and_loops.py [--model MODEL] [--target HOST:PORT]

The router's own selector only proposes. Confirming an iteration leaves the loop.
"""

from __future__ import annotations

from _common import ask, service
from interlock import Client
from interlock_server import Interlock, Loop, Router, Step, StepInput, Workflow


def sources(given: StepInput) -> str:
    return f"sources on {given.message}"


def interviews(given: StepInput) -> str:
    return f"interviews on {given.message}"


def polish(given: StepInput) -> str:
    return f"{given.previous_output or given.message}, {given.feedback or 'polished'}"


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
        Loop(
            name="refine",
            steps=[Step(name="polish", executor=polish)],
            max_iterations=5,
            requires_confirmation=True,
            requires_iteration_review=True,
            on_reject="skip",
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
                proposed = ",".join(step.question.proposed_routes)
                routes = ask(f"{step.question.prompt} {step.question.available_routes}", proposed)
                step.select(*routes.split(","))
            for step in run.steps_requiring_confirmation:
                step.confirm()
            for step in run.steps_requiring_output_review:
                done = "n" if step.question.iteration == 1 else "y"
                if ask(f"{step.question.content!r} Done? [y/n]", done) == "y":
                    step.confirm()
                else:
                    step.retry("with dates")
            run = workflow.continue_run(run)
        print(run.content)


if __name__ == "__main__":
    main()
