"""Two servers on one database: what one does, the other learns at once, not with the next chore."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from tests.support.service import Served, served
from tests.support.workbench import Point, app_of, hand_over, kinds, rest, start

from interlock import v1
from interlock_server import Step, StepInput
from interlock_server.runtime.runtime import Timing

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
    async with asyncio.timeout(10):
        while len(await service.runtime.database.fetch(listening)) < count:
            await asyncio.sleep(0.005)


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
