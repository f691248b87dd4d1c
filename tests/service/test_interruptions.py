"""Processes that die during a call: a person is asked, it is made again, or it counts as failed.

Nobody knows then whether the call happened; its author says what that means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from tests.support.clock import Clock, fire, requirement_now
from tests.support.played import Listening
from tests.support.service import Served, confirm, external_result, reject
from tests.support.workbench import (
    Point,
    agent,
    app_of,
    crash,
    kind_of,
    kinds,
    only,
    refused,
    resolve_one,
    rest,
    result_of,
    start,
    untouched,
)

from interlock import v1
from interlock_server import (
    Agent,
    HumanReview,
    Interlock,
    Loop,
    Parallel,
    RunContext,
    Step,
    StepInput,
    Team,
    call,
    tool,
)
from interlock_server.runtime.runtime import Timing

MAY_HAVE = "The call was interrupted, and may have happened."
TOO_LATE = "Nobody answered in time."
QUICK = Timing(lease=10)

Answer = Callable[[v1.Requirement], v1.RequirementResolution]


def retry(requirement: v1.Requirement) -> v1.RequirementResolution:
    return v1.RequirementResolution(requirement_id=requirement.requirement_id, retry=v1.Retry())


def fail(requirement: v1.Requirement) -> v1.RequirementResolution:
    failure = v1.Fail(message="it went wrong")
    return v1.RequirementResolution(requirement_id=requirement.requirement_id, fail=failure)


def supply(requirement: v1.Requirement) -> v1.RequirementResolution:
    return external_result(requirement, '{"from":"outside"}')


def report(requirement: v1.Requirement) -> v1.RequirementResolution:
    result = v1.ExternalResult(error_message="no money")
    return v1.RequirementResolution(
        requirement_id=requirement.requirement_id, external_result=result
    )


def refuse(requirement: v1.Requirement) -> v1.RequirementResolution:
    return reject(requirement, "leave it")


@dataclass
class Scene:
    """An effect that is held, and dies with its process; the next one is let pass."""

    clock: Clock = field(default_factory=Clock)
    point: Point = field(default_factory=Point)
    keys: list[str] = field(default_factory=list)
    seen: list[Any] = field(default_factory=list)

    async def pass_through(self, key: str) -> str:
        self.keys.append(key)
        await self.point.pass_through()
        return "held"

    def then(self) -> Step:
        """A step that notes what it is given."""

        def then(given: StepInput) -> str:
            self.seen.append(given.previous_step_content)
            return "then"

        return Step(name="then", executor=then)

    def serving(self, app: Interlock, database_url: str) -> Any:
        return self.clock.serving(app, database_url, QUICK)

    async def dies(self, app: Interlock, database_url: str) -> v1.Run:
        """A run whose process dies during the effect; a question before it gets a yes."""
        async with self.serving(app, database_url) as service:
            run = await start(service)
            run = await self.begun(service, run)
            await crash(service)
        self.point.entered.clear()
        self.point.released.set()
        self.clock.pass_by(QUICK.lease + 1)
        return run

    async def begun(self, service: Served, run: v1.Run) -> v1.Run:
        """A run in its held effect."""
        entering = asyncio.ensure_future(self.point.entered.wait())
        resting = asyncio.ensure_future(rest(service, run))
        await asyncio.wait([entering, resting], return_when=asyncio.FIRST_COMPLETED)
        if not entering.done():
            await resolve_one(service, confirm(only(await resting)))
        await entering
        resting.cancel()
        await asyncio.gather(resting, return_exceptions=True)
        return run


def calling(stage: Scene, *, is_gated: bool, model: Any = None, **more: Any) -> Interlock:
    """An agent whose call dies with its process."""

    @tool(name="hold", requires_confirmation=is_gated, **more)
    async def hold(what: str, idempotency_key: str, run_context: RunContext) -> str:
        assert run_context.idempotency_key == idempotency_key
        return await stage.pass_through(idempotency_key)

    model = model or Listening([call("hold", what="it"), "done"])
    work = Step(name="work", agent=Agent(name="worker", model=model, tools=[hold]))
    return app_of(work, stage.then())


def working(stage: Scene, **more: Any) -> Interlock:
    """A function step that dies with its process."""

    async def hold(given: Any, idempotency_key: str, run_context: RunContext) -> str:
        assert run_context.idempotency_key == idempotency_key
        return await stage.pass_through(idempotency_key)

    return app_of(Step(name="work", executor=hold, **more), stage.then())


def doubt_of(run: v1.Run) -> v1.Requirement:
    """The one question that a paused run asks, about whatever it is."""
    assert run.state == v1.RUN_STATE_PAUSED, v1.RunState.Name(run.state)
    [step] = run.step_requirements
    [requirement] = [*step.executor_requirements, *step.step_requirements]
    assert requirement.kind == v1.REQUIREMENT_KIND_IN_DOUBT
    return requirement


# Calls of tools.


@pytest.mark.parametrize(
    ("is_gated", "on_interrupt", "happens"),
    [
        (True, None, "asks"),
        (True, "ask", "asks"),
        (True, "retry", "again"),
        (True, "fail", "fails"),
        (False, None, "again"),
        (False, "ask", "asks"),
        (False, "retry", "again"),
        (False, "fail", "fails"),
    ],
)
async def test_a_call_that_was_interrupted(
    database_url: str, is_gated: bool, on_interrupt: Any, happens: str
) -> None:
    stage, model = Scene(), Listening([call("hold", what="it"), "done"])
    app = calling(stage, is_gated=is_gated, on_interrupt=on_interrupt, model=model)
    run = await stage.dies(app, database_url)
    async with stage.serving(app, database_url) as service:
        run = await rest(service, run)
        if happens == "asks":
            doubt = doubt_of(run)
            assert run.pause_kind == v1.PAUSE_KIND_EXECUTOR
            assert doubt.tool_execution.tool_args_json == '{"what":"it"}'
            assert doubt.WhichOneof("subject") == "tool_execution"
            assert stage.point.passed == 0
            async with untouched(service, run):
                problem = await refused(service.resolve(run, confirm(doubt)))
                assert problem.reason == "RESOLUTION_MISMATCH"
            run = await service.resolve(run, retry(doubt))
        happened = kinds(await service.events(run))
    assert run.state == v1.RUN_STATE_COMPLETED
    assert happened.count("tool_call_completed") == 1
    [made] = result_of(run, "work").tool_executions
    [told] = model.told
    if happens == "fails":
        assert stage.point.passed == 0
        assert (made.error_message, told.text) == (MAY_HAVE, MAY_HAVE)
        assert (told.is_error, told.is_refusal) == (True, False)
    else:
        assert stage.point.passed == 1
        assert made.result_json == '"held"'
        # It is the same call, however often it was tried.
        assert stage.keys == [stage.keys[0]] * 2
    assert stage.keys[0].startswith(f"{run.run_id}/")


@pytest.mark.parametrize(
    ("answer", "result", "error"),
    [
        (retry, '"held"', ""),
        (supply, '{"from":"outside"}', ""),
        (report, "", "no money"),
        (fail, "", "it went wrong"),
        (refuse, "", "leave it"),
    ],
)
async def test_a_person_says_what_became_of_a_call(
    database_url: str, answer: Answer, result: str, error: str
) -> None:
    stage = Scene()
    app = calling(stage, is_gated=True)
    run = await stage.dies(app, database_url)
    async with stage.serving(app, database_url) as service:
        paused = await rest(service, run)
        ended = await service.resolve(paused, answer(doubt_of(paused)))
    assert ended.state == v1.RUN_STATE_COMPLETED
    [made] = result_of(ended, "work").tool_executions
    assert (made.result_json, made.error_message) == (result, error)
    assert stage.point.passed == (1 if answer is retry else 0)


async def test_a_retry_that_is_interrupted_too_is_a_question_of_its_own(database_url: str) -> None:
    stage = Scene()
    app = calling(stage, is_gated=True)
    run = await stage.dies(app, database_url)
    stage.point.released.clear()
    async with stage.serving(app, database_url) as service:
        first = doubt_of(await rest(service, run))
        request = v1.ContinueRunRequest(run_id=run.run_id, resolutions=[retry(first)])
        request.wait_timeout.FromSeconds(0)
        await service.runs.ContinueRun(request)
        await stage.point.entered.wait()
        await crash(service)
    stage.point.released.set()
    stage.clock.pass_by(QUICK.lease + 1)
    async with stage.serving(app, database_url) as service:
        paused = await rest(service, run)
        second = doubt_of(paused)
        assert second.requirement_id != first.requirement_id
        late = await refused(service.resolve(paused, fail(first)))
        assert late.reason == "REQUIREMENT_ALREADY_RESOLVED"
        assert stage.point.passed == 0
        ended = await service.resolve(paused, retry(second))
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert stage.point.passed == 1
    assert stage.keys == [stage.keys[0]] * 3


async def test_the_call_of_a_member_is_asked_about_with_its_path(database_url: str) -> None:
    stage = Scene()

    @tool(requires_confirmation=True)
    async def hold() -> str:
        return await stage.pass_through("")

    member = agent([call("hold"), "the member is done"], hold, name="Ann")
    leader = agent([call("delegate_task_to_member", member_name="Ann", task="do"), "all done"])
    team = Team(name="crew", model=leader.model, members=[member])
    app = app_of(Step(name="work", team=team))
    run = await stage.dies(app, database_url)
    async with stage.serving(app, database_url) as service:
        paused = await rest(service, run)
        doubt = doubt_of(paused)
        assert list(doubt.member_path) == ["Ann"]
        ended = await service.resolve(paused, supply(doubt))
    assert ended.output_json == '"all done"'
    assert stage.point.passed == 0


@pytest.mark.parametrize("is_gated", [True, False], ids=["gated", "free"])
async def test_what_an_interruption_means_was_said_with_the_call(
    database_url: str, is_gated: bool
) -> None:
    """Code that is more lenient by now does not repeat what was begun under another word."""
    stage = Scene()
    before = calling(stage, is_gated=is_gated, on_interrupt="ask")
    after = calling(stage, is_gated=is_gated, on_interrupt="retry")
    run = await stage.dies(before, database_url)
    async with stage.serving(after, database_url) as service:
        paused = await rest(service, run)
        doubt_of(paused)
    assert stage.point.passed == 0


@pytest.mark.parametrize("on_timeout", ["cancel", "reject", "approve", "skip", "fail"])
async def test_nobody_says_what_became_of_a_call(database_url: str, on_timeout: Any) -> None:
    """A yes that was given in advance is none for a call that may have happened."""
    stage = Scene()
    app = calling(stage, is_gated=True, timeout=60, on_timeout=on_timeout)
    run = await stage.dies(app, database_url)
    async with stage.serving(app, database_url) as service:
        doubt = doubt_of(await rest(service, run))
        meant = "fail" if on_timeout == "approve" else on_timeout
        assert doubt.on_timeout == v1.OnTimeout.Value(f"ON_TIMEOUT_{meant.upper()}")
        stage.clock.pass_by(60)
        await fire(service)
        ended = await rest(service, run)
        closed = await requirement_now(service, doubt)
    assert closed.state == v1.REQUIREMENT_STATE_EXPIRED
    assert stage.point.passed == 0
    match meant:
        case "cancel":
            assert ended.state == v1.RUN_STATE_CANCELLED
        case "fail":
            # As everywhere else: the step fails.
            assert ended.state == v1.RUN_STATE_FAILED
            assert result_of(ended, "work").outcome == v1.STEP_OUTCOME_FAILED
            assert stage.seen == []
        case "skip":
            assert result_of(ended, "work").outcome == v1.STEP_OUTCOME_SKIPPED
            assert stage.seen == [None]
        case "reject":
            assert ended.state == v1.RUN_STATE_COMPLETED
            assert result_of(ended, "work").tool_executions[0].error_message == TOO_LATE


# Functions.


@pytest.mark.parametrize("on_interrupt", [None, "retry"])
async def test_a_function_simply_runs_again(database_url: str, on_interrupt: Any) -> None:
    stage = Scene()
    app = working(stage, on_interrupt=on_interrupt)
    run = await stage.dies(app, database_url)
    async with stage.serving(app, database_url) as service:
        ended = await rest(service, run)
        assert "workflow_paused" not in kinds(await service.events(ended))
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert stage.seen == ["held"]
    assert stage.keys == [f"{run.run_id}/work:function"] * 2


async def test_a_function_that_asks_is_a_question_about_its_step(database_url: str) -> None:
    stage = Scene()
    app = working(stage, on_interrupt="ask")
    run = await stage.dies(app, database_url)
    async with stage.serving(app, database_url) as service:
        paused = await rest(service, run)
        doubt = doubt_of(paused)
        assert paused.pause_kind == v1.PAUSE_KIND_ERROR
        [step] = paused.step_requirements
        assert list(step.step_requirements) == [doubt]
        assert not step.executor_requirements
        assert doubt.WhichOneof("subject") == "step_failure"
        assert (doubt.step_failure.reason, doubt.step_failure.message) == ("INTERRUPTED", MAY_HAVE)
        assert (doubt.step.name, doubt.executor_name) == ("work", "hold")
        last = (await service.events(paused))[-1]
        assert kind_of(last) == "workflow_paused"
        assert last.workflow_paused.pause_kind == v1.PAUSE_KIND_ERROR
        selected = v1.RequirementFilter(kinds=[v1.REQUIREMENT_KIND_IN_DOUBT])
        request = v1.ListRequirementsRequest(filter=selected)
        inbox = await service.requirements.ListRequirements(request)
        assert list(inbox.requirements) == [doubt]
        async with untouched(service, paused):
            problem = await refused(service.resolve(paused, confirm(doubt)))
            assert problem.code is grpc.StatusCode.FAILED_PRECONDITION
            assert problem.reason == "RESOLUTION_MISMATCH"
            assert (await service.resolve(paused)).state == v1.RUN_STATE_PAUSED
    assert stage.point.passed == 0


@pytest.mark.parametrize("on_error", ["fail", "skip"])
@pytest.mark.parametrize(
    ("answer", "content", "error"),
    [
        (retry, "held", None),
        (supply, {"from": "outside"}, None),
        (report, None, ("REPORTED_FAILURE", "no money")),
        (fail, None, ("INTERRUPTED", "it went wrong")),
        (refuse, None, ("INTERRUPTED", "leave it")),
    ],
)
async def test_a_person_says_what_became_of_a_function(
    database_url: str,
    on_error: Any,
    answer: Answer,
    content: Any,
    error: tuple[str, str] | None,
) -> None:
    stage = Scene()
    app = working(stage, on_interrupt="ask", on_error=on_error)
    run = await stage.dies(app, database_url)
    async with stage.serving(app, database_url) as service:
        paused = await rest(service, run)
        ended = await service.resolve(paused, answer(doubt_of(paused)))
    result = result_of(ended, "work")
    assert stage.point.passed == (1 if answer is retry else 0)
    if error is None:
        assert ended.state == v1.RUN_STATE_COMPLETED
        assert stage.seen == [content]
        return
    assert (result.error.reason, result.error.message) == error
    if on_error == "fail":
        assert (ended.state, ended.error) == (v1.RUN_STATE_FAILED, result.error)
        assert stage.seen == []
    else:
        assert ended.state == v1.RUN_STATE_COMPLETED
        assert result.outcome == v1.STEP_OUTCOME_SKIPPED
        assert stage.seen == [None]


@pytest.mark.parametrize("on_error", ["fail", "skip"])
async def test_a_function_counts_as_failed(database_url: str, on_error: Any) -> None:
    stage = Scene()
    app = working(stage, on_interrupt="fail", on_error=on_error)
    run = await stage.dies(app, database_url)
    async with stage.serving(app, database_url) as service:
        ended = await rest(service, run)
    result = result_of(ended, "work")
    assert (result.error.reason, result.error.message) == ("INTERRUPTED", MAY_HAVE)
    assert ended.state == (v1.RUN_STATE_FAILED if on_error == "fail" else v1.RUN_STATE_COMPLETED)
    assert stage.seen == ([] if on_error == "fail" else [None])
    assert stage.point.passed == 0


@pytest.mark.parametrize("answer", [fail, refuse, None])
async def test_a_function_that_may_have_happened_is_not_tried_again_by_itself(
    database_url: str, answer: Answer | None
) -> None:
    """Tries are for what failed; whether this did nobody knows, and somebody said no."""
    stage = Scene()
    app = working(stage, on_interrupt="ask" if answer else "fail", max_retries=2)
    run = await stage.dies(app, database_url)
    async with stage.serving(app, database_url) as service:
        ended = await rest(service, run)
        if answer is not None:
            ended = await service.resolve(ended, answer(doubt_of(ended)))
    assert stage.point.passed == 0
    assert ended.state == v1.RUN_STATE_FAILED
    assert ended.error.reason == "INTERRUPTED"


@pytest.mark.parametrize("on_timeout", ["cancel", "reject", "skip", "fail"])
@pytest.mark.parametrize("max_retries", [0, 2])
async def test_nobody_says_what_became_of_a_function(
    database_url: str, on_timeout: Any, max_retries: int
) -> None:
    stage = Scene()
    review = HumanReview(timeout=60, on_timeout=on_timeout)
    app = working(stage, on_interrupt="ask", human_review=review, max_retries=max_retries)
    run = await stage.dies(app, database_url)
    async with stage.serving(app, database_url) as service:
        doubt = doubt_of(await rest(service, run))
        assert doubt.on_timeout == v1.OnTimeout.Value(f"ON_TIMEOUT_{on_timeout.upper()}")
        stage.clock.pass_by(60)
        await fire(service)
        ended = await rest(service, run)
        last = (await service.events(ended))[-1]
    assert stage.point.passed == 0
    match on_timeout:
        case "cancel":
            assert ended.state == v1.RUN_STATE_CANCELLED
            reason = "nobody answered the question of step 'work' in time"
            assert last.workflow_cancelled.reason == reason
        case "skip":
            assert ended.state == v1.RUN_STATE_COMPLETED
            assert result_of(ended, "work").outcome == v1.STEP_OUTCOME_SKIPPED
            assert stage.seen == [None]
        case _:
            assert ended.state == v1.RUN_STATE_FAILED
            assert ended.error.message == TOO_LATE


async def test_a_doubt_in_one_branch_and_a_gate_in_another_wait_together(
    database_url: str,
) -> None:
    """A person's own work is named before what must be mended."""
    stage, other = Scene(), Point()

    async def hold(given: Any) -> str:
        return await stage.pass_through("")

    broken = Step(name="broken", executor=hold, on_interrupt="ask")
    asks = Step(
        name="asks", agent=agent([call("hold"), "done"], other.tool(external_execution=True))
    )
    app = app_of(Parallel(broken, asks, name="both"))
    run = await stage.dies(app, database_url)
    async with stage.serving(app, database_url) as service:
        paused = await rest(service, run)
        assert paused.pause_kind == v1.PAUSE_KIND_EXECUTOR
        by_name = {one.step.name: one for one in paused.step_requirements}
        [doubt] = by_name["broken"].step_requirements
        [gate] = by_name["asks"].executor_requirements
        again = await service.resolve(paused, external_result(gate, '"out"'))
        assert again.pause_kind == v1.PAUSE_KIND_ERROR
        assert doubt_of(again) == doubt
        ended = await service.resolve(again, supply(doubt))
    assert ended.output_json == '{"broken":{"from":"outside"},"asks":"done"}'
    assert stage.point.passed == 0


