"""The app: the workflows of a service, and the service itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from interlock_server import limits
from interlock_server.authoring.compile import DefinitionError, compile_workflows
from interlock_server.authoring.steps import Workflow
from interlock_server.errors import StoreUnavailable
from interlock_server.executors.registry import Registry
from interlock_server.runtime.runtime import Runtime, Timing
from interlock_server.runtime.world import World
from interlock_server.service.server import Server
from interlock_server.settings import Settings
from interlock_server.store.database import Database
from interlock_server.store.opening import DatabaseUnusable, database_open, database_open_embedded
from interlock_server.store.schema import schema_check, schema_upgrade


class AddressUnusable(Exception):
    """The server cannot listen where it was told to; the text says where."""


class Interlock:
    """The workflows that one service offers.

    Serve it with `interlock serve module:app`, or in a program or a test with
    `with app.serving() as target:`.
    """

    def __init__(self, workflows: Sequence[Workflow]) -> None:
        """Checks the definitions.

        Raises:
            DefinitionError: there are mistakes; it names all of them.
        """
        compiled = compile_workflows(workflows)
        problems = list(compiled.problems)
        self._registry, unloaded = Registry.load(compiled.catalog)
        if problems := problems + unloaded:
            raise DefinitionError(problems)
        self._workflows = compiled.workflows

    @property
    def workflow_names(self) -> tuple[str, ...]:
        """Names of the workflows, in the order in which they were given."""
        return tuple(self._workflows)

    def runtime(
        self,
        database: Database,
        world: World | None = None,
        timing: Timing | None = None,
        open_runs_max: int = limits.open_runs_max,
    ) -> Runtime:
        """A runtime of these workflows; for programs that bring their own server."""
        workflows = dict(self._workflows)
        return Runtime(database, workflows, self._registry, world, timing, open_runs_max)

    @asynccontextmanager
    async def running(self, settings: Settings | None = None) -> AsyncIterator[str]:
        """Serves while the context is open; gives the target for clients.

        Raises:
            AddressUnusable: something else listens there, or the address is not ours.
            DatabaseUnusable: the database cannot be reached, or is not one that we can use.
            SchemaMismatch: the database has another schema.
        """
        settings = settings or Settings()
        database = await open_prepared_database(settings)
        runtime = self.runtime(
            database, timing=_timing(settings), open_runs_max=settings.open_runs_max
        )
        server = Server(runtime, settings.watchers_max, shares_port=settings.reuse_port)
        try:
            await _usable(runtime.start())
            port = await _listen(server, settings.address)
            yield f"{settings.address.rpartition(':')[0]}:{port}"
        finally:
            await server.stop(settings.grace_seconds)
            await database.close()

    @contextmanager
    def serving(self, settings: Settings | None = None) -> Iterator[str]:
        """Serves from a thread of its own while the context is open; gives the target.

        Without settings it listens on a free port.
        """
        settings = settings or Settings(address="127.0.0.1:0")
        thread = _ServerThread(self, settings)
        thread.start()
        try:
            yield thread.target()
        finally:
            thread.stop()


class _ServerThread(threading.Thread):
    """A server with an event loop of its own."""

    def __init__(self, app: Interlock, settings: Settings) -> None:
        super().__init__(name="interlock", daemon=True)
        self._app = app
        self._settings = settings
        self._is_ready = threading.Event()
        self._target = ""
        self._problem: BaseException | None = None

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as problem:  # noqa: BLE001
            self._problem = problem
        finally:
            self._is_ready.set()

    def target(self) -> str:
        """Waits until the server listens, and gives its target; raises what kept it from that."""
        self._is_ready.wait()
        if self._problem is not None:
            raise self._problem
        return self._target

    def stop(self) -> None:
        """Stops the server in good order."""
        self._loop.call_soon_threadsafe(self._end.set)
        self.join()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        async with self._app.running(self._settings) as self._target:
            self._is_ready.set()
            await self._end.wait()


async def _listen(server: Server, address: str) -> int:
    try:
        return await server.start(address)
    except RuntimeError as error:  # What gRPC raises; its text says less.
        raise AddressUnusable(f"cannot listen on {address}: it is in use, or not ours") from error


def _timing(settings: Settings) -> Timing:
    days = settings.retention_days
    return Timing(
        lease=settings.lease_seconds,
        commit_delay=settings.commit_delay_seconds,
        retention=None if days is None else days * 24 * 3_600,
    )


async def open_database(settings: Settings) -> Database:
    """The database of a server, given or embedded; its schema is not looked at.

    Raises:
        DatabaseUnusable: it cannot be reached, or is not one that Interlock can use.
    """
    if settings.database_url is None:
        return await database_open_embedded(settings.data_dir / "postgres", settings.pool_size)
    return await database_open(settings.database_url.get_secret_value(), settings.pool_size)


async def _usable(beginning: Awaitable[None]) -> None:
    """A server that loses its database while it begins could not begin."""
    try:
        await beginning
    except StoreUnavailable as lost:
        raise DatabaseUnusable("the database was lost while the server began; try again") from lost


async def open_prepared_database(settings: Settings) -> Database:
    """The database of a server: given and checked, or embedded and brought up to date.

    Raises:
        DatabaseUnusable: it cannot be reached, or is not one that Interlock can use.
        SchemaMismatch: it has another schema.
    """
    database = await open_database(settings)
    try:
        if settings.database_url is None:
            await schema_upgrade(database)
        else:
            await _usable(schema_check(database))
    except BaseException:
        await database.close()
        raise
    return database
