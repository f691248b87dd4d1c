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

    SQLAlchemy writes the statements, and the driver carries them out. Neither's pool is used:
    a statement through the driver's takes three times as long, for resets, shields and timers
    that statements which leave nothing behind do not need.

    Args:
        url: `postgresql://user:password@host:port/name`.
        pool_size: connections at most.
    """

    def __init__(self, url: str, pool_size: int = 10) -> None:
        self.url = make_url(url).set(drivername="postgresql+asyncpg")
        self._is_closed = False
        self.pool_size = pool_size
        self._room = asyncio.Semaphore(pool_size)
        self._idle: list[Any] = []

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
        """Closes all connections: those in use as soon as they are given back."""
        self._is_closed = True
        idle, self._idle = self._idle, []
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                for driver in idle:
                    await driver.close()

    @asynccontextmanager
    async def _driver(self) -> AsyncIterator[Any]:
        """The driver's own connection; one that may be broken is not used again."""
        async with reaching():
            await self._find_room()
            driver = None
            try:
                driver = await self._connection()
                yield driver
            except (*LOST, asyncio.CancelledError):
                if driver is not None:
                    driver.terminate()
                raise
            finally:
                self._give_back(driver)
                self._room.release()

    async def _find_room(self) -> None:
        """Waits until one more connection may be in use; whoever came first goes first."""
        if not self._room.locked():
            await self._room.acquire()  # A timer would cost as much as the whole rest.
            return
        async with asyncio.timeout(_ACQUIRE_SECONDS):
            await self._room.acquire()

    async def _connection(self) -> Any:
        """The connection that was used last, which is still open, or a new one."""
        while self._idle:
            driver = self._idle.pop()
            if not driver.is_closed():
                return driver
        return await self._connect()

    def _give_back(self, driver: Any) -> None:
        if driver is None or driver.is_closed():
            return
        if self._is_closed:
            driver.terminate()
        else:
            self._idle.append(driver)

    async def _connect(self) -> Any:
        if self._is_closed:
            raise StoreUnavailable
        return await asyncpg.connect(
            self.dsn,
            timeout=_ACQUIRE_SECONDS,
            record_class=Row,
            statement_cache_size=_STATEMENTS_MAX,
            max_cached_statement_lifetime=0,
        )


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