# Keys for services that detect repeated requests.


async def test_a_function_that_is_tried_again_has_the_same_key(database_url: str) -> None:
    keys: list[str] = []

    def flaky(given: Any, idempotency_key: str, run_context: RunContext) -> str:
        keys.append(idempotency_key)
        assert run_context.idempotency_key == idempotency_key
        if len(keys) % 3:
            raise RuntimeError("not yet")
        return "done"

    step = Step(name="flaky", executor=flaky, max_retries=2)
    app = app_of(Loop(name="loop", steps=[step], max_iterations=2))
    async with Clock().serving(app, database_url) as service:
        ended = await service.run("Work")
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert len(keys) == 6
    # One for each iteration, which is another call.
    assert [len(set(keys[:3])), len(set(keys[3:])), len(set(keys))] == [1, 1, 2]


async def test_no_two_calls_have_the_same_key(database_url: str) -> None:
    keys: list[str] = []

    @tool
    def act(what: str, idempotency_key: str) -> str:
        keys.append(idempotency_key)
        return what

    turns = [[call("act", what="a"), call("act", what="a")], call("act", what="a"), "done"]
    first = Step(name="first", agent=agent(turns, act))
    second = Step(name="second", agent=agent(turns, act, name="other"))
    async with Clock().serving(app_of(first, second), database_url) as service:
        runs = [await service.run("Work") for _ in range(2)]
        executors = await service.workflows.ListExecutors(v1.ListExecutorsRequest())
    assert {one.state for one in runs} == {v1.RUN_STATE_COMPLETED}
    assert len(set(keys)) == len(keys) == 12
    # Neither the model nor a person sees it.
    schemas = [one.parameters_schema_json for each in executors.executors for one in each.tools]
    assert schemas
    assert not any("idempotency_key" in one for one in schemas)
