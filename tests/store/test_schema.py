"""The schema: what migrations make is what the tables say, and a server knows what it stands on."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from tests.conftest import database_on, execute

from interlock_server.store import schema
from interlock_server.store.database import Database
from interlock_server.store.schema import (
    SchemaMismatch,
    schema_check,
    schema_list,
    schema_upgrade,
)
from interlock_server.store.tables import metadata


async def _empty(postgres_url: str, name: str) -> Database:
    await execute(postgres_url, f'CREATE DATABASE "{name}"')
    return Database(database_on(postgres_url, name))


async def test_migrations_make_what_the_tables_say(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    assert await schema._run(database, differences) == []


async def test_migrations_make_every_check(database: Database) -> None:
    rows = await database.fetch(
        text("SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid <> 0")
    )
    made = {row.conname for row in rows}
    said = {
        str(one.name)
        for table in metadata.tables.values()
        for one in table.constraints
        if one.name and type(one).__name__ == "CheckConstraint"
    }
    assert said
    assert said <= made


async def test_an_empty_database_is_refused_until_it_is_migrated(postgres_url: str) -> None:
    database = await _empty(postgres_url, "unmigrated")
    with pytest.raises(SchemaMismatch, match="run `interlock migrate`"):
        await schema_check(database)
    applied = await schema_upgrade(database)
    assert [one.revision for one in applied] == ["0001", "0002", "0003", "0004"]
    await schema_check(database)
    assert await schema_upgrade(database) == []
    assert all(one.is_applied for one in await schema_list(database))
    await database.close()


async def test_a_database_from_the_future_is_refused(database: Database) -> None:
    await database.fetch(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaMismatch, match=r"'9999'.*upgrade the server"):
        await schema_check(database)
    with pytest.raises(SchemaMismatch, match="upgrade the server"):
        await schema_upgrade(database)
