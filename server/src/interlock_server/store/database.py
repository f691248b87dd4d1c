"""The database: a pool of connections, and the errors it can give."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Executable, Row, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from interlock_server.errors import StoreUnavailable


class Database:
    """One PostgreSQL database.

    Single statements commit by themselves; `transaction` is for what needs more
    than one.

    Args:
        url: `postgresql://user:password@host:port/name`.
        pool_size: connections at most.
    """

    def __init__(self, url: str, pool_size: int = 10) -> None:
        self.url = make_url(url).set(drivername="postgresql+asyncpg")
        self._transactional = create_async_engine(
            self.url,
            pool_size=pool_size,
            max_overflow=0,
            pool_use_lifo=True,
            # Transactions end before their connection returns; a reset would be one more trip.
            pool_reset_on_return=None,
        )
        self._autocommit = self._transactional.execution_options(isolation_level="AUTOCOMMIT")

    async def fetch(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Row[Any]]:
        """Runs one statement, committed, and gives its rows.

        Raises:
            StoreUnavailable: the database cannot be reached.
        """
        async with _reachable(), self._autocommit.connect() as connection:
            result = await connection.execute(statement, parameters)
            return result.fetchall() if result.returns_rows else ()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a transaction that commits on leaving without an error.

        Raises:
            StoreUnavailable: the database cannot be reached.
        """
        async with _reachable(), self._transactional.begin() as connection:
            yield connection

    async def close(self) -> None:
        """Closes all connections."""
        await self._transactional.dispose()


@asynccontextmanager
async def _reachable() -> AsyncIterator[None]:
    try:
        yield
    except (OSError, PoolTimeout, OperationalError, InterfaceError) as error:
        raise StoreUnavailable from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise StoreUnavailable from error
        raise
