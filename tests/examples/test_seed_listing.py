"""The code that people port: it runs as it stands once its imports, its `db=` arguments and the
line that names the server are changed. The model is OpenAI's, played by a local server."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.support import commands
from tests.support.openai_wire import FunctionCall, OpenAIWire, Turn

from interlock_server import Interlock, Settings

DEFINITIONS = """
from interlock_server import Agent
from interlock_server import OpenAIResponses
from interlock_server import tool
from interlock_server import Step
from interlock_server import Workflow


@tool(requires_confirmation=True)
def get_the_weather(city: str) -> str:
    return f"It is 70 degrees and cloudy in {city}"


weather_agent = Agent(
    name="WeatherAgent",
    model=OpenAIResponses(id="gpt-5.4"),
    tools=[get_the_weather],
)

workflow = Workflow(
    name="WeatherWorkflow",
    steps=[Step(name="get_weather", agent=weather_agent)],
)
"""

SERVER = """
from interlock import Client

client = Client(target)
workflow = client.workflow("WeatherWorkflow")
"""

FIRST = """
response = workflow.run("What is the weather in Tokyo?")

if response.is_paused:
    for step_req in response.step_requirements or []:
        if step_req.requires_executor_input:
            for executor_req in step_req.executor_requirements or []:
                executor_req.confirm()  # or executor_req.reject(note="...")

    response = workflow.continue_run(response)

print(response.content)
"""

STREAMING = """
from interlock.events import (
    StepExecutorPausedEvent,
    StepExecutorContinuedEvent,
    WorkflowCompletedEvent,
)

for event in workflow.run("What is the weather in Tokyo?", stream=True):
    if isinstance(event, StepExecutorPausedEvent):
        print(f"Paused: {event.executor_name} ({event.executor_type})")
    elif isinstance(event, StepExecutorContinuedEvent):
        print(f"Resumed: {event.executor_name}")
    elif isinstance(event, WorkflowCompletedEvent):
        print("Done")

# The full WorkflowRunOutput is persisted to the session, not yielded in the stream.
session = workflow.get_session()
run_output = session.runs[-1] if session and session.runs else None

if run_output and run_output.is_paused:
    for step_req in run_output.step_requirements or []:
        for executor_req in step_req.executor_requirements or []:
            executor_req.confirm()

    for event in workflow.continue_run(run_output, stream=True):
        if hasattr(event, "content") and event.content:
            print(event.content, end="", flush=True)
"""

TOOLS = """
from interlock_server import tool


@tool(requires_confirmation=True)
def delete_user(user_id: str) -> str:
    done.append(("delete_user", user_id))
    return "deleted"


@tool(requires_user_input=True, user_input_fields=["recipient"])
def send_money(amount: float, recipient: str, note: str) -> str:
    done.append(("send_money", amount, recipient, note))
    return "sent"


@tool(external_execution=True)
def run_query(sql: str) -> str:
    done.append(("run_query", sql))
    return "never"
"""

BANK = """
from interlock_server import Agent, OpenAIResponses, Step, Workflow

agent = Agent(
    name="BankAgent",
    model=OpenAIResponses(id="gpt-5.4"),
    tools=[delete_user, send_money, run_query],
)
workflow = Workflow(name="WeatherWorkflow", steps=[Step(name="bank", agent=agent)])
"""

CONFIRMATION = """
for step_req in response.step_requirements or []:
    if step_req.requires_executor_input:
        for executor_req in step_req.executor_requirements or []:
            if executor_req.needs_confirmation:
                if user_approves():
                    executor_req.confirm()
                else:
                    executor_req.reject(note="User declined")

response = workflow.continue_run(response)
"""

USER_INPUT = """
for step_req in response.step_requirements or []:
    if step_req.requires_executor_input:
        for executor_req in step_req.executor_requirements or []:
            if executor_req.needs_user_input:
                values = {
                    field.name: prompt(field.name)
                    for field in executor_req.user_input_schema or []
                }
                executor_req.provide_user_input(values)

response = workflow.continue_run(response)
"""

EXTERNAL = """
for step_req in response.step_requirements or []:
    if step_req.requires_executor_input:
        for executor_req in step_req.executor_requirements or []:
            if executor_req.needs_external_execution:
                tool_name = executor_req.tool_execution.tool_name
                tool_args = executor_req.tool_execution.tool_args

                # Replace this with your own dispatch logic, for example:
                #   result = my_backend.run(tool_name, **tool_args)
                #   result = subprocess.run(...).stdout
                #   result = await microservice.call(tool_name, tool_args)
                result = my_dispatcher(tool_name, tool_args)

                executor_req.tool_execution.result = result

response = workflow.continue_run(response)
"""

CONDITION = """
from interlock_server import Condition
from interlock_server import Step

