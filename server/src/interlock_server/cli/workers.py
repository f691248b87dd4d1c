"""Workers: several server processes behind one address, started, watched and stopped together."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import structlog

from interlock_server.app import AddressUnusable, open_prepared_database
from interlock_server.cli.exits import Exit
from interlock_server.settings import Settings
from interlock_server.store.database import Database

_RESTART_SECONDS = 1.0
"""How long a worker that died at once is left alone; others take its runs over meanwhile."""

_log = structlog.get_logger()


class WorkerRefused(Exception):
    """A worker could not start; it has said why, and `code` is what it exited with."""

    def __init__(self, code: int) -> None:
        super().__init__(f"a worker exited with {code}")
        self.code = code


async def serve_with_workers(
    settings: Settings, count: int, arguments: Sequence[str], announce: Callable[[str], None]
) -> None:
    """Serves with several processes until a signal comes; one that dies is replaced.

    The database is opened, and the embedded one kept, by this process; the
    workers are plain servers on it, each with its own lease on its own runs.

    Args:
        arguments: of the command line of every worker.
        announce: is told where, as soon as all workers take calls.

    Raises:
        AddressUnusable: the address cannot be had.
        DatabaseUnusable: the database cannot be reached, or is not one that we can use.
        SchemaMismatch: the database has another schema.
        WorkerRefused: a worker could not start.
    """
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    database = await open_prepared_database(settings)
    try:
        with _reserved(settings.address) as target:
            command = [sys.executable, "-m", "interlock_server.cli", *arguments]
            crew = _Crew(command, _variables(settings, target, database))
            try:
                await crew.start(count)
                announce(target)
                await crew.watch(stop)
            finally:
                await crew.stop(settings.grace_seconds)
    finally:
        await database.close()


@dataclass
class _Crew:
    """The workers of one address."""

    command: Sequence[str]
    variables: dict[str, str]
    _workers: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def start(self, count: int) -> None:
        """Starts workers, and waits until all of them take calls."""
        await asyncio.gather(*(self._started() for _ in range(count)))

    async def watch(self, stop: asyncio.Event) -> None:
        """Replaces workers that end by themselves, until told to stop."""
        async with asyncio.TaskGroup() as group:
            keepers = [group.create_task(self._keep(worker)) for worker in self._workers]
            await stop.wait()
            for keeper in keepers:
                keeper.cancel()

    async def stop(self, grace: float) -> None:
        """Stops all workers in good order; those that take too long, at once."""
        for worker in self._workers:
            _signal(worker, signal.SIGTERM)
        # A worker takes its own grace, twice at most: for its calls, and for its runs.
        late = 2 * grace + 5.0
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*(one.wait() for one in self._workers)), late)
        for worker in self._workers:
            _signal(worker, signal.SIGKILL)

    async def _keep(self, worker: asyncio.subprocess.Process) -> None:
        while True:
            code = await worker.wait()
            _log.warning("worker died", pid=worker.pid, code=code)
            self._workers.remove(worker)
            worker = await self._replacement()

    async def _replacement(self) -> asyncio.subprocess.Process:
        while True:
            try:
                return await self._started()
            except WorkerRefused as refused:
                _log.error("worker cannot start", code=refused.code)
                await asyncio.sleep(_RESTART_SECONDS)

    async def _started(self) -> asyncio.subprocess.Process:
        """Starts a worker, and waits until it takes calls: it says so in a line."""
        worker = await asyncio.create_subprocess_exec(
            *self.command,
            env={**os.environ, **self.variables},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # A Ctrl-C is for this process, which stops its workers in its own order.
            start_new_session=True,
        )
        self._workers.append(worker)
        assert worker.stdout is not None
        async for line in worker.stdout:
            if b"listening" in line:
                return worker
        self._workers.remove(worker)
        raise WorkerRefused(await worker.wait() or Exit.NOT_SERVED)


def _variables(settings: Settings, target: str, database: Database) -> dict[str, str]:
    """The settings of a worker; by the environment, since a command line is for all to read."""
    url = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    given = settings.model_dump(exclude_none=True) | {"address": target, "database_url": url}
    return {f"INTERLOCK_{name.upper()}": str(value) for name, value in given.items()}


def _signal(worker: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        worker.send_signal(number)


@contextmanager
def _reserved(address: str) -> Iterator[str]:
    """Keeps a port for servers that share it, so that port 0 is the same one for all of them."""
    host, _, port = address.rpartition(":")
    try:
        [(family, _, _, _, place), *_] = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM
        )
        with socket.socket(family, socket.SOCK_STREAM) as reserved:
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            reserved.bind(place)
            yield f"{host}:{reserved.getsockname()[1]}"
    except OSError as error:
        raise AddressUnusable(f"cannot listen on {address}: {error.strerror}") from error
