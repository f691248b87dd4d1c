"""Questions that nobody answers in time: what is to happen then happens, with nobody there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any

import grpc
import pytest
from tests.support.clock import Clock, fire, requirement_now
from tests.support.played import Listening
from tests.support.service import (
    Refusal,
    Served,
    confirm,
    external_result,
    open_requirements,
    refusal,
    reject,
    user_input,
)
from tests.support.workbench import (
    LAST_KINDS,
    Caller,
    Ledger,
    Point,
    agent,
    agent_app,
    app_of,
    events_of,
    get,
    kind_of,
    kinds,
    only,
    refused,
    resolve_one,
    responses,
    rest,
    result_of,
    start,
    untouched,
)

from interlock import v1
from interlock_server import (
    Agent,
    Interlock,
    Parallel,
    Step,
    StepInput,
    Team,
    Tool,
    Workflow,
    call,
    tool,
)

DECISIONS = ("requirement_resolved", "requirement_expired")
TOO_LATE = "Nobody answered in time."
STORED = v1.StreamOptions(omit_content_deltas=True)
GATES = ("requires_confirmation", "requires_user_input", "external_execution")
TABLE = [
    (gate, on_timeout)
    for gate in GATES
    for on_timeout in (None, "cancel", "reject", "approve", "skip", "fail")
    if (gate, on_timeout) != ("external_execution", "approve")
]


@dataclass
class Scene:
    """An agent that makes a call which waits a minute for somebody, and a step after it."""

    ledger: Ledger
    model: Listening
    seen: list[Any]
    app: Interlock


def timed(ledger: Ledger, gate: str = "requires_confirmation", **more: Any) -> Tool:
    """A gated tool that waits a minute."""
    if gate == "requires_user_input":
        more["user_input_fields"] = ["how"]

    @tool(**{gate: True, "timeout": 60, **more})
    def act(what: str, how: str = "gently") -> str:
        ledger.calls.append((what, how))
        return f"did {what}"

    return act


def scene(gate: str = "requires_confirmation", on_error: Any = "fail", **more: Any) -> Scene:
    ledger, seen = Ledger(), []
    model = Listening([call("act", what="it"), "done"])
    worker = Agent(name="worker", model=model, tools=[timed(ledger, gate, **more)])

    def then(given: StepInput) -> str:
        seen.append((given.previous_step_content, sorted(given.previous_step_outputs)))
        return "then"

    work = Step(name="work", agent=worker, on_error=on_error, max_retries=2)
    return Scene(ledger, model, seen, app_of(work, Step(name="then", executor=then)))


def yes(requirement: v1.Requirement) -> v1.RequirementResolution:
    """The answer that lets a call succeed."""
    match requirement.kind:
        case v1.REQUIREMENT_KIND_USER_INPUT:
            return user_input(requirement, '{"how":"hard"}')
        case v1.REQUIREMENT_KIND_EXTERNAL_EXECUTION:
            return external_result(requirement, '"outside"')
        case _:
            return confirm(requirement)


async def told_of(call: Awaitable[object]) -> Refusal | None:
    """The refusal that a call ends in, if it does."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return refusal(error)
    return None


async def expired(service: Served, clock: Clock, run: v1.Run, seconds: float = 60) -> v1.Run:
    """A run after its questions had so much time."""
    clock.pass_by(seconds)
    await fire(service)
    return await rest(service, run)


