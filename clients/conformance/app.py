"""The workflows of the suite. Scripts play all models, so that every run is the same.

`interlock serve clients/conformance/app.py` serves them too, for whoever writes a driver.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict
from typing import Any

from interlock_server import (
    Agent,
    Call,
    Condition,
    HumanReview,
    Interlock,
    Loop,
    ModelRequest,
    Parallel,
    Router,
    ScriptedModel,
    Step,
    StepInput,
    Steps,
    Team,
    ToolResults,
    UserInputField,
    Workflow,
    ask_user,
    call,
    get_user_input,
    tool,
)

MANY = 24
"""How many external calls a run of `Errands` makes at once."""


class Gates:
    """Points at which runs wait until somebody lets them pass, by name."""

    def __init__(self) -> None:
        self._open: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._reached: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._free: set[str] = set()

    async def pass_through(self, name: str) -> None:
        """Says that somebody is here, and waits until the gate is open."""
        self._reached[name].set()
        if not any(name.startswith(prefix) for prefix in self._free):
            await self._open[name].wait()

    async def reached(self, name: str) -> None:
        """Waits until somebody is at the gate."""
        await self._reached[name].wait()

    def open(self, name: str) -> None:
        """Lets everybody pass, those who come later too."""
        self._open[name].set()

    def open_all(self, prefix: str) -> None:
        """Opens every gate whose name begins so, those too that nobody has come to yet."""
        self._free.add(prefix)
        for name in [one for one in self._open if one.startswith(prefix)]:
            self._open[name].set()


GATES = Gates()


def outcome(request: ModelRequest) -> str:
    """A scripted turn: says what became of the calls in the turn before."""
    last = request.messages[-1]
    assert isinstance(last, ToolResults)
    return "\n".join(f"Not done: {one.text}" if one.is_error else one.text for one in last.results)


def agent(name: str, turns: list[Any], *tools: Any, description: str = "") -> Agent:
    """An agent that plays a script."""
    return Agent(name=name, model=ScriptedModel(turns), tools=tools, description=description)


# Tool calls that wait: confirmation, user input, external execution, feedback.


@tool(requires_confirmation=True)
def get_the_weather(city: str) -> str:
    """The weather in a city, from a service that charges for every request."""
    return f"It is 70 degrees and cloudy in {city}"


weather = Workflow(
    name="WeatherWorkflow",
    steps=[
        Step(
            name="get_weather",
            agent=agent(
                "WeatherAgent", [call("get_the_weather", city="Tokyo"), outcome], get_the_weather
            ),
        )
    ],
)


@tool(requires_user_input=True, user_input_fields=["recipient", "urgent"])
def send_money(amount: float, recipient: str, urgent: bool = False, note: str = "") -> str:
    """Sends money."""
    return f"Sent {amount:.2f} to {recipient}: {note}{', urgently' if urgent else ''}"


payment = Workflow(
    name="Payment",
    steps=[
        Step(
            name="pay",
            agent=agent(
                "BankAgent",
                [call("send_money", amount=250, note="Rent for May"), outcome],
                send_money,
            ),
        )
    ],
)


@tool(external_execution=True)
def run_query(sql: str) -> Any:
    """Runs a query on a database that only others can reach."""
    raise NotImplementedError("runs outside of the service")


sales = Workflow(
    name="Sales",
    steps=[
        Step(
            name="ask",
            agent=agent(
                "Analyst",
                [
                    call("run_query", sql="SELECT city, sum(euros) FROM sales GROUP BY city"),
                    outcome,
                ],
                run_query,
            ),
        )
    ],
)


@tool(external_execution=True)
def run_errand(number: int) -> Any:
    """Runs an errand."""
    raise NotImplementedError("runs outside of the service")


errands = Workflow(
    name="Errands",
    steps=[
        Step(
            name="run",
            agent=agent(
                "Runner",
                [[call("run_errand", number=number) for number in range(1, MANY + 1)], outcome],
                run_errand,
            ),
        )
    ],
)


@tool(
    requires_confirmation=lambda args: args["euros"] > 100,
    editable_args=True,
    preview=lambda args: f"{args['euros']} euros leave the account today.",
)
def pay(euros: int, to: str) -> str:
    """Pays somebody."""
    return f"{euros} euros are on their way to {to}."


payroll = Workflow(
    name="Payroll",
    steps=[
        Step(
            name="pay",
            agent=agent(
                "Clerk",
                [[call("pay", euros=40, to="Ann"), call("pay", euros=400, to="Bob")], outcome],
                pay,
            ),
        )
    ],
)

_TRIP = [
    {
        "question": "Which way do you travel?",
        "options": [{"label": "Train", "description": "Slow and calm"}, {"label": "Plane"}],
    },
    {
        "question": "What do you want to see?",
        "options": [{"label": "Ruins"}, {"label": "Gardens"}, {"label": "Harbours"}],
        "multi_select": True,
    },
]
trip = Workflow(
    name="Trip",
    steps=[
        Step(
            name="plan",
            agent=agent(
                "Planner",
                [
                    [
                        call("ask_user", questions=_TRIP),
                        call("get_user_input", user_input_fields=[{"field_name": "city"}]),
                    ],
                    outcome,
                ],
                ask_user,
                get_user_input,
            ),
        )
    ],
)


@tool(requires_confirmation=True)
def stop_server(name: str) -> str:
    """Stops a server. Its users are cut off."""
    return f"{name} has stopped."


@tool(requires_confirmation=True)
def start_server(name: str) -> str:
    """Starts a server that was stopped."""
    return f"{name} is up again."


restart = Workflow(
    name="Restart",
    steps=[
        Step(
            name="restart",
            agent=agent(
                "Operator",
                [call("stop_server", name="db-1"), call("start_server", name="db-1"), outcome],
                stop_server,
                start_server,
            ),
        )
    ],
)


@tool(requires_confirmation=True, timeout=3_600, on_timeout="reject")
def refund(order: int) -> str:
    """Gives money back."""
    return f"refunded order {order}"


refunds = Workflow(
    name="Refunds",
    steps=[Step(name="refund", agent=agent("Cashier", [call("refund", order=7), outcome], refund))],
)


# Teams and composites.


@tool(requires_confirmation=True)
def delete_user(user_id: str) -> str:
    """Deletes a user's account with everything in it. There is no way back."""
    return f"The account of {user_id} is deleted."


