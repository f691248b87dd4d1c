"""Questions of whole nodes that nobody answers in time: the clock answers, as it was told to."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.support.gates import Trail
from tests.support.memory import EPOCH
from tests.support.workbench import app_of

from interlock import v1
from interlock_server import HumanReview, Router, Step, Workflow
from interlock_server.authoring.compile import compile_workflows
from interlock_server.engine.gates import at_timeout, refusal
from interlock_server.runtime.runtime import Runtime
from interlock_server.runtime.tail import settle
from interlock_server.runtime.world import World
from interlock_server.store.database import Database
from interlock_server.store.records import RequestKey
from interlock_server.store.requirements import requirements_of_run
from interlock_server.store.runs import run_get

_FIELDS: list[dict[str, Any]] = [{"name": "tone", "required": False, "value": "kind"}]
_LEVELS: dict[str, dict[str, Any]] = {
    "confirmation": {"requires_confirmation": True},
    "values": {"requires_user_input": True, "user_input_schema": _FIELDS},
    "review": {"requires_output_review": True},
}


class _Clock:
    """A clock that moves when a test says so."""

    def __init__(self) -> None:
        self.time = EPOCH

    def now(self) -> datetime:
        return self.time


@pytest.mark.parametrize("level", _LEVELS)
@pytest.mark.parametrize(
    ("on_timeout", "state", "runs_on"),
    [
        ("approve", v1.RUN_STATE_COMPLETED, True),
        ("skip", v1.RUN_STATE_COMPLETED, True),
        ("reject", v1.RUN_STATE_COMPLETED, True),
        ("fail", v1.RUN_STATE_FAILED, False),
        ("cancel", v1.RUN_STATE_CANCELLED, False),
    ],
)
async def test_the_clock_answers_for_a_node(
    database: Database, level: str, on_timeout: Any, state: int, runs_on: bool
) -> None:
    trail, clock = Trail(), _Clock()
    review = HumanReview(**_LEVELS[level], timeout=60, on_timeout=on_timeout)
    app = app_of(trail.step("x", human_review=review), trail.step("after"))
    runtime = app.runtime(database, world=World(now=clock.now))
    await runtime.start()
    run = v1.Run(run_id="run", session_id="session", workflow_id="Work")
    await runtime.start_run(run, None, RequestKey("", "", "", b""))
    await _rest(runtime)
    [asked] = await requirements_of_run(database, "run")
    assert asked.requirement.expire_time.ToDatetime(EPOCH.tzinfo) == EPOCH + timedelta(seconds=60)
    clock.time += timedelta(seconds=61)
    await runtime.fire_timers()
    await _rest(runtime)
    row = await run_get(database, "run")
    assert row is not None
    assert row.run.state == state
    assert ("after" in trail.done) == runs_on
    if on_timeout == "approve":
        assert trail.seen("after") == ["x 1"]
    if on_timeout in ("skip", "reject") and level != "review":
        assert trail.done == ["after"]
    [asked] = await requirements_of_run(database, "run")
    expected = v1.REQUIREMENT_STATE_EXPIRED
    assert asked.requirement.state == expected
    await runtime.stop()


async def _rest(runtime: Runtime) -> None:
    """Waits until the run pauses or ends."""
    await settle(runtime.database, runtime.hub, "run", 30.0, lambda: 30.0)


def test_a_router_that_proposes_nothing_cannot_be_approved_by_the_clock() -> None:
    question = v1.Requirement(
        kind=v1.REQUIREMENT_KIND_ROUTE_SELECTION,
        on_timeout=v1.ON_TIMEOUT_APPROVE,
        route_selection=v1.RouteSelection(available_routes=["a"]),
    )
    assert at_timeout(question) is None
    question.route_selection.proposed_routes.append("a")
    answer = at_timeout(question)
    assert answer is not None
    assert list(answer.route_choice.routes) == ["a"]


def test_a_skip_by_the_clock_is_no_retry() -> None:
    question = v1.Requirement(
        kind=v1.REQUIREMENT_KIND_OUTPUT_REVIEW,
        on_timeout=v1.ON_TIMEOUT_SKIP,
        step_gate=v1.StepGate(on_reject=v1.ON_REJECT_RETRY, max_retries=3),
    )
    answer = at_timeout(question)
    assert answer is not None
    assert refusal(question, answer).leads_to == v1.ON_REJECT_SKIP


def test_what_the_clock_could_not_answer_is_refused_at_the_start() -> None:
    wait: dict[str, Any] = {"timeout": 60, "on_timeout": "approve"}
    required = [{"name": "tone"}]
    trail = Trail()
    steps: list[Any] = [
        trail.step(
            "a",
            human_review=HumanReview(requires_user_input=True, user_input_schema=required, **wait),
        ),
        Router(
            name="b",
            choices=[trail.step("in")],
            human_review=HumanReview(requires_user_input=True, **wait),
        ),
        Step(name="c", executor=len, human_review=HumanReview(on_error="pause", **wait)),
        Step(name="d", executor=len, human_review=HumanReview(timeout=60)),
        Step(name="e", executor=len, human_review=HumanReview()),
    ]
    problems = [str(one) for one in compile_workflows([Workflow(name="W", steps=steps)]).problems]
    assert problems == [
        "workflow 'W' > 'a': on_timeout is 'approve', but a required value has no default",
        "workflow 'W' > 'b': on_timeout is 'approve', but without a selector there is no route",
        "workflow 'W' > 'c': on_timeout is 'approve', but a call in doubt or a failure cannot be "
        "approved",
        "workflow 'W' > 'd': has a timeout, but nothing in it waits for anybody; leave it out",
        "workflow 'W' > 'e': human_review asks nothing; leave it out",
    ]
