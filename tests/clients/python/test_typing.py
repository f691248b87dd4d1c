"""The types, as `mypy --strict` sees them from outside."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

GOOD = """
from collections.abc import AsyncIterator, Iterator
from typing import Any, assert_type

import interlock
from interlock import AsyncClient, AsyncRunStream, Client, Decision, RunOutput, RunStream
from interlock import AsyncWorker, Call, Worker
from interlock import v1
from interlock.events import (
    Event,
    StepCompletedEvent,
    StepExecutorContinuedEvent,
    StepExecutorPausedEvent,
    WorkflowCompletedEvent,
)

client = Client("localhost:50051", timeout=5, token="t", metadata={"a": "b"})
workflow = client.workflow("WeatherWorkflow")
response = workflow.run("What is the weather in Tokyo?")
assert_type(response, RunOutput)

if response.is_paused:
    for step_req in response.step_requirements or []:
        if step_req.requires_executor_input:
            for executor_req in step_req.executor_requirements or []:
                if executor_req.needs_confirmation:
                    executor_req.confirm()
                elif executor_req.needs_user_input:
                    executor_req.provide_user_input(
                        {field.name: 1 for field in executor_req.user_input_schema or []}
                    )
                elif executor_req.needs_external_execution:
                    assert_type(executor_req.tool_execution.tool_name, str)
                    executor_req.tool_execution.result = executor_req.tool_execution.tool_args
    response = workflow.continue_run(response)

print(response.content["any"][0].attribute)

assert_type(workflow.run("x", stream=True), RunStream)
assert_type(client.continue_run("run-1", stream=False, wait_timeout=1.5), RunOutput)

for event in workflow.run("x", stream=True):
    assert_type(event, Event[Any])
    if isinstance(event, StepExecutorPausedEvent):
        print(f"Paused: {event.executor_name} ({event.executor_type})")
    elif isinstance(event, StepExecutorContinuedEvent):
        assert_type(event.executor_name, str)
    elif isinstance(event, StepCompletedEvent):
        assert_type(event.payload, v1.StepCompleted)
    if hasattr(event, "content") and event.content:
        print(event.content, end="", flush=True)

session = workflow.get_session()
run_output = session.runs[-1] if session and session.runs else None
assert_type(run_output, RunOutput | None)


def either(stream: bool) -> RunOutput | RunStream:
    return workflow.run("x", stream=stream)


assert_type(client.list_runs(states=["PAUSED"]), Iterator[RunOutput])
requirement, run_state = client.resolve("req-1", Decision.confirm(), hold_run=True)
assert_type(run_state, str)


async def main() -> None:
    async with AsyncClient("localhost:50051") as client:
        workflow = client.workflow("WeatherWorkflow")
        response = await workflow.arun("x")
        assert_type(response, RunOutput)
        assert_type(await workflow.acontinue_run(response), RunOutput)
        assert_type(workflow.arun("x", stream=True), AsyncRunStream)
        async for event in workflow.acontinue_run(response, stream=True):
            if isinstance(event, WorkflowCompletedEvent):
                assert_type(event.usage.input_tokens, int)
        assert_type(client.list_runs(), AsyncIterator[RunOutput])
        run = await client.get_run(response.run_id)
        assert_type(run.status, str)
        try:
            await client.cancel_run(run, reason="enough")
        except interlock.AlreadyResolvedError as error:
            assert_type(error.resolved_by, str)


def query(call: Call) -> list[str]:
    assert_type(call.epoch, int)
    return [call.args["sql"]]


async def aquery(call: Call) -> list[str]:
    return query(call)


Worker(client, {"run_query": query}, concurrency=2, lease=60).run()
with Worker(client, {"run_query": query}, on_end=lambda call: print(call.outcome)) as worker:
    assert_type(worker, Worker)


async def work(async_client: AsyncClient) -> None:
    async with AsyncWorker(async_client, {"run_query": aquery}) as worker:
        worker.stop(10)
    claimed = await async_client.claim_requirement(["run_query"], worker_id="me")
    if claimed is not None and claimed.claim is not None:
        assert_type(claimed.claim.epoch, int)
"""

BAD = """
from interlock import AsyncClient, Client, RunOutput, Worker
from interlock.events import StepStartedEvent

client = Client("localhost:50051", timeout="5")  # wrong
client = Client(50051)  # wrong
workflow = client.workflow("WeatherWorkflow")
run: RunOutput = workflow.run("x", stream=True)  # wrong
for _ in workflow.run("x"):  # wrong
    pass
workflow.run("x", stream=True, wait_timeout=1)  # wrong
workflow.run("x", labels={"a": 1})  # wrong
workflow.continue_run(run.step_requirements)  # wrong
run.status = "COMPLETED"  # wrong
run.active_requirements[0].confirm(note=1)  # wrong
run.active_requirements[0].reject(on_reject="EXPLODE")  # wrong
run.active_requirements[0].aprove()  # wrong
run.active_requirements[0].tool_execution.tool_name = "other"  # wrong
client.resolve("req-1", "yes")  # wrong
client.resolve("req-1", claim_epoch="1")  # wrong
Worker(client, {"run_query": "SELECT"})  # wrong
Worker(AsyncClient("localhost:50051"), {"run_query": str})  # wrong
for event in workflow.run("x", stream=True):
    if isinstance(event, StepStartedEvent):
        event.atempt  # wrong


async def main() -> None:
    async_client = AsyncClient("localhost:50051")
    async_workflow = async_client.workflow("WeatherWorkflow")
    output: RunOutput = async_workflow.arun("x")  # wrong
    await async_workflow.arun("x", stream=True)  # wrong
    async_workflow.run("x")  # wrong
    for event in async_workflow.arun("x", stream=True):  # wrong
        pass
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mypy")


def mypy(program: str, folder: Path, cache: Path) -> tuple[int, str]:
    """Checks a program in an empty folder, with nothing but the installed package."""
    path = folder / "program.py"
    path.write_text(program)
    command = [sys.executable, "-m", "mypy", "--strict", f"--cache-dir={cache}", path.name]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_a_right_program_passes(tmp_path: Path, cache: Path) -> None:
    code, output = mypy(GOOD, tmp_path, cache)
    assert code == 0, output


@pytest.mark.slow
def test_every_mistake_is_found(tmp_path: Path, cache: Path) -> None:
    _, output = mypy(BAD, tmp_path, cache)
    found = {int(line) for line in re.findall(r"^program.py:(\d+): error", output, re.MULTILINE)}
    wrong = {
        number for number, line in enumerate(BAD.splitlines(), start=1) if line.endswith("# wrong")
    }
    assert found == wrong, output