@pytest.mark.parametrize(("gate", "on_timeout"), TABLE)
async def test_what_is_to_happen_happens(
    database_url: str, gate: str, on_timeout: str | None
) -> None:
    clock, stage = Clock(), scene(gate, on_timeout=on_timeout)
    async with clock.serving(stage.app, database_url) as service:
        paused = await service.run("Work")
        asked = only(paused)
        meant = v1.OnTimeout.Value(f"ON_TIMEOUT_{(on_timeout or 'cancel').upper()}")
        assert asked.on_timeout == meant
        assert asked.expire_time.ToDatetime(UTC) == clock.after(60)
        request = v1.WatchRunRequest(
            run_id=paused.run_id, after_sequence=paused.last_sequence, stream_options=STORED
        )
        watching = asyncio.ensure_future(events_of(service.runs.WatchRun(request)))
        # A moment too early is too early.
        clock.pass_by(59.9)
        async with untouched(service, paused):
            await fire(service)
        ended = await expired(service, clock, paused, 0.1)
        closed = await requirement_now(service, asked)
        happened = [
            one for one in await service.events(ended) if one.sequence > paused.last_sequence
        ]
        assert await watching == happened
        late = await refused(service.resolve(paused, yes(asked)))
    assert closed.state == v1.REQUIREMENT_STATE_EXPIRED
    assert closed.resolve_time.ToDatetime(UTC) == clock.time
    assert closed.resolved_by == ""
    assert not ended.step_requirements
    first = happened[0]
    assert kind_of(first) == "requirement_expired"
    assert first.step == asked.step
    assert first.requirement_expired.requirement_id == asked.requirement_id
    assert first.requirement_expired.on_timeout == meant
    assert first.requirement_expired.resolution == closed.resolution
    assert [one for one in kinds(happened) if one in LAST_KINDS] == kinds(happened)[-1:]
    assert late.code is grpc.StatusCode.FAILED_PRECONDITION
    assert late.reason == "REQUIREMENT_EXPIRED"
    assert late.metadata == {
        "requirement_id": asked.requirement_id,
        "on_timeout": (on_timeout or "cancel").upper(),
        "expire_time": asked.expire_time.ToJsonString(),
    }
    check = {None: cancelled, "cancel": cancelled, "reject": told, "approve": approved}
    check |= {"skip": skipped, "fail": failed}
    check[on_timeout](stage, ended, closed, kinds(happened))


def cancelled(stage: Scene, run: v1.Run, closed: v1.Requirement, happened: list[str]) -> None:
    assert run.state == v1.RUN_STATE_CANCELLED
    assert not closed.HasField("resolution")
    assert happened == ["requirement_expired", "workflow_cancelled"]
    assert (stage.ledger.calls, stage.seen) == ([], [])


def told(stage: Scene, run: v1.Run, closed: v1.Requirement, happened: list[str]) -> None:
    assert run.state == v1.RUN_STATE_COMPLETED
    assert closed.resolution.reject.note == TOO_LATE
    assert happened[1:3] == ["workflow_continued", "step_executor_continued"]
    assert "tool_call_started" not in happened
    [result] = stage.model.told
    assert (result.text, result.is_error, result.is_refusal) == (TOO_LATE, True, True)
    assert (stage.ledger.calls, stage.seen) == ([], [("done", ["work"])])


def approved(stage: Scene, run: v1.Run, closed: v1.Requirement, happened: list[str]) -> None:
    assert run.state == v1.RUN_STATE_COMPLETED
    kind = "confirm" if closed.kind == v1.REQUIREMENT_KIND_CONFIRMATION else "user_input"
    assert closed.resolution.WhichOneof("resolution") == kind
    assert happened.count("tool_call_started") == 1
    assert stage.ledger.calls == [("it", "gently")]
    [made] = result_of(run, "work").tool_executions
    assert (made.tool_args_json, made.result_json) == ('{"what":"it"}', '"did it"')


def skipped(stage: Scene, run: v1.Run, closed: v1.Requirement, happened: list[str]) -> None:
    assert run.state == v1.RUN_STATE_COMPLETED
    assert closed.resolution.HasField("skip")
    assert "step_skipped" in happened
    result = result_of(run, "work")
    assert result.outcome == v1.STEP_OUTCOME_SKIPPED
    assert not result.HasField("error")
    assert (stage.ledger.calls, stage.seen) == ([], [(None, [])])


def failed(stage: Scene, run: v1.Run, closed: v1.Requirement, happened: list[str]) -> None:
    assert run.state == v1.RUN_STATE_FAILED
    assert closed.resolution.fail.message == TOO_LATE
    assert (run.error.reason, run.error.message) == ("REQUIREMENT_EXPIRED", TOO_LATE)
    # A question that nobody answered is not asked again by a retry.
    assert happened.count("step_started") == 0
    result = result_of(run, "work")
    assert (result.outcome, result.error) == (v1.STEP_OUTCOME_FAILED, run.error)
    assert (stage.ledger.calls, stage.seen) == ([], [])


