"""A person says before a loop whether it starts, and after each iteration whether it is done.

    python examples/loop_review.py [--target HOST:PORT]

Confirming an iteration leaves the loop; what somebody says about one reaches the next.
"""

from __future__ import annotations

from _common import ask, service
from interlock import Client
from interlock_server import Interlock, Loop, Step, StepInput, Workflow


def polish(given: StepInput) -> str:
    return f"{given.previous_output or given.message}, {given.feedback or 'polished'}"


workflow = Workflow(
    name="Polish",
    steps=[
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
        workflow = client.workflow("Polish")
        run = workflow.run("a text on tides")
        while run.is_paused:
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
