"""Every mistake in a definition is reported at start-up: where, what, and how to mend it."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest

from interlock_server import (
    Agent,
    Condition,
    DefinitionError,
    HumanReview,
    Interlock,
    Loop,
    Parallel,
    Router,
    ScriptedModel,
    Step,
    Steps,
    Team,
    Workflow,
    limits,
    tool,
)
from interlock_server.authoring.compile import Problem

SCRIPT = ScriptedModel(["done"])


def function(given: Any) -> str:
    return "done"


def yields(given: Any) -> Iterator[int]:
    yield 1


async def yields_slowly(given: Any) -> AsyncIterator[int]:
    yield 1


def takes_two(given: Any, other: Any) -> str:
    return "done"


def takes_nothing() -> str:
    return "done"


def pay(amount: int, session_state: dict[str, Any]) -> str:
    """Pays."""
    return f"paid {amount}"


def with_default(amount: int = 1) -> str:
    return f"paid {amount}"


def untyped(what: NotThere) -> str:  # type: ignore[name-defined]  # noqa: F821
    return "done"


class Unreadable:
    """Callable, but nobody can say with what."""

    __name__ = "unreadable"
    __signature__ = "none"

    def __call__(self, given: Any) -> str:
        return "done"


def problems(*workflows: Any) -> list[str]:
    with pytest.raises(DefinitionError) as caught:
        Interlock(workflows)
    return [str(one) for one in caught.value.problems]


def of_steps(*steps: Any) -> list[str]:
    return problems(Workflow(name="W", steps=steps))


def of_agent(**more: Any) -> list[str]:
    return of_steps(Agent(**{"name": "a", "model": SCRIPT, **more}))


def of_tool(*gates: str, **more: Any) -> list[str]:
    flags: dict[str, Any] = {**dict.fromkeys(gates, True), **more}
    return of_agent(tools=[tool(**flags)(pay)])


# The tree.

OK = Step(name="ok", executor=function)
MOST = 10 * 366 * 24 * 3_600
TIME = "use seconds above 0, or a timedelta"
CONFIRMS = ("requires_confirmation",)
NAME = "use 1 to 100 characters without control characters"


def nested(levels: int) -> Workflow:
    inner = Workflow(name="level 0", steps=[OK])
    for level in range(1, levels + 1):
        inner = Workflow(name=f"level {level}", steps=[inner])
    return inner


def deep(levels: int) -> Steps:
    inner = Steps(name="level 0", steps=[OK])
    for level in range(1, levels + 1):
        inner = Steps(name=f"level {level}", steps=[inner])
    return inner


TREES: dict[str, tuple[list[Any], list[str]]] = {
    "no_steps": ([], ["workflow 'W': steps is empty; give at least one step"]),
    "no_step_inside": (
        [Steps(name="group", steps=[])],
        ["workflow 'W' > 'group': steps is empty; give at least one step"],
    ),
    "no_branch": (
        [Parallel(name="both")],
        ["workflow 'W' > 'both': steps is empty; give at least one step"],
    ),
    "steps_is_no_list": (
        [Steps(name="group", steps="ok")],  # type: ignore[arg-type]
        ["workflow 'W' > 'group': steps is 'ok'; give a list of steps"],
    ),
    "not_a_step": (
        [7],
        ["workflow 'W': 7 is not a step; use Step(...) or another construct"],
    ),
    "a_tool_is_not_a_step": (
        [tool(function)],
        ["workflow 'W': 'function' is a tool; give it to an agent, not to a workflow"],
    ),
    "no_name": ([Step(name="", executor=function)], [f"workflow 'W' > '': name is ''; {NAME}"]),
    "long_name": (
        [Step(name="x" * 101, executor=function)],
        [f"workflow 'W' > '{'x' * 101}': name is '{'x' * 101}'; {NAME}"],
    ),
    "control_character": (
        [Step(name="a\nb", executor=function)],
        [f"workflow 'W' > 'a\\nb': name is 'a\\nb'; {NAME}"],
    ),
    "lone_surrogate": (
        [Step(name="\ud800", executor=function)],
        [f"workflow 'W' > '\\ud800': name is '\\ud800'; {NAME}"],
    ),
    "name_is_no_text": (
        [Step(name=7, executor=function)],  # type: ignore[arg-type]
        [f"workflow 'W' > 7: name is 7; {NAME}"],
    ),
    "same_name_twice": (
        [OK, Step(name="ok", executor=function)],
        ["workflow 'W': steps has 2 of the name 'ok'; rename"],
    ),
    "same_name_twice_inside": (
        [Loop(name="l", steps=[OK, OK])],
        ["workflow 'W' > 'l': steps has 2 of the name 'ok'; rename"],
    ),
    "same_name_in_else": (
        [Condition(name="c", steps=[OK], else_steps=[OK, OK])],
        ["workflow 'W' > 'c': else_steps has 2 of the name 'ok'; rename"],
    ),
    "no_executor": (
        [Step(name="s")],
        [
            "workflow 'W' > 's': has 0 executors; give exactly one of agent, team, executor, "
            "workflow"
        ],
    ),
    "two_executors": (
        [Step(name="s", executor=function, agent=Agent(name="a", model=SCRIPT))],
        [
            "workflow 'W' > 's': has 2 executors; give exactly one of agent, team, executor, "
            "workflow"
        ],
    ),
    "on_error": (
        [Step(name="s", executor=function, on_error="ignore")],  # type: ignore[arg-type]
        ["workflow 'W' > 's': on_error is 'ignore'; use one of: fail, skip, pause"],
    ),
    "max_retries_negative": (
        [Step(name="s", executor=function, max_retries=-1)],
        ["workflow 'W' > 's': max_retries is -1; use a number from 0 to 100"],
    ),
    "max_retries_absurd": (
        [Step(name="s", executor=function, max_retries=101)],
        ["workflow 'W' > 's': max_retries is 101; use a number from 0 to 100"],
    ),
    "max_retries_is_no_number": (
        [Step(name="s", executor=function, max_retries="3")],  # type: ignore[arg-type]
        ["workflow 'W' > 's': max_retries is '3'; use a number from 0 to 100"],
    ),
    "evaluator": (
        [Condition(name="c", steps=[OK], evaluator="yes")],  # type: ignore[arg-type]
        ["workflow 'W' > 'c': evaluator is 'yes'; use a bool or a function"],
    ),
    "max_iterations_zero": (
        [Loop(name="l", steps=[OK], max_iterations=0)],
        ["workflow 'W' > 'l': max_iterations is 0; use a number from 1 to 1000"],
    ),
    "max_iterations_is_a_bool": (
        [Loop(name="l", steps=[OK], max_iterations=True)],
        ["workflow 'W' > 'l': max_iterations is True; use a number from 1 to 1000"],
    ),
    "max_iterations_absurd": (
        [Loop(name="l", steps=[OK], max_iterations=1_001)],
        ["workflow 'W' > 'l': max_iterations is 1001; use a number from 1 to 1000"],
    ),
    "end_condition": (
        [Loop(name="l", steps=[OK], end_condition="never")],  # type: ignore[arg-type]
        ["workflow 'W' > 'l': end_condition is 'never'; use a function"],
    ),
    "selector": (
        [Router(name="r", choices=[OK], selector="ok")],  # type: ignore[arg-type]
        ["workflow 'W' > 'r': selector is 'ok'; use a function"],
    ),
    "no_choices": (
        [Router(name="r", choices=[], selector=function)],
        ["workflow 'W' > 'r': choices is empty; give at least one step"],
    ),
    "choices_is_no_list": (
        [Router(name="r", choices=None, selector=function)],  # type: ignore[arg-type]
        ["workflow 'W' > 'r': choices is None; give a list of steps"],
    ),
    "empty_group_among_choices": (
        [Router(name="r", choices=[OK, []], selector=function)],
        ["workflow 'W' > 'r' > 'steps_group_1': steps is empty; give at least one step"],
    ),
    "executor_takes_two": (
        [Step(name="s", executor=takes_two)],
        [
            "workflow 'W' > 's': executor 'takes_two' takes 2 arguments; it must take 1, and may "
            "ask for idempotency_key, run_context, session_state by name"
        ],
    ),
    "evaluator_takes_nothing": (
        [Condition(name="c", steps=[OK], evaluator=takes_nothing)],
        [
            "workflow 'W' > 'c': evaluator 'takes_nothing' takes 0 arguments; it must take 1, and "
            "may ask for idempotency_key, run_context, session_state by name"
        ],
    ),
    "generator": (
        [yields],
        ["workflow 'W' > 'yields': 'yields' is a generator; return one value"],
    ),
    "async_generator": (
        [yields_slowly],
        ["workflow 'W' > 'yields_slowly': 'yields_slowly' is a generator; return one value"],
    ),
    "on_interrupt_unknown": (
        [Step(name="s", executor=function, on_interrupt="skip")],  # type: ignore[arg-type]
        ["workflow 'W' > 's': on_interrupt is 'skip'; use 'ask', 'retry' or 'fail'"],
    ),
    "on_interrupt_of_an_agent": (
        [Step(name="s", agent=Agent(name="a", model=SCRIPT), on_interrupt="ask")],
        ["workflow 'W' > 's': on_interrupt is for functions; give it to the tools of the agent"],
    ),
    "on_interrupt_of_a_workflow": (
        [Step(name="s", workflow=Workflow(name="inner", steps=[OK]), on_interrupt="ask")],
        ["workflow 'W' > 's': on_interrupt is for functions; give it to those inside"],
    ),
    "review_without_a_question": (
        [Step(name="s", executor=function, human_review=HumanReview(timeout=1))],
        ["workflow 'W' > 's': has a timeout, but nothing in it waits for anybody; leave it out"],
    ),
    "review_of_what_is_repeated": (
        [
            Step(
                name="s",
                executor=function,
                on_interrupt="retry",
                human_review=HumanReview(timeout=1),
            )
        ],
        ["workflow 'W' > 's': has a timeout, but nothing in it waits for anybody; leave it out"],
    ),
    "yes_to_a_doubt": (
        [
            Step(
                name="s",
                executor=function,
                on_interrupt="ask",
                human_review=HumanReview(timeout=1, on_timeout="approve"),
            )
        ],
        [
            "workflow 'W' > 's': on_timeout is 'approve', but a call in doubt or a failure cannot "
            "be approved"
        ],
    ),
    "run_timeout_inside": (
        [Workflow(name="inner", steps=[OK], run_timeout=1)],
        [
            "workflow 'W' > 'inner': has a run_timeout, which is for whole runs; give it to the "
            "outer one"
        ],
    ),
    "run_timeout_in_a_step": (
        [Step(name="s", workflow=Workflow(name="inner", steps=[OK], run_timeout=1))],
        [
            "workflow 'W' > 's': has a run_timeout, which is for whole runs; give it to the outer "
            "one"
        ],
    ),
    "unreadable_signature": (
        [Step(name="s", executor=Unreadable())],
        ["workflow 'W' > 's': the signature of 'unreadable' cannot be read"],
    ),
}


@pytest.mark.parametrize("name", TREES)
def test_a_mistake_in_the_tree_is_reported(name: str) -> None:
    steps, expected = TREES[name]
    assert of_steps(*steps)[: len(expected)] == expected


@pytest.mark.parametrize("time", [0, -1, MOST + 1, "1h", True, math.inf, timedelta(0)])
def test_a_run_timeout_that_cannot_be_kept_is_reported(time: Any) -> None:
    assert problems(Workflow(name="W", steps=[OK], run_timeout=time)) == [
        f"workflow 'W': run_timeout is {time!r}; {TIME}"
    ]


def test_branches_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "parallel_branches_max", 2)
    branches = [Step(name=name, executor=function) for name in "abc"]
    Interlock([Workflow(name="W", steps=[Parallel(*branches[:2], name="both")])])
    assert of_steps(Parallel(*branches, name="all")) == [
        "workflow 'W' > 'all': has 3 branches; the limit is 2"
    ]


def test_an_app_takes_workflows_only() -> None:
    assert problems(OK) == [f"app: {OK!r} is not a Workflow"]


def test_two_workflows_of_one_name_are_reported() -> None:
    first, second = (Workflow(name="W", steps=[OK]) for _ in range(2))
    assert problems(first, second) == ["workflow 'W': the name is taken; rename one of them"]


def test_a_workflow_that_contains_itself_is_reported() -> None:
    steps: list[Any] = [OK]
    circle = Workflow(name="W", steps=steps)
    steps.append(Step(name="again", workflow=circle))
    assert problems(circle) == [
        "workflow 'W' > 'again': the workflow contains itself; break the circle"
    ]


def test_workflows_nest_ten_deep_and_no_deeper() -> None:
    Interlock([nested(10)])
    [problem] = problems(nested(11))
    assert problem.endswith("nested deeper than 10 workflows")


def test_a_tree_may_be_fifty_levels_deep_and_no_deeper() -> None:
    Interlock([Workflow(name="W", steps=[deep(48)])])
    [problem] = of_steps(deep(50))
    assert problem.endswith("nested deeper than 50 levels")


@pytest.mark.parametrize(
    ("slot", "step"),
    [
        ("executor", Step(name="s", executor=tool(requires_confirmation=True)(function))),
        (
            "evaluator",
            Condition(name="s", steps=[OK], evaluator=tool(requires_confirmation=True)(function)),
        ),
        (
            "end_condition",
            Loop(name="s", steps=[OK], end_condition=tool(external_execution=True)(function)),
        ),
        (
            "selector",
            Router(name="s", choices=[OK], selector=tool(requires_confirmation=True)(function)),
        ),
    ],
)
def test_a_gated_tool_where_nobody_would_ask_is_reported(slot: str, step: Any) -> None:
    """Its gate would be passed in silence (INV-10)."""
    assert of_steps(step) == [
        f"workflow 'W' > 's': {slot} 'function' is a tool; give it to an agent, or use the "
        "function itself"
    ]


# Agents, teams and tools.

AGENTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no_name": (
        {"name": ""},
        [f"workflow 'W' > '': name is ''; {NAME}", f"agent '': name is ''; {NAME}"],
    ),
    "name_is_no_text": (
        {"name": 7},
        [f"workflow 'W' > 7: name is 7; {NAME}", f"agent 7: name is 7; {NAME}"],
    ),
    "description_is_no_text": (
        {"description": None},
        [
            "workflow 'W' > 'a': description is None; use a text",
            "agent 'a': description is None; use a text",
        ],
    ),
    "no_turns": ({"max_turns": 0}, ["agent 'a': max_turns is 0; use a number from 1 to 1000"]),
    "absurd_turns": (
        {"max_turns": 1_001},
        ["agent 'a': max_turns is 1001; use a number from 1 to 1000"],
    ),
    "turns_are_no_number": (
        {"max_turns": "many"},
        ["agent 'a': max_turns is 'many'; use a number from 1 to 1000"],
    ),
    "tool_is_no_function": (
        {"tools": ["pay"]},
        ["agent 'a': tool 'pay' is not a function; decorate one with @tool"],
    ),
    "tools_is_no_list": (
        {"tools": None},
        ["agent 'a': tools is None; give a list of functions"],
    ),
    "two_tools_of_one_name": (
        {"tools": [pay, tool(name="pay")(function)]},
        ["agent 'a': tools has 2 of the name 'pay'; rename"],
    ),
    "a_tool_of_a_tool": (
        {"tools": [tool(tool(requires_confirmation=True)(pay))]},
        ["agent 'a' > tool 'pay': is a tool already; decorate it once"],
    ),
    "model_is_none": (
        {"model": None},
        [
            "agent 'a': model: None is not a model; give a name such as "
            "'openai-responses:gpt-5.4', OpenAIResponses(id=...), ScriptedModel([...]), or a "
            "model object of pydantic_ai"
        ],
    ),
    "model_without_provider": (
        {"model": "gpt-5.4"},
        [
            "agent 'a': model: 'gpt-5.4' is not a model name; write it with its provider, for "
            "example 'openai-responses:gpt-5.4'"
        ],
    ),
    "unknown_provider": (
        {"model": "nobody:gpt"},
        [
            "agent 'a': model: 'nobody:gpt' names the provider 'nobody', which is not known; the "
            "providers' names are those of pydantic_ai, for example 'openai-responses'"
        ],
    ),
    "output_schema_is_no_object": (
        {"output_schema": int},
        [
            "agent 'a': output_schema: no JSON Schema can be made of it: int is not an object in "
            "JSON; make the answer a field of a pydantic model"
        ],
    ),
    "parameter_without_schema": (
        {"tools": [untyped]},
        [
            "agent 'a' > tool 'untyped': no schema can be made of its parameters: no schema can "
            "be made of the parameters of untyped: name 'NotThere' is not defined"
        ],
    ),
}


@pytest.mark.parametrize("name", AGENTS)
def test_a_mistake_in_an_agent_is_reported_once(name: str) -> None:
    definition, expected = AGENTS[name]
    assert of_agent(**definition) == expected


TOOLS: dict[str, tuple[tuple[str, ...], dict[str, Any], list[str]]] = {
    "two_gates": (
        ("requires_confirmation", "requires_user_input"),
        {},
        ["has requires_confirmation and requires_user_input; a tool can have only one of them"],
    ),
    "three_gates": (
        ("external_execution", "requires_confirmation", "requires_user_input"),
        {},
        [
            "has requires_confirmation and requires_user_input and external_execution; a tool can "
            "have only one of them"
        ],
    ),
    "fields_without_input": (
        (),
        {"user_input_fields": ["amount"]},
        ["has user_input_fields without requires_user_input=True"],
    ),
    "unknown_field": (
        ("requires_user_input",),
        {"user_input_fields": ["ammount"]},
        ["user_input_fields names 'ammount', not a parameter; it has: amount"],
    ),
    "field_that_the_service_fills_in": (
        ("requires_user_input",),
        {"user_input_fields": ["session_state"]},
        ["user_input_fields names 'session_state', not a parameter; it has: amount"],
    ),
    "bad_name": ((), {"name": "p\tay"}, [f"name is 'p\\tay'; {NAME}"]),
    "no_time": (CONFIRMS, {"timeout": 0}, [f"timeout is 0; {TIME}"]),
    "negative_time": (CONFIRMS, {"timeout": -0.5}, [f"timeout is -0.5; {TIME}"]),
    "endless_time": (CONFIRMS, {"timeout": math.inf}, [f"timeout is inf; {TIME}"]),
    "no_number": (CONFIRMS, {"timeout": math.nan}, [f"timeout is nan; {TIME}"]),
    "too_long": (CONFIRMS, {"timeout": MOST + 1}, [f"timeout is {MOST + 1}; {TIME}"]),
    "negative_span": (
        CONFIRMS,
        {"timeout": timedelta(days=-1)},
        [f"timeout is {timedelta(days=-1)!r}; {TIME}"],
    ),
    "longest_span": (
        CONFIRMS,
        {"timeout": timedelta.max},
        [f"timeout is {timedelta.max!r}; {TIME}"],
    ),
    "time_is_a_text": (CONFIRMS, {"timeout": "1h"}, [f"timeout is '1h'; {TIME}"]),
    "time_is_a_bool": (CONFIRMS, {"timeout": True}, [f"timeout is True; {TIME}"]),
    "on_timeout_alone": (
        CONFIRMS,
        {"on_timeout": "skip"},
        ["has on_timeout without a timeout"],
    ),
    "on_timeout_unknown": (
        CONFIRMS,
        {"timeout": 1, "on_timeout": "ask"},
        ["on_timeout is 'ask'; use one of 'cancel', 'reject', 'approve', 'skip', 'fail'"],
    ),
    "timeout_of_a_free_tool": (
        (),
        {"timeout": 1},
        ["has a timeout, but no call of it waits for anybody; leave it out"],
    ),
    "timeout_of_a_free_tool_that_is_repeated": (
        (),
        {"timeout": 1, "on_interrupt": "retry"},
        ["has a timeout, but no call of it waits for anybody; leave it out"],
    ),
    "on_interrupt_unknown": (
        CONFIRMS,
        {"on_interrupt": "skip"},
        ["on_interrupt is 'skip'; use 'ask', 'retry' or 'fail'"],
    ),
    "on_interrupt_elsewhere": (
        ("external_execution",),
        {"on_interrupt": "retry"},
        ["on_interrupt is for tools that run here, and this one does not"],
    ),
    "yes_to_what_runs_elsewhere": (
        ("external_execution",),
        {"timeout": 1, "on_timeout": "approve"},
        ["on_timeout is 'approve', but a yes alone gives no result"],
    ),
    "yes_to_a_doubt": (
        (),
        {"timeout": 1, "on_timeout": "approve", "on_interrupt": "ask"},
        ["on_timeout is 'approve', but a yes alone gives no result"],
    ),
    "yes_without_a_value": (
        ("requires_user_input",),
        {"timeout": 1, "on_timeout": "approve"},
        ["on_timeout is 'approve', but a field that a person fills in has no default"],
    ),
    "yes_without_the_value_that_is_asked_for": (
        ("requires_user_input",),
        {"timeout": 1, "on_timeout": "approve", "user_input_fields": ["amount"]},
        ["on_timeout is 'approve', but a field that a person fills in has no default"],
    ),
}


@pytest.mark.parametrize(
    "waiting",
    [
        {"timeout": 0.001},
        {"timeout": MOST, "on_timeout": "approve", "on_interrupt": "fail"},
        {"timeout": timedelta(weeks=1), "on_timeout": "skip", "on_interrupt": "retry"},
    ],
)
def test_what_can_be_kept_is_no_mistake(waiting: dict[str, Any]) -> None:
    """Also a doubt about a free call may be asked with a time, and a default be approved."""
    doubtful = tool(name="doubtful", on_interrupt="ask", timeout=1, on_timeout="reject")(pay)
    filled = tool(requires_user_input=True, timeout=1, on_timeout="approve")(with_default)
    tools = [tool(requires_confirmation=True, **waiting)(pay), doubtful, filled]
    Interlock([Workflow(name="W", steps=[Agent(name="a", model=SCRIPT, tools=tools)])])


@pytest.mark.parametrize("case", TOOLS)
def test_a_mistake_in_a_tool_is_reported(case: str) -> None:
    gates, more, expected = TOOLS[case]
    place = f"agent 'a' > tool {more.get('name', 'pay')!r}"
    assert of_tool(*gates, **more) == [f"{place}: {text}" for text in expected]


def test_a_generator_is_no_tool() -> None:
    assert of_agent(tools=[yields]) == [
        "agent 'a' > tool 'yields': 'yields' is a generator; return one value"
    ]


def test_two_agents_of_one_name_are_reported() -> None:
    first, second = (Agent(name="a", model=SCRIPT) for _ in range(2))
    assert of_steps(Step(name="1", agent=first), Step(name="2", agent=second)) == [
        "agent 'a': another agent or team has this name; names are unique in an app"
    ]


def test_a_team_and_an_agent_of_one_name_are_reported() -> None:
    team = Team(name="a", model=SCRIPT, members=[Agent(name="a", model=SCRIPT)])
    assert of_steps(team) == [
        "agent 'a': another agent or team has this name; names are unique in an app"
    ]


def test_a_team_without_members_is_reported() -> None:
    assert of_steps(Team(name="t", model=SCRIPT, members=[])) == [
        "team 't': has no members; give at least one agent or team"
    ]


def test_members_that_are_no_list_are_reported() -> None:
    assert of_steps(Team(name="t", model=SCRIPT, members=None)) == [  # type: ignore[arg-type]
        "team 't': members is None; give a list of agents and teams"
    ]


def test_a_member_that_cannot_speak_is_reported() -> None:
    team = Team(name="t", model=SCRIPT, members=["Ann"])  # type: ignore[list-item]
    assert of_steps(team) == ["team 't': member 'Ann' is neither an Agent nor a Team"]


def test_a_member_twice_is_reported() -> None:
    member = Agent(name="a", model=SCRIPT)
    assert of_steps(Team(name="t", model=SCRIPT, members=[member, member])) == [
        "team 't': members has 2 of the name 'a'; rename"
    ]


def test_a_team_that_contains_itself_is_reported() -> None:
    members: list[Any] = [Agent(name="a", model=SCRIPT)]
    team = Team(name="t", model=SCRIPT, members=members)
    members.append(team)
    assert of_steps(team) == ["team 't': the team contains itself; break the circle"]


def test_a_team_that_has_a_tool_of_the_name_of_its_own_is_reported() -> None:
    member = Agent(name="a", model=SCRIPT)
    taken = tool(name="delegate_task_to_member")(pay)
    team = Team(name="t", model=SCRIPT, members=[member], tools=[taken])
    assert of_steps(team) == [
        "team 't' > tool 'delegate_task_to_member': a team has a tool of this name; rename yours"
    ]


def test_a_mistake_in_a_member_is_reported_once() -> None:
    member = Agent(name="a", model=None)
    team = Team(name="t", model=SCRIPT, members=[member])
    found = of_steps(team, Step(name="alone", agent=member))
    assert [one.partition(":")[0] for one in found] == ["agent 'a'"]


def test_all_mistakes_are_reported_at_once() -> None:
    """One start tells everything: from the tree, from the agents, and from their models."""
    agent = Agent(name="a", model=None, tools=[tool(external_execution=True)(yields)], max_turns=0)
    steps: list[Any] = [
        Step(name="s", agent=agent, on_error="never"),  # type: ignore[arg-type]
        Loop(name="l", steps=[], max_iterations=0),
        Condition(name="c", steps=[Step(name="")], evaluator=1),  # type: ignore[arg-type]
    ]
    with pytest.raises(DefinitionError) as caught:
        Interlock([Workflow(name="W", steps=steps), Workflow(name="", steps=[OK])])
    found = caught.value.problems
    assert [one.place for one in found] == [
        "agent 'a'",
        "agent 'a' > tool 'yields'",
        "workflow 'W' > 's'",
        "workflow 'W' > 'l'",
        "workflow 'W' > 'l'",
        "workflow 'W' > 'c'",
        "workflow 'W' > 'c' > ''",
        "workflow 'W' > 'c' > ''",
        "workflow ''",
        "agent 'a'",
    ]
    assert str(caught.value).startswith("10 mistakes in the definitions:\n  - agent 'a': ")


def test_one_mistake_is_not_called_several() -> None:
    assert str(DefinitionError([Problem("here", "this")])) == (
        "1 mistake in the definitions:\n  - here: this"
    )
