"""Functions as steps, evaluators, selectors and end conditions."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel
from tests.support.played import Played, RunFailed

from interlock_server import Condition, Loop, Router, RunContext, Step, StepInput, StepOutput


def step(function: Any, **more: Any) -> Step:
    return Step(name="work", executor=function, **more)


def nothing(given: StepInput) -> str:
    return "nothing"


class Colour(enum.Enum):
    RED = "red"


class Point(BaseModel):
    x: int


@dataclass
class Pair:
    a: int
    b: list[int]


@pytest.mark.parametrize(
    ("value", "content"),
    [
        (None, None),
        ("text", "text"),
        (2**70, 2**70),
        (Point(x=1), {"x": 1}),
        (Pair(1, [2]), {"a": 1, "b": [2]}),
        (Colour.RED, "red"),
        ((1, 2), [1, 2]),
        ({1: "one"}, {"1": "one"}),
        (StepOutput(content=Point(x=2)), {"x": 2}),
    ],
)
async def test_what_a_function_gives_becomes_json_at_once(value: Any, content: Any) -> None:
    output = await Played.of(step(lambda given: value)).go()
    assert output is not None
    assert output.content == content


async def test_functions_may_be_async_and_ask_for_the_run() -> None:
    async def work(given: StepInput, run_context: RunContext, session_state: dict[str, Any]) -> str:
        session_state["seen"] = given.input
        return run_context.idempotency_key

    run = Played.of(step(work))
    output = await run.go("hello")
    assert output is not None
    assert output.content == "run/work:function"
    assert run.shelf.session == {"seen": "hello"}


class Speaking:
    """An object with an async call."""

    async def __call__(self, given: StepInput) -> str:
        return "called"


async def test_an_object_can_be_a_function() -> None:
    output = await Played.of(step(Speaking())).go()
    assert output is not None
    assert output.content == "called"


def raises(given: StepInput) -> str:
    raise RuntimeError("broken pipe")


def leaves(given: StepInput) -> str:
    raise SystemExit("leaving")


@pytest.mark.parametrize(
    ("function", "reason", "text"),
    [
        (raises, "FUNCTION_FAILED", "broken pipe"),
        (leaves, "FUNCTION_FAILED", "leaving"),
        (lambda given: object(), "FUNCTION_FAILED", "cannot be JSON"),
        (lambda given: float("nan"), "FUNCTION_FAILED", "cannot be JSON"),
        (lambda given: StepOutput(success=False, error="no luck"), "STEP_UNSUCCESSFUL", "no luck"),
    ],
)
async def test_a_function_that_fails_fails_its_step(function: Any, reason: str, text: str) -> None:
    run = Played.of(step(function))
    with pytest.raises(RunFailed, match=text) as failure:
        await run.go()
    assert failure.value.error.reason == reason
    [failed] = run.happened("step_failed")
    assert failed.result.error.reason == reason


async def test_on_error_skip_goes_on_with_what_was_before() -> None:
    first = Step(name="first", executor=lambda given: "first")
    last = Step(name="last", executor=lambda given: f"after {given.previous_step_content}")
    run = Played.of(first, step(raises, on_error="skip"), last)
    output = await run.go()
    assert output is not None
    assert output.content == "after first"
    [skipped] = run.happened("step_skipped")
    assert "broken pipe" in skipped.reason


async def test_retries_count_and_end() -> None:
    calls: list[int] = []

    def flaky(given: StepInput) -> str:
        calls.append(1)
        if len(calls) < 3:
            raise RuntimeError("not yet")
        return "at last"

    run = Played.of(step(flaky, max_retries=2))
    output = await run.go()
    assert output is not None
    assert output.content == "at last"
    assert [one.will_retry for one in run.happened("step_failed")] == [True, True]
    assert [one.attempt for one in run.happened("step_started")] == [1, 2, 3]


async def test_without_retries_a_function_runs_once() -> None:
    calls: list[int] = []

    def failing(given: StepInput) -> str:
        calls.append(1)
        raise RuntimeError("no")

    with pytest.raises(RunFailed):
        await Played.of(step(failing)).go()
    assert len(calls) == 1


@pytest.mark.parametrize(
    "construct",
    [
        Condition(name="c", evaluator=lambda given: "yes", steps=[step(nothing)]),
        Loop(name="c", end_condition=lambda outputs: 1, steps=[step(nothing)]),
        Router(name="c", selector=lambda given: 7, choices=[step(nothing)]),
    ],
)
async def test_a_decision_of_the_wrong_type_is_a_failure_and_never_a_no(construct: Any) -> None:
    with pytest.raises(RunFailed) as failure:
        await Played.of(construct).go()
    assert failure.value.error.reason == "WRONG_TYPE"
    assert failure.value.error.metadata["step_name"] == "c"


async def test_an_unknown_route_is_a_failure_that_names_the_routes() -> None:
    router = Router(name="r", selector=lambda given: "elsewhere", choices=[step(nothing)])
    with pytest.raises(RunFailed, match="the routes are: work"):
        await Played.of(router).go()
