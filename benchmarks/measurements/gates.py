"""The cycle of a step that waits for a yes before it runs: no agent, no model, no tool."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.contenders import case
from benchmarks.contest import FLOOR, INTERLOCK, grpc_client, start, warm_up
from benchmarks.outcome import Outcome
from benchmarks.stage import Stage, say
from benchmarks.turns import play

_GATED_STEP = "gated step"


def measure(stage: Stage) -> Outcome:
    lanes = stage.options.lanes or ((16,) if stage.options.is_quick else (1, 16))
    say("starting Interlock and the floor")
    gated_tool = start(stage, INTERLOCK)
    assert gated_tool.server is not None
    client = grpc_client(stage, gated_tool.server, "--workflow", case.GATED_STEP)
    gated_step = replace(gated_tool, name=_GATED_STEP, client=client)
    warm_up(gated_step)
    contenders = [gated_step, replace(gated_tool, name="gated tool"), start(stage, FLOOR)]
    turns = play(stage, contenders, lanes)
    tables = [turns.table(_GATED_STEP, count) for count in lanes]
    return Outcome(tables=tables, charts=[turns.chart("Cycles of a gated step")])
