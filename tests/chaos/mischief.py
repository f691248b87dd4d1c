"""Mischief: all that is done to servers, to the database, and to the connections between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random

from sqlalchemy import text
from tests.chaos.fleet import STUCK_SECONDS, Server
from tests.chaos.postgres import Mode
from tests.chaos.stage import Stage

from interlock_server.errors import StoreUnavailable

Trick = Callable[[Random], Awaitable[None]]

_POLL_SECONDS = 0.02
_AMBUSH_SECONDS = 0.5
"""How long to lie in wait for a server that does something worth disturbing."""

_AWAKE_MIN = 2

_ANY_MOMENT = ("starts", "begins", "happens", "", "")
_LOCK_RUNS = text("SELECT FROM runs WHERE state = 2 FOR UPDATE")
_TROUBLES = ("cuts", "cuts", "lost answers", "lost answers", "delays", "holds", "held answers")


@dataclass(frozen=True)
class Habit:
    """A trick, and how long it takes at least until it is played again.

    Args:
        seconds: the shortest and the longest wait.
        effects: how much must have happened meanwhile.
    """

    trick: Trick
    seconds: tuple[float, float]
    effects: int


class Mischief:
    """Plays tricks, several at a time, until it is told that they were enough."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self._stage = stage
        self._fleet = stage.fleet
        self._diary = stage.diary
        self._seed = seed
        self._tasks: asyncio.TaskGroup | None = None

    async def play(self, is_enough: Callable[[], bool]) -> None:
        """Plays every trick again and again, each with pauses of its own.

        Raises:
            TimeoutError: nothing moves any more.
        """
        async with asyncio.TaskGroup() as self._tasks:
            for number, habit in enumerate(self._habits()):
                random = Random(f"{self._seed}/{number}")
                self._tasks.create_task(self._repeat(habit, random, is_enough))

    async def _repeat(self, habit: Habit, random: Random, is_enough: Callable[[], bool]) -> None:
        while not is_enough():
            effects = self._stage.effects.happened
            await asyncio.sleep(random.uniform(*habit.seconds))
            # Where nothing moves, nothing is tested: a busy machine gets more time.
            async with asyncio.timeout(STUCK_SECONDS):
                while self._stage.effects.happened < effects + habit.effects:
                    await asyncio.sleep(_POLL_SECONDS)
                    self._stage.effects.read()
            await habit.trick(random)

    def _habits(self) -> list[Habit]:
        return [
            Habit(self._kill, (0.1, 0.6), 8),
            Habit(self._roll, (1.0, 3.0), 40),
            Habit(self._freeze, (0.1, 0.5), 20),
            Habit(self._disturb, (0.2, 1.0), 15),
            Habit(self._stall, (0.5, 2.0), 25),
            Habit(self._cut_clients, (0.3, 1.5), 15),
            Habit(self._restart_database, (4.0, 8.0), 100),
        ]

    # Servers.

    async def _kill(self, random: Random) -> None:
        server = await self._victim(random, _ANY_MOMENT)
        if random.random() < 0.2:
            server = random.choice(self._fleet.alive)  # It may be frozen, or be stopping.
        if server.is_ready:
            self._replace()
        self._diary.note(f"{server} is killed", "kills")
        self._fleet.kill(server)
        await server.ended.wait()

    async def _roll(self, random: Random) -> None:
        """A rolling deploy: the new one comes first, and the old one ends in good order."""
        await self._fleet.add()
        server = await self._victim(random, _ANY_MOMENT)
        self._diary.note(f"{server} is asked to stop", "stops")
        await self._fleet.stop(server)

    async def _freeze(self, random: Random) -> None:
        """A server whose time stands still while others think it dead; then it goes on.

        It is hardest when that is just before an effect: while it stands still,
        people find that nothing happened, and another server does it.
        """
        server = await self._victim(random, ("starts", "starts", "begins", ""))
        self._diary.note(f"{server} is frozen", "freezes")
        server.proxy.hold(only_answers=True)  # Else it could hear some more before it is frozen.
        self._fleet.freeze(server)
        await asyncio.sleep(random.uniform(1.5, 3.5) * self._fleet.lease_seconds)
        self._diary.note(f"{server} is thawed")
        self._fleet.thaw(server)
        server.proxy.release()

    async def _victim(self, random: Random, moments: Sequence[str]) -> Server:
        """One of several servers that take calls.

        Args:
            moments: in what moment of an effect it shall be, one of these; empty for any.
        """
        while True:
            await self._several_awake()
            if not (moment := random.choice(moments)):
                return random.choice(self._fleet.awake)
            line = await self._stage.effects.coming(moment, _AMBUSH_SECONDS)
            if line and (server := self._fleet.of(line.server)) in self._fleet.awake:
                return server

    async def _several_awake(self) -> None:
        """Waits until something is left to disturb: where nothing moves, nothing is tested."""
        while len(self._fleet.awake) < _AWAKE_MIN:
            await asyncio.sleep(_POLL_SECONDS)

    def _replace(self) -> None:
        assert self._tasks is not None
        self._tasks.create_task(self._fleet.add())

    # Connections.

    async def _disturb(self, random: Random) -> None:
        """Something happens between a server and the database."""
        server = await self._victim(random, _ANY_MOMENT)
        trouble = random.choice(_TROUBLES)
        self._diary.note(f"{server}, way to the database: {trouble}", f"database {trouble}")
        match trouble:
            case "cuts":
                server.proxy.cut(random, random.choice((0.3, 1.0)))
                return
            case "lost answers":
                server.proxy.swallow()
                return
            case "delays":
                server.proxy.delay_seconds = random.uniform(0.02, 0.3)
            case "holds":
                server.proxy.hold()
            case "held answers":
                server.proxy.hold(only_answers=True)
        await asyncio.sleep(random.uniform(0.2, 4.0) * self._fleet.lease_seconds)
        if random.random() < 0.5:
            server.proxy.cut(random)
        server.proxy.release()

    async def _stall(self, random: Random) -> None:
        """What servers have sent is carried out late, when they have lost the connection."""
        server = await self._victim(random, _ANY_MOMENT)
        self._diary.note(f"{server}, cut off while all commits wait", "stalls")
        with suppress(StoreUnavailable):
            async with self._stage.database.transaction() as connection:
                await connection.fetch(_LOCK_RUNS)
                await asyncio.sleep(random.uniform(0.0, 0.2))
                server.proxy.cut(random)
                await asyncio.sleep(random.uniform(0.0, 0.5))

    async def _cut_clients(self, random: Random) -> None:
        self._diary.note("connections of clients are cut", "client cuts")
        random.choice(self._stage.doors).cut(random)

    # The database.

    async def _restart_database(self, random: Random) -> None:
        await self._several_awake()
        mode: Mode = random.choice(("fast", "immediate"))
        self._diary.note(f"the database stops, {mode}", "database restarts")
        await self._stage.postgres.stop(mode)
        await asyncio.sleep(random.uniform(0.0, 1.0) * self._fleet.lease_seconds)
        await self._stage.postgres.start()
        self._diary.note("the database is back")
