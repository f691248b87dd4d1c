"""Driver processes: a client of one language, which does what it is told."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
REPLY_SECONDS = 45.0
"""Nothing in a scenario takes so long: a driver that has not answered by then never would."""

_END_SECONDS = 5.0
_LINE_BYTES_MAX = 64 * 1024 * 1024
_LOG_LINES = 40


class DriverFailed(Exception):
    """A driver broke its protocol, ended, or did not answer; the text has what it logged."""


class Driver:
    """One process. Requests may be sent before earlier ones were answered."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._numbers = count(1)
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        self._tasks = [
            asyncio.create_task(self._read_replies()),
            asyncio.create_task(self._read_log()),
        ]
        self.connected: Mapping[str, Any] | None = None

    @classmethod
    async def start(cls, command: Sequence[str], folder: Path) -> Driver:
        """Starts a process of its own group, so that signals reach all of it."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("INTERLOCK_")
        }
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            cwd=folder,
            env=environment,
            start_new_session=True,
            limit=_LINE_BYTES_MAX,
        )
        return cls(process)

    @property
    def is_alive(self) -> bool:
        """Whether it can answer, as far as anybody knows."""
        return self._process.returncode is None and not self._tasks[0].done()

    def send(self, op: str, parameters: Mapping[str, Any]) -> asyncio.Future[dict[str, Any]]:
        """Sends a request; gives what will be its reply, without the id."""
        number = next(self._numbers)
        reply = asyncio.get_running_loop().create_future()
        self._replies[number] = reply
        assert self._process.stdin is not None
        if self.is_alive:
            request = {"id": number, "op": op, **parameters}
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
        else:
            reply.set_exception(self._failed("the driver has ended"))
        return reply

    async def ask(self, op: str, **parameters: Any) -> dict[str, Any]:
        """Sends a request and waits for its reply.

        Raises:
            DriverFailed: there is none.
        """
        return await self.answered(self.send(op, parameters))

    async def answered(self, reply: asyncio.Future[dict[str, Any]]) -> dict[str, Any]:
        """Waits for a reply.

        Raises:
            DriverFailed: there is none.
        """
        try:
            return await asyncio.wait_for(asyncio.shield(reply), REPLY_SECONDS)
        except TimeoutError:
            raise self._failed(f"no reply within {REPLY_SECONDS:.0f} seconds") from None

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the whole group."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    async def kill(self) -> None:
        """Ends it as a crash would."""
        self.signal(signal.SIGKILL)
        await self._process.wait()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """Ends it in good order, if it can."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), _END_SECONDS)
        await self.kill()

    async def _read_replies(self) -> None:
        assert self._process.stdout is not None
        problem = "the driver has ended"
        try:
            while line := await self._process.stdout.readline():
                reply = json.loads(line)
                waiting = self._replies.pop(reply.pop("id"))
                if not waiting.done():
                    waiting.set_result(reply)
        except (ValueError, KeyError, AttributeError) as broken:
            problem = f"the driver does not keep to the protocol: {broken!r}"
        # What it logged in the end says why.
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._tasks[1]), 1.0)
        for waiting in self._replies.values():
            if not waiting.done():
                waiting.set_exception(self._failed(problem))
                waiting.exception()

    async def _read_log(self) -> None:
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            self._log.append(line.decode(errors="replace").rstrip())

    def _failed(self, problem: str) -> DriverFailed:
        log = "\n".join(f"    {line}" for line in self._log)
        return DriverFailed(f"{problem}; it logged:\n{log}" if log else problem)
