"""A confirmation inside `Steps`: after the pause, the rest of the group runs too.

    python examples/confirmation_in_steps.py [--model MODEL] [--target HOST:PORT]

The step before the pause is not repeated: its result is on record.
"""

from __future__ import annotations

from _common import approves, model, outcome, service
from interlock import Client
from interlock_server import Agent, Interlock, Step, StepInput, Steps, Workflow, call, tool


@tool(requires_confirmation=True)
def create_account(login: str) -> str:
    """Creates an account for a new colleague, which takes a paid seat."""
    return f"The account {login} exists."


def choose_login(step_input: StepInput) -> str:
    return f"Create the account {str(step_input.input).lower()}."


def send_welcome(step_input: StepInput) -> str:
    return f"{step_input.previous_step_content} A welcome is on its way."


def close_ticket(step_input: StepInput) -> str:
    return f"Ticket closed: {step_input.previous_step_content}"


account_agent = Agent(
    name="AccountAgent",
    model=model(call("create_account", login="grace"), outcome),
    tools=[create_account],
    instructions="Create the account that you are told to, and say in one sentence that it exists.",
)
workflow = Workflow(
    name="StepsExecutorHITL",
    steps=[
        Steps(
            name="onboarding",
            steps=[
                Step(name="choose_login", executor=choose_login),
                Step(name="create_account", agent=account_agent),
                Step(name="send_welcome", executor=send_welcome),
            ],
        ),
        Step(name="close_ticket", executor=close_ticket),
    ],
)
app = Interlock([workflow])


def main() -> None:
    with service(app) as target, Client(target) as client:
        workflow = client.workflow("StepsExecutorHITL")
        response = workflow.run("Grace")
        while response.is_paused:
            for step_req in response.step_requirements:
                print(f"Paused at {' > '.join(step_req.step_path)}")
                for executor_req in step_req.executor_requirements:
                    if approves(executor_req):
                        executor_req.confirm()
                    else:
                        executor_req.reject(note="There is no free seat.")
            response = workflow.continue_run(response)
        print(response.content or response.error)


if __name__ == "__main__":
    main()
