"""`RunOutput`: a run as an object."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from tests.clients.python import samples

from interlock import RunError, RunOutput, Usage, v1


def test_paused() -> None:
    run = RunOutput(samples.paused_run())
    assert run.status == run.state == "PAUSED"
    assert run.is_paused
    assert not any([run.is_completed, run.is_failed, run.is_cancelled])
    assert run.pause_kind == "executor"
    assert run.paused_step_name == "pay"
    assert run.content is None
    (requirement,) = run.active_requirements
    assert run.requirements_requiring_confirmation == [requirement]
    assert run.requirements_requiring_user_input == []
    assert run.requirements_requiring_external_execution == []
    requirement.confirm()
    assert run.active_requirements == []
    assert run.requirements == [requirement]


def test_completed() -> None:
    run = RunOutput(
        v1.Run(
            run_id="run-1",
            workflow_id="greet",
            workflow_version=3,
            session_id="session-1",
            started_by="ada",
            state=v1.RunState.RUN_STATE_COMPLETED,
            input_json='{"n":12345678901234567890}',
            output_json='["hi"]',
            usage=v1.Usage(input_tokens=1, output_tokens=2, model_requests=3),
            labels={"a": "b"},
            last_sequence=8,
            etag="e",
            create_time=Timestamp(seconds=1767225600),
        )
    )
    assert (run.run_id, run.workflow_id, run.workflow_version) == ("run-1", "greet", 3)
    assert (run.session_id, run.started_by, run.etag) == ("session-1", "ada", "e")
    assert run.is_completed
    assert run.pause_kind is None
    assert run.paused_step_name is None
    assert run.input == {"n": 12345678901234567890}
    assert run.content == ["hi"]
    assert run.usage == Usage(1, 2, 3)
    assert run.labels == {"a": "b"}
    assert run.last_sequence == 8
    assert run.created_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert run.ended_at is None
    assert run.error is None


def test_failed() -> None:
    error = v1.RunError(reason="STEP_FAILED", message="boom", metadata={"step": "a"})
    run = RunOutput(v1.Run(state=v1.RunState.RUN_STATE_FAILED, error=error))
    assert run.is_failed
    assert run.error == RunError("STEP_FAILED", "boom", {"step": "a"})
    assert str(run.error) == "STEP_FAILED: boom"


@pytest.mark.parametrize("number", v1.PauseKind.values())
def test_pause_kinds(number: v1.PauseKind.ValueType) -> None:
    names = [None, "executor", "step", "error"]
    assert RunOutput(v1.Run(pause_kind=number)).pause_kind == names[number]


def test_the_paused_step_is_the_top_level_one() -> None:
    waiting = v1.StepRequirement(step=samples.step("refine", "2", "draft"))
    run = v1.Run(state=v1.RunState.RUN_STATE_PAUSED, step_requirements=[waiting])
    assert RunOutput(run).paused_step_name == "refine"


def result(
    *path: str, parent: str = "", outcome: str = "COMPLETED", output: str = ""
) -> v1.StepResult:
    return v1.StepResult(
        step=samples.step(*path, parent=parent),
        outcome=v1.StepOutcome.Value(f"STEP_OUTCOME_{outcome}"),
        output_json=output,
    )


def test_results_are_a_tree() -> None:
    run = RunOutput(
        v1.Run(
            step_results=[
                result("gather", output='"facts"'),
                result("refine", "1", "draft", parent="refine"),
                result("refine", "2", "draft", parent="refine", outcome="FAILED"),
                result("refine", outcome="SKIPPED"),
            ]
        )
    )
    gather, refine = run.step_results
    assert (gather.name, gather.content, gather.success) == ("gather", "facts", True)
    assert gather.steps == []
    assert (refine.outcome, refine.success) == ("SKIPPED", False)
    assert [one.path for one in refine.steps] == [
        ("refine", "1", "draft"),
        ("refine", "2", "draft"),
    ]
    assert [one.success for one in refine.steps] == [True, False]


def test_results_inside_an_unfinished_container_are_not_hidden() -> None:
    run = RunOutput(v1.Run(step_results=[result("group", "first", parent="group")]))
    assert [one.path for one in run.step_results] == [("group", "first")]


def test_a_state_that_is_newer_than_the_client() -> None:
    run = RunOutput(v1.Run(state=42))  # type: ignore[arg-type]
    assert run.status == "42"
    assert not run.is_paused
