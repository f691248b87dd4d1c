"""The workflows of Interlock whose cycles are measured; `interlock serve` serves them."""

from __future__ import annotations

from benchmarks.contenders import case
from interlock_server import (
    Agent,
    Interlock,
    ModelRequest,
    ScriptedModel,
    Step,
    StepInput,
    ToolResults,
    Workflow,
    call,
    tool,
)


@tool(requires_confirmation=True)
async def refund(order: str, amount: int) -> str:
    """Pays back what was paid for an order."""
    return case.refund_text(order, amount)


def answer(request: ModelRequest) -> str:
    results = request.messages[-1]
    assert isinstance(results, ToolResults)
    return case.answer_to(results.results[0].text)


async def receipt(step_input: StepInput) -> str:
    return case.receipt_text(step_input.previous_step_content)


async def look(step_input: StepInput) -> str:
    return f"Looked at {len(step_input.input)} characters, and found nothing that is new."


async def answer_at_once(step_input: StepInput) -> str:
    return case.ANSWER


clerk = Agent(
    name="Clerk",
    model=ScriptedModel([call("refund", order=case.ORDER, amount=case.AMOUNT), answer]),
    tools=[refund],
)
gated_tool = Workflow(name=case.WORKFLOW, steps=[Step(name="serve", agent=clerk), receipt])
gated_step = Workflow(
    name=case.GATED_STEP,
    steps=[Step(name="serve", executor=answer_at_once, requires_confirmation=True), receipt],
)
prepared = Workflow(
    name=case.PREPARED,
    steps=[
        *(Step(name=name, executor=look) for name in ("mail", "order", "payment")),
        Step(name="serve", agent=clerk),
    ],
)
app = Interlock([gated_tool, gated_step, prepared])
