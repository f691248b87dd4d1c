"""Profiles: what a cycle asks of the database, and where the server's CPU time goes."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence

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
from benchmarks.sampler import sampled
from benchmarks.stacks import Stacks
from benchmarks.stage import Stage, say

_LANES = 16
_DATABASE = "profiled"
_RARE = 0.05
_STATEMENT_CHARACTERS = 140

Serve = Callable[..., Child]


def measure(stage: Stage) -> Outcome:
    tables = []
    for name, serve in ((INTERLOCK, serve_interlock), (FLOOR, serve_floor)):
        say(f"  {name}")
        with stage.scene():
            tables.append(_statements(stage, name, serve))
        with stage.scene():
            tables += _times(stage, name, serve)
    return Outcome(tables=tables)


def _statements(stage: Stage, name: str, serve: Serve) -> Table:
    """The statements of a cycle, as the database logs them."""
    url = stage.database(_DATABASE, migrated=name == INTERLOCK)
    stage.postgres.log_statements(_DATABASE)
    contender = _contender(stage, name, serve(stage, url))
    position = stage.postgres.log_position()
    cycles = _cycles(stage, contender)
    seen = stage.postgres.statements_since(position)

    def row(name: str, executed: int, microseconds: int) -> Sequence[str]:
        return name, short(executed / cycles), short(microseconds / cycles / 1_000)

    rows = [
        row(sql[:_STATEMENT_CHARACTERS], seen.executed[sql], microseconds)
        for sql, microseconds in seen.microseconds.most_common()
        if seen.executed[sql] > _RARE * cycles
    ]
    everything = row("all", seen.executed.total(), seen.microseconds.total())
    title = f"statements of a cycle of {name}, {_LANES} at once"
    return Table(title, ("Statement", "executed", "ms"), [everything, *rows])


def _times(stage: Stage, name: str, serve: Serve) -> list[Table]:
    """Where the server is in a cycle."""
    url = stage.database(_DATABASE, migrated=name == INTERLOCK)
    path = stage.folder / f"{name}.stacks"
    server = serve(stage, url, run_by=sampled(path))
    contender = _contender(stage, name, server)
    server.signal(signal.SIGUSR1)
    cycles = _cycles(stage, contender)
    server.stop()
    return Stacks(path).tables(f"the server of {name}", cycles)


def _contender(stage: Stage, name: str, server: Child) -> Contender:
    contender = Contender(name, _DATABASE, grpc_client(stage, server), server)
    warm_up(contender)
    return contender


def _cycles(stage: Stage, contender: Contender) -> int:
    seconds = stage.options.seconds or (5.0 if stage.options.is_quick else 10.0)
    count: int = contender.client.ask("drive", lanes=_LANES, seconds=seconds)["count"]
    return count
