"""Agents that ask people, and calls that people look at more closely than yes or no."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from tests.support.gates import Answer, answer, no, values, yes
from tests.support.service import open_requirements, served
from tests.support.workbench import Ledger, agent_app, kinds, only, refused, untouched

from interlock import v1
from interlock_server import ModelRequest, ToolResults, ask_user, call, get_user_input, tool

_QUESTIONS = [
    {
        "question": "Which way?",
        "header": "Way",
        "options": [{"label": "Left", "description": "The long one"}, {"label": "Right"}],
    },
    {
        "question": "With whom?",
        "options": [{"label": "Ann"}, {"label": "Bob"}, {"label": "Cid"}],
        "multi_select": True,
    },
]
_FIELDS = [
    {"field_name": "city", "field_description": "Where to"},
    {"field_name": "days", "field_type": "int"},
]


def told(request: ModelRequest) -> str:
    """What the model was told last, as the answer of the agent."""
    last = request.messages[-1]
    assert isinstance(last, ToolResults)
    return " | ".join(one.text for one in last.results)


def feedback(**chosen: Any) -> Answer:
    answers = [
        v1.FeedbackAnswer(question_id=name, selected_options=labels)
        for name, labels in chosen.items()
    ]
    return answer(user_feedback=v1.UserFeedback(answers=answers))


# Questions of agents.


async def test_an_agent_asks_questions_and_is_told_what_was_chosen(database_url: str) -> None:
    app = agent_app([call("ask_user", questions=_QUESTIONS), told], ask_user)
    async with served(app, database_url) as service:
        run = await service.run("Work")
        question = only(run)
        assert question.kind == v1.REQUIREMENT_KIND_USER_FEEDBACK
        way, who = question.feedback_questions
        assert (way.question_id, way.question, way.header) == ("q1", "Which way?", "Way")
        assert [(one.label, one.description) for one in way.options] == [
            ("Left", "The long one"),
            ("Right", ""),
        ]
        assert (way.multi_select, who.multi_select) == (False, True)
        run = await service.resolve(run, feedback(q1=["Right"], q2=["Cid", "Ann"])(question))
        assert run.output_json == (
            '"[{\\"question\\":\\"Which way?\\",\\"selected\\":[\\"Right\\"]},'
            '{\\"question\\":\\"With whom?\\",\\"selected\\":[\\"Cid\\",\\"Ann\\"]}]"'
        )
        assert "tool_call_started" not in kinds(await service.events(run))


async def test_an_agent_asks_for_values(database_url: str) -> None:
    app = agent_app([call("get_user_input", user_input_fields=_FIELDS), told], get_user_input)
    async with served(app, database_url) as service:
        run = await service.run("Work")
        question = only(run)
        city, days = question.user_input_schema
        assert (city.name, city.description) == ("city", "Where to")
        assert days.type == v1.USER_INPUT_FIELD_TYPE_INTEGER
        run = await service.resolve(run, values('{"city": "Rome", "days": 3}')(question))
        assert '\\"name\\":\\"city\\",\\"value\\":\\"Rome\\"' in run.output_json
        assert '\\"name\\":\\"days\\",\\"value\\":3' in run.output_json


async def test_an_agent_is_told_that_nobody_wants_to_answer(database_url: str) -> None:
    app = agent_app([call("ask_user", questions=_QUESTIONS), told], ask_user)
    async with served(app, database_url) as service:
        run = await service.run("Work")
        run = await service.resolve(run, no("ask somebody else")(only(run)))
        assert run.output_json == '"ask somebody else"'


@pytest.mark.parametrize(
    ("called", "said"),
    [
        (call("ask_user", questions=[]), "at least one question"),
        (call("ask_user", questions=[{"question": "Why?", "options": []}]), "at least two options"),
        (
            call(
                "ask_user",
                questions=[{"question": "A?", "options": [{"label": "A"}, {"label": "A"}]}],
            ),
            "all different",
        ),
        (call("get_user_input", user_input_fields=[]), "at least one field"),
        (call("get_user_input", user_input_fields=[_FIELDS[0]] * 2), "a name of its own"),
    ],
)
async def test_a_question_that_nobody_could_answer_goes_back_to_the_model(
    database_url: str, called: Any, said: str
) -> None:
    async with served(agent_app([called, told], ask_user, get_user_input), database_url) as service:
        run = await service.run("Work")
        assert run.state == v1.RUN_STATE_COMPLETED
        assert said in run.output_json


_BAD: list[tuple[Answer, str, str]] = [
    (feedback(q1=["Left"]), "answers", "leaves out: q2; answer each question"),
    (
        feedback(q3=["Left"]),
        "answers[0].question_id",
        "there is no such question; there are: q1, q2",
    ),
    (
        feedback(q1=["Up"], q2=["Ann"]),
        "answers[0].selected_options[0]",
        "there is no such option; there are: Left, Right",
    ),
    (
        feedback(q1=["Left", "Right"], q2=["Ann"]),
        "answers[0].selected_options",
        "has 2 options; choose one",
    ),
    (
        feedback(q1=["Left"], q2=[]),
        "answers[1].selected_options",
        "must name options, each once",
    ),
]


async def test_an_answer_that_fits_no_question_is_named_and_records_nothing(
    database_url: str,
) -> None:
    turn = [
        call("ask_user", questions=_QUESTIONS),
        call("get_user_input", user_input_fields=_FIELDS),
    ]
    async with served(agent_app([turn, told], ask_user, get_user_input), database_url) as service:
        run = await service.run("Work")
        choice, fields = open_requirements(run)
        async with untouched(service, run):
            for decide, path, text in _BAD:
                bad = await refused(service.resolve(run, decide(choice)))
                assert bad.fields == {f"resolutions[0].user_feedback.{path}": text}
            bad = await refused(service.resolve(run, values('{"city": "Rome"}')(fields)))
            assert bad.fields == {
                "resolutions[0].user_input.values_json.days": "is missing",
            }
            for wrong in (values("{}")(choice), feedback(q1=["Left"])(fields)):
                assert (await refused(service.resolve(run, wrong))).reason == "RESOLUTION_MISMATCH"


# A closer look at calls.


def _paying(ledger: Ledger, **gates: Any) -> Any:
    @tool(**gates)
    def pay(amount: int, to: str = "Ann") -> str:
        ledger.calls.append((amount, to))
        return f"paid {amount} to {to}"

    return pay


def _fails(args: dict[str, Any]) -> bool:
    raise KeyError("no such thing")


@pytest.mark.parametrize(
    ("predicate", "waits"),
    [
        (lambda args: args["amount"] > 100, [False, True]),
        (lambda args: args["to"] == "Ann", [True, True]),
        (_fails, [True, True]),
        (lambda args: None, [True, True]),
    ],
    ids=["by amount", "raises for what is left out", "raises", "wrong type"],
)
async def test_a_predicate_says_which_calls_need_a_yes_and_fails_closed(
    database_url: str, predicate: Any, waits: list[bool]
) -> None:
    ledger = Ledger()
    pay = _paying(ledger, requires_confirmation=predicate)
    turn = [call("pay", amount=100), call("pay", amount=101)]
    async with served(agent_app([turn, "done"], pay), database_url) as service:
        run = await service.run("Work")
        asked = [one.tool_execution.tool_args_json for one in open_requirements(run)]
        amounts = [100, 101]
        assert asked == [
            f'{{"amount":{amount}}}'
            for amount, is_asked in zip(amounts, waits, strict=True)
            if is_asked
        ]
        free = [amount for amount, is_asked in zip(amounts, waits, strict=True) if not is_asked]
        assert [amount for amount, _ in ledger.calls] == free
        await service.resolve(run, *(yes()(one) for one in open_requirements(run)))
    assert sorted(amount for amount, _ in ledger.calls) == amounts


def change(args_json: str, note: str = "") -> Answer:
    return answer(confirm=v1.Confirmation(note=note, edited_args_json=args_json))


async def test_whoever_confirms_may_change_the_arguments_and_the_model_is_told(
    database_url: str,
) -> None:
    ledger = Ledger()
    pay = _paying(ledger, requires_confirmation=True, editable_args=True)
    async with served(agent_app([call("pay", amount=500), told], pay), database_url) as service:
        run = await service.run("Work")
        assert only(run).can_edit_args
        run = await service.resolve(run, change('{"amount": 50}', "within budget")(only(run)))
        assert run.state == v1.RUN_STATE_COMPLETED
        assert run.output_json == (
            '"A person changed the arguments to {\\"amount\\":50}: within budget\\npaid 50 to Ann"'
        )
        [execution] = run.step_results[0].tool_executions
        assert (execution.tool_args_json, execution.proposed_args_json) == (
            '{"amount":50}',
            '{"amount":500}',
        )
    assert ledger.calls == [(50, "Ann")]


async def test_changed_arguments_are_held_against_the_predicate_again(database_url: str) -> None:
    ledger = Ledger()
    pay = _paying(
        ledger,
        requires_confirmation=lambda args: args["amount"] > 100,
        editable_args=True,
        preview=lambda args: f"Pays {args['amount']}.",
    )
    turn = [call("pay", amount=500), call("pay", amount=600)]
    async with served(agent_app([turn, told], pay), database_url) as service:
        run = await service.run("Work")
        first, second = open_requirements(run)
        assert (first.message, second.message) == ("Pays 500.", "Pays 600.")
        run = await service.resolve(run, change('{"amount": 400}')(first), yes()(second))
        assert ledger.calls == [], "nothing runs before all of the response is decided"
        again = only(run)
        assert again.message == "Pays 400."
        assert again.tool_execution.tool_args_json == '{"amount":400}'
        assert again.tool_execution.proposed_args_json == '{"amount":500}'
        run = await service.resolve(run, change('{"amount": 40}', "less")(again))
        assert run.state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == [(40, "Ann"), (600, "Ann")]


async def test_bad_arguments_are_named_and_the_same_ones_are_no_change(database_url: str) -> None:
    ledger = Ledger()
    pay = _paying(ledger, requires_confirmation=True, editable_args=True)
    fixed = _paying(ledger, requires_confirmation=True, name="fixed")
    turn = [call("pay", amount=500), call("fixed", amount=1)]
    async with served(agent_app([turn, told], pay, fixed), database_url) as service:
        run = await service.run("Work")
        first, second = open_requirements(run)
        path = "resolutions[0].confirm.edited_args_json"
        async with untouched(service, run):
            for args_json, field in [
                ('{"amount": "5"}', ".amount"),
                ('{"to": "Ann"}', ".amount"),
                ('{"amount": 5, "more": 1}', ".more"),
                ("[]", ""),
                ("{", ""),
            ]:
                bad = await refused(service.resolve(run, change(args_json)(first)))
                assert bad.code == grpc.StatusCode.INVALID_ARGUMENT
                assert list(bad.fields) == [f"{path}{field}"]
            bad = await refused(service.resolve(run, change('{"amount": 2}')(second)))
            assert bad.fields == {path: "this tool's arguments cannot be edited; leave it out"}
        run = await service.resolve(run, change('{"amount":500}')(first), yes()(second))
        assert run.output_json == '"paid 500 to Ann | paid 1 to Ann"'


async def test_a_preview_that_fails_keeps_nobody_from_deciding(database_url: str) -> None:
    pay = _paying(Ledger(), requires_confirmation=True, preview=_fails)
    async with served(agent_app([call("pay", amount=5), "done"], pay), database_url) as service:
        assert only(await service.run("Work")).message == "The preview failed: 'no such thing'"