team = Workflow(
    name="TeamInStep",
    steps=[
        Step(
            name="support",
            team=Team(
                name="SupportTeam",
                model=ScriptedModel(
                    [
                        call(
                            "delegate_task_to_member",
                            member_name="AccountAgent",
                            task="Delete the account of ada.",
                        ),
                        outcome,
                    ]
                ),
                members=[
                    agent(
                        "AccountAgent",
                        [call("delete_user", user_id="ada"), outcome],
                        delete_user,
                        description="Looks after the accounts of users.",
                    )
                ],
            ),
        )
    ],
)


@tool(requires_confirmation=True)
def act(what: str) -> str:
    """Does something that somebody must allow."""
    return f"did {what}"


def told(name: str) -> Step:
    """A step of an agent that does, after a yes, what its step is called."""
    return Step(name=name, agent=agent(f"Agent of {name}", [call("act", what=name), outcome], act))


def note(given: StepInput) -> str:
    """A step's function: notes what the step before it gave."""
    return f"noted: {given.previous_step_content}"


condition = Workflow(
    name="InCondition",
    steps=[
        Condition(
            name="check",
            evaluator=lambda given: "detail" in str(given.input),
            steps=[told("detailed")],
            else_steps=[Step(name="brief", executor=note)],
        ),
        Step(name="report", executor=note),
    ],
)


def next_stage(request: ModelRequest) -> Call:
    """A scripted turn: the stage after the one that the agent is told of."""
    reached = re.search(r"out to (\d+)%", str(request.messages[0]))
    return call("roll_out", percent={"10": 50, "50": 100}[reached[1]] if reached else 10)


@tool(requires_confirmation=True)
def roll_out(percent: int) -> str:
    """Gives the new release to this percentage of all users."""
    return f"The release is out to {percent}% of the users."


