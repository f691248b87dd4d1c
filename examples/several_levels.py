"""Several levels on one step, and another step beside it: each waits for its own.

    python examples/several_levels.py [--model MODEL] [--target HOST:PORT]

The letter has a gate, values, and a judgement of its output, in that order; a letter that is
rejected is written again, and nothing before it is asked again. The invoice beside it has a gate of
its own, and waits for nobody else.
"""

from __future__ import annotations

from _common import ask, model, service
from interlock import Client
from interlock_server import (
    Agent,
    HumanReview,
    Interlock,
    ModelRequest,
    Parallel,
    Step,
    StepInput,
    UserInputField,
    Workflow,
)


def draft(request: ModelRequest) -> str:
    """The scripted model: a letter, and a shorter one when somebody asks for it."""
    is_shorter = "shorter" in str(request.messages[0])
    return "Dear all, we ship." if is_shorter else "Dear all, we shall ship."


def invoice(given: StepInput) -> str:
    return "an invoice"


writer = Agent(name="Writer", model=model(draft), instructions="Write a letter of one sentence.")
letter = Step(
    name="letter",
    agent=writer,
    human_review=HumanReview(
        requires_confirmation=True,
        confirmation_message="Write to all customers?",
        requires_user_input=True,
        user_input_schema=[UserInputField(name="tone", allowed_values=["warm", "brief"])],
        requires_output_review=lambda output: len(output.content) > 10,
        on_reject="retry",
        max_retries=2,
    ),
)
bill = Step(name="bill", executor=invoice, requires_confirmation=True)
workflow = Workflow(name="Mail", steps=[Parallel(letter, bill, name="both")])
app = Interlock([workflow])


def main() -> None:
    with service(app) as target, Client(target) as client:
        workflow = client.workflow("Mail")
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
