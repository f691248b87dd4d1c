"""What it costs to go on with a run, by the number of steps that it has finished already."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC

from benchmarks.calls import Calls, confirm_all_request, connected
from benchmarks.children import Child
from benchmarks.contenders.shapes_app import LONG
from benchmarks.contest import serve_interlock
from benchmarks.copies import copy_run
from benchmarks.outcome import Chart, Figure, Line, Outcome, Sample, Table
from benchmarks.stage import Stage, say
from interlock import v1

_TIMES = 20.0
_SHORTEST, _LONGEST = min(LONG), max(LONG)
_NEXT_STEP = "after"
_LOOKS = 3
"""How many servers are looked at for the memory of a resume."""

_LOOK_SECONDS = 0.005
_DATABASE = "resume"


@dataclass(frozen=True)
class Resumed:
    """How a run went on.

    Args:
        effect: milliseconds until its next step began.
        answer: milliseconds until the caller had the run back, ended, with all its results.
    """

    effect: float
    answer: float


def measure(stage: Stage) -> Outcome:
    rounds = stage.options.rounds or (3 if stage.options.is_quick else 7)
    url = stage.database(_DATABASE, migrated=True)
    with stage.scene():
        server = serve_interlock(stage, url, app="shapes_app")
        with connected(server.ready["target"]) as calls:
            paused = _paused(stage, calls, rounds)
            resumed = _in_turn(calls, paused, rounds)
    memory = {
        steps: Sample(tuple(_memory(stage, url, ids.pop(), paused) for _ in range(_LOOKS)))
        for steps, ids in paused.items()
    }
    return _outcome(resumed, memory)


def _paused(stage: Stage, calls: Calls, rounds: int) -> dict[int, list[str]]:
    """The ids of paused runs by the number of steps that they have finished: one to warm up with,
    so many rounds, and what the memory needs, where a shortest one is done before each."""
    paused = {}
    for steps, workflow in LONG.items():
        say(f"  a run with {steps:,} finished steps")
        run_id = calls.run(workflow).run_id
        looks = _LOOKS * (1 + len(LONG) if steps == _SHORTEST else 1)
        paused[steps] = copy_run(stage.postgres, _DATABASE, run_id, 1 + rounds + looks)
    return paused


def _in_turn(calls: Calls, paused: dict[int, list[str]], rounds: int) -> dict[int, list[Resumed]]:
    for ids in paused.values():
        _resume(calls, ids.pop())
    resumed: dict[int, list[Resumed]] = {steps: [] for steps in paused}
    for number in range(rounds):
        say(f"  round {number + 1} of {rounds}")
        for steps, ids in paused.items():
            resumed[steps].append(_resume(calls, ids.pop()))
    return resumed


def _resume(calls: Calls, run_id: str) -> Resumed:
    """Confirms what a run waits for, and waits for its end."""
    waiting = v1.ListRequirementsRequest(filter=v1.RequirementFilter(run_id=run_id))
    requirements = calls.requirements.ListRequirements(waiting).requirements
    decided, begin = time.time(), time.perf_counter()
    ended = calls.runs.ContinueRun(confirm_all_request(run_id, requirements)).run
    answer = time.perf_counter() - begin
    assert ended.state == v1.RUN_STATE_COMPLETED, ended.error
    return Resumed(1_000 * (_next_step(calls, ended) - decided), 1_000 * answer)


def _next_step(calls: Calls, run: v1.Run) -> float:
    """When the step after the gate began, by the clock of this machine."""
    request = v1.ListRunEventsRequest(run_id=run.run_id, after_sequence=run.last_sequence - 10)
    for event in calls.runs.ListRunEvents(request).events:
        if event.HasField("step_started") and event.step.name == _NEXT_STEP:
            return event.event_time.ToDatetime(UTC).timestamp()
    raise AssertionError("the run had no step after its gate")


# Memory.


def _memory(stage: Stage, url: str, run_id: str, paused: dict[int, list[str]]) -> float:
    """Megabytes that a server which has done the shortest holds more while it resumes a run."""
    with stage.scene():
        server = serve_interlock(stage, url, app="shapes_app")
        with connected(server.ready["target"]) as calls:
            _resume(calls, paused[_SHORTEST].pop())
            with _peak(server) as seen:
                _resume(calls, run_id)
    return (max(seen) - seen[0]) / 1_000_000


@contextmanager
def _peak(server: Child) -> Iterator[list[int]]:
    """Looks at a server's memory, again and again while the context is open."""
    seen, is_over = [server.resident()], threading.Event()

    def look() -> None:
        while not is_over.wait(_LOOK_SECONDS):
            seen.append(server.resident())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        is_over.set()
        thread.join()


def _outcome(resumed: dict[int, list[Resumed]], memory: dict[int, Sample]) -> Outcome:
    def sample(steps: int, field: str) -> Sample:
        return Sample(tuple(getattr(one, field) for one in resumed[steps]))

    figures = [
        Figure(
            f"{what}, {_LONGEST:,} finished steps against {_SHORTEST}, times",
            sample(_LONGEST, field).over(sample(_SHORTEST, field)),
            "at most",
            _TIMES,
        )
        for what, field in (
            ("from a decision to the next step", "effect"),
            ("from a decision to the answer with all results", "answer"),
        )
    ]
    figures.append(
        Figure(
            f"memory of a resume, {_LONGEST:,} finished steps against {_LONGEST // 10:,}, times",
            memory[_LONGEST].over(memory[_LONGEST // 10]),
            "at most",
            10.0,
        )
    )
    rows = [
        [
            f"{steps:,}",
            str(sample(steps, "effect")),
            str(sample(steps, "answer")),
            str(memory[steps]),
        ]
        for steps in resumed
    ]
    heads = ("Finished steps", "to the next step, ms", "to the answer, ms", "memory, MB")
    steps = list(resumed)
    lines = [
        Line("to the next step", steps, [sample(one, "effect") for one in steps]),
        Line("to the answer", steps, [sample(one, "answer") for one in steps]),
    ]
    chart = Chart("Going on", "finished steps", "ms", lines, is_log=True)
    return Outcome(figures, [Table("a decision on a paused run", heads, rows)], [chart])
