"""Decisions: whether an answer fits the requirement it is for, before anything is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from interlock import v1
from interlock_server import jsontext, limits
from interlock_server.engine.fields import violations
from interlock_server.engine.gates import accepted_by, may_retry, options_of, with_values
from interlock_server.errors import (
    ClaimLost,
    EtagMismatch,
    ExecutorNotFound,
    FieldViolation,
    InvalidField,
    RequirementAlreadyResolved,
    RequirementCancelled,
    RequirementClaimed,
    RequirementExpired,
    ResolutionMismatch,
)

_NOTES = {
    "confirm": ("note",),
    "reject": ("note",),
    "external_result": ("error_message",),
    "retry": ("feedback",),
    "fail": ("message",),
}


class Tools(Protocol):
    """Checks values against a tool's parameters."""

    def check_values(
        self, requirement: v1.Requirement, values: Mapping[str, Any]
    ) -> list[FieldViolation] | None:
        """What is wrong with the values; `None` when the tool is not defined here."""
        ...

    def check_args(
        self, requirement: v1.Requirement, args: Mapping[str, Any]
    ) -> list[FieldViolation] | None:
        """What is wrong with a person's arguments; `None` when the tool is not defined here."""
        ...


def kind_of(resolution: v1.RequirementResolution) -> str:
    """The name of the answer that a resolution gives; empty when it gives none."""
    return resolution.WhichOneof("resolution") or ""


def check_answer(
    tools: Tools, requirement: v1.Requirement, resolution: v1.RequirementResolution, field: str
) -> v1.RequirementResolution:
    """The answer in the form in which it is recorded.

    Args:
        field: path of the resolution in its request, for errors.

    Raises:
        InvalidField: a value is missing or malformed; each violation has its path.
        ResolutionMismatch: it answers another kind of question.
        ExecutorNotFound: the tool that must check the values is not defined here.
    """
    kind = kind_of(resolution)
    if not kind:
        raise invalid(f"{field}.resolution", "is missing; give an answer, such as confirm")
    accepted = accepted_by(requirement)
    if kind not in accepted:
        asked = v1.RequirementKind.Name(requirement.kind).removeprefix("REQUIREMENT_KIND_")
        raise ResolutionMismatch(
            requirement.requirement_id, asked, kind, " or ".join(sorted(accepted))
        )
    _check_notes(resolution, kind, field)
    recorded = v1.RequirementResolution()
    recorded.CopyFrom(resolution)
    recorded.ClearField("etag")
    recorded.DiscardUnknownFields()
    match kind:
        case "confirm" if resolution.confirm.edited_args_json:
            recorded.confirm.edited_args_json = _checked_args(
                tools, requirement, resolution, f"{field}.confirm.edited_args_json"
            )
        case "reject" if resolution.reject.on_reject:
            _check_consequence(requirement, resolution.reject.on_reject, field)
        case "retry" if requirement.HasField("step_gate"):
            _check_retries(requirement, f"{field}.retry")
        case "user_feedback":
            _check_feedback(requirement.feedback_questions, resolution.user_feedback, field)
        case "user_input" if requirement.kind != v1.REQUIREMENT_KIND_USER_INPUT:
            recorded.user_input.values_json = _checked_fields(requirement, resolution, field)
        case "user_input":
            recorded.user_input.values_json = _checked_values(tools, requirement, resolution, field)
        case "edited_output":
            path = f"{field}.edited_output.output_json"
            output = _parsed(resolution.edited_output.output_json, path)
            recorded.edited_output.output_json = jsontext.dumps(output)
        case "route_choice":
            _check_routes(requirement.route_selection, resolution.route_choice.routes, field)
        case "external_result":
            _check_result(recorded.external_result, field)
    return recorded


def is_settled(
    requirement: v1.Requirement,
    sent: v1.RequirementResolution,
    recorded: v1.RequirementResolution,
) -> bool:
    """Whether the same decision stands already, so that there is nothing left to do.

    Raises:
        RequirementAlreadyResolved: another decision stands.
        RequirementExpired: time ran out before.
        RequirementCancelled: the requirement ended with its run.
        EtagMismatch: it has changed since the caller read it.
    """
    is_same = requirement.resolution == recorded
    if requirement.state == v1.REQUIREMENT_STATE_RESOLVED and is_same:
        return True
    check_open(requirement)
    if sent.etag and sent.etag != requirement.etag:
        raise EtagMismatch(requirement.etag)
    return False


