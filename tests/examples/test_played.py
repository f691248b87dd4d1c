"""The examples' workflows over a real channel: sync and asyncio, unary and streaming."""

from __future__ import annotations

import pytest
from tests.examples.cases import CASES, NOTE, Case, Pause
from tests.examples.conftest import Serve
from tests.examples.playing import PLAYS, Played

from interlock import (
    Client,
    Requirement,
    StepExecutorContinuedEvent,
    StepExecutorPausedEvent,
    WorkflowCompletedEvent,
    WorkflowPausedEvent,
)
from interlock.v1 import StepResult

EXTERNAL_RESULT = [["Tokyo", 780.5]]
_by_name = pytest.mark.parametrize("case", CASES, ids=lambda case: case.example)
_in_every_way = pytest.mark.parametrize("way", PLAYS)


@_in_every_way
@_by_name
async def test_everybody_says_yes(case: Case, way: str, serve: Serve) -> None:
    with serve(case.example) as served:

        def decide(asked: Requirement) -> None:
            assert served.calls == list(case.calls[: len(seen)]), "only what had its yes has run"
            seen.append(Pause.of(asked))
            if asked.needs_confirmation:
                asked.confirm()
            elif asked.needs_user_input:
                assert [one.name for one in asked.user_input_schema] == list(case.values)
                asked.provide_user_input(case.values)
            else:
                assert asked.needs_external_execution
                asked.tool_execution.result = EXTERNAL_RESULT

        seen: list[Pause] = []
        played = await PLAYS[way](served.target, case.workflow, case.input, decide)
    assert seen == list(case.pauses)
    assert served.calls == list(case.calls)
    assert (played.run.status, played.run.content) == ("COMPLETED", case.content)
    assert tuple("/".join(one.step.path) for one in _results(played)) == case.results
    _check_story(played, len(case.pauses))


@_in_every_way
@_by_name
async def test_everybody_says_no(case: Case, way: str, serve: Serve) -> None:
    with serve(case.example) as served:
        played = await PLAYS[way](
            served.target, case.workflow, case.input, lambda asked: asked.reject(note=NOTE)
        )
    assert served.calls == []
    assert (played.run.status, played.run.content) == ("COMPLETED", case.refused)
    _check_story(played, case.refusals)


def test_the_other_branch_does_not_pause(serve: Serve) -> None:
    with serve("confirmation_in_condition") as served, Client(served.target) as client:
        run = client.workflow("ConditionExecutorHITL").run("Look at acme.")
    assert run.content == "REPORT\nNothing stands out."
    assert [one.name for one in run.step_results[1].steps] == ["quick_summary"]


def test_the_other_route_does_not_pause(serve: Serve) -> None:
    with serve("confirmation_in_router") as served, Client(served.target) as client:
        run = client.workflow("RouterExecutorHITL").run("When are you open?")
    assert run.content == "We are open from nine to five."


def _results(played: Played) -> list[StepResult]:
    return list(played.run.message.step_results)


def _check_story(played: Played, pauses: int) -> None:
    """A history without gaps; one end; a pause goes on once; streams show what is stored."""
    stored = played.stored
    assert [one.sequence for one in stored] == list(range(1, len(stored) + 1))
    assert len(played.pauses) == pauses
    for kind in (StepExecutorPausedEvent, StepExecutorContinuedEvent, WorkflowPausedEvent):
        assert sum(isinstance(one, kind) for one in stored) == pauses
    ends = [one for one in stored if isinstance(one, WorkflowCompletedEvent)]
    assert ends == stored[-1:]
    if played.events:
        assert [one.message for one in played.streamed] == [one.message for one in stored]
