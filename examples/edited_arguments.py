"""A closer look at calls: only large ones need a yes, with a preview, and may be changed.

    python examples/edited_arguments.py [--model MODEL] [--target HOST:PORT]

Changed arguments are held against the predicate again, and the agent reads who changed them.
"""

from __future__ import annotations

from _common import ask, model, outcome, service
from interlock import Client
from interlock_server import Agent, Interlock, Step, Workflow, call, tool


@tool(
    requires_confirmation=lambda args: args["euros"] > 100,
    editable_args=True,
    preview=lambda args: f"{args['euros']} euros leave the account today.",
)
def pay(euros: int, to: str) -> str:
    """Pays somebody."""
    return f"{euros} euros are on their way to {to}."


clerk = Agent(
    name="Clerk",
    model=model([call("pay", euros=40, to="Ann"), call("pay", euros=400, to="Bob")], outcome),
    tools=[pay],
    instructions="Pay what you are asked to pay, and repeat what the tool says.",
)
workflow = Workflow(name="Payroll", steps=[Step(name="pay", agent=clerk)])
app = Interlock([workflow])


def main() -> None:
    with service(app) as target, Client(target) as client:
        workflow = client.workflow("Payroll")
        run = workflow.run("Pay Ann 40 euros, and Bob 400.")
        while run.is_paused:
            for asked in run.active_requirements:
                args = asked.tool_execution.tool_args
                euros = int(ask(f"{asked.prompt} How much may it be?", "90"))
                asked.confirm("The budget is used up.", edited_args={**args, "euros": euros})
            run = workflow.continue_run(run)
        print(run.content)


if __name__ == "__main__":
    main()
