"""Decisions: the first one wins, nothing is lost, and everybody is told the truth."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from tests.support.service import (
    Refusal,
    Served,
    confirm,
    external_result,
    open_requirements,
    refusal,
    reject,
    served,
    user_input,
)
from tests.support.workbench import (
    ENDED,
    Caller,
    Ledger,
    Point,
    agent,
    agent_app,
    app_of,
    events_of,
    get,
    kind_of,
    only,
    refused,
    resolve_one,
    rest,
    result_of,
    start,
    untouched,
)

from interlock import v1
from interlock_server import Interlock, Parallel, Step, call

FAILED = grpc.StatusCode.FAILED_PRECONDITION


def three(ledger: Ledger) -> Interlock:
    """An agent that makes three gated calls in one turn."""
    turn = [call("act", what=what) for what in ("a", "b", "c")]
    return agent_app([turn, "done"], ledger.gated())


def one(ledger: Ledger) -> Interlock:
    return agent_app([call("act", what="it"), "done"], ledger.gated())


async def continue_run(service: Served, run: v1.Run, *answers: v1.RequirementResolution) -> v1.Run:
    return await service.resolve(run, *answers)


# Once.


async def test_the_same_decision_again_gets_the_same_answer(database_url: str) -> None:
    ledger = Ledger()
    async with served(one(ledger), database_url) as service:
        paused = await service.run("Work")
        answer = confirm(only(paused), "fine")
        ended = await service.resolve(paused, answer)
        async with untouched(service, ended):
            assert await service.resolve(paused, answer) == ended
            again = await resolve_one(service, answer)
        assert again.run_state == v1.RUN_STATE_COMPLETED
        assert again.requirement.resolution == answer
    assert ledger.calls == ["it"]


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
async def test_another_decision_is_refused_and_told_of_the_first(
    database_url: str, streams: bool
) -> None:
    ledger = Ledger()
    async with served(one(ledger), database_url) as service:
        caller = Caller(service, streams)
        paused = await caller.run()
        asked = only(paused)
        ended = await caller.resolve(paused, confirm(asked))
        stands = await service.requirements.GetRequirement(
            v1.GetRequirementRequest(requirement_id=asked.requirement_id)
        )
        async with untouched(service, ended):
            for other in (reject(asked), confirm(asked, "with a note")):
                problem = await refused(caller.resolve(paused, other))
                assert (problem.code, problem.reason) == (FAILED, "REQUIREMENT_ALREADY_RESOLVED")
                assert problem.metadata == {
                    "requirement_id": asked.requirement_id,
                    "resolution": "confirm",
                    "resolved_by": "",
                    "resolve_time": stands.requirement.resolve_time.ToJsonString(),
                }
                assert "PreconditionFailure" in problem.details
    assert ledger.calls == ["it"]


async def test_values_in_another_notation_are_the_same_decision(database_url: str) -> None:
    ledger = Ledger()
    gates: dict[str, Any] = {"requires_user_input": True}
    app = agent_app([call("act"), "done"], ledger.gated(**gates))
    async with served(app, database_url) as service:
        paused = await service.run("Work")
        await service.resolve(paused, user_input(only(paused), '{"what":"it"}'))
        again = await service.resolve(paused, user_input(only(paused), ' { "what" : "it" } '))
        assert again.state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == ["it"]


async def test_a_decision_leaves_its_trace(database_url: str) -> None:
    ledger = Ledger()
    async with served(one(ledger), database_url) as service:
        paused = await service.run("Work")
        asked = only(paused)
        response = await resolve_one(service, confirm(asked, "go"))
        requirement = response.requirement
        assert requirement.state == v1.REQUIREMENT_STATE_RESOLVED
        assert requirement.resolution == confirm(asked, "go")
        assert requirement.HasField("resolve_time")
        assert requirement.etag != asked.etag
        ended = await rest(service, paused)
        [event] = [
            event
            for event in await service.events(ended)
            if kind_of(event) == "requirement_resolved"
        ]
        assert event.requirement_resolved.resolution == confirm(asked, "go")
        assert event.step == asked.step


async def test_what_a_newer_client_adds_to_its_answer_is_not_kept(database_url: str) -> None:
    """Nobody here knows what it means, and nobody has bounded it."""
    ledger = Ledger()
    async with served(one(ledger), database_url) as service:
        paused = await service.run("Work")
        answer = confirm(only(paused))
        unknown = b"\xba\x3e\xc0\x84\x3d" + b"x" * 1_000_000  # Field 999, a million bytes.
        newer = v1.RequirementResolution.FromString(answer.SerializeToString() + unknown)
        assert newer.ByteSize() > 1_000_000
        response = await resolve_one(service, newer)
        assert response.requirement.resolution.ByteSize() == answer.ByteSize()
        # Sent again by an older client, it is the same decision.
        assert (await service.resolve(paused, answer)).state == v1.RUN_STATE_COMPLETED
        assert max(one.ByteSize() for one in await service.events(paused)) < 10_000


@pytest.mark.parametrize("notes", [False, True], ids=["yes_or_no", "each_with_its_note"])
async def test_of_a_hundred_contrary_decisions_one_wins(database_url: str, notes: bool) -> None:
    ledger = Ledger()
    async with served(one(ledger), database_url) as service:
        paused = await service.run("Work")
        asked = only(paused)
        answers = [
            (confirm, reject)[number % 2](asked, str(number) if notes else "")
            for number in range(100)
        ]

        async def decide(
            number: int, answer: v1.RequirementResolution
        ) -> Refusal | v1.RequirementResolution:
            try:
                if number % 3:
                    await resolve_one(service, answer)
                else:
                    await service.resolve(paused, answer)
            except grpc.aio.AioRpcError as error:
                return refusal(error)
            return answer

        outcomes = await asyncio.gather(*(decide(*each) for each in enumerate(answers)))
        ended = await rest(service, paused)
        requirement = (
            await service.requirements.GetRequirement(
                v1.GetRequirementRequest(requirement_id=asked.requirement_id)
            )
        ).requirement
    winner = requirement.resolution
    winning = [answer for answer in answers if answer == winner]
    assert len(winning) == (1 if notes else 50)
    accepted = [each for each in outcomes if not isinstance(each, Refusal)]
    assert accepted == winning
    for problem in outcomes:
        if isinstance(problem, Refusal):
            assert problem.reason == "REQUIREMENT_ALREADY_RESOLVED"
            assert problem.metadata["resolution"] == winner.WhichOneof("resolution")
            assert problem.metadata["resolve_time"] == requirement.resolve_time.ToJsonString()
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == (["it"] if winner.HasField("confirm") else [])


async def test_a_hundred_equal_decisions_run_the_tool_once(database_url: str) -> None:
    ledger = Ledger()
    async with served(one(ledger), database_url) as service:
        paused = await service.run("Work")
        answer = confirm(only(paused))
        runs = await asyncio.gather(*(service.resolve(paused, answer) for _ in range(100)))
    assert {run.state for run in runs} == {v1.RUN_STATE_COMPLETED}
    assert ledger.calls == ["it"]


# Some, and one by one.


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
async def test_what_was_answered_is_kept_while_the_rest_waits(
    database_url: str, streams: bool
) -> None:
    ledger = Ledger()
    async with served(three(ledger), database_url) as service:
        caller = Caller(service, streams)
        paused = await caller.run()
        a, b, c = open_requirements(paused)
        still = await caller.resolve(paused, confirm(b))
        assert still.state == v1.RUN_STATE_PAUSED
        assert open_requirements(still) == [a, c]
        assert ledger.calls == []
        still = await caller.resolve(still, reject(c, "no"))
        assert open_requirements(still) == [a]
        assert ledger.calls == []
        ended = await caller.resolve(still, confirm(a))
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == ["a", "b"]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)], ids=str)
async def test_the_last_of_several_answers_lets_the_step_go_on(
    database_url: str, order: tuple[int, ...]
) -> None:
    """Independent answers, in any order: the calls still run in the order they were made."""
    ledger = Ledger()
    async with served(three(ledger), database_url) as service:
        paused = await service.run("Work")
        waiting = open_requirements(paused)
        states = []
        for position in order:
            response = await resolve_one(service, confirm(waiting[position]))
            states.append(response.run_state)
            if len(states) < 3:
                assert ledger.calls == []
        assert states[:2] == [v1.RUN_STATE_PAUSED] * 2
        assert states[2] != v1.RUN_STATE_PAUSED
        ended = await rest(service, paused)
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == ["a", "b", "c"]


async def test_several_people_answer_at_once(database_url: str) -> None:
    ledger = Ledger()
    async with served(three(ledger), database_url) as service:
        paused = await service.run("Work")
        await asyncio.gather(
            *(resolve_one(service, confirm(each)) for each in open_requirements(paused))
        )
        ended = await rest(service, paused)
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == ["a", "b", "c"]


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
async def test_continuing_without_an_answer_is_no_answer(database_url: str, streams: bool) -> None:
    """Silence is neither a yes, nor a no, nor an empty value (D-4, D-28)."""
    ledger = Ledger()
    async with served(three(ledger), database_url) as service:
        caller = Caller(service, streams)
        paused = await service.run("Work")
        async with untouched(service, paused):
            if streams:
                request = v1.ContinueRunStreamRequest(run_id=paused.run_id)
                assert await events_of(service.runs.ContinueRunStream(request)) == []
            else:
                assert await caller.resolve(paused) == paused
    assert ledger.calls == []


async def test_a_held_run_waits_for_the_word(database_url: str) -> None:
    ledger = Ledger()
    async with served(one(ledger), database_url) as service:
        paused = await service.run("Work")
        response = await resolve_one(service, confirm(only(paused)), hold_run=True)
        assert response.run_state == v1.RUN_STATE_PAUSED
        assert response.requirement.state == v1.REQUIREMENT_STATE_RESOLVED
        held = await get(service, paused)
        assert held.state == v1.RUN_STATE_PAUSED
        assert open_requirements(held) == []
        assert ledger.calls == []
        # The same answer without the word lets it go on no more than before.
        ended = await service.resolve(held)
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == ["it"]


async def test_a_held_run_survives_its_server(database_url: str) -> None:
    ledger = Ledger()
    async with served(one(ledger), database_url) as service:
        paused = await service.run("Work")
        await resolve_one(service, confirm(only(paused)), hold_run=True)
    async with served(one(ledger), database_url) as service:
        assert (await get(service, paused)).state == v1.RUN_STATE_PAUSED
        ended = await service.resolve(paused)
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == ["it"]


async def test_an_etag_that_matches_lets_pass(database_url: str) -> None:
    ledger = Ledger()
    async with served(three(ledger), database_url) as service:
        paused = await service.run("Work")
        first, second, third = open_requirements(paused)
        answer = confirm(first)
        answer.etag = first.etag
        request = v1.ContinueRunRequest(
            run_id=paused.run_id, resolutions=[answer], etag=paused.etag
        )
        still = (await service.runs.ContinueRun(request)).run
        assert still.etag != paused.etag
        # Who read the run before that acts on what is no more.
        stale = v1.ContinueRunRequest(
            run_id=paused.run_id, resolutions=[confirm(second)], etag=paused.etag
        )
        async with untouched(service, still):
            problem = await refused(service.runs.ContinueRun(stale))
        assert problem.code is grpc.StatusCode.ABORTED
        assert problem.metadata == {"etag": still.etag}
        # The other requirements did not change.
        answer = confirm(third)
        answer.etag = third.etag
        assert (await resolve_one(service, answer)).requirement.resolution == confirm(third)


# Runs that do not wait.


async def test_a_run_that_is_not_paused_cannot_be_continued(database_url: str) -> None:
    ledger, point = Ledger(), Point()
    running = Step(name="work", executor=point.step)
    async with served(app_of(running), database_url) as service:
        run = await start(service)
        await point.entered.wait()
        await assert_not_paused(service, run.run_id, "RUNNING")
        point.released.set()
        completed = await rest(service, run)
        async with untouched(service, completed):
            await assert_not_paused(service, run.run_id, "COMPLETED")
    async with served(agent_app([]), database_url) as service:
        failed = await service.run("Work")
        async with untouched(service, failed):
            await assert_not_paused(service, failed.run_id, "FAILED")
    async with served(one(ledger), database_url) as service:
        paused = await service.run("Work")
        cancelled = (await service.runs.CancelRun(v1.CancelRunRequest(run_id=paused.run_id))).run
        async with untouched(service, cancelled):
            await assert_not_paused(service, paused.run_id, "CANCELLED")


async def assert_not_paused(service: Served, run_id: str, state: str) -> None:
    for call_ in (
        service.runs.ContinueRun(v1.ContinueRunRequest(run_id=run_id)),
        events_of(service.runs.ContinueRunStream(v1.ContinueRunStreamRequest(run_id=run_id))),
    ):
        problem = await refused(call_)
        assert (problem.code, problem.reason) == (FAILED, "RUN_NOT_PAUSED")
        assert problem.metadata == {"run_id": run_id, "state": state}
        assert "PreconditionFailure" in problem.details


async def test_an_answer_for_a_cancelled_run_comes_too_late(database_url: str) -> None:
    ledger = Ledger()
    async with served(one(ledger), database_url) as service:
        paused = await service.run("Work")
        asked = only(paused)
        cancelled = (await service.runs.CancelRun(v1.CancelRunRequest(run_id=paused.run_id))).run
        async with untouched(service, cancelled):
            for late in (
                service.resolve(paused, confirm(asked)),
                resolve_one(service, confirm(asked)),
            ):
                problem = await refused(late)
                assert (problem.code, problem.reason) == (FAILED, "REQUIREMENT_CANCELLED")
                assert problem.metadata == {"requirement_id": asked.requirement_id}
    assert ledger.calls == []


async def test_a_branch_that_waits_is_answered_while_another_runs(database_url: str) -> None:
    """The run is running, not paused; the answer counts all the same (INV-15)."""
    ledger, point = Ledger(), Point()
    app = app_of(
        Parallel(
            Step(name="asks", agent=agent([call("act", what="it"), "done"], ledger.gated())),
            Step(name="works", executor=point.step),
            name="both",
        )
    )
    async with served(app, database_url) as service:
        run = await start(service)
        await point.entered.wait()
        stream = service.requirements.WatchRequirements(v1.WatchRequirementsRequest())
        asked = v1.Requirement()
        async for message in stream:
            if message.HasField("requirement"):
                asked = message.requirement
                break
        stream.cancel()
        running = await get(service, run)
        assert running.state == v1.RUN_STATE_RUNNING
        assert open_requirements(running) == [asked]
        response = await resolve_one(service, confirm(asked))
        assert response.run_state == v1.RUN_STATE_RUNNING
        point.released.set()
        ended = await rest(service, run)
        while ended.state not in ENDED:
            ended = await rest(service, run)
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert result_of(ended, "both").output_json == '{"asks":"done","works":"held"}'
    assert ledger.calls == ["it"]


async def test_an_external_failure_reaches_the_agent(database_url: str) -> None:
    ledger = Ledger()
    app = agent_app([call("act", what="it"), "done"], ledger.gated(external_execution=True))
    async with served(app, database_url) as service:
        paused = await service.run("Work")
        answer = v1.RequirementResolution(
            requirement_id=only(paused).requirement_id,
            external_result=v1.ExternalResult(error_message="out of stock"),
        )
        ended = await service.resolve(paused, answer)
        [made] = result_of(ended, "work").tool_executions
        assert made.error_message == "out of stock"
        other = await service.run("Work")
        ended = await service.resolve(other, external_result(only(other), '{"id": 7}'))
        [made] = result_of(ended, "work").tool_executions
        assert made.result_json == '{"id":7}'
    assert ledger.calls == []
