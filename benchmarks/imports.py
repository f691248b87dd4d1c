"""Imports: which modules a program has loaded, and a process that loads these and does no more.

    python -m benchmarks.imports note FILE -m MODULE ARGUMENT ...
    python -m benchmarks.imports load FILE

The first runs a program, and writes the names of what it imported when it ends;
the second imports it, but for what is ours, and waits.
"""

from __future__ import annotations

import asyncio
import atexit
import importlib
import json
import runpy
import sys
from contextlib import suppress
from pathlib import Path

from benchmarks import lanes

_OURS = {"interlock", "interlock_server", "benchmarks", "__main__", "__mp_main__"}


def note(path: Path, module: str) -> None:
    """Runs a module, and notes in the end what it has imported, the first one first."""
    before = set(sys.modules)

    def write() -> None:
        path.write_text(json.dumps([name for name in sys.modules if name not in before]))

    atexit.register(write)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def load(path: Path) -> None:
    """Imports what was noted and is not ours, says so, and waits for the end of its input."""
    for name in json.loads(path.read_text()):
        if name.split(".")[0] not in _OURS:
            with suppress(ImportError):  # Some names stand for parts of a module.
                importlib.import_module(name)
    asyncio.run(lanes.obey({}))


if __name__ == "__main__":
    _, what, file, *program = sys.argv
    if what == "note":
        _, module, *arguments = program
        sys.argv = [module, *arguments]
        note(Path(file), module)
    else:
        load(Path(file))
