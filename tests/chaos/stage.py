"""The stage of a round: a database, servers, people, and a verdict at the end."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.chaos.diary import Diary
from tests.chaos.effects import Effects
from tests.chaos.fleet import Fleet
from tests.chaos.people import People
from tests.chaos.postgres import Postgres
from tests.chaos.proxy import Proxy
from tests.chaos.verdict import Verdict
from tests.chaos.worlds import EFFECTS, WORLDS, chosen

from interlock_server.store.database import Database

_WORLDS = 24
_DOORS = 6


@dataclass(frozen=True)
class Stage:
    """What there is in a round.

    Args:
        folder: has the effects, the logs of servers and the database; it is kept when
            something is wrong.
        database: a way to it that nobody disturbs.
        doors: the ways of clients to servers.
    """

    folder: Path
    diary: Diary
    postgres: Postgres
    database: Database
    effects: Effects
    fleet: Fleet
    doors: list[Proxy]
    people: People
    verdict: Verdict

    async def clear(self) -> None:
        """Ends all servers in good order."""
        async with asyncio.TaskGroup() as group:
            for server in self.fleet.alive:
                group.create_task(self.fleet.stop(server))

    def remove(self) -> None:
        """Removes what a round left behind."""
        shutil.rmtree(self.folder, ignore_errors=True)


@asynccontextmanager
async def opened(seed: int, diary: Diary, servers: int) -> AsyncIterator[Stage]:
    """A stage on which servers listen; nothing of it is alive when the context is left."""
    random = Random(seed)
    folder = Path(tempfile.mkdtemp(prefix="interlock-chaos-"))
    async with AsyncExitStack() as stack:
        postgres = Postgres(folder / "postgres")
        stack.push_async_callback(postgres.remove)
        await postgres.create()
        worlds = await asyncio.to_thread(chosen, seed, _WORLDS)
        effects = Effects(folder / "effects")
        stack.callback(effects.close)
        database = Database(postgres.url)
        stack.push_async_callback(database.close)
        fleet = Fleet(folder, postgres.socket, diary)
        stack.push_async_callback(fleet.close)
        seeds = " ".join(str(one.seed) for one in worlds)
        await fleet.open({WORLDS: seeds, EFFECTS: str(effects.path)})
        await fleet.measure()
        doors = [Proxy(lambda: fleet.reach(random)) for _ in range(_DOORS)]
        targets = []
        for door in doors:
            stack.push_async_callback(door.close)
            targets.append(f"127.0.0.1:{await door.open()}")
        people = People(worlds, targets, database, effects, fleet, diary, random)
        stack.push_async_callback(people.leave)
        async with asyncio.TaskGroup() as group:
            for _ in range(servers):
                group.create_task(fleet.add())
        verdict = Verdict(database, effects, folder, diary)
        yield Stage(folder, diary, postgres, database, effects, fleet, doors, people, verdict)
