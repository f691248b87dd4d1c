"""A run goes on with the definition it started with, whatever the code says by then."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from tests.support.service import confirm, open_requirements, served, user_input
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
from interlock_server import Interlock, Step, Steps, Team, Workflow, call, tool
from interlock_server.runtime.runtime import Timing


def noted(ledger: Ledger, name: str) -> Step:
    def note(given: Any) -> str:
        ledger.calls.append(name)
        return name

    return Step(name=name, executor=note)


def asking(ledger: Ledger, **gates: Any) -> Step:
    turns = [call("act", what="it"), "done"]
    return Step(name="work", agent=agent(turns, ledger.gated(**gates)))


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
async def test_a_step_that_was_inserted_does_not_shift_a_paused_run(
    database_url: str, streams: bool
) -> None:
    """Resuming by position ran an earlier step again and asked again (D-33)."""
    ledger = Ledger()
    before = app_of(noted(ledger, "first"), asking(ledger), noted(ledger, "last"))
    async with served(before, database_url) as service:
        paused = await Caller(service, streams).run()
    after = app_of(
        noted(ledger, "new"), noted(ledger, "first"), asking(ledger), noted(ledger, "other")
    )
    async with served(after, database_url) as service:
        with pytest.raises(grpc.aio.AioRpcError):
            # `last` is gone from this code: the run waits for a server that has it.
            await Caller(service, streams).resolve(paused, confirm(only(paused)))
    async with served(before, database_url) as service:
        ended = await Caller(service, streams).resolve(paused, confirm(only(paused)))
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert [one.step.name for one in ended.step_results] == ["first", "work", "last"]
    assert ledger.calls == ["first", "it", "last"]


def function_one(given: Any) -> str:
    return "one"


def function_two(given: Any) -> str:
    return "two"


async def test_a_run_keeps_its_version_while_new_runs_get_the_new_one(database_url: str) -> None:
    ledger = Ledger()
    old = app_of(asking(ledger), Step(name="then", executor=function_one))
    new = app_of(
        Steps(name="before", steps=[Step(name="x", executor=function_two)]),
        asking(ledger),
        Step(name="then", executor=function_one),
        Step(name="and", executor=function_two),
    )
    async with served(old, database_url) as service:
        paused = await service.run("Work")
        assert paused.workflow_version == 1
    async with served(new, database_url) as service:
        newer = await service.run("Work")
        assert newer.workflow_version == 2
        ended = await service.resolve(paused, confirm(only(paused)))
        assert ended.workflow_version == 1
        assert [one.step.name for one in ended.step_results] == ["work", "then"]
        newer = await service.resolve(newer, confirm(only(newer)))
        assert [one.step.name for one in newer.step_results] == [
            "x",
            "before",
            "work",
            "then",
            "and",
        ]
        older = await service.run("Work", workflow_version=1)
        assert older.workflow_version == 1


async def test_the_same_definition_served_again_is_the_same_version(database_url: str) -> None:
    ledger = Ledger()
    for _ in range(2):
        async with served(app_of(asking(ledger)), database_url) as service:
            assert (await service.run("Work")).workflow_version == 1


async def test_an_agent_that_is_gone_refuses_and_leaves_the_run_paused(database_url: str) -> None:
    ledger = Ledger()
    async with served(app_of(asking(ledger)), database_url) as service:
        paused = await service.run("Work")
    other = app_of(Step(name="work", agent=agent(["done"], name="somebody else")))
    async with served(other, database_url) as service, untouched(service, paused):
        requirement = only(paused)
        problem = await refused(service.resolve(paused, confirm(requirement)))
        again = await refused(resolve_one(service, confirm(requirement)))
    for one in (problem, again):
        assert one.code is grpc.StatusCode.FAILED_PRECONDITION
        assert one.reason == "EXECUTOR_NOT_FOUND"
        assert one.metadata == {"run_id": paused.run_id, "name": "worker"}
        assert "PreconditionFailure" in one.details
    async with served(app_of(asking(ledger)), database_url) as service:
        ended = await service.resolve(paused, confirm(requirement))
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == ["it"]


async def test_a_function_that_is_gone_refuses_even_when_it_comes_later(database_url: str) -> None:
    """Better before the effect that was approved than half-way after it."""
    ledger = Ledger()
    before = app_of(asking(ledger), Step(name="then", executor=function_one))
    async with served(before, database_url) as service:
        paused = await service.run("Work")
    async with served(app_of(asking(ledger)), database_url) as service, untouched(service, paused):
        problem = await refused(service.resolve(paused, confirm(only(paused))))
    assert problem.metadata["name"] == f"{__name__}:function_one"
    assert ledger.calls == []


@pytest.mark.parametrize("gate", ["requires_confirmation", "requires_user_input"])
async def test_a_tool_that_is_gone_refuses_and_leaves_the_run_paused(
    database_url: str, gate: str
) -> None:
    ledger = Ledger()
    async with served(app_of(asking(ledger, **{gate: True})), database_url) as service:
        paused = await service.run("Work")
        answer = (
            confirm(only(paused))
            if gate == "requires_confirmation"
            else user_input(only(paused), '{"what": "that"}')
        )
    without = app_of(Step(name="work", agent=agent(["done"])))
    async with served(without, database_url) as service, untouched(service, paused):
        problem = await refused(service.resolve(paused, answer))
    assert problem.reason == "EXECUTOR_NOT_FOUND"
    assert problem.metadata == {"run_id": paused.run_id, "name": "worker.act"}
    async with served(app_of(asking(ledger, **{gate: True})), database_url) as service:
        ended = await service.resolve(paused, answer)
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert len(ledger.calls) == 1


async def test_a_server_without_the_tool_leaves_the_call_to_one_that_has_it(
    database_url: str,
) -> None:
    """It must not even begin: a call that was begun and not ended is a question for a person."""
    ledger, point = Ledger(), Point()
    hold, quick = point.tool(requires_confirmation=True), Timing(lease=1.0)

    def app(*tools: Any) -> Interlock:
        turns = [[call("hold"), call("act", what="it")], "done"]
        return app_of(Step(name="work", agent=agent(turns, *tools)))

    async with served(app(hold, ledger.gated()), database_url, quick, servers=1) as service:
        run = await service.run("Work")
        for one in open_requirements(run):
            await resolve_one(service, confirm(one))
        await point.entered.wait()
        await hand_over(service, point)
    assert ledger.calls == []
    async with served(app(hold), database_url, quick, servers=1) as service:
        await service.runtime.take_over()
        # The server may have taken it over by itself before, and be done with it.
        await asyncio.gather(*service.runtime._legs.values())
        assert (await get(service, run)).state == v1.RUN_STATE_RUNNING
    async with served(app(hold, ledger.gated()), database_url, quick) as service:
        ended = await rest(service, run)
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == ["it"]
    assert point.passed == 1


async def test_a_member_that_is_gone_refuses_and_leaves_the_run_paused(database_url: str) -> None:
    ledger = Ledger()

    def crew(name: str) -> Interlock:
        member = agent([call("act", what="it"), "done"], ledger.gated(), name=name)
        leader = agent([call("delegate_task_to_member", member_name=name, task="do"), "well"])
        team = Team(name="crew", model=leader.model, members=[member])
        return Interlock([Workflow(name="Work", steps=[Step(name="work", team=team)])])

    async with served(crew("Ann"), database_url) as service:
        paused = await service.run("Work")
        assert list(only(paused).member_path) == ["Ann"]
    async with served(crew("Ben"), database_url) as service, untouched(service, paused):
        problem = await refused(service.resolve(paused, confirm(only(paused))))
    assert problem.reason == "EXECUTOR_NOT_FOUND"
    async with served(crew("Ann"), database_url) as service:
        ended = await service.resolve(paused, confirm(only(paused)))
    assert ended.output_json == '"well"'


async def test_a_gate_that_was_removed_does_not_open_for_a_call_made_before(
    database_url: str,
) -> None:
    """The gate was recorded with the call: new code has no say in it."""
    ledger = Ledger()
    async with served(app_of(asking(ledger)), database_url) as service:
        paused = await service.run("Work")
    ungated = tool(name="act")(ledger.gated().function)
    opened = app_of(Step(name="work", agent=agent([call("act", what="it"), "done"], ungated)))
    async with served(opened, database_url) as service:
        async with untouched(service, paused):
            still = await service.resolve(paused)
            assert still.state == v1.RUN_STATE_PAUSED
            assert ledger.calls == []
        rejected = v1.RequirementResolution(
            requirement_id=only(paused).requirement_id, reject=v1.Rejection(note="no")
        )
        ended = await service.resolve(paused, rejected)
    assert ended.state == v1.RUN_STATE_COMPLETED
    [made] = result_of(ended, "work").tool_executions
    assert made.error_message == "no"
    assert ledger.calls == []


async def test_a_gate_that_was_added_does_not_ask_about_a_call_that_was_made(
    database_url: str,
) -> None:
    """A call that ran freely is history; the next one is asked about."""
    ledger = Ledger()
    turns = [[call("look", what="a"), call("act", what="b")], call("look", what="c"), "done"]
    before = app_of(Step(name="work", agent=agent(turns, ledger.free(), ledger.gated())))
    async with served(before, database_url) as service:
        paused = await service.run("Work")
        assert ledger.calls == ["a"]
    after = app_of(Step(name="work", agent=agent(turns, ledger.gated("look"), ledger.gated())))
    async with served(after, database_url) as service:
        again = await service.resolve(paused, confirm(only(paused)))
        assert ledger.calls == ["a", "b"]
        assert only(again).tool_execution.tool_args_json == '{"what":"c"}'


async def test_changed_arguments_of_a_tool_do_not_change_what_was_approved(
    database_url: str,
) -> None:
    """A person approved these arguments; the recorded ones are what the tool gets, or an error."""
    ledger = Ledger()
    async with served(app_of(asking(ledger)), database_url) as service:
        paused = await service.run("Work")

    @tool(name="act", requires_confirmation=True)
    def act(amount: int) -> str:
        ledger.calls.append(amount)
        return "did"

    changed = app_of(Step(name="work", agent=agent([call("act", what="it"), "done"], act)))
    async with served(changed, database_url) as service:
        ended = await service.resolve(paused, confirm(only(paused)))
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == []
    [made] = result_of(ended, "work").tool_executions
    assert made.tool_args_json == '{"what":"it"}'
    assert "amount" in made.error_message


async def test_runs_of_an_older_definition_continue_with_few_connections(
    database_url: str,
) -> None:
    """Each reads its definition; none may wait for a second connection while it holds one."""
    ledger = Ledger()
    async with served(app_of(asking(ledger)), database_url) as service:
        paused = [await service.run("Work") for _ in range(4)]
    newer = app_of(asking(ledger), Step(name="then", executor=function_one))
    async with served(newer, database_url, pool_size=2) as service:
        async with asyncio.timeout(20):
            ended = await asyncio.gather(
                *(service.resolve(one, confirm(only(one))) for one in paused)
            )
    assert {one.state for one in ended} == {v1.RUN_STATE_COMPLETED}
    assert ledger.calls == ["it"] * 4
