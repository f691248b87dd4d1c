"""Containers that have ended: what they gave is taken from the journal, and is the same."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from tests.support.played import Played, gated, yes

from interlock_server import (
    Condition,
    Loop,
    Parallel,
    Router,
    Step,
    StepInput,
    StepOutput,
    Steps,
    Workflow,
    limits,
)

NEVER = 10**9


def say(name: str) -> Step:
    def function(given: StepInput) -> Any:
        return {"said": name, "to": given.message, "odd": [1.5, None, "ü\0"]}

    return Step(name=name, executor=function)


def failing(name: str) -> Step:
    def function(given: StepInput) -> StepOutput:
        return StepOutput(success=False, error="no")

    return Step(name=name, executor=function, on_error="skip")


def look(given: StepInput) -> dict[str, Any]:
    """All that a step sees of those before it."""
    outputs = {name: asdict(one) for name, one in given.previous_step_outputs.items()}
    return {"outputs": outputs, "inner": given.get_step_content("deep")}


def nested() -> list[Any]:
    return [
        Loop(
            name="loop",
            steps=[say("a"), Steps(name="group", steps=[say("deep")])],
            max_iterations=3,
        ),
        Parallel(say("left"), Steps(name="right", steps=[say("r1"), failing("r2")]), name="both"),
        Condition(name="if", evaluator=True, steps=[say("then")]),
        Condition(name="unless", evaluator=False, steps=[say("never")]),
        Router(name="route", selector=lambda given: ["y", "x", "y"], choices=[say("x"), say("y")]),
        Workflow(name="inner", steps=[say("in")]),
    ]


async def played(monkeypatch: pytest.MonkeyPatch, least: int, *steps: Any) -> tuple[Any, Played]:
    monkeypatch.setattr(limits, "finished_steps_min", least)
    run = Played.of(*steps)
    output = await run.go()
    while output is None:
        output = await run.decide(yes)
    return output, run


def recorded(run: Played) -> list[str]:
    return [one.key for one in run.shelf.entries if one.key.endswith(":finished")]


async def test_what_a_later_step_sees_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [*nested(), gated("wait"), Step(name="look", executor=look)]
    output, run = await played(monkeypatch, 1, *steps)
    replayed, other = await played(monkeypatch, NEVER, *steps)
    assert output == replayed
    assert output.content["inner"]["said"] == "deep"
    assert set(recorded(run)) == {
        f"{name}:finished" for name in ("loop", "both", "if", "route", "inner")
    }
    assert recorded(other) == []
    assert run.events == other.events


async def test_what_has_ended_is_not_gone_through_again(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    def ends(outputs: Any) -> bool:
        looked.append(len(outputs))
        return False

    loop = Loop(name="loop", steps=[say("a")], max_iterations=50, end_condition=ends)
    run = Played.of(loop, gated("one"), gated("two"))
    monkeypatch.setattr(limits, "finished_steps_min", 50)
    assert await run.go() is None
    before = [one.key for one in run.shelf.entries]
    # Nothing of what is inside is looked up any more.
    run.shelf.entries = [one for one in run.shelf.entries if not one.key.startswith("loop#")]
    assert len(run.shelf.entries) < len(before)
    assert await run.decide(yes) is None
    output = await run.decide(yes)
    assert output is not None
    assert looked == [1] * 50
    assert recorded(run) == ["loop:finished"]


async def test_a_short_container_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    short = Loop(name="short", steps=[say("a")], max_iterations=9)
    long = Loop(name="long", steps=[say("a")], max_iterations=10)
    _, run = await played(monkeypatch, 10, short, long, gated("wait"))
    assert recorded(run) == ["long:finished"]


async def test_a_container_takes_over_what_those_inside_gave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inner = Loop(name="inner", steps=[say("a")], max_iterations=5)
    outer = Steps(name="outer", steps=[inner, gated("first")])
    _, run = await played(monkeypatch, 5, outer, gated("second"), gated("third"))
    assert recorded(run) == ["outer/inner:finished", "outer:finished"]


async def test_what_is_too_large_is_gone_through_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "record_characters_max", 1_000)
    loop = Loop(name="loop", steps=[say("a")], max_iterations=20)
    output, run = await played(monkeypatch, 1, loop, gated("wait"))
    assert recorded(run) == []
    assert output.content == "wait done"


async def test_usage_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def steps() -> list[Any]:
        agents = [gated(f"g{number}") for number in range(3)]
        return [Parallel(*agents[:2], name="both"), Steps(name="one", steps=agents[2:])]

    usages = []
    for least in (1, NEVER):
        monkeypatch.setattr(limits, "finished_steps_min", least)
        run = Played.of(*steps(), gated("last"))
        while await run.go() is None:
            for one in run.shelf.open():
                run.shelf.answer(one, yes(one.requirement))
        usages.append(
            sum(one.result.usage.model_requests for one in run.happened("step_completed"))
        )
    assert usages == [8, 8]
