"""What a person approved is what runs: with a row that says otherwise, nothing does.

The database is changed by hand while a run waits. Each change is one that the code would
never make; whoever makes it, no call may run that nobody approved, and the run must end.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import text
from tests.support.clock import Clock
from tests.support.service import (
    Served,
    confirm,
    external_result,
    open_requirements,
    reject,
    served,
    user_input,
)
from tests.support.workbench import (
    LAST_KINDS,
    Ledger,
    Point,
    agent,
    agent_app,
    app_of,
    crash,
    get,
    kinds,
    only,
    resolve_one,
    rest,
    result_of,
    start,
)

from interlock import v1
from interlock_server import Interlock, Parallel, Step, call, tool
from interlock_server.engine.gates import call_digest
from interlock_server.runtime.runtime import Timing

SWAP = "convert_to(replace(convert_from({0}, 'UTF8'), 'harmless', 'terrible'), 'UTF8')"
ARGUMENTS = f"UPDATE journal SET value = {SWAP.format('value')}"  # noqa: S608
"""Another argument of the same length in what the model asked for."""

SHOWN = "UPDATE requirements SET body = " + (  # noqa: S608
    "decode(replace(encode(body, 'hex'), encode('harmless', 'hex'), encode('terrible', 'hex')), "
    "'hex')"
)
"""Another argument in what a person is shown."""

YES = v1.RequirementResolution(confirm=v1.Confirmation()).SerializeToString().hex()
FORGED = (
    f"UPDATE requirements SET state = 2, resolve_time = now(), resolution = decode('{YES}', 'hex')"  # noqa: S608
)
READY = "UPDATE runs SET is_ready = true, open_requirements = 0"


async def rows(service: Served, statement: str) -> Any:
    return await service.runtime.database.fetch(text(statement))


async def assert_stopped(service: Served, run: v1.Run, ledger: Ledger) -> None:
    """The run has ended, with nothing done and nothing told."""
    async with asyncio.timeout(20):
        ended = await rest(service, run)
    assert ended.state == v1.RUN_STATE_FAILED
    assert ended.error.reason == "INTERNAL"
    assert ended.error.metadata["error_id"]
    assert "decision" not in ended.error.message
    happened = kinds(await service.events(ended))
    assert [one for one in happened if one in LAST_KINDS] == happened[-1:]
    assert ledger.calls == []
    # It is not even on record that something began.
    assert await rows(service, "SELECT FROM journal WHERE value IS NULL") == []
    assert await rows(service, "SELECT FROM requirements WHERE spend_time = update_time") == []


def asking(ledger: Ledger, **gates: Any) -> Interlock:
    return agent_app([call("act", what="harmless"), "done"], ledger.gated(**gates))


DECIDED = {
    "other_arguments": [ARGUMENTS],
    "no_grant": ["UPDATE requirements SET grant_digest = NULL"],
    "grant_of_other_arguments": [
        "UPDATE requirements SET grant_digest = decode('{}', 'hex')".format(  # noqa: S608
            call_digest("act", '{"what":"terrible"}').hex()
        )
    ],
    "grant_of_another_tool": [
        "UPDATE requirements SET grant_digest = decode('{}', 'hex')".format(  # noqa: S608
            call_digest("look", '{"what":"harmless"}').hex()
        )
    ],
    "spent": ["UPDATE requirements SET spend_time = create_time"],
    "waits_again": [
        "UPDATE requirements SET state = 1, resolution = NULL, grant_digest = NULL, "
        "resolve_time = NULL",
        FORGED,
    ],
}


@pytest.mark.parametrize("change", DECIDED)
async def test_what_was_changed_after_the_decision_does_not_run(
    database_url: str, change: str
) -> None:
    ledger = Ledger()
    async with served(asking(ledger), database_url) as service:
        paused = await service.run("Work")
        await resolve_one(service, confirm(only(paused)), hold_run=True)
        for statement in DECIDED[change]:
            await rows(service, statement)
        await service.resolve(paused)
        await assert_stopped(service, paused, ledger)


@pytest.mark.parametrize("change", [ARGUMENTS, SHOWN], ids=["arguments", "shown"])
async def test_what_was_changed_before_the_decision_does_not_run(
    database_url: str, change: str
) -> None:
    """A person says yes to what they are shown; that, or nothing."""
    ledger = Ledger()
    async with served(asking(ledger), database_url, servers=2) as service:
        remembers, reads = service.replicas
        paused = await remembers.run("Work")
        await rows(service, change)
        await reads.resolve(paused, confirm(only(paused)))
        await assert_stopped(service, paused, ledger)


async def test_a_decision_that_was_put_there_by_hand_lets_nothing_run(database_url: str) -> None:
    ledger = Ledger()
    async with served(asking(ledger), database_url) as service:
        paused = await service.run("Work")
        await rows(service, FORGED)
        await rows(service, READY)
        await service.resolve(paused)
        await assert_stopped(service, paused, ledger)


async def test_a_no_that_was_made_a_yes_by_hand_lets_nothing_run(database_url: str) -> None:
    ledger = Ledger()
    async with served(asking(ledger), database_url) as service:
        paused = await service.run("Work")
        await resolve_one(service, reject(only(paused)), hold_run=True)
        await rows(service, FORGED)
        await service.resolve(paused)
        await assert_stopped(service, paused, ledger)


async def test_values_that_were_changed_after_the_decision_do_not_run(database_url: str) -> None:
    ledger = Ledger()
    async with served(asking(ledger, requires_user_input=True), database_url) as service:
        paused = await service.run("Work")
        answer = user_input(only(paused), '{"what":"harmless"}')
        await resolve_one(service, answer, hold_run=True)
        await rows(service, SHOWN.replace("body", "resolution"))
        await service.resolve(paused)
        await assert_stopped(service, paused, ledger)


async def test_a_branch_that_may_not_start_does_not_keep_the_run_from_its_end(
    database_url: str,
) -> None:
    """The other branch waits, and would wait for ever."""
    ledger, others = Ledger(), Ledger()
    worker = agent([call("act", what="harmless"), "done"], ledger.gated())
    other = agent([call("act"), "done"], others.gated(), name="other")
    both = Parallel(Step(name="one", agent=worker), Step(name="two", agent=other), name="both")
    async with served(app_of(both), database_url) as service:
        paused = await service.run("Work")
        first, second = open_requirements(paused)
        await resolve_one(service, confirm(first), hold_run=True)
        await rows(service, DECIDED["no_grant"][0])
        await service.resolve(paused)
        await assert_stopped(service, paused, ledger)
        request = v1.GetRequirementRequest(requirement_id=second.requirement_id)
        closed = (await service.requirements.GetRequirement(request)).requirement
    assert closed.state == v1.REQUIREMENT_STATE_CANCELLED
    assert others.calls == []


# What is on record of those that run.


@pytest.mark.parametrize(
    ("gate", "args_json"),
    [
        ("requires_confirmation", '{"what":"harmless"}'),
        ("requires_user_input", '{"what":"other"}'),
        ("external_execution", None),
    ],
)
async def test_a_decision_is_about_one_tool_and_its_exact_arguments(
    database_url: str, gate: str, args_json: str | None
) -> None:
    ledger = Ledger()
    async with served(asking(ledger, **{gate: True}), database_url) as service:
        paused = await service.run("Work")
        asked = only(paused)
        answers = {
            "requires_confirmation": confirm(asked),
            "requires_user_input": user_input(asked, '{"what": "other"}'),
            "external_execution": external_result(asked, "1"),
        }
        ended = await service.resolve(paused, answers[gate])
        [row] = await rows(service, "SELECT grant_digest, spend_time FROM requirements")
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert row.grant_digest == (args_json and call_digest("act", args_json))
    assert (row.spend_time is not None) == (args_json is not None)


@pytest.mark.parametrize("says_no", [True, False], ids=["rejected", "waiting"])
async def test_without_a_yes_there_is_nothing_to_spend(database_url: str, says_no: bool) -> None:
    async with served(asking(Ledger()), database_url) as service:
        paused = await service.run("Work")
        if says_no:
            await service.resolve(paused, reject(only(paused)))
        [row] = await rows(service, "SELECT grant_digest, spend_time FROM requirements")
    assert (row.grant_digest, row.spend_time) == (None, None)


async def interrupted(service: Served, point: Point) -> v1.Run:
    """A run whose process died in an approved call."""
    run = await start(service)
    await resolve_one(service, confirm(only(await rest(service, run))))
    await point.entered.wait()
    await crash(service)
    return run


@pytest.mark.parametrize("is_changed", [False, True], ids=["as_it_was", "changed"])
async def test_a_retry_spends_the_decision_of_its_own_doubt(
    database_url: str, is_changed: bool
) -> None:
    clock, point, quick = Clock(), Point(), Timing(lease=10)
    app = agent_app([call("hold"), "done"], point.tool(requires_confirmation=True))
    async with clock.serving(app, database_url, quick) as service:
        run = await interrupted(service, point)
    clock.pass_by(11)
    point.released.set()
    async with clock.serving(app, database_url, quick) as service:
        paused = await rest(service, run)
        doubt = only(paused)
        retry = v1.RequirementResolution(requirement_id=doubt.requirement_id, retry=v1.Retry())
        await resolve_one(service, retry, hold_run=True)
        decisions = "SELECT grant_digest, spend_time FROM requirements ORDER BY position"
        gate, second = await rows(service, decisions)
        assert gate.grant_digest == second.grant_digest == call_digest("hold", "{}")
        assert gate.spend_time is not None
        assert second.spend_time is None
        if is_changed:
            # The decision before is spent already, and stands for nothing any more.
            await rows(service, "UPDATE requirements SET grant_digest = NULL WHERE position = 2")
        await service.resolve(paused)
        ended = await rest(service, run)
        if is_changed:
            assert (ended.state, ended.error.reason) == (v1.RUN_STATE_FAILED, "INTERNAL")
        else:
            assert ended.state == v1.RUN_STATE_COMPLETED
            assert all(one.spend_time for one in await rows(service, decisions))
    assert point.passed == (0 if is_changed else 1)


async def test_a_repeat_that_its_author_allows_spends_nothing_more(database_url: str) -> None:
    clock, point, quick = Clock(), Point(), Timing(lease=10)
    hold = point.tool(requires_confirmation=True, on_interrupt="retry")
    app = agent_app([call("hold"), "done"], hold)
    async with clock.serving(app, database_url, quick) as service:
        run = await interrupted(service, point)
        [before] = await rows(service, "SELECT grant_digest, spend_time FROM requirements")
    clock.pass_by(11)
    point.released.set()
    async with clock.serving(app, database_url, quick) as service:
        ended = await rest(service, run)
        [after] = await rows(service, "SELECT grant_digest, spend_time FROM requirements")
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert tuple(after) == tuple(before)
    assert before.spend_time is not None
    assert point.passed == 1


async def test_calls_of_one_response_each_spend_their_own(database_url: str) -> None:
    """The same tool with the same arguments, approved once and rejected once, runs once."""
    ledger = Ledger()
    turn = [call("act", what="same"), call("act", what="same")]
    async with served(agent_app([turn, "done"], ledger.gated()), database_url) as service:
        paused = await service.run("Work")
        first, second = open_requirements(paused)
        ended = await service.resolve(paused, reject(first), confirm(second))
        spent = await rows(
            service, "SELECT requirement_id FROM requirements WHERE spend_time > '0001-01-01'"
        )
    assert [one.requirement_id for one in spent] == [second.requirement_id]
    assert ledger.calls == ["same"]
    made = result_of(ended, "work").tool_executions
    assert [bool(one.error_message) for one in made] == [True, False]


async def test_a_tool_that_was_renamed_is_another_tool(database_url: str) -> None:
    """A yes to one tool is no yes to whatever code has taken its place under another name."""
    ledger = Ledger()
    async with served(asking(ledger), database_url) as service:
        paused = await service.run("Work")
        await resolve_one(service, confirm(only(paused)), hold_run=True)
        swap = SWAP.format("value").replace("harmless", '"act"').replace("terrible", '"look"')
        await rows(service, f"UPDATE journal SET value = {swap}")  # noqa: S608
    look = tool(name="look", requires_confirmation=True)(ledger.free().function)
    both = agent_app([call("act", what="harmless"), "done"], ledger.gated(), look)
    async with served(both, database_url) as service:
        await service.resolve(paused)
        await assert_stopped(service, await get(service, paused), ledger)
