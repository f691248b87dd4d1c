"""A person, a cancel and the clock race for a question: one wins, and all are told the truth."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from random import Random
from typing import Any, get_args

import grpc
import pytest
from tests.races.replicas import assert_ended_once, told
from tests.support.clock import Clock
from tests.support.service import Refusal, Served, confirm, reject
from tests.support.workbench import ENDED, agent, kinds, only, resolve_one, rest

from interlock import v1
from interlock_server import Interlock, RunContext, Step, Workflow, call, tool
from interlock_server.authoring.reviews import OnTimeout
from interlock_server.store.events import events_after
from interlock_server.store.requirements import requirement_get

CONTESTS = 1_000
AT_ONCE = 20
SECONDS = 60.0

IN_TIME = {
    "approve": v1.RUN_STATE_COMPLETED,
    "reject": v1.RUN_STATE_COMPLETED,
    "skip": v1.RUN_STATE_COMPLETED,
    "fail": v1.RUN_STATE_FAILED,
    "cancel": v1.RUN_STATE_CANCELLED,
}
"""`on_timeout`, and how a run ends when its time is over and nobody does anything else."""


def contested(performed: Counter[str]) -> Interlock:
    """Workflows whose one tool waits for a person, but not for ever; it counts its calls by run."""

    async def act(run_context: RunContext) -> str:
        performed[run_context.run_id] += 1
        return "done"

    workflows = []
    for on_timeout in get_args(OnTimeout):
        gated = tool(requires_confirmation=True, timeout=SECONDS, on_timeout=on_timeout)(act)
        worker = agent([call("act"), "done"], gated, name=on_timeout)
        workflows.append(Workflow(name=on_timeout, steps=[Step(name="work", agent=worker)]))
    return Interlock(workflows)


@dataclass
class Contest:
    """One paused run, and what those who race for it are told."""

    run: v1.Run
    asked: v1.Requirement
    answer: v1.RequirementResolution
    decided: object = None
    cancelled: object = None

    async def decide(self, service: Served, *, continues: bool) -> None:
        """A person decides."""
        if continues:
            self.decided = await told(service.resolve(self.run, self.answer))
        else:
            self.decided = await told(resolve_one(service, self.answer))

    async def cancel(self, service: Served) -> None:
        """Somebody cancels the run."""
        request = v1.CancelRunRequest(run_id=self.run.run_id, reason="enough")
        self.cancelled = await told(service.runs.CancelRun(request))

    async def winner(self, service: Served, performed: Counter[str]) -> str:
        """Who won, which has to be the same wherever one looks."""
        run = await rest(service, self.run)
        calls = performed[run.run_id]
        events = await events_after(service.runtime.database, run.run_id, 0, run.last_sequence + 1)
        assert_ended_once(run, events)
        assert not run.step_requirements
        asked = await requirement_get(service.runtime.database, self.asked.requirement_id)
        assert asked is not None
        assert (asked.on_timeout, asked.expire_time) == (
            self.asked.on_timeout,
            self.asked.expire_time,
        )
        happened = Counter(kinds(events))
        assert happened["requirement_resolved"] == (asked.state == v1.REQUIREMENT_STATE_RESOLVED)
        assert happened["requirement_expired"] == (asked.state == v1.REQUIREMENT_STATE_EXPIRED)
        match asked.state:
            case v1.REQUIREMENT_STATE_RESOLVED:
                winner, ends_as = "person", v1.RUN_STATE_COMPLETED
                assert not isinstance(self.decided, Refusal), self.decided
                assert asked.resolution == self.answer
            case v1.REQUIREMENT_STATE_EXPIRED:
                winner, ends_as = "clock", IN_TIME[self.run.workflow_id]
                self._assert_refused("REQUIREMENT_EXPIRED")
            case _:
                winner, ends_as = "cancel", v1.RUN_STATE_CANCELLED
                assert asked.state == v1.REQUIREMENT_STATE_CANCELLED
                assert events[-1].workflow_cancelled.reason == "enough"
                self._assert_refused("REQUIREMENT_CANCELLED")
        # Who cancels a run that goes on already may still be in time for that.
        assert run.state in (ends_as, v1.RUN_STATE_CANCELLED)
        goes_on = winner != "cancel" and ends_as != v1.RUN_STATE_CANCELLED
        assert happened["workflow_continued"] == goes_on
        assert isinstance(self.cancelled, v1.CancelRunResponse)
        assert self.cancelled.run.state in (v1.RUN_STATE_RUNNING, *ENDED)
        assert self.cancelled.run.state == v1.RUN_STATE_RUNNING or self.cancelled.run == run
        is_yes = goes_on and asked.resolution.HasField("confirm")
        assert calls <= is_yes
        assert calls == is_yes or run.state == v1.RUN_STATE_CANCELLED
        return winner

    def _assert_refused(self, reason: str) -> None:
        assert isinstance(self.decided, Refusal), self.decided
        assert self.decided.code is grpc.StatusCode.FAILED_PRECONDITION
        assert self.decided.reason == reason
        assert self.decided.metadata["requirement_id"] == self.asked.requirement_id


async def pause(service: Served, random: Random) -> Contest:
    run = await service.run(random.choice(list(IN_TIME)))
    asked = only(run)
    return Contest(run, asked, random.choice((confirm, reject))(asked))


async def race(service: Served, random: Random, clock: Clock, *, with_clock: bool) -> list[Contest]:
    """Contests side by side, with all racers in one order of chance."""
    contests = await asyncio.gather(*(pause(service, random) for _ in range(AT_ONCE)))
    racers: list[Coroutine[Any, Any, None]] = []
    for one in contests:
        racers.append(one.decide(service, continues=random.random() < 0.5))
        racers.append(one.cancel(service))
    random.shuffle(racers)
    timers: list[Coroutine[Any, Any, None]] = []
    if with_clock:
        clock.pass_by(SECONDS)
        timers = [one.runtime.fire_timers() for one in service.replicas]
    # Clocks go from one question to the next, so a crowd of people would leave them nothing.
    room = asyncio.Semaphore(random.choice((2, 4, 40)))
    await asyncio.gather(*timers, *(_in(room, one) for one in racers))
    return list(contests)


async def _in(room: asyncio.Semaphore, racer: Coroutine[Any, Any, None]) -> None:
    async with room:
        await racer


@pytest.mark.slow
@pytest.mark.parametrize("with_clock", [False, True], ids=["two", "three"])
async def test_one_wins_and_all_are_told_the_truth(database_url: str, *, with_clock: bool) -> None:
    clock, random, performed = Clock(), Random(1), Counter[str]()
    wins: Counter[str] = Counter()
    async with clock.serving(contested(performed), database_url, servers=3) as service:
        for _ in range(CONTESTS // AT_ONCE):
            contests = await race(service, random, clock, with_clock=with_clock)
            wins += Counter(
                await asyncio.gather(*(one.winner(service, performed) for one in contests))
            )
    print(dict(wins))
    assert wins.total() == CONTESTS
    assert wins["person"]
    assert wins["cancel"]
    assert bool(wins["clock"]) == with_clock
