"""An owner that wakes up after another server took its run over writes nothing.

Each case is one way in which an owner writes. All rows of the database are compared,
to the byte and to the version; and as a control, an owner that still holds its run
does write.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import text
from tests.races.replicas import cancel_is_stored, deafen, replicas, seen_everywhere
from tests.support.service import Served, confirm, open_requirements
from tests.support.workbench import Ledger, Point, agent, app_of, is_dense, rest, start

from interlock import v1
from interlock_server import Interlock, RunContext, Step, call, tool
from interlock_server.runtime.leg import Leg
from interlock_server.runtime.runtime import Timing
from interlock_server.store.tables import metadata

# Leases outlast the test, and progress is stored at once.
_TIMING = Timing(lease=3_600, commit_delay=0)


@dataclass
class Turns:
    """Holds whoever comes by: the first one at the first point, the next one at the next."""

    points: list[Point] = field(default_factory=lambda: [Point() for _ in range(4)])
    taken: int = 0

    async def pass_through(self) -> str:
        self.taken += 1
        await self.points[self.taken - 1].pass_through()
        return "held"

    def release(self) -> None:
        """Holds nobody any more."""
        for point in self.points:
            point.released.set()


@dataclass
class Scene:
    """A run that a server holds, and holds up in an effect.

    Args:
        leg: the owner's, with the task that it is.
    """

    service: Served
    turns: Turns
    run: v1.Run
    leg: tuple[Leg, asyncio.Task[None]]

    @property
    def owner(self) -> Served:
        return self.service.replicas[0]

    @property
    def other(self) -> Served:
        return self.service.replicas[1]

    async def wakes(self) -> None:
        """The effect ends, and the owner does what it then does."""
        _, task = self.leg
        following = self.turns.points[self.turns.taken]
        self.turns.points[0].released.set()
        await _first_of(task, following.entered.wait())
        following.released.set()
        await task


async def _first_of(task: asyncio.Future[Any], other: Coroutine[Any, Any, Any]) -> None:
    """Waits until one of both has come."""
    waiting = asyncio.ensure_future(other)
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


# What comes after the effect.

Steps = Callable[[Turns, Ledger], list[Step]]


def _held(turns: Turns) -> Step:
    async def hold(given: Any) -> str:
        return await turns.pass_through()

    return Step(name="hold", executor=hold)


def _nothing(turns: Turns, ledger: Ledger) -> list[Step]:
    return [_held(turns)]


def _another_effect(turns: Turns, ledger: Ledger) -> list[Step]:
    async def again(given: Any) -> str:
        return await turns.pass_through()

    return [_held(turns), Step(name="again", executor=again)]


def _state_of_the_session(turns: Turns, ledger: Ledger) -> list[Step]:
    async def remember(given: Any, run_context: RunContext) -> str:
        run_context.session_state["seen"] = "it"
        return await turns.pass_through()

    return [Step(name="hold", executor=remember)]


def _a_failure(turns: Turns, ledger: Ledger) -> list[Step]:
    async def fail(given: Any) -> str:
        await turns.pass_through()
        raise RuntimeError("broken")

    return [Step(name="hold", executor=fail)]


def _a_question(turns: Turns, ledger: Ledger) -> list[Step]:
    asks = agent([call("act", what="it"), "done"], ledger.gated())
    return [_held(turns), Step(name="ask", agent=asks)]


def _a_gated_call(turns: Turns, ledger: Ledger) -> list[Step]:
    async def hold() -> str:
        return await turns.pass_through()

    calls = [call("hold"), call("act", what="it")]
    tools = [tool(name="hold", requires_confirmation=True)(hold), ledger.gated()]
    return [Step(name="work", agent=agent([calls, "done"], *tools))]


# What happens to the owner.

Wake = Callable[[Scene], Awaitable[None]]


async def _goes_on(scene: Scene) -> None:
    await scene.wakes()


async def _cancels(scene: Scene) -> None:
    await scene.wakes()


async def _hands_over(scene: Scene) -> None:
    stopping = asyncio.ensure_future(scene.owner.runtime.stop(10))
    await asyncio.sleep(0)  # It has asked its runs to stop now, and waits for them.
    await scene.wakes()
    await stopping


async def _is_stopped(scene: Scene) -> None:
    await scene.owner.runtime.stop(0)


async def _renews(scene: Scene) -> None:
    await scene.owner.runtime.keep_leases()


_CASES: dict[str, tuple[Steps, Wake]] = {
    "progress": (_another_effect, _goes_on),
    "state of the session": (_state_of_the_session, _goes_on),
    "the start of a gated call": (_a_gated_call, _goes_on),
    "a pause": (_a_question, _goes_on),
    "an end": (_nothing, _goes_on),
    "a failed end": (_a_failure, _goes_on),
    "a cancelled end": (_nothing, _cancels),
    "giving the run back after the effect": (_nothing, _hands_over),
    "giving the run back amid the effect": (_nothing, _is_stopped),
    "renewing the lease": (_nothing, _renews),
}


@asynccontextmanager
async def _played(app: Interlock, turns: Turns, database_url: str) -> AsyncIterator[Scene]:
    """A run as far as the effect in which its owner is held, with all that was before stored."""
    async with replicas(app, database_url, _TIMING) as service:
        for one in service.replicas:
            deafen(one)  # It would renew its leases when it hears of a run that it holds.
        owner = service.replicas[0]
        run = await start(owner)
        held = turns.points[0].entered
        asking = asyncio.ensure_future(rest(owner, run))
        await _first_of(asking, held.wait())
        if asking.done():
            answers = [confirm(one) for one in open_requirements(asking.result())]
            request = v1.ContinueRunRequest(run_id=run.run_id, resolutions=answers)
            request.wait_timeout.SetInParent()
            await owner.runs.ContinueRun(request)
            await held.wait()
        asking.cancel()
        [(leg, task)] = owner.runtime._legs.items()
        assert leg._recorder is not None
        await leg._recorder.flush()
        try:
            yield Scene(service, turns, run, (leg, task))
        finally:
            turns.release()


async def _taken_over(scene: Scene) -> None:
    """The owner is thought dead; another server goes on, as far as it comes."""
    late = text("UPDATE runs SET lease_until = create_time - interval '1 hour'")
    await scene.service.runtime.database.fetch(late)
    await scene.other.runtime.take_over()
    [task] = scene.other.runtime._legs.values()
    await _first_of(task, scene.turns.points[1].entered.wait())


async def _cancelled(scene: Scene) -> None:
    """Somebody cancels the run through its owner, or through who was that."""
    request = v1.CancelRunRequest(run_id=scene.run.run_id, reason="enough")
    await scene.owner.runs.CancelRun(request)


async def _rows(service: Served) -> list[Any]:
    """Every row of every table, with its place and the transaction that wrote it."""
    every = "SELECT ctid::text, xmin::text, * FROM {}"
    async with service.runtime.database.transaction() as connection:
        return [
            (table.name, sorted(map(str, await connection.fetch(text(every.format(table.name))))))
            for table in metadata.sorted_tables
        ]


@pytest.mark.parametrize("is_stale", [True, False], ids=["stale", "control"])
@pytest.mark.parametrize("name", _CASES)
async def test_only_who_holds_the_run_writes(
    database_url: str, name: str, *, is_stale: bool
) -> None:
    steps, wake = _CASES[name]
    turns, ledger = Turns(), Ledger()
    async with _played(app_of(*steps(turns, ledger)), turns, database_url) as scene:
        if is_stale:
            await _taken_over(scene)
        cancelling = asyncio.ensure_future(_cancelled(scene)) if wake is _cancels else None
        if cancelling:
            await cancel_is_stored(scene.service, scene.run)
            while scene.leg[0]._stop is None:
                await asyncio.sleep(0)
        before = await _rows(scene.service)
        await wake(scene)
        assert (await _rows(scene.service) == before) == is_stale
        if is_stale:
            assert ledger.calls == []
            # And the one that took over is not disturbed.
            turns.release()
            if cancelling:
                await cancelling
            run, events = await seen_everywhere(scene.service, await rest(scene.other, scene.run))
            assert is_dense(events)
            assert len(events) == run.last_sequence
