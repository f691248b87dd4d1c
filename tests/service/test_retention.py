"""Runs that ended long ago: they go, with all that was stored of them, and nothing else does."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable
from typing import Any

import grpc
import pytest
from sqlalchemy import text
from tests.support.clock import Clock
from tests.support.service import Served, confirm, open_requirements, reject
from tests.support.workbench import (
    Ledger,
    Point,
    agent,
    events_of,
    get,
    only,
    refused,
    resolve_one,
    start,
)

from interlock import v1
from interlock_server import Interlock, Step, Workflow, call
from interlock_server.errors import RunNotFound
from interlock_server.runtime import runtime
from interlock_server.runtime.runtime import Timing
from interlock_server.runtime.tail import Reader, Watch, tail

HOUR = Timing(lease=1e9, retention=3_600)
OF_RUNS = ("runs", "events", "journal", "requirements", "requests")


def app(ledger: Ledger, point: Point) -> Interlock:
    def broken(given: Any) -> str:
        raise RuntimeError("broken")

    asking = agent([call("act", what="it"), "done"], ledger.gated())
    held = agent([call("hold"), "done"], point.tool(), name="held")
    return Interlock(
        [
            Workflow(name="Work", steps=[Step(name="work", agent=asking)]),
            Workflow(name="Hold", steps=[Step(name="work", agent=held)]),
            Workflow(name="Broken", steps=[Step(name="work", executor=broken)]),
        ]
    )


async def sweep(service: Served) -> None:
    await service.runtime.sweep()


async def counts(service: Served) -> dict[str, Counter[str]]:
    """How many rows there are of each run, by table."""
    found = {}
    for one in OF_RUNS:
        statement = text(f"SELECT run_id FROM {one}")  # noqa: S608
        rows = await service.runtime.database.fetch(statement)
        found[one] = Counter(row.run_id for row in rows)
    return found


async def identified(service: Served, workflow: str, request_id: str) -> v1.Run:
    spec = v1.RunSpec(workflow_id=workflow, session_id="s")
    return (await service.runs.Run(v1.RunRequest(spec=spec, request_id=request_id))).run


async def ended_in_every_way(service: Served) -> list[v1.Run]:
    """A completed, a failed and a cancelled run, with requests about them."""
    completed, cancelled = [await identified(service, "Work", name) for name in "ab"]
    await resolve_one(service, confirm(only(completed)), request_id="a")
    failed = await identified(service, "Broken", "c")
    request = v1.CancelRunRequest(run_id=cancelled.run_id, request_id="b")
    await service.runs.CancelRun(request)
    return [await service_rest(service, one) for one in (completed, cancelled, failed)]


async def service_rest(service: Served, run: v1.Run) -> v1.Run:
    return (await service.runs.WaitRun(v1.WaitRunRequest(run_id=run.run_id))).run


async def test_what_ended_long_ago_goes_and_all_else_stays(database_url: str) -> None:
    clock, ledger, point = Clock(), Ledger(), Point()
    async with clock.serving(app(ledger, point), database_url, HOUR) as service:
        old = await ended_in_every_way(service)
        states = {v1.RUN_STATE_COMPLETED, v1.RUN_STATE_FAILED, v1.RUN_STATE_CANCELLED}
        assert {one.state for one in old} == states
        paused = await identified(service, "Work", "d")
        running = await start(service, "Hold")
        await point.entered.wait()
        clock.pass_by(1)
        young = await ended_in_every_way_again(service)
        kept = [paused, running, young]
        before = {one.run_id: (await get(service, one), await service.events(one)) for one in kept}
        rows = await counts(service)
        # On the dot, it is not yet longer ago than it is kept.
        clock.pass_by(3_600 - 1)
        await sweep(service)
        assert await counts(service) == rows
        clock.pass_by(1)
        await sweep(service)
        after = await counts(service)
        for table in OF_RUNS:
            for one in old:
                assert rows[table][one.run_id] or table == "requirements", table
                assert not after[table][one.run_id], table
            for one in kept:
                assert after[table][one.run_id] == rows[table][one.run_id]
        for one in kept:
            shown = (await get(service, one), await service.events(one))
            assert shown == before[one.run_id]
        listed = (await service.runs.ListRuns(v1.ListRunsRequest())).runs
        assert {one.run_id for one in listed} == {one.run_id for one in kept}
        sessions = await service.sessions.GetSession(v1.GetSessionRequest(session_id="s"))
        assert sessions.session.session_id == "s"
        # What waits has lost nothing: it goes on.
        ended = await service.resolve(paused, confirm(only(paused)))
        assert ended.state == v1.RUN_STATE_COMPLETED
        point.released.set()
        assert (await service_rest(service, running)).state == v1.RUN_STATE_COMPLETED


async def ended_in_every_way_again(service: Served) -> v1.Run:
    run = await identified(service, "Work", "e")
    await service.resolve(run, reject(only(run)))
    return await get(service, run)


async def test_who_asks_for_a_run_that_is_gone_is_told(database_url: str) -> None:
    clock = Clock()
    async with clock.serving(app(Ledger(), Point()), database_url, HOUR) as service:
        paused = await service.run("Work")
        asked = only(paused)
        ended = await service.resolve(paused, confirm(asked))
        clock.pass_by(3_601)
        await sweep(service)
        run_id = ended.run_id
        gone: list[Awaitable[object]] = [
            service.runs.GetRun(v1.GetRunRequest(run_id=run_id)),
            service.runs.WaitRun(v1.WaitRunRequest(run_id=run_id)),
            service.runs.CancelRun(v1.CancelRunRequest(run_id=run_id)),
            service.runs.ListRunEvents(v1.ListRunEventsRequest(run_id=run_id)),
            service.resolve(ended),
            service.resolve(ended, confirm(asked)),
            events_of(service.runs.WatchRun(v1.WatchRunRequest(run_id=run_id))),
            events_of(
                service.runs.WatchRun(
                    v1.WatchRunRequest(run_id=run_id, after_sequence=ended.last_sequence)
                )
            ),
        ]
        for request in gone:
            problem = await refused(request)
            assert (problem.code, problem.reason) == (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")
            assert problem.metadata == {"run_id": run_id}
        problem = await refused(resolve_one(service, confirm(asked)))
        assert problem.reason == "REQUIREMENT_NOT_FOUND"


async def test_a_reader_whose_run_goes_meanwhile_is_told(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must neither hang nor pass what it has read for all there was."""
    monkeypatch.setattr("interlock_server.limits.stream_batch_events_max", 1)
    clock = Clock()
    async with clock.serving(app(Ledger(), Point()), database_url, HOUR) as service:
        ended = await service.run("Broken")
        hub = service.runtime.hub
        stored = Reader(service.runtime.database)
        reader = tail(stored, hub, Watch(ended.run_id), lambda: False)
        first = await anext(reader)
        assert first is not None
        assert [one.sequence for one in first.events] == [1]
        clock.pass_by(3_601)
        await sweep(service)
        with pytest.raises(RunNotFound):
            await anext(reader)


