"""The contest: everybody does the same cycles, in turn, on the same database server."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.children import Child, ours, theirs
from benchmarks.sampler import sampled
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
        server, client, database: milliseconds of CPU time per cycle; where the
            workflow runs in process, that process is the server, and there is no client.
        cpu: all of it.
        p50, p99: milliseconds that a cycle took.
    """

    rate: float
    server: float
    client: float
    database: float
    cpu: float
    p50: float
    p99: float


def take_turn(stage: Stage, contender: Contender, lanes: int, seconds: float) -> Turn:
    """Lets a contender do cycles, so many at once and for so long."""
    before = _cpu(stage, contender)
    done = contender.client.ask("drive", lanes=lanes, seconds=seconds)
    count, taken = done["count"], done["milliseconds"]
    after = _cpu(stage, contender)
    server, client, database = (
        1_000 * (now - then) / count for now, then in zip(after, before, strict=True)
    )
    return Turn(
        rate=count / done["seconds"],
        server=server,
        client=client,
        database=database,
        cpu=server + client + database,
        p50=taken["p50"],
        p99=taken["p99"],
    )


def _cpu(stage: Stage, contender: Contender) -> tuple[float, float, float]:
    client, database = contender.client.cpu(), cpu_of(stage.postgres.pid)
    if contender.server is None:
        return client, 0.0, database
    return contender.server.cpu(), client, database


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
    app: str = "interlock_app",
    run_by: Sequence[str] = (),
) -> Child:
    """Starts an Interlock server on a database that has its tables.

    Args:
        app: the module, among the contenders, that has the workflows.
        run_by: the command that runs a module.
    """
    runs = run_by or _runner(stage)
    place = f"benchmarks.contenders.{app}:app"
    command = [*runs, "-m", "interlock_server.cli", "serve", place, "--log-format", "json"]
    env = {"INTERLOCK_DATABASE_URL": url, "INTERLOCK_ADDRESS": "127.0.0.1:0"}
    server = stage.child(name, [*command, *options], env, heeds_input=False)
    if stage.options.profiles and not run_by:
        server.signal(signal.SIGUSR1)  # Its start is not what was asked for.
    return server


def _runner(stage: Stage) -> list[str]:
    """What runs a server: Python, and where that was asked for, the sampler."""
    if not stage.options.profiles:
        return [sys.executable]
    stage.stacks.append(stage.folder / f"server {len(stage.stacks) + 1}")
    return sampled(stage.stacks[-1])


def serve_floor(stage: Stage, url: str, *, run_by: Sequence[str] = (sys.executable,)) -> Child:
    """Starts the floor on an empty database."""
    return stage.child("floor", [*run_by, "-m", "benchmarks.contenders.floor", url])


def grpc_client(stage: Stage, server: Child, *options: str) -> Child:
    """Starts a client of a server that speaks the contract."""
    command = ours("clients.cycles", server.ready["target"], *options)
    return stage.child(f"{server.name}-client", command)


def _interlock(stage: Stage) -> Contender:
    server = serve_interlock(stage, stage.database("interlock", migrated=True))
    return Contender(INTERLOCK, "interlock", grpc_client(stage, server), server)


def _floor(stage: Stage) -> Contender:
    server = serve_floor(stage, stage.database("floor"))
    return Contender(FLOOR, "floor", grpc_client(stage, server), server)


INTERLOCK = "Interlock"
FLOOR = "floor"


def _agno(stage: Stage) -> Contender:
    command = theirs("contenders.agno_in_process", _agno_url(stage, "agno"))
    return Contender(AGNO, "agno", stage.child("agno", command, _NO_TELEMETRY))


def _agno_served(stage: Stage) -> Contender:
    command = theirs("contenders.agno_server", _agno_url(stage, "agno_served"))
    server = stage.child("agno_served", command, _NO_TELEMETRY, heeds_input=False)
    client = theirs("clients.agno_http", server.ready["target"])
    return Contender(AGNO_SERVED, "agno_served", stage.child("agno_client", client), server)


def _agno_url(stage: Stage, database: str) -> str:
    """With the faster of the two drivers that Agno can use without blocking."""
    return stage.database(database).replace("postgresql://", "postgresql+asyncpg://")


def _langgraph(stage: Stage) -> Contender:
    command = theirs("contenders.langgraph_in_process", stage.database("langgraph"))
    return Contender(LANGGRAPH, "langgraph", stage.child("langgraph", command))


def _langgraph_at_exit(stage: Stage) -> Contender:
    url = stage.database("langgraph_exit")
    command = theirs("contenders.langgraph_in_process", url, "--durability", "exit")
    return Contender(LANGGRAPH_AT_EXIT, "langgraph_exit", stage.child("langgraph_exit", command))


_NO_TELEMETRY = {"AGNO_TELEMETRY": "false"}

INTERLOCK = "Interlock"
FLOOR = "floor"
AGNO = "Agno"
AGNO_SERVED = "Agno over HTTP"
LANGGRAPH = "LangGraph"
LANGGRAPH_AT_EXIT = "LangGraph at exit"

CONTENDERS: Mapping[str, Callable[[Stage], Contender]] = {
    INTERLOCK: _interlock,
    FLOOR: _floor,
    AGNO: _agno,
    AGNO_SERVED: _agno_served,
    LANGGRAPH: _langgraph,
    LANGGRAPH_AT_EXIT: _langgraph_at_exit,
}
