"""The database: a pool of connections, and the errors it can give."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, TypeAlias

import asyncpg
from sqlalchemy import TextClause, make_url
from sqlalchemy.dialects.postgresql import asyncpg as dialect
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from interlock_server.errors import StoreUnavailable

Connection: TypeAlias = AsyncConnection
"""A connection within a transaction."""

_LOST = (
    OSError,
    PoolTimeout,
    OperationalError,
    InterfaceError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # The driver has lost track of a connection that broke.
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
)
"""What a database raises that cannot be reached, or goes away."""

_AdaptedError = dialect.AsyncAdapt_asyncpg_dbapi.Error
"""What the driver's errors become where a connection is made; the driver's own is its cause."""


class Row(asyncpg.Record):  # type: ignore[misc]
    """A row whose columns are attributes."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


class Database:
    """One PostgreSQL database.

    Single statements commit by themselves and go straight to the driver, which
    takes a third of the time; `transaction` is for what needs more than one.

    Args:
        url: `postgresql://user:password@host:port/name`.
        pool_size: connections at most.
    """

    def __init__(self, url: str, pool_size: int = 10) -> None:
        self.url = make_url(url).set(drivername="postgresql+asyncpg")
        self._engine = create_async_engine(
            self.url,
            pool_size=pool_size,
            max_overflow=0,
            pool_use_lifo=True,
            # Transactions end before their connection returns; a reset would be one more trip.
            pool_reset_on_return=None,
        )

    async def fetch(
        self, statement: TextClause, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Any]:
        """Runs one statement, committed, and gives its rows.

        Raises:
            StoreUnavailable: the database cannot be reached.
        """
        sql, names = _compiled(statement)
        values = [(parameters or {})[name] for name in names]
        async with _reachable(), self._driver() as driver:
            rows: Sequence[Any] = await driver.fetch(sql, *values, record_class=Row)
            return rows

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a transaction that commits on leaving without an error.

        Raises:
            StoreUnavailable: the database cannot be reached.
        """
        async with _reachable(), self._engine.connect() as connection:
            try:
                async with connection.begin():
                    yield connection
            except BaseException as error:
                if _is_lost(error) or isinstance(error, asyncio.CancelledError):
                    await connection.invalidate()
                raise

    async def close(self) -> None:
        """Closes all connections."""
        await self._engine.dispose()

    @asynccontextmanager
    async def _driver(self) -> AsyncIterator[Any]:
        """The driver's own connection, from the pool; one that may be broken does not go back."""
        pooled = await self._engine.raw_connection()
        try:
            yield pooled.driver_connection
        except (*_LOST, asyncio.CancelledError):
            pooled.invalidate()
            raise
        finally:
            pooled.close()


@cache
def _compiled(statement: TextClause) -> tuple[str, Sequence[str]]:
    """A statement as the driver takes it: its text, and its parameters in order."""
    compiled = statement.compile(dialect=dialect.dialect())  # type: ignore[no-untyped-call]
    return str(compiled), tuple(compiled.positiontup or ())


@asynccontextmanager
async def _reachable() -> AsyncIterator[None]:
    try:
        yield
    except (*_LOST, DBAPIError, _AdaptedError) as error:
        if _is_lost(error):
            raise StoreUnavailable from error
        raise


def _is_lost(error: BaseException) -> bool:
    """Whether an error, or what it was made of, says that the database is away."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, _LOST) or getattr(cause, "connection_invalidated", False):
            return True
        cause = cause.__cause__
    return False
