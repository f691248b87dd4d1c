"""Where people take part is refused at the start when it could not work, and says where."""

from __future__ import annotations

from typing import Any

import pytest

from interlock import v1
from interlock_server import (
    Condition,
    HumanReview,
    Loop,
    OnReject,
    Parallel,
    Router,
    Step,
    StepInput,
    Steps,
    Tool,
    UserInputField,
    Workflow,
)
from interlock_server.authoring.agents import Agent
from interlock_server.authoring.compile import compile_workflows
from interlock_server.authoring.models import ScriptedModel


def act(given: StepInput) -> str:
    return "done"


def step(name: str = "s", **gates: Any) -> Step:
    return Step(name=name, executor=act, **gates)


def problems(*steps: Any) -> list[str]:
    return [str(one) for one in compile_workflows([Workflow(name="W", steps=steps)]).problems]


_YES: dict[str, Any] = {"requires_confirmation": True}
_ROUTES: dict[str, Any] = {"choices": [step("a")], "selector": lambda given: "a"}


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (
            Parallel(step("a"), name="x", human_review=HumanReview(**_YES)),
            "people cannot take part in Parallel itself; gate its branches",
        ),
        (
            Loop(name="x", steps=[step()], human_review=HumanReview(requires_output_review=True)),
            "Loop cannot have requires_output_review; only Step and Router can",
        ),
        (
            Steps(name="x", steps=[step()], human_review=HumanReview(requires_output_review=True)),
            "Steps cannot have requires_output_review; only Step and Router can",
        ),
        (
            step("x", human_review=HumanReview(requires_iteration_review=True)),
            "Step cannot have requires_iteration_review; only Loop can",
        ),
        (
            Condition(
                name="x",
                steps=[step()],
                human_review=HumanReview(requires_user_input=True, user_input_schema=[{}]),
            ),
            "Condition cannot have requires_user_input; only Step and Router can",
        ),
        (step("x", on_reject="skip"), "has on_reject, and nothing that a person could reject"),
        (step("x", on_reject="else", **_YES), "on_reject is 'else'; use one or some of: skip, can"),
        (step("x", on_reject=["skip", "skip"], **_YES), "on_reject is ['skip', 'skip']; use one"),
        (step("x", confirmation_message="Go?"), "has confirmation_message without requires_conf"),
        (step("x", requires_confirmation="yes"), "requires_confirmation is 'yes'; use True or Fa"),
        (step("x", hitl_max_retries=-1, **_YES), "max_retries of a review is -1; use a number"),
        (step("x", human_review=HumanReview(**_YES), **_YES), "write all of it in one place"),
        (step("x", human_review="yes"), "human_review is 'yes'; use HumanReview(...)"),
        (step("x", requires_user_input=True), "has requires_user_input without user_input_schema"),
        (
            step("x", requires_user_input=True, user_input_schema=[{"name": "a", "kind": 1}]),
            "is no field: ",
        ),
        (
            step("x", requires_user_input=True, user_input_schema=[UserInputField(name="a")] * 2),
            "user_input_schema has several fields 'a'; rename",
        ),
        (Router(name="x", choices=[step("a")]), "has no selector; give one, or let a person"),
        (
            Router(name="x", allow_multiple_selections=True, **_ROUTES),
            "has allow_multiple_selections without requires_user_input=True",
        ),
        (
            Loop(name="x", steps=[step()], human_review=HumanReview(on_error="pause")),
            "has on_error; only a Step can, so give it to the steps inside",
        ),
        (
            step("x", on_error="pause", human_review=HumanReview(on_error="skip")),
            "has on_error here and in human_review; write it in one place",
        ),
        (
            Step(name="x", workflow=Workflow(name="I", steps=[act]), on_error="pause"),
            "has on_error or max_retries; a workflow fails or is retried by its own steps",
        ),
    ],
)
def test_what_cannot_work_is_refused_and_says_where(node: Any, said: str) -> None:
    found = problems(node)
    assert found
    assert found[0].startswith("workflow 'W' > 'x': ")
    assert said in found[0]


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"name": ""}, "name is ''"),
        ({"name": "a", "field_type": "date"}, "field_type is 'date'; use one of: str, int"),
        ({"name": "a", "value": 3}, "value 3 must be a text"),
        ({"name": "a", "value": "c", "allowed_values": ["a", "b"]}, 'must be one of: "a", "b"'),
        ({"name": "a", "field_type": "int", "allowed_values": [True]}, "must be a whole number"),
        ({"name": "a", "allowed_values": []}, "allowed_values is []; give a list of values"),
    ],
)
def test_a_field_that_nobody_could_fill_in_is_refused(field: dict[str, Any], said: str) -> None:
    [found] = problems(step("x", requires_user_input=True, user_input_schema=[field]))
    assert found.startswith(f"workflow 'W' > 'x' > field {field['name']!r}: ")
    assert said in found


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"editable_args": True}, "has editable_args without requires_confirmation"),
        ({"preview": act}, "has a preview, but no call of it waits for anybody"),
        (
            {"requires_confirmation": "yes"},
            "requires_confirmation is 'yes'; use True, False",
        ),
        ({"requires_confirmation": True, "preview": "x"}, "preview is 'x'; use a function"),
    ],
)
def test_a_closer_look_that_cannot_work_is_refused(flags: dict[str, Any], said: str) -> None:
    worker = Agent(name="worker", model=ScriptedModel([]), tools=[Tool(act, **flags)])
    assert said in problems(Step(name="x", agent=worker))[0]


def test_flags_and_human_review_are_the_same_definition() -> None:
    flags: dict[str, Any] = {
        "requires_confirmation": True,
        "confirmation_message": "Go?",
        "requires_user_input": True,
        "user_input_message": "How?",
        "user_input_schema": [UserInputField(name="n", field_type=int, required=False, value=1)],
        "requires_output_review": act,
        "output_review_message": "Good?",
        "on_reject": [OnReject.retry, OnReject.cancel],
    }
    written = Workflow(name="W", steps=[step(hitl_max_retries=2, **flags)])
    apart = Workflow(name="W", steps=[step(human_review=HumanReview(max_retries=2, **flags))])
    first, second = (compile_workflows([one]).workflows["W"] for one in (written, apart))
    assert first == second
    review = first.nodes[0].human_review
    assert list(review.on_reject) == [v1.ON_REJECT_RETRY, v1.ON_REJECT_CANCEL]
    assert review.output_review_function == f"{__name__}:act"
    assert review.max_retries == 2
    [field] = review.user_input_schema
    assert (field.type, field.value_json) == (v1.USER_INPUT_FIELD_TYPE_INTEGER, "1")
