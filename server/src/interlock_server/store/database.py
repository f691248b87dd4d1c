"""The database: a pool of connections, and the errors it can give."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import cache
from typing import Any

import asyncpg
from sqlalchemy import TextClause, make_url
from sqlalchemy.dialects.postgresql import asyncpg as dialect

from interlock_server.errors import StoreUnavailable

LOST = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # The driver has lost track of a connection that broke.
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
)
"""What a database raises that cannot be reached, or goes away."""

_ACQUIRE_SECONDS = 30.0
_CLOSE_SECONDS = 5.0
_STATEMENTS_MAX = 1_000
"""How many statements a connection keeps prepared: more than there are."""

_QUERIES_MAX = 2**62
"""A connection is not replaced for its age."""


class Row(asyncpg.Record):  # type: ignore[misc]
    """A row whose columns are attributes."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


class Connection:
    """A connection within a transaction."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    async def fetch(
        self, statement: TextClause, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Any]:
        """Runs one statement, and gives its rows."""
        sql, names = _compiled(statement)
        values = [(parameters or {})[name] for name in names]
        rows: Sequence[Any] = await self._driver.fetch(sql, *values)
        return rows


class Database:
    """One PostgreSQL database.

    SQLAlchemy writes the statements, and the driver pools the connections, which
    takes a tenth of the time that a pool of SQLAlchemy's takes.

    Args:
        url: `postgresql://user:password@host:port/name`.
        pool_size: connections at most.
    """

    def __init__(self, url: str, pool_size: int = 10) -> None:
        self.url = make_url(url).set(drivername="postgresql+asyncpg")
        self._pool_size = pool_size
        self._pool: Any = None

    @property
    def dsn(self) -> str:
        """The URL as the driver takes it."""
        return self.url.set(drivername="postgresql").render_as_string(hide_password=False)

    async def fetch(
        self, statement: TextClause, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Any]:
        """Runs one statement, committed, and gives its rows.

        Raises:
            StoreUnavailable: the database cannot be reached.
        """
        async with self._driver() as driver:
            return await Connection(driver).fetch(statement, parameters)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection in a transaction that commits on leaving without an error.

        Raises:
            StoreUnavailable: the database cannot be reached.
        """
        async with self._driver() as driver, driver.transaction():
            yield Connection(driver)

    async def close(self) -> None:
        """Closes all connections."""
        if self._pool is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self._pool.close()

    @asynccontextmanager
    async def _driver(self) -> AsyncIterator[Any]:
        """The driver's own connection, from the pool; one that may be broken does not go back."""
        async with reaching():
            pool = await self._begun()
            # A timeout costs as much as the whole rest, and nobody waits while one is idle.
            timeout = None if pool.get_idle_size() else _ACQUIRE_SECONDS
            driver = await pool.acquire(timeout=timeout)
            try:
                yield driver
            except (*LOST, asyncio.CancelledError):
                driver.terminate()
                raise
            finally:
                await pool.release(driver)

    async def _begun(self) -> Any:
        """The pool, which begins without any connection."""
        if self._pool is None:
            self._pool = await asyncpg.create_pool(
                self.dsn,
                min_size=0,
                max_size=self._pool_size,
                max_queries=_QUERIES_MAX,
                max_inactive_connection_lifetime=0,
                reset=_leave_as_is,
                record_class=Row,
                statement_cache_size=_STATEMENTS_MAX,
                max_cached_statement_lifetime=0,
            )
        return self._pool


@asynccontextmanager
async def reaching() -> AsyncIterator[None]:
    """Makes one error of all that say that the database cannot be reached.

    Raises:
        StoreUnavailable: it cannot be reached.
    """
    try:
        yield
    except LOST as error:
        if is_lost(error):
            raise StoreUnavailable from error
        raise


def is_lost(error: BaseException) -> bool:
    """Whether an error says that the database is away."""
    # A parameter that the driver cannot send is one of its interface's errors too.
    return isinstance(error, LOST) and not isinstance(error, ValueError)


@cache
def _compiled(statement: TextClause) -> tuple[str, Sequence[str]]:
    """A statement as the driver takes it: its text, and its parameters in order."""
    compiled = statement.compile(dialect=dialect.dialect())  # type: ignore[no-untyped-call]
    return str(compiled), tuple(compiled.positiontup or ())


async def _leave_as_is(_driver: Any) -> None:
    """Statements and transactions leave nothing behind; to reset it all would be one more trip."""
