"""Shared reads: what many want at the same time is read once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

K = TypeVar("K")
V = TypeVar("V")


class Shared(Generic[K, V]):
    """Reads by key. Whoever asks gets the result of a read that begins only then, or later.

    While one is under way, all who ask for the same wait for the next one
    together. So nobody misses what was there when they asked, and a crowd costs
    as much as two.
    """

    def __init__(self, read: Callable[[K], Awaitable[V]]) -> None:
        self._read = read
        self._next: dict[K, asyncio.Task[V]] = {}
        self._turns: WeakValueDictionary[K, asyncio.Lock] = WeakValueDictionary()

    async def get(self, key: K) -> V:
        """Reads, together with all who ask for the same meanwhile.

        Raises:
            Exception: what the read raised, to each of them.
        """
        task = self._next.get(key)
        if task is None:
            task = self._next[key] = asyncio.create_task(self._take_turn(key))
            task.add_done_callback(_look)
        return await asyncio.shield(task)

    async def _take_turn(self, key: K) -> V:
        async with self._turns.setdefault(key, asyncio.Lock()):
            del self._next[key]
            return await self._read(key)


def _look(task: asyncio.Task[V]) -> None:
    """Takes note of a failure that nobody waits for any more."""
    if not task.cancelled():
        task.exception()
