"""Cycles per second: run, pause, confirm, end; against the floor and the peers."""

from __future__ import annotations

from benchmarks.contest import (
    AGNO,
    AGNO_SERVED,
    CONTENDERS,
    FLOOR,
    INTERLOCK,
    LANGGRAPH,
    LANGGRAPH_AT_EXIT,
    start,
)
from benchmarks.outcome import Figure, Outcome
from benchmarks.stage import Stage, say
from benchmarks.turns import play

_TARGETS = {
    FLOOR: 0.7,
    AGNO: 6.0,
    AGNO_SERVED: 13.0,
    LANGGRAPH: 3.0,
    LANGGRAPH_AT_EXIT: 1.7,
}
_TARGET_LANES = 16


def measure(stage: Stage) -> Outcome:
    options = stage.options
    names = [INTERLOCK, *(options.against or [one for one in CONTENDERS if one != INTERLOCK])]
    lanes = options.lanes or ((16,) if options.is_quick else (1, 16, 64))
    say(f"starting {', '.join(names)}")
    contenders = [start(stage, name) for name in names]
    turns = play(stage, contenders, lanes)
    figures = [
        Figure(
            f"cycles/s against {name}, {_TARGET_LANES} at once",
            turns.ratio(INTERLOCK, name, _TARGET_LANES),
            "at least",
            _TARGETS[name],
        )
        for name in names
        if name in _TARGETS and _TARGET_LANES in lanes
    ]
    tables = [turns.table(INTERLOCK, count) for count in lanes]
    return Outcome(figures, tables, [turns.chart("Cycles")])
