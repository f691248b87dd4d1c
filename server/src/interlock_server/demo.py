"""The app of `interlock demo`: a support agent that may look up orders, and asks before it refunds.

Its model plays a script, so it needs no key and no network. Serve it with
`interlock serve interlock_server.demo:app`.
"""

from __future__ import annotations

from interlock_server import Agent, Interlock, ScriptedModel, Step, StepInput, Workflow, call, tool
from interlock_server.authoring.conversation import ModelRequest, ToolResults


@tool
def find_order(order_id: int) -> dict[str, object]:
    """Looks an order up."""
    return {"order_id": order_id, "item": "a blue mug", "price": 18.5, "paid_with": "card"}


@tool(requires_confirmation=True)
def refund(order_id: int, amount: float, reason: str) -> str:
    """Pays money back to the customer."""
    return f"{amount:.2f} for order {order_id} is on its way back to the card"


def answer(request: ModelRequest) -> str:
    """The agent's last words: what became of the refund."""
    told = request.messages[-1]
    assert isinstance(told, ToolResults)
    [outcome] = told.results
    if outcome.is_error:
        return f"I am sorry, I cannot refund this order. {outcome.text}"
    return f"It is done: {outcome.text}."


def close_ticket(step_input: StepInput) -> dict[str, object]:
    """Writes down how the ticket ended."""
    return {"question": step_input.input, "answer": step_input.previous_step_content}


support_agent = Agent(
    name="SupportAgent",
    description="Answers customers.",
    model=ScriptedModel(
        [
            ["Let me look at the order. ", call("find_order", order_id=1042)],
            [
                "A blue mug for 18.50. It arrived broken, so I would like to refund it. ",
                call("refund", order_id=1042, amount=18.5, reason="The mug arrived broken."),
            ],
            answer,
        ]
    ),
    tools=[find_order, refund],
)

app = Interlock(
    [
        Workflow(
            name="Support",
            description="Answers a customer, and asks before it pays money back.",
            steps=[
                Step(name="answer", agent=support_agent),
                Step(name="close", executor=close_ticket),
            ],
        )
    ]
)
