"""Requirements: what they need, and which answers they take."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from tests.clients.python import samples

from interlock import (
    Decision,
    FeedbackOption,
    FeedbackQuestion,
    Requirement,
    StepRequirement,
    UserInputField,
    v1,
)

NEEDS = {
    "CONFIRMATION": "needs_confirmation",
    "USER_INPUT": "needs_user_input",
    "EXTERNAL_EXECUTION": "needs_external_execution",
    "USER_FEEDBACK": "needs_user_feedback",
    "STEP_CONFIRMATION": "needs_confirmation",
    "STEP_INPUT": "needs_user_input",
    "OUTPUT_REVIEW": "needs_output_review",
    "ROUTE_SELECTION": "needs_route_selection",
    "ITERATION_REVIEW": "needs_output_review",
    "ERROR_DECISION": "needs_error_decision",
    "IN_DOUBT": "needs_doubt_resolution",
}

ANSWERS: dict[str, Callable[[Requirement], None]] = {
    "confirm": lambda one: one.confirm(),
    "reject": lambda one: one.reject(),
    "user_input": lambda one: one.provide_user_input({"to": "ada"}),
    "user_feedback": lambda one: one.provide_user_feedback({"q1": "yes"}),
    "external_result": lambda one: one.set_external_execution_result(None),
    "edited_output": lambda one: one.edit_output("better"),
    "route_choice": lambda one: one.select_routes("a"),
    "retry": lambda one: one.retry(),
    "skip": lambda one: one.skip(),
    "fail": lambda one: one.fail(),
}

FITTING = {
    "CONFIRMATION": "confirm reject",
    "USER_INPUT": "user_input reject",
    "EXTERNAL_EXECUTION": "external_result reject",
    "USER_FEEDBACK": "user_feedback user_input reject",
    "STEP_CONFIRMATION": "confirm reject",
    "STEP_INPUT": "user_input reject",
    "OUTPUT_REVIEW": "confirm reject edited_output retry",
    "ROUTE_SELECTION": "route_choice reject",
    "ITERATION_REVIEW": "confirm reject retry",
    "ERROR_DECISION": "retry skip fail edited_output reject",
    "IN_DOUBT": "retry external_result fail reject",
}

KINDS = [
    name.removeprefix("REQUIREMENT_KIND_") for name in v1.RequirementKind.keys()[1:]  # not a dict
]  # fmt: skip


def of_kind(kind: str, **fields: Any) -> Requirement:
    return Requirement(samples.requirement(kind, **fields))


def test_every_answer_of_the_contract_is_tried() -> None:
    cases = v1.RequirementResolution.DESCRIPTOR.oneofs_by_name["resolution"].fields
    assert {case.name for case in cases} == set(ANSWERS)


@pytest.mark.parametrize("kind", KINDS)
def test_needs_one_thing_until_it_is_decided(kind: str) -> None:
    requirement = of_kind(kind)
    needs = {name for name in dir(Requirement) if name.startswith("needs_")}
    assert {name for name in needs if getattr(requirement, name)} == {NEEDS[kind]}
    assert not requirement.is_resolved
    requirement.reject()
    assert not any(getattr(requirement, name) for name in needs)
    assert requirement.is_resolved


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("answer", ANSWERS)
def test_takes_the_answers_that_fit(kind: str, answer: str) -> None:
    requirement = of_kind(kind)
    if answer in FITTING[kind].split():
        ANSWERS[answer](requirement)
        resolution = requirement.resolution
        assert resolution is not None
        assert resolution.WhichOneof("resolution") == answer
        assert resolution.requirement_id == "req-1"
    else:
        with pytest.raises(ValueError, match=f"is of kind {kind}: it cannot"):
            ANSWERS[answer](requirement)
        assert not requirement.is_resolved


def test_takes_any_answer_when_the_kind_is_newer() -> None:
    requirement = Requirement(v1.Requirement(kind=99, state=samples.PENDING))  # type: ignore[arg-type]
    requirement.select_routes("a")
    assert requirement.kind == "99"


@pytest.mark.parametrize("kind", KINDS)
def test_is_decided_once(kind: str) -> None:
    requirement = of_kind(kind)
    requirement.reject("no")
    with pytest.raises(ValueError, match=r"'req-1' is already resolved \(Decision.reject\)"):
        requirement.reject("no")
    assert requirement.confirmation_note == "no"


@pytest.mark.parametrize("state", ["RESOLVED", "EXPIRED", "CANCELLED"])
def test_what_waits_no_longer_cannot_be_decided(state: str) -> None:
    number = v1.RequirementState.Value(f"REQUIREMENT_STATE_{state}")
    requirement = of_kind("CONFIRMATION", state=number)
    assert requirement.is_resolved
    assert not requirement.needs_confirmation
    with pytest.raises(ValueError, match=f"already resolved \\({state}\\)"):
        requirement.confirm()


def test_confirmation() -> None:
    assert of_kind("CONFIRMATION").confirmation is None
    assert of_kind("CONFIRMATION").confirmation_note is None
    requirement = of_kind("CONFIRMATION")
    requirement.confirm(note="go", edited_args={"amount": 1})
    assert requirement.confirmation is True
    assert requirement.confirmation_note == "go"
    resolution = requirement.resolution
    assert resolution is not None
    assert resolution.confirm == v1.Confirmation(note="go", edited_args_json='{"amount":1}')


def test_rejection() -> None:
    requirement = of_kind("STEP_CONFIRMATION")
    requirement.reject(note="no", on_reject="CANCEL")
    assert requirement.confirmation is False
    resolution = requirement.resolution
    assert resolution is not None
    assert resolution.reject.on_reject == v1.OnReject.ON_REJECT_CANCEL


def test_what_was_decided_on_the_server() -> None:
    time = datetime(2026, 1, 2, tzinfo=UTC)
    requirement = of_kind(
        "CONFIRMATION",
        state=v1.RequirementState.REQUIREMENT_STATE_RESOLVED,
        resolution=v1.RequirementResolution(reject=v1.Rejection(note="too much")),
        resolved_by="ada",
        resolve_time=Timestamp(seconds=1767312000),
    )
    assert requirement.confirmation is False
    assert requirement.confirmation_note == "too much"
    assert requirement.resolved_by == "ada"
    assert requirement.resolved_at == time
    assert requirement.decision is None


def test_tool_execution() -> None:
    call = of_kind("CONFIRMATION").tool_execution
    assert (call.tool_call_id, call.tool_name) == ("call-1", "send_money")
    assert call.tool_args == {"amount": 9007199254740993}
    assert call.result is None
    assert not call.tool_call_error


def test_setting_the_result_of_a_call_resolves_its_requirement() -> None:
    requirement = of_kind("EXTERNAL_EXECUTION")
    requirement.tool_execution.result = {"rows": [1, None]}
    assert requirement.is_resolved
    assert requirement.tool_execution.result == {"rows": [1, None]}
    resolution = requirement.resolution
    assert resolution is not None
    assert resolution.external_result.result_json == '{"rows":[1,null]}'
    with pytest.raises(ValueError, match="already resolved"):
        requirement.tool_execution.result = 2


def test_a_result_of_none_is_a_result() -> None:
    requirement = of_kind("EXTERNAL_EXECUTION")
    requirement.tool_execution.result = None
    assert requirement.is_resolved


def test_a_call_that_does_not_wait_takes_no_result() -> None:
    with pytest.raises(ValueError, match="CONFIRMATION"):
        of_kind("CONFIRMATION").tool_execution.result = 1


def test_external_error() -> None:
    requirement = of_kind("IN_DOUBT")
    requirement.set_external_execution_error("it burnt")
    assert requirement.tool_execution.tool_call_error
    assert requirement.tool_execution.error_message == "it burnt"
    assert requirement.tool_execution.result is None


def test_user_input_schema() -> None:
    types = v1.UserInputFieldType
    fields = [
        v1.UserInputField(
            name="to", type=types.USER_INPUT_FIELD_TYPE_STRING, description="Who", required=True
        ),
        v1.UserInputField(
            name="amount",
            type=types.USER_INPUT_FIELD_TYPE_NUMBER,
            value_json="1.5",
            read_only=True,  # Fixed by the agent: nothing to fill in.
        ),
        v1.UserInputField(name="any", allowed_values_json=['"a"', "1"]),
    ]
    assert of_kind("USER_INPUT", user_input_schema=fields).user_input_schema == [
        UserInputField("to", "str", "Who", None, True, None),
        UserInputField("any", "any", "", None, False, ["a", 1]),
    ]


def test_every_field_type_has_a_name() -> None:
    fields = [v1.UserInputField(type=number) for number in v1.UserInputFieldType.values()]
    schema = of_kind("USER_INPUT", user_input_schema=fields).user_input_schema
    names = [field.field_type for field in schema]
    assert names == ["any", "str", "int", "float", "bool", "list", "dict"]


def test_feedback_by_id_or_by_text() -> None:
    questions = [
        v1.FeedbackQuestion(
            question_id="q1", question="Which?", options=[v1.FeedbackOption(label="a")]
        ),
        v1.FeedbackQuestion(question_id="q2", question="Why?", multi_select=True),
    ]
    requirement = of_kind("USER_FEEDBACK", feedback_questions=questions)
    assert requirement.feedback_questions == [
        FeedbackQuestion("q1", "Which?", "", False, [FeedbackOption("a", "")]),
        FeedbackQuestion("q2", "Why?", "", True, []),
    ]
    requirement.provide_user_feedback({"Which?": "a", "q2": ["x", "y"]})
    resolution = requirement.resolution
    assert resolution is not None
    assert resolution.user_feedback.answers == [
        v1.FeedbackAnswer(question_id="q1", selected_options=["a"]),
        v1.FeedbackAnswer(question_id="q2", selected_options=["x", "y"]),
    ]


def test_team_member() -> None:
    assert of_kind("CONFIRMATION").member_agent_name is None
    assert of_kind("CONFIRMATION", member_path=["Ops", "Mailer"]).member_agent_name == "Mailer"


def test_step_requirement() -> None:
    (message,) = samples.paused_run(
        samples.requirement(), samples.requirement(requirement_id="req-2")
    ).step_requirements
    step = StepRequirement(message)
    assert (step.step_id, step.step_name, step.step_type) == ("pay", "pay", "Step")
    assert step.step_path == ("pay",)
    assert (step.executor_id, step.executor_name) == ("teller", "Teller")
    assert (step.executor_type, step.executor_run_id) == ("agent", "exec-1")
    assert step.requires_executor_input
    for requirement in step.executor_requirements:
        assert not step.is_resolved
        requirement.confirm()
    assert step.is_resolved


def test_step_that_waits_itself() -> None:
    gate = samples.requirement("STEP_CONFIRMATION")
    step = StepRequirement(v1.StepRequirement(step_requirements=[gate]))
    assert not step.requires_executor_input
    assert step.executor_type == ""
    assert not step.is_resolved
    step.step_requirements[0].confirm()
    assert step.is_resolved


def test_decisions_do_not_share_their_message() -> None:
    decision = Decision.confirm("go")
    decision.message.confirm.note = "changed"
    assert decision.message.confirm.note == "go"
    assert decision.resolving("req-1").requirement_id == "req-1"
    assert decision.message.requirement_id == ""
