"""Three servers on one database, and what callers of them are told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import TypeVar

import grpc
from sqlalchemy import text
from tests.support.service import Refusal, Served, refusal, served
from tests.support.workbench import LAST_KINDS, kinds

from interlock import v1

T = TypeVar("T")

replicas = partial(served, servers=3)
"""Serves an app with three servers; each call goes to the next one."""


def deafen(server: Served) -> None:
    """Lets a server miss that others did something to its runs; it learns that from the store."""
    server.runtime._is_called = asyncio.Event()  # Which nobody waits for.


async def cancel_is_stored(service: Served, run: v1.Run) -> None:
    """Comes back when somebody has asked to cancel a run, whether or not its owner knows."""
    asked = text("SELECT run_id FROM runs WHERE run_id = :run_id AND cancel_requested")
    while not await service.runtime.database.fetch(asked, {"run_id": run.run_id}):
        await asyncio.sleep(0.005)


async def told(call: Awaitable[T]) -> T | Refusal:
    """What a caller is told: an answer or a refusal."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        return refusal(error)


async def seen_everywhere(service: Served, run: v1.Run | str) -> tuple[v1.Run, list[v1.RunEvent]]:
    """A run with its events, as every replica shows it."""
    run_id = run if isinstance(run, str) else run.run_id
    views = []
    for one in service.replicas:
        shown = (await one.runs.GetRun(v1.GetRunRequest(run_id=run_id))).run
        views.append((shown, await one.events(shown)))
    assert all(view == views[0] for view in views)
    return views[0]


def assert_ended_once(run: v1.Run, events: list[v1.RunEvent]) -> None:
    """The last event is the only one that ends the run, and none is missing."""
    assert [one.sequence for one in events] == list(range(1, run.last_sequence + 1))
    ends = [one for one in kinds(events) if one in LAST_KINDS]
    assert ends == kinds(events)[-1:]
