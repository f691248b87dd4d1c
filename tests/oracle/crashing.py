"""Processes that die at a given moment, and what the ones after them make of it."""

from __future__ import annotations

import asyncio
import math
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import TextClause
from tests.oracle.building import build, decide
from tests.oracle.stored import Stored, stored
from tests.oracle.watching import Log
from tests.oracle.worlds import World
from tests.support.memory import EPOCH

from interlock import v1
from interlock_server import jsontext
from interlock_server.errors import StoreUnavailable
from interlock_server.runtime.desk import Decision
from interlock_server.runtime.hub import ENDED
from interlock_server.runtime.runtime import Runtime, Timing
from interlock_server.runtime.tail import settle
from interlock_server.runtime.world import World as Machine
from interlock_server.store.database import Connection, Database
from interlock_server.store.definitions import definition_add
from interlock_server.store.journal import memory_load
from interlock_server.store.records import Answer, RequestKey
from interlock_server.store.requirements import requirements_of_run
from interlock_server.store.runs import run_get, run_tip

_LEASE = 10.0
_LEGS_MAX = 100
_WRITES = re.compile(r"\b(INSERT|UPDATE|DELETE)\b")


class Died(BaseException):
    """The process is no more."""


class Fate:
    """The moments of a process at which it could die, and the one at which it does.

    Args:
        at: number of that moment, from 0; `None` means never.
    """

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.moments: list[str] = []
        self.death = asyncio.Event()
        self._sent = 0
        self._answered = asyncio.Event()

    def moment(self, name: str) -> None:
        """Passes, or dies."""
        self.live()
        self.moments.append(name)
        if len(self.moments) - 1 == self.at:
            self.death.set()
            raise Died

    def live(self) -> None:
        """The dead do nothing."""
        if self.death.is_set():
            raise Died

    async def effect(self, when: str, key: str) -> None:
        """Before and after an effect."""
        self.moment(f"{when} the effect {key}")

    @contextmanager
    def sends(self) -> Iterator[None]:
        """Something is on its way to the database, which carries it out whoever dies meanwhile."""
        self._sent += 1
        try:
            yield
        finally:
            self._sent -= 1
            self._answered.set()

    async def settled(self) -> None:
        """Waits until the database has done all that the dead have sent."""
        while self._sent:
            self._answered.clear()
            await self._answered.wait()


class Mortal(Database):
    """The database as a process sees it that may die before and after every commit."""

    def __init__(self, database: Database, fate: Fate) -> None:
        self.url = database.url
        self._database = database
        self._fate = fate

    async def fetch(
        self, statement: TextClause, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Any]:
        if not _WRITES.search(str(statement)):
            self._fate.live()
            return await self._database.fetch(statement, parameters)
        self._fate.moment("before a commit")
        with self._fate.sends():
            rows = await self._database.fetch(statement, parameters)
        self._fate.moment("after a commit")
        return rows

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        self._fate.live()
        with self._fate.sends():
            async with self._database.transaction() as connection:
                yield connection
                self._fate.moment("before a commit")
        self._fate.moment("after a commit")


@dataclass(frozen=True)
class Crash:
    """What was known when a process died.

    Args:
        performed: how many effects had been performed.
        recorded: the keys of those that are recorded.
        started: the keys of attempts that are known to have started.
    """

    performed: int
    recorded: frozenset[str] = frozenset()
    started: frozenset[str] = frozenset()