# Who is there, and where.


@pytest.mark.parametrize("span", [90, 90.0, timedelta(minutes=1.5)])
async def test_a_timeout_is_in_seconds_or_a_span_of_time(database_url: str, span: Any) -> None:
    clock, stage = Clock(), scene(timeout=span)
    async with clock.serving(stage.app, database_url) as service:
        asked = only(await service.run("Work"))
        listed = (await service.workflows.ListExecutors(v1.ListExecutorsRequest())).executors
        [act] = next(one for one in listed if one.ref.executor_id == "worker").tools
    assert asked.expire_time.ToDatetime(UTC) == clock.after(90)
    assert act.timeout.ToTimedelta() == timedelta(seconds=90)
    assert act.on_timeout == v1.ON_TIMEOUT_CANCEL


async def test_without_a_timeout_a_question_waits_for_ever(database_url: str) -> None:
    clock, ledger = Clock(), Ledger()
    app = app_of(Step(name="work", agent=agent([call("act"), "done"], ledger.gated())))
    async with clock.serving(app, database_url) as service:
        paused = await service.run("Work")
        assert not only(paused).HasField("expire_time")
        assert only(paused).on_timeout == v1.ON_TIMEOUT_UNSPECIFIED
        clock.pass_by(10 * 366 * 24 * 3_600)
        async with untouched(service, paused):
            await fire(service)


async def test_the_reason_of_a_cancelled_run_names_tool_and_step(database_url: str) -> None:
    clock, stage = Clock(), scene()
    async with clock.serving(stage.app, database_url) as service:
        ended = await expired(service, clock, await service.run("Work"))
        last = (await service.events(ended))[-1].workflow_cancelled
    assert last.reason == "nobody answered the question about the tool 'act' of step 'work' in time"
    assert last.cancelled_by == ""


@pytest.mark.parametrize("on_timeout", ["cancel", "reject", "approve"])
async def test_any_server_lets_a_question_expire(database_url: str, on_timeout: str) -> None:
    clock, stage = Clock(), scene(on_timeout=on_timeout)
    async with clock.serving(stage.app, database_url, servers=2) as service:
        first, second = service.replicas
        paused = await first.run("Work")
        clock.pass_by(60)
        await second.runtime.fire_timers()
        ended = await rest(first, paused)
        await first.runtime.fire_timers()
        assert kinds(await service.events(ended)).count("requirement_expired") == 1
    assert ended.state != v1.RUN_STATE_PAUSED
    assert stage.ledger.calls == ([("it", "gently")] if on_timeout == "approve" else [])


async def test_the_clock_approves_nothing_that_the_model_wrote_where_only_people_write(
    database_url: str,
) -> None:
    """The model is not shown that field, and nobody has seen what it made up for it."""
    clock, ledger = Clock(), Ledger()
    act = timed(ledger, "requires_user_input", on_timeout="approve")
    app = agent_app([call("act", what="it", how="brutally"), "done"], act)
    async with clock.serving(app, database_url) as service:
        ended = await expired(service, clock, await service.run("Work"))
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == [("it", "gently")]


async def test_servers_that_all_look_at_once_approve_once(database_url: str) -> None:
    clock, stage = Clock(), scene(on_timeout="approve")
    async with clock.serving(stage.app, database_url, servers=3) as service:
        paused = [await service.run("Work") for _ in range(5)]
        clock.pass_by(60)
        every = [one.runtime.fire_timers() for one in service.replicas for _ in range(3)]
        await asyncio.gather(*every)
        for run in paused:
            ended = await rest(service, run)
            assert ended.state == v1.RUN_STATE_COMPLETED
            assert kinds(await service.events(ended)).count("requirement_expired") == 1
    assert stage.ledger.calls == [("it", "gently")] * 5


