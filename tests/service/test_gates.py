"""People at whole nodes: what each answer leads to, wherever and however it is given."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from tests.support.gates import Answer, Trail, again, answer, edit, no, routes, values, yes
from tests.support.service import open_requirements, served
from tests.support.workbench import (
    Caller,
    Ledger,
    agent,
    app_of,
    get,
    kinds,
    only,
    refused,
    result_of,
    untouched,
)

from interlock import v1
from interlock_server import (
    Condition,
    HumanReview,
    Interlock,
    Loop,
    ModelRequest,
    OnReject,
    Parallel,
    Router,
    Step,
    StepOutput,
    Steps,
    UserInputField,
    Workflow,
    call,
)

SKIPPED = v1.STEP_OUTCOME_SKIPPED
COMPLETED, CANCELLED = v1.RUN_STATE_COMPLETED, v1.RUN_STATE_CANCELLED
PAUSED, FAILED = v1.RUN_STATE_PAUSED, v1.RUN_STATE_FAILED
_streams = pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
_restarts = pytest.mark.parametrize("restarts", [False, True], ids=["one process", "restarts"])


# The reject matrix.

_CONSTRUCTS: dict[str, Callable[[Trail, dict[str, Any]], Any]] = {
    "Step": lambda trail, gates: trail.step("x", **gates),
    "Steps": lambda trail, gates: Steps(name="x", steps=[trail.step("in")], **gates),
    "Loop": lambda trail, gates: Loop(
        name="x", steps=[trail.step("in")], max_iterations=1, **gates
    ),
    "Router": lambda trail, gates: Router(
        name="x", choices=[trail.step("in")], selector=lambda given: "in", **gates
    ),
    "Condition": lambda trail, gates: Condition(
        name="x",
        steps=[trail.step("in")],
        else_steps=[trail.step("other")],
        evaluator=lambda given: trail.done.append("evaluator"),
        **gates,
    ),
    "nested workflow": lambda trail, gates: Step(
        name="x", workflow=Workflow(name="Inner", steps=[trail.step("in")]), **gates
    ),
}
_WRAPS: dict[str, Callable[[Any], Any]] = {
    "at the top": lambda node: node,
    "in Parallel": lambda node: Parallel(node, name="par"),
    "in Steps in a Loop": lambda node: Loop(
        name="loop", steps=[Steps(name="deep", steps=[node])], max_iterations=1
    ),
}
_ACTIONS = ("skip", "cancel", "retry")
_MATRIX = [
    *itertools.product(_CONSTRUCTS, _ACTIONS, _WRAPS),
    *(("Condition", "else", wrap) for wrap in _WRAPS),
]


def _name(case: Sequence[str]) -> str:
    return " ".join(case)


def _ran(construct: str) -> str:
    return "x" if construct == "Step" else "in"


@asynccontextmanager
async def _apps(
    app: Interlock, database_url: str, streams: bool, restarts: bool
) -> AsyncIterator[tuple[Caller, Callable[[], Any]]]:
    """A caller, and how it goes on: with the same service, or with a new one each time."""
    if not restarts:
        async with served(app, database_url) as service:
            caller = Caller(service, streams)

            async def same() -> Caller:
                return caller

            yield caller, same
        return
    open_: list[Any] = []

    async def fresh() -> Caller:
        if open_:
            await open_.pop().__aexit__(None, None, None)
        open_.append(served(app, database_url))
        return Caller(await open_[-1].__aenter__(), streams)

    yield await fresh(), fresh
    await open_.pop().__aexit__(None, None, None)


@_streams
@_restarts
async def test_what_a_rejection_does_construct_by_action(
    database_url: str, streams: bool, restarts: bool
) -> None:
    trails = {case: Trail() for case in _MATRIX}
    app = Interlock([_workflow(case, trail) for case, trail in trails.items()])
    async with _apps(app, database_url, streams, restarts) as (caller, following):
        runs = {case: await caller.run(_name(case), input_json='"in"') for case in _MATRIX}
        assert all(trail.done == ["before"] for trail in trails.values())
        caller = await following()
        for case, run in runs.items():
            question = only(run)
            assert question.kind == v1.REQUIREMENT_KIND_STEP_CONFIRMATION
            assert question.step_gate.content_json == '"before 1"'
            runs[case] = await caller.resolve(run, no("not now")(question))
        caller = await following()
        for case, run in runs.items():
            await _check_rejected(caller, case, run, trails[case])


def _workflow(case: tuple[str, str, str], trail: Trail) -> Workflow:
    construct, action, wrap = case
    gates = {"requires_confirmation": True, "on_reject": action}
    node = _WRAPS[wrap](_CONSTRUCTS[construct](trail, gates))
    steps = [trail.step("before"), node, trail.step("after")]
    return Workflow(name=_name(case), steps=steps)


async def _check_rejected(
    caller: Caller, case: tuple[str, str, str], run: v1.Run, trail: Trail
) -> None:
    construct, action, wrap = case
    match action:
        case "skip":
            assert run.state == COMPLETED, case
            assert trail.done == ["before", "after"], case
            assert result_of(run, "x").outcome == SKIPPED
            if wrap != "in Parallel":
                assert trail.seen("after") == ["before 1"], "a skipped node leaves nothing behind"
        case "cancel":
            assert run.state == CANCELLED, case
            assert trail.done == ["before"], case
            last = (await caller.service.events(run))[-1].workflow_cancelled
            assert last.reason == "'x' was rejected: not now"
        case "else":
            assert run.state == COMPLETED, case
            assert trail.done == ["before", "other", "after"], case
        case _:
            question = only(run)
            assert question.attempt == 2, case
            assert question.step_gate.retry_count == 1
            assert trail.done == ["before"], "nothing runs while it is asked again"
            run = await caller.resolve(run, yes()(question))
            assert run.state == COMPLETED, case
            assert trail.done == ["before", _ran(construct), "after"], case
            assert trail.given[1].feedback == "not now"
            assert trail.given[2].feedback == "", "what is said of a node is said of no other"


@_streams
async def test_retries_before_a_node_are_counted_and_end(database_url: str, streams: bool) -> None:
    trail = Trail()
    step = trail.step("x", requires_confirmation=True, on_reject="retry", hitl_max_retries=2)
    async with served(app_of(step), database_url) as service:
        caller = Caller(service, streams)
        run = await caller.run()
        for retries in range(3):
            question = only(run)
            assert question.step_gate.retry_count == retries
            assert question.step_gate.max_retries == 2
            run = await caller.resolve(run, no()(question))
        assert run.state == CANCELLED
        last = (await service.events(run))[-1].workflow_cancelled
        assert last.reason == "'x' was rejected, and 2 retries are used up"
    assert trail.done == []


async def test_a_condition_without_another_branch_is_skipped(database_url: str) -> None:
    trail = Trail()
    condition = Condition(name="x", steps=[trail.step("in")], requires_confirmation=True)
    async with served(app_of(condition, trail.step("after")), database_url) as service:
        run = await service.run("Work")
        run = await service.resolve(run, no()(only(run)))
        assert result_of(run, "x").outcome == SKIPPED
    assert trail.done == ["after"]


async def test_a_yes_takes_the_branch_whatever_the_evaluator_would_say(database_url: str) -> None:
    trail = Trail()
    condition = Condition(
        name="x",
        steps=[trail.step("in")],
        else_steps=[trail.step("other")],
        evaluator=False,
        requires_confirmation=True,
    )
    async with served(app_of(condition), database_url) as service:
        run = await service.run("Work")
        await service.resolve(run, yes()(only(run)))
    assert trail.done == ["in"]


async def test_a_person_chooses_what_a_rejection_does_among_what_the_author_allows(
    database_url: str,
) -> None:
    trail = Trail()
    review = HumanReview(requires_confirmation=True, on_reject=[OnReject.skip, OnReject.cancel])
    async with served(app_of(trail.step("x", human_review=review)), database_url) as service:
        skipped, cancelled, other = [await service.run("Work") for _ in range(3)]
        assert (await service.resolve(skipped, no()(only(skipped)))).state == COMPLETED
        wish = no("", v1.ON_REJECT_CANCEL)
        assert (await service.resolve(cancelled, wish(only(cancelled)))).state == CANCELLED
        async with untouched(service, other):
            wish = no("", v1.ON_REJECT_RETRY)
            bad = await refused(service.resolve(other, wish(only(other))))
            text = "the choices here are: SKIP, CANCEL; leave it out"
            assert bad.fields == {"resolutions[0].reject.on_reject": text}


async def test_a_rejection_that_cancels_ends_what_waits_beside_it(database_url: str) -> None:
    trail = Trail()
    gates: dict[str, Any] = {"requires_confirmation": True, "on_reject": "cancel"}
    both = Parallel(trail.step("a", **gates), trail.step("b", **gates), name="both")
    async with served(app_of(both), database_url) as service:
        run = await service.run("Work")
        first, second = open_requirements(run)
        run = await service.resolve(run, no()(first))
        assert run.state == CANCELLED
        get_ = v1.GetRequirementRequest(requirement_id=second.requirement_id)
        closed = (await service.requirements.GetRequirement(get_)).requirement
        assert closed.state == v1.REQUIREMENT_STATE_CANCELLED
        late = await refused(service.resolve(run, yes()(second)))
        assert late.reason == "REQUIREMENT_CANCELLED"
    assert trail.done == []


# Values.

_TONE: list[UserInputField | dict[str, Any]] = [
    UserInputField(name="tone", description="How it sounds", allowed_values=["kind", "brief"]),
    UserInputField(name="length", field_type=int, required=False, value=100),
    {"name": "extra", "field_type": "dict", "required": False},
]


async def test_values_are_handed_to_functions_and_to_the_agents_message(database_url: str) -> None:
    trail, heard = Trail(), []

    def listen(request: ModelRequest) -> str:
        heard.append(request.messages[0].text)  # type: ignore[union-attr]
        return "written"

    gates: dict[str, Any] = {"requires_user_input": True, "user_input_schema": _TONE}
    steps = [trail.step("x", **gates), Step(name="y", agent=agent([listen]), **gates)]
    async with served(app_of(*steps, trail.step("after")), database_url) as service:
        run = await service.run("Work", input_json='"in"')
        question = only(run)
        assert question.kind == v1.REQUIREMENT_KIND_STEP_INPUT
        tone, length, extra = question.user_input_schema
        assert (tone.description, list(tone.allowed_values_json)) == (
            "How it sounds",
            ['"kind"', '"brief"'],
        )
        assert (length.type, length.required, length.value_json) == (
            v1.USER_INPUT_FIELD_TYPE_INTEGER,
            False,
            "100",
        )
        assert extra.type == v1.USER_INPUT_FIELD_TYPE_OBJECT
        run = await service.resolve(run, values('{"tone": "kind"}')(question))
        text = '{"tone": "brief", "length": 9007199254740993}'
        await service.resolve(run, values(text)(only(run)))
    assert trail.given[0].user_input == {"tone": "kind", "length": 100}
    assert trail.given[0].additional_data == {"user_input": {"tone": "kind", "length": 100}}
    assert trail.given[1].user_input == {}, "values are for their own step"
    [message] = heard
    assert message.startswith("x 1\n")
    assert "- tone: brief" in message
    assert "- length: 9007199254740993" in message


# Judgements.


@_streams
@_restarts
@pytest.mark.parametrize("construct", ["Step", "Router"])
async def test_an_output_is_judged_before_anybody_sees_it(
    database_url: str, streams: bool, restarts: bool, construct: str
) -> None:
    trail = Trail()
    gates = {"requires_output_review": True, "on_reject": ["skip", "cancel", "retry"]}
    node = _CONSTRUCTS[construct](trail, gates)
    ran = _ran(construct)
    app = app_of(trail.step("before"), node, trail.step("after"))
    decisions: dict[str, tuple[Answer, list[Any], v1.RunState.ValueType]] = {
        "accepted": (yes(), [f"{ran} 1"], COMPLETED),
        "edited": (edit('{"better": true}'), [{"better": True}], COMPLETED),
        "skipped": (no(), ["before 1"], COMPLETED),
        "cancelled": (no("", v1.ON_REJECT_CANCEL), [], CANCELLED),
    }
    async with _apps(app, database_url, streams, restarts) as (caller, following):
        for name, (decide, seen, state) in decisions.items():
            trail.wipe()
            run = await caller.run()
            question = only(run)
            assert question.kind == v1.REQUIREMENT_KIND_OUTPUT_REVIEW
            assert question.step_gate.content_json == f'"{ran} 1"'
            caller = await following()
            run = await caller.resolve(run, decide(question))
            assert (run.state, trail.seen("after")) == (state, seen), name
            newest = [one for one in run.step_results if one.step.name == "x"][-1]
            if name == "edited":
                assert newest.output_json == '{"better":true}'
            if name == "skipped":
                assert newest.outcome == SKIPPED


@_streams
async def test_an_output_is_sent_back_with_feedback_up_to_a_limit(
    database_url: str, streams: bool
) -> None:
    trail = Trail()
    step = trail.step(
        "x",
        requires_confirmation=True,
        requires_output_review=True,
        on_reject="retry",
        hitl_max_retries=2,
    )
    async with served(app_of(step), database_url) as service:
        caller = Caller(service, streams)
        run = await caller.run()
        run = await caller.resolve(run, yes()(only(run)))
        for retries, decide in enumerate([again("shorter"), no("kinder"), again()]):
            question = only(run)
            assert question.kind == v1.REQUIREMENT_KIND_OUTPUT_REVIEW, "it is not gated again"
            assert question.step_gate.retry_count == retries
            if retries == 2:
                async with untouched(service, run):
                    used_up = await refused(service.resolve(run, decide(question)))
                assert used_up.fields == {
                    "resolutions[0].retry": "all 2 retries are used up; decide otherwise"
                }
                run = await caller.resolve(run, no()(question))
            else:
                run = await caller.resolve(run, decide(question))
        assert run.state == CANCELLED
        run = await get(service, run)
        rows = [(one.step.step_id, one.output_json) for one in run.step_results]
        assert rows == [("x", '"x 1"'), ("x~2", '"x 2"'), ("x~3", '"x 3"')], "history is kept"
    said = [(one.feedback, one.previous_output) for one in trail.given]
    assert said == [("", None), ("shorter", "x 1"), ("kinder", "x 2")]


async def test_an_agent_is_told_what_the_reviewer_said(database_url: str) -> None:
    heard: list[str] = []

    def write(request: ModelRequest) -> str:
        heard.append(request.messages[0].text)  # type: ignore[union-attr]
        return f"draft {len(heard)}"

    step = Step(name="x", agent=agent([write]), requires_output_review=True)
    async with served(app_of(step), database_url) as service:
        run = await service.run("Work", input_json='"write"')
        run = await service.resolve(run, again("shorter")(only(run)))
        run = await service.resolve(run, yes()(only(run)))
        assert run.output_json == '"draft 2"'
    assert heard[0] == "write"
    assert heard[1].startswith("write\n")
    assert "draft 1" in heard[1]
    assert heard[1].endswith("shorter")


def _raises(output: StepOutput) -> bool:
    raise ValueError("cannot tell")


@pytest.mark.parametrize(
    ("predicate", "pauses"),
    [
        (lambda output: output.content == "x 1", True),
        (lambda output: output.content != "x 1", False),
        (lambda output: "no", True),
        (_raises, True),
    ],
    ids=["yes", "no", "wrong type", "raises"],
)
async def test_a_predicate_decides_about_the_review_and_fails_closed(
    database_url: str, predicate: Any, pauses: bool
) -> None:
    step = Trail().step("x", requires_output_review=predicate)
    async with served(app_of(step), database_url) as service:
        run = await service.run("Work")
        assert run.state == (PAUSED if pauses else COMPLETED)


async def test_an_edit_is_for_one_requirement_only(database_url: str) -> None:
    trail = Trail()
    steps = [trail.step(name, requires_output_review=True) for name in ("a", "b", "c")]
    async with served(app_of(*steps), database_url) as service:
        run = await service.run("Work")
        run = await service.resolve(run, edit('"mine"')(only(run)))
        assert only(run).step_gate.content_json == '"b 1"'
        run = await service.resolve(run, yes()(only(run)))
        run = await service.resolve(run, yes()(only(run)))
        assert run.output_json == '"c 1"'
    assert trail.seen("b") == ["mine"]
    assert trail.seen("c") == ["b 1"]


# Routes.


def _desk(trail: Trail, **more: Any) -> Router:
    group = Steps(name="group", steps=[trail.step("deep")])
    return Router(name="desk", choices=[trail.step("a"), trail.step("b"), group], **more)


@pytest.mark.parametrize(
    ("chosen", "done"), [(["b"], ["b"]), (["group", "a"], ["deep", "a"]), (["a", "a"], ["a", "a"])]
)
async def test_routes_run_in_the_order_in_which_a_person_chose_them(
    database_url: str, chosen: list[str], done: list[str]
) -> None:
    trail = Trail()
    desk = _desk(trail, requires_user_input=True, allow_multiple_selections=True)
    async with served(app_of(desk), database_url) as service:
        run = await service.run("Work")
        selection = only(run).route_selection
        assert list(selection.available_routes) == ["a", "b", "group"]
        assert list(selection.proposed_routes) == []
        assert selection.allow_multiple
        run = await service.resolve(run, routes(*chosen)(only(run)))
        [told] = [one for one in await service.events(run) if one.HasField("route_selected")]
        assert list(told.route_selected.selected_routes) == chosen
    assert trail.done == done


async def test_a_router_shows_what_it_is_about_to_run_and_proposes_it(database_url: str) -> None:
    trail = Trail()
    desk = _desk(
        trail,
        selector=lambda given: ["b", "group"],
        requires_confirmation=True,
        requires_user_input=True,
    )
    async with served(app_of(desk), database_url) as service:
        run = await service.run("Work")
        assert list(only(run).step_gate.selected_routes) == ["b", "group"]
        run = await service.resolve(run, yes()(only(run)))
        assert list(only(run).route_selection.proposed_routes) == ["b", "group"]
        await service.resolve(run, routes("a")(only(run)))
    assert trail.done == ["a"]


@_streams
async def test_a_router_that_is_sent_back_asks_for_another_route(
    database_url: str, streams: bool
) -> None:
    trail = Trail()
    desk = _desk(trail, selector=lambda given: "a", requires_output_review=True)
    async with served(app_of(desk), database_url) as service:
        caller = Caller(service, streams)
        run = await caller.run()
        run = await caller.resolve(run, again("ask b")(only(run)))
        question = only(run)
        assert question.kind == v1.REQUIREMENT_KIND_ROUTE_SELECTION
        assert list(question.route_selection.proposed_routes) == ["a"]
        run = await caller.resolve(run, routes("b")(question))
        assert only(run).step_gate.content_json == '"b 1"'
        run = await caller.resolve(run, yes()(only(run)))
        assert run.output_json == '"b 1"'
    assert [one.feedback for one in trail.given] == ["", "ask b"]


# Loops.


@_streams
@pytest.mark.parametrize("forwards", [False, True])
async def test_each_iteration_of_a_loop_is_judged(
    database_url: str, streams: bool, forwards: bool
) -> None:
    trail = Trail()
    loop = Loop(
        name="loop",
        steps=[trail.step("in")],
        max_iterations=4,
        forward_iteration_output=forwards,
        requires_confirmation=True,
        requires_iteration_review=True,
    )
    app = app_of(trail.step("before"), loop, trail.step("after"))
    async with served(app, database_url) as service:
        caller = Caller(service, streams)
        run = await caller.run()
        run = await caller.resolve(run, yes()(only(run)))
        question = only(run)
        assert question.kind == v1.REQUIREMENT_KIND_ITERATION_REVIEW
        assert (question.step_gate.iteration, question.step_gate.content_json) == (1, '"in 1"')
        run = await caller.resolve(run, again("more")(question))
        assert only(run).step_gate.iteration == 2
        run = await caller.resolve(run, yes()(only(run)))
        assert run.state == COMPLETED
    assert trail.done == ["before", "in", "in", "after"]
    assert [one.feedback for one in trail.given] == ["", "", "more", ""]
    assert trail.given[2].previous_output == "in 1"
    assert trail.seen("in") == ["before 1", "in 1" if forwards else "before 1"]
    assert trail.seen("after") == ["in 2"]


async def test_a_loop_asks_no_more_after_its_last_iteration_or_its_end(database_url: str) -> None:
    trail = Trail()

    def loop(**more: Any) -> Loop:
        return Loop(name="loop", steps=[trail.step("in")], requires_iteration_review=True, **more)

    bounded = Workflow(name="bounded", steps=[loop(max_iterations=2)])
    ended = Workflow(name="ended", steps=[loop(end_condition=lambda outputs: True)])
    async with served(Interlock([bounded, ended]), database_url) as service:
        assert (await service.run("ended")).state == COMPLETED
        run = await service.run("bounded")
        run = await service.resolve(run, again()(only(run)))
        assert run.state == COMPLETED


@pytest.mark.parametrize(
    ("wish", "state", "after"),
    [(v1.ON_REJECT_SKIP, COMPLETED, ["before 1"]), (v1.ON_REJECT_CANCEL, CANCELLED, [])],
    ids=["skip", "cancel"],
)
async def test_a_loop_that_is_rejected_gives_nothing(
    database_url: str, wish: v1.OnReject.ValueType, state: int, after: list[str]
) -> None:
    trail = Trail()
    loop = Loop(
        name="loop",
        steps=[trail.step("in")],
        requires_iteration_review=True,
        on_reject=["skip", "cancel"],
    )
    app = app_of(trail.step("before"), loop, trail.step("after"))
    async with served(app, database_url) as service:
        run = await service.run("Work")
        run = await service.resolve(run, again()(only(run)))
        run = await service.resolve(run, no("", wish)(only(run)))
        assert (run.state, trail.seen("after")) == (state, after)


# Failures.


@_streams
@_restarts
async def test_a_person_decides_about_a_failed_step(
    database_url: str, streams: bool, restarts: bool
) -> None:
    trail = Trail()
    step = trail.failing("x", 1, on_error="pause")
    app = app_of(trail.step("before"), step, trail.step("after"))
    decisions: dict[str, tuple[Answer, v1.RunState.ValueType, list[Any]]] = {
        "retry": (again("try the other one"), COMPLETED, ["x 2"]),
        "skip": (answer(skip=v1.Skip()), COMPLETED, ["before 1"]),
        "supply": (edit('"by hand"'), COMPLETED, ["by hand"]),
        "fail": (answer(fail=v1.Fail(message="give up")), FAILED, []),
        "reject": (no("never"), FAILED, []),
    }
    async with _apps(app, database_url, streams, restarts) as (caller, following):
        for name, (decide, state, seen) in decisions.items():
            trail.wipe()
            run = await caller.run()
            question = only(run)
            assert run.pause_kind == v1.PAUSE_KIND_ERROR
            assert question.kind == v1.REQUIREMENT_KIND_ERROR_DECISION
            assert question.step_failure.reason == "FUNCTION_FAILED"
            assert question.step_failure.message == "x is broken"
            caller = await following()
            run = await caller.resolve(run, decide(question))
            assert (run.state, trail.seen("after")) == (state, seen), name
            if name == "retry":
                assert trail.given[2].feedback == "try the other one"
            if state == FAILED:
                assert run.error.reason == "FUNCTION_FAILED"
                assert run.error.message == {"fail": "give up", "reject": "never"}[name]


async def test_a_failure_is_decided_as_often_as_it_happens(database_url: str) -> None:
    trail = Trail()
    step = trail.failing("x", 5, on_error="pause", max_retries=1)
    async with served(app_of(step), database_url) as service:
        run = await service.run("Work")
        assert trail.done == ["x", "x"], "automatic retries come first"
        run = await service.resolve(run, again()(only(run)))
        assert only(run).attempt == 2
        run = await service.resolve(run, again()(only(run)))
        assert run.output_json == '"x 6"'


# Together.


async def test_all_levels_of_one_step_come_in_their_natural_order(database_url: str) -> None:
    ledger = Ledger()
    step = Step(
        name="x",
        agent=agent([call("act", what="it"), "done"], ledger.gated()),
        requires_confirmation=True,
        requires_user_input=True,
        user_input_schema=_TONE,
        requires_output_review=True,
        on_error="pause",
    )
    async with served(app_of(step), database_url) as service:
        run = await service.run("Work", input_json='"go"')
        asked = []
        answers = [yes(), values('{"tone": "kind"}'), yes(), again("once more"), yes(), yes()]
        for decide in answers:
            question = only(run)
            asked.append(v1.RequirementKind.Name(question.kind).removeprefix("REQUIREMENT_KIND_"))
            run = await service.resolve(run, decide(question))
        assert run.state == COMPLETED
        told = kinds(await service.events(run))
    assert asked == [
        "STEP_CONFIRMATION",
        "STEP_INPUT",
        "CONFIRMATION",
        "OUTPUT_REVIEW",
        "CONFIRMATION",
        "OUTPUT_REVIEW",
    ]
    assert ledger.calls == ["it", "it"]
    pauses = [one for one in told if one.startswith("step_") and one.endswith(("ed",))]
    assert pauses[:5] == [
        "step_paused",
        "step_continued",
        "step_paused",
        "step_continued",
        "step_started",
    ]
    assert told.count("step_paused") == told.count("step_continued") == 4


def _side_by_side(trail: Trail) -> Interlock:
    gates: dict[str, Any] = {"requires_user_input": True, "user_input_schema": _TONE}
    return app_of(
        Parallel(
            trail.step("confirmed", requires_confirmation=True),
            trail.step("filled", **gates),
            trail.step("judged", requires_output_review=True),
            _desk(trail, requires_user_input=True),
            Loop(name="loop", steps=[trail.step("in")], requires_iteration_review=True),
            trail.failing("broken", 1, on_error="pause"),
            name="all",
        )
    )


_FITTING: dict[v1.RequirementKind.ValueType, Answer] = {
    v1.REQUIREMENT_KIND_STEP_CONFIRMATION: yes(),
    v1.REQUIREMENT_KIND_STEP_INPUT: values('{"tone": "kind"}'),
    v1.REQUIREMENT_KIND_OUTPUT_REVIEW: edit('"edited"'),
    v1.REQUIREMENT_KIND_ROUTE_SELECTION: routes("b"),
    v1.REQUIREMENT_KIND_ITERATION_REVIEW: yes(),
    v1.REQUIREMENT_KIND_ERROR_DECISION: again(),
}


async def test_decisions_on_what_is_open_side_by_side_come_in_any_order(
    database_url: str,
) -> None:
    outputs = set()
    trail = Trail()
    async with served(_side_by_side(trail), database_url) as service:
        for first in range(6):
            trail.wipe()
            run = await service.run("Work")
            waiting = open_requirements(run)
            assert {one.kind for one in waiting} == set(_FITTING)
            assert run.pause_kind == v1.PAUSE_KIND_STEP
            for question in (*waiting[first:], *reversed(waiting[:first])):
                run = await service.resolve(run, _FITTING[question.kind](question))
            assert run.state == COMPLETED
            outputs.add(run.output_json)
    assert len(outputs) == 1


_BAD: list[tuple[v1.RequirementKind.ValueType, Answer, str, str]] = [
    (kind, decide, path, text)
    for kind, decide, path, text in [
        (v1.REQUIREMENT_KIND_STEP_INPUT, values("{}"), "user_input.values_json.tone", "is missing"),
        (
            v1.REQUIREMENT_KIND_STEP_INPUT,
            values('{"tone": ""}'),
            "user_input.values_json.tone",
            "is empty",
        ),
        (
            v1.REQUIREMENT_KIND_STEP_INPUT,
            values('{"tone": 3}'),
            "user_input.values_json.tone",
            "must be a text",
        ),
        (
            v1.REQUIREMENT_KIND_STEP_INPUT,
            values('{"tone": "rude"}'),
            "user_input.values_json.tone",
            'must be one of: "kind", "brief"',
        ),
        (
            v1.REQUIREMENT_KIND_STEP_INPUT,
            values('{"tone": "kind", "length": true}'),
            "user_input.values_json.length",
            "must be a whole number",
        ),
        (
            v1.REQUIREMENT_KIND_STEP_INPUT,
            values('{"tone": "kind", "more": 1}'),
            "user_input.values_json.more",
            "there is no such field; the fields are: tone, length, extra",
        ),
        (
            v1.REQUIREMENT_KIND_STEP_INPUT,
            values("[]"),
            "user_input.values_json",
            "must be a JSON object of values by field name",
        ),
        (
            v1.REQUIREMENT_KIND_OUTPUT_REVIEW,
            edit(""),
            "edited_output.output_json",
            "is missing; give JSON",
        ),
        (
            v1.REQUIREMENT_KIND_OUTPUT_REVIEW,
            edit("{"),
            "edited_output.output_json",
            "is not valid JSON: Expecting property name enclosed in double quotes "
            "at line 1 column 2",
        ),
        (
            v1.REQUIREMENT_KIND_ERROR_DECISION,
            edit("nan"),
            "edited_output.output_json",
            "is not valid JSON: Expecting value at line 1 column 1",
        ),
        (
            v1.REQUIREMENT_KIND_ROUTE_SELECTION,
            routes(),
            "route_choice.routes",
            "is empty; choose a route, or reject",
        ),
        (
            v1.REQUIREMENT_KIND_ROUTE_SELECTION,
            routes("nowhere"),
            "route_choice.routes[0]",
            "there is no such route; there are: a, b, group",
        ),
        (
            v1.REQUIREMENT_KIND_ROUTE_SELECTION,
            routes("a", "b"),
            "route_choice.routes",
            "has 2 routes; choose at most 1",
        ),
        *(
            (
                kind,
                no("", v1.ON_REJECT_ELSE),
                "reject.on_reject",
                "the choices here are: SKIP; leave it out",
            )
            for kind in _FITTING
            if kind != v1.REQUIREMENT_KIND_ERROR_DECISION
        ),
        (
            v1.REQUIREMENT_KIND_ERROR_DECISION,
            no("", v1.ON_REJECT_SKIP),
            "reject.on_reject",
            "there is no choice here; leave it out",
        ),
        *(
            (kind, no("x" * 4_001), "reject.note", "is longer than 4,000 characters")
            for kind in _FITTING
        ),
    ]
]


async def test_a_bad_answer_is_named_by_its_path_and_records_nothing(database_url: str) -> None:
    async with served(_side_by_side(Trail()), database_url) as service:
        run = await service.run("Work")
        by_kind = {one.kind: one for one in open_requirements(run)}
        async with untouched(service, run):
            for kind, decide, path, text in _BAD:
                bad = await refused(service.resolve(run, decide(by_kind[kind])))
                assert bad.code == grpc.StatusCode.INVALID_ARGUMENT
                assert bad.fields == {f"resolutions[0].{path}": text}
            for kind, question in by_kind.items():
                for other in (
                    values("{}"),
                    routes("a"),
                    answer(external_result=v1.ExternalResult()),
                ):
                    wrong = other(question)
                    if wrong.WhichOneof("resolution") == _FITTING[kind](question).WhichOneof(
                        "resolution"
                    ):
                        continue
                    bad = await refused(service.resolve(run, wrong))
                    assert bad.reason == "RESOLUTION_MISMATCH"
