"""Workflows of Interlock by their shape: long ones, wide ones, and talkative ones."""

from __future__ import annotations

import itertools

from interlock_server import Interlock, Loop, Parallel, Step, StepInput, Workflow

LONG = {10: "Long10", 100: "Long100", 1_000: "Long1000", 10_000: "Long10000"}
"""So many steps, then a gate, then one more step."""

WIDE = {1: "Wide1", 10: "Wide10", 50: "Wide50", 200: "Wide200"}
"""So many branches side by side, each behind a gate."""

PLAIN = {1: "Plain1", 10: "Plain10", 50: "Plain50", 200: "Plain200"}
"""The same without gates."""

TALK = {50: "Talk50", 500: "Talk500", 1_000: "Talk1000"}
"""A gate, then a loop that gives about so many events."""

_EVENTS_PER_ITERATION = 4
_STEPS_PER_ITERATION = 10


async def work(step_input: StepInput) -> str:
    return f"Looked at {len(step_input.input)} characters, and found nothing that is new."


def _gate() -> Step:
    return Step(name="gate", executor=work, requires_confirmation=True)


def _long(name: str, steps: int) -> Workflow:
    each = [Step(name=f"step_{n}", executor=work) for n in range(_STEPS_PER_ITERATION)]
    loop = Loop(name="loop", steps=each, max_iterations=steps // _STEPS_PER_ITERATION)
    return Workflow(name=name, steps=[loop, _gate(), Step(name="after", executor=work)])


def _wide(name: str, branches: int, *, gated: bool) -> Workflow:
    each = [
        Step(name=f"branch_{n}", executor=work, requires_confirmation=gated)
        for n in range(branches)
    ]
    return Workflow(name=name, steps=[Parallel(name="parallel", steps=each)])


def _talk(name: str, events: int) -> Workflow:
    said = Step(name="say", executor=work)
    loop = Loop(name="loop", steps=[said], max_iterations=events // _EVENTS_PER_ITERATION)
    return Workflow(name=name, steps=[_gate(), loop])


app = Interlock(
    list(
        itertools.chain(
            (_long(name, steps) for steps, name in LONG.items()),
            (_wide(name, count, gated=True) for count, name in WIDE.items()),
            (_wide(name, count, gated=False) for count, name in PLAIN.items()),
            (_talk(name, events) for events, name in TALK.items()),
        )
    )
)
