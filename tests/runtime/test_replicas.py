"""Two servers on one database: what one does, the other learns at once, not with the next chore."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import TextClause, text
from tests.support.service import Served, served
from tests.support.workbench import (
    Point,
    app_of,
    events_of,
    hand_over,
    kinds,
    rest,
    shows,
    start,
)

from interlock import v1
from interlock_server import Step, StepInput
from interlock_server.runtime import tail
from interlock_server.runtime.runtime import Timing
from interlock_server.store.database import Database
from interlock_server.store.notify import Announcer
from interlock_server.store.records import Tip
from interlock_server.store.runs import run_tip

NEVER = Timing(lease=3_600.0)
"""Chores come round so seldom that a test would not see the next one."""


@asynccontextmanager
async def two(point: Point, url: str, later: list[str]) -> AsyncIterator[tuple[Served, Served]]:
    """Two servers; a workflow of them is held in its first step, and notes its second one."""

    async def note(given: StepInput) -> str:
        later.append(given.previous_step_content)
        return "noted"

    app = app_of(Step(name="hold", executor=point.step), Step(name="note", executor=note))
    async with served(app, url, NEVER) as one, served(app, url, NEVER) as other:
        await all_listen(one, count=2)
        yield one, other


async def all_listen(service: Served, count: int) -> None:
    """Comes back when so many servers hear of what others do."""
    listening = text(
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'"
    )
    await shows(service, listening, count)


async def test_what_a_server_hands_over_goes_on_at_once_elsewhere(database_url: str) -> None:
    point, later = Point(), list[str]()
    async with two(point, database_url, later) as (one, other):
        run = await start(one)
        await point.entered.wait()
        await hand_over(one, point)
        async with asyncio.timeout(30):
            ended = await rest(other, run)
        assert ended.state == v1.RUN_STATE_COMPLETED
        assert later == ["held"]
        assert point.passed == 1


async def test_what_is_being_announced_is_sent_before_a_server_stops(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sends the rest waits for the message that is on its way, and may stop after that."""
    announcer, begun, goes_on = Announcer(database, "me"), asyncio.Event(), asyncio.Event()
    sent: list[Any] = []

    async def slow(statement: TextClause, parameters: Mapping[str, Any]) -> None:
        begun.set()
        await goes_on.wait()
        sent.append(parameters["payload"])

    monkeypatch.setattr(database, "fetch", slow)
    announcer.announce("run")
    sending = asyncio.create_task(announcer.run())
    await begun.wait()
    rest_of_it = asyncio.create_task(announcer.send())
    await asyncio.sleep(0)
    assert not rest_of_it.done()
    goes_on.set()
    await rest_of_it
    sending.cancel()
    assert sent == ["me,run"]


async def test_other_servers_are_told_where_a_run_is(database_url: str) -> None:
    async with two(Point(), database_url, []) as (one, other):
        announcer = one.runtime._announcer
        with other.runtime.hub.subscribe("run") as waiter:
            announcer.announce("run", Tip(v1.RUN_STATE_PAUSED, 7))
            assert await waiter.wait(10)
            assert waiter.tip == Tip(v1.RUN_STATE_PAUSED, 7)
            assert not waiter.must_look()
            announcer.announce("run")
            announcer.announce("run", Tip(v1.RUN_STATE_RUNNING, 8))
            assert await waiter.wait(10)
            assert waiter.must_look(), "something else happened, of which only the store knows"


async def test_a_watcher_elsewhere_need_not_look_where_the_run_is(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "_POLL_SECONDS", 3_600.0)
    looks = list[str]()

    async def noting(database: Database, run_id: str) -> Tip | None:
        looks.append(run_id)
        return await run_tip(database, run_id)

    point = Point()
    async with two(point, database_url, []) as (one, other):
        run = await start(one)
        await point.entered.wait()
        request = v1.WatchRunRequest(run_id=run.run_id, after_sequence=run.last_sequence)
        stream = aiter(other.runs.WatchRun(request))
        assert (await anext(stream)).HasField("snapshot")
        monkeypatch.setattr(tail, "run_tip", noting)
        point.released.set()
        events = await events_of(stream)
    assert kinds(events)[-1] == "workflow_completed"
    assert looks == []


async def test_a_cancel_reaches_the_server_that_holds_the_run(database_url: str) -> None:
    point, later = Point(), list[str]()
    async with two(point, database_url, later) as (one, other):
        run = await start(one)
        await point.entered.wait()
        await other.runs.CancelRun(v1.CancelRunRequest(run_id=run.run_id, reason="enough"))
        [leg] = one.runtime._legs
        async with asyncio.timeout(30):
            while leg._stop is None:
                await asyncio.sleep(0.01)
        point.released.set()
        ended = await rest(other, run)
        events = await other.events(run)
    assert ended.state == v1.RUN_STATE_CANCELLED
    assert later == []
    assert kinds(events)[-1] == "workflow_cancelled"
    assert events[-1].workflow_cancelled.reason == "enough"
