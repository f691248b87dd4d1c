"""What the shell gives, as the suite writes it down."""

from __future__ import annotations

from typing import Any

from interlock import (
    Event,
    InterlockError,
    Requirement,
    RunContentEvent,
    RunOutput,
    StepResult,
    UserInputField,
    jsontext,
)

_TYPES = {
    "str": "STRING",
    "int": "INTEGER",
    "float": "NUMBER",
    "bool": "BOOLEAN",
    "list": "ARRAY",
    "dict": "OBJECT",
}


def run_view(run: RunOutput) -> dict[str, Any]:
    """A run."""
    return {
        "run_id": run.run_id,
        "workflow_id": run.workflow_id,
        "session_id": run.session_id,
        "state": run.status,
        "pause_kind": (run.pause_kind or "").upper(),
        "is_paused": run.is_paused,
        "output": _text(run.content, is_set=bool(run.message.output_json)),
        "error": {"reason": run.error.reason, "message": run.error.message} if run.error else None,
        "last_sequence": run.last_sequence,
        "labels": run.labels,
        "step_results": [_result_view(StepResult(one)) for one in run.message.step_results],
        "step_requirements": [
            {
                "step": one.step_name,
                "path": list(one.step_path),
                "executor": one.executor_name,
                "requirements": [requirement_view(each) for each in one.requirements],
            }
            for one in run.step_requirements
        ],
    }


def requirement_view(requirement: Requirement) -> dict[str, Any]:
    """A requirement."""
    message = requirement.message
    call = requirement.tool_execution
    return {
        "requirement_id": requirement.id,
        "run_id": requirement.run_id,
        "kind": requirement.kind,
        "state": requirement.state,
        "step": requirement.step_name,
        "path": list(requirement.step_path),
        "executor": requirement.executor_name,
        "member_path": list(requirement.member_path),
        "message": requirement.prompt,
        "tool_name": call.tool_name,
        "args": _text(call.tool_args, is_set=message.HasField("tool_execution")),
        "fields": [_field_view(one) for one in requirement.user_input_schema],
        "questions": [
            {
                "question_id": one.id,
                "question": one.question,
                "multi_select": one.multi_select,
                "options": [option.label for option in one.options],
            }
            for one in requirement.feedback_questions
        ],
        "routes": _routes_view(requirement),
        "content": _text(requirement.content, is_set=bool(message.step_gate.content_json)),
        "on_timeout": requirement.on_timeout or "",
        "expires": requirement.expires_at is not None,
        "attempt": requirement.attempt,
        "can_edit_args": message.can_edit_args,
        "claim": {"worker_id": message.claim.worker_id, "epoch": message.claim.epoch}
        if message.HasField("claim")
        else None,
        "resolution": message.resolution.WhichOneof("resolution"),
        "resolved_by": requirement.resolved_by,
    }


def event_view(event: Event[Any]) -> dict[str, Any]:
    """An event."""
    return {
        "kind": event.case,
        "sequence": event.sequence,
        "step": event.step_name,
        "path": list(event.step_path),
        "text": event.content if isinstance(event, RunContentEvent) else "",
    }


def error_view(error: InterlockError) -> dict[str, Any]:
    """A failed call."""
    return {
        "code": error.code.name,
        "reason": error.reason,
        "message": error.message,
        "metadata": error.metadata,
        "fields": dict(error.field_violations),
    }


def _result_view(result: StepResult) -> dict[str, Any]:
    return {
        "name": result.name,
        "path": list(result.path),
        "outcome": result.outcome,
        "output": _text(result.content, is_set=bool(result.message.output_json)),
    }


def _field_view(field: UserInputField) -> dict[str, Any]:
    return {
        "name": field.name,
        "type": _TYPES.get(field.field_type, ""),
        "required": field.required,
        "value": _text(field.value, is_set=field.value is not None),
        "allowed": [jsontext.dumps(one) for one in field.allowed_values or ()],
    }


def _routes_view(requirement: Requirement) -> dict[str, Any] | None:
    if not requirement.message.HasField("route_selection"):
        return None
    return {
        "available": requirement.available_routes,
        "proposed": requirement.proposed_routes,
        "allow_multiple": requirement.allow_multiple_selections,
    }


def _text(value: Any, *, is_set: bool) -> str | None:
    """JSON text of a value as the shell gives it."""
    return jsontext.dumps(value) if is_set else None
