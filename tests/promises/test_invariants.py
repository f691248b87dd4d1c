"""What must never happen here, each with the number it has in the list of invariants (INV-n).

Leases and fences of runs (INV-27) are in tests/store/test_runs.py, and crashes
with approvals in flight (INV-23) in tests/oracle/test_crashes.py.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from sqlalchemy import text
from tests.support.claims import SECONDS, claim, claimed, one_call, renew, report
from tests.support.clock import Clock
from tests.support.service import Served, confirm, open_requirements, reject, served
from tests.support.workbench import (
    Caller,
    Ledger,
    Point,
    agent,
    agent_app,
    app_of,
    get,
    kinds,
    only,
    refused,
    resolve_one,
    rest,
    result_of,
    start,
)

from interlock import v1
from interlock_server import Agent, Parallel, RunContext, ScriptedModel, Step, Team, call, tool
from interlock_server.authoring.conversation import ModelRequest, ModelTurn, ToolResults

FAILED = grpc.StatusCode.FAILED_PRECONDITION
ONE_CALL: list[Any] = [call("act", what="x"), "done"]


async def first_asked(service: Served, run: v1.Run) -> v1.Requirement:
    """What a run asks first, as soon as it asks."""
    stream = service.runs.WatchRun(v1.WatchRunRequest(run_id=run.run_id))
    async for one in stream:
        for event in one.events.events:
            if event.HasField("step_executor_paused"):
                stream.cancel()
                step = event.step_executor_paused.step_requirement
                return step.executor_requirements[0]
    raise AssertionError("the run asks nothing")


async def test_a_pause_stands_whatever_becomes_of_the_call_that_met_it(database_url: str) -> None:
    """INV-1, INV-2: a torn-down call left a cancelled executor under a paused workflow."""
    ledger = Ledger()
    async with served(agent_app(ONE_CALL, ledger.gated()), database_url) as service:
        stream = service.runs.RunStream(v1.RunStreamRequest(spec=v1.RunSpec(workflow_id="Work")))
        run_id = ""
        async for one in stream:
            if kinds(list(one.events.events))[-1] == "workflow_paused":
                run_id = one.events.events[-1].run_id
                stream.cancel()
                break
        paused = await get(service, run_id)
        assert paused.state == v1.RUN_STATE_PAUSED
        ended = await service.resolve(paused, confirm(only(paused)))
    assert ended.state == v1.RUN_STATE_COMPLETED


async def test_a_cancel_that_was_acknowledged_stops_the_next_effect(database_url: str) -> None:
    """INV-3: a cancel had no effect while a run was being continued."""
    ledger, point = Ledger(), Point()
    turns: list[Any] = [call("act", what="1"), call("hold"), call("act", what="2"), "done"]
    app = agent_app(turns, ledger.gated(), point.tool())
    async with served(app, database_url) as service:
        paused = await service.run("Work")
        await resolve_one(service, confirm(only(paused)))
        await point.entered.wait()
        await service.runs.CancelRun(v1.CancelRunRequest(run_id=paused.run_id))
        point.released.set()
        ended = await rest(service, paused)
    assert ended.state == v1.RUN_STATE_CANCELLED
    assert ledger.calls == ["1"]


async def test_the_next_pause_has_requirements_of_its_own(database_url: str, streams: bool) -> None:
    """INV-4: the pause after a continue had none, or showed the old one."""
    ledger = Ledger()
    turns: list[Any] = [call("act", what="1"), call("act", what="2"), "done"]
    async with served(agent_app(turns, ledger.gated()), database_url) as service:
        caller = Caller(service, streams)
        first = await caller.run()
        second = await caller.resolve(first, confirm(only(first)))
        assert only(second).requirement_id != only(first).requirement_id
        assert only(second).tool_execution.tool_args_json == '{"what":"2"}'


async def test_state_that_resumed_work_writes_is_kept(database_url: str, streams: bool) -> None:
    """INV-5, INV-6: writes after the resume were lost, and the user was unknown."""

    @tool(requires_confirmation=True)
    def act(run_context: RunContext) -> str:
        run_context.session_state["acted"] = run_context.run_id
        return "acted"

    async with served(agent_app([call("act"), "done"], act), database_url) as service:
        caller = Caller(service, streams)
        paused = await caller.run(session_id="s")
        await caller.resolve(paused, confirm(only(paused)))
        request = v1.GetSessionRequest(session_id="s")
        session = (await service.sessions.GetSession(request)).session
    assert session.state_json == f'{{"acted":"{paused.run_id}"}}'


async def test_part_of_the_answers_loses_nothing(database_url: str, streams: bool) -> None:
    """INV-7, INV-15: a subset orphaned the rest, and what was done was done again."""
    ledger = Ledger()
    turn = [call("look", what="free"), *(call("act", what=one) for one in "abc")]
    app = agent_app([turn, "done"], ledger.gated(), ledger.free())
    async with served(app, database_url) as service:
        caller = Caller(service, streams)
        run = await caller.run()
        for position in (2, 0, 0):
            assert ledger.calls == ["free"]
            run = await caller.resolve(run, confirm(open_requirements(run)[position]))
    assert run.state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == ["free", "a", "b", "c"]


async def test_a_stale_copy_revives_nothing(database_url: str) -> None:
    """INV-8: it re-executed a tool, or un-cancelled a run."""
    ledger = Ledger()
    async with served(agent_app(ONE_CALL, ledger.gated()), database_url) as service:
        stale, cancelled = await service.run("Work"), await service.run("Work")
        ended = await service.resolve(stale, confirm(only(stale)))
        assert await service.resolve(stale, confirm(only(stale))) == ended
        refusal = await refused(service.resolve(stale, reject(only(stale))))
        assert refusal.reason == "REQUIREMENT_ALREADY_RESOLVED"
        await service.runs.CancelRun(v1.CancelRunRequest(run_id=cancelled.run_id))
        refusal = await refused(service.resolve(cancelled, confirm(only(cancelled))))
        assert refusal.reason == "REQUIREMENT_CANCELLED"
    assert ledger.calls == ["x"]


async def test_where_a_run_paused_is_recorded_and_not_guessed(database_url: str) -> None:
    """INV-9: the first agent of a container was taken for the one that paused."""
    ledger = Ledger()

    def step(name: str) -> Step:
        return Step(name=name, agent=agent(ONE_CALL, ledger.gated(), name=f"agent {name}"))

    both = Parallel(step("a"), step("b"), name="both")
    async with served(app_of(both), database_url) as service:
        paused = await service.run("Work")
    shown = [
        (list(one.step.path), one.executor_name, one.executor_run_id)
        for one in paused.step_requirements
    ]
    assert shown == [
        (["both", "a"], "agent a", "both/a@1"),
        (["both", "b"], "agent b", "both/b@1"),
    ]


async def test_a_failure_after_the_resume_keeps_the_record_of_what_happened(
    database_url: str, streams: bool
) -> None:
    """INV-11: the snapshot of the pause replaced it."""
    ledger = Ledger()
    async with served(agent_app([call("act", what="x")], ledger.gated()), database_url) as service:
        caller = Caller(service, streams)
        paused = await caller.run()
        failed = await caller.resolve(paused, confirm(only(paused)))
        events = await service.events(failed)
    assert failed.state == v1.RUN_STATE_FAILED
    [done] = [one.tool_call_completed for one in events if one.HasField("tool_call_completed")]
    assert done.tool_execution.result_json == '"did x"'
    assert ledger.calls == ["x"]


async def test_what_a_call_was_when_it_was_made_it_stays(database_url: str, streams: bool) -> None:
    """INV-12: that a tool ends the agent was forgotten over the pause."""

    @tool(requires_confirmation=True, stop_after_tool_call=True)
    def act() -> str:
        return "the end"

    async with served(agent_app([call("act")], act), database_url) as service:
        caller = Caller(service, streams)
        paused = await caller.run()
        ended = await caller.resolve(paused, confirm(only(paused)))
    assert ended.output_json == '"the end"'


async def test_every_call_is_answered_once_and_in_order_in_what_the_model_reads(
    database_url: str, streams: bool
) -> None:
    """INV-13, INV-20: a turn was doubled, and free calls were left out after a rejection."""
    requests: list[ModelRequest] = []

    class Watched(ScriptedModel):
        async def request(self, request: ModelRequest, on_text: Any = None) -> ModelTurn:
            requests.append(request)
            return await super().request(request, on_text)

    ledger = Ledger()
    turn = [call("act", what="1"), call("look"), call("act", what="2"), call("nothing")]
    worker = Agent(
        name="w", model=Watched([turn, turn, "done"]), tools=[ledger.gated(), ledger.free()]
    )
    async with served(app_of(Step(name="work", agent=worker)), database_url) as service:
        caller = Caller(service, streams)
        run = await caller.run()
        for _ in range(2):
            one, two = open_requirements(run)
            run = await caller.resolve(run, confirm(one), reject(two, "no"))
    assert len(requests) == 3
    [_, *exchanges] = requests[-1].messages
    for said, heard in zip(exchanges[::2], exchanges[1::2], strict=True):
        assert isinstance(said, ModelTurn)
        assert isinstance(heard, ToolResults)
        ids = [one.tool_call_id for one in said.tool_calls]
        assert [one.tool_call_id for one in heard.results] == ids
        assert [one.is_error for one in heard.results] == [False, False, True, True]


async def test_requirements_of_one_response_have_ids_of_their_own_and_come_together(
    database_url: str,
) -> None:
    """INV-16: parallel calls shared one id, and only the first was shown."""
    ledger = Ledger()
    same = [call("act", what="same")] * 3
    app = agent_app([same, "done"], ledger.gated())
    async with served(app, database_url) as service:
        runs = [await service.run("Work") for _ in range(2)]
    ids = [one.requirement_id for run in runs for one in open_requirements(run)]
    assert len(set(ids)) == 6


async def test_what_was_resolved_is_never_shown_as_open_again(database_url: str) -> None:
    """INV-17: resolved interrupts kept firing."""
    ledger = Ledger()

    def step(name: str) -> Step:
        return Step(name=name, agent=agent(ONE_CALL, ledger.gated(), name=name))

    async with served(app_of(Parallel(step("a"), step("b"), name="p")), database_url) as service:
        paused = await service.run("Work")
        first, second = open_requirements(paused)
        again = await service.resolve(paused, confirm(first))
        events = await service.events(again)
    assert only(again).requirement_id == second.requirement_id
    asked = [
        one.requirement_id
        for event in events
        for step in [event.step_executor_paused.step_requirement]
        for one in step.executor_requirements
    ]
    assert sorted(asked) == sorted([first.requirement_id, second.requirement_id])
    last = events[-1].workflow_paused.step_requirements
    assert [one.requirement_id for group in last for one in group.executor_requirements] == [
        second.requirement_id
    ]


async def test_a_watcher_begins_with_the_run_as_it_is_and_misses_nothing_after_it(
    database_url: str,
) -> None:
    """INV-18: a pause was not in the state, or never shown to who came later."""
    ledger = Ledger()
    async with served(agent_app(ONE_CALL, ledger.gated()), database_url) as service:
        paused = await service.run("Work")
        stream = service.runs.WatchRun(
            v1.WatchRunRequest(run_id=paused.run_id, after_sequence=paused.last_sequence)
        )
        messages = aiter(stream)
        first = await anext(messages)
        assert only(first.snapshot) == only(paused)
        await resolve_one(service, confirm(only(paused)))
        rest_of_it = [event async for one in messages for event in one.events.events]
        ended = await get(service, paused)
    stored = [one for one in rest_of_it if not one.HasField("content_delta")]
    expected = list(range(paused.last_sequence + 1, ended.last_sequence + 1))
    assert [one.sequence for one in stored] == expected


async def test_without_a_recorded_yes_nothing_gated_runs(database_url: str) -> None:
    """INV-19, INV-21: rejected calls ran; an approval counted for another call of the tool."""
    ledger = Ledger()
    turns: list[Any] = [call("act", what="first"), call("act", what="first"), "done"]
    async with served(agent_app(turns, ledger.gated()), database_url) as service:
        paused = await service.run("Work")
        again = await service.resolve(paused, confirm(only(paused)))
        assert ledger.calls == ["first"]
        assert again.state == v1.RUN_STATE_PAUSED, "the same call again is another call"
        await service.resolve(again, reject(only(again)))
    assert ledger.calls == ["first"]


async def test_a_run_goes_on_the_same_in_another_process_at_any_depth(
    database_url: str, streams: bool
) -> None:
    """INV-22, INV-24: an approval was not honoured after a reload, or two levels down."""
    ledger = Ledger()

    def delegate(name: str) -> Any:
        return call("delegate_task_to_member", member_name=name, task="go")

    def app() -> Any:
        clerk = agent([*ONE_CALL[:1], *ONE_CALL], ledger.gated(), name="clerk")
        desk = Team(name="desk", model=ScriptedModel([delegate("clerk"), "ok"]), members=[clerk])
        crew = Team(name="crew", model=ScriptedModel([delegate("desk"), "all"]), members=[desk])
        return app_of(Step(name="work", team=crew))

    async with served(app(), database_url) as service:
        run = await Caller(service, streams).run()
    for _ in range(2):
        async with served(app(), database_url) as service:
            run = await Caller(service, streams).resolve(run, confirm(only(run)))
    assert run.output_json == '"all"'
    assert ledger.calls == ["x", "x"]


async def test_a_client_names_a_requirement_and_nothing_else(database_url: str) -> None:
    """INV-25: a client forged the request with its approval, and ran any tool."""
    ledger = Ledger()
    fields = {one.name for one in v1.RequirementResolution.DESCRIPTOR.fields}
    assert not {"tool_name", "tool_args_json", "tool_execution"} & fields
    async with served(agent_app(ONE_CALL, ledger.gated()), database_url) as service:
        paused = await service.run("Work")
        forged = v1.RequirementResolution(requirement_id="made up", confirm=v1.Confirmation())
        refusal = await refused(service.resolve(paused, forged))
    assert refusal.reason == "REQUIREMENT_NOT_FOUND"
    assert ledger.calls == []


async def test_a_call_is_one_workers_and_a_dead_worker_holds_nothing_up(database_url: str) -> None:
    """INV-26: a lost reply blocked a job for hours, and one whose time was over was done twice."""
    clock = Clock()
    async with clock.serving(one_call(), database_url, servers=3) as service:
        paused = await service.run("Work")
        # The reply is lost, and the worker asks again.
        held = await claimed(service, worker="slow", request_id="r")
        assert (await claimed(service, worker="slow", request_id="r")).claim.epoch == 1
        for _ in range(10):
            clock.pass_by(SECONDS - 1)
            await renew(service, held)
            assert await claim(service, worker="quick") is None
        # It dies, and another one does the work; then it comes back from the dead.
        clock.pass_by(SECONDS)
        taken = await claimed(service, worker="quick")
        assert (taken.requirement_id, taken.claim.epoch) == (held.requirement_id, 2)
        for told in (renew(service, held), report(service, held, '"slow"')):
            assert (await refused(told)).reason == "CLAIM_LOST"
        await report(service, taken, '"quick"')
        assert (await refused(report(service, held, '"slow"'))).code is FAILED
        ended = await rest(service, paused)
    [made] = result_of(ended, "work").tool_executions
    assert made.result_json == '"quick"'


@pytest.mark.parametrize("twice", ["at once", "one after the other", "after the end"])
async def test_early_double_and_late_decisions_have_one_outcome(
    database_url: str, twice: str
) -> None:
    """INV-28: they were lost, or counted twice."""
    ledger, point = Ledger(), Point()
    branch = Step(name="free", executor=point.step)
    gated = Step(name="gated", agent=agent(ONE_CALL, ledger.gated()))
    async with served(app_of(Parallel(branch, gated, name="p")), database_url) as service:
        run = await start(service)
        await point.entered.wait()
        # The run has not paused yet: the other branch is at work.
        early = confirm(await first_asked(service, run))
        await resolve_one(service, early)
        if twice == "at once":
            await asyncio.gather(*(resolve_one(service, early) for _ in range(5)))
        if twice == "one after the other":
            await resolve_one(service, early)
        point.released.set()
        ended = await rest(service, run)
        if twice == "after the end":
            await resolve_one(service, early)
        [[decided]] = await service.runtime.database.fetch(
            text("SELECT count(*) FROM requirements WHERE state = 2")
        )
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert (ledger.calls, decided) == (["x"], 1)
