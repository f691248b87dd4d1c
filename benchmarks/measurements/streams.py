"""Events per second to many watchers, against a bare stream of the same messages."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.calls import Calls, connected
from benchmarks.children import Child, ours
from benchmarks.contenders.shapes_app import TALK
from benchmarks.contest import serve_interlock
from benchmarks.outcome import Chart, Figure, Line, Outcome, Sample, Table
from benchmarks.stage import Stage, say

_EVENTS = {1: 1_000, 100: 500, 1_000: 50}
"""How many events are shown to so many watchers."""

_TARGET_WATCHERS = 100
_TARGET = 0.7
_INTERLOCK, _BARE = "Interlock", "bare stream"
_LIVE, _STORED = "as they come", "once more"


@dataclass(frozen=True)
class Place:
    """A server that shows runs, and a process of watchers.

    Args:
        folder: for what the first watcher was sent.
    """

    server: Child
    watchers: Child
    calls: Calls
    folder: Path

    def record(self, kind: str) -> str:
        """Where the messages go that the first watcher was sent."""
        return str(self.folder / f"{self.server.name}, {kind}")


@dataclass(frozen=True)
class Shown:
    """How a run was shown.

    Args:
        rate: events per second, to all watchers together.
        cpu: microseconds of CPU time of the server for each of them.
        batch: events in a message.
    """

    rate: float
    cpu: float
    batch: float


Results = dict[tuple[str, str, int], list[Shown]]


def measure(stage: Stage) -> Outcome:
    rounds = stage.options.rounds or (2 if stage.options.is_quick else 3)
    url = stage.database("streams", migrated=True)
    results: Results = {}
    with _place(stage, serve_interlock(stage, url, app="shapes_app")) as interlock:
        for watchers, events in _EVENTS.items():
            _show(interlock, watchers, events)
            files = [interlock.record(kind) for kind in (_LIVE, _STORED)]
            with stage.scene():
                server = stage.child("bare", ours("contenders.bare_stream", *files))
                with _place(stage, server) as bare:
                    for number in range(rounds):
                        say(f"  {watchers} watchers, round {number + 1} of {rounds}")
                        for name, place in ((_INTERLOCK, interlock), (_BARE, bare)):
                            for kind, shown in _show(place, watchers, events).items():
                                results.setdefault((name, kind, watchers), []).append(shown)
    return _outcome(results)


@contextmanager
def _place(stage: Stage, server: Child) -> Iterator[Place]:
    target = server.ready["target"]
    watchers = stage.child(f"{server.name}-watchers", ours("clients.watchers", target))
    with connected(target) as calls:
        yield Place(server, watchers, calls, stage.folder)


def _show(place: Place, watchers: int, events: int) -> dict[str, Shown]:
    """Shows a run to watchers as it happens, and then to as many who come late."""
    run = place.calls.run(TALK[events])
    after = run.last_sequence
    place.watchers.ask("open", runs=[run.run_id], each=watchers, after=after)
    before, begin = place.server.cpu(), time.monotonic()
    place.watchers.tell("follow", record=place.record(_LIVE))
    place.calls.confirm(run)
    live = place.watchers.hear(300.0)
    between = place.server.cpu()
    stored = place.watchers.ask(
        "replay", run=run.run_id, watchers=watchers, record=place.record(_STORED)
    )
    return {
        _LIVE: _shown(live, watchers, live["end"] - begin, between - before),
        _STORED: _shown(stored, watchers, stored["seconds"], place.server.cpu() - between),
    }


def _shown(heard: dict[str, float], watchers: int, seconds: float, cpu: float) -> Shown:
    events = heard["events"]
    batch = events / watchers / heard["messages"]
    return Shown(events / seconds, 1_000_000 * cpu / events, batch)


def _outcome(results: Results) -> Outcome:
    def sample(name: str, kind: str, watchers: int, field: str = "rate") -> Sample:
        return Sample(tuple(getattr(one, field) for one in results[name, kind, watchers]))

    def ratio(kind: str, watchers: int) -> Sample:
        return sample(_INTERLOCK, kind, watchers).over(sample(_BARE, kind, watchers))

    figures = [
        Figure(
            f"events/s to {_TARGET_WATCHERS} watchers against a bare stream, {kind}",
            ratio(kind, _TARGET_WATCHERS),
            "at least",
            _TARGET,
        )
        for kind in (_LIVE, _STORED)
    ]
    rows = [
        [
            f"{watchers:,} watchers, {kind}",
            str(sample(_INTERLOCK, kind, watchers)),
            str(sample(_BARE, kind, watchers)),
            str(ratio(kind, watchers)),
            str(sample(_INTERLOCK, kind, watchers, "cpu")),
            str(sample(_BARE, kind, watchers, "cpu")),
            str(sample(_INTERLOCK, kind, watchers, "batch")),
        ]
        for watchers in _EVENTS
        for kind in (_LIVE, _STORED)
    ]
    heads = ("", "Interlock", "bare stream", "ratio", "Interlock, µs", "bare, µs", "in a message")
    table = Table("events/s to all watchers; CPU time of the server per event", heads, rows)
    xs = [f"{watchers:,}" for watchers in _EVENTS]
    lines = [
        Line(f"{name}, {kind}", xs, [sample(name, kind, watchers) for watchers in _EVENTS])
        for name in (_INTERLOCK, _BARE)
        for kind in (_LIVE, _STORED)
    ]
    return Outcome(figures, [table], [Chart("Streams", "watchers", "events/s", lines)])
