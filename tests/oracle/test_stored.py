"""The same through the real runtime on PostgreSQL, with several processes on one database.

Of the cases that are asked for, one in twenty is played here.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from random import Random

import pytest
from tests.oracle.building import Code, build, decide
from tests.oracle.cases import CASES, again, group_name, groups
from tests.oracle.playing import play_straight
from tests.oracle.rules import check_pauses, check_rules
from tests.oracle.stored import Stored, check_stream, stored
from tests.oracle.stories import differences
from tests.oracle.watching import Log
from tests.oracle.worlds import Dice, World, world_of
from tests.support.memory import EPOCH

from interlock import v1
from interlock_server import jsontext
from interlock_server.engine.gates import is_answered
from interlock_server.runtime.desk import Decision, Outcome
from interlock_server.runtime.hub import ENDED, Subscription
from interlock_server.runtime.leg import Leg
from interlock_server.runtime.runtime import Runtime, Timing
from interlock_server.runtime.world import World as Machine
from interlock_server.store.database import Database
from interlock_server.store.journal import memory_load
from interlock_server.store.records import Answer, Memory, Opening, RequestKey, RunRow
from interlock_server.store.requirements import requirements_of_run
from interlock_server.store.runs import run_tip

_PROCESSES = 2
_NO_REQUEST = RequestKey("", "", "", b"")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seeds", groups(CASES // 20 or 1, 25), ids=group_name)
async def test_a_stored_run_equals_the_run_without_pauses(seeds: range, database: Database) -> None:
    shown = 0
    for seed in seeds:
        world = world_of(Dice(seed))
        code = build(world, Log())
        reference = await play_straight(world, code)
        code.log.wipe()
        async with _processes(world, code, database) as runtimes:
            played = _Run(world, code.log, database, runtimes)
            run = await played.play()
        shown += played.shown
        check_stream(run)
        check_rules(run.memory, code.log)
        check_pauses(event for _, event in run.events)
        parted = differences(reference, run.story(code.log))
        if parted:
            pytest.fail(f"{parted}\n\n{world}\n\n{again(seed, __file__)}", pytrace=False)
    assert shown, "no run was shown as its leg left it"


@asynccontextmanager
async def _processes(world: World, code: Code, database: Database) -> AsyncIterator[list[Runtime]]:
    """Several processes that serve the same world, each with code of its own."""
    machine, timing = Machine(now=lambda: EPOCH), Timing(commit_delay=0.001 * (world.order % 3))
    codes = [code, *(build(world, code.log) for _ in range(_PROCESSES - 1))]
    runtimes = [
        Runtime(database, {"World": one.workflow}, one.registry, machine, timing) for one in codes
    ]
    for runtime in runtimes:
        _checks_what_it_remembers(runtime)
        await runtime.start()
    yield runtimes
    for runtime in runtimes:
        await runtime.stop()


def _checks_what_it_remembers(runtime: Runtime) -> None:
    """Lets every run go on only with what is stored of it."""
    desk, database = runtime._desk, runtime.database
    decide_at_desk, go_on = desk.decide, desk._go_on
    begun: dict[str, Memory] = {}

    def noting(
        row: RunRow, since: datetime, memory: Memory | None = None, opening: Opening | None = None
    ) -> Leg:
        if memory is not None:
            begun[row.run.run_id] = memory
        return go_on(row, since, memory, opening)

    async def decide(decision: Decision) -> Outcome:
        run_id = decision.run_id
        if (kept := runtime._setting.recent.look(run_id)) is not None:
            read = await memory_load(database, run_id)
            whole = await memory_load(database, run_id, is_whole=True)
            if kept.row.run.etag == read.row.run.etag == whole.row.run.etag:
                assert _known(kept) == _known(read) == _known(whole)
                # It may hold some of what no leg needs any more.
                for less, more in ((read, kept), (kept, whole)):
                    assert less.values.items() <= more.values.items()
                    assert less.event_keys <= more.event_keys
        outcome = await decide_at_desk(decision)
        if (memory := begun.pop(run_id, None)) is not None:
            answers = {one.key: one for one in (await memory_load(database, run_id)).answers}
            for one in memory.answers:
                assert not is_answered(one.requirement) or one == answers[one.key]
        return outcome

    desk.decide = decide  # type: ignore[method-assign]
    desk._go_on = noting


def _known(memory: Memory) -> tuple[object, ...]:
    """What a leg goes by."""
    row, run = memory.row, memory.row.run
    orders = (row.epoch, row.cancel_requested, run.last_sequence, run.etag, run.expire_time)
    given = (run.run_id, run.session_id, run.workflow_id, run.input_json, dict(run.labels))
    return orders, given, row.session_state, memory.position, memory.answers


@dataclass
class _Run:
    """A run among processes: people answer here and there, patiently or as soon as they can."""

    world: World
    log: Log
    database: Database
    runtimes: list[Runtime]
    run_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    shown: int = 0

    def __post_init__(self) -> None:
        self._random = Random(self.world.order)
        self._is_eager = self.world.order % 2 == 0
        if self._is_eager:
            self.log.observe = self._dawdle

    async def play(self) -> Stored:
        """Plays it to its end."""
        given = jsontext.dumps(self.world.run_input)
        run = v1.Run(run_id=self.run_id, session_id=self.run_id, workflow_id="World")
        run.input_json = given
        run.labels["team"] = "finance"
        with self._wakes() as wakes:
            await self._random.choice(self.runtimes).start_run(run, None, _NO_REQUEST)
            while not await self._has_ended():
                await _first(wakes)
        one = await stored(self.database, self.run_id)
        for runtime in self.runtimes:
            # What it has shown before, and was not read again, is what is stored.
            shown = await runtime.views.run(self.run_id)
            assert list(shown.step_results) == one.results
        return one

    async def _dawdle(self, moment: str, key: str) -> None:
        """Makes effects long enough for people to answer meanwhile."""
        for _ in range(self._random.randint(0, 3)):
            await run_tip(self.database, self.run_id)

    async def _has_ended(self) -> bool:
        for runtime, subscription in zip(self.runtimes, self._rests, strict=True):
            read, shown = await runtime.views.run(self.run_id), subscription.shown
            if shown is not None and shown.etag == read.etag:
                assert shown == read, "whoever waited is shown the same as whoever reads"
                self.shown += 1
        tip = await run_tip(self.database, self.run_id)
        assert tip is not None
        if tip.state in ENDED:
            return True
        if self._is_eager or tip.state == v1.RUN_STATE_PAUSED:
            await self._decide()
        return False

    async def _decide(self) -> None:
        asked = await requirements_of_run(self.database, self.run_id)
        pending = v1.REQUIREMENT_STATE_PENDING
        waiting = [one for one in asked if one.requirement.state == pending]
        if waiting:
            picked = self._random.sample(waiting, self._random.randint(1, len(waiting)))
            await self._answer(picked)

    async def _answer(self, picked: Sequence[Answer]) -> None:
        answers = [decide(self.world, one.key, one.requirement) for one in picked]
        for one in picked:
            self.log.decides(one.key)
        fields = [f"resolutions[{position}]" for position in range(len(answers))]
        decision = Decision(self.run_id, answers, fields, by="somebody")
        await self._random.choice(self.runtimes).decide(decision)

    @contextmanager
    def _wakes(self) -> Iterator[list[Subscription]]:
        with ExitStack() as stack:
            hubs = [runtime.hub for runtime in self.runtimes]
            self._rests = [
                stack.enter_context(one.subscribe(self.run_id, wants_rest=True)) for one in hubs
            ]
            yield [stack.enter_context(one.subscribe(self.run_id)) for one in hubs]


async def _first(wakes: Sequence[Subscription]) -> None:
    """Waits until one of several processes hears of something."""
    waits = [asyncio.create_task(one.wait(1.0)) for one in wakes]
    _, late = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in late:
        wait.cancel()
    await asyncio.gather(*late, return_exceptions=True)
