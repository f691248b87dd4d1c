"""How soon a server answers, and what it weighs, against a process with the same libraries."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.calls import connected
from benchmarks.children import Child, ours
from benchmarks.contest import serve_interlock
from benchmarks.outcome import Chart, Figure, Line, Outcome, Sample, Table
from benchmarks.stage import Stage, say
from interlock import v1

_SERVER, _LIBRARIES = "server, to its first answer", "its libraries, imported"
_HELP, _PENDING = "interlock --help", "interlock pending"
_START_TARGET = 1.3
_COMMAND_TARGET = 0.1
_INTERLOCK = Path(sys.executable).parent / "interlock"


@dataclass(frozen=True)
class Started:
    """A process that has started, or a command that has ended.

    Args:
        seconds: it took.
        memory: megabytes that it holds by itself.
    """

    seconds: float
    memory: float = 0.0


def measure(stage: Stage) -> Outcome:
    rounds = stage.options.rounds or (3 if stage.options.is_quick else 7)
    url = stage.database("startup", migrated=True)
    modules = _modules(stage, url)
    started: dict[str, list[Started]] = {
        name: [] for name in (_SERVER, _LIBRARIES, _HELP, _PENDING)
    }
    for number in range(rounds):
        say(f"  round {number + 1} of {rounds}")
        with stage.scene():
            begun = time.perf_counter()
            server = serve_interlock(stage, url)
            with connected(server.ready["target"]) as calls:
                calls.runs.ListRuns(v1.ListRunsRequest(page_size=1))
            started[_SERVER].append(_started(begun, server))
            started[_HELP].append(_command("--help"))
            started[_PENDING].append(_command("pending", "--target", server.ready["target"]))
        with stage.scene():
            begun = time.perf_counter()
            libraries = stage.child("libraries", ours("imports", "load", str(modules)))
            started[_LIBRARIES].append(_started(begun, libraries))
    return _outcome(started)


def _modules(stage: Stage, url: str) -> Path:
    """A file with the names of what a server has imported when it answers."""
    path = stage.folder / "modules.json"
    with stage.scene():
        server = serve_interlock(stage, url, run_by=ours("imports", "note", str(path)))
        with connected(server.ready["target"]) as calls:
            calls.runs.ListRuns(v1.ListRunsRequest(page_size=1))
    return path


def _started(begun: float, child: Child) -> Started:
    seconds = time.perf_counter() - begun
    return Started(seconds, child.memory() / 1_000_000)


def _command(*arguments: str) -> Started:
    """Runs a command of ours to its end."""
    begun = time.perf_counter()
    environment = {**os.environ, "NO_COLOR": "1"}
    subprocess.run([_INTERLOCK, *arguments], env=environment, capture_output=True, check=True)
    return Started(time.perf_counter() - begun)


def _outcome(started: dict[str, list[Started]]) -> Outcome:
    seconds = {name: Sample(tuple(one.seconds for one in each)) for name, each in started.items()}
    memory = {
        name: Sample(tuple(one.memory for one in started[name])) for name in (_SERVER, _LIBRARIES)
    }
    figures = [
        Figure(
            "server to its first answer against its libraries, imported",
            seconds[_SERVER].over(seconds[_LIBRARIES]),
            "at most",
            _START_TARGET,
        ),
        *(
            Figure(
                f"{name} against the start of a server",
                seconds[name].over(seconds[_SERVER]),
                "at most",
                _COMMAND_TARGET,
            )
            for name in (_HELP, _PENDING)
        ),
    ]
    rows = [
        [name, str(each), str(memory[name]) if name in memory else ""]
        for name, each in seconds.items()
    ]
    table = Table("starts", ("", "seconds", "memory, MB"), rows)
    lines = [Line("seconds", list(seconds), list(seconds.values()))]
    return Outcome(figures, [table], [Chart("Starts", "", "seconds", lines)])
