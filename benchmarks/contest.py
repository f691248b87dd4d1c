"""The contest: everybody does the same cycles, in turn, on the same database server."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.children import Child, ours, theirs
from benchmarks.stage import Stage
from benchmarks.usage import cpu_of


@dataclass(frozen=True)
class Contender:
    """Somebody who does cycles.

    Args:
        client: drives the cycles, and makes them too where there is no server.
    """

    name: str
    database: str
    client: Child
    server: Child | None = None


@dataclass(frozen=True)
class Turn:
    """What one contender did in one turn.

    Args:
        rate: cycles per second.
        server, client, database: milliseconds of CPU time per cycle.
        p50, p99: milliseconds that a cycle took.
    """

    rate: float
    server: float
    client: float
    database: float
    p50: float
    p99: float


def take_turn(stage: Stage, contender: Contender, lanes: int, seconds: float) -> Turn:
    """Lets a contender do cycles, so many at once and for so long."""

    def cpu() -> tuple[float, float, float]:
        server = contender.server.cpu() if contender.server else 0.0
        return server, contender.client.cpu(), cpu_of(stage.postgres.pid)

    before = cpu()
    done = contender.client.ask("drive", lanes=lanes, seconds=seconds)
    count = done["count"]
    server, client, database = (
        1_000 * (now - then) / count for now, then in zip(cpu(), before, strict=True)
    )
    taken = done["milliseconds"]
    return Turn(count / done["seconds"], server, client, database, taken["p50"], taken["p99"])


def start(stage: Stage, name: str) -> Contender:
    """Starts a contender on an empty database of its own, warm."""
    contender = CONTENDERS[name](stage)
    contender.client.ask("drive", lanes=4, seconds=1.0)
    return contender


def serve_interlock(
    stage: Stage, url: str, *options: str, name: str = "interlock", app: str = "interlock_app"
) -> Child:
    """Starts an Interlock server of ours on a database that has its tables."""
    command = [sys.executable, "-m", "interlock_server.cli", "serve"]
    place = [f"benchmarks.contenders.{app}:app", "--address", "127.0.0.1:0"]
    env = {"INTERLOCK_DATABASE_URL": url}
    return stage.child(name, [*command, *place, "--log-format", "json", *options], env)


def _interlock(stage: Stage) -> Contender:
    server = serve_interlock(stage, stage.database("interlock", migrated=True))
    return Contender(INTERLOCK, "interlock", _grpc_client(stage, "interlock", server), server)


def _floor(stage: Stage) -> Contender:
    server = stage.child("floor", ours("contenders.floor", stage.database("floor")))
    return Contender(FLOOR, "floor", _grpc_client(stage, "floor", server), server)


def _grpc_client(stage: Stage, name: str, server: Child) -> Child:
    command = ours("contenders.grpc_client", server.ready["target"])
    return stage.child(f"{name}-client", command)


INTERLOCK = "Interlock"
FLOOR = "floor"

CONTENDERS: Mapping[str, Callable[[Stage], Contender]] = {
    INTERLOCK: _interlock,
    FLOOR: _floor,
}
