"""Wake-ups between processes. They shorten a wait; that nothing is missed rests on polling."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
from sqlalchemy import text

from interlock import v1
from interlock_server.errors import StoreUnavailable
from interlock_server.store.database import Database
from interlock_server.store.records import Tip

_CHANNEL = "interlock"
_SEPARATOR = ","
_PART = ":"
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
        self._moved: dict[str, Tip | None] = {}
        self._is_due = asyncio.Event()
        self._sending = asyncio.Lock()

    def announce(self, run_id: str, tip: Tip | None = None) -> None:
        """Notes that a run has moved; where to, if that is known."""
        # Where something has happened of which only the store knows, others must look.
        is_known = self._moved.get(run_id, tip) is not None
        self._moved[run_id] = tip if is_known else None
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
            names, self._moved = [_name(*one) for one in self._moved.items()], {}
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
    heard: Callable[[str, Tip | None], None],
    freed: Callable[[], None],
    called: Callable[[], None],
    retry_seconds: float = 1.0,
) -> None:
    """Calls `heard` with each run that others moved, and where to, until cancelled.

    It reconnects by itself.

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
                heard(*_parts(name))

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


def _name(run_id: str, tip: Tip | None) -> str:
    """A run in a message, and where it has moved to, if that is known."""
    return run_id if tip is None else f"{run_id}{_PART}{tip.state}{_PART}{tip.last_sequence}"


def _parts(name: str) -> tuple[str, Tip | None]:
    run_id, *place = name.split(_PART)
    if not place:
        return run_id, None
    state, sequence = map(int, place)
    return run_id, Tip(v1.RunState.ValueType(state), sequence)
