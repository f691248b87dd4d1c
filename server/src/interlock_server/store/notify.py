"""Wake-ups between processes. They shorten a wait; that nothing is missed rests on polling."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
from sqlalchemy import text

from interlock_server.errors import StoreUnavailable
from interlock_server.store.database import Database

_CHANNEL = "interlock"
_SEPARATOR = ","
_NAMES_PER_MESSAGE = 150
_FREE = "!"
"""Stands among the names of runs for: some run waits for a process to claim it."""

_CALL = "?"
"""Stands there for: some call waits for a worker to execute it."""

_COALESCE_SECONDS = 0.002
_NOTIFY = text("SELECT pg_notify(:channel, :payload)")


class Announcer:
    """Tells other processes which runs moved, many at a time.

    A NOTIFY inside every commit would serialise the commits of all writers; one
    after the commit, for all runs that moved meanwhile, costs a tenth of that.
    """

    def __init__(self, database: Database, sender: str) -> None:
        self._database = database
        self._sender = sender
        self._moved: dict[str, None] = {}
        self._is_due = asyncio.Event()
        self._sending = asyncio.Lock()

    def announce(self, run_id: str) -> None:
        """Notes that a run has moved."""
        self._moved[run_id] = None
        self._is_due.set()

    def announce_free(self) -> None:
        """Notes that a run waits for a process to claim it."""
        self.announce(_FREE)

    def announce_call(self) -> None:
        """Notes that a call waits for a worker to execute it."""
        self.announce(_CALL)

    async def run(self) -> None:
        """Sends what was announced, until cancelled."""
        while True:
            await self._is_due.wait()
            await self.send()
            await asyncio.sleep(_COALESCE_SECONDS)

    async def send(self) -> None:
        """Sends what was announced, at once; comes back when all of it is sent."""
        async with self._sending:
            self._is_due.clear()
            names, self._moved = list(self._moved), {}
            for start in range(0, len(names), _NAMES_PER_MESSAGE):
                chunk = names[start : start + _NAMES_PER_MESSAGE]
                payload = _SEPARATOR.join((self._sender, *chunk))
                try:
                    parameters = {"channel": _CHANNEL, "payload": payload}
                    await self._database.fetch(_NOTIFY, parameters)
                except StoreUnavailable:
                    break  # Whoever waits will poll.


async def listen(
    database: Database,
    me: str,
    heard: Callable[[str], None],
    freed: Callable[[], None],
    called: Callable[[], None],
    retry_seconds: float = 1.0,
) -> None:
    """Calls `heard` with each run that others moved, until cancelled; reconnects by itself.

    Args:
        freed: is called when a run waits for a process to claim it.
        called: is called when a call waits for a worker.
        me: the name under which this process announces; it is not told its own news.
    """

    def on_message(_connection: Any, _pid: int, _channel: str, payload: Any) -> None:
        sender, *moved = str(payload).split(_SEPARATOR)
        if sender == me:
            return
        for name in moved:
            if name == _FREE:
                freed()
            elif name == _CALL:
                called()
            else:
                heard(name)

    while True:
        try:
            connection = await asyncpg.connect(database.dsn)
        except (OSError, asyncpg.PostgresError):
            await asyncio.sleep(retry_seconds)
            continue
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _connection: lost.set())  # noqa: B023
        try:
            await connection.add_listener(_CHANNEL, on_message)
            await lost.wait()
        finally:
            connection.terminate()
