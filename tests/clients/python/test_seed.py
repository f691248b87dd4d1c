"""The user's page: its client code, with other imports and a server's name."""

# the page prints

from __future__ import annotations

import pytest
from tests.clients.python import samples
from tests.clients.python.samples import batch
from tests.clients.python.scripted import ScriptedServer

from interlock import AsyncClient, Client, v1
from interlock.events import (
    StepExecutorContinuedEvent,
    StepExecutorPausedEvent,
    WorkflowCompletedEvent,
)

PAUSED = samples.paused_run(
    samples.requirement("CONFIRMATION", requirement_id="yes-or-no"),
    samples.requirement(
        "USER_INPUT",
        requirement_id="values",
        user_input_schema=[v1.UserInputField(name="recipient")],
    ),
    samples.requirement("EXTERNAL_EXECUTION", requirement_id="elsewhere"),
)
(WAITING,) = PAUSED.step_requirements

CONTINUED_LEG = batch(
    v1.ContinueRunStreamResponse,
    samples.event(
        4,
        "step_executor_continued",
        v1.StepExecutorContinued(executor=WAITING.executor, executor_name="Teller"),
        "pay",
    ),
    samples.delta(4, 1, "It is ", "pay"),
    samples.delta(4, 2, "done.", "pay"),
    samples.step_completed(5, "It is done.", "pay"),
    samples.step_started(6, "sign"),
    samples.step_completed(7, " Bye.", "sign"),
    samples.completed(8, " Bye."),
)


@pytest.fixture(autouse=True)
def bank(server: ScriptedServer) -> ScriptedServer:
    """A server whose only run pauses once, for three requirements."""
    pause = v1.StepExecutorPaused(step_requirement=WAITING)
    first_leg = batch(
        v1.RunStreamResponse,
        samples.started(),
        samples.step_started(2, "pay"),
        samples.event(3, "step_executor_paused", pause, "pay"),
        samples.workflow_paused(4),
    )
    done = samples.run("COMPLETED", "It is done.")
    older = samples.run("COMPLETED", run_id="run-0")
    server.answer("Run", lambda _: iter([v1.RunResponse(run=PAUSED)]))
    server.answer("RunStream", lambda _: iter([first_leg]))
    server.answer("ContinueRun", lambda _: iter([v1.ContinueRunResponse(run=done)]))
    server.answer("ContinueRunStream", lambda _: iter([CONTINUED_LEG]))
    server.answer("GetRun", lambda _: iter([v1.GetRunResponse(run=PAUSED)]))
    server.answer("ListRuns", lambda _: iter([v1.ListRunsResponse(runs=[PAUSED, older])]))
    session = v1.Session(session_id="session-1")
    server.answer("GetSession", lambda _: iter([v1.GetSessionResponse(session=session)]))
    return server


def test_resolving_each_type(bank: ScriptedServer) -> None:
    with Client(bank.target) as client:
        workflow = client.workflow("greet")
        response = workflow.run("What is the weather in Tokyo?")

        if response.is_paused:
            for step_req in response.step_requirements or []:
                if step_req.requires_executor_input:
                    for executor_req in step_req.executor_requirements or []:
                        if executor_req.needs_confirmation:
                            executor_req.reject(note="User declined")
                        elif executor_req.needs_user_input:
                            values = {
                                field.name: "ada" for field in executor_req.user_input_schema or []
                            }
                            executor_req.provide_user_input(values)
                        elif executor_req.needs_external_execution:
                            tool_name = executor_req.tool_execution.tool_name
                            tool_args = executor_req.tool_execution.tool_args
                            executor_req.tool_execution.result = f"{tool_name} {tool_args}"

            response = workflow.continue_run(response)

        assert response.content == "It is done."

    (request,) = bank.requests("ContinueRun")
    rejection = v1.Rejection(note="User declined")
    result = v1.ExternalResult(result_json="\"send_money {'amount': 9007199254740993}\"")
    assert request == v1.ContinueRunRequest(
        run_id="run-1",
        resolutions=[
            v1.RequirementResolution(requirement_id="yes-or-no", reject=rejection),
            v1.RequirementResolution(
                requirement_id="values", user_input=v1.UserInput(values_json='{"recipient":"ada"}')
            ),
            v1.RequirementResolution(requirement_id="elsewhere", external_result=result),
        ],
        request_id=request.request_id,
        wait_timeout=request.wait_timeout,
    )


def test_only_what_was_decided_is_sent(bank: ScriptedServer) -> None:
    with Client(bank.target) as client:
        workflow = client.workflow("greet")
        response = workflow.run()
        response.step_requirements[0].executor_requirements[0].confirm()
        client.continue_run(response)
    (request,) = bank.requests("ContinueRun")
    assert [one.requirement_id for one in request.resolutions] == ["yes-or-no"]


def test_streaming(bank: ScriptedServer, capsys: pytest.CaptureFixture[str]) -> None:
    with Client(bank.target) as client:
        workflow = client.workflow("greet")
        for event in workflow.run("What is the weather in Tokyo?", stream=True):
            if isinstance(event, StepExecutorPausedEvent):
                print(f"Paused: {event.executor_name} ({event.executor_type})")
            elif isinstance(event, StepExecutorContinuedEvent):
                print(f"Resumed: {event.executor_name}")
            elif isinstance(event, WorkflowCompletedEvent):
                print("Done")

        session = workflow.get_session()
        run_output = session.runs[-1] if session and session.runs else None  # type: ignore[truthy-bool]

        if run_output and run_output.is_paused:
            run_output.active_requirements[0].confirm()

            for event in workflow.continue_run(run_output, stream=True):
                if hasattr(event, "content") and event.content:
                    print(event.content, end="", flush=True)

    assert capsys.readouterr().out == "Paused: Teller (agent)\nIt is done. Bye."
    assert [run.run_id for run in session.runs] == ["run-0", "run-1"]
    (listed,) = bank.requests("ListRuns")
    assert listed.filter == v1.RunFilter(workflow_id="greet", session_id="session-1")
    assert listed.page_size == 50


async def test_async(bank: ScriptedServer) -> None:
    async with AsyncClient(bank.target) as client:
        workflow = client.workflow("greet")
        response = await workflow.arun("What is the weather in Tokyo?")
        for step_req in response.step_requirements or []:
            for executor_req in step_req.executor_requirements or []:
                executor_req.reject(note="no")
        response = await workflow.acontinue_run(response)
        assert response.content == "It is done."


async def test_async_streaming(bank: ScriptedServer, capsys: pytest.CaptureFixture[str]) -> None:
    async with AsyncClient(bank.target) as client:
        workflow = client.workflow("greet")
        async for event in workflow.arun("What is the weather in Tokyo?", stream=True):
            if isinstance(event, StepExecutorPausedEvent):
                print(f"Paused: {event.executor_name} ({event.executor_type})")

        session = await workflow.aget_session()
        run_output = session.runs[-1]
        run_output.active_requirements[0].confirm()
        async for event in workflow.acontinue_run(run_output, stream=True):
            if hasattr(event, "content") and event.content:
                print(event.content, end="", flush=True)

    assert capsys.readouterr().out == "Paused: Teller (agent)\nIt is done. Bye."
