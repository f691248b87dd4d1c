"""A tool with `requires_user_input`: a person fills in arguments that no model may choose.

    python examples/agent_user_input.py [--model MODEL] [--target HOST:PORT]

The model does not even see the fields in `user_input_fields`. The values are checked against
the tool's parameters before anything is recorded.
"""

from __future__ import annotations

from _common import ask, model, outcome, service
from interlock import Client
from interlock_server import Agent, Interlock, Step, Workflow, call, tool


@tool(requires_user_input=True, user_input_fields=["recipient"])
def send_money(amount: float, recipient: str, note: str) -> str:
    """Sends money."""
    return f"Sent {amount:.2f} to {recipient}: {note}"


bank_agent = Agent(
    name="BankAgent",
    model=model(call("send_money", amount=250, note="Rent for May"), outcome),
    tools=[send_money],
    instructions="Send the money that the user asks for. You are not told to whom: a person "
    "fills that in. Answer with what became of it.",
)
app = Interlock([Workflow(name="Payment", steps=[Step(name="pay", agent=bank_agent)])])


def main() -> None:
    with service(app) as target, Client(target) as client:
        workflow = client.workflow("Payment")
        response = workflow.run("Pay the rent for May: 250.")
        while response.is_paused:
            for step_req in response.step_requirements:
                for executor_req in step_req.executor_requirements:
                    tool_call = executor_req.tool_execution
                    print(f"{tool_call.tool_name} waits: {tool_call.tool_args}")
                    values = {
                        field.name: ask(f"{field.name} ({field.field_type})?", "Ada Lovelace")
                        for field in executor_req.user_input_schema
                    }
                    executor_req.provide_user_input(values)
            response = workflow.continue_run(response)
        print(response.content or response.error)


if __name__ == "__main__":
    main()
