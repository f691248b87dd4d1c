"""A judgement of a step's output: accept it, change it, or have it made again.

    python examples/output_review.py [--target HOST:PORT]

Whoever sends it back says what to do better, at most twice; the earlier outputs stay in the run.
"""

from __future__ import annotations

from _common import ask, service
from interlock import Client
from interlock_server import HumanReview, Interlock, Step, StepInput, Workflow


def headline(given: StepInput) -> str:
    return f"{given.previous_output}, {given.feedback}" if given.feedback else "Sun"


workflow = Workflow(
    name="Paper",
    steps=[
        Step(
            name="headline",
            executor=headline,
            human_review=HumanReview(requires_output_review=True, on_reject="retry", max_retries=2),
        )
    ],
)
app = Interlock([workflow])


def main() -> None:
    with service(app) as target, Client(target) as client:
        workflow = client.workflow("Paper")
        run = workflow.run()
        while run.is_paused:
            for step in run.steps_requiring_output_review:
                usual = "again" if step.question.retry_count == 0 else "edit"
                match ask(f"{step.question.content!r}? [good/edit/again]", usual):
                    case "good":
                        step.confirm()
                    case "edit":
                        step.edit(f"{step.question.content}!")
                    case _:
                        step.reject("and more of it")
            run = workflow.continue_run(run)
        print(run.content)


if __name__ == "__main__":
    main()
