"""A PostgreSQL of the harness's own, which can be stopped in good order, or like one that dies."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Literal

from sqlalchemy import text
from tests.support.commands import ROOT

from interlock_server.store.database import Database
from interlock_server.store.schema import schema_upgrade

Mode = Literal["fast", "immediate"]


class Postgres:
    """A migrated database; `socket` is where it listens."""

    def __init__(self, folder: Path) -> None:
        self.socket = Path()
        self._folder = folder
        self._keeper: Process | None = None

    @property
    def url(self) -> str:
        """Its URL."""
        return f"postgresql://postgres@/postgres?host={self.socket.parent}"

    async def create(self) -> None:
        """Starts it for the first time, with the tables in it."""
        self._keeper = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.chaos.keeper", str(self._folder)),
            stdin=PIPE,
            stdout=PIPE,
            cwd=ROOT,
            start_new_session=True,
        )
        self.socket = Path(await self._heard(self._keeper))
        database = Database(self.url)
        await schema_upgrade(database)
        await database.fetch(text("ALTER SYSTEM SET fsync = off"))  # Only processes die here.
        await database.fetch(text("SELECT pg_reload_conf()"))
        await database.close()

    async def stop(self, mode: Mode) -> None:
        """Stops it; after `immediate` it has to recover, as after a crash."""
        await self._ask(f"stop {mode}")

    async def start(self) -> None:
        """Starts it again."""
        await self._ask("start")

    async def remove(self) -> None:
        """Stops it for good."""
        if self._keeper is not None:
            assert self._keeper.stdin is not None
            self._keeper.stdin.close()
            await self._keeper.wait()

    async def _ask(self, what: str) -> None:
        assert self._keeper is not None
        assert self._keeper.stdin is not None
        self._keeper.stdin.write(f"{what}\n".encode())
        await self._heard(self._keeper)

    async def _heard(self, keeper: Process) -> str:
        assert keeper.stdout is not None
        line = await keeper.stdout.readline()
        assert line, "the keeper of the database has ended"
        return line.decode().strip()
