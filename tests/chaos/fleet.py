"""The fleet: servers on one database, which come and go."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.chaos.diary import Diary
from tests.chaos.proxy import Proxy
from tests.support.commands import ROOT

from interlock_server.cli.exits import Exit

STUCK_SECONDS = 300.0
"""Nothing depends on speed but this: what takes longer would never come."""

_LEASE_SECONDS_MIN = 1.0
_LEASE_SECONDS_MAX = 4.0
_STARTS_PER_LEASE = 4
_GRACE_SECONDS = 2.0
_POLL_SECONDS = 0.01


@dataclass(eq=False)
class Server:
    """A server: a process, its way to the database, and what it has written."""

    number: int
    proxy: Proxy
    log: Path
    pid: int = 0
    target: tuple[str, int] = ("", 0)
    is_frozen: bool = False
    is_leaving: bool = False
    is_killed: bool = False
    started: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    code: int | None = None

    def __str__(self) -> str:
        return f"server {self.number} (pid {self.pid})"

    @property
    def is_ready(self) -> bool:
        """Whether it takes calls, as far as anybody knows."""
        return bool(self.target[1]) and not self.is_leaving and not self.ended.is_set()


class Fleet:
    """Starts servers and sends them signals, and knows which of them are alive.

    Args:
        folder: where their logs go.
        socket: that of the database, which may be away at times.
    """

    def __init__(self, folder: Path, socket: Path, diary: Diary) -> None:
        self.servers: list[Server] = []
        self.problems: list[str] = []
        self.lease_seconds = _LEASE_SECONDS_MIN
        self._folder = folder
        self._socket = socket
        self._diary = diary
        self._by_pid: dict[int, Server] = {}
        self._starting: deque[Server] = deque()
        self._zygote: Process | None = None
        self._reader: asyncio.Task[None] | None = None

    # Life.

    async def open(self, environment: Mapping[str, str]) -> None:
        """Starts the process that servers are forked from."""
        self._zygote = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.chaos.zygote"),
            stdin=PIPE,
            stdout=PIPE,
            env={**os.environ, **environment},
            cwd=ROOT,
            start_new_session=True,
        )
        self._reader = asyncio.create_task(self._listen(self._zygote))

    async def close(self) -> None:
        """Ends everything, whatever is still alive."""
        if self._zygote is None or self._reader is None:
            return
        assert self._zygote.stdin is not None
        self._zygote.stdin.close()
        await self._zygote.wait()
        await self._reader
        for server in self.servers:
            await server.proxy.close()

    async def _listen(self, zygote: Process) -> None:
        assert zygote.stdout is not None
        while line := await zygote.stdout.readline():
            self._heard(json.loads(line))

    def _heard(self, news: Mapping[str, int]) -> None:
        if "started" in news:
            server = self._starting.popleft()
            server.pid = news["started"]
            self._by_pid[server.pid] = server
            server.started.set()
        else:
            server = self._by_pid.pop(news["ended"])
            server.code = news["code"]
            server.ended.set()

    async def measure(self) -> None:
        """Finds out how long leases must be: as short as may be, but on a busy machine servers
        would lose the runs that they hold, all the time."""
        start = time.monotonic()
        server = await self.add()
        seconds = _STARTS_PER_LEASE * (time.monotonic() - start)
        self.lease_seconds = min(max(seconds, _LEASE_SECONDS_MIN), _LEASE_SECONDS_MAX)
        await self.stop(server)

    # Servers.

    async def add(self) -> Server:
        """Starts a server; again, when it loses the database. Comes back when it takes calls."""
        while True:
            await self._database_is_there()
            server = await self._fork()
            if await self._listens(server):
                self._diary.note(f"{server} listens", "starts")
                return server
            await server.proxy.close()
            if server.is_killed:
                continue
            if server.code != Exit.NOT_SERVED:
                self.problems.append(f"{server} did not start: {server.code}\n{_end_of(server)}")
            self._diary.note(f"{server} did not start: {server.code}", "starts without a database")

    async def _fork(self) -> Server:
        proxy = Proxy(self._reach_database)
        url = f"postgresql://postgres@127.0.0.1:{await proxy.open()}/postgres"
        number = len(self.servers) + 1
        server = Server(number, proxy, self._folder / f"server{number}.log")
        self.servers.append(server)
        server.log.touch()
        options = {
            "--address": "127.0.0.1:0",
            "--database-url": url,
            "--lease-seconds": f"{self.lease_seconds}",
            "--grace-seconds": f"{_GRACE_SECONDS}",
            "--log-format": "json",
        }
        arguments = [part for option in options.items() for part in option]
        self._starting.append(server)
        self._ask(serve=arguments, log=str(server.log), number=number)
        await server.started.wait()
        return server

    async def _listens(self, server: Server) -> bool:
        """Waits until a server takes calls; false when it has ended before."""
        end = time.monotonic() + STUCK_SECONDS
        while not server.ended.is_set():
            for line in server.log.read_text().splitlines(keepends=True):
                if line.startswith('{"event": "listening"') and line.endswith("\n"):
                    host, _, port = json.loads(line)["target"].rpartition(":")
                    server.target = (host, int(port))
                    return True
            await asyncio.sleep(_POLL_SECONDS)
            if time.monotonic() > end:
                self.problems.append(f"{server} does not start\n{_end_of(server)}")
                self.kill(server)
                await server.ended.wait()
        return False

    async def _ends(self, server: Server) -> bool:
        """Waits until a server has ended; false when it had to be killed."""
        try:
            async with asyncio.timeout(STUCK_SECONDS):
                await server.ended.wait()
        except TimeoutError:
            self.kill(server)
            await server.ended.wait()
            return False
        return True

    async def _database_is_there(self) -> None:
        while True:
            try:
                _, writer = await self._reach_database()
            except OSError:
                await asyncio.sleep(_POLL_SECONDS)
            else:
                writer.close()
                return

    async def _reach_database(self) -> tuple[StreamReader, StreamWriter]:
        return await asyncio.open_unix_connection(self._socket)

    # What can be done to them.

    @property
    def ready(self) -> list[Server]:
        """The servers that take calls, or would if they were not frozen."""
        return [one for one in self.servers if one.is_ready]

    @property
    def awake(self) -> list[Server]:
        """The servers that take calls."""
        return [one for one in self.ready if not one.is_frozen]

    @property
    def alive(self) -> list[Server]:
        """The servers that took calls once and have not ended."""
        return [one for one in self.servers if one.target[1] and not one.ended.is_set()]

    def of(self, number: int) -> Server:
        """The server of a number."""
        return self.servers[number - 1]

    def is_dead(self, number: int) -> bool:
        """Whether a server has ended, so that nothing can come of it any more."""
        return self.of(number).ended.is_set()

    async def reach(self, random: Random) -> tuple[StreamReader, StreamWriter]:
        """Connects to any server that takes calls."""
        if not self.awake:
            raise ConnectionRefusedError
        return await asyncio.open_connection(*random.choice(self.awake).target)

    def kill(self, server: Server) -> None:
        """Ends a server as a crash would."""
        server.is_killed = True
        self._signal(server, signal.SIGKILL)

    async def stop(self, server: Server) -> None:
        """Asks a server to end in good order, and waits until it has."""
        server.is_leaving = True
        self._signal(server, signal.SIGTERM)
        if not await self._ends(server):
            self.problems.append(f"{server} does not stop\n{_end_of(server)}")
        elif server.code != 0 and not server.is_killed:
            self.problems.append(f"{server} stopped with {server.code}\n{_end_of(server)}")

    def freeze(self, server: Server) -> None:
        """Stops the time of a server."""
        server.is_frozen = True
        self._signal(server, signal.SIGSTOP)

    def thaw(self, server: Server) -> None:
        """Lets the time of a server go on."""
        server.is_frozen = False
        self._signal(server, signal.SIGCONT)

    def _signal(self, server: Server, number: signal.Signals) -> None:
        self._ask(signal=int(number), pid=server.pid)

    def _ask(self, **request: Any) -> None:
        assert self._zygote is not None
        assert self._zygote.stdin is not None
        self._zygote.stdin.write(json.dumps(request).encode() + b"\n")


def _end_of(server: Server) -> str:
    return server.log.read_text()[-2_000:]
