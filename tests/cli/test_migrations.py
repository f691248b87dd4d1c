"""`interlock migrate`: what it applies and shows, and what it refuses."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import pytest
from tests.cli.conftest import Command, new_database


@pytest.fixture
def url(postgres_url: str) -> str:
    """An empty database."""
    return asyncio.run(new_database(postgres_url, f"cli_{uuid.uuid4().hex}"))


def test_migrations_are_applied_and_shown(interlock: Command, url: str) -> None:
    option = ("--database-url", url)
    missing = interlock("migrate", "--check", *option)
    assert missing.code == 7
    assert "missing" in missing.out
    applied = interlock("migrate", *option)
    assert applied.code == 0
    assert applied.out.startswith("postgresql://postgres@/cli_")
    assert "0001" in applied.out
    assert "applied now" in applied.out
    again = interlock("migrate", INTERLOCK_DATABASE_URL=url)
    assert again.code == 0
    assert "applied before" in again.out
    assert "applied now" not in again.out
    assert interlock("migrate", "--check", *option).code == 0


def test_migrations_as_json(interlock: Command, url: str) -> None:
    shown = interlock("migrate", "--json", "--database-url", url).json
    assert shown["database"].startswith("postgresql://postgres@/cli_")
    first = shown["migrations"][0]
    assert (first["revision"], first["isApplied"], first["wasAppliedNow"]) == ("0001", True, True)


def test_a_schema_that_is_newer(interlock: Command, url: str) -> None:
    interlock("migrate", "--database-url", url)
    with changed(url, "UPDATE alembic_version SET version_num = '9999'"):
        done = interlock("migrate", "--database-url", url)
    assert done.code == 7
    assert done.err.startswith("error: the database has schema '9999', which is newer")
    assert "upgrade the server" in done.err


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("nonsense", "the URL of the database is malformed"),
        ("postgresql://me:hunter2@h:port/x", "the URL of the database is malformed"),
        ("mysql://me:hunter2@h/x", "begins with 'mysql'; Interlock needs a PostgreSQL"),
        ("postgresql://me:hunter2@127.0.0.1:1/x", "cannot use the database postgresql://me@127"),
    ],
)
def test_a_database_that_cannot_be_used(interlock: Command, url: str, complaint: str) -> None:
    done = interlock("migrate", "--database-url", url)
    assert done.code == 7
    assert complaint in done.err
    assert "hunter2" not in done.err


def test_a_database_that_does_not_exist(interlock: Command, postgres_url: str) -> None:
    url = postgres_url.replace("/postgres?", "/not_there?")
    done = interlock("migrate", "--database-url", url, "--json")
    assert done.code == 7
    assert 'database "not_there" does not exist' in done.error["message"]


@contextmanager
def changed(url: str, statement: str) -> Iterator[None]:
    async def change() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(statement)
        await connection.close()

    asyncio.run(change())
    yield
