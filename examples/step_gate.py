"""Gates in front of a whole step and of a `Condition`.

    python examples/step_gate.py [--target HOST:PORT]

Saying no to the condition runs its other branch; saying no to the step passes over it.
"""

from __future__ import annotations

from _common import ask, service
from interlock import Client
from interlock_server import Condition, Interlock, Step, StepInput, Workflow


def refund(given: StepInput) -> str:
    return f"{given.input}: refunded"


def voucher(given: StepInput) -> str:
    return f"{given.input}: a voucher"


def announce(given: StepInput) -> str:
    return f"{given.previous_step_content}, and told"


workflow = Workflow(
    name="Complaint",
    steps=[
        Condition(
            name="generous",
            steps=[Step(name="refund", executor=refund)],
            else_steps=[Step(name="voucher", executor=voucher)],
            requires_confirmation=True,
            confirmation_message="Give the money back?",
        ),
        Step(name="announce", executor=announce, requires_confirmation=True, on_reject="skip"),
    ],
)
app = Interlock([workflow])


def main() -> None:
    with service(app) as target, Client(target) as client:
        workflow = client.workflow("Complaint")
        run = workflow.run("order 7")
        while run.is_paused:
            for step in run.steps_requiring_confirmation:
                usual = "n" if step.step_name == "generous" else "y"
                if ask(f"{step.question.prompt} [y/n]", usual) == "y":
                    step.confirm()
                else:
                    step.reject("The order is too old.")
            run = workflow.continue_run(run)
        print(run.content)


if __name__ == "__main__":
    main()
