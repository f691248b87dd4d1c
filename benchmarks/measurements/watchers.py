"""How much memory a server needs for a watcher who waits."""

from __future__ import annotations

from benchmarks.calls import connected
from benchmarks.children import ours
from benchmarks.contenders import case
from benchmarks.contest import serve_interlock
from benchmarks.outcome import Chart, Figure, Line, Outcome, Sample, Table
from benchmarks.stage import Stage, say

_RUNS = 50
_TARGET_KB = 40.0


def measure(stage: Stage) -> Outcome:
    counts = (500, 1_000) if stage.options.is_quick else (1_000, 2_000, 5_000)
    server = serve_interlock(stage, stage.database("watchers", migrated=True))
    client = stage.child("watchers", ours("clients.watchers", server.ready["target"]))
    with connected(server.ready["target"]) as calls:
        runs = [calls.run(case.WORKFLOW).run_id for _ in range(_RUNS)]
    client.ask("open", runs=runs, each=1, after=0)  # What the first ones load is not theirs.
    client.ask("rest")
    before, waiting = server.memory(), 0
    each = []
    for count in counts:
        say(f"  {count:,} watchers")
        client.ask("open", runs=runs, each=(count - waiting) // _RUNS, after=0)
        client.ask("rest")
        waiting = count
        each.append(Sample(((server.memory() - before) / count / 1_000,)))
    what = f"memory for each of {counts[-1]:,} idle watchers"
    figure = Figure(what, each[-1], "at most", _TARGET_KB, "KB")
    names = [f"{count:,}" for count in counts]
    rows = [[name, str(one)] for name, one in zip(names, each, strict=True)]
    table = Table("memory of the server", ("Idle watchers", "KB for each"), rows)
    chart = Chart("Idle watchers", "watchers", "KB for each", [Line("Interlock", names, each)])
    return Outcome([figure], [table], [chart])
