"""Runs that wait for code: they say what is missing, refuse to go on, and go on where it is."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from tests.support.clock import Clock
from tests.support.service import Served, confirm, open_requirements, reject, served
from tests.support.workbench import (
    Caller,
    Ledger,
    Point,
    agent,
    app_of,
    get,
    hand_over,
    only,
    refused,
    resolve_one,
    rest,
    result_of,
    untouched,
)

from interlock import v1
from interlock_server import Interlock, Parallel, Step, Team, Workflow, call
from interlock_server.runtime.runtime import Timing


def function_here(given: Any) -> str:
    return "here"


def asking(ledger: Ledger, *more: Step, tools: bool = True, name: str = "worker") -> Interlock:
    """An agent that asks about a call, then other steps."""
    given = [ledger.gated()] if tools else []
    worker = agent([call("act", what="it"), "done"], *given, name=name)
    return app_of(Step(name="work", agent=worker), *more)


async def stuck(service: Served, **selected: Any) -> list[str]:
    """The ids of the runs that a server shows as stuck."""
    request = v1.ListRunsRequest(filter=v1.RunFilter(stuck=True, **selected))
    found = (await service.runs.ListRuns(request)).runs
    assert all(one.missing_executor for one in found)
    return [one.run_id for one in found]


async def assert_refused(service: Served, run: v1.Run, missing: str) -> None:
    """Nothing lets the run go on, and nothing that is tried leaves a trace."""
    shown = await get(service, run)
    assert shown.missing_executor == missing
    assert run.run_id in await stuck(service)
    answers = [confirm(one) for one in open_requirements(shown)]
    async with untouched(service, shown):
        problems = [
            await refused(Caller(service, streams).resolve(run, *answers))
            for streams in (False, True)
        ]
    for one in problems:
        assert one.code is grpc.StatusCode.FAILED_PRECONDITION
        assert one.reason == "EXECUTOR_NOT_FOUND"
        assert one.metadata == {"run_id": run.run_id, "name": missing}
        assert "PreconditionFailure" in one.details


AGENT, TOOL, FUNCTION = "agent", "tool", "function"


@pytest.mark.parametrize("gone", [AGENT, TOOL, FUNCTION])
async def test_a_run_that_lacks_code_is_stuck_until_it_is_back(
    database_url: str, gone: str
) -> None:
    ledger = Ledger()
    then = Step(name="then", executor=function_here)
    complete = asking(ledger, then)
    lacking, missing = {
        AGENT: (asking(ledger, then, name="somebody"), "worker"),
        TOOL: (asking(ledger, then, tools=False), "worker.act"),
        FUNCTION: (asking(ledger), f"{__name__}:function_here"),
    }[gone]
    async with served(complete, database_url) as service:
        paused = await service.run("Work")
        assert paused.missing_executor == ""
        assert await stuck(service) == []
    async with served(lacking, database_url) as service:
        await assert_refused(service, paused, missing)
        # What it says of itself does not depend on how one asks.
        listed = (await service.runs.ListRuns(v1.ListRunsRequest())).runs
        assert [one.missing_executor for one in listed] == [missing]
        watched = await anext(
            aiter(service.runs.WatchRun(v1.WatchRunRequest(run_id=paused.run_id)))
        )
        assert watched.snapshot.missing_executor == missing
    async with served(complete, database_url) as service:
        assert await get(service, paused) == paused
        assert await stuck(service) == []
        ended = await service.resolve(paused, confirm(only(paused)))
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == ["it"]


async def test_servers_with_different_code_each_say_what_they_lack(database_url: str) -> None:
    ledger = Ledger()
    async with (
        served(asking(ledger), database_url, servers=1) as complete,
        served(asking(ledger, tools=False), database_url, servers=1) as lacking,
    ):
        paused = await complete.run("Work")
        assert (await get(lacking, paused)).missing_executor == "worker.act"
        assert (await get(complete, paused)).missing_executor == ""
        assert await stuck(lacking) == [paused.run_id]
        assert await stuck(complete) == []
        ended = await complete.resolve(paused, confirm(only(paused)))
        # What has ended needs nothing any more.
        assert await get(lacking, paused) == ended
        assert await stuck(lacking) == []


async def test_a_person_may_say_no_to_a_tool_that_is_gone(database_url: str) -> None:
    """It does not run, so nobody needs it; but the run says that a yes would."""
    ledger = Ledger()
    async with served(asking(ledger), database_url) as service:
        paused = await service.run("Work")
    async with served(asking(ledger, tools=False), database_url) as service:
        ended = await service.resolve(paused, reject(only(paused), "no"))
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert result_of(ended, "work").tool_executions[0].error_message == "no"


async def test_a_held_run_is_refused_too_and_shown_as_stuck(database_url: str) -> None:
    """The yes was given where the tool was, and is kept for where it is."""
    ledger = Ledger()
    async with served(asking(ledger), database_url) as service:
        paused = await service.run("Work")
        await resolve_one(service, confirm(only(paused)), hold_run=True)
    async with served(asking(ledger, tools=False), database_url) as service:
        held = await get(service, paused)
        assert held.state == v1.RUN_STATE_PAUSED
        async with untouched(service, held):
            problem = await refused(service.resolve(paused))
        assert problem.reason == "EXECUTOR_NOT_FOUND"
        assert problem.metadata == {"run_id": paused.run_id, "name": "worker.act"}
        assert ledger.calls == []
        assert held.missing_executor == "worker.act"
        assert await stuck(service) == [paused.run_id]
    async with served(asking(ledger), database_url) as service:
        ended = await service.resolve(paused)
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == ["it"]


async def test_a_running_run_that_lacks_an_approved_tool_is_shown_as_stuck(
    database_url: str,
) -> None:
    """No server can go on with it, and it is not paused: nobody would ever look at it."""
    ledger, point, quick = Ledger(), Point(), Timing(lease=1.0)
    hold = point.tool(requires_confirmation=True)

    def app(*tools: Any) -> Interlock:
        turns: list[Any] = [[call("hold"), call("act", what="it")], "done"]
        return app_of(Step(name="work", agent=agent(turns, *tools)))

    async with served(app(hold, ledger.gated()), database_url, quick, servers=1) as service:
        run = await service.run("Work")
        for one in open_requirements(run):
            await resolve_one(service, confirm(one))
        await point.entered.wait()
        await hand_over(service, point)
    async with served(app(hold), database_url, quick, servers=1) as service:
        await service.runtime.take_over()
        await asyncio.gather(*service.runtime._legs.values())
        shown = await get(service, run)
        assert shown.state == v1.RUN_STATE_RUNNING
        assert shown.missing_executor == "worker.act"
        assert await stuck(service) == [run.run_id]
    async with served(app(hold, ledger.gated()), database_url, quick) as service:
        assert (await rest(service, run)).state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == ["it"]


async def test_what_a_member_lacks_is_named_with_it(database_url: str) -> None:
    ledger = Ledger()

    def crew(*tools: Any) -> Interlock:
        member = agent([call("act", what="it"), "done"], *tools, name="Ann")
        leader = agent([call("delegate_task_to_member", member_name="Ann", task="do"), "well"])
        team = Team(name="crew", model=leader.model, members=[member])
        return app_of(Step(name="work", team=team))

    async with served(crew(ledger.gated()), database_url) as service:
        paused = await service.run("Work")
    async with served(crew(), database_url) as service:
        await assert_refused(service, paused, "Ann.act")
    async with served(crew(ledger.gated()), database_url) as service:
        assert (await service.resolve(paused, confirm(only(paused)))).output_json == '"well"'


async def test_only_what_is_stuck_is_selected_together_with_everything_else(
    database_url: str,
) -> None:
    clock, ledger = Clock(), Ledger()

    def app(*workers: Any) -> Interlock:
        return Interlock([Workflow(name=one.name, steps=[one]) for one in workers])

    def worker(name: str, *tools: Any) -> Any:
        return agent([call("act"), "done"], *tools, name=name)

    both = app(worker("A", ledger.gated()), worker("B", ledger.gated()))
    async with clock.serving(both, database_url) as service:
        runs: list[v1.Run] = []
        for name in ("A", "A", "B", "B"):
            clock.pass_by(1)
            runs.append(await service.run(name, session_id=f"s{len(runs)}"))
        await service.runs.CancelRun(v1.CancelRunRequest(run_id=runs[0].run_id))
    lacking = app(worker("A"), worker("B", ledger.gated()), worker("C", ledger.gated()))
    async with clock.serving(lacking, database_url) as service:
        assert await stuck(service) == [runs[1].run_id]
        assert await stuck(service, workflow_id="B") == []
        assert await stuck(service, session_id="s1") == [runs[1].run_id]
        assert await stuck(service, states=[v1.RUN_STATE_PAUSED]) == [runs[1].run_id]
        assert await stuck(service, states=[v1.RUN_STATE_CANCELLED]) == []
    async with clock.serving(app(worker("C", ledger.gated())), database_url) as service:
        expected = [one.run_id for one in reversed(runs[1:])]
        assert await stuck(service) == expected
        request = v1.ListRunsRequest(filter=v1.RunFilter(stuck=True), page_size=2)
        pages = [await service.runs.ListRuns(request)]
        request.page_token = pages[0].next_page_token
        pages.append(await service.runs.ListRuns(request))
        assert [one.run_id for page in pages for one in page.runs] == expected
        request.filter.stuck = False
        assert (await refused(service.runs.ListRuns(request))).fields.keys() == {"page_token"}


async def test_a_branch_that_lacks_its_tool_keeps_the_other_from_going_on(
    database_url: str,
) -> None:
    """Half a run would be worse: what is missing is said before anything happens."""
    ledger, others = Ledger(), Ledger()

    def app(*tools: Any) -> Interlock:
        first = agent([call("act", what="one"), "done"], *tools)
        second = agent([call("act", what="two"), "done"], others.gated(), name="other")
        both = Parallel(Step(name="one", agent=first), Step(name="two", agent=second), name="both")
        return app_of(both)

    async with served(app(ledger.gated()), database_url) as service:
        paused = await service.run("Work")
    async with served(app(), database_url) as service:
        await assert_refused(service, paused, "worker.act")
        assert others.calls == []
    async with served(app(ledger.gated()), database_url) as service:
        waiting = open_requirements(paused)
        ended = await service.resolve(paused, *map(confirm, waiting))
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert (ledger.calls, others.calls) == (["one"], ["two"])


async def test_a_run_goes_on_with_the_definition_it_started_with(database_url: str) -> None:
    """The code's workflow has changed; whoever started before gets what they started."""
    ledger = Ledger()
    then = Step(name="then", executor=function_here)
    async with served(asking(ledger, then), database_url) as service:
        paused = await service.run("Work")
    changed = Interlock(
        [
            Workflow(name="Work", steps=[then, Step(name="and", executor=function_here)]),
            Workflow(
                name="Elsewhere",
                steps=[agent([call("act", what="it"), "done"], ledger.gated())],
            ),
        ]
    )
    async with served(changed, database_url) as service:
        assert (await get(service, paused)).missing_executor == ""
        assert await stuck(service) == []
        ended = await service.resolve(paused, confirm(only(paused)))
        assert [one.step.name for one in ended.step_results] == ["work", "then"]
        assert ended.workflow_version == 1
        fresh = await service.run("Work")
        assert [one.step.name for one in fresh.step_results] == ["then", "and"]
    assert ledger.calls == ["it"]


async def test_a_run_that_lacks_code_can_be_cancelled(database_url: str) -> None:
    ledger = Ledger()
    async with served(asking(ledger), database_url) as service:
        paused = await service.run("Work")
    async with served(asking(ledger, tools=False, name="somebody"), database_url) as service:
        request = v1.CancelRunRequest(run_id=paused.run_id)
        cancelled = (await service.runs.CancelRun(request)).run
        assert cancelled.state == v1.RUN_STATE_CANCELLED
        assert cancelled.missing_executor == ""
        assert await stuck(service) == []
