"""The sampler: runs a program, and notes where its main thread spends its CPU time.

    python -m benchmarks.sampler STACKS -m MODULE ARGUMENT ...

It looks once in each millisecond of CPU time, and says at the end, in the file
STACKS, how long each stack was at work. A SIGUSR1 forgets what came before. Time
of threads that run no Python, such as those of gRPC, is one entry of its own.
"""

from __future__ import annotations

import atexit
import json
import runpy
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType

_SECONDS = 0.001
_ROOTS = ("/site-packages/", "/src/", f"/python3.{sys.version_info[1]}/", f"{Path.cwd()}/")
"""What stands before the names of modules in their paths."""

Stack = tuple[CodeType, ...]


class Sampler:
    """Adds up CPU time by stack."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begin()

    def start(self) -> None:
        """Begins to look; the end of the process writes what was seen."""
        signal.signal(signal.SIGPROF, self._look)
        signal.signal(signal.SIGUSR1, lambda _number, _frame: self._begin())
        signal.setitimer(signal.ITIMER_PROF, _SECONDS, _SECONDS)
        atexit.register(self._write)

    def _begin(self) -> None:
        self._nanoseconds: Counter[Stack] = Counter()
        self._thread_seen = self._thread_begun = time.thread_time_ns()
        self._process_begun = time.process_time_ns()

    def _look(self, _number: int, frame: FrameType | None) -> None:
        now = time.thread_time_ns()
        stack = []
        while frame is not None:
            stack.append(frame.f_code)
            frame = frame.f_back
        self._nanoseconds[tuple(stack)] += now - self._thread_seen
        self._thread_seen = time.thread_time_ns()

    def _write(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        everything = time.process_time_ns() - self._process_begun
        others = everything - (time.thread_time_ns() - self._thread_begun)
        stacks = [
            [nanoseconds, [_place(code) for code in reversed(stack)]]
            for stack, nanoseconds in self._nanoseconds.items()
        ]
        self._path.write_text(json.dumps([*stacks, [others, ["other threads"]]]))


def sampled(path: Path) -> list[str]:
    """The command that runs a module, and writes its stacks to a file."""
    return [sys.executable, "-m", __name__, str(path)]


def _place(code: CodeType) -> str:
    """Where a piece of code stands: its module, as far as its path says, and its name."""
    path = code.co_filename
    for root in _ROOTS:
        path = path.rpartition(root)[2]
    return f"{path.removesuffix('.py').replace('/', '.')}:{code.co_qualname}"


if __name__ == "__main__":
    _, stacks, flag, module, *arguments = sys.argv
    assert flag == "-m", __doc__
    sys.argv = [module, *arguments]
    Sampler(Path(stacks)).start()
    runpy.run_module(module, run_name="__main__", alter_sys=True)
