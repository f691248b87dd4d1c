"""A step that fails asks a person: try it again, skip it, let it fail, or supply its output.

python examples/error_decision.py [--model MODEL] [--target HOST:PORT]
"""

from __future__ import annotations

from _common import ask, service
from interlock import Client
from interlock_server import Interlock, Step, StepInput, Workflow


def fetch_rates(given: StepInput) -> dict[str, float]:
    raise ConnectionError("the bank does not answer")


def convert(given: StepInput) -> str:
    return (
        f"{given.input} euros are {given.input * given.previous_step_content['USD']:.2f} dollars."
    )


workflow = Workflow(
    name="Rates",
    steps=[
        Step(name="fetch_rates", executor=fetch_rates, on_error="pause"),
        Step(name="convert", executor=convert),
    ],
)
app = Interlock([workflow])


def main() -> None:
    with service(app) as target, Client(target) as client:
        workflow = client.workflow("Rates")
        run = workflow.run(200)
        while run.is_paused:
            for step in run.steps_with_errors:
                print(f"{step.step_name} failed: {step.question.error_message}")
                match ask("Retry, skip, fail, or supply? [r/s/f/o]", "o"):
                    case "r":
                        step.retry()
                    case "s":
                        step.skip()
                    case "f":
                        step.fail("no rates today")
                    case _:
                        step.edit({"USD": 1.17})
            run = workflow.continue_run(run)
        print(run.content or run.error)


if __name__ == "__main__":
    main()
