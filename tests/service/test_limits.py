"""Bounds: whatever outgrows them ends in an error of its own, and not in an outage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from tests.support.service import Served, confirm, served
from tests.support.workbench import (
    LAST_KINDS,
    Ledger,
    agent,
    agent_app,
    app_of,
    get,
    idle,
    kinds,
    only,
    refused,
)

from interlock import v1
from interlock_server import Interlock, Loop, Parallel, Step, Workflow, call, limits
from interlock_server.runtime.runtime import Timing

LAZY = Timing(commit_delay=3_600)
"""Nothing is stored before it must be."""


async def assert_failed(service: Served, run: v1.Run, reason: str) -> None:
    """The run has ended, once, for this reason, and nothing of it is left open."""
    assert run.state == v1.RUN_STATE_FAILED
    assert run.error.reason == reason
    happened = kinds(await service.events(run))
    assert [one for one in happened if one in LAST_KINDS] == happened[-1:]
    request = v1.ListRequirementsRequest(filter=v1.RequirementFilter(run_id=run.run_id))
    assert not (await service.requirements.ListRequirements(request)).requirements


# What a run does.


def counting(ledger: Ledger, **more: Any) -> Step:
    def count(given: Any) -> str:
        ledger.calls.append("counted")
        return "counted"

    return Step(name="count", executor=count, **more)


@pytest.mark.parametrize("on_error", ["fail", "skip"])
async def test_a_run_that_does_too_much_fails_whatever_its_steps_say(
    database_url: str, monkeypatch: pytest.MonkeyPatch, on_error: Any
) -> None:
    monkeypatch.setattr(limits, "journal_entries_max", 10)
    ledger = Ledger()
    step = counting(ledger, on_error=on_error, max_retries=2)
    app = app_of(Loop(name="loop", steps=[step], max_iterations=11))
    async with served(app, database_url) as service:
        ended = await service.run("Work")
        await assert_failed(service, ended, "JOURNAL_LIMIT_EXCEEDED")
        assert ended.error.message == "the run has done 10 things"
        # What was done is on record.
        results = [one for one in ended.step_results if one.step.name == "count"]
        assert len(results) == 10
    assert len(ledger.calls) == 10


async def test_a_run_may_do_as_much_as_it_may(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "journal_entries_max", 10)
    ledger = Ledger()
    app = app_of(Loop(name="loop", steps=[counting(ledger)], max_iterations=10))
    async with served(app, database_url) as service:
        assert (await service.run("Work")).state == v1.RUN_STATE_COMPLETED
    assert len(ledger.calls) == 10


async def test_pauses_and_servers_do_not_begin_the_count_anew(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each round is a turn of the model, the start of a call, and its result."""
    monkeypatch.setattr(limits, "journal_entries_max", 6)
    ledger = Ledger()
    turns: list[Any] = [*(call("act", what=str(number)) for number in range(9)), "done"]
    app = agent_app(turns, ledger.gated())
    async with served(app, database_url) as service:
        run = await service.run("Work")
    async with served(app, database_url) as service:
        while run.state == v1.RUN_STATE_PAUSED:
            run = await service.resolve(run, confirm(only(run)))
        await assert_failed(service, run, "JOURNAL_LIMIT_EXCEEDED")
    assert ledger.calls == ["0", "1"]