workflow = Workflow(
    name="WeatherWorkflow",
    steps=[
        Step(name="gather_data", executor=gather_data),
        Condition(
            name="analysis_decision",
            evaluator=lambda step_input: True,
            steps=[Step(name="detailed_analysis", agent=analysis_agent)],
            else_steps=[Step(name="quick_summary", executor=quick_summary)],
        ),
        Step(name="report", executor=generate_report),
    ],
)
"""

ASYNC = """
import asyncio
from interlock import AsyncClient


async def main():
    async with AsyncClient(target) as client:
        workflow = client.workflow("WeatherWorkflow")
        run_output = await workflow.arun(input)
        run_output.step_requirements[0].executor_requirements[0].confirm()
        run_output = await workflow.acontinue_run(run_output)
        print(run_output.content)

        async for event in workflow.arun(input, stream=True):
            print(type(event).__name__)
        run_output = (await workflow.aget_session()).runs[-1]
        run_output.step_requirements[0].executor_requirements[0].confirm()
        async for event in workflow.acontinue_run(run_output, stream=True):
            print(type(event).__name__)
"""

CALL = FunctionCall("get_the_weather", {"city": "Tokyo"})
ANSWER = "It is 70 degrees and cloudy in Tokyo."

Names = dict[str, Any]


class Page:
    """A service of ported definitions, whose model plays a script."""

    def __init__(self, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._settings = Settings(address="127.0.0.1:0", database_url=SecretStr(database_url))
        self._monkeypatch = monkeypatch

    @contextmanager
    def served(self, turns: Sequence[Turn], *definitions: str, **names: Any) -> Iterator[Names]:
        """Serves `workflow` of the definitions; gives the names with which clients begin."""
        with OpenAIWire(turns, api_key="sk-test") as wire:
            self._monkeypatch.setenv("OPENAI_BASE_URL", wire.base_url)
            self._monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
            for text in definitions:
                run(text, names)
            with Interlock([names["workflow"]]).serving(self._settings) as target:
                names["target"] = target
                run(SERVER, names)
                with names["client"]:
                    yield names
            assert wire.violations == []
            assert wire.turns_left == 0


def run(text: str, names: Names) -> None:
    """Runs a listing as it stands."""
    exec(compile(text, "listing", "exec"), names)


@pytest.fixture
def page(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Page:
    return Page(database_url, monkeypatch)


def test_the_first_listing(page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    with page.served([CALL, ANSWER], DEFINITIONS) as names:
        run(FIRST, names)
    assert capsys.readouterr().out == f"{ANSWER}\n"


@pytest.mark.slow
def test_the_first_listing_between_two_processes(tmp_path: Path, database_url: str) -> None:
    """`interlock serve` has the definitions; the client knows nothing but the server's name."""
    served = (
        f"{DEFINITIONS}\n\nfrom interlock_server import Interlock\n\napp = Interlock([workflow])\n"
    )
    (tmp_path / "listing.py").write_text(served)
    with OpenAIWire([CALL, ANSWER], api_key="sk-test") as wire:
        env = commands.environment(
            database_url, OPENAI_BASE_URL=wire.base_url, OPENAI_API_KEY="sk-test"
        )
        with commands.serving("listing.py", env, tmp_path) as service:
            named = SERVER.replace("target", repr(service.target))
            (tmp_path / "client.py").write_text(named + FIRST)
            shown = commands.output([sys.executable, "client.py"], env, tmp_path)
        assert (wire.violations, wire.turns_left) == ([], 0)
    assert shown == f"{ANSWER}\n"


