"""A database for a whole module, for tables of cases that must not change what is in it."""

from __future__ import annotations

import asyncio
import itertools

import asyncpg
import pytest

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def shared_database_url(postgres_url: str) -> str:
    """A fresh, migrated database for the tests of one module."""
    name = f"shared_{next(_numbers)}"

    async def create() -> None:
        connection = await asyncpg.connect(postgres_url)
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE interlock_template')
        await connection.close()

    asyncio.run(create())
    return postgres_url.replace("/postgres?", f"/{name}?")
