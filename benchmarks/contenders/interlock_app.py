"""The workflows of Interlock that are measured; `interlock serve` serves them."""

from __future__ import annotations

from benchmarks.contenders import case
from interlock_server import Agent, Interlock, ScriptedModel, Step, StepInput, Workflow, call, tool


@tool(requires_confirmation=True)
def refund(order: str, amount: int) -> str:
    """Pays back what was paid for an order."""
    return case.refund_text(order, amount)


def receipt(step_input: StepInput) -> str:
    return case.receipt_text(step_input.previous_step_content)


clerk = Agent(
    name="Clerk",
    model=ScriptedModel([call("refund", order=case.ORDER, amount=case.AMOUNT), case.ANSWER]),
    tools=[refund],
)

app = Interlock([Workflow(name=case.WORKFLOW, steps=[Step(name="serve", agent=clerk), receipt])])