@pytest.mark.parametrize("on_timeout", ["cancel", "reject", "approve", "skip", "fail"])
async def test_a_question_expires_after_a_restart(database_url: str, on_timeout: str) -> None:
    """The time counts from the question, wherever the process was meanwhile."""
    clock, stage = Clock(), scene(on_timeout=on_timeout)
    async with clock.serving(stage.app, database_url) as service:
        paused = await service.run("Work")
    clock.pass_by(59)
    async with clock.serving(stage.app, database_url) as service, untouched(service, paused):
        await fire(service)
    clock.pass_by(1)
    async with clock.serving(stage.app, database_url) as service:
        await fire(service)
        ended = await rest(service, paused)
    assert ended.state in (
        v1.RUN_STATE_COMPLETED,
        v1.RUN_STATE_CANCELLED if on_timeout == "cancel" else v1.RUN_STATE_FAILED,
    )
    assert stage.ledger.calls == ([("it", "gently")] if on_timeout == "approve" else [])


async def test_what_happens_was_said_when_it_was_asked(database_url: str) -> None:
    """Code that has become more lenient since does not say yes to what was asked before."""
    clock, before, after = Clock(), scene(on_timeout="reject"), scene(on_timeout="approve")
    async with clock.serving(before.app, database_url) as service:
        paused = await service.run("Work")
    async with clock.serving(after.app, database_url) as service:
        ended = await expired(service, clock, paused)
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert before.ledger.calls == after.ledger.calls == []
    assert result_of(ended, "work").tool_executions[0].error_message == TOO_LATE


# What happens then.


async def test_a_step_that_fails_like_this_is_skipped_where_it_says_so(database_url: str) -> None:
    clock, stage = Clock(), scene(on_timeout="fail", on_error="skip")
    async with clock.serving(stage.app, database_url) as service:
        ended = await expired(service, clock, await service.run("Work"))
    assert ended.state == v1.RUN_STATE_COMPLETED
    result = result_of(ended, "work")
    assert (result.outcome, result.error.reason) == (
        v1.STEP_OUTCOME_SKIPPED,
        "REQUIREMENT_EXPIRED",
    )
    assert (stage.ledger.calls, stage.seen) == ([], [(None, [])])


def responding(ledger: Ledger, *on_timeouts: str | None) -> Interlock:
    """One response with several gated calls, each with its own fate; `None` waits for ever."""
    tools = [
        tool(
            name=f"act{number}",
            requires_confirmation=True,
            timeout=60 if fate else None,
            on_timeout=fate,  # type: ignore[arg-type]
        )(ledger.free().function)
        for number, fate in enumerate(on_timeouts, start=1)
    ]
    calls = [call(one.name, what=one.name) for one in tools]
    return app_of(Step(name="work", agent=agent([calls, "done"], *tools)))


@pytest.mark.parametrize("fates", [("approve", "skip"), ("skip", "approve"), ("approve", "fail")])
async def test_nothing_gated_runs_when_one_of_the_calls_ends_the_step(
    database_url: str, fates: Sequence[str]
) -> None:
    clock, ledger = Clock(), Ledger()
    async with clock.serving(responding(ledger, *fates), database_url) as service:
        ended = await expired(service, clock, await service.run("Work"))
        happened = kinds(await service.events(ended))
    assert happened.count("requirement_expired") == 2
    assert ledger.calls == []
    assert result_of(ended, "work").outcome == (
        v1.STEP_OUTCOME_FAILED if "fail" in fates else v1.STEP_OUTCOME_SKIPPED
    )


async def test_calls_that_all_expire_as_a_yes_run_once_in_call_order(database_url: str) -> None:
    clock, ledger = Clock(), Ledger()
    app = responding(ledger, "approve", "reject", "approve")
    async with clock.serving(app, database_url) as service:
        ended = await expired(service, clock, await service.run("Work"))
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == ["act1", "act3"]


@pytest.mark.parametrize("fate", ["approve", "skip", "fail"])
async def test_what_expired_waits_for_the_other_calls_of_its_response(
    database_url: str, fate: str
) -> None:
    clock, ledger = Clock(), Ledger()
    async with clock.serving(responding(ledger, fate, None), database_url) as service:
        paused = await service.run("Work")
        clock.pass_by(60)
        await fire(service)
        still = await get(service, paused)
        assert still.state == v1.RUN_STATE_PAUSED
        other = only(still)
        assert other.tool_execution.tool_name == "act2"
        assert ledger.calls == []
        ended = await service.resolve(still, confirm(other))
    assert ledger.calls == (["act1", "act2"] if fate == "approve" else [])
    assert ended.state == (v1.RUN_STATE_FAILED if fate == "fail" else v1.RUN_STATE_COMPLETED)


