"""People: they start runs, answer what those ask, watch them, and lose their connections."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal, TypeVar

from tests.chaos.diary import Diary
from tests.chaos.effects import Effects
from tests.chaos.fleet import Fleet
from tests.chaos.worlds import Played
from tests.oracle.building import decide

from interlock import AsyncClient, v1
from interlock.decisions import Decision
from interlock.errors import (
    DeadlineExceededError,
    FailedPreconditionError,
    InterlockError,
    UnavailableError,
)
from interlock.requirements import Requirement
from interlock.run import RunOutput
from interlock_server.errors import StoreUnavailable
from interlock_server.store.database import Database
from interlock_server.store.records import Answer
from interlock_server.store.requirements import requirements_of_run

T = TypeVar("T")
Fate = Literal["plain", "cancelled", "forgotten"]

ENDED = ("COMPLETED", "FAILED", "CANCELLED")
_LEASES_PER_CALL = 3.0
"""After so many leases a call is made again: its server may be frozen."""
_PATIENCE_SECONDS = 3_600.0
"""How long a client tries to reach anybody; a round is over before that."""
_RETRY_SECONDS = 0.1
_WAIT_SECONDS_MAX = 0.3


@dataclass
class Life:
    """A run as the people around it see it.

    Args:
        fate: whether it is left to end, cancelled somewhere, or forgotten in its first pause.
        seen: the sequences of the events that somebody who watched it was shown.
    """

    number: int
    played: Played
    fate: Fate
    run_id: str = ""
    state: str = ""
    seen: list[int] = field(default_factory=list)
    is_watched: bool = False


class People:
    """Everybody who calls the service.

    Args:
        targets: where they reach it; each is a connection of its own.
        database: to look up what was asked where, which no client is told.
    """

    def __init__(
        self,
        worlds: Sequence[Played],
        targets: Sequence[str],
        database: Database,
        effects: Effects,
        fleet: Fleet,
        diary: Diary,
        random: Random,
    ) -> None:
        self.lives: list[Life] = []
        self.surprises: Counter[str] = Counter()
        self._worlds = worlds
        self._database = database
        self._effects = effects
        self._fleet = fleet
        self._diary = diary
        self._random = random
        self._is_closing = False
        seconds = _LEASES_PER_CALL * fleet.lease_seconds
        self._clients = [
            AsyncClient(one, timeout=seconds, retry_timeout=_PATIENCE_SECONDS, _sleep=_impatiently)
            for one in targets
        ]

    async def work(self, desks: int) -> None:
        """Plays one run after the other at each desk, until told to close."""
        async with asyncio.TaskGroup() as group:
            for _ in range(desks):
                group.create_task(self._desk())

    def close(self) -> None:
        """Starts no more runs; those that are under way go on to their end."""
        self._is_closing = True

    async def return_to(self, lives: Sequence[Life]) -> None:
        """Goes on with runs that were forgotten."""
        async with asyncio.TaskGroup() as group:
            for life in lives:
                group.create_task(self._accompany(life, forgets=False))

    async def leave(self) -> None:
        """Hangs up."""
        for client in self._clients:
            await client.close()

    # Lives.

    async def _desk(self) -> None:
        while not self._is_closing:
            life = self._new_life()
            async with asyncio.TaskGroup() as group:
                await self._start(life)
                if life.is_watched:
                    group.create_task(self._watch(life))
                await self._accompany(life, forgets=life.fate == "forgotten")

    def _new_life(self) -> Life:
        fate: Fate = self._random.choices(("plain", "cancelled", "forgotten"), (85, 10, 5))[0]
        life = Life(len(self.lives) + 1, self._random.choice(self._worlds), fate)
        life.is_watched = fate != "forgotten" and self._random.random() < 0.3
        self.lives.append(life)
        return life

    async def _start(self, life: Life) -> None:
        """Starts a run, in one of three ways; again and again as the same request."""
        request_id = f"life-{life.number}"
        given = life.played.world.run_input
        way = self._random.choice(("waits", "streams", "leaves"))

        async def start() -> None:
            workflow = self._client().workflow(life.played.name)
            if way == "streams":
                async for event in workflow.arun(given, request_id=request_id, stream=True):
                    life.run_id = event.run_id
            else:
                wait = 1.0 if way == "waits" else 0.0
                run = await workflow.arun(given, request_id=request_id, wait_timeout=wait)
                life.run_id = run.run_id

        await self._insist(start)
        self._diary.counts["runs"] += 1

    async def _watch(self, life: Life) -> None:
        async def watch() -> None:
            last = max(life.seen, default=0)
            async for event in self._client().watch_run(life.run_id, after_sequence=last):
                if event.message.WhichOneof("event") != "content_delta":
                    life.seen.append(event.sequence)

        await self._insist(watch)

    async def _accompany(self, life: Life, *, forgets: bool) -> None:
        """Looks at a run again and again and does what there is to do, until it has ended."""
        looks_left = self._random.randint(1, 6) if life.fate == "cancelled" else 0
        while True:
            run = await self._look(life)
            life.state = run.status
            if run.status in ENDED or (forgets and run.is_paused):
                return
            if life.fate == "cancelled":
                looks_left -= 1
                if looks_left < 0:
                    await self._insist(lambda: self._client().cancel_run(life.run_id))
                    continue
            if run.requirements and (run.is_paused or self._random.random() < 0.5):
                await self._answer(life, run)

    async def _look(self, life: Life) -> RunOutput:
        seconds = self._random.choice((0.0, 0.1, 0.5, 2.0, 2.0))

        async def look() -> RunOutput:
            if not seconds:
                return await self._client().get_run(life.run_id)
            return await self._client().wait_run(life.run_id, wait_timeout=seconds)

        return await self._insist(look)

    # Answers.

    async def _answer(self, life: Life, run: RunOutput) -> None:
        """Answers some of what a run asks, in one of several ways."""
        asked = await self._asked(life.run_id)
        waiting = [one for one in run.requirements if one.id in asked]
        picked = self._random.sample(waiting, self._random.randint(1, len(waiting)))
        decisions: dict[str, Decision] = {}
        for one in picked:
            if (decision := self._decision(life, one, asked[one.id])) is not None:
                decisions[one.id] = decision
                self._effects.decided(life.run_id, asked[one.id].key)
        if not decisions:
            await asyncio.sleep(_RETRY_SECONDS)  # Nobody can tell yet; look again later.
            return
        ways = (self._continue, self._continue_streaming, self._resolve, self._resolve_held)
        way = self._random.choice(ways)
        try:
            await way(life, run, decisions)
        except* FailedPreconditionError as group:
            if life.fate != "cancelled":  # Else it was cancelled meanwhile.
                self.surprises.update(map(str, group.exceptions))

    async def _continue(self, life: Life, run: RunOutput, decisions: dict[str, Decision]) -> None:
        """All answers at once."""
        _note_on(run, decisions)
        await self._insist(lambda: self._client().continue_run(run, wait_timeout=0.5))

    async def _continue_streaming(
        self, life: Life, run: RunOutput, decisions: dict[str, Decision]
    ) -> None:
        _note_on(run, decisions)

        async def listen() -> None:
            async for _ in self._client().continue_run(run, stream=True):
                pass

        await self._insist(listen)

    async def _resolve(self, life: Life, run: RunOutput, decisions: dict[str, Decision]) -> None:
        """One answer after the other, each to any server."""
        for requirement_id, decision in decisions.items():
            await self._resolve_one(requirement_id, decision)

    async def _resolve_held(
        self, life: Life, run: RunOutput, decisions: dict[str, Decision]
    ) -> None:
        """Two people give the same answers at once, and then one lets the run go on."""
        async with asyncio.TaskGroup() as group:
            for requirement_id, decision in [*decisions.items()] * 2:
                group.create_task(self._resolve_one(requirement_id, decision, holds=True))
        try:
            await self._insist(lambda: self._client().continue_run(life.run_id, wait_timeout=0.0))
        except FailedPreconditionError as error:
            if error.reason != "RUN_NOT_PAUSED":  # As when it goes on, and only the reply was lost.
                raise

    async def _resolve_one(
        self, requirement_id: str, decision: Decision, *, holds: bool = False
    ) -> None:
        await self._insist(lambda: self._client().resolve(requirement_id, decision, hold_run=holds))

    async def _asked(self, run_id: str) -> dict[str, Answer]:
        """What a run has asked, by the id of the requirement."""
        while True:
            try:
                answers = await requirements_of_run(self._database, run_id)
            except StoreUnavailable:
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return {one.requirement.requirement_id: one for one in answers}

    def _decision(self, life: Life, requirement: Requirement, asked: Answer) -> Decision | None:
        """What people say to a question; `None` when nobody can tell yet."""
        if not requirement.needs_doubt_resolution:
            return Decision(decide(life.played.world, asked.key, asked.requirement))
        key = asked.key.removesuffix(":doubt").rpartition("@")[0]
        lines = [one for one in self._effects.of(life.run_id) if one.key == key]
        outcomes = [one.outcome for one in lines if one.outcome]
        if outcomes:
            self._diary.note(f"run {life.run_id}: {key} happened", "doubts: it happened")
            return Decision(v1.RequirementResolution(external_result=outcomes[0]))
        begun = Counter(one.server for one in lines if one.kind == "begins")
        begun.subtract(one.server for one in lines if one.kind == "ends")
        if not all(self._fleet.is_dead(number) for number in +begun):
            self._diary.note(f"run {life.run_id}: {key} may be happening", "doubts: too early")
            return None
        self._diary.note(f"run {life.run_id}: {key} did not happen", "doubts: it did not")
        return Decision.retry()

    # Calls.

    def _client(self) -> AsyncClient:
        return self._random.choice(self._clients)

    async def _insist(self, call: Callable[[], Awaitable[T]]) -> T:
        """Makes a call until there is an answer, or a refusal."""
        while True:
            try:
                return await call()
            except (UnavailableError, DeadlineExceededError) as error:
                self._diary.counts[f"calls again after {error.code.name}"] += 1
            except FailedPreconditionError:
                raise
            except InterlockError as error:  # Nobody may see that; they try again all the same.
                self.surprises[f"{error.code.name} {error.reason}".strip()] += 1
                self._diary.note(f"a call ended with {error}")
                await asyncio.sleep(_RETRY_SECONDS)


async def _impatiently(seconds: float) -> None:
    """Waits as clients do before they try again, but not for long: a round is short."""
    await asyncio.sleep(min(seconds, _WAIT_SECONDS_MAX))


def _note_on(run: RunOutput, decisions: dict[str, Decision]) -> None:
    for requirement in run.requirements:
        if requirement.id in decisions:
            requirement.decide(decisions[requirement.id])
