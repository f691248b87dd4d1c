"""Gates: what a decision on a tool call means. It carries no facts, so it cannot forge any."""

from __future__ import annotations

from dataclasses import dataclass

from interlock import v1
from interlock_server import jsontext

REJECTED_WITHOUT_NOTE = "The call was rejected by a person."

ACCEPTED: dict[int, frozenset[str]] = {
    v1.REQUIREMENT_KIND_CONFIRMATION: frozenset({"confirm", "reject"}),
    v1.REQUIREMENT_KIND_USER_INPUT: frozenset({"user_input", "reject"}),
    v1.REQUIREMENT_KIND_EXTERNAL_EXECUTION: frozenset({"external_result", "reject"}),
    v1.REQUIREMENT_KIND_IN_DOUBT: frozenset({"retry", "external_result", "fail", "reject"}),
    v1.REQUIREMENT_KIND_STEP_CONFIRMATION: frozenset({"confirm", "reject"}),
    v1.REQUIREMENT_KIND_STEP_INPUT: frozenset({"user_input", "reject"}),
    v1.REQUIREMENT_KIND_OUTPUT_REVIEW: frozenset({"confirm", "reject", "edited_output", "retry"}),
    v1.REQUIREMENT_KIND_ROUTE_SELECTION: frozenset({"route_choice", "reject"}),
    v1.REQUIREMENT_KIND_ITERATION_REVIEW: frozenset({"confirm", "reject", "retry"}),
    v1.REQUIREMENT_KIND_ERROR_DECISION: frozenset(
        {"retry", "skip", "fail", "edited_output", "reject"}
    ),
}
"""Which answers each kind of requirement takes."""


@dataclass(frozen=True)
class Go:
    """The tool may run, once, with exactly these arguments."""

    args_json: str


@dataclass(frozen=True)
class Answered:
    """The tool does not run: this is its outcome; a refusal is the word of a person."""

    result_json: str = ""
    error_message: str = ""
    is_refusal: bool = False


def verdict(question: v1.Requirement, answer: v1.RequirementResolution) -> Go | Answered:
    """What an answer to a gated call means. Only an explicit, fitting yes lets a tool run."""
    kind = answer.WhichOneof("resolution")
    assert kind in ACCEPTED[question.kind], f"{kind} was recorded for {question.kind}"
    args_json = question.tool_execution.tool_args_json
    match kind:
        case "confirm":
            return Go(args_json)
        case "user_input":
            return Go(with_values(args_json, answer.user_input.values_json))
        case "external_result":
            return outcome(answer.external_result)
        case _:
            note = answer.reject.note or REJECTED_WITHOUT_NOTE
            return Answered(error_message=note, is_refusal=True)


def outcome(external: v1.ExternalResult) -> Answered:
    """The outcome that somebody supplied for a call that ran elsewhere."""
    if external.WhichOneof("outcome") == "error_message":
        return Answered(error_message=external.error_message or "The call failed.")
    return Answered(result_json=external.result_json)


def with_values(args_json: str, values_json: str) -> str:
    """Arguments with a person's values over the model's."""
    return jsontext.dumps({**jsontext.loads(args_json), **jsontext.loads(values_json)})


@dataclass(frozen=True)
class Refusal:
    """Where a no to a whole node, or to its output, leads."""

    leads_to: v1.OnReject.ValueType
    note: str


def refusal(question: v1.Requirement, answer: v1.RequirementResolution) -> Refusal:
    """What a no means: what the person chose, else what the definition says.

    A node that may not be sent back any more ends its run instead.
    """
    options = options_of(question)
    match answer.WhichOneof("resolution"):
        case "retry":
            leads_to, note = v1.ON_REJECT_RETRY, answer.retry.feedback
        case kind:
            assert kind == "reject", f"{kind} is no refusal"
            leads_to, note = answer.reject.on_reject or options.on_reject, answer.reject.note
    if leads_to == v1.ON_REJECT_RETRY and not may_retry(options):
        leads_to = v1.ON_REJECT_CANCEL
    return Refusal(leads_to, note)


def options_of(question: v1.Requirement) -> v1.StepGate | v1.RouteSelection:
    """What a rejection of a node may do."""
    if question.HasField("route_selection"):
        return question.route_selection
    return question.step_gate


def may_retry(options: v1.StepGate | v1.RouteSelection) -> bool:
    """Whether a node may be sent back once more."""
    return options.retry_count < options.max_retries
