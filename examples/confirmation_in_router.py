"""A confirmation inside a `Router`: only the route that was selected can pause.

    python examples/confirmation_in_router.py [--model MODEL] [--target HOST:PORT]

The selector is asked once and its choice is recorded.
"""

from __future__ import annotations

from _common import approves, model, outcome, service
from interlock import Client
from interlock_server import Agent, Interlock, Router, Step, StepInput, Workflow, call, tool


@tool(requires_confirmation=True)
def refund(order_id: str, euros: float) -> str:
    """Pays the price of an order back to the customer."""
    return f"{euros:.2f} euros for order {order_id} are on their way back."


def select_route(step_input: StepInput) -> str:
    return "refund" if "money back" in str(step_input.input) else "answer"


refund_agent = Agent(
    name="RefundAgent",
    model=model(call("refund", order_id="A-17", euros=49.5), outcome),
    tools=[refund],
    instructions="Refund the order that the customer names, and tell the customer about it.",
)
answer_agent = Agent(
    name="AnswerAgent",
    model=model("We are open from nine to five."),
    instructions="Answer the customer in one sentence. We are open from nine to five.",
)
workflow = Workflow(
    name="RouterExecutorHITL",
    steps=[
        Router(
            name="desk",
            selector=select_route,
            choices=[
                Step(name="refund", agent=refund_agent),
                Step(name="answer", agent=answer_agent),
            ],
        )
    ],
)
app = Interlock([workflow])


def main() -> None:
    with service(app) as target, Client(target) as client:
        workflow = client.workflow("RouterExecutorHITL")
        print(workflow.run("When are you open?").content)
        response = workflow.run("I want my money back for order A-17: 49.50 euros.")
        while response.is_paused:
            for step_req in response.step_requirements:
                print(f"Paused at {' > '.join(step_req.step_path)}")
                for executor_req in step_req.executor_requirements:
                    if approves(executor_req):
                        executor_req.confirm()
                    else:
                        executor_req.reject(note="The order is older than two years.")
            response = workflow.continue_run(response)
        print(response.content or response.error)


if __name__ == "__main__":
    main()
