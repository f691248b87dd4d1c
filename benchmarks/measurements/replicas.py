"""From a decision on one replica to the first effect that is seen on another."""

from __future__ import annotations

import time
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration

from benchmarks.calls import Calls, confirm_request, connected
from benchmarks.contenders import case
from benchmarks.contest import serve_interlock
from benchmarks.outcome import Chart, Figure, Line, Outcome, Sample, Table
from benchmarks.stage import Stage, say
from interlock import v1

_DECIDED = "requirement_resolved"
_EFFECT = "tool_call_started"
_TARGET_MS = 20.0
_SIGN_OF_LIFE = Duration(nanos=100_000_000)
"""The shortest silence that may be asked for; after it, a watcher surely waits."""


@dataclass(frozen=True)
class Seen:
    """Milliseconds from a decision until a watcher saw it, and what it set off."""

    decision: float
    effect: float


def measure(stage: Stage) -> Outcome:
    batches, count = (2, 20) if stage.options.is_quick else (4, 50)
    url = stage.database("replicas", migrated=True)
    servers = [serve_interlock(stage, url, name=f"replica-{number}") for number in (1, 2)]
    with connected(servers[0].ready["target"]) as one, connected(servers[1].ready["target"]) as two:
        _batch(one, two, 10)
        here, there = [], []
        for number in range(batches):
            say(f"  batch {number + 1} of {batches}")
            here.append(_batch(one, one, count))
            there.append(_batch(one, two, count))
    effect = [[seen.effect for seen in batch] for batch in there]
    figure = Figure(
        "from a decision to the first effect on another replica, p99",
        _share(effect, 0.99),
        "at most",
        _TARGET_MS,
        "ms",
    )
    kinds = {
        "the decision, where it was made": [[seen.decision for seen in batch] for batch in here],
        "the decision, on another replica": [[seen.decision for seen in batch] for batch in there],
        "the effect, where the decision was made": [[seen.effect for seen in one] for one in here],
        "the effect, on another replica": effect,
    }
    rows = [
        [name, str(_share(taken, 0.5)), str(_share(taken, 0.99))] for name, taken in kinds.items()
    ]
    table = Table("until a watcher sees it, ms", ("", "p50", "p99"), rows)
    lines = [
        Line(name, list(kinds), [_share(taken, share) for taken in kinds.values()])
        for name, share in (("p50", 0.5), ("p99", 0.99))
    ]
    return Outcome([figure], [table], [Chart("From a decision to what is seen", "", "ms", lines)])


def _batch(decides: Calls, watches: Calls, count: int) -> list[Seen]:
    return [_decision(decides, watches, decides.run(case.WORKFLOW)) for _ in range(count)]


def _decision(decides: Calls, watches: Calls, run: v1.Run) -> Seen:
    """Confirms on one replica while a watcher waits on another."""
    options = v1.StreamOptions(heartbeat_interval=_SIGN_OF_LIFE)
    request = v1.WatchRunRequest(
        run_id=run.run_id, after_sequence=run.last_sequence, stream_options=options
    )
    stream = watches.runs.WatchRun(request)
    while not next(stream).HasField("heartbeat"):
        pass
    decided = time.perf_counter()
    ending = decides.runs.ContinueRun.future(confirm_request(run))
    seen: dict[str, float] = {}
    for response in stream:
        now = 1_000 * (time.perf_counter() - decided)
        for event in response.events.events:
            seen.setdefault(event.WhichOneof("event") or "", now)
    ending.result()
    return Seen(seen[_DECIDED], seen[_EFFECT])


def _share(batches: list[list[float]], share: float) -> Sample:
    """How long so large a share took at most, batch by batch."""
    return Sample(tuple(sorted(batch)[round(share * (len(batch) - 1))] for batch in batches))
