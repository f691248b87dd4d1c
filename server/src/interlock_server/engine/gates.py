"""Gates: what a decision on a tool call means. It carries no facts, so it cannot forge any."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from interlock import v1
from interlock_server import jsontext
from interlock_server.engine.keys import Key
from interlock_server.times import timestamp

TIMED_OUT = "Nobody answered in time."
INTERRUPTED_REASON = "INTERRUPTED"
"""Why a call failed that may have happened; it is not tried again by itself."""

INTERRUPTED = "The call was interrupted, and may have happened."
REJECTED_WITHOUT_NOTE = "The call was rejected by a person."

ACCEPTED: dict[int, frozenset[str]] = {
    v1.REQUIREMENT_KIND_CONFIRMATION: frozenset({"confirm", "reject"}),
    v1.REQUIREMENT_KIND_USER_INPUT: frozenset({"user_input", "reject"}),
    v1.REQUIREMENT_KIND_EXTERNAL_EXECUTION: frozenset({"external_result", "reject"}),
    v1.REQUIREMENT_KIND_IN_DOUBT: frozenset({"retry", "external_result", "fail", "reject"}),
    v1.REQUIREMENT_KIND_USER_FEEDBACK: frozenset({"user_feedback", "user_input", "reject"}),
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

_ASK_FOR_VALUES = (v1.REQUIREMENT_KIND_USER_INPUT, v1.REQUIREMENT_KIND_STEP_INPUT)


@dataclass(frozen=True)
class Grant:
    """A decision that lets one call of one tool start, once, with exactly these arguments.

    Args:
        key: of the question that was decided.
        digest: of the tool's name and the arguments.
    """

    key: Key
    digest: bytes


@dataclass(frozen=True)
class Go:
    """The tool may run, once, with exactly these arguments."""

    args_json: str


class StepEnds(Exception):
    """A question that nobody answered in time ends its step: as skipped, or as failed."""

    def __init__(self, *, is_skipped: bool) -> None:
        super().__init__(TIMED_OUT)
        self.is_skipped = is_skipped


@dataclass(frozen=True)
class Answered:
    """The tool does not run: this is its outcome; a refusal is the word of a person."""

    result_json: str = ""
    error_message: str = ""
    is_refusal: bool = False


def is_answered(requirement: v1.Requirement) -> bool:
    """Whether there is an answer that may be acted on, a person's or that of the clock.

    A question that expired without one has cancelled its run.
    """
    return requirement.HasField("resolution")


def verdict(question: v1.Requirement, answer: v1.RequirementResolution) -> Go | Answered:
    """What an answer to a gated call means. Only an explicit, fitting yes lets a tool run.

    Raises:
        StepEnds: nobody answered in time, and that is the end of the step.
    """
    kind = answer.WhichOneof("resolution")
    if kind in ("skip", "fail"):  # Only the clock answers a call like this.
        raise StepEnds(is_skipped=kind == "skip")
    assert kind in ACCEPTED[question.kind], f"{kind} was recorded for {question.kind}"
    args_json = question.tool_execution.tool_args_json
    match kind:
        case "confirm":
            return Go(answer.confirm.edited_args_json or args_json)
        case "user_feedback":
            return Answered(result_json=_chosen(question, answer.user_feedback))
        case "user_input" if question.kind == v1.REQUIREMENT_KIND_USER_FEEDBACK:
            values = jsontext.loads(answer.user_input.values_json)
            told = [{"name": name, "value": value} for name, value in values.items()]
            return Answered(result_json=jsontext.dumps(told))
        case "user_input":
            return Go(with_values(args_json, answer.user_input.values_json))
        case "external_result":
            return outcome(answer.external_result)
        case _:
            note = answer.reject.note or REJECTED_WITHOUT_NOTE
            return Answered(error_message=note, is_refusal=True)


def accepted_by(question: v1.Requirement) -> frozenset[str]:
    """Which answers a question takes: those of its kind, as far as it asks for them."""
    accepted = ACCEPTED.get(question.kind, frozenset())
    if question.kind == v1.REQUIREMENT_KIND_USER_FEEDBACK:
        return accepted - {"user_input" if question.feedback_questions else "user_feedback"}
    return accepted


def _chosen(question: v1.Requirement, feedback: v1.UserFeedback) -> str:
    """What a person chose, as the model reads it."""
    texts = {one.question_id: one.question for one in question.feedback_questions}
    return jsontext.dumps(
        [
            {"question": texts[one.question_id], "selected": list(one.selected_options)}
            for one in feedback.answers
        ]
    )


def granted(question: v1.Requirement, answer: v1.RequirementResolution) -> bytes | None:
    """The digest of what an answer lets start; `None` when it lets nothing start."""
    execution = question.tool_execution
    if question.kind == v1.REQUIREMENT_KIND_IN_DOUBT:
        is_retry = answer.WhichOneof("resolution") == "retry"
        return call_digest(execution.tool_name, execution.tool_args_json) if is_retry else None
    if not question.HasField("tool_execution"):
        return None
    try:
        decided = verdict(question, answer)
    except StepEnds:
        return None
    return call_digest(execution.tool_name, decided.args_json) if isinstance(decided, Go) else None


def call_digest(tool_name: str, args_json: str) -> bytes:
    """Identifies a tool with exact arguments; an effect that is no tool call has neither."""
    return hashlib.sha256(f"{tool_name}\0{args_json}".encode()).digest()


def waits(
    question: v1.Requirement,
    timeout: timedelta,
    on_timeout: v1.OnTimeout.ValueType,
    now: datetime,
) -> None:
    """Says until when a question waits, and what then happens.

    A yes that an author gives in advance is for a call that has not begun; one
    that may have happened, or that failed, fails instead.
    """
    question.expire_time.CopyFrom(timestamp(now + timeout))
    has_begun = question.kind in (
        v1.REQUIREMENT_KIND_IN_DOUBT,
        v1.REQUIREMENT_KIND_ERROR_DECISION,
    )
    is_risky = has_begun and on_timeout == v1.ON_TIMEOUT_APPROVE
    question.on_timeout = v1.ON_TIMEOUT_FAIL if is_risky else on_timeout


def at_timeout(requirement: v1.Requirement) -> v1.RequirementResolution | None:
    """The answer that a requirement counts as when nobody gave one; `None` cancels the run."""
    answer = v1.RequirementResolution(requirement_id=requirement.requirement_id)
    match requirement.on_timeout:
        case v1.ON_TIMEOUT_APPROVE if requirement.kind in _ASK_FOR_VALUES:
            answer.user_input.values_json = "{}"
        case v1.ON_TIMEOUT_APPROVE if requirement.HasField("route_selection"):
            proposed = requirement.route_selection.proposed_routes
            if not proposed:
                return None
            answer.route_choice.routes.extend(proposed)
        case v1.ON_TIMEOUT_APPROVE:
            answer.confirm.note = TIMED_OUT
        case v1.ON_TIMEOUT_REJECT:
            answer.reject.note = TIMED_OUT
        case v1.ON_TIMEOUT_SKIP:
            answer.skip.SetInParent()
        case v1.ON_TIMEOUT_FAIL:
            answer.fail.message = TIMED_OUT
        case _:
            return None
    return answer


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
        case "skip":  # Only the clock answers like this.
            leads_to, note = v1.ON_REJECT_SKIP, TIMED_OUT
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
