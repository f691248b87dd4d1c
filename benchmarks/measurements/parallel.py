"""Many branches side by side: run at once, and each behind a gate that is confirmed at once."""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks.calls import Calls, connected
from benchmarks.contenders.shapes_app import PLAIN, WIDE
from benchmarks.contest import serve_interlock
from benchmarks.outcome import Chart, Line, Outcome, Sample, Table
from benchmarks.stage import Stage, say
from interlock import v1


@dataclass(frozen=True)
class Branches:
    """Milliseconds that it took.

    Args:
        plain: a run without gates, to its end.
        pause: a run with a gate in each branch, until all of them waited.
        end: from the confirmation of all of them to the end.
    """

    plain: float
    pause: float
    end: float


def measure(stage: Stage) -> Outcome:
    rounds = stage.options.rounds or (3 if stage.options.is_quick else 7)
    server = serve_interlock(stage, stage.database("parallel", migrated=True), app="shapes_app")
    taken: dict[int, list[Branches]] = {count: [] for count in WIDE}
    with connected(server.ready["target"]) as calls:
        _run(calls, max(WIDE))
        for number in range(rounds):
            say(f"  round {number + 1} of {rounds}")
            for count in WIDE:
                taken[count].append(_run(calls, count))
    return _outcome(taken)


def _run(calls: Calls, count: int) -> Branches:
    begun = time.perf_counter()
    ended = calls.run(PLAIN[count])
    plain = time.perf_counter()
    paused = calls.run(WIDE[count])
    waiting = time.perf_counter()
    confirmed = calls.confirm(paused)
    end = time.perf_counter()
    assert ended.state == confirmed.state == v1.RUN_STATE_COMPLETED
    return Branches(1_000 * (plain - begun), 1_000 * (waiting - plain), 1_000 * (end - waiting))


def _outcome(taken: dict[int, list[Branches]]) -> Outcome:
    def sample(count: int, field: str) -> Sample:
        return Sample(tuple(getattr(one, field) for one in taken[count]))

    kinds = {"without gates": "plain", "until all wait": "pause", "from yes to the end": "end"}
    rows = [
        [f"{count}", *(str(sample(count, field)) for field in kinds.values())] for count in taken
    ]
    lines = [
        Line(name, list(taken), [sample(count, field) for count in taken])
        for name, field in kinds.items()
    ]
    table = Table("a Parallel of function steps, ms", ("Branches", *kinds), rows)
    return Outcome(tables=[table], charts=[Chart("Branches", "branches", "ms", lines, is_log=True)])