loop = Workflow(
    name="InLoop",
    steps=[
        Loop(
            name="stages",
            steps=[
                Step(name="stage", agent=agent("ReleaseAgent", [next_stage, outcome], roll_out))
            ],
            max_iterations=5,
            end_condition=lambda outputs: "100%" in str(outputs[-1].content),
            forward_iteration_output=True,
        )
    ],
)
steps = Workflow(
    name="InSteps",
    steps=[
        Steps(
            name="group",
            steps=[
                Step(name="before", executor=note),
                told("middle"),
                Step(name="after", executor=note),
            ],
        ),
        Step(name="report", executor=note),
    ],
)
router = Workflow(
    name="InRouter",
    steps=[
        Router(
            name="desk",
            selector=lambda given: "careful" if "money" in str(given.input) else "quick",
            choices=[told("careful"), Step(name="quick", executor=note)],
        )
    ],
)
parallel = Workflow(
    name="InParallel",
    steps=[Parallel(told("left"), told("right"), name="both"), Step(name="report", executor=note)],
)
nested = Workflow(
    name="InWorkflow",
    steps=[Workflow(name="inner", steps=[told("nested")]), Step(name="report", executor=note)],
)


# Whole steps that wait: gate, input, review, route, iteration, error.


def voucher(given: StepInput) -> str:
    """A step's function."""
    return f"{given.input}: a voucher"


complaint = Workflow(
    name="Complaint",
    steps=[
        Condition(
            name="generous",
            steps=[Step(name="money_back", executor=lambda given: f"{given.input}: money back")],
            else_steps=[Step(name="voucher", executor=voucher)],
            requires_confirmation=True,
            confirmation_message="Give the money back?",
        ),
        Step(
            name="announce",
            executor=note,
            requires_confirmation=True,
            on_reject=["skip", "cancel"],
        ),
    ],
)


def book(given: StepInput) -> dict[str, Any]:
    """A step's function: gives the values that a person supplied."""
    return {"to": given.input, **(given.user_input or {})}


booking = Workflow(
    name="Booking",
    steps=[
        Step(
            name="book",
            executor=book,
            requires_user_input=True,
            user_input_message="How shall we book?",
            user_input_schema=[
                UserInputField(name="seats", field_type=int, description="How many seats"),
                UserInputField(name="class", allowed_values=["first", "second"]),
                UserInputField(name="meal", required=False, value="soup"),
            ],
        )
    ],
)


def headline(given: StepInput) -> str:
    """A step's function: what it gave before, and what was said about it."""
    return f"{given.previous_output}, {given.feedback}" if given.feedback else "Sun"


paper = Workflow(
    name="Paper",
    steps=[
        Step(
            name="headline",
            executor=headline,
            human_review=HumanReview(requires_output_review=True, on_reject="retry", max_retries=2),
        )
    ],
)
research = Workflow(
    name="Research",
    steps=[
        Router(
            name="research",
            choices=[
                Step(name="sources", executor=lambda given: f"sources on {given.message}"),
                Step(name="interviews", executor=lambda given: f"interviews on {given.message}"),
            ],
            selector=lambda given: "sources",
            requires_user_input=True,
            user_input_message="Where shall we look?",
            allow_multiple_selections=True,
        ),
    ],
)


def polish(given: StepInput) -> str:
    """A step's function: what there is, and what was said about it."""
    return f"{given.previous_output or given.message}, {given.feedback or 'polished'}"


polishing = Workflow(
    name="Polish",
    steps=[
        Loop(
            name="refine",
            steps=[Step(name="polish", executor=polish)],
            max_iterations=5,
            requires_iteration_review=True,
        ),
    ],
)


def fetch_rates(given: StepInput) -> dict[str, float]:
    """A step's function that never works."""
    raise ConnectionError("the bank does not answer")


rates = Workflow(
    name="Rates",
    steps=[
        Step(name="fetch_rates", executor=fetch_rates, on_error="pause"),
        Step(name="report", executor=lambda given: given.previous_step_content),
    ],
)
broken = Workflow(name="Broken", steps=[Step(name="fetch_rates", executor=fetch_rates)])