async def test_cancelling_closes_what_else_is_asked(database_url: str) -> None:
    clock, ledger = Clock(), Ledger()
    async with clock.serving(responding(ledger, "cancel", None), database_url) as service:
        paused = await service.run("Work")
        ended = await expired(service, clock, paused)
        assert ended.state == v1.RUN_STATE_CANCELLED
        states = [(await requirement_now(service, one)).state for one in open_requirements(paused)]
    assert states == [v1.REQUIREMENT_STATE_EXPIRED, v1.REQUIREMENT_STATE_CANCELLED]


# In teams and branches.


@pytest.mark.parametrize("on_timeout", ["cancel", "reject", "approve", "skip", "fail"])
async def test_the_call_of_a_member_expires(database_url: str, on_timeout: str) -> None:
    clock, ledger = Clock(), Ledger()
    model = Listening([call("act", what="it"), "the member is done"])
    act = timed(ledger, on_timeout=on_timeout)
    member = Agent(name="Ann", model=model, tools=[act])
    turns = [call("delegate_task_to_member", member_name="Ann", task="do"), "all done"]
    leader = agent(turns)
    team = Team(name="crew", model=leader.model, members=[member])
    async with clock.serving(app_of(Step(name="work", team=team)), database_url) as service:
        paused = await service.run("Work")
        assert list(only(paused).member_path) == ["Ann"]
        ended = await expired(service, clock, paused)
        last = (await service.events(ended))[-1]
    assert ledger.calls == ([("it", "gently")] if on_timeout == "approve" else [])
    match on_timeout:
        case "cancel":
            assert "'act'" in last.workflow_cancelled.reason
            assert "'work'" in last.workflow_cancelled.reason
        case "fail":
            assert ended.error.reason == "REQUIREMENT_EXPIRED"
        case "skip":
            assert result_of(ended, "work").outcome == v1.STEP_OUTCOME_SKIPPED
        case _:
            assert ended.output_json == '"all done"'
            assert [one.is_refusal for one in model.told] == [on_timeout == "reject"]


def branches(ledger: Ledger, other: Step, **more: Any) -> Interlock:
    """A branch whose call waits a minute, beside another one."""
    timed_one = Step(
        name="timed", agent=agent([call("act", what="it"), "done"], timed(ledger, **more))
    )
    return app_of(Parallel(timed_one, other, name="both"))


@pytest.mark.parametrize("on_timeout", ["reject", "approve", "skip"])
async def test_a_branch_expires_while_another_one_waits(database_url: str, on_timeout: str) -> None:
    clock, ledger, others = Clock(), Ledger(), Ledger()
    other = Step(name="other", agent=agent([call("act"), "done"], others.gated(), name="patient"))
    app = branches(ledger, other, on_timeout=on_timeout)
    async with clock.serving(app, database_url) as service:
        paused = await service.run("Work")
        assert len(open_requirements(paused)) == 2
        again = await expired(service, clock, paused)
        assert only(again).step.name == "other"
        outcome = result_of(again, "timed").outcome
        assert (outcome == v1.STEP_OUTCOME_SKIPPED) == (on_timeout == "skip")
        assert kinds(await service.events(again))[-1] == "workflow_paused"
        ended = await service.resolve(again, confirm(only(again)))
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == ([("it", "gently")] if on_timeout == "approve" else [])
    assert others.calls == [""]


