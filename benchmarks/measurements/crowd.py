"""The cycle and the inbox among very many paused runs and events, against next to none."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.calls import connected
from benchmarks.children import ours
from benchmarks.clients.inbox import PAGE_SIZE
from benchmarks.contenders import case
from benchmarks.contest import Contender, grpc_client, serve_interlock, warm_up
from benchmarks.copies import copy_run
from benchmarks.outcome import Chart, Figure, Line, Outcome
from benchmarks.stage import Stage, say
from benchmarks.turns import Turns, play

_FEW = 3 * PAGE_SIZE
"""Enough for two pages of the inbox, which would cost nothing where they are empty."""

_MANY, _MANY_QUICKLY = 1_000_000, 100_000
_MORE_RUNS = ("--open-runs-max", str(2 * _MANY))
_TARGET = 0.9
_LANES = 16


def measure(stage: Stage) -> Outcome:
    many = _MANY_QUICKLY if stage.options.is_quick else _MANY
    counts = (_FEW, many)
    databases = {count: _crowded(stage, count) for count in counts}
    stage.postgres.execute("CHECKPOINT")  # What was written for that is written.
    cycles, pages = [], []
    for count in counts:
        name = f"{count:,} paused runs"
        url = stage.postgres.url(databases[count])
        server = serve_interlock(stage, url, *_MORE_RUNS, name=f"among {count}")
        cycling = Contender(name, databases[count], grpc_client(stage, server), server)
        command = ours("clients.inbox", server.ready["target"])
        inbox = replace(cycling, client=stage.child(f"inbox of {count}", command))
        for contender in (cycling, inbox):
            warm_up(contender)
        cycles.append(cycling)
        pages.append(inbox)
    return _outcome(stage, many, play(stage, cycles, [_LANES]), play(stage, pages, [_LANES]))


def _crowded(stage: Stage, count: int) -> str:
    """A database with so many paused runs, each with ten events and more."""
    say(f"  {count:,} paused runs")
    name = f"paused_{count}"
    url = stage.database(name, migrated=True)
    with stage.scene():
        server = serve_interlock(stage, url)
        with connected(server.ready["target"]) as calls:
            run = calls.run(case.PREPARED)
    copy_run(stage.postgres, name, run.run_id, count)
    return name


def _outcome(stage: Stage, many: int, cycles: Turns, pages: Turns) -> Outcome:
    few, crowd = cycles.names
    events = stage.postgres.value("SELECT count(*) FROM events", f"paused_{many}")
    size = stage.postgres.value(f"SELECT pg_database_size('paused_{many}')")
    what = f"with {many:,} paused runs against {_FEW}"
    figures = [
        Figure(f"{name}, {what}", turns.ratio(crowd, few, _LANES), "at least", _TARGET)
        for name, turns in (("cycles/s", cycles), ("inbox pages/s", pages))
    ]
    tables = [
        replace(cycles.table(crowd, _LANES), title=f"cycles, {_LANES} at once"),
        replace(pages.table(crowd, _LANES), title=f"two pages of the inbox, {_LANES} at once"),
    ]
    lines = [
        Line(name, ["cycles", "inbox"], [turns.sample(name, _LANES) for turns in (cycles, pages)])
        for name in cycles.names
    ]
    note = f"The crowd has {events:,} events and takes {size / 1e9:.1f} GB."
    return Outcome(figures, tables, [Chart("Among many", "", "per second", lines)], [note])
