"""Profiles: what a cycle asks of the database, and where the server's CPU time goes."""

from __future__ import annotations

import json
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.children import Child
from benchmarks.contest import (
    FLOOR,
    INTERLOCK,
    Contender,
    grpc_client,
    serve_floor,
    serve_interlock,
    warm_up,
)
from benchmarks.outcome import Outcome, Table, short
from benchmarks.stage import Stage, say

_LANES = 16
_SHOWN = 40
_OURS = "interlock_server."

Serve = Callable[..., Child]


def measure(stage: Stage) -> Outcome:
    tables = []
    for name, serve in ((INTERLOCK, serve_interlock), (FLOOR, serve_floor)):
        say(f"profiles: {name}")
        with stage.scene():
            tables.append(_statements(stage, name, serve))
        with stage.scene():
            tables += _times(stage, name, serve)
    return Outcome(tables=tables)


def _start(stage: Stage, url: str, name: str, serve: Serve, **how: Any) -> Contender:
    server = serve(stage, url, **how)
    contender = Contender(name, "profiled", grpc_client(stage, server), server)
    warm_up(contender)
    return contender


def _drive(stage: Stage, contender: Contender) -> int:
    seconds = stage.options.seconds or (5.0 if stage.options.is_quick else 10.0)
    count: int = contender.client.ask("drive", lanes=_LANES, seconds=seconds)["count"]
    return count


# What the database is asked.


def _statements(stage: Stage, name: str, serve: Serve) -> Table:
    """Statements per cycle, as the database logs them."""
    url = stage.database("profiled", migrated=name == INTERLOCK)
    stage.postgres.log_statements("profiled")
    contender = _start(stage, url, name, serve)
    position = stage.postgres.log_position()
    cycles = _drive(stage, contender)
    seen = stage.postgres.statements_since(position)
    rows = [
        [sql[:140], short(seen.executed[sql] / cycles), short(milliseconds / cycles)]
        for sql, milliseconds in seen.milliseconds.most_common()
        if seen.executed[sql] > 0.05 * cycles
    ]
    total = [
        "all",
        short(seen.executed.total() / cycles),
        short(seen.milliseconds.total() / cycles),
    ]
    return Table(
        f"statements of a cycle of {name}, {_LANES} at once",
        ("Statement", "Executed", "ms"),
        [total, *rows],
    )


# Where the server's CPU time goes.


def _times(stage: Stage, name: str, serve: Serve) -> list[Table]:
    url = stage.database("profiled", migrated=name == INTERLOCK)
    path = stage.folder / "stacks.json"
    run_by = [sys.executable, "-m", "benchmarks.sampler", str(path)]
    contender = _start(stage, url, name, serve, run_by=run_by)
    assert contender.server is not None
    contender.server.signal(signal.SIGUSR1)
    cycles = _drive(stage, contender)
    contender.server.stop()
    profile = _Profile(path, cycles)
    return [
        profile.table(f"{name}: CPU of the server by library", profile.by_library()),
        profile.table(f"{name}: CPU by function, without what it calls", profile.by_own()),
        profile.table(f"{name}: CPU by function, with what it calls", profile.by_all()),
    ]


class _Profile:
    """Stacks, and how long each was at work."""

    def __init__(self, path: Path, cycles: int) -> None:
        self._stacks = json.loads(path.read_text())
        self._cycles = cycles
        self._total = sum(one["seconds"] for one in self._stacks)

    def by_library(self) -> Counter[str]:
        return self._added(lambda stack: [_library(stack[-1])])

    def by_own(self) -> Counter[str]:
        return self._added(lambda stack: stack[-1:])

    def by_all(self) -> Counter[str]:
        """Only of what some, not all, have in common: below the loop, everything is everybody's."""
        return self._added(lambda stack: set(_below_loop(stack)))

    def table(self, title: str, seconds: Counter[str]) -> Table:
        rows = [
            [name, short(1_000 * spent / self._cycles), f"{100 * spent / self._total:.1f}%"]
            for name, spent in seconds.most_common(_SHOWN)
        ]
        return Table(title, ("Where", "ms per cycle", "Share"), rows)

    def _added(self, places: Callable[[list[str]], Sequence[str] | set[str]]) -> Counter[str]:
        seconds: Counter[str] = Counter()
        for one in self._stacks:
            for place in places(one["stack"]):
                seconds[place] += one["seconds"]
        return seconds


def _library(place: str) -> str:
    """The library of a place; of our own, the room."""
    module = place.partition(":")[0]
    if module.startswith(_OURS):
        return ".".join(module.split(".")[:3])
    return module.split(".")[0]


def _below_loop(stack: list[str]) -> Iterator[str]:
    """What the event loop called, without the loop itself."""
    loop = max((n for n, place in enumerate(stack) if "_run_once" in place), default=-1)
    return iter(stack[loop + 1 :])