async def test_a_request_id_is_free_again(database_url: str) -> None:
    clock = Clock()
    async with clock.serving(app(Ledger(), Point()), database_url, HOUR) as service:
        first = await identified(service, "Broken", "once")
        clock.pass_by(3_600)
        await sweep(service)
        assert (await identified(service, "Broken", "once")).run_id == first.run_id
        clock.pass_by(1)
        await sweep(service)
        second = await identified(service, "Broken", "once")
        assert second.run_id != first.run_id
        assert second.state == v1.RUN_STATE_FAILED


async def test_without_a_retention_everything_stays(database_url: str) -> None:
    clock = Clock()
    async with clock.serving(app(Ledger(), Point()), database_url) as service:
        ended = await service.run("Broken")
        clock.pass_by(100 * 366 * 24 * 3_600)
        await sweep(service)
        assert await get(service, ended) == ended


async def test_more_than_a_sweep_takes_at_once_goes_too(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "_CHORE_COUNT", 2)
    clock = Clock()
    async with clock.serving(app(Ledger(), Point()), database_url, HOUR, servers=2) as service:
        for _ in range(5):
            await service.run("Broken")
        waiting = await service.run("Work")
        clock.pass_by(3_601)
        await asyncio.gather(*(one.runtime.sweep() for one in service.replicas))
        listed = (await service.runs.ListRuns(v1.ListRunsRequest())).runs
        assert list(listed) == [waiting]
        assert len(open_requirements(listed[0])) == 1