@pytest.mark.parametrize("on_timeout", ["cancel", "reject", "approve", "skip", "fail"])
async def test_a_branch_expires_while_another_one_runs(database_url: str, on_timeout: str) -> None:
    clock, ledger, point = Clock(), Ledger(), Point()
    other = Step(name="other", agent=agent([call("hold"), "done"], point.tool(), name="busy"))
    app = branches(ledger, other, on_timeout=on_timeout)
    async with clock.serving(app, database_url) as service:
        run = await start(service)
        await point.entered.wait()
        shown = await pending(service, run)
        clock.pass_by(60)
        await fire(service)
        assert (await get(service, run)).state == v1.RUN_STATE_RUNNING
        assert (await requirement_now(service, shown)).state == v1.REQUIREMENT_STATE_EXPIRED
        point.released.set()
        ended = await rest(service, run)
        happened = await service.events(ended)
    assert [kind_of(one) for one in happened if kind_of(one) in LAST_KINDS] == [
        kind_of(happened[-1])
    ]
    states = {"cancel": v1.RUN_STATE_CANCELLED, "fail": v1.RUN_STATE_FAILED}
    assert ended.state == states.get(on_timeout, v1.RUN_STATE_COMPLETED)
    assert ledger.calls == ([("it", "gently")] if on_timeout == "approve" else [])
    assert point.passed == 1
    if on_timeout == "cancel":  # The effect under way ended; nothing began after it.
        assert "step_completed" not in kinds(happened)


async def pending(service: Served, run: v1.Run) -> v1.Requirement:
    """What a running run waits for in one of its branches, as soon as it is stored."""
    request = v1.ListRequirementsRequest(filter=v1.RequirementFilter(run_id=run.run_id))
    async with asyncio.timeout(10):
        while not (found := (await service.requirements.ListRequirements(request)).requirements):
            await asyncio.sleep(0.005)
    return found[0]


# People and the clock.


@pytest.mark.parametrize("on_timeout", ["cancel", "reject", "approve", "skip", "fail"])
async def test_a_person_who_is_first_decides(database_url: str, on_timeout: str) -> None:
    """The time is over, and nobody has looked at the clock yet: a late answer is an answer."""
    clock, stage = Clock(), scene(on_timeout=on_timeout)
    async with clock.serving(stage.app, database_url) as service:
        paused = await service.run("Work")
        await resolve_one(service, reject(only(paused), "no"), hold_run=True)
        clock.pass_by(60)
        held = await get(service, paused)
        async with untouched(service, held):
            await fire(service)
        ended = await service.resolve(held)
        assert "requirement_expired" not in kinds(await service.events(ended))
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert stage.model.told[0].text == "no"
    assert stage.ledger.calls == []


async def test_whoever_is_late_is_told_and_changes_nothing(database_url: str) -> None:
    clock, stage = Clock(), scene(on_timeout="reject")
    async with clock.serving(stage.app, database_url) as service:
        paused = await service.run("Work")
        asked = only(paused)
        ended = await expired(service, clock, paused)
        async with untouched(service, ended):
            for answer in (confirm(asked), reject(asked), reject(asked, TOO_LATE)):
                problems = [
                    await refused(resolve_one(service, answer)),
                    await refused(service.resolve(paused, answer)),
                    await refused(Caller(service, streams=True).resolve(paused, answer)),
                ]
                assert {one.reason for one in problems} == {"REQUIREMENT_EXPIRED"}
                assert {"PreconditionFailure" in one.details for one in problems} == {True}
    assert stage.ledger.calls == []


async def test_of_people_and_the_clock_one_decides(database_url: str) -> None:
    """The clock looks a little later each time, until both have won."""
    clock, stage = Clock(), scene(on_timeout="reject")
    wins = {"person": 0, "clock": 0}
    async with clock.serving(stage.app, database_url, servers=2) as service:
        for delay in range(60):
            paused = await service.run("Work")
            asked = only(paused)
            clock.pass_by(60)
            answering = asyncio.ensure_future(told_of(resolve_one(service, confirm(asked))))
            for _ in range(delay):
                await asyncio.sleep(0)
            await fire(service)
            refused_with = await answering
            wins["clock" if refused_with else "person"] += 1
            ended = await rest(service, paused)
            closed = await requirement_now(service, asked)
            happened = kinds(await service.events(ended))
            decisions = [one for one in happened if one in DECISIONS]
            if refused_with is not None:
                assert refused_with.reason == "REQUIREMENT_EXPIRED"
                assert closed.state == v1.REQUIREMENT_STATE_EXPIRED
                assert decisions == ["requirement_expired"]
            else:
                assert closed.state == v1.REQUIREMENT_STATE_RESOLVED
                assert decisions == ["requirement_resolved"]
            assert len(stage.ledger.calls) == wins["person"]
            if all(wins.values()):
                return
    raise AssertionError(f"no race: {wins}")


