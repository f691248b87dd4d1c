"""Messages as a server would send them."""

from __future__ import annotations

import json
from typing import Any

from interlock import v1

PENDING = v1.RequirementState.REQUIREMENT_STATE_PENDING


def requirement(kind: str = "CONFIRMATION", **fields: Any) -> v1.Requirement:
    """A requirement that waits, on a call of `send_money`."""
    number = v1.RequirementKind.Value(f"REQUIREMENT_KIND_{kind}")
    values: dict[str, Any] = {
        "requirement_id": "req-1",
        "run_id": "run-1",
        "kind": number,
        "state": PENDING,
        "tool_execution": v1.ToolExecution(
            tool_call_id="call-1",
            tool_name="send_money",
            tool_args_json='{"amount":9007199254740993}',
        ),
    }
    return v1.Requirement(**(values | fields))


def step(*path: str, step_id: str = "", parent: str = "") -> v1.StepRef:
    """Where a step is."""
    return v1.StepRef(
        step_id=step_id or "/".join(path),
        name=path[-1],
        type=v1.NodeType.NODE_TYPE_STEP,
        path=path,
        parent_step_id=parent,
    )


def paused_run(*requirements: v1.Requirement, run_id: str = "run-1") -> v1.Run:
    """A run that is paused in the step `pay`."""
    waiting = v1.StepRequirement(
        step=step("pay"),
        executor=v1.ExecutorRef(type=v1.ExecutorType.EXECUTOR_TYPE_AGENT, executor_id="teller"),
        executor_name="Teller",
        executor_run_id="exec-1",
        executor_requirements=requirements or [requirement()],
    )
    return v1.Run(
        run_id=run_id,
        workflow_id="greet",
        session_id="session-1",
        state=v1.RunState.RUN_STATE_PAUSED,
        pause_kind=v1.PauseKind.PAUSE_KIND_EXECUTOR,
        step_requirements=[waiting],
    )


def run(state: str = "COMPLETED", output: Any = None, run_id: str = "run-1") -> v1.Run:
    """A run in any state."""
    return v1.Run(
        run_id=run_id,
        workflow_id="greet",
        session_id="session-1",
        state=v1.RunState.Value(f"RUN_STATE_{state}"),
        output_json="" if output is None else json.dumps(output),
    )


def event(sequence: int, case: str, payload: Any, *path: str) -> v1.RunEvent:
    """An event of `run-1`."""
    fields: dict[str, Any] = {case: payload}
    if path:
        fields["step"] = step(*path)
    return v1.RunEvent(run_id="run-1", sequence=sequence, **fields)


def started(sequence: int = 1) -> v1.RunEvent:
    """The run started."""
    payload = v1.WorkflowStarted(workflow_id="greet", session_id="session-1")
    return event(sequence, "workflow_started", payload)


def completed(sequence: int, output: Any = None) -> v1.RunEvent:
    """The run ended well."""
    text = "" if output is None else json.dumps(output)
    return event(sequence, "workflow_completed", v1.WorkflowCompleted(output_json=text))


def workflow_paused(sequence: int) -> v1.RunEvent:
    """The run waits."""
    payload = v1.WorkflowPaused(pause_kind=v1.PauseKind.PAUSE_KIND_EXECUTOR)
    return event(sequence, "workflow_paused", payload)


def step_started(sequence: int, *path: str) -> v1.RunEvent:
    """A step started."""
    return event(sequence, "step_started", v1.StepStarted(attempt=1), *path)


def step_completed(sequence: int, output: Any, *path: str) -> v1.RunEvent:
    """A step ended well."""
    result = v1.StepResult(
        step=step(*path),
        outcome=v1.StepOutcome.STEP_OUTCOME_COMPLETED,
        output_json=json.dumps(output),
    )
    return event(sequence, "step_completed", v1.StepCompleted(result=result), *path)


def delta(sequence: int, index: int, text: str, *path: str) -> v1.RunEvent:
    """A piece of text."""
    return event(sequence, "content_delta", v1.ContentDelta(text=text, index=index), *path)


def batch(kind: type[Any], *events: v1.RunEvent) -> Any:
    """Events in one reply."""
    return kind(events=v1.RunEvents(events=events))