def check_open(requirement: v1.Requirement) -> None:
    """Refuses what only a requirement can take that waits.

    Raises:
        RequirementAlreadyResolved, RequirementExpired, RequirementCancelled: it waits no longer.
    """
    if requirement.state == v1.REQUIREMENT_STATE_RESOLVED:
        raise RequirementAlreadyResolved(
            requirement.requirement_id,
            kind_of(requirement.resolution),
            requirement.resolved_by,
            requirement.resolve_time.ToJsonString(),
        )
    if requirement.state == v1.REQUIREMENT_STATE_EXPIRED:
        raise RequirementExpired(
            requirement.requirement_id,
            v1.OnTimeout.Name(requirement.on_timeout).removeprefix("ON_TIMEOUT_"),
            requirement.expire_time.ToJsonString(),
        )
    if requirement.state == v1.REQUIREMENT_STATE_CANCELLED:
        raise RequirementCancelled(requirement.requirement_id)


def check_claim(
    requirement: v1.Requirement, sent: v1.RequirementResolution, epoch: int, now: datetime
) -> None:
    """Refuses a result of a worker that lost its claim, and one that passes over a claim.

    A person's no needs no claim.

    Args:
        epoch: under which the call was executed; 0 when nobody claimed it.

    Raises:
        ClaimLost: another worker has the call, or it was given back.
        RequirementClaimed: a worker is at work on it.
    """
    claim = requirement.claim
    if epoch:
        if epoch != claim.epoch:
            raise ClaimLost(requirement.requirement_id, epoch)
        return
    if kind_of(sent) == "external_result" and holds(requirement, now):
        until = claim.expire_time.ToJsonString()
        raise RequirementClaimed(requirement.requirement_id, claim.worker_id, until)


def holds(requirement: v1.Requirement, now: datetime) -> bool:
    """Whether a worker holds a requirement, so that no other one may take it."""
    until = requirement.claim.expire_time.ToDatetime(now.tzinfo)
    is_open = requirement.state == v1.REQUIREMENT_STATE_PENDING
    return requirement.HasField("claim") and is_open and now < until


def check_unique(requirement_ids: Sequence[str], fields: Sequence[str]) -> None:
    """Refuses two answers to one question in one request.

    Raises:
        InvalidField: there are two.
    """
    seen: dict[str, str] = {}
    for requirement_id, field in zip(requirement_ids, fields, strict=True):
        if requirement_id in seen:
            text = f"is answered by {seen[requirement_id]} too; give one answer"
            raise invalid(f"{field}.requirement_id", text)
        seen[requirement_id] = field


def invalid(field: str, description: str) -> InvalidField:
    """One violation as an error."""
    return InvalidField([FieldViolation(field, description)])


def _check_notes(resolution: v1.RequirementResolution, kind: str, field: str) -> None:
    for name in _NOTES.get(kind, ()):
        if len(getattr(getattr(resolution, kind), name)) > limits.note_characters_max:
            text = f"is longer than {limits.note_characters_max:,} characters"
            raise invalid(f"{field}.{kind}.{name}", text)


def _check_consequence(
    requirement: v1.Requirement, wished: v1.OnReject.ValueType, field: str
) -> None:
    """A person may choose what a rejection does only among what the definition allows."""
    path = f"{field}.reject.on_reject"
    choices = options_of(requirement).on_reject_choices
    if wished not in choices:
        known = ", ".join(_word(v1.OnReject, "ON_REJECT_", one) for one in choices)
        text = f"the choices here are: {known}" if known else "there is no choice here"
        raise invalid(path, f"{text}; leave it out")
    if wished == v1.ON_REJECT_RETRY:
        _check_retries(requirement, path)


def _check_retries(requirement: v1.Requirement, path: str) -> None:
    options = options_of(requirement)
    if not may_retry(options):
        text = f"all {options.max_retries} retries are used up; decide otherwise"
        raise invalid(path, text)


def _checked_args(
    tools: Tools, requirement: v1.Requirement, resolution: v1.RequirementResolution, path: str
) -> str:
    """The arguments that a person wrote; empty when they are those of the agent."""
    if not requirement.can_edit_args:
        raise invalid(path, "this tool's arguments cannot be edited; leave it out")
    args = _parsed(resolution.confirm.edited_args_json, path)
    if not isinstance(args, dict):
        raise invalid(path, "must be a JSON object of all arguments")
    found = tools.check_args(requirement, args)
    if found is None:
        raise _gone(requirement)
    _refuse_violations(found, path)
    execution = requirement.tool_execution
    return "" if args == jsontext.loads(execution.tool_args_json) else jsontext.dumps(args)


