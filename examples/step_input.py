"""Values that a step asks for before it runs: typed, and checked by the service.

python examples/step_input.py [--target HOST:PORT]
"""

from __future__ import annotations

from _common import ask, service
from interlock import Client
from interlock_server import Interlock, Step, StepInput, UserInputField, Workflow


def book(given: StepInput) -> str:
    values = given.user_input or {}
    return f"{values['seats']} seats, {values['class']}, to {given.input}"


workflow = Workflow(
    name="Booking",
    steps=[
        Step(
            name="book",
            executor=book,
            requires_user_input=True,
            user_input_message="How shall we book?",
            user_input_schema=[
                UserInputField(name="seats", field_type=int, description="How many seats"),
                UserInputField(name="class", allowed_values=["first", "second"]),
            ],
        )
    ],
)
app = Interlock([workflow])


def main() -> None:
    with service(app) as target, Client(target) as client:
        workflow = client.workflow("Booking")
        run = workflow.run("Oslo")
        while run.is_paused:
            for step in run.steps_requiring_user_input:
                seats = int(ask("How many seats?", "2"))
                step.set_user_input(**{"seats": seats, "class": ask("Which class?", "first")})
            run = workflow.continue_run(run)
        print(run.content)


if __name__ == "__main__":
    main()