@dataclass
class Crashing:
    """A run whose processes die where their fates say; after those, one that lives."""

    world: World
    database: Database
    fates: list[Fate]
    log: Log = field(default_factory=Log)
    run_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    crashes: list[Crash] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    _now: datetime = EPOCH

    async def play(self) -> Stored:
        """Plays the run to its end; people send again what had no answer."""
        await self._begin()
        await self._sent(self._start)
        for number in range(_LEGS_MAX):
            await self._sent(self._rests)
            tip = await run_tip(self.database, self.run_id)
            assert tip is not None
            if tip.state in ENDED:
                return await stored(self.database, self.run_id)
            decision = await self._decision(number)
            await self._sent(lambda: self._runtime.decide(decision))  # noqa: B023
        raise AssertionError("the run does not come to its end")

    # Processes.

    async def _begin(self) -> None:
        """A process starts, and takes over what others have left."""
        self._fate = self.fates.pop(0) if self.fates else Fate()
        self.log.observe = self._fate.effect
        code = build(self.world, self.log)
        machine = Machine(now=lambda: self._now)
        workflow = await definition_add(self.database, code.workflow, self._now)
        self._runtime = Runtime(
            Mortal(self.database, self._fate),
            {"World": workflow},
            code.registry,
            machine,
            Timing(_LEASE, commit_delay=0),
        )

    async def _sent(self, request: Callable[[], Awaitable[object]]) -> None:
        """Does a request, again in the next process when the process dies over it."""
        while True:
            try:
                await request()
            except (Died, StoreUnavailable):
                assert self._fate.death.is_set(), "nothing but a death keeps an answer back"
                await self._replace()
            else:
                return

    async def _replace(self) -> None:
        """The process has died: its leases run out, and another one takes over."""
        while True:
            await self._fate.settled()
            tasks = list(self._runtime._legs.values())
            self._runtime.crash()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.crashes.append(await self._crash())
            self._now += timedelta(seconds=2 * _LEASE)
            await self._begin()
            try:
                await self._runtime.take_over()
            except Died:
                continue
            return

    async def _crash(self) -> Crash:
        performed = len(self.log.performed)
        if await run_get(self.database, self.run_id) is None:
            return Crash(performed)
        values = (await memory_load(self.database, self.run_id, is_whole=True)).values
        done = frozenset(key for key, value in values.items() if value is not None)
        return Crash(performed, done, frozenset(values) - done)

    # People.

    async def _start(self) -> None:
        given = jsontext.dumps(self.world.run_input)
        run = v1.Run(run_id=self.run_id, session_id=self.run_id, workflow_id="World")
        run.started_by = "somebody"
        run.input_json = given
        run.labels["team"] = "finance"
        await self._runtime.start_run(run, None, self._request("start"))

    async def _rests(self) -> None:
        """Waits until the run rests, or its process dies."""
        hub, fate = self._runtime.hub, self._fate
        rest = asyncio.create_task(settle(self.database, hub, self.run_id, None, _for_ever))
        death = asyncio.create_task(fate.death.wait())
        await asyncio.wait([rest, death], return_when=asyncio.FIRST_COMPLETED)
        for one in (rest, death):
            one.cancel()
        await asyncio.gather(rest, death, return_exceptions=True)
        fate.live()
        rest.result()

    async def _decision(self, number: int) -> Decision:
        waiting = [
            one
            for one in await requirements_of_run(self.database, self.run_id)
            if one.requirement.state == v1.REQUIREMENT_STATE_PENDING
        ]
        answers = [self._answer(one) for one in waiting]
        fields = [f"resolutions[{position}]" for position in range(len(answers))]
        for one in waiting:
            self.log.decides(one.key)
        return Decision(
            self.run_id, answers, fields, by="somebody", request=self._request(str(number))
        )

    def _answer(self, asked: Answer) -> v1.RequirementResolution:
        """An answer; whoever is asked about a call in doubt looks at what really happened."""
        if asked.requirement.kind != v1.REQUIREMENT_KIND_IN_DOUBT:
            return decide(self.world, asked.key, asked.requirement)
        answer = v1.RequirementResolution(requirement_id=asked.requirement.requirement_id)
        happened = self.log.outcomes.get(asked.key.rpartition("@")[0])
        if happened is None:
            answer.retry.SetInParent()
        else:
            answer.external_result.CopyFrom(happened)
        self.doubts.append(f"doubt: {answer.WhichOneof('resolution')}")
        return answer

    def _request(self, name: str) -> RequestKey:
        return RequestKey(name, "somebody", self.run_id, name.encode())


def _for_ever() -> float:
    return math.inf
