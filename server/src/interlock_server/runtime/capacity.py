"""Capacity: how many runs may be open at once."""

from __future__ import annotations

import asyncio

from interlock_server.errors import RunLimitExceeded
from interlock_server.store.database import Database
from interlock_server.store.runs import runs_count_open


class Capacity:
    """Counts the open runs: those of all servers now and then, those started here at once.

    Between two counts several servers may together exceed the bound by what
    they start meanwhile; it protects the database, and need not be exact.
    """

    def __init__(self, database: Database, most: int) -> None:
        self._database = database
        self._most = most
        self._known = 0
        self._admitted = 0
        self._counting = asyncio.Lock()

    async def admit(self) -> None:
        """Makes room for one more run.

        Raises:
            RunLimitExceeded: there is none.
        """
        if self._known >= self._most:
            async with self._counting:  # Whoever waited may profit from the count before.
                if self._known >= self._most:
                    await self.count()
        if self._known >= self._most:
            raise RunLimitExceeded("open runs", self._most)
        self._known += 1
        self._admitted += 1

    async def count(self) -> None:
        """Looks how many there are; those that were admitted meanwhile may not be among them."""
        before = self._admitted
        counted = await runs_count_open(self._database)
        self._known = counted + self._admitted - before
