"""Approving everything equals the same workflow without its gates.

Each generated world is played twice: as it is, with every gate of a node passed,
and with those gates taken away by the author. Only what the gates themselves ask
and say may differ.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.oracle.building import build
from tests.oracle.cases import CASES, again, group_name, groups
from tests.oracle.playing import Playing, all_of_them, play_straight
from tests.oracle.stories import Story, differences
from tests.oracle.watching import Log
from tests.oracle.worlds import Choice, Dice, GatePlan, NodePlan, World, world_of

_ITERATIONS = re.compile(r"max_iterations: \d+")
_YES = Choice(says_yes=True, way=1)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seeds", groups(CASES // 4 or 1, 250), ids=group_name)
def test_approving_everything_equals_having_no_gates(seeds: range) -> None:
    asked = 0
    with asyncio.Runner() as runner:
        for seed in seeds:
            world = replace(world_of(Dice(seed)), choices=(_YES,))
            gated = replace(world, nodes=_with_gates(world.nodes))
            try:
                asked += runner.run(_compare(gated))
            except AssertionError as problem:
                pytest.fail(f"{problem}\n\n{gated}\n\n{again(seed, __file__)}", pytrace=False)
    print(f"seeds {group_name(seeds)}: {asked} gates were passed")
    assert asked or len(seeds) < 100


async def _compare(gated: World) -> int:
    """Plays a world with and without its gates; gives how many gates it had."""
    free = replace(gated, nodes=_without_gates(gated.nodes))
    reference = await play_straight(free, build(free, Log()))
    code = build(gated, Log())
    straight = await play_straight(gated, code)
    paused = await Playing(gated, code, all_of_them).play()
    for way, played in {"at once": straight, "with pauses": paused}.items():
        parted = differences(_bare(reference), _bare(played))
        assert not parted, f"{way}, {parted}"
    return len(straight.questions) - len(reference.questions)


def _with_gates(nodes: Sequence[NodePlan]) -> tuple[NodePlan, ...]:
    """Gates that can be passed without changing anything."""
    return _rewritten(nodes, _passable)


def _passable(node: NodePlan) -> NodePlan:
    if node.gate is None:
        return node
    # Nobody can choose nothing; and a failure cannot be approved.
    selects = node.gate.selects and node.does != "nothing"
    return replace(
        node, gate=replace(node.gate, requires=False, asks_errors=False, selects=selects)
    )


def _without_gates(nodes: Sequence[NodePlan]) -> tuple[NodePlan, ...]:
    return _rewritten(nodes, _free)


def _free(node: NodePlan) -> NodePlan:
    """What a yes means, written by the author."""
    gate = node.gate or GatePlan()
    if node.kind == "cond" and gate.confirms:
        node = replace(node, does="yes")
    if node.kind == "loop" and gate.judges:
        node = replace(node, iterations=1)
    return replace(node, gate=None)


def _rewritten(nodes: Sequence[NodePlan], rewrite: Any) -> tuple[NodePlan, ...]:
    return tuple(
        replace(
            rewrite(node),
            nodes=_rewritten(node.nodes, rewrite),
            else_nodes=_rewritten(node.else_nodes, rewrite),
        )
        for node in nodes
    )


def _bare(one: Story) -> Story:
    """A story without what gates themselves ask and say."""
    calls = {key: text for key, text in one.questions.items() if "tool_execution {" in text}
    return replace(one, questions=calls, effects=_quiet(one.effects), events=_quiet(one.events))


def _quiet(line: Any) -> Any:
    if isinstance(line, dict):
        return {name: _quiet(inside) for name, inside in line.items()}
    if isinstance(line, str):
        return _ITERATIONS.sub("max_iterations", line)
    return [_quiet(one) for one in line if not _is_of_gates(one)]


def _is_of_gates(one: Any) -> bool:
    return isinstance(one, str) and re.match(r"\S+:(review_predicate|route) ", one) is not None