async def test_a_branch_that_does_too_much_lets_the_other_one_have_its_answer(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wait outranks a failure, here too; and the failure still stands when it is over."""
    monkeypatch.setattr(limits, "journal_entries_max", 5)
    ledger, counted = Ledger(), Ledger()
    asks = Step(name="asks", agent=agent([call("act"), "done"], ledger.gated()))
    loop = Loop(name="loop", steps=[counting(counted, on_error="skip")], max_iterations=50)
    async with served(app_of(Parallel(asks, loop, name="both")), database_url) as service:
        run = await service.run("Work")
        if run.state == v1.RUN_STATE_PAUSED:
            run = await service.resolve(run, confirm(only(run)))
        await assert_failed(service, run, "JOURNAL_LIMIT_EXCEEDED")
    assert ledger.calls == []
    assert len(counted.calls) <= 5


# What it says.


@pytest.mark.parametrize("on_error", ["fail", "skip"])
async def test_a_result_that_no_reader_could_be_sent_ends_the_run(
    database_url: str, monkeypatch: pytest.MonkeyPatch, on_error: Any
) -> None:
    monkeypatch.setattr(limits, "event_bytes_max", 2_000)
    step = Step(name="long", executor=lambda given: "x" * 3_000, on_error=on_error)
    async with served(app_of(step), database_url) as service:
        ended = await service.run("Work")
        await assert_failed(service, ended, "EVENT_LIMIT_EXCEEDED")
        assert ended.error.message == "an event is larger than 2,000 bytes"
        assert all(one.ByteSize() < 2_100 for one in await service.events(ended))


async def test_a_question_that_no_reader_could_be_sent_ends_the_run_and_waits_for_nobody(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "event_bytes_max", 2_000)
    ledger = Ledger()
    app = agent_app([call("act", what="x" * 3_000), "done"], ledger.gated())
    async with served(app, database_url, LAZY) as service:
        ended = await service.run("Work")
        await assert_failed(service, ended, "EVENT_LIMIT_EXCEEDED")
    assert ledger.calls == []


async def test_a_pause_that_no_reader_could_be_sent_ends_the_run_and_waits_for_nobody(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each question is small enough, and all of them together are not."""
    monkeypatch.setattr(limits, "event_bytes_max", 2_000)
    steps = [
        Step(
            name=name,
            agent=agent([call("act", what="x" * 500), "done"], Ledger().gated(), name=name),
        )
        for name in "abcd"
    ]
    async with served(app_of(Parallel(*steps, name="all")), database_url, LAZY) as service:
        ended = await service.run("Work")
        await assert_failed(service, ended, "EVENT_LIMIT_EXCEEDED")


# How many there are.


@asynccontextmanager
async def crowded(app: Interlock, database_url: str, most: int) -> AsyncIterator[Served]:
    """A service in which so many runs may be open; it knows how many there are."""
    async with served(app, database_url, servers=1) as service:
        service.runtime._capacity._most = most
        await idle(service)
        await service.runtime._capacity.count()
        yield service


def asking() -> Interlock:
    worker = agent([call("act"), "done"], Ledger().gated())
    quick = Step(name="quick", executor=lambda given: "done")
    return Interlock(
        [
            Workflow(name="Work", steps=[Step(name="work", agent=worker)]),
            Workflow(name="Quick", steps=[quick]),
        ]
    )


async def test_only_so_many_runs_may_be_open(database_url: str) -> None:
    async with crowded(asking(), database_url, 2) as service:
        first, second = [await service.run("Work") for _ in range(2)]
        streamed = service.runs.RunStream(v1.RunStreamRequest(spec=v1.RunSpec(workflow_id="Work")))
        for request in (service.run("Work"), service.run("Quick"), anext(aiter(streamed))):
            problem = await refused(request)
            assert problem.code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert problem.reason == "RUN_LIMIT_EXCEEDED"
            assert problem.metadata == {"limit": "2"}
            assert "RetryInfo" in problem.details
        assert len((await service.runs.ListRuns(v1.ListRunsRequest())).runs) == 2
        # What is open goes on, and makes room when it ends, in whichever way.
        ended = await service.resolve(first, confirm(only(first)))
        assert ended.state == v1.RUN_STATE_COMPLETED
        third = await service.run("Work")
        await service.runs.CancelRun(v1.CancelRunRequest(run_id=second.run_id))
        assert (await service.run("Quick")).state == v1.RUN_STATE_COMPLETED
        assert (await service.run("Quick")).state == v1.RUN_STATE_COMPLETED
        assert (await get(service, third)) == third


async def test_what_others_opened_counts_too(database_url: str) -> None:
    async with served(asking(), database_url) as service:
        paused = await service.run("Work")
    async with crowded(asking(), database_url, 1) as service:
        assert (await refused(service.run("Work"))).reason == "RUN_LIMIT_EXCEEDED"
        await service.resolve(paused, confirm(only(paused)))
        assert (await service.run("Work")).state == v1.RUN_STATE_PAUSED


async def test_of_many_at_once_some_are_turned_away(database_url: str) -> None:
    """The bound is not exact for those who come at the same moment, and holds again after it."""
    async with crowded(asking(), database_url, 5) as service:
        outcomes = await asyncio.gather(
            *(service.run("Work") for _ in range(50)), return_exceptions=True
        )
        await idle(service)
        listed = (await service.runs.ListRuns(v1.ListRunsRequest(page_size=100))).runs
        assert 5 <= len(listed) < 50
        assert sum(isinstance(one, v1.Run) for one in outcomes) == len(listed)
        assert (await refused(service.run("Work"))).reason == "RUN_LIMIT_EXCEEDED"


async def test_a_repeat_of_what_was_let_in_is_not_turned_away(database_url: str) -> None:
    async with crowded(asking(), database_url, 1) as service:
        spec = v1.RunSpec(workflow_id="Work")
        first = (await service.runs.Run(v1.RunRequest(spec=spec, request_id="once"))).run
        again = (await service.runs.Run(v1.RunRequest(spec=spec, request_id="once"))).run
        assert again == first
        problem = await refused(service.runs.Run(v1.RunRequest(spec=spec, request_id="other")))
        assert problem.reason == "RUN_LIMIT_EXCEEDED"
        other = v1.RunSpec(workflow_id="Quick")
        problem = await refused(service.runs.Run(v1.RunRequest(spec=other, request_id="once")))
        assert problem.reason == "REQUEST_ID_REUSED"


async def test_repeats_do_not_use_up_the_room(database_url: str) -> None:
    """They start nothing; nor does what is refused."""
    async with crowded(asking(), database_url, 3) as service:
        spec = v1.RunSpec(workflow_id="Work")
        request = v1.RunRequest(spec=spec, request_id="once")
        for _ in range(10):
            await service.runs.Run(request)
        for _ in range(2):
            assert (await service.run("Work")).state == v1.RUN_STATE_PAUSED
