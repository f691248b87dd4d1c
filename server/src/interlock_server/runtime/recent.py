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
        self._kept: LRUCache[str, tuple[int, Memory]] = LRUCache(bytes_max, _size)

    def keep(self, version: int, memory: Memory) -> None:
        """Keeps a memory, unless it takes more than all the room."""
        with suppress(ValueError):
            self._kept[memory.row.run.run_id] = (version, memory)

    def take(self, run_id: str, version: int) -> Memory | None:
        """Gives away the memory of a run, if there is one of this version."""
        kept, memory = self._kept.pop(run_id, (None, None))
        return memory if kept == version else None


def _size(kept: tuple[int, Memory]) -> int:
    _, memory = kept
    return (
        sum(_BYTES_EACH + len(value or "") for value in memory.values.values())
        + sum(_BYTES_EACH + one.requirement.ByteSize() for one in memory.answers)
        + _BYTES_EACH * (1 + len(memory.event_keys))
        + sum(_BYTES_EACH + one.ByteSize() for one in memory.results or ())
        + len(memory.row.session_state)
        + memory.row.run.ByteSize()
    )