def test_the_first_listing_rejecting(page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    told: list[Any] = []

    def last_turn(body: dict[str, Any]) -> Turn:
        told.append(body["input"][-1]["output"])
        return "Then I do not know."

    with page.served([CALL, last_turn], DEFINITIONS) as names:  # type: ignore[list-item]
        run(FIRST.replace("confirm()", 'reject(note="Too expensive")'), names)
    assert capsys.readouterr().out == "Then I do not know.\n"
    assert told == ["Too expensive"]


def test_the_streaming_listing(page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    with page.served([CALL, ANSWER], DEFINITIONS) as names:
        run(STREAMING, names)
    assert capsys.readouterr().out == f"Paused: WeatherAgent (agent)\n{ANSWER}"


def test_the_pause_object(page: Page) -> None:
    with page.served([CALL], DEFINITIONS) as names:
        run_output = names["workflow"].run("What is the weather in Tokyo?")
        step_req = run_output.step_requirements[0]
        executor_req = step_req.executor_requirements[0]
        assert run_output.pause_kind == "executor"
        assert step_req.requires_executor_input is True
        assert step_req.executor_name == "WeatherAgent"
        assert step_req.executor_type == "agent"
        assert executor_req.tool_execution.tool_name == "get_the_weather"
        assert executor_req.tool_execution.tool_args == {"city": "Tokyo"}
        assert executor_req.needs_confirmation is True
        assert executor_req.needs_user_input is False
        assert executor_req.needs_external_execution is False


@pytest.mark.parametrize(
    ("approves", "told", "done"),
    [(True, "deleted", [("delete_user", "ada")]), (False, "User declined", [])],
)
def test_resolving_a_confirmation(page: Page, approves: bool, told: str, done: list[Any]) -> None:
    noted: list[Any] = []
    turns: list[Any] = [FunctionCall("delete_user", {"user_id": "ada"}), _echo]
    with page.served(turns, TOOLS, BANK, done=noted, user_approves=lambda: approves) as names:
        names["response"] = names["workflow"].run("Delete ada.")
        run(CONFIRMATION, names)
    assert names["response"].content == told
    assert noted == done


def test_resolving_user_input(page: Page) -> None:
    noted: list[Any] = []
    turns: list[Any] = [FunctionCall("send_money", {"amount": 5, "note": "lunch"}), _echo]
    asked: list[str] = []

    def prompt(name: str) -> str:
        asked.append(name)
        return "Ada"

    with page.served(turns, TOOLS, BANK, done=noted, prompt=prompt) as names:
        names["response"] = names["workflow"].run("Send 5 for lunch.")
        run(USER_INPUT, names)
    assert asked == ["recipient"]
    assert names["response"].content == "sent"
    assert noted == [("send_money", 5.0, "Ada", "lunch")]


def test_resolving_external_execution(page: Page) -> None:
    noted: list[Any] = []
    turns: list[Any] = [FunctionCall("run_query", {"sql": "SELECT 1"}), _echo]

    def dispatch(name: str, args: dict[str, Any]) -> str:
        return f"{name}: {args['sql']} is 1"

    with page.served(turns, TOOLS, BANK, done=noted, my_dispatcher=dispatch) as names:
        names["response"] = names["workflow"].run("What is 1?")
        run(EXTERNAL, names)
    assert names["response"].content == "run_query: SELECT 1 is 1"
    assert noted == []


def test_all_three_kinds_at_once_each_block_resolving_its_own(page: Page) -> None:
    calls = [
        FunctionCall("delete_user", {"user_id": "ada"}),
        FunctionCall("send_money", {"amount": 5, "note": "lunch"}),
        FunctionCall("run_query", {"sql": "SELECT 1"}),
    ]
    given: Names = {
        "done": [],
        "user_approves": lambda: True,
        "prompt": lambda _: "Ada",
        "my_dispatcher": lambda *_: "1",
    }
    with page.served([calls, "All done."], TOOLS, BANK, **given) as names:
        names["response"] = names["workflow"].run("Do it all.")
        for left, block in ((2, CONFIRMATION), (1, USER_INPUT), (0, EXTERNAL)):
            assert names["done"] == [], "nothing runs before everything is decided"
            run(block, names)
            assert len(names["response"].active_requirements) == left
    assert names["response"].content == "All done."
    assert names["done"] == [("delete_user", "ada"), ("send_money", 5.0, "Ada", "lunch")]


def test_the_composite_listing(page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    """The condition's listing names things that it does not define; the agent is the weather's."""

    def gather_data(step_input: Any) -> str:
        return f"data about {step_input.input}"

    def generate_report(step_input: Any) -> str:
        return f"report: {step_input.previous_step_content}"

    given: Names = {
        "gather_data": gather_data,
        "quick_summary": gather_data,
        "generate_report": generate_report,
    }
    agent = "analysis_agent = weather_agent"
    with page.served([CALL, ANSWER], DEFINITIONS, agent, CONDITION, **given) as names:
        run(FIRST, names)
    assert capsys.readouterr().out == f"report: {ANSWER}\n"


async def test_the_async_methods(page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    with page.served([CALL, ANSWER, CALL, ANSWER], DEFINITIONS, input="Tokyo?") as names:
        run(ASYNC, names)
        await names["main"]()
    first, *events = capsys.readouterr().out.splitlines()
    assert first == ANSWER
    assert list(dict.fromkeys(events)) == [
        "WorkflowStartedEvent",
        "StepStartedEvent",
        "StepExecutorPausedEvent",
        "WorkflowPausedEvent",
        "RequirementResolvedEvent",
        "WorkflowContinuedEvent",
        "StepExecutorContinuedEvent",
        "ToolCallStartedEvent",
        "ToolCallCompletedEvent",
        "RunContentEvent",
        "StepCompletedEvent",
        "WorkflowCompletedEvent",
    ]


def _echo(body: dict[str, Any]) -> str:
    """The model repeats what the tool gave."""
    text: str = body["input"][-1]["output"]
    return text