# The inbox.


async def test_the_inbox_lists_and_shows_what_expired(database_url: str) -> None:
    clock, stage = Clock(), scene(on_timeout="skip")
    async with clock.serving(stage.app, database_url) as service:
        waiting = only(await service.run("Work"))
        stream = service.requirements.WatchRequirements(v1.WatchRequirementsRequest())
        messages = aiter(stream)
        assert (await anext(messages)).requirement == waiting
        clock.pass_by(60)
        await fire(service)
        async with asyncio.timeout(10):
            changed = (await anext(messages)).requirement
        stream.cancel()
        assert changed == await requirement_now(service, waiting)
        assert changed.state == v1.REQUIREMENT_STATE_EXPIRED
        assert changed.etag != waiting.etag
        for states, expected in (
            ([v1.REQUIREMENT_STATE_EXPIRED], [changed]),
            ([v1.REQUIREMENT_STATE_EXPIRED, v1.REQUIREMENT_STATE_PENDING], [changed]),
            ([v1.REQUIREMENT_STATE_RESOLVED], []),
            ([], []),
        ):
            selected = v1.RequirementFilter(states=states)
            request = v1.ListRequirementsRequest(filter=selected)
            found = await service.requirements.ListRequirements(request)
            assert list(found.requirements) == expected


async def test_a_continue_stream_ends_at_the_pause_that_a_timer_makes(database_url: str) -> None:
    """One call expires, the next one of the same agent asks: that is a leg of its own."""
    clock, ledger = Clock(), Ledger()
    act = timed(ledger, on_timeout="reject")
    turns = [call("act", what="a"), call("act", what="b"), "done"]
    async with clock.serving(app_of(agent(turns, act)), database_url) as service:
        paused = await service.run("Work")
        request = v1.WatchRunRequest(
            run_id=paused.run_id,
            after_sequence=paused.last_sequence,
            end_on_pause=True,
            stream_options=STORED,
        )
        # Whoever watches a run that is paused already is done at once.
        assert await events_of(service.runs.WatchRun(request)) == []
        request.end_on_pause = False
        watching = asyncio.ensure_future(responses(service.runs.WatchRun(request)))
        again = await expired(service, clock, paused)
        second = only(again)
        assert second.tool_execution.tool_args_json == '{"what":"b"}'
        assert second.expire_time.ToDatetime(UTC) == clock.after(60)
        ended = await expired(service, clock, again)
        seen = [event for one in await watching for event in one.events.events]
        assert seen == (await service.events(ended))[paused.last_sequence :]
    assert kinds(seen).count("requirement_expired") == 2
    assert kinds(seen).count("workflow_paused") == 1
    assert ledger.calls == []


# Code that is not here.


async def test_what_a_server_has_no_code_for_waits_for_one_that_has_it(database_url: str) -> None:
    clock, ledger, other = Clock(), Ledger(), Ledger()
    turns = [call("act", what="it"), "done"]
    elsewhere = agent(turns, timed(other), name="other")

    def app(*tools: Tool) -> Interlock:
        work = Step(name="work", agent=agent(turns, *tools))
        return Interlock(
            [Workflow(name="Work", steps=[work]), Workflow(name="Other", steps=[elsewhere])]
        )

    complete = app(timed(ledger, on_timeout="approve"))
    async with clock.serving(complete, database_url) as service:
        paused = await service.run("Work")
    async with clock.serving(app(), database_url) as service:
        second = await service.run("Other")
        clock.pass_by(60)
        lacking = await get(service, paused)
        assert lacking.missing_executor == "worker.act"
        async with untouched(service, lacking):
            await fire(service)
            await fire(service)
        # It keeps nobody else from their turn.
        assert (await get(service, second)).state == v1.RUN_STATE_CANCELLED
    async with clock.serving(complete, database_url) as service:
        await fire(service)
        ended = await rest(service, paused)
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == [("it", "gently")]
