"""An app with something of everything for the command line to run into."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any, Literal

from interlock_server import (
    Agent,
    Condition,
    Interlock,
    Loop,
    Parallel,
    Router,
    ScriptedModel,
    Step,
    StepInput,
    Steps,
    Team,
    Workflow,
    ask_user,
    call,
    tool,
)
from interlock_server.authoring.conversation import ModelRequest, ToolResults

HOSTILE = "ls\x1b[2K\x1b[1A; echo \u202egnp.exe [bold]fine[/bold] \x07\x9b31m"
"""Text that would rewrite the line before it, ring, colour, and reverse what follows."""

LONG = "\n".join(f"line {number} of a letter that is long" for number in range(40))

held = threading.Event()
"""What the workflow `Hold` waits for."""


def told(request: ModelRequest) -> str:
    """Last words that repeat what the tools gave."""
    results = request.messages[-1]
    assert isinstance(results, ToolResults)
    return "; ".join(one.text for one in results.results)


@tool(requires_confirmation=True)
def refund(order_id: int, amount: float, reason: str = "") -> str:
    """Pays money back."""
    return f"refunded {amount} for {order_id}"


@tool(
    requires_user_input=True,
    user_input_fields=["recipient", "urgent", "copies", "tags", "kind"],
)
def send_money(
    amount: float,
    recipient: str,
    urgent: bool = False,
    copies: int = 1,
    tags: list[str] | None = None,
    kind: Literal["gift", "loan"] = "gift",
) -> dict[str, Any]:
    """Sends money."""
    return {
        "amount": amount,
        "recipient": recipient,
        "urgent": urgent,
        "copies": copies,
        "tags": tags,
        "kind": kind,
    }


@tool(external_execution=True)
def run_query(sql: str) -> str:
    """Runs elsewhere."""
    raise AssertionError("it never runs here")


@tool(requires_confirmation=True)
def run_command(command: str, letter: str) -> str:
    """Does what it says."""
    return command


@tool(requires_confirmation=True)
def launch(folder: str) -> str:
    """Kills the server when it is called for the second time; works from the third on."""
    calls = Path(folder)
    (calls / str(time.monotonic_ns())).touch()
    if len(list(calls.iterdir())) <= 2:
        while len(list(calls.iterdir())) < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    return "launched"


def launched(request: ModelRequest) -> Any:
    """Calls `launch` with what the agent was asked."""
    return call("launch", folder=request.messages[0].text)  # type: ignore[union-attr]


def agent(name: str, *turns: Any, tools: Any) -> Agent:
    return Agent(name=name, model=ScriptedModel([*turns]), tools=tools)


def broken(step_input: StepInput) -> None:
    raise ValueError("no luck \x1b[31mtoday")


def hold(step_input: StepInput) -> str:
    held.wait(30)
    return "let go"


def echo(step_input: StepInput) -> Any:
    return step_input.message


def always(step_input: StepInput) -> bool:
    return True


def enough(outputs: list[Any]) -> bool:
    return True


def first(step_input: StepInput) -> str:
    return "left"


cashier = agent("Cashier", call("refund", order_id=7, amount=18.5), told, tools=[refund])

clerk = agent("Clerk", call("refund", order_id=9, amount=9), told, tools=[refund])


def collects(given: StepInput) -> bool:
    """Whether garbage is collected in this process."""
    return gc.isenabled()


TREE: list[Any] = [
    Steps(name="group", steps=[Step(name="inner", executor=echo)]),
    Condition(
        name="check",
        evaluator=always,
        steps=[Step(name="yes", executor=echo)],
        else_steps=[Step(name="no", executor=echo)],
    ),
    Loop(
        name="again",
        steps=[Step(name="turn", executor=echo)],
        max_iterations=2,
        end_condition=enough,
    ),
    Router(
        name="route",
        choices=[Step(name="left", executor=echo), Step(name="right", executor=echo)],
        selector=first,
    ),
    Parallel(Step(name="one", executor=echo), Step(name="two", executor=echo), name="both"),
    Workflow(name="Nested", steps=[Step(name="deep", executor=echo)]),
]

_OPTIONS = [{"label": "Left"}, {"label": "Right, then on"}]

GATES: list[Any] = [
    Step(name="gated", executor=echo, requires_confirmation=True, on_reject=["skip", "cancel"]),
    Step(
        name="asked",
        executor=echo,
        requires_user_input=True,
        user_input_schema=[
            {"name": "tone", "allowed_values": ["kind", "brief"]},
            {"name": "copies", "field_type": "int", "required": False, "value": 1},
        ],
    ),
    Step(name="judged", executor=echo, requires_output_review=True),
    Router(
        name="routed",
        choices=[Step(name="left", executor=echo), Step(name="right", executor=echo)],
        requires_user_input=True,
        allow_multiple_selections=True,
    ),
    Loop(name="looped", steps=[Step(name="turn", executor=echo)], requires_iteration_review=True),
    Step(name="fails", executor=broken, on_error="pause"),
    agent(
        "Asker",
        call(
            "ask_user",
            questions=[
                {"question": "Which way?", "options": _OPTIONS},
                {"question": "With whom?", "options": _OPTIONS, "multi_select": True},
            ],
        ),
        told,
        tools=[ask_user],
    ),
]

app = Interlock(
    [
        Workflow(
            name="Refund",
            description="Pays back.",
            steps=[Step(name="desk", agent=cashier)],
        ),
        Workflow(
            name="Twice",
            steps=[
                agent(
                    "Doubler",
                    [call("refund", order_id=1, amount=1), call("refund", order_id=2, amount=2)],
                    told,
                    tools=[refund],
                )
            ],
        ),
        Workflow(
            name="Send",
            steps=[agent("Sender", call("send_money", amount=5.0), told, tools=[send_money])],
        ),
        Workflow(
            name="Query",
            steps=[agent("Analyst", call("run_query", sql="SELECT 1"), told, tools=[run_query])],
        ),
        Workflow(
            name="Hostile",
            steps=[
                agent(
                    "Shell",
                    call("run_command", command=HOSTILE, letter=LONG),
                    f"I ran {HOSTILE}",
                    tools=[run_command],
                )
            ],
        ),
        Workflow(name="Launch", steps=[agent("Launcher", launched, told, tools=[launch])]),
        Workflow(
            name="Committee",
            steps=[
                Team(
                    name="Board",
                    members=[
                        agent("Clerk", call("refund", order_id=9, amount=9), told, tools=[refund])
                    ],
                    model=ScriptedModel(
                        [
                            call("delegate_task_to_member", member_name="Clerk", task="pay"),
                            "The board has paid.",
                        ]
                    ),
                )
            ],
        ),
        Workflow(name="Broken", steps=[Step(name="breaks", executor=broken)]),
        Workflow(name="Hold", steps=[Step(name="holds", executor=hold)]),
        Workflow(name="Echo", steps=[Step(name="echo", executor=echo)]),
        Workflow(name="Collects", steps=[Step(name="look", executor=collects)]),
        Workflow(name="Tree", steps=TREE),
        Workflow(name="Gates", steps=GATES),
    ]
)