# Values, time, and much of everything.


def echo(given: StepInput) -> Any:
    """A step's function: gives what it is given."""
    return given.input


echoing = Workflow(name="Echo", steps=[Step(name="echo", executor=echo)])

EXACT = {
    "beyond_doubles": 9_007_199_254_740_993,
    "beyond_64_bits": 10**30 + 1,
    "negative": -9_223_372_036_854_775_809,
    "fraction": 0.1,
    "texts": ["", "\u2028", "e\u0301", "\U0001f680", "\U00010348", 'a "quoted" \\ line\n'],
    "nothing": None,
    "deep": {"a": [{"b": [[{"c": 18_446_744_073_709_551_617}]]}]},
}


@tool(external_execution=True)
def weigh(value: Any) -> Any:
    """Takes any value, and gives any."""
    raise NotImplementedError("runs outside of the service")


exact = Workflow(
    name="Exact",
    steps=[
        Step(name="weigh", agent=agent("Scales", [call("weigh", value=EXACT), outcome], weigh)),
        Step(name="read", executor=lambda given: json.loads(given.previous_step_content)),
    ],
)


def enlarge(given: StepInput) -> str:
    """A step's function: a text of as many characters as it is told."""
    return "x" * int(given.input)


large = Workflow(
    name="Large",
    steps=[Step(name=f"copy{number}", executor=enlarge) for number in range(1, 7)],
)


def keep(given: StepInput, session_state: dict[str, Any]) -> Any:
    """A step's function: keeps what it is given in the state of its session."""
    session_state.setdefault("kept", []).append(given.input)
    return len(session_state["kept"])


keeping = Workflow(name="Keep", steps=[Step(name="keep", executor=keep)])


async def wait_at_gate(given: StepInput) -> str:
    """A step's function that takes until the gate that its input names is open."""
    await GATES.pass_through(str(given.input))
    return "passed"


slow = Workflow(
    name="Slow",
    steps=[
        Step(name="before", executor=note),
        Step(name="gate", executor=wait_at_gate),
        Step(name="after", executor=note),
    ],
)


@tool(requires_confirmation=True)
async def launch(gate: str) -> str:
    """Takes until a gate is open; whether it happened is in doubt when the process dies."""
    await GATES.pass_through(gate)
    return "launched"


def launch_as_told(request: ModelRequest) -> Call:
    """A scripted turn: launches through the gate that the agent is told of."""
    return call("launch", gate=request.messages[0].text)  # type: ignore[union-attr]


launching = Workflow(
    name="Launch",
    steps=[Step(name="launch", agent=agent("Pilot", [launch_as_told, outcome], launch))],
)

STORY = " ".join(f"word{number}" for number in range(1, 401))


@tool
async def turn_page(gate: str) -> str:
    """Takes until a gate is open."""
    await GATES.pass_through(gate)
    return "the next page"


def turn_page_as_told(request: ModelRequest) -> list[str | Call]:
    """A scripted turn: writes a while, then waits at the gate that the agent is told of."""
    return [STORY, call("turn_page", gate=request.messages[0].text)]  # type: ignore[union-attr]


story = Workflow(
    name="Story",
    steps=[Step(name="tell", agent=agent("Teller", [turn_page_as_told, "The end."], turn_page))],
)


async def march_on(given: StepInput) -> int:
    """A step's function: counts its iterations, and waits at two gates where it is told some."""
    number = (given.previous_step_content or 0) + 1
    if given.input and number in (20, 40):
        await GATES.pass_through(f"{given.input}/{number}")
    return number


march = Workflow(
    name="March",
    steps=[
        Loop(
            name="march",
            steps=[Step(name="step", executor=march_on)],
            max_iterations=60,
            forward_iteration_output=True,
        )
    ],
)


app = Interlock(
    [
        weather, payment, sales, errands, payroll, trip, restart, refunds,
        team, condition, loop, steps, router, parallel, nested,
        complaint, booking, paper, research, polishing, rates, broken,
        echoing, exact, large, keeping, slow, launching, story, march,
    ]
)  # fmt: skip
