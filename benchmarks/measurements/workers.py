"""Two server processes behind one address, against one."""

from __future__ import annotations

from collections.abc import Sequence

import psutil

from benchmarks.contest import INTERLOCK, Contender, grpc_client, serve_interlock, warm_up
from benchmarks.outcome import Figure, Outcome, Table, short
from benchmarks.stage import Stage, say
from benchmarks.turns import Turns, play

_ONE, _TWO = "one process", "two processes"
_CONNECTIONS = "16"
"""The kernel spreads connections, not calls, over the processes."""

_TARGET = 1.2
_TARGET_LANES = 64


def measure(stage: Stage) -> Outcome:
    lanes = stage.options.lanes or ((64,) if stage.options.is_quick else (16, 64))
    say(f"starting {INTERLOCK} with one process, and with two")
    contenders = [_contender(stage, name, count) for name, count in ((_ONE, 1), (_TWO, 2))]
    turns = play(stage, contenders, lanes)
    figures = [
        Figure(
            f"cycles/s of two server processes against one, {_TARGET_LANES} at once",
            turns.ratio(_TWO, _ONE, _TARGET_LANES),
            "at least",
            _TARGET,
        )
    ]
    tables = [table for count in lanes for table in (turns.table(_TWO, count), _busy(turns, count))]
    return Outcome(figures, tables, [turns.chart("Server processes")])


def _contender(stage: Stage, name: str, count: int) -> Contender:
    database = f"workers_{count}"
    url = stage.database(database, migrated=True)
    server = serve_interlock(stage, url, "--workers", str(count), name=name)
    client = grpc_client(stage, server, "--connections", _CONNECTIONS)
    contender = Contender(name, database, client, server)
    warm_up(contender)
    return contender


def _busy(turns: Turns, lanes: int) -> Table:
    """How many of the machine's cores were at work, and for whom: what else is saturated."""
    who: Sequence[str] = ("server", "client", "database", "cpu")
    rows = []
    for name in turns.names:
        rate = turns.sample(name, lanes).median
        used = [rate * turns.sample(name, lanes, each).median / 1_000 for each in who]
        rows.append([name, *map(short, used)])
    title = f"{lanes} at once; cores at work, of {psutil.cpu_count()}"
    return Table(title, ("", "server", "client", "database", "all"), rows)
