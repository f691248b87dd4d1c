"""What processes use: CPU time and memory, of a process with all its descendants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import psutil


def cpu_of(pid: int) -> float:
    """Seconds of CPU time that a process and its descendants have used, also those that ended."""
    return sum(_each(pid, _cpu))


def memory_of(pid: int) -> int:
    """Bytes that a process and its descendants hold, and nobody else does."""
    return int(sum(_each(pid, lambda process: process.memory_full_info().uss)))


def resident_of(pid: int) -> int:
    """Bytes of memory that a process has, those included that others have, too."""
    return int(psutil.Process(pid).memory_info().rss)


def _each(pid: int, measure: Callable[[psutil.Process], float]) -> Iterator[float]:
    for process in _family(pid):
        with suppress(psutil.NoSuchProcess):
            yield measure(process)


def _family(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)
