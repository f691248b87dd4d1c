"""The case in Agno: a workflow with an agent that plays a script, and a function step."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from agno.agent import Agent
from agno.db.postgres import AsyncPostgresDb
from agno.models.base import Model
from agno.models.message import Message
from agno.models.response import ModelResponse
from agno.run.workflow import WorkflowRunOutput
from agno.tools import tool
from agno.workflow import Step, StepInput, StepOutput, Workflow

from benchmarks.contenders import case


@dataclass
class Script(Model):  # type: ignore[misc]
    """A model that calls the tool, and with its result gives the answer."""

    id: str = "script"

    def invoke(self, messages: list[Message], **_kwargs: Any) -> ModelResponse:
        return _next_turn(messages)

    async def ainvoke(self, messages: list[Message], **_kwargs: Any) -> ModelResponse:
        return _next_turn(messages)

    def invoke_stream(self, messages: list[Message], **_kwargs: Any) -> Iterator[ModelResponse]:
        yield _next_turn(messages)

    async def ainvoke_stream(
        self, messages: list[Message], **_kwargs: Any
    ) -> AsyncIterator[ModelResponse]:
        yield _next_turn(messages)

    def _parse_provider_response(self, response: ModelResponse, **_kwargs: Any) -> ModelResponse:
        return response

    def _parse_provider_response_delta(self, response: ModelResponse) -> ModelResponse:
        return response


def _next_turn(messages: list[Message]) -> ModelResponse:
    if messages[-1].role == "tool":
        return ModelResponse(role="assistant", content=case.answer_to(messages[-1].content))
    arguments = json.dumps({"order": case.ORDER, "amount": case.AMOUNT})
    call = {"name": "refund", "arguments": arguments}
    return ModelResponse(
        role="assistant", tool_calls=[{"id": "call-1", "type": "function", "function": call}]
    )


@tool(requires_confirmation=True)  # type: ignore[untyped-decorator]
async def refund(order: str, amount: int) -> str:
    """Pays back what was paid for an order."""
    return case.refund_text(order, amount)


async def receipt(step_input: StepInput) -> StepOutput:
    return StepOutput(content=case.receipt_text(step_input.previous_step_content))


def workflow(database: AsyncPostgresDb) -> Workflow:
    """The workflow, with everything that it stores in a database."""
    clerk = Agent(name="Clerk", model=Script(), tools=[refund], db=database, telemetry=False)
    steps = [Step(name="serve", agent=clerk), Step(name="receipt", executor=receipt)]
    return Workflow(name=case.WORKFLOW, id=case.WORKFLOW, db=database, steps=steps, telemetry=False)


def confirm(run: WorkflowRunOutput) -> None:
    """Confirms what a run waits for; its requirements are dictionaries."""
    assert run.is_paused, run
    for step in run.step_requirements:
        for requirement in step.executor_requirements:
            confirm_in(requirement)


def confirm_in(requirement: dict[str, Any]) -> None:
    """Confirms one of them."""
    requirement["confirmation"] = True
    requirement["tool_execution"]["confirmed"] = True
