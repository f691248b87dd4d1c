"""A process that stood still past its lease: it asks whose the run is before it does anything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text
from tests.support.clock import Clock
from tests.support.service import Served, confirm, open_requirements
from tests.support.workbench import Ledger, agent_app, app_of, get, only, rest, start

from interlock import v1
from interlock_server import Interlock, Step, call
from interlock_server.runtime import leg
from interlock_server.runtime.runtime import Timing
from interlock_server.store.commits import run_commit
from interlock_server.store.records import Progress

QUICK = Timing(lease=10, commit_delay=0)


def calling(ledger: Ledger) -> Interlock:
    return agent_app([call("act", what="it"), "done"], ledger.gated())


def working(ledger: Ledger) -> Interlock:
    def act(given: Any) -> str:
        ledger.calls.append("it")
        return "did it"

    return app_of(Step(name="work", executor=act, on_interrupt="ask"))


def after_the_start(
    monkeypatch: pytest.MonkeyPatch, happens: Callable[[], Awaitable[object]]
) -> asyncio.Event:
    """Something happens, once, when the start of an effect is stored and not yet acknowledged."""
    is_over = asyncio.Event()

    async def committing(database: Any, lease: Any, progress: Progress, *more: Any) -> Any:
        committed = await run_commit(database, lease, progress, *more)
        if (
            committed
            and not is_over.is_set()
            and any(one.value is None for one in progress.entries)
        ):
            is_over.set()
            await happens()
        return committed

    monkeypatch.setattr(leg, "run_commit", committing)
    return is_over


async def begun(service: Served, is_over: asyncio.Event) -> v1.Run:
    """A run that has begun its effect, in whichever way."""
    run = await start(service)
    resting = asyncio.ensure_future(rest(service, run))
    beginning = asyncio.ensure_future(is_over.wait())
    await asyncio.wait([resting, beginning], return_when=asyncio.FIRST_COMPLETED)
    if not is_over.is_set() and open_requirements(await resting):
        await service.resolve(run, confirm(only(await resting)))
    await beginning
    return run


@pytest.mark.parametrize("make", [calling, working])
@pytest.mark.parametrize("position", [0, 1], ids=["itself", "another"])
async def test_it_does_not_perform_what_was_taken_over_meanwhile(
    database_url: str, monkeypatch: pytest.MonkeyPatch, make: Any, position: int
) -> None:
    """Whoever took over cannot know whether it happened, so it must not happen any more."""
    clock, ledger = Clock(), Ledger()
    async with clock.serving(make(ledger), database_url, QUICK, servers=2) as service:
        owner, taker = service.replicas[0], service.replicas[position]

        async def freezes() -> None:
            clock.pass_by(11)
            await taker.runtime.take_over()

        run = await begun(owner, after_the_start(monkeypatch, freezes))
        paused = await rest(service, run)
        legs = [task for one in service.replicas for task in one.runtime._legs.values()]
        await asyncio.gather(*legs)
        [step] = paused.step_requirements
        [doubt] = [*step.executor_requirements, *step.step_requirements]
        assert doubt.kind == v1.REQUIREMENT_KIND_IN_DOUBT
        assert ledger.calls == []
        retry = v1.RequirementResolution(requirement_id=doubt.requirement_id, retry=v1.Retry())
        ended = await service.resolve(paused, retry)
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == ["it"]


@pytest.mark.parametrize("make", [calling, working])
async def test_it_goes_on_with_what_is_still_its_own(
    database_url: str, monkeypatch: pytest.MonkeyPatch, make: Any
) -> None:
    clock, ledger = Clock(), Ledger()
    # It is late, but nobody else was there; and it holds the run again before it goes on.
    lazy = Timing(lease=1e6, commit_delay=0)
    async with clock.serving(make(ledger), database_url, lazy, servers=1) as service:

        async def freezes() -> None:
            clock.pass_by(1e6 + 1)

        run = await begun(service, after_the_start(monkeypatch, freezes))
        ended = await rest(service, run)
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == ["it"]


async def test_it_holds_the_run_again_before_it_performs(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, lazy = Clock(), Timing(lease=1e6, commit_delay=0)
    until: list[Any] = []

    async def act(given: Any) -> str:
        rows = await service.runtime.database.fetch(text("SELECT lease_until FROM runs"))
        until.append(rows[0].lease_until)
        return "did it"

    app = app_of(Step(name="work", executor=act, on_interrupt="fail"))
    async with clock.serving(app, database_url, lazy, servers=1) as service:

        async def freezes() -> None:
            clock.pass_by(1e6 + 1)

        run = await begun(service, after_the_start(monkeypatch, freezes))
        assert (await rest(service, run)).state == v1.RUN_STATE_COMPLETED
    assert until == [clock.after(1e6)]


async def test_a_run_that_ended_meanwhile_is_left_as_it_is(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, ledger = Clock(), Ledger()
    async with clock.serving(calling(ledger), database_url, QUICK, servers=2) as service:
        owner, other = service.replicas

        async def freezes() -> None:
            clock.pass_by(11)
            await other.runtime.take_over()
            doubt = only(await rest(other, run))
            result = v1.ExternalResult(result_json='"by hand"')
            answer = v1.RequirementResolution(
                requirement_id=doubt.requirement_id, external_result=result
            )
            ended.append(await other.resolve(run, answer))

        ended: list[v1.Run] = []
        is_over = after_the_start(monkeypatch, freezes)
        run = await start(owner)
        await owner.resolve(run, confirm(only(await rest(owner, run))))
        assert is_over.is_set()
        await asyncio.gather(*owner.runtime._legs.values())
        assert [await get(service, run)] == ended
    assert ended[0].state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == []
