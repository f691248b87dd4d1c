"""The schema: which version a database has, which one this code needs, and the way there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from interlock_server.errors import StoreUnavailable
from interlock_server.store.database import Database, is_lost, reaching

T = TypeVar("T")

_LOCK = 0x1A7E7104C
"""Advisory lock under which migrations run, so that two servers do not migrate at once."""


class SchemaMismatch(Exception):
    """The database has another schema than this server; the text says what to do."""


@dataclass(frozen=True)
class Migration:
    """One step of the schema, and whether the database has taken it."""

    revision: str
    title: str
    is_applied: bool


async def schema_upgrade(database: Database) -> list[Migration]:
    """Applies what is missing, in one transaction, and gives the migrations it applied.

    Raises:
        SchemaMismatch: the database is newer than this code.
    """

    def upgrade(connection: Connection) -> list[Migration]:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        missing = [one for one in _listed(connection) if not one.is_applied]
        if missing:
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        return missing

    return await _run(database, upgrade)


async def schema_list(database: Database) -> list[Migration]:
    """All migrations, oldest first.

    Raises:
        SchemaMismatch: the database is newer than this code.
    """
    return await _run(database, _listed)


async def schema_check(database: Database) -> None:
    """Makes sure that the database has exactly the schema that this code needs.

    Raises:
        SchemaMismatch: it has an older or a newer one.
    """
    missing = [one for one in await schema_list(database) if not one.is_applied]
    if missing:
        raise SchemaMismatch(
            f"the database lacks {len(missing)} migration(s), beginning with "
            f"{missing[0].revision!r}; run `interlock migrate` and start again"
        )


def _listed(connection: Connection) -> list[Migration]:
    scripts = ScriptDirectory.from_config(_config())
    known = list(reversed(list(scripts.walk_revisions())))
    current = MigrationContext.configure(connection).get_current_revision()
    names = [one.revision for one in known]
    if current is not None and current not in names:
        raise SchemaMismatch(
            f"the database has schema {current!r}, which is newer than this server knows; "
            "upgrade the server"
        )
    taken = names.index(current) + 1 if current else 0
    return [
        Migration(one.revision, (one.doc or "").rstrip("."), position < taken)
        for position, one in enumerate(known)
    ]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


async def _run(database: Database, work: Callable[[Connection], T]) -> T:
    # What writes migrations works with connections of SQLAlchemy.
    engine = create_async_engine(
        database.url, poolclass=NullPool, async_creator=lambda: asyncpg.connect(database.dsn)
    )
    try:
        async with reaching(), engine.begin() as connection:
            return await connection.run_sync(work)
    except SQLAlchemyError as error:
        if any(map(is_lost, _causes(error))):
            raise StoreUnavailable from error
        raise


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and what it was made of, which with SQLAlchemy is the driver's own."""
    while error is not None:
        yield error
        error = error.__cause__
