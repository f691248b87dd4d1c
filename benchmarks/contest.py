"""The contest: everybody does the same cycles, in turn, on the same database server."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.children import Child, ours
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
    warm_up(contender)
    return contender


def warm_up(contender: Contender) -> None:
    """Lets a contender open what it opens, and load what it loads, when it is needed."""
    contender.client.ask("drive", lanes=16, seconds=1.0)


def serve_interlock(
    stage: Stage,
    url: str,
    *options: str,
    name: str = "interlock",
    run_by: Sequence[str] = (sys.executable,),
) -> Child:
    """Starts an Interlock server on a database that has its tables.

    Args:
        run_by: the command that runs a module.
    """
    command = [*run_by, "-m", "interlock_server.cli", "serve", _APP, "--log-format", "json"]
    env = {"INTERLOCK_DATABASE_URL": url, "INTERLOCK_ADDRESS": "127.0.0.1:0"}
    return stage.child(name, [*command, *options], env, heeds_input=False)


def serve_floor(stage: Stage, url: str, *, run_by: Sequence[str] = (sys.executable,)) -> Child:
    """Starts the floor on an empty database."""
    return stage.child("floor", [*run_by, "-m", "benchmarks.contenders.floor", url])


def grpc_client(stage: Stage, server: Child) -> Child:
    """Starts a client of a server that speaks the contract."""
    command = ours("contenders.grpc_client", server.ready["target"])
    return stage.child(f"{server.name}-client", command)


def _interlock(stage: Stage) -> Contender:
    server = serve_interlock(stage, stage.database("interlock", migrated=True))
    return Contender(INTERLOCK, "interlock", grpc_client(stage, server), server)


def _floor(stage: Stage) -> Contender:
    server = serve_floor(stage, stage.database("floor"))
    return Contender(FLOOR, "floor", grpc_client(stage, server), server)


_APP = "benchmarks.contenders.interlock_app:app"
INTERLOCK = "Interlock"
FLOOR = "floor"

CONTENDERS: Mapping[str, Callable[[Stage], Contender]] = {
    INTERLOCK: _interlock,
    FLOOR: _floor,
}
