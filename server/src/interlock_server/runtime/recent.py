"""Recent runs: what those had done that paused here, so that it need not be read again."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from interlock_server import limits
from interlock_server.store.records import Memory

_BYTES_EACH = 200
"""What an entry or a key takes besides its text, or a little more."""


@dataclass(frozen=True)
class _Kept:
    version: int
    memory: Memory
    size: int


class Recent:
    """Keeps the memories of the runs that paused last, as many as there is room for.

    A memory is of one version of its run, and nothing that a run goes by changes
    without changing that; so whoever has read the version knows whether it holds.
    """

    def __init__(self, bytes_max: int = limits.recent_bytes_max) -> None:
        self._bytes_max = bytes_max
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._size = 0

    def keep(self, version: int, memory: Memory) -> None:
        """Keeps a memory, and drops the oldest ones where it takes their room."""
        run_id = memory.row.run.run_id
        self._drop(run_id)
        kept = _Kept(version, memory, _size(memory))
        self._kept[run_id] = kept
        self._size += kept.size
        while self._size > self._bytes_max:
            self._drop(next(iter(self._kept)))

    def take(self, run_id: str, version: int) -> Memory | None:
        """Gives away the memory of a run, if there is one of this version."""
        kept = self._drop(run_id)
        return kept.memory if kept is not None and kept.version == version else None

    def _drop(self, run_id: str) -> _Kept | None:
        kept = self._kept.pop(run_id, None)
        if kept is not None:
            self._size -= kept.size
        return kept


def _size(memory: Memory) -> int:
    return (
        sum(_BYTES_EACH + len(one.value or "") for one in memory.entries)
        + sum(_BYTES_EACH + one.requirement.ByteSize() for one in memory.answers)
        + _BYTES_EACH * (1 + len(memory.event_keys))
        + len(memory.row.session_state)
        + memory.row.run.ByteSize()
    )