def _gone(requirement: v1.Requirement) -> ExecutorNotFound:
    tool = requirement.tool_execution
    return ExecutorNotFound(requirement.run_id, f"{tool.agent_name}.{tool.tool_name}")


def _check_feedback(
    questions: Sequence[v1.FeedbackQuestion], feedback: v1.UserFeedback, field: str
) -> None:
    path = f"{field}.user_feedback.answers"
    by_id = {one.question_id: one for one in questions}
    answered: list[str] = []
    for position, answer in enumerate(feedback.answers):
        here = f"{path}[{position}]"
        question = by_id.get(answer.question_id)
        if question is None:
            text = f"there is no such question; there are: {', '.join(by_id)}"
            raise invalid(f"{here}.question_id", text)
        if answer.question_id in answered:
            raise invalid(f"{here}.question_id", "is answered twice; give one answer")
        answered.append(answer.question_id)
        _check_options(question, answer.selected_options, f"{here}.selected_options")
    if missing := [one for one in by_id if one not in answered]:
        raise invalid(path, f"leaves out: {', '.join(missing)}; answer each question")


def _check_options(question: v1.FeedbackQuestion, chosen: Sequence[str], path: str) -> None:
    labels = [one.label for one in question.options]
    for position, label in enumerate(chosen):
        if label not in labels:
            text = f"there is no such option; there are: {', '.join(labels)}"
            raise invalid(f"{path}[{position}]", text)
    if not chosen or len(set(chosen)) < len(chosen):
        raise invalid(path, "must name options, each once")
    if len(chosen) > 1 and not question.multi_select:
        raise invalid(path, f"has {len(chosen)} options; choose one")


def _check_routes(selection: v1.RouteSelection, routes: Sequence[str], field: str) -> None:
    path = f"{field}.route_choice.routes"
    if not routes:
        raise invalid(path, "is empty; choose a route, or reject")
    most = limits.routes_chosen_max if selection.allow_multiple else 1
    if len(routes) > most:
        raise invalid(path, f"has {len(routes)} routes; choose at most {most}")
    for position, route in enumerate(routes):
        if route not in selection.available_routes:
            known = ", ".join(selection.available_routes)
            raise invalid(f"{path}[{position}]", f"there is no such route; there are: {known}")


def _checked_fields(
    requirement: v1.Requirement, resolution: v1.RequirementResolution, field: str
) -> str:
    path = f"{field}.user_input.values_json"
    values = _values_at(resolution, path)
    _refuse_violations(violations(requirement.user_input_schema, values), path)
    return jsontext.dumps(values)


def _values_at(resolution: v1.RequirementResolution, path: str) -> dict[str, Any]:
    values = _parsed(resolution.user_input.values_json, path)
    if not isinstance(values, dict):
        raise invalid(path, "must be a JSON object of values by field name")
    return values


def _refuse_violations(found: Sequence[FieldViolation], path: str) -> None:
    if found:
        raise InvalidField(
            [
                FieldViolation(f"{path}.{one.field}" if one.field else path, one.description)
                for one in found
            ]
        )


def _word(kind: Any, prefix: str, value: int) -> str:
    name: str = kind.Name(value)
    return name.removeprefix(prefix)


def _checked_values(
    tools: Tools, requirement: v1.Requirement, resolution: v1.RequirementResolution, field: str
) -> str:
    path = f"{field}.user_input.values_json"
    values = _values_at(resolution, path)
    found = tools.check_values(requirement, values)
    if found is None:
        raise _gone(requirement)
    _refuse_violations(found, path)
    fixed = {one.name for one in requirement.user_input_schema if one.read_only}
    values_json = jsontext.dumps({name: one for name, one in values.items() if name not in fixed})
    try:
        with_values(requirement.tool_execution.tool_args_json, values_json)
    except jsontext.JsonError as error:
        text = f"makes arguments, together with those of the agent, whose JSON {error}"
        raise invalid(path, text) from None
    return values_json


def _check_result(result: v1.ExternalResult, field: str) -> None:
    match result.WhichOneof("outcome"):
        case "result_json":
            path = f"{field}.external_result.result_json"
            result.result_json = jsontext.dumps(_parsed(result.result_json, path))
        case None:
            text = "is missing; give result_json or error_message"
            raise invalid(f"{field}.external_result.outcome", text)


def _parsed(text: str, path: str) -> Any:
    if not text:
        raise invalid(path, "is missing; give JSON")
    try:
        return jsontext.loads(text)
    except jsontext.JsonError as error:
        raise invalid(path, str(error)) from None
