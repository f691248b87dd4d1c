"""The worlds of a round: those of the oracle, as workflows of one app."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import dataclass, replace

from tests.oracle.building import build
from tests.oracle.playing import play_straight
from tests.oracle.stories import Story
from tests.oracle.watching import Log
from tests.oracle.worlds import (
    CallPlan,
    Dice,
    NodePlan,
    SpeakerPlan,
    Turn,
    World,
    tamed,
    world_of,
)

from interlock_server.executors.speakers import DELEGATE

WORLDS = "INTERLOCK_CHAOS_WORLDS"
EFFECTS = "INTERLOCK_CHAOS_EFFECTS"
"""What tells a process which worlds to serve, by their seeds, and the file for what they do."""

_EFFECTS_MIN = 6
_EFFECTS_MAX = 24
_WORLDS_PER_ROUND = 100_000


@dataclass(frozen=True)
class Played:
    """A world, what it is called in its app, and how its run ends when nothing goes wrong."""

    name: str
    seed: int
    world: World
    reference: Story


def name_of(seed: int) -> str:
    """What the workflow of a world is called."""
    return f"World{seed}"


def world(seed: int) -> World:
    """The world of a seed, with names that no other world in the app has."""
    return replace(
        plain := tamed(world_of(Dice(seed))),
        nodes=tuple(_node(one, f"w{seed}_") for one in plain.nodes),
    )


def chosen(seed: int, count: int) -> list[Played]:
    """The worlds of a round: of those that follow from its seed, the first that are worth it."""
    first = seed * _WORLDS_PER_ROUND
    with asyncio.Runner() as runner:
        found = (_worthy(runner, number) for number in itertools.count(first))
        return list(itertools.islice(filter(None, found), count))


def _worthy(runner: asyncio.Runner, seed: int) -> Played | None:
    """A world that asks people something, and does enough for something to come between."""
    code = build(world(seed), Log(), name_of(seed))
    reference = runner.run(play_straight(world(seed), code))
    if not reference.questions or not _EFFECTS_MIN <= len(code.log.performed) <= _EFFECTS_MAX:
        return None
    return Played(name_of(seed), seed, world(seed), reference)


# Agents are named in their app, all else in its workflow.


def _node(plan: NodePlan, prefix: str) -> NodePlan:
    return replace(
        plan,
        nodes=tuple(_node(one, prefix) for one in plan.nodes),
        else_nodes=tuple(_node(one, prefix) for one in plan.else_nodes),
        speaker=_speaker(plan.speaker, prefix) if plan.speaker else None,
    )


def _speaker(plan: SpeakerPlan, prefix: str) -> SpeakerPlan:
    return replace(
        plan,
        name=f"{prefix}{plan.name}",
        members=tuple(_speaker(one, prefix) for one in plan.members),
        turns=tuple(_turn(one, prefix) for one in plan.turns),
    )


def _turn(turn: Turn, prefix: str) -> Turn:
    return tuple(_call(part, prefix) if isinstance(part, CallPlan) else part for part in turn)


def _call(plan: CallPlan, prefix: str) -> CallPlan:
    if plan.tool != DELEGATE:
        return plan
    args = json.loads(plan.args)
    return replace(plan, args=json.dumps({**args, "member_name": f"{prefix}{args['member_name']}"}))
