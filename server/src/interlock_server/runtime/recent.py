"""Recent runs: what those had done that paused here, so that it need not be read again."""

from __future__ import annotations

from contextlib import suppress

from cachetools import LRUCache

from interlock_server import limits
from interlock_server.store.records import Memory

_BYTES_EACH = 200
"""What an entry or a key takes besides its text, or a little more."""


class Recent:
    """Keeps the memories of the runs that paused last, as many as there is room for.

    A memory is of one version of its run, and nothing that a run goes by changes
    without changing that; so whoever has read the version knows whether it holds.
    """

    def __init__(self, bytes_max: int = limits.recent_bytes_max) -> None:
        self._kept: LRUCache[str, Memory] = LRUCache(bytes_max, _size)

    def keep(self, memory: Memory) -> None:
        """Keeps the memory of a run as it is at rest, unless it takes more than all the room."""
        with suppress(ValueError):
            self._kept[memory.row.run.run_id] = memory

    def look(self, run_id: str) -> Memory | None:
        """The memory of a run, of whatever version, if there is one."""
        return self._kept.get(run_id)

    def take(self, run_id: str, etag: str) -> Memory | None:
        """Gives away the memory of a run, if there is one of this version."""
        memory = self._kept.pop(run_id, None)
        return memory if memory is not None and memory.row.run.etag == etag else None


def _size(memory: Memory) -> int:
    return (
        sum(_BYTES_EACH + len(value or "") for value in memory.values.values())
        + sum(_BYTES_EACH + one.requirement.ByteSize() for one in memory.answers)
        + _BYTES_EACH * (1 + len(memory.event_keys))
        + sum(_BYTES_EACH + one.ByteSize() for one in memory.results or ())
        + len(memory.row.session_state)
        + memory.row.run.ByteSize()
    )
