"""Events: a class for each kind of the contract."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import pytest
from tests.clients.python import samples

import interlock
from interlock import Event, events, v1
from interlock._core.transcript import undelivered
from interlock.events import (
    RequirementResolvedEvent,
    RunContentEvent,
    StepCompletedEvent,
    StepExecutorContinuedEvent,
    StepExecutorPausedEvent,
    StepFailedEvent,
    WorkflowCompletedEvent,
    WorkflowPausedEvent,
    WorkflowStartedEvent,
)

CASES = v1.RunEvent.DESCRIPTOR.oneofs_by_name["event"].fields


def of_case(case: str) -> Event[Any]:
    message = v1.RunEvent(run_id="run-1", sequence=7, step=samples.step("group", "pay"))
    getattr(message, case).SetInParent()
    event = events.from_message(message)
    assert event is not None
    return event


@pytest.mark.parametrize("case", [field.name for field in CASES])
def test_every_kind_has_a_class(case: str) -> None:
    event = of_case(case)
    name = "".join(word.capitalize() for word in case.split("_"))
    expected = "RunContentEvent" if case == "content_delta" else f"{name}Event"
    assert type(event).__name__ == expected
    assert getattr(interlock, expected) is type(event)
    assert getattr(events, expected) is type(event)
    assert event.payload == getattr(event.message, case)


@pytest.mark.parametrize("case", [field.name for field in CASES])
def test_every_field_of_a_kind_can_be_read(case: str) -> None:
    """Each field has an attribute, and each attribute works on an empty payload."""
    event = of_case(case)
    attributes = {
        name
        for name, value in inspect.getmembers(type(event))
        if isinstance(value, property | cached_property) and not name.startswith("_")
    }
    for name in attributes:
        getattr(event, name)
    renamed = {
        "executor": "executor_id",
        "text": "content",
        "resolution": "decision",
        "input_json": "input",
        "output_json": "output",
    }
    fields = {field.name for field in type(event.payload).DESCRIPTOR.fields}
    if case == "condition_started":
        renamed["result"] = "condition_result"
    assert {renamed.get(name, name) for name in fields} <= attributes


@pytest.mark.parametrize("case", [field.name for field in CASES])
def test_what_all_have_in_common(case: str) -> None:
    event = of_case(case)
    event.message.event_time.FromDatetime(datetime(2026, 1, 2, tzinfo=UTC))
    assert (event.run_id, event.sequence) == ("run-1", 7)
    assert event.created_at == event.event_time == datetime(2026, 1, 2, tzinfo=UTC)
    assert (event.step_name, event.step_path) == ("pay", ("group", "pay"))
    assert (event.step_id, event.step_type) == ("group/pay", "Step")
    assert repr(event) == f"<{type(event).__name__} run-1#7 group/pay>"


def test_a_kind_that_is_newer_than_the_client_is_none() -> None:
    assert events.from_message(v1.RunEvent(run_id="run-1", sequence=3)) is None


def of(message: v1.RunEvent) -> Any:
    return events.from_message(message)


def test_workflow_events() -> None:
    event = of(samples.started())
    assert isinstance(event, WorkflowStartedEvent)
    assert (event.workflow_id, event.session_id, event.input) == ("greet", "session-1", None)
    assert event.step_name == ""
    paused = of(samples.workflow_paused(2))
    assert isinstance(paused, WorkflowPausedEvent)
    assert paused.pause_kind == "executor"
    done = of(samples.completed(3, {"a": 1}))
    assert isinstance(done, WorkflowCompletedEvent)
    assert done.content == done.output == {"a": 1}


def test_executor_events() -> None:
    (waiting,) = samples.paused_run().step_requirements
    paused = of(
        samples.event(
            1, "step_executor_paused", v1.StepExecutorPaused(step_requirement=waiting), "pay"
        )
    )
    assert isinstance(paused, StepExecutorPausedEvent)
    assert (paused.executor_id, paused.executor_name) == ("teller", "Teller")
    assert (paused.executor_type, paused.executor_run_id) == ("agent", "exec-1")
    assert [one.id for one in paused.executor_requirements] == ["req-1"]
    payload = v1.StepExecutorContinued(
        executor=v1.ExecutorRef(type=v1.ExecutorType.EXECUTOR_TYPE_TEAM, executor_id="ops"),
        executor_name="Ops",
        executor_run_id="exec-2",
    )
    continued = of(samples.event(2, "step_executor_continued", payload, "pay"))
    assert isinstance(continued, StepExecutorContinuedEvent)
    assert (continued.executor_id, continued.executor_name) == ("ops", "Ops")
    assert (continued.executor_type, continued.executor_run_id) == ("team", "exec-2")


def test_step_events() -> None:
    done = of(samples.step_completed(1, "text", "a"))
    assert isinstance(done, StepCompletedEvent)
    assert done.content == done.output == done.result.content == "text"
    failed = of(samples.event(2, "step_failed", v1.StepFailed(will_retry=True), "a"))
    assert isinstance(failed, StepFailedEvent)
    assert (failed.will_retry, failed.result) == (True, None)
    piece = of(samples.delta(2, 3, "te", "a"))
    assert isinstance(piece, RunContentEvent)
    assert (piece.content, piece.index) == ("te", 3)


def test_requirement_event() -> None:
    resolution = v1.RequirementResolution(requirement_id="req-1", confirm=v1.Confirmation())
    payload = v1.RequirementResolved(resolution=resolution, resolved_by="ada")
    event = of(samples.event(1, "requirement_resolved", payload))
    assert isinstance(event, RequirementResolvedEvent)
    assert (event.requirement_id, event.decision.kind, event.resolved_by) == (
        "req-1",
        "confirm",
        "ada",
    )


@pytest.mark.parametrize(
    ("output", "delivered", "rest"),
    [
        ("all of it", "all of it", None),
        ("all of it", "Let me look.all of it\n", None),
        ("all of it", "all ", "of it"),
        ("all of it", "Let me look.", "all of it"),
        ("all of it", "all it", "all of it"),
        ("", "Let me look.", None),
    ],
)
def test_what_pieces_have_not_delivered(output: str, delivered: str, rest: str | None) -> None:
    assert undelivered(output, delivered) == rest
