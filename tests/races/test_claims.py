"""Workers race for calls, and with people and the clock: each call is one worker's at a time."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Coroutine
from random import Random
from typing import Any

import pytest
from tests.races.replicas import assert_ended_once, replicas, seen_everywhere, told
from tests.support.claims import (
    SECONDS,
    away,
    calls_at_once,
    claim,
    claimed,
    one_call,
    release,
    renew,
    report,
)
from tests.support.clock import Clock, requirement_now
from tests.support.service import Refusal, Served, reject
from tests.support.workbench import agent_app, kinds, resolve_one, rest, start

from interlock import v1
from interlock_server import call

WORKERS = 16
CONTESTS = 300
AT_ONCE = 15


@pytest.mark.slow
async def test_each_call_is_claimed_once(database_url: str) -> None:
    """200 calls, and 16 workers over three servers."""
    done: defaultdict[str, list[v1.Requirement]] = defaultdict(list)
    runs_count, calls_count = 20, 10

    async def work(service: Served, name: str) -> None:
        while sum(map(len, done.values())) < runs_count * calls_count:
            held = await claim(service, "fetch", "store", worker=name, wait=0.5)
            if held is not None:
                assert held.claim.worker_id == name
                done[held.requirement_id].append(held)
                await report(service, held, held.tool_execution.tool_args_json)

    app = calls_at_once(*["fetch", "store"] * (calls_count // 2))
    async with replicas(app, database_url) as service:
        workers = [asyncio.ensure_future(work(service, f"w{n}")) for n in range(WORKERS)]
        runs = [await start(service) for _ in range(runs_count)]
        async with asyncio.timeout(120):
            await asyncio.gather(*workers)
        for run in runs:
            assert (await rest(service, run)).state == v1.RUN_STATE_COMPLETED
    assert len(done) == runs_count * calls_count
    assert all(len(claims) == 1 for claims in done.values())
    assert {one.claim.epoch for [one] in done.values()} == {1}
    assert len({one.claim.worker_id for [one] in done.values()}) == WORKERS


@pytest.mark.slow
async def test_workers_that_vanish_hold_nothing_up_and_change_nothing(database_url: str) -> None:
    """Some die with a call in hand; some come back late, when another one has it."""
    clock, random = Clock(), Random(1)
    stale: list[v1.Requirement] = []
    recorded: Counter[str] = Counter()
    epochs: defaultdict[str, list[int]] = defaultdict(list)

    async def work(service: Served, name: str) -> None:
        while recorded.total() < 100:
            held = await claim(service, worker=name, wait=0.1)
            if held is None:
                clock.pass_by(SECONDS / 3)
                continue
            epochs[held.requirement_id].append(held.claim.epoch)
            match random.randrange(4):
                case 0:
                    stale.append(held)
                case 1:
                    await release(service, held)
                case _:
                    answer = await told(report(service, held, f'"{held.claim.epoch}"'))
                    if isinstance(answer, Refusal):
                        assert answer.reason == "CLAIM_LOST"
                    else:
                        recorded[held.requirement_id] += 1
            if stale and random.random() < 0.5:
                late = stale.pop(random.randrange(len(stale)))
                answer = await told(report(service, late, '"late"'))
                if isinstance(answer, Refusal):
                    assert answer.reason in ("CLAIM_LOST", "REQUIREMENT_ALREADY_RESOLVED")
                else:
                    recorded[late.requirement_id] += 1

    app = calls_at_once(*["fetch"] * 5)
    async with clock.serving(app, database_url, servers=3) as service:
        runs = [await start(service) for _ in range(20)]
        async with asyncio.timeout(240):
            await asyncio.gather(*(work(service, f"w{n}") for n in range(WORKERS)))
        for run in runs:
            ended = await rest(service, run)
            assert ended.state == v1.RUN_STATE_COMPLETED
            assert kinds(await service.events(ended)).count("requirement_resolved") == 5
    assert set(recorded.values()) == {1}
    assert len(recorded) == 100
    for claims in epochs.values():
        assert len(set(claims)) == len(claims), "no epoch is given twice"
    assert max(map(len, epochs.values())) > 2


class Contest:
    """One call that a worker holds, and all that happens to it at once."""

    def __init__(self, run: v1.Run, held: v1.Requirement, *, is_over: bool) -> None:
        self.run = run
        self.held = held
        self.is_over = is_over
        self.heard: dict[str, object] = {}

    def racers(self, service: Served) -> dict[str, Coroutine[Any, Any, Any]]:
        """Those who race: the first worker, one who takes over, a person, and a cancel."""
        return {
            "first": report(service, self.held, '"first"'),
            "second": self._second(service),
            "person": resolve_one(service, reject(self.held, "no")),
            "cancel": self._cancel(service),
        }

    async def _cancel(self, service: Served) -> object:
        return await service.runs.CancelRun(v1.CancelRunRequest(run_id=self.run.run_id))

    async def _second(self, service: Served) -> object:
        """Another worker, who gets this call or one of another contest."""
        taken = await claim(service, worker="second")
        return taken and (taken, await told(report(service, taken, '"second"')))

    async def hear(self, name: str, racer: Coroutine[Any, Any, Any]) -> None:
        self.heard[name] = await told(racer)


@pytest.mark.slow
@pytest.mark.parametrize("is_over", [False, True], ids=["held", "over"])
async def test_one_wins_and_all_are_told_the_truth(database_url: str, *, is_over: bool) -> None:
    clock, random = Clock(), Random(2)
    wins: Counter[str] = Counter()
    async with clock.serving(one_call(), database_url, servers=3) as service:
        for _ in range(CONTESTS // AT_ONCE):
            contests = []
            for _ in range(AT_ONCE):
                run = await service.run("Work")
                contests.append(Contest(run, await claimed(service), is_over=is_over))
            clock.pass_by(SECONDS if is_over else 0)
            racers = [
                one.hear(name, racer)
                for one in contests
                for name, racer in one.racers(service).items()
            ]
            random.shuffle(racers)
            room = asyncio.Semaphore(random.choice((2, 4, 60)))
            await asyncio.gather(*(_in(room, one) for one in racers))
            wins += await judged(service, contests)
    print(dict(wins))
    assert wins.total() == CONTESTS
    assert wins["first"]
    assert wins["person"]
    assert wins["cancel"]
    assert bool(wins["second"]) == is_over


async def judged(service: Served, contests: list[Contest]) -> Counter[str]:
    """Who won each, which has to be what everybody was told."""
    by_second = {
        taken.requirement_id: (taken, answer)
        for one in contests
        if isinstance(heard := one.heard["second"], tuple)
        for taken, answer in [heard]
    }
    wins: Counter[str] = Counter()
    for one in contests:
        await rest(service, one.run)
        run, events = await seen_everywhere(service, one.run)
        assert_ended_once(run, events)
        now = await requirement_now(service, one.held)
        assert not now.HasField("claim")
        winner = "cancel"
        if now.state == v1.REQUIREMENT_STATE_RESOLVED:
            answer = now.resolution
            winner = "person" if answer.HasField("reject") else "first"
            if answer.external_result.result_json == '"second"':
                winner = "second"
        told_first = one.heard["first"]
        taken, told_second = by_second.get(one.held.requirement_id, (None, None))
        assert isinstance(told_first, Refusal) == (winner != "first"), told_first
        assert isinstance(one.heard["person"], Refusal) == (winner != "person")
        ended = {"CLAIM_LOST", "REQUIREMENT_CANCELLED", "REQUIREMENT_ALREADY_RESOLVED"}
        if isinstance(told_first, Refusal):
            assert told_first.reason in ended
        if taken is not None:
            assert one.is_over
            assert taken.claim.epoch == 2
            assert isinstance(told_second, Refusal) == (winner != "second")
            # Whoever lost the call to another worker has lost it, whatever came of it.
            assert isinstance(told_first, Refusal)
        wins[winner] += 1
    return wins


@pytest.mark.slow
async def test_renewals_race_with_the_end_of_their_claim(database_url: str) -> None:
    """Either the claim holds, and nobody gets the call, or it is lost, and the holder hears it."""
    clock = Clock()
    async with clock.serving(one_call(), database_url, servers=3) as service:
        outcomes: Counter[str] = Counter()
        for turn in range(100):
            run = await service.run("Work")
            held = await claimed(service)
            clock.pass_by(SECONDS)
            racers: list[Any] = [told(renew(service, held)), claim(service, worker="other")]
            if turn % 2:
                racers.reverse()
            heard = await asyncio.gather(*racers)
            renewed, taken = reversed(heard) if turn % 2 else heard
            assert isinstance(renewed, Refusal) == (taken is not None)
            if isinstance(renewed, Refusal):
                assert renewed.reason == "CLAIM_LOST"
            outcomes["lost" if taken else "held"] += 1
            await report(service, taken or held)
            await rest(service, run)
    print(dict(outcomes))
    assert outcomes["lost"]
    assert outcomes["held"]


@pytest.mark.slow
async def test_a_timeout_races_with_claims_and_results(database_url: str) -> None:
    clock, wins = Clock(), Counter[str]()
    app = agent_app([call("fetch"), "done"], away(timeout=60, on_timeout="reject"))
    async with clock.serving(app, database_url, servers=3) as service:
        for turn in range(100):
            run = await service.run("Work")
            assert run.state == v1.RUN_STATE_PAUSED
            held = await claimed(service, seconds=3_600)
            clock.pass_by(60)
            reporting = asyncio.ensure_future(told(report(service, held)))
            for _ in range(turn):  # A call has further to go than the clock: a start of any length.
                await asyncio.sleep(0)
            await asyncio.gather(*(one.runtime.fire_timers() for one in service.replicas))
            heard = await reporting
            now = await requirement_now(service, held)
            if isinstance(heard, Refusal):
                assert heard.reason == "REQUIREMENT_EXPIRED"
                assert now.state == v1.REQUIREMENT_STATE_EXPIRED
                wins["clock"] += 1
            else:
                assert now.state == v1.REQUIREMENT_STATE_RESOLVED
                wins["worker"] += 1
            await rest(service, run)
    print(dict(wins))
    assert wins["clock"]
    assert wins["worker"]


async def _in(room: asyncio.Semaphore, racer: Coroutine[Any, Any, None]) -> None:
    async with room:
        await racer
