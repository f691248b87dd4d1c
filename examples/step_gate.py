"""People around whole steps: a gate with values before a step, a judgement of its output after it.

    python examples/step_gate.py [--model MODEL] [--target HOST:PORT]

Rejecting the draft sends it back, and the agent reads why. The gate itself is not asked again.
"""

from __future__ import annotations

from _common import ask, model, service
from interlock import Client
from interlock_server import (
    Agent,
    HumanReview,
    Interlock,
    ModelRequest,
    Step,
    UserInputField,
    Workflow,
)


def draft(request: ModelRequest) -> str:
    """The scripted model: a letter, and a shorter one when somebody asks for it."""
    return (
        "Dear all, we ship."
        if "shorter" in str(request.messages[0])
        else "Dear all, we shall ship."
    )


writer = Agent(name="Writer", model=model(draft), instructions="Write a letter of one sentence.")
workflow = Workflow(
    name="Letter",
    steps=[
        Step(
            name="write",
            agent=writer,
            human_review=HumanReview(
                requires_confirmation=True,
                confirmation_message="Write to all customers?",
                requires_user_input=True,
                user_input_schema=[
                    UserInputField(name="tone", allowed_values=["warm", "brief"]),
                ],
                requires_output_review=lambda output: len(output.content) > 10,
                on_reject="retry",
                max_retries=2,
            ),
        ),
    ],
)
app = Interlock([workflow])


def main() -> None:
    with service(app) as target, Client(target) as client:
        workflow = client.workflow("Letter")
        run = workflow.run("Tell them that we ship on Monday.")
        while run.is_paused:
            for step in run.steps_requiring_confirmation:
                if ask(f"{step.question.prompt} [y/n]", "y") == "y":
                    step.confirm()
                else:
                    step.reject("Not this week.")
            for step in run.steps_requiring_user_input:
                step.set_user_input(tone=ask("Which tone? [warm/brief]", "brief"))
            for step in run.steps_requiring_output_review:
                again = "n" if step.question.retry_count == 0 else "y"
                if ask(f"{step.question.content!r} Good? [y/n]", again) == "y":
                    step.confirm()
                else:
                    step.reject("Make it shorter.")
            run = workflow.continue_run(run)
        print(run.content)


if __name__ == "__main__":
    main()
